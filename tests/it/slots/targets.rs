//! Runs that use the same target: one that waits for its next attempt keeps no other from it.

use std::fs::File;

use super::kept::count;
use super::{SOON, history, stop};
use crate::support::wait_until;
use crate::support::watchkeeper::Watchkeeper;

/// Two jobs of one Grafana that does not answer, with this wait before their second attempt.
fn exports(backoff: &str) -> Watchkeeper {
    let job = |name: &str| {
        format!(
            "[[job]]\nname = \"{name}\"\nkind = \"grafana-export\"\ngrafana = \"g\"\nkeep = {{ last = 1 }}\n\
             schedule = \"* * * * * *\"\nretries = {{ max = 1, backoff = \"{backoff}\" }}\n"
        )
    };
    Watchkeeper::with_config(&format!(
        "[grafana.g]\nurl = \"http://127.0.0.1:1\"\ntoken = {{ env = \"NO_TOKEN\" }}\n{}{}",
        job("a"),
        job("b")
    ))
}

fn spawn(watchkeeper: &Watchkeeper) -> std::process::Child {
    watchkeeper.command(&["run"]).env("NO_TOKEN", "none").spawn().unwrap()
}

fn waiting(watchkeeper: &Watchkeeper) -> i64 {
    if !watchkeeper.state().join("history.db").exists() {
        return 0;
    }
    history(watchkeeper).query_row("SELECT count(*) FROM waiting", [], |row| row.get(0)).unwrap_or(0)
}

#[test]
fn one_that_waits_for_its_next_attempt_keeps_no_other_from_the_target() {
    let watchkeeper = exports("10m");
    let daemon = spawn(&watchkeeper);
    wait_until("both have tried, and wait", SOON, || waiting(&watchkeeper) == 2);
    stop(&watchkeeper, daemon);
}

#[test]
fn the_next_attempt_waits_until_the_target_is_free_and_says_so() {
    let watchkeeper = exports("4s");
    let daemon = spawn(&watchkeeper);
    wait_until("one waits", SOON, || waiting(&watchkeeper) > 0);
    let lock = File::open(watchkeeper.state().join("locks/target-grafana-g.lock")).unwrap();
    lock.lock().unwrap();
    let waits = "SELECT count(*) FROM run WHERE outcome = 'running' \
                 AND reason LIKE '%; attempt 2 of 2 waits for grafana g, which is in use%'";
    wait_until("it waits for the target", SOON, || count(&watchkeeper, waits) > 0);
    let failed = "SELECT count(*) FROM run WHERE outcome = 'failed' AND attempts = 2";
    let before = count(&watchkeeper, failed);
    lock.unlock().unwrap();
    wait_until("the attempt is made", SOON, || count(&watchkeeper, failed) > before);
    stop(&watchkeeper, daemon);
}
