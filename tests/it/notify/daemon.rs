//! The daemon tells beside its work, and whatever happens to a notifier, no run feels it.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::{Flagged, SOON, events, webhook};
use crate::support::receiver::Receiver;
use crate::support::watchkeeper::Watchkeeper;
use crate::support::{run, wait_until};

const EACH_SECOND: &str = "schedule = \"* * * * * *\"";

fn signal(child: &Child, signal: &str) {
    run(Command::new("kill").args([signal, &child.id().to_string()]));
}

/// How many runs have ended so.
fn runs(watchkeeper: &Watchkeeper, outcome: &str) -> usize {
    let history = watchkeeper.run_json(&["history", "-n", "1000"]).expect(0).json();
    history["runs"].as_array().unwrap().iter().filter(|run| run["outcome"] == outcome).count()
}

#[test]
fn many_failures_are_one_message_and_a_restart_does_not_repeat_it() {
    let receiver = Receiver::start();
    let flagged = Flagged::new(EACH_SECOND, &webhook("ops", &receiver, "/hook"));
    let keeper = &flagged.watchkeeper;
    let daemon = keeper.spawn(&["run"]);
    wait_until("five runs have failed", SOON, || runs(keeper, "failed") >= 5);
    assert_eq!(events(&receiver, "/hook"), ["failed"]);
    // As a crash does it.
    signal(&daemon, "-KILL");
    keeper.wait(daemon, &["run"]);
    let before = runs(keeper, "failed");
    let daemon = keeper.spawn(&["run"]);
    wait_until("runs fail again", SOON, || runs(keeper, "failed") >= before + 3);
    assert_eq!(events(&receiver, "/hook"), ["failed"]);
    flagged.raise();
    wait_until("it is told that all is well", SOON, || events(&receiver, "/hook").len() > 1);
    signal(&daemon, "-TERM");
    keeper.wait(daemon, &["run"]).expect(0);
    assert_eq!(events(&receiver, "/hook"), ["failed", "recovered"]);
}

#[test]
fn a_notifier_that_hangs_delays_no_run_and_no_other_notifier_and_is_told_later() {
    let receiver = Receiver::start();
    // Slots that no daemon sees are another message.
    let hook = |name: &str, path: &str| webhook(name, &receiver, path) + "on = [\"failed\", \"recovered\"]\n";
    let both = hook("good", "/good") + &hook("stuck", "/hang");
    let flagged = Flagged::new(EACH_SECOND, &both);
    let keeper = &flagged.watchkeeper;
    let daemon = keeper.spawn(&["run"]);
    wait_until("both are asked", SOON, || {
        !receiver.posted("/good").is_empty() && !receiver.posted("/hang").is_empty()
    });
    let (since, before) = (Instant::now(), runs(keeper, "failed"));
    wait_until("runs go on", SOON, || runs(keeper, "failed") >= before + 5);
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
    let since = Instant::now();
    signal(&daemon, "-TERM");
    let output = keeper.wait(daemon, &["run"]).expect(0);
    assert!(since.elapsed() < Duration::from_secs(25), "{:?}", since.elapsed());
    assert!(output.stderr.contains("not all that was to be told could be"), "{output:?}");
    // It is there again, and is told what it did not take.
    flagged.configure("", &(hook("good", "/good") + &hook("stuck", "/better")));
    let daemon = keeper.spawn(&["run"]);
    wait_until("it is told", SOON, || !receiver.posted("/better").is_empty());
    signal(&daemon, "-TERM");
    keeper.wait(daemon, &["run"]).expect(0);
    assert_eq!(events(&receiver, "/better"), ["failed"]);
    assert_eq!(events(&receiver, "/good"), ["failed"]);
}

#[test]
fn what_is_not_taken_is_tried_again_over_a_restart_and_status_says_so_meanwhile() {
    let receiver = Receiver::start();
    let flagged = Flagged::new("", &webhook("ops", &receiver, "/thrice"));
    let keeper = &flagged.watchkeeper;
    let said = flagged.run(1);
    assert!(said.contains("warning: notifier ops: not delivered: "), "{said}");
    let status = keeper.run(&["status"]).expect(1);
    assert!(status.stdout.contains("CAUTION: notifier ops: not delivered since "), "{status:?}");
    assert!(status.stdout.contains("answered 500: cannot serve /thrice"), "{status:?}");
    let daemon = keeper.spawn(&["run"]);
    wait_until("it was asked a fourth time", SOON, || receiver.posted("/thrice").len() == 4);
    wait_until("nothing is left", SOON, || {
        keeper.run_json(&["status"]).json()["notifiers"].as_array().unwrap().is_empty()
    });
    signal(&daemon, "-TERM");
    let output = keeper.wait(daemon, &["run"]).expect(0);
    assert_eq!(events(&receiver, "/thrice"), ["failed"; 4]);
    assert_eq!(output.stderr.matches("not told").count(), 2, "{output:?}");
}

#[test]
fn beside_a_daemon_a_run_by_hand_is_told_once_and_after_it_by_itself() {
    let receiver = Receiver::start();
    let flagged = Flagged::new("", &webhook("ops", &receiver, "/hook"));
    let keeper = &flagged.watchkeeper;
    let daemon = keeper.spawn(&["run"]);
    let lock = keeper.state().join("locks/notify.lock");
    wait_until("the daemon tells", SOON, || lock.exists());
    flagged.run(1);
    assert_eq!(events(&receiver, "/hook"), [""; 0], "who ran it leaves that to the daemon");
    wait_until("the daemon has told it", SOON, || !receiver.posted("/hook").is_empty());
    signal(&daemon, "-TERM");
    keeper.wait(daemon, &["run"]).expect(0);
    flagged.run(1);
    assert_eq!(events(&receiver, "/hook"), ["failed"]);
    flagged.raise();
    flagged.run(0);
    assert_eq!(events(&receiver, "/hook"), ["failed", "recovered"]);
}

/// A job whose backup turns out to be bad, and stays so.
#[test]
fn trouble_that_lasts_hides_no_run_that_fails() {
    let receiver = Receiver::start();
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("a"), "x").unwrap();
    let keeper = Watchkeeper::with_config(&format!(
        "[[job]]\nname = \"conf\"\nkind = \"files-backup\"\nkeep = {{ last = 9 }}\npaths = [\"{}\"]\n{}",
        source.display(),
        webhook("ops", &receiver, "/hook")
    ));
    keeper.run(&["run-now", "conf"]).expect(0);
    let archive = std::fs::read_dir(keeper.backups_folder().join("conf")).unwrap();
    let mut archive = archive.map(|entry| entry.unwrap().path());
    let archive = archive.find(|path| path.to_string_lossy().ends_with(".tar.gz")).unwrap();
    std::fs::write(&archive, "no archive").unwrap();
    keeper.run(&["verify", "conf"]).expect(1);
    keeper.run(&["run-now", "conf"]);
    assert_eq!(events(&receiver, "/hook"), ["failed"], "the backup");
    std::fs::rename(&source, folder.path().join("away")).unwrap();
    keeper.run(&["run-now", "conf"]).expect(1);
    let told = receiver.posted("/hook").pop().unwrap().json();
    assert_eq!(events(&receiver, "/hook"), ["failed"; 2]);
    let text = told["text"].as_str().unwrap();
    assert!(told["headline"].as_str().unwrap().contains("Nothing to back up"), "{text}");
    assert!(
        text.contains("\n  also     FAILED since ") && text.contains("1 backup cannot be used"),
        "{text}"
    );
    std::fs::rename(folder.path().join("away"), &source).unwrap();
    keeper.run(&["run-now", "conf"]);
    let told = receiver.posted("/hook").pop().unwrap().json();
    assert!(told["headline"].as_str().unwrap().starts_with("WARNED conf "), "{told}");
    let text = told["text"].as_str().unwrap();
    assert!(
        text.contains("\n  also     FAILED since ") && text.contains("\n  over     FAILED since "),
        "{text}"
    );
}
