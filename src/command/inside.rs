//! What runs have started in a container, found and ended from inside of it: only root on the engine's own machine can see
//! it from outside.

use tokio::time::Instant;
use ulid::Ulid;

use super::{Command, CommandError, RUN_VARIABLE, TERM_GRACE};
use crate::docker::{Docker, DockerError, ExecCommand};
use crate::words;

/// Signals each process that has one of the marks in its environment, and says how many those are. 9: none can be read.
const SCRIPT: &str = r#"exec 2>/dev/null
signal=$1
shift
[ -n "$(cat /proc/$$/environ)" ] || exit 9
found=0
for process in /proc/[0-9]*; do
    environment=$(cat "$process/environ") || continue
    for mark; do
        case $environment in
            *"$mark"*) kill "-$signal" "${process#/proc/}" && found=$((found + 1)); break ;;
        esac
    done
done
echo "found $found"
"#;
/// How often it is looked whether what was killed is gone: each look is a program of its own.
const LOOK: std::time::Duration = std::time::Duration::from_millis(500);

/// What runs have started in a container.
pub(super) struct Inside<'a> {
    pub(super) docker: &'a Docker,
    pub(super) container: &'a str,
    /// As whom it was started; nothing for the container's own user.
    pub(super) user: Option<&'a str>,
    pub(super) marks: Vec<String>,
}

/// Why it is not known what runs there.
pub(super) enum Blind {
    /// The container has no shell, or none that can look.
    NoShell,
    /// Docker could not do it, in words.
    Docker(String),
}

impl Blind {
    /// What the engine says, as an error or as if the program had said it.
    fn of(words: String) -> Self {
        let missing = ["executable file not found", "no such file or directory"];
        if missing.iter().any(|missing| words.contains(missing)) {
            Self::NoShell
        } else {
            Self::Docker(words)
        }
    }

    pub(super) fn words(self) -> String {
        match self {
            Self::NoShell => "the container has no shell that could look for it and end it".to_owned(),
            Self::Docker(words) => words,
        }
    }
}

/// Ends what these runs have left in a container, which ran this command there: asks it, and kills it ten seconds later. Says how
/// many processes were found. An error: it cannot be ended, or may be there and cannot be looked for.
pub async fn end_left_in(
    (docker, container): (&Docker, &str),
    runs: &[Ulid],
    command: &Command,
) -> Result<usize, CommandError> {
    let marks = runs.iter().map(|run| format!("{RUN_VARIABLE}={run}")).collect();
    let inside = Inside { docker, container, user: command.user.as_deref(), marks };
    let left = |why: String| CommandError::LeftInside {
        program: command.argv.first().cloned().unwrap_or_default(),
        container: container.to_owned(),
        why,
    };
    match inside.end().await {
        Ok(found) => Ok(found),
        // Without a shell it is known of what the engine itself has started.
        Err(Blind::NoShell) if !docker.runs_in(container, &command.argv).await? => Ok(0),
        Err(why) => Err(left(why.words())),
    }
}

impl Inside<'_> {
    /// Ends it, and says how many processes were found at first.
    async fn end(&self) -> Result<usize, Blind> {
        let found = self.signal("TERM").await?;
        let asked = Instant::now();
        while asked.elapsed() < TERM_GRACE && self.signal("0").await? > 0 {
            tokio::time::sleep(LOOK).await;
        }
        self.kill().await?;
        Ok(found)
    }

    /// Kills it, until it is gone.
    pub(super) async fn kill(&self) -> Result<(), Blind> {
        let since = Instant::now();
        while self.signal("KILL").await? > 0 {
            if since.elapsed() > TERM_GRACE {
                return Err(Blind::Docker("it does not end when it is killed".to_owned()));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Signals it, and says how many processes it is. Nobody may look at what others run there, and neither may root,
    /// whose rights in a container are few: so both the user and root look for their own.
    pub(super) async fn signal(&self, signal: &str) -> Result<usize, Blind> {
        let own = self.signal_as(self.user, signal).await?;
        let of_root = match self.signal_as(Some("0"), signal).await {
            // Root may be worth nothing in a container of somebody else; what is the user's own was seen.
            Err(Blind::NoShell) => 0,
            counted => counted?,
        };
        // Where the container's own user is root, both are the same.
        Ok(own.max(of_root))
    }

    async fn signal_as(&self, user: Option<&str>, signal: &str) -> Result<usize, Blind> {
        let fixed = ["sh", "-c", SCRIPT, "sh", signal].map(str::to_owned);
        let command = ExecCommand {
            argv: fixed.into_iter().chain(self.marks.iter().cloned()).collect(),
            user: user.map(str::to_owned),
            ..ExecCommand::default()
        };
        let failed = |error: DockerError| Blind::of(words::chain(&error));
        let mut exec = self.docker.exec(self.container, &command).await.map_err(failed)?;
        let mut said = Vec::new();
        while let Some(piece) = exec.next().await.map_err(failed)? {
            said.extend_from_slice(&piece);
        }
        let said = String::from_utf8_lossy(&said);
        let found = said.lines().find_map(|line| line.strip_prefix("found ")?.trim().parse().ok());
        match found {
            Some(found) => Ok(found),
            None if exec.exit_code().await.map_err(failed)? == Some(9) => Err(Blind::NoShell),
            None => Err(Blind::of(said.trim().to_owned())),
        }
    }
}
