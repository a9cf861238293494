//! A job that runs often: the history keeps so many of its runs, and no run waits for what is forgotten.

use super::kept::count;
use super::{SOON, history, job, stop};
use crate::support::wait_until;
use crate::support::watchkeeper::Watchkeeper;

/// As if it had run each second for so many seconds until an hour ago.
fn ran_each_second(watchkeeper: &Watchkeeper, round: u32, seconds: u32) {
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
               INSERT INTO run (id, job, kind, cause, started, finished, outcome, attempts) \
               SELECT printf('01K%07d%016d', ?2, ?1 - i), 'often', 'command', 'manual', at, at, 'done', 1 \
               FROM (SELECT i, (unixepoch() - 3600 - i) * 1000 AS at FROM n) ORDER BY at";
    history(watchkeeper).execute(sql, [seconds, round]).unwrap();
    history(watchkeeper).execute("DELETE FROM chore", []).unwrap();
}

fn runs(watchkeeper: &Watchkeeper) -> i64 {
    count(watchkeeper, "SELECT count(*) FROM run WHERE job = 'often'")
}

#[test]
fn the_history_of_a_job_is_bounded_by_count_in_the_daemon_and_by_hand() {
    let watchkeeper = Watchkeeper::with_config("");
    watchkeeper.configure(&format!("history_runs = 250\n{}", job("often", "* * * * * *", "")));
    watchkeeper.run(&["run-now", "often"]).expect(0);
    ran_each_second(&watchkeeper, 1, 10_000);
    // It takes its time, which a run by hand gives it in part.
    wait_until("it is forgotten", SOON, || {
        watchkeeper.run(&["run-now", "often"]).expect(0);
        runs(&watchkeeper) == 250
    });
    let listed = watchkeeper.run_json(&["history", "often", "-n", "2"]).expect(0).json();
    assert_eq!(listed["runs"][1]["outcome"], "done", "{listed}");

    ran_each_second(&watchkeeper, 2, 10_000);
    let daemon = watchkeeper.spawn(&["run"]);
    // Its own runs come on top until the next hour.
    wait_until("it is forgotten", SOON * 2, || runs(&watchkeeper) < 500);
    let before = runs(&watchkeeper);
    wait_until("it runs on", SOON, || runs(&watchkeeper) > before);
    stop(&watchkeeper, daemon);
}
