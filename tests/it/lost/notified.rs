//! The daemon finds it lost, at its start or while it runs, and tells it once.

use super::*;
use crate::support::receiver::Receiver;
use crate::support::wait_until;
use crate::support::watchkeeper::files_job;

/// A job each second, one with a backup, and a webhook.
fn watched(receiver: &Receiver) -> Watchkeeper {
    let watchkeeper = Watchkeeper::with_config("");
    let url = receiver.url("/hook");
    let tick =
        "[[job]]\nname = \"tick\"\nkind = \"command\"\ncommand = [\"true\"]\nschedule = \"* * * * * *\"\n";
    let hook = format!("[notify.ops]\ntype = \"webhook\"\nurl = \"{url}\"\ncooldown = \"0s\"\n");
    watchkeeper.configure(&format!("{hook}{tick}{}", files_job(5, &[&watchkeeper.config()])));
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    watchkeeper
}

fn told(receiver: &Receiver) -> Vec<String> {
    let all = receiver.posted("/hook").into_iter().map(|posted| posted.json());
    all.map(|message| message["headline"].as_str().unwrap().to_owned()).collect()
}

/// Ticks that the history knows.
fn ticks(watchkeeper: &Watchkeeper) -> i64 {
    count(watchkeeper, "SELECT count(*) FROM run WHERE job = 'tick' AND outcome = 'done'")
}

fn rebuilt(watchkeeper: &Watchkeeper) -> i64 {
    count(watchkeeper, "SELECT count(*) FROM run WHERE job = 'conf' AND cause = 'rebuilt'")
}

#[test]
fn a_daemon_that_finds_it_lost_tells_it_once() {
    let receiver = Receiver::start();
    let watchkeeper = watched(&receiver);
    lose(&watchkeeper);
    for _ in 0..2 {
        let daemon = watchkeeper.spawn(&["run"]);
        let before = ticks(&watchkeeper);
        wait_until("jobs run", SOON, || ticks(&watchkeeper) > before + 1);
        let noted = "SELECT count(*) FROM founding WHERE told = 1 AND runs = 1";
        wait_until("it is told", SOON, || count(&watchkeeper, noted) == 1);
        stop(&watchkeeper, daemon);
    }
    let told = told(&receiver);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("FAILED watchkeeper on "), "{told:?}");
    assert!(told[0].contains("the history was lost, and a new one was begun at "), "{told:?}");
    assert_eq!(rebuilt(&watchkeeper), 1);
}

#[test]
fn a_history_that_is_lost_under_the_daemon_is_known_again_and_no_slot_is_run_twice() {
    let receiver = Receiver::start();
    let watchkeeper = watched(&receiver);
    let daemon = watchkeeper.spawn(&["run"]);
    wait_until("jobs run", SOON, || ticks(&watchkeeper) > 1);
    lose(&watchkeeper);
    wait_until("it is known again", SOON, || rebuilt(&watchkeeper) == 1);
    wait_until("jobs run on", SOON, || ticks(&watchkeeper) > 1);
    wait_until("it is told", SOON, || told(&receiver).len() == 1);
    // A table that is dropped is another loss.
    history(&watchkeeper).execute_batch("PRAGMA foreign_keys = 0; DROP TABLE run").unwrap();
    wait_until("it is set aside", SOON, || aside(&watchkeeper) > 0);
    wait_until("it is known once more", SOON, || rebuilt(&watchkeeper) == 1);
    wait_until("jobs run all the time", SOON, || ticks(&watchkeeper) > 1);
    let of = |what: &str| told(&receiver).iter().filter(|told| told.contains(what)).count();
    wait_until("that is told", SOON, || of("the history was damaged at ") > 0);
    stop(&watchkeeper, daemon);
    let told = (of("the history was lost"), of("the history was damaged at "));
    assert_eq!(told, (1, 1));
    let caught_up = "SELECT count(*) FROM run WHERE cause = 'catch-up'";
    assert_eq!(count(&watchkeeper, caught_up), 0);
    // The newest is that which ran last, and not one that was written later.
    let status = watchkeeper.run_json(&["status"]).expect(0).json();
    assert_eq!(status["jobs"][0]["last"]["outcome"], "done", "{status}");
}
