//! What the tests stand on: a real Prometheus on the host or in a container, and the built program.
//!
//! Whatever is started here is removed by `Drop`; what a killed test process left behind is found by its
//! process ID (label `watchkeeper.test`, folder `wk-it-PID`) and swept by the next one and by
//! `scripts/test.sh`.

#![allow(dead_code, reason = "a tool box: not every tool is in use at all times")]

pub(crate) mod alertmanager;
pub(crate) mod application;
pub(crate) mod blocks;
pub(crate) mod database;
pub(crate) mod docker;
pub(crate) mod exporter;
pub(crate) mod grafana;
pub(crate) mod grafana_export;
pub(crate) mod grafana_keeper;
pub(crate) mod http;
pub(crate) mod loss;
pub(crate) mod past;
pub(crate) mod prometheus;
pub(crate) mod proxy;
pub(crate) mod receiver;
pub(crate) mod scratch;
pub(crate) mod smtp;
pub(crate) mod watchkeeper;

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

/// The program under test: the one that was built with these tests, or that of `WATCHKEEPER_PROGRAM`, which is the release
/// build where figures are taken.
pub(crate) fn program() -> &'static str {
    static PROGRAM: LazyLock<String> = LazyLock::new(|| {
        std::env::var("WATCHKEEPER_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_watchkeeper").to_owned())
    });
    &PROGRAM
}

/// Polls a foreign process, which has no event to wait for, and fails when the limit has passed.
pub(crate) fn wait_until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Runs a program to its end and gives its output; a failure of it is a failure of the test.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}: {stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Tells that something is not here, once: a failure under `CI=true`, a skipped test elsewhere.
pub(crate) fn missing(what: &str) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{what}: required under CI=true");
    if TOLD.lock().unwrap().insert(what.to_owned()) {
        eprintln!("skipped: {what} (scripts/setup.sh installs and starts what the tests need)");
    }
}

/// Is this program installed?
pub(crate) fn installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success())
}
