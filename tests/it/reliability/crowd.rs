//! Many at once: jobs that are due in the same second, and people who run the same job beside the daemon.

use std::fmt::Write as _;
use std::fs;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{SOON, ask, count, figure, in_full, percentile, start, stop};
use crate::support::wait_until;
use crate::support::watchkeeper::Watchkeeper;

/// As many jobs, all due at this second.
fn due_at(at: Timestamp, jobs: usize) -> String {
    let time = TimeZone::UTC.to_datetime(at);
    let schedule = format!("{} {} {} * * *", time.second(), time.minute(), time.hour());
    let mut text = "timezone = \"UTC\"\nmax_concurrent = 16\n".to_owned();
    for number in 0..jobs {
        writeln!(
            text,
            "[[job]]\nname = \"job-{number}\"\nkind = \"command\"\ncommand = [\"true\"]\nschedule = \"{schedule}\""
        )
        .unwrap();
    }
    text
}

#[test]
fn of_many_jobs_that_are_due_in_the_same_second_none_is_lost() {
    let jobs = if in_full() { 1_000 } else { 200 };
    let at = Timestamp::now() + SignedDuration::from_secs(20);
    let watchkeeper = Watchkeeper::with_config(&due_at(at, jobs));
    let daemon = start(&watchkeeper, watchkeeper.command(&["run"]));
    let done = "SELECT count(*) FROM run WHERE cause = 'scheduled' AND outcome = 'done'";
    let all = i64::try_from(jobs).unwrap();
    wait_until("all have run", SOON, || count(&watchkeeper, done) == all);
    let took = Timestamp::now().duration_since(at);
    stop(&watchkeeper, daemon);
    assert_eq!(count(&watchkeeper, "SELECT count(DISTINCT job) FROM run"), all);
    assert_eq!(count(&watchkeeper, "SELECT count(*) FROM run"), all);
    let mut late = ask(&watchkeeper, "SELECT started - slot FROM run", [], |row| row.get(0));
    late.sort_unstable();
    assert!(late[0] >= 0, "{late:?}: one ran before it was due");
    figure(
        &format!("{jobs} jobs due in one second, 16 at a time: late by"),
        &format!(
            "p50 {} ms, p99 {} ms, at most {} ms; all {jobs} ran, the last was done and on the disk after {:.1} s",
            percentile(&late, 50),
            percentile(&late, 99),
            late[late.len() - 1],
            took.as_secs_f64()
        ),
    );
}

#[test]
fn of_many_who_run_the_same_job_beside_the_daemon_one_does_at_a_time() {
    const PEOPLE: usize = 50;
    let watchkeeper = Watchkeeper::with_config("");
    let alone = watchkeeper.folder().join("alone");
    // It fails where another one runs.
    let script = format!("mkdir {0} && echo x >> {0}.count && sleep 0.05 && rmdir {0}", alone.display());
    watchkeeper.configure(&format!(
        "[[job]]\nname = \"alone\"\nkind = \"command\"\ncommand = [\"sh\", \"-c\", \"{script}\"]\n\
         schedule = \"* * * * * *\"\n"
    ));
    let daemon = start(&watchkeeper, watchkeeper.command(&["run"]));
    wait_until("the daemon runs it", SOON, || alone.with_extension("count").exists());
    let people: Vec<_> = (0..PEOPLE).map(|_| watchkeeper.spawn(&["run-now", "alone"])).collect();
    let ended = |person| watchkeeper.wait(person, &["run-now", "alone"]).code;
    let codes: Vec<i32> = people.into_iter().map(ended).collect();
    stop(&watchkeeper, daemon);
    let of = |code| codes.iter().filter(|found| **found == code).count();
    assert_eq!(of(0) + of(75), PEOPLE, "{codes:?}: one ran beside another");
    let outcomes = "SELECT count(*) FROM run WHERE outcome IN ('failed', 'running', 'interrupted')";
    assert_eq!(count(&watchkeeper, outcomes), 0);
    let times = fs::read_to_string(alone.with_extension("count")).unwrap().lines().count();
    let done = count(&watchkeeper, "SELECT count(*) FROM run WHERE outcome = 'done'");
    assert_eq!(i64::try_from(times).unwrap(), done);
    figure(
        &format!("{PEOPLE} `run-now` of one job beside a daemon that runs it each second"),
        &format!("{} ran, {} were told who runs it (75); never two at a time", of(0), of(75)),
    );
}
