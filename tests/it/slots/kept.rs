//! What waits is not lost, and what cannot be written is written later: reloads, kills, and a history that fails.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Child;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::{HOUR, SOON, fates, history, introduce, job, runs, set_back, signal, stop, watched};
use crate::support::wait_until;
use crate::support::watchkeeper::Watchkeeper;

fn sleeps(name: &str, schedule: &str, seconds: &str, rest: &str) -> String {
    job(name, schedule, rest).replace("[\"true\"]", &format!("[\"sleep\", \"{seconds}\"]"))
}

pub(super) fn count(watchkeeper: &Watchkeeper, sql: &str) -> i64 {
    history(watchkeeper).query_row(sql, [], |row| row.get(0)).unwrap()
}

/// The first and last slot, and why, of all stretches that are noted as missed.
fn missed(watchkeeper: &Watchkeeper) -> Vec<(i64, i64, String)> {
    let history = history(watchkeeper);
    let mut statement = history.prepare("SELECT first, last, reason FROM missed ORDER BY first").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    rows.unwrap().collect::<Result<Vec<_>, _>>().unwrap()
}

/// Has the file say something else in place of `from`, and the daemon read it.
pub(super) fn reload(watchkeeper: &Watchkeeper, daemon: &Child, from: &str, to: &str) {
    let text = fs::read_to_string(watchkeeper.config()).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(watchkeeper.config(), text.replace(from, to)).unwrap();
    signal("-HUP", daemon);
}

pub(super) fn kill(mut daemon: Child) {
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}

/// Makes writes of this kind fail.
pub(super) fn break_writes(watchkeeper: &Watchkeeper, what: &str) {
    let sql = format!("CREATE TRIGGER broken BEFORE {what} BEGIN INSERT INTO nowhere VALUES (1); END");
    history(watchkeeper).execute_batch(&sql).unwrap();
}

pub(super) fn mend_writes(watchkeeper: &Watchkeeper) {
    history(watchkeeper).execute_batch("DROP TRIGGER broken").unwrap();
}

/// Starts the daemon and waits until it is ready.
pub(super) fn ready(watchkeeper: &Watchkeeper) -> Child {
    let socket = watchkeeper.folder().join("ready");
    let _ = fs::remove_file(&socket);
    let listener = UnixDatagram::bind(&socket).unwrap();
    listener.set_read_timeout(Some(SOON)).unwrap();
    let daemon = watchkeeper.command(&["run"]).env("NOTIFY_SOCKET", &socket).spawn().unwrap();
    let mut buffer = [0; 512];
    let length = listener.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"READY=1");
    daemon
}

/// Starts the daemon while another process writes, so that it is held up before it is ready.
fn held_up(watchkeeper: &Watchkeeper) -> (Child, Connection) {
    let connection = history(watchkeeper);
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    let lock = watchkeeper.state().join("locks/daemon.lock");
    fs::remove_file(&lock).unwrap();
    let daemon = watchkeeper.spawn(&["run"]);
    wait_until("the daemon has its lock", SOON, || lock.exists());
    (daemon, connection)
}

#[test]
fn what_waits_of_a_job_that_is_taken_away_is_noted_with_why() {
    let watchkeeper = Watchkeeper::with_config(&format!(
        "{}{}",
        sleeps("late", "* * * * * *", "0", "jitter = \"10h\""),
        job("stays", "@yearly", "")
    ));
    let daemon = watchkeeper.spawn(&["run"]);
    wait_until("slots have come, and one waits", SOON, || !runs(&watchkeeper, "late").is_empty());
    reload(&watchkeeper, &daemon, "name = \"late\"", "name = \"late\"\nenabled = false");
    wait_until("what waited is noted", SOON, || {
        missed(&watchkeeper)
            .iter()
            .any(|missed| missed.2.contains("taken out of the configuration, or disabled"))
    });
    let first = count(&watchkeeper, "SELECT min(slot) FROM run");
    assert!(missed(&watchkeeper)[0].0 < first);
    // When it comes back, it has missed nothing, and runs.
    reload(&watchkeeper, &daemon, "enabled = false\n", "");
    let skipped = || runs(&watchkeeper, "late").len();
    let before = skipped();
    wait_until("it goes on", SOON, || skipped() > before + 1);
    kill(daemon);
    assert_eq!(missed(&watchkeeper).len(), 1);
}

#[test]
fn what_waits_when_the_schedule_is_changed_is_not_lost_and_the_new_one_has_no_slots_before_it() {
    let watchkeeper = Watchkeeper::with_config(&job("late", "* * * * * *", "jitter = \"10h\""));
    let daemon = watchkeeper.spawn(&["run"]);
    wait_until("slots have come, and one waits", SOON, || !runs(&watchkeeper, "late").is_empty());
    let first = count(&watchkeeper, "SELECT min(slot) FROM run");
    reload(&watchkeeper, &daemon, "* * * * * *", "@every 1h");
    let schedules = || count(&watchkeeper, "SELECT count(*) FROM watched");
    wait_until("both schedules are watched", SOON, || schedules() == 2);
    kill(daemon);
    // As if that had been long ago: the new schedule is asked about the time since its birth and no other.
    let old = "UPDATE watched SET born = born - 3 * 3600000 WHERE schedule = '* * * * * *'";
    history(&watchkeeper).execute_batch(old).unwrap();
    let text =
        fs::read_to_string(watchkeeper.config()).unwrap().replace("jitter = \"10h\"", "on_missed = \"all\"");
    fs::write(watchkeeper.config(), text).unwrap();
    let daemon = watchkeeper.spawn(&["run"]);
    wait_until("the old slots are settled", SOON, || schedules() == 1);
    stop(&watchkeeper, daemon);
    let made_up = "SELECT count(*) FROM run WHERE cause = 'catch-up' AND outcome = 'done' AND slot ";
    assert_eq!(
        count(&watchkeeper, &format!("{made_up} = {first} - 1000")),
        1,
        "{:?}",
        runs(&watchkeeper, "late")
    );
    assert_eq!(count(&watchkeeper, &format!("{made_up} < {first} - 1000")), 0);
}

#[test]
fn a_history_that_fails_at_the_start_is_asked_again_and_nothing_is_lost_meanwhile() {
    let watchkeeper = Watchkeeper::with_config(&job("all", "@every 2h", "on_missed = \"all\""));
    introduce(&watchkeeper, 1);
    set_back(&watchkeeper, 10);
    break_writes(&watchkeeper, "INSERT ON watched");
    let daemon = ready(&watchkeeper);
    assert_eq!(runs(&watchkeeper, "all"), []);
    mend_writes(&watchkeeper);
    let made_up = vec![("catch-up".to_owned(), "done".to_owned()); 5];
    wait_until("what was missed is made up for", SOON, || runs(&watchkeeper, "all") == made_up);
    stop(&watchkeeper, daemon);
}

#[test]
fn a_run_that_the_history_could_not_be_told_of_is_written_later_and_not_run_again() {
    let watchkeeper = Watchkeeper::with_config("");
    let ran = watchkeeper.folder().join("ran");
    let text = job("tick", "* * * * * *", "on_missed = \"all\"")
        .replace("[\"true\"]", &format!("[\"sh\", \"-c\", \"echo $WATCHKEEPER_RUN >> {}\"]", ran.display()));
    let config = fs::read_to_string(watchkeeper.config()).unwrap() + &text;
    fs::write(watchkeeper.config(), config).unwrap();
    let lines = || fs::read_to_string(&ran).unwrap_or_default().lines().count();
    introduce(&watchkeeper, 1);
    break_writes(&watchkeeper, "INSERT ON run");
    let before = lines();
    let daemon = watchkeeper.spawn(&["run"]);
    wait_until("it runs all the same", SOON, || lines() > before + 2);
    mend_writes(&watchkeeper);
    let unknown = || {
        let known = history(&watchkeeper);
        let text = fs::read_to_string(&ran).unwrap();
        let is_known = |run: &&str| {
            known.query_row("SELECT count(*) FROM run WHERE id = ?1", [run], |row| row.get::<_, i64>(0))
                == Ok(1)
        };
        text.lines().rev().skip(1).filter(|run| !is_known(run)).count()
    };
    wait_until("all are in the history", SOON, || unknown() == 0);
    kill(daemon);
    let daemon = ready(&watchkeeper);
    stop(&watchkeeper, daemon);
    let all = count(&watchkeeper, "SELECT max(slot) - min(slot) FROM run") / 1000 + 1;
    assert_eq!(count(&watchkeeper, "SELECT count(*) FROM run") + missed_count(&watchkeeper), all);
}

fn missed_count(watchkeeper: &Watchkeeper) -> i64 {
    count(watchkeeper, "SELECT coalesce(sum(count), 0) FROM missed")
}

#[test]
fn a_daemon_that_is_still_starting_hears_its_signals() {
    let watchkeeper =
        Watchkeeper::with_config(&format!("{}{}", job("a", "@yearly", ""), job("b", "@yearly", "")));
    introduce(&watchkeeper, 2);
    let (daemon, connection) = held_up(&watchkeeper);
    signal("-HUP", &daemon);
    connection.execute_batch("ROLLBACK").unwrap();
    stop(&watchkeeper, daemon);

    let (daemon, connection) = held_up(&watchkeeper);
    let since = Instant::now();
    stop(&watchkeeper, daemon);
    // One statement waits its time, and no other after it.
    assert!(since.elapsed() < Duration::from_secs(17), "{:?}", since.elapsed());
    drop(connection);
}

#[test]
fn no_more_runs_than_allowed_run_at_a_time_however_often_the_configuration_is_read() {
    let watchkeeper = Watchkeeper::with_config("max_concurrent = 1");
    let jobs: String =
        (0..4).map(|index| sleeps(&format!("job-{index}"), "* * * * * *", "1.5", "")).collect();
    let config = fs::read_to_string(watchkeeper.config()).unwrap() + "\n" + &jobs;
    fs::write(watchkeeper.config(), config).unwrap();
    let daemon = watchkeeper.spawn(&["run"]);
    let done = || count(&watchkeeper, "SELECT count(*) FROM run WHERE outcome = 'done'");
    wait_until("the slots are watched", SOON, || watched(&watchkeeper) > 0);
    for runs in 1..5 {
        wait_until("another has run", SOON, || done() >= runs);
        signal("-HUP", &daemon);
    }
    wait_until("some more have run", SOON, || done() >= 6);
    stop(&watchkeeper, daemon);
    let both = "SELECT count(*) FROM run a JOIN run b ON a.id < b.id AND a.outcome = 'done' AND b.outcome = 'done' \
                WHERE a.started < b.finished AND b.started < a.finished";
    assert_eq!(count(&watchkeeper, both), 0);
}

#[test]
fn a_run_that_waits_for_a_lock_keeps_no_other_from_running() {
    let watchkeeper = Watchkeeper::with_config("max_concurrent = 1");
    let jobs =
        sleeps("held", "* * * * * *", "100", "on_overlap = \"queue\"") + &job("free", "* * * * * *", "");
    let config = fs::read_to_string(watchkeeper.config()).unwrap() + "\n" + &jobs;
    fs::write(watchkeeper.config(), config).unwrap();
    let person = watchkeeper.spawn(&["run-now", "held"]);
    let manual = ("manual".to_owned(), "running".to_owned());
    wait_until("a person runs it", SOON, || {
        watchkeeper.state().join("history.db").exists() && runs(&watchkeeper, "held").contains(&manual)
    });
    let daemon = watchkeeper.spawn(&["run"]);
    let waits = "SELECT count(*) FROM run WHERE reason LIKE '%has not begun: it waits for job held, which is still running%'";
    wait_until("one waits for it", SOON, || count(&watchkeeper, waits) > 0);
    let done = || count(&watchkeeper, "SELECT count(*) FROM run WHERE job = 'free' AND outcome = 'done'");
    let before = done();
    wait_until("the other runs meanwhile", SOON, || done() > before + 1);
    assert!(runs(&watchkeeper, "held").contains(&manual));
    signal("-TERM", &daemon);
    watchkeeper.wait(daemon, &["run"]).expect(0);
    kill(person);
}

#[test]
fn a_pause_holds_for_what_waits_already() {
    let watchkeeper = Watchkeeper::with_config(&sleeps("tick", "* * * * * *", "3", "on_overlap = \"queue\""));
    let daemon = watchkeeper.spawn(&["run"]);
    wait_until("the slots are watched", SOON, || watched(&watchkeeper) > 0);
    let waits = "SELECT count(*) FROM run WHERE reason LIKE '%and another waits'";
    wait_until("one waits", SOON, || count(&watchkeeper, waits) > 0);
    watchkeeper.run(&["pause", "tick"]).expect(0);
    let paused = count(&watchkeeper, "SELECT since FROM paused");
    wait_until("what ran has ended", SOON, || {
        count(&watchkeeper, "SELECT count(*) FROM run WHERE outcome = 'running'") == 0
            && count(&watchkeeper, "SELECT count(*) FROM missed") > 0
    });
    stop(&watchkeeper, daemon);
    let began = format!("SELECT count(*) FROM run WHERE outcome = 'done' AND started > {paused}");
    assert_eq!(count(&watchkeeper, &began), 0, "{:?}", runs(&watchkeeper, "tick"));
    let all = "SELECT (max(last) - (SELECT min(slot) FROM run)) / 1000 + 1 FROM missed";
    let known = count(&watchkeeper, "SELECT count(*) FROM run") + missed_count(&watchkeeper);
    assert_eq!(count(&watchkeeper, all), known, "every slot has a fate");
}

#[test]
fn a_job_that_never_ran_is_overdue_when_its_slots_went_by_and_its_jitter_is_over() {
    let watchkeeper = Watchkeeper::with_config(&format!(
        "{}{}",
        job("never", "@every 2h", "on_missed = \"skip\""),
        job("later", "@every 2h", "jitter = \"20000h\"")
    ));
    introduce(&watchkeeper, 2);
    assert!(!watchkeeper.run(&["status"]).expect(0).stdout.contains("overdue"));
    set_back(&watchkeeper, 10);
    let status = watchkeeper.run_json(&["status"]).expect(1).json();
    let overdue =
        |index: usize| (status["jobs"][index]["job"].clone(), status["jobs"][index]["overdue"].is_object());
    assert_eq!(overdue(0), ("never".into(), true));
    assert_eq!(overdue(1), ("later".into(), false));
    watchkeeper.run(&["pause", "later", "--reason", "the disk is full"]).expect(0);
    let text = watchkeeper.run(&["next", "later"]).expect(0).stdout;
    assert!(text.contains("PAUSED    paused since ") && text.contains("the disk is full"), "{text}");
    assert!(text.contains("jitter    a run begins up to "), "{text}");
    assert!(watchkeeper.run(&["next"]).expect(0).stdout.contains("PAUSED"));
}

#[test]
fn what_a_pause_noted_is_not_looked_at_again() {
    let watchkeeper = Watchkeeper::with_config(&job("all", "@every 1h", "on_missed = \"all\""));
    introduce(&watchkeeper, 1);
    set_back(&watchkeeper, 5);
    let noted = "INSERT INTO missed SELECT 'all', until, until + 3 * ?1, 3, 'paused', 0 FROM watched";
    history(&watchkeeper).execute(noted, [HOUR]).unwrap();
    let daemon = watchkeeper.spawn(&["run"]);
    let made_up = || runs(&watchkeeper, "all").len();
    wait_until("the others are made up for", SOON, || made_up() >= 2);
    stop(&watchkeeper, daemon);
    assert_eq!((made_up(), fates(&watchkeeper, "all").len()), (2, 3));
}
