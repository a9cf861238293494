//! The metrics: what is exposed, over HTTP and in a file, and that a real Prometheus alerts by it.

mod alerts;
mod dashboard;
mod exposed;
mod served;
mod textfile;

use std::fs::{self, File};
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::past::{history, set_back};
use crate::support::watchkeeper::Watchkeeper;
use crate::support::{http, installed, missing, run, scratch, wait_until};

const SOON: Duration = Duration::from_mins(1);

/// `[metrics]` with a server there.
fn listening(port: u16) -> String {
    format!("[metrics]\nlisten = \"127.0.0.1:{port}\"\n")
}

/// A job that backs up its own jobs.toml.
fn backup(watchkeeper: &Watchkeeper, name: &str, keys: &str) -> String {
    let path = watchkeeper.config().display().to_string();
    format!(
        "[[job]]\nname = \"{name}\"\nkind = \"files-backup\"\nkeep = {{ last = 5 }}\npaths = [\"{path}\"]\n{keys}\n"
    )
}

/// A job that ends so.
fn command(name: &str, program: &str, keys: &str) -> String {
    format!("[[job]]\nname = \"{name}\"\nkind = \"command\"\ncommand = [\"{program}\"]\n{keys}\n")
}

/// The daemon, whose log goes to a file.
fn start(watchkeeper: &Watchkeeper) -> Child {
    let log = File::create(watchkeeper.folder().join("daemon.log")).unwrap();
    watchkeeper.command(&["run"]).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

fn log(watchkeeper: &Watchkeeper) -> String {
    fs::read_to_string(watchkeeper.folder().join("daemon.log")).unwrap()
}

fn signal(name: &str, child: &Child) {
    run(Command::new("kill").args([name, &child.id().to_string()]));
}

fn stop(watchkeeper: &Watchkeeper, mut daemon: Child) {
    signal("-TERM", &daemon);
    assert!(daemon.wait().unwrap().success(), "{}", log(watchkeeper));
}

/// The metrics in the classic format; empty where nobody answers.
fn metrics(port: u16) -> String {
    http::get(port, "/metrics").filter(|(status, _)| *status == 200).map(|(_, body)| body).unwrap_or_default()
}

/// The value of a sample that begins so.
fn value(metrics: &str, start: &str) -> Option<f64> {
    let line = metrics.lines().find(|line| line.starts_with(start))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Lets a daemon see its jobs, and ends it.
fn introduce(watchkeeper: &Watchkeeper, jobs: i64) {
    let daemon = start(watchkeeper);
    wait_until("the slots are watched", SOON, || {
        watchkeeper.state().join("history.db").exists()
            && history(watchkeeper)
                .query_row("SELECT count(*) FROM watched", [], |row| row.get::<_, i64>(0))
                .is_ok_and(|count| count == jobs)
    });
    stop(watchkeeper, daemon);
}

fn promtool_is_here() -> bool {
    let here = installed("promtool");
    if !here {
        missing("no promtool");
    }
    here
}

/// What promtool says of metrics: nothing.
fn lint(metrics: &str) -> String {
    let mut command = Command::new("promtool");
    let mut child = command
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    if output.status.success() { said } else { format!("{}: {said}", output.status) }
}

fn free_port() -> u16 {
    scratch::free_port()
}
