//! Where a secret must not come to: the arguments of any program, what a run leaves behind, and the disk at a crash.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::watchkeeper::{Output, Watchkeeper, files_job};
use crate::support::{installed, missing, run, scratch, wait_until};

/// Each with the variable that it is in.
const SECRETS: [(&str, &str); 3] = [
    ("WK_TEST_PASSWORD", "pass-word-4bq7"),
    ("WK_TEST_TOKEN", "token-9xk2-of-grafana"),
    ("WK_TEST_HOOK", "http://127.0.0.1:1/hook-77zq-secret"),
];

/// Where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Jobs with a target for each way to name a secret, and commands and hooks that inherit them all.
fn with_secrets() -> Watchkeeper {
    let watchkeeper = Watchkeeper::with_config("");
    let url = nobody();
    let once = "retries = { max = 0 }\n";
    watchkeeper.configure(&format!(
        "[grafana.by-password]\nurl = \"{url}\"\nuser = \"admin\"\npassword = {{ env = \"WK_TEST_PASSWORD\" }}\n\
         [grafana.by-token]\nurl = \"{url}\"\ntoken = {{ env = \"WK_TEST_TOKEN\" }}\n\
         [notify.hook]\ntype = \"webhook\"\nurl = {{ env = \"WK_TEST_HOOK\" }}\n\
         [[job]]\nname = \"one\"\nkind = \"grafana-export\"\ngrafana = \"by-password\"\nkeep = {{ last = 2 }}\n{once}\
         [[job]]\nname = \"two\"\nkind = \"grafana-export\"\ngrafana = \"by-token\"\nkeep = {{ last = 2 }}\n{once}\
         [[job]]\nname = \"program\"\nkind = \"command\"\nshell = true\ncommand = 'env; echo \"$WK_TEST_TOKEN\" >&2; exit 1'\n\
         {once}[job.hooks]\nbefore = {{ shell = true, command = 'echo beside \"$WK_TEST_PASSWORD\"' }}\n\
         {}{once}",
        files_job(2, &[watchkeeper.folder().join("own").as_path()])
    ));
    fs::create_dir(watchkeeper.folder().join("own")).unwrap();
    fs::write(watchkeeper.folder().join("own/a"), "text").unwrap();
    watchkeeper
}

/// Runs it so that every program that it starts, and what that starts, is written down with all its arguments.
fn traced(watchkeeper: &Watchkeeper, trace: &Path, arguments: &[&str]) -> Output {
    let program = watchkeeper.command(arguments);
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-qqq", "-s", "100000", "-e", "trace=execve,execveat", "-A", "-o"])
        .arg(trace)
        .arg("--");
    strace.arg(program.get_program()).args(program.get_args()).envs(SECRETS);
    strace.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    watchkeeper.wait(strace.spawn().unwrap(), arguments)
}

#[track_caller]
fn holds_no_secret(what: &str, bytes: &[u8]) {
    for (name, secret) in SECRETS {
        let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!found, "{what} holds the secret of {name}: {}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn no_program_has_a_secret_among_its_arguments_and_nothing_that_is_written_holds_one() {
    if !installed("strace") {
        return missing("no strace");
    }
    let watchkeeper = with_secrets();
    let trace = scratch::folder("trace");
    let started = trace.path().join("started");
    let stories: [(&[&str], i32); 7] = [
        (&["run-now", "--all"], 1),
        (&["-vv", "run-now", "program"], 1),
        (&["check", "--online"], 1),
        (&["notify-test"], 1),
        (&["status"], 1),
        (&["history"], 0),
        (&["explain", "program"], 0),
    ];
    for (arguments, code) in stories {
        let output = traced(&watchkeeper, &started, arguments).expect(code);
        holds_no_secret(&format!("{arguments:?}"), format!("{}{}", output.stdout, output.stderr).as_bytes());
    }
    let started = fs::read(&started).unwrap();
    let text = String::from_utf8_lossy(&started);
    assert!(text.contains("echo beside"), "no hook was seen: {text}");
    assert!(text.contains("\"env; echo"), "no command was seen: {text}");
    holds_no_secret("the arguments of a program", &started);

    let mut seen = 0;
    for folder in [watchkeeper.state(), watchkeeper.backups_folder()] {
        for file in scratch::files_below(&folder) {
            let path = folder.join(file);
            holds_no_secret(&path.display().to_string(), &fs::read(&path).unwrap());
            seen += 1;
        }
    }
    assert!(seen > 4, "only {seen} files");
    // They were there to be found: a command that has them wrote them where it liked.
    let history = fs::read(watchkeeper.state().join("history.db")).unwrap();
    let log = fs::read(watchkeeper.state().join("history.db-wal")).unwrap_or_default();
    let hidden = [history, log].concat();
    assert!(hidden.windows(10).any(|part| part == b"[redacted]"), "no command has said a secret");
}

/// Whether a crash of this would have left its memory on the disk. It may, as far as its parent is asked.
fn leaves_a_core(mut command: Command, is_up: impl Fn() -> bool) -> bool {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("it runs", Duration::from_mins(1), is_up);
    run(Command::new("kill").args(["-ABRT", &child.id().to_string()]));
    let ended = child.wait().unwrap();
    assert_eq!(ended.signal(), Some(6), "{ended}");
    ended.core_dumped()
}

fn without_limit(program: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -c unlimited && exec \"$@\"", "sh"]);
    shell.arg(program.get_program()).args(program.get_args());
    shell
}

#[test]
fn a_daemon_that_crashes_leaves_its_memory_nowhere_and_its_programs_may() {
    let folder = scratch::folder("core");
    let up = folder.path().join("up");
    let mut other = Command::new("sh");
    other.arg("-c").arg(format!("touch {} && while :; do sleep 0.1; done", up.display()));
    let mut other = without_limit(&other);
    other.current_dir(folder.path());
    if !leaves_a_core(other, || up.exists()) {
        eprintln!("skipped: no program leaves its memory here (/proc/sys/kernel/core_pattern, ulimit -H -c)");
        return;
    }
    let limit = folder.path().join("limit");
    let watchkeeper = Watchkeeper::with_config(&format!(
        "[[job]]\nname = \"limit\"\nkind = \"command\"\nshell = true\nschedule = \"* * * * * *\"\n\
         command = 'ulimit -c unlimited && ulimit -c >{0}.new && mv {0}.new {0}'\n",
        limit.display()
    ));
    let mut daemon = without_limit(&watchkeeper.command(&["run"]));
    daemon.current_dir(folder.path());
    assert!(!leaves_a_core(daemon, || limit.exists()), "the memory of the daemon is on the disk");
    assert_eq!(fs::read_to_string(limit).unwrap().trim(), "unlimited");
}

/// Gives back what it was sent, in its words or in the address that it sends others to.
fn echo(status: &'static str) -> u16 {
    use std::io::{Read as _, Write as _};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 8192];
            let length = stream.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let sent =
                request.lines().find(|line| line.to_lowercase().starts_with("authorization")).unwrap_or("");
            let sent = sent.split_once(": ").map_or("", |(_, sent)| sent);
            let body =
                format!("{{\"status\":\"error\",\"error\":\"you said {sent}\",\"message\":\"{sent}\"}}");
            let place = format!("http://127.0.0.1:1/?{}", sent.replace(' ', ""));
            let answer = format!(
                "HTTP/1.1 {status}\r\nLocation: {place}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    port
}

#[test]
fn a_server_that_gives_back_what_it_was_sent_makes_check_tell_no_secret() {
    for status in ["400 Bad Request", "302 Found"] {
        let url = format!("http://127.0.0.1:{}", echo(status));
        let watchkeeper = Watchkeeper::with_config(&format!(
            "[prometheus.main]\nurl = \"{url}\"\ntoken = {{ env = \"WK_TEST_TOKEN\" }}\n\
             [grafana.main]\nurl = \"{url}\"\nuser = \"admin\"\npassword = {{ env = \"WK_TEST_PASSWORD\" }}\n"
        ));
        let output = watchkeeper.command(&["check", "--online"]).envs(SECRETS).output().unwrap();
        let output = Output::from(output).expect(1);
        let told = format!("{}{}", output.stdout, output.stderr);
        assert!(told.contains("[redacted]"), "{status}: nothing was given back: {told}");
        for (_, secret) in SECRETS {
            assert!(!told.contains(secret), "{status}: {told}");
        }
    }
}
