//! A program on this host, in a process group of its own.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::inherited::OF_THE_SERVICE;
use crate::rights;

use super::descent::Descent;
use super::noted::Note;
use super::tail::Tail;
use super::user::{self, User};
use super::{Command, CommandError, End, LINGER, RUN_VARIABLE, Ran, TICK, marked};

pub(super) async fn run(
    command: &Command,
    cancel: &CancellationToken,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<Ran, CommandError> {
    let program = command.argv.first().cloned().unwrap_or_default();
    let user = match &command.user {
        Some(user) => Some(user::find(user).await?),
        None => None,
    };
    let started = spawn(command, user.as_ref()).map_err(|source| not_run(command, source))?;
    started.follow(cancel, command, say).await.map_err(|source| CommandError::NotRun { program, source })
}

/// The system says of a missing folder what it says of a missing program.
fn not_run(command: &Command, source: io::Error) -> CommandError {
    let program = command.argv.first().cloned().unwrap_or_default();
    let denied = source.kind() == io::ErrorKind::PermissionDenied;
    match (&command.user, &command.directory) {
        // Becoming another user comes before all else that may be denied, and is denied in words of its own.
        (Some(user), _) if source.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error()) => {
            CommandError::NotThatUser { program, user: user.clone() }
        }
        (_, Some(directory)) if source.kind() == io::ErrorKind::NotFound && !directory.is_dir() => {
            CommandError::NoDirectory { program, directory: directory.display().to_string() }
        }
        (_, Some(directory)) if denied && is_closed(directory) => {
            CommandError::ClosedDirectory { program, directory: directory.display().to_string() }
        }
        _ => CommandError::NotRun { program, source },
    }
}

/// This user may not go there.
fn is_closed(directory: &std::path::Path) -> bool {
    rights::may_enter(directory).is_err()
}

/// One pipe for both streams, so that what was said first comes first.
fn spawn(command: &Command, user: Option<&User>) -> io::Result<Started> {
    let (program, arguments) = command.argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let (reader, writer) = io::pipe()?;
    let mut prepared = tokio::process::Command::new(program);
    prepared.args(arguments).stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    for name in OF_THE_SERVICE {
        prepared.env_remove(name);
    }
    if let Some(directory) = &command.directory {
        prepared.current_dir(directory);
    }
    if let Some(user) = user {
        prepared.uid(user.uid).gid(user.gid);
        if let Some((name, home)) = &user.names {
            prepared.env("USER", name).env("LOGNAME", name).env("HOME", home);
        }
    }
    let child = prepared.envs(&command.env).spawn()?;
    // The group has the number of its first process, which stays taken until that is waited for.
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let output = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
    let mark = command.env.get(RUN_VARIABLE).map(|run| format!("{RUN_VARIABLE}={run}"));
    let noting = command.noting.as_ref().zip(group);
    let note = noting.and_then(|(noting, group)| noting.note(group.as_raw_nonzero().get()));
    Ok(Started { child, output, group: Group { pid: group, mark, descent: Descent::default() }, _note: note })
}

struct Started {
    child: Child,
    output: pipe::Receiver,
    // Before the note: that goes when what it is about has ended.
    group: Group,
    _note: Option<Note>,
}

/// The processes that a program has started. Whatever ends the wait for them ends them, unless they were let go.
struct Group {
    /// Nothing once they were let go.
    pid: Option<Pid>,
    /// What those have in their environment that have left the group.
    mark: Option<String>,
    /// And those that have left both.
    descent: Descent,
}

impl Group {
    fn signal(&mut self, signal: Signal) {
        let Some(pid) = self.pid else { return };
        // Before anybody of them ends, and nobody knows any more whom he has started.
        self.descent.look(pid, self.mark.as_deref());
        self.descent.signal(signal);
        if let Some(mark) = &self.mark {
            marked::signal_outside(pid, mark, signal);
        }
        // Nobody may be left.
        let _ = kill_process_group(pid, signal);
    }

    fn is_gone(&self) -> bool {
        self.pid.is_none_or(|pid| {
            test_kill_process_group(pid).is_err()
                && self.mark.as_ref().is_none_or(|mark| !marked::lives_outside(pid, mark))
                && !self.descent.lives()
        })
    }

    fn let_go(&mut self) {
        self.pid = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

impl Started {
    async fn follow(
        mut self,
        cancel: &CancellationToken,
        command: &Command,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> io::Result<Ran> {
        let (mut tail, mut open, mut status) = (Tail::under(&command.veil), true, None::<ExitStatus>);
        let (mut piece, mut told) = (vec![0; 8192], false);
        // Until it was told to stop: the end of the patience with its output. After: when it is killed.
        let mut until = None;
        while open || status.is_none() || (told && !self.group.is_gone()) {
            tokio::select! {
                read = self.output.read(&mut piece), if open => match read {
                    Ok(0) | Err(_) => open = false,
                    Ok(length) => tail.take(&piece[..length], say),
                },
                ended = self.child.wait(), if status.is_none() => {
                    status = Some(ended?);
                    until = until.or(Some(Instant::now() + LINGER));
                }
                () = cancel.cancelled(), if !told => {
                    told = true;
                    self.group.signal(Signal::TERM);
                    until = Some(Instant::now() + command.grace);
                }
                () = reached(until), if told => {
                    self.group.signal(Signal::KILL);
                    until = Some(Instant::now() + TICK);
                }
                () = reached(until), if !told && status.is_some() => break,
                () = tokio::time::sleep(TICK), if told => {
                    // Who left the group may hold the pipe for ever.
                    open = open && !(status.is_some() && self.group.is_gone());
                }
            }
        }
        let left_running = !told && !self.group.is_gone();
        self.group.let_go();
        let end = match status {
            _ if told => End::Stopped,
            Some(status) => {
                status.signal().map_or(End::Code(i64::from(status.code().unwrap_or(-1))), End::Signal)
            }
            None => End::Lost,
        };
        Ok(Ran { end, printed: tail.finish(say), left_running })
    }
}

async fn reached(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::TERM_GRACE;
    use super::*;
    use crate::config::values::Veil;

    fn shell(text: &str) -> Command {
        let argv = ["/bin/sh", "-c", text].map(str::to_owned).to_vec();
        Command {
            argv,
            env: [("A".to_owned(), "b c".to_owned())].into(),
            directory: Some("/usr".into()),
            user: None,
            grace: TERM_GRACE,
            veil: Veil::default(),
            noting: None,
        }
    }

    async fn run_it(command: &Command, stop_after: Duration) -> Result<Ran, CommandError> {
        let cancel = CancellationToken::new();
        let stop = cancel.clone();
        tokio::spawn(async move {
            tokio::time::sleep(stop_after).await;
            stop.cancel();
        });
        run(command, &cancel, &mut |_| {}).await
    }

    fn is_alive(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
    }

    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn both_streams_are_kept_in_their_order_with_the_code_the_folder_and_the_variable() {
        let ran = run_it(&shell("pwd; echo \"$A\" >&2; echo end; exit 3"), LONG).await.unwrap();
        assert_eq!(ran.printed, ["/usr", "b c", "end"]);
        assert_eq!((ran.end, ran.left_running), (End::Code(3), false));
        let ran = run_it(&shell("kill -9 $$"), LONG).await.unwrap();
        assert_eq!(ran.end, End::Signal(9));
    }

    #[tokio::test]
    async fn a_stop_ends_the_whole_group_also_what_ignores_the_first_signal() {
        let text = "trap '' TERM; sleep 600 & (trap '' TERM; sleep 601) & echo $! ; wait; wait";
        let since = Instant::now();
        let ran = run_it(&shell(text), Duration::from_millis(300)).await.unwrap();
        assert_eq!(ran.end, End::Stopped);
        assert!(since.elapsed() >= TERM_GRACE, "it was killed at once");
        assert!(!is_alive(&ran.printed[0]), "{ran:?}");
    }

    #[tokio::test]
    async fn a_stop_ends_also_what_has_left_the_group() {
        let mut command =
            shell("trap '' TERM; setsid sh -c 'echo $$; trap \"\" TERM; sleep 600; sleep 600' & wait");
        command.env.insert(RUN_VARIABLE.to_owned(), format!("a-test-{}", std::process::id()));
        let ran = run_it(&command, Duration::from_millis(500)).await.unwrap();
        assert_eq!(ran.end, End::Stopped);
        assert!(!is_alive(&ran.printed[0]), "{ran:?}");
    }

    #[tokio::test]
    async fn a_stop_ends_also_what_has_cleared_its_environment_and_left_the_group() {
        let apart = "env -i setsid sh -c 'echo $$; trap \"\" TERM; sleep 600; sleep 600' & wait";
        let mut command = shell(apart);
        command.env.insert(RUN_VARIABLE.to_owned(), format!("a-test-{}", std::process::id()));
        let ran = run_it(&command, Duration::from_millis(500)).await.unwrap();
        assert_eq!(ran.end, End::Stopped);
        assert!(!is_alive(&ran.printed[0]), "{ran:?}");
    }

    #[tokio::test]
    async fn what_ends_at_the_first_signal_is_not_waited_for() {
        let since = Instant::now();
        let text = "trap 'echo bye; exit 0' TERM; echo $$; while :; do sleep 0.05; done";
        let ran = run_it(&shell(text), Duration::from_millis(300)).await.unwrap();
        assert!(since.elapsed() < TERM_GRACE / 2);
        assert_eq!((ran.end, ran.printed.last().map(String::as_str)), (End::Stopped, Some("bye")));
    }

    #[tokio::test]
    async fn what_runs_on_in_the_background_is_told_and_not_waited_for() {
        let since = Instant::now();
        let ran = run_it(&shell("sleep 30 & echo $!"), LONG).await.unwrap();
        assert!(since.elapsed() < Duration::from_secs(20));
        assert!(ran.left_running && is_alive(&ran.printed[0]));
        assert_eq!(ran.end, End::Code(0));
        let _ = std::process::Command::new("kill").arg(&ran.printed[0]).status();
    }

    #[tokio::test]
    async fn a_wait_that_is_dropped_leaves_nothing_behind() {
        let mut pid = String::new();
        let command = shell("echo $$; sleep 600");
        let cancel = CancellationToken::new();
        let mut say = |line: &str| pid = line.to_owned();
        let dropped =
            tokio::time::timeout(Duration::from_millis(500), run(&command, &cancel, &mut say)).await;
        assert!(dropped.is_err());
        let since = Instant::now();
        while is_alive(&pid) {
            assert!(since.elapsed() < LONG, "{pid} lives on");
            tokio::time::sleep(TICK).await;
        }
    }

    #[tokio::test]
    async fn a_program_or_a_folder_that_is_not_there_is_told_apart() {
        let mut command = shell("true");
        command.directory = Some("/not/there".into());
        assert!(matches!(run_it(&command, LONG).await, Err(CommandError::NoDirectory { .. })));
        command.directory = None;
        command.argv = vec!["/not/there".into()];
        let error = run_it(&command, LONG).await.unwrap_err();
        assert!(matches!(error, CommandError::NotRun { .. }) && error.hint().unwrap().contains("whole path"));
    }
}
