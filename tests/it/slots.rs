//! No slot is lost silently: what the daemon makes of slots that it could not run when they were due.

mod accounts;
mod forgotten;
mod kept;
mod retries;
mod targets;
mod told;
mod trouble;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command};
use std::time::Duration;

use rusqlite::Connection;

use crate::support::watchkeeper::Watchkeeper;
use crate::support::{run, wait_until};

const SOON: Duration = Duration::from_mins(1);
const HOUR: i64 = 3_600_000;

fn job(name: &str, schedule: &str, rest: &str) -> String {
    format!(
        "[[job]]\nname = \"{name}\"\nkind = \"command\"\ncommand = [\"true\"]\nschedule = \"{schedule}\"\n{rest}\n"
    )
}

fn signal(name: &str, child: &Child) {
    run(Command::new("kill").args([name, &child.id().to_string()]));
}

fn stop(watchkeeper: &Watchkeeper, daemon: Child) {
    signal("-TERM", &daemon);
    watchkeeper.wait(daemon, &["run"]).expect(0);
}

/// The runs of a job, by cause and outcome.
fn runs(watchkeeper: &Watchkeeper, job: &str) -> Vec<(String, String)> {
    let history = watchkeeper.run_json(&["history", job]).expect(0).json();
    let word = |run: &serde_json::Value, key: &str| run[key].as_str().unwrap_or("running").to_owned();
    history["runs"].as_array().unwrap().iter().map(|run| (word(run, "cause"), word(run, "outcome"))).collect()
}

fn history(watchkeeper: &Watchkeeper) -> Connection {
    let history = Connection::open(watchkeeper.state().join("history.db")).unwrap();
    history.busy_timeout(SOON).unwrap();
    history
}

fn watched(watchkeeper: &Watchkeeper) -> i64 {
    if !watchkeeper.state().join("history.db").exists() {
        return 0;
    }
    history(watchkeeper).query_row("SELECT count(*) FROM watched", [], |row| row.get(0)).unwrap_or(0)
}

/// Lets the daemon see its jobs, and ends it.
fn introduce(watchkeeper: &Watchkeeper, jobs: i64) {
    let daemon = watchkeeper.spawn(&["run"]);
    wait_until("the slots are watched", SOON, || watched(watchkeeper) == jobs);
    stop(watchkeeper, daemon);
}

/// As if the daemon had been ended some hours earlier.
fn set_back(watchkeeper: &Watchkeeper, hours: i64) {
    let changed = history(watchkeeper)
        .execute("UPDATE watched SET born = born - ?1, until = until - ?1", [hours * HOUR]);
    assert!(changed.unwrap() > 0);
    let alive = watchkeeper.state().join("daemon-alive");
    let time: i64 = fs::read_to_string(&alive).unwrap().trim().parse().unwrap();
    fs::write(alive, format!("{:>20}\n", time - hours * HOUR)).unwrap();
}

/// The fates of the slots of a job: what became of how many.
fn fates(watchkeeper: &Watchkeeper, job: &str) -> Vec<(String, u64)> {
    let explained = watchkeeper.run_json(&["explain", job]).expect(0).json();
    let slots = explained["slots"].as_array().unwrap().iter();
    slots.map(|slot| (slot["fate"].as_str().unwrap().to_owned(), slot["count"].as_u64().unwrap())).collect()
}

#[test]
fn what_was_missed_while_no_daemon_ran_is_made_up_for_as_the_job_says_and_the_rest_is_noted() {
    let watchkeeper = Watchkeeper::with_config(&format!(
        "{}{}{}{}",
        job("once", "@every 2h", ""),
        job("all", "@every 2h", "on_missed = \"all\""),
        job("skip", "@every 2h", "on_missed = \"skip\""),
        job("young", "@every 2h", "on_missed = \"all\"\nmax_age = \"5h\""),
    ));
    introduce(&watchkeeper, 4);
    // A history that is new knows of nothing before its birth.
    for job in ["once", "all", "skip", "young"] {
        assert_eq!(runs(&watchkeeper, job), [], "{job}");
    }
    set_back(&watchkeeper, 10);
    let daemon = watchkeeper.spawn(&["run"]);
    let done = |job: &str| runs(&watchkeeper, job).iter().filter(|run| run.1 == "done").count();
    wait_until("what was missed is made up for", SOON, || {
        done("once") == 1 && done("all") == 5 && done("young") >= 2
    });
    stop(&watchkeeper, daemon);
    let made_up = |count: usize| vec![("catch-up".to_owned(), "done".to_owned()); count];
    assert_eq!((runs(&watchkeeper, "once"), runs(&watchkeeper, "all")), (made_up(1), made_up(5)));
    let fate = |fate: &str, count: u64| (fate.to_owned(), count);
    assert_eq!(fates(&watchkeeper, "once"), [fate("caught up", 1), fate("missed", 4)]);
    assert_eq!(fates(&watchkeeper, "skip"), [fate("missed", 5)]);
    let young: u64 = fates(&watchkeeper, "young").iter().map(|fate| fate.1).sum();
    assert_eq!(young, 5, "{:?}", fates(&watchkeeper, "young"));
    assert!(runs(&watchkeeper, "young").len() <= 3, "{:?}", runs(&watchkeeper, "young"));
    let text = watchkeeper.run(&["explain", "skip"]).expect(0).stdout;
    assert!(text.contains("5 from ") && text.contains("no daemon ran them between "), "{text}");

    // Nothing is made up for twice.
    let daemon = watchkeeper.spawn(&["run"]);
    let since = |name: &str| {
        let sql = "SELECT until FROM watched WHERE job = ?1";
        history(&watchkeeper).query_row(sql, [name], |row| row.get::<_, i64>(0)).unwrap()
    };
    let before = since("once");
    wait_until("the daemon has looked again", SOON, || since("once") > before);
    stop(&watchkeeper, daemon);
    assert_eq!((runs(&watchkeeper, "once"), runs(&watchkeeper, "all")), (made_up(1), made_up(5)));
}

#[test]
fn a_daemon_killed_before_a_slot_that_waits_has_begun_makes_up_for_it() {
    let watchkeeper = Watchkeeper::with_config(&job("late", "* * * * * *", "jitter = \"10h\""));
    let mut daemon = watchkeeper.spawn(&["run"]);
    wait_until("slots have come, and wait", SOON, || !runs(&watchkeeper, "late").is_empty());
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    // The first waits for its jitter; those after it were skipped.
    assert!(runs(&watchkeeper, "late").iter().all(|run| run.1 == "skipped"));
    let text = watchkeeper.run(&["explain", "late"]).expect(0).stdout;
    assert!(text.contains("has not begun: it waits for its jitter of "), "{text}");
    let text = fs::read_to_string(watchkeeper.config()).unwrap().replace("jitter = \"10h\"", "");
    fs::write(watchkeeper.config(), text).unwrap();
    let daemon = watchkeeper.spawn(&["run"]);
    let made_up = ("catch-up".to_owned(), "done".to_owned());
    wait_until("it is made up for", SOON, || runs(&watchkeeper, "late").contains(&made_up));
    stop(&watchkeeper, daemon);
}

#[test]
fn a_slot_that_comes_while_the_job_runs_is_skipped_or_waits_as_the_job_says() {
    let sleeps =
        |name: &str, rest: &str| job(name, "* * * * * *", rest).replace("[\"true\"]", "[\"sleep\", \"2.5\"]");
    let watchkeeper = Watchkeeper::with_config(&format!(
        "{}{}",
        sleeps("skips", ""),
        sleeps("queues", "on_overlap = \"queue\"")
    ));
    let daemon = watchkeeper.spawn(&["run"]);
    let done = |job: &str| runs(&watchkeeper, job).iter().filter(|run| run.1 == "done").count();
    wait_until("both have run twice", SOON, || done("skips") >= 2 && done("queues") >= 2);
    stop(&watchkeeper, daemon);
    let slots = |job: &str| {
        let history = history(&watchkeeper);
        let mut statement = history
            .prepare(
                "SELECT slot, started, outcome, coalesce(reason, '') FROM run WHERE job = ?1 ORDER BY slot",
            )
            .unwrap();
        let rows = statement.query_map([job], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, String>(2)?,
                row.get::<_, String>(3)?,
            ))
        });
        rows.unwrap().collect::<Result<Vec<_>, _>>().unwrap()
    };
    for job in ["skips", "queues"] {
        let slots = slots(job);
        for pair in slots.windows(2) {
            assert_eq!(pair[1].0 - pair[0].0, 1000, "a slot of {job} is lost: {slots:?}");
        }
        let skipped = slots.iter().find(|slot| slot.2 == "skipped").unwrap();
        assert!(skipped.3.contains("has not ended"), "{skipped:?}");
        // A run that waited for the one before begins later than its slot.
        let waited = slots.iter().any(|slot| slot.2 != "skipped" && slot.1 - slot.0 > 1_400);
        assert_eq!(waited, job == "queues", "{slots:?}");
    }
}

#[test]
fn a_paused_job_does_not_run_and_its_slots_are_noted_until_it_is_resumed() {
    let watchkeeper = Watchkeeper::with_config(&job("tick", "* * * * * *", ""));
    let text = watchkeeper.run(&["pause", "tick", "--reason", "the disk is changed"]).expect(0).stdout;
    assert!(text.contains("is paused, since "), "{text}");
    assert!(watchkeeper.run(&["pause", "tick"]).expect(0).stdout.contains("was paused already"));
    let daemon = watchkeeper.spawn(&["run"]);
    let missed = || fates(&watchkeeper, "tick").iter().map(|fate| fate.1).sum::<u64>();
    wait_until("three slots went by", SOON, || missed() >= 3);
    assert_eq!(runs(&watchkeeper, "tick"), []);
    assert_eq!(fates(&watchkeeper, "tick").len(), 1, "one pause is one stretch");
    let text = watchkeeper.run(&["explain", "tick"]).expect(0).stdout;
    assert!(text.contains("PAUSED") && text.contains("the disk is changed"), "{text}");
    assert!(watchkeeper.run(&["status"]).expect(0).stdout.contains("PAUSED"));
    // A pause survives the daemon, and nothing is made up for.
    stop(&watchkeeper, daemon);
    let daemon = watchkeeper.spawn(&["run"]);
    let before = missed();
    wait_until("two more went by", SOON, || missed() >= before + 2);
    assert_eq!(runs(&watchkeeper, "tick"), []);
    assert!(watchkeeper.run(&["resume", "tick"]).expect(0).stdout.contains("goes on: next "));
    wait_until("it runs again", SOON, || runs(&watchkeeper, "tick").iter().any(|run| run.1 == "done"));
    stop(&watchkeeper, daemon);
    assert!(runs(&watchkeeper, "tick").iter().all(|run| run.0 == "scheduled"));
}

#[test]
fn a_job_runs_after_others_when_all_of_them_have_ended_well_and_says_why_it_did_not() {
    let by_hand = |name: &str, program: &str| {
        format!("[[job]]\nname = \"{name}\"\nkind = \"command\"\ncommand = [\"{program}\"]\n")
    };
    let watchkeeper = Watchkeeper::with_config(&format!(
        "{}{}{}after = [\"first\", \"second\"]\n{}after = [\"bad\"]\n{}after = [\"bad\"]\nafter_outcome = \"always\"\n{}",
        by_hand("first", "true"),
        by_hand("second", "true"),
        by_hand("both", "true"),
        by_hand("well", "true"),
        by_hand("anyway", "true"),
        by_hand("bad", "false"),
    ));
    // What ended before the daemon ever saw the job is nothing to it.
    watchkeeper.run(&["run-now", "second"]).expect(0);
    introduce(&watchkeeper, 3);
    watchkeeper.run(&["run-now", "first"]).expect(0);
    watchkeeper.run(&["run-now", "bad"]).expect(1);
    let daemon = watchkeeper.spawn(&["run"]);
    let after = |outcome: &str| ("after".to_owned(), outcome.to_owned());
    wait_until("what waited for the bad one is decided", SOON, || {
        runs(&watchkeeper, "anyway") == [after("done")] && runs(&watchkeeper, "well") == [after("skipped")]
    });
    assert_eq!(runs(&watchkeeper, "both"), [], "the second has not run since");
    watchkeeper.run(&["run-now", "second"]).expect(0);
    wait_until("both have ended", SOON, || runs(&watchkeeper, "both") == [after("done")]);
    stop(&watchkeeper, daemon);
    let text = watchkeeper.run(&["explain", "well"]).expect(0).stdout;
    assert!(text.contains("the run of bad that it runs after was failed"), "{text}");
    assert!(watchkeeper.run(&["next", "both"]).expect(0).stdout.contains("after first and second"));
}

#[test]
fn the_configuration_is_read_anew_at_sighup_and_a_bad_one_changes_nothing() {
    let watchkeeper = Watchkeeper::with_config(&job("first", "* * * * * *", ""));
    let daemon = watchkeeper.spawn(&["run"]);
    // No command reads a bad configuration: the database is asked.
    let done = |job: &str| {
        let sql = "SELECT count(*) FROM run WHERE job = ?1 AND outcome = 'done'";
        history(&watchkeeper).query_row(sql, [job], |row| row.get::<_, i64>(0)).unwrap_or(0)
    };
    wait_until("the first job runs", SOON, || done("first") > 0);
    let text = fs::read_to_string(watchkeeper.config()).unwrap();
    fs::write(watchkeeper.config(), format!("{text}\nnonsense = 1\n")).unwrap();
    signal("-HUP", &daemon);
    let before = done("first");
    wait_until("the first job goes on", SOON, || done("first") > before + 1);
    fs::write(watchkeeper.config(), text.replace("\"first\"", "\"second\"")).unwrap();
    signal("-HUP", &daemon);
    wait_until("the second job runs", SOON, || done("second") > 1);
    signal("-TERM", &daemon);
    let output = watchkeeper.wait(daemon, &["run"]).expect(0);
    assert!(
        output.stderr.contains("was not read anew") && output.stderr.contains("nonsense"),
        "{}",
        output.stderr
    );
}

#[test]
fn systemd_is_told_when_the_daemon_is_ready_what_comes_next_and_that_it_lives() {
    let watchkeeper = Watchkeeper::with_config(&job("yearly", "@yearly", "timezone = \"UTC\""));
    let socket = watchkeeper.folder().join("notify");
    let listener = UnixDatagram::bind(&socket).unwrap();
    listener.set_read_timeout(Some(SOON)).unwrap();
    let mut command = watchkeeper.command(&["run"]);
    let daemon = command.env("NOTIFY_SOCKET", &socket).spawn().unwrap();
    let word = || {
        let mut buffer = [0; 512];
        let length = listener.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    assert_eq!(word(), "READY=1");
    let status = word();
    assert!(status.starts_with("STATUS=next: yearly at ") && status.contains("-01-01 "), "{status}");
    assert_eq!((word(), word()), ("WATCHDOG=1".to_owned(), "WATCHDOG=1".to_owned()));
    signal("-TERM", &daemon);
    let mut last = word();
    while last == "WATCHDOG=1" {
        last = word();
    }
    assert_eq!(last, "STOPPING=1");
    watchkeeper.wait(daemon, &["run"]).expect(0);
}
