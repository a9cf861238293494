//! What the daemon tells: systemd while it ends, and whoever reads its log, or does not.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{SOON, job, runs, signal, watched};
use crate::support::wait_until;
use crate::support::watchkeeper::Watchkeeper;

#[test]
fn systemd_is_told_at_once_that_it_ends_and_what_it_waits_for_and_the_watchdog_is_fed_meanwhile() {
    let watchkeeper =
        Watchkeeper::with_config(&job("slow", "* * * * * *", "").replace("[\"true\"]", "[\"sleep\", \"6\"]"));
    let socket = watchkeeper.folder().join("notify");
    let listener = UnixDatagram::bind(&socket).unwrap();
    listener.set_read_timeout(Some(SOON)).unwrap();
    let mut command = watchkeeper.command(&["run"]);
    command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "3000000");
    let mut daemon = command.spawn().unwrap();
    let running = ("scheduled".to_owned(), "running".to_owned());
    wait_until("a run has begun", SOON, || {
        watched(&watchkeeper) > 0 && runs(&watchkeeper, "slow").contains(&running)
    });
    let since = Instant::now();
    signal("-TERM", &daemon);
    let word = || {
        let mut buffer = [0; 512];
        let length = listener.recv(&mut buffer).unwrap();
        (String::from_utf8(buffer[..length].to_vec()).unwrap(), Instant::now())
    };
    while word().0 != "STOPPING=1" {}
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
    let (status, mut fed) = word();
    assert_eq!(status, "STATUS=waiting for 1 run to end: slow");
    let mut feeds = 0;
    listener.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    while daemon.try_wait().unwrap().is_none() {
        let mut buffer = [0; 512];
        let Ok(length) = listener.recv(&mut buffer) else { continue };
        if &buffer[..length] == b"WATCHDOG=1" {
            // Half of the time after which systemd would kill it, and some for this machine.
            assert!(fed.elapsed() < Duration::from_millis(2_500), "not fed for {:?}", fed.elapsed());
            (feeds, fed) = (feeds + 1, Instant::now());
        } else {
            assert_eq!(&buffer[..length], b"STATUS=stopping");
        }
    }
    assert!(feeds >= 3, "fed {feeds} times");
    watchkeeper.wait(daemon, &["run"]).expect(0);
}

#[test]
fn a_process_that_was_stopped_for_a_while_does_not_blame_the_clock() {
    let watchkeeper = Watchkeeper::with_config(&job("tick", "* * * * * *", ""));
    let daemon = watchkeeper.spawn(&["run"]);
    let done = || runs(&watchkeeper, "tick").iter().filter(|run| run.1 == "done").count();
    wait_until("it runs", SOON, || watched(&watchkeeper) > 0 && done() > 0);
    signal("-STOP", &daemon);
    // Longer than the alarm may be silent.
    let since = Instant::now();
    wait_until("it was stopped for a while", SOON, || since.elapsed() > Duration::from_secs(8));
    let before = done();
    signal("-CONT", &daemon);
    wait_until("it goes on, and beyond what it had to make up for", SOON, || done() > before + 12);
    signal("-TERM", &daemon);
    let output = watchkeeper.wait(daemon, &["run"]).expect(0);
    assert!(!output.stderr.contains("fell silent"), "{}", output.stderr);
}

#[test]
fn a_log_that_nobody_reads_keeps_nothing_from_running_and_is_whole_where_there_was_room() {
    let watchkeeper = Watchkeeper::with_config(&job("tick", "* * * * * *", ""));
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    // As much as a pipe holds.
    writer.write_all(&vec![b'\n'; 65_536]).unwrap();
    let mut command = watchkeeper.command(&["run"]);
    let mut daemon = command.stderr(Stdio::from(OwnedFd::from(writer))).spawn().unwrap();
    drop(command);
    let done = || runs(&watchkeeper, "tick").iter().filter(|run| run.1 == "done").count();
    wait_until("it runs all the same", SOON, || watched(&watchkeeper) > 0 && done() > 2);
    let reads = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    signal("-TERM", &daemon);
    assert!(daemon.wait().unwrap().success());
    let text = reads.join().unwrap();
    assert!(text.contains("the daemon runs") && text.contains("the daemon has stopped"), "{text}");
    assert!(!text.contains("dropped"), "{text}");
}

#[test]
fn a_history_that_is_an_empty_file_is_begun_anew_and_not_in_silence() {
    let watchkeeper = Watchkeeper::with_config(&job("tick", "* * * * * *", ""));
    let empty = || drop(File::create(watchkeeper.state().join("history.db")).unwrap());
    empty();
    let daemon = watchkeeper.spawn(&["run"]);
    wait_until("it runs", SOON, || {
        fs::metadata(watchkeeper.state().join("history.db")).unwrap().len() > 0 && watched(&watchkeeper) > 0
    });
    signal("-TERM", &daemon);
    let told = "was an empty file and is begun anew";
    assert!(watchkeeper.wait(daemon, &["run"]).expect(0).stderr.contains(told));
    // One that has content, or is not there, is nothing to speak of.
    let daemon = watchkeeper.spawn(&["run"]);
    signal("-TERM", &daemon);
    let output = watchkeeper.wait(daemon, &["run"]);
    assert!(!output.stderr.contains(told), "{output:?}");
    for file in ["history.db", "history.db-wal", "history.db-shm"] {
        drop(fs::remove_file(watchkeeper.state().join(file)));
    }
    assert!(!watchkeeper.run(&["next"]).expect(0).stderr.contains(told));
    empty();
    assert!(watchkeeper.run(&["next"]).expect(0).stderr.contains(told));
    empty();
    assert!(watchkeeper.run(&["pause", "tick"]).expect(0).stderr.contains(told));
}

#[test]
fn a_timer_does_not_run_a_job_that_is_paused_and_it_is_noted() {
    let watchkeeper = Watchkeeper::with_config(&job("tick", "@yearly", ""));
    let words = ["run-now", "--scheduled", "tick"];
    watchkeeper.run(&words).expect(0);
    watchkeeper.run(&["pause", "tick", "--reason", "the disk is changed"]).expect(0);
    let output = watchkeeper.run(&words).expect(0);
    assert!(output.stdout.contains("skipped") && output.stdout.contains("the disk is changed"), "{output:?}");
    let manual = |outcome: &str| ("manual".to_owned(), outcome.to_owned());
    assert_eq!(runs(&watchkeeper, "tick"), [manual("skipped"), manual("done")]);
    // Who asks by hand is obeyed.
    watchkeeper.run(&["run-now", "tick"]).expect(0);
    watchkeeper.run(&["resume", "tick"]).expect(0);
    watchkeeper.run(&words).expect(0);
    let all = ["done", "done", "skipped", "done"].map(manual);
    assert_eq!(runs(&watchkeeper, "tick"), all);
}
