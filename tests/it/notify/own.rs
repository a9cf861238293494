//! What the daemon tells of itself, where it cannot note anything, or has lost what it had noted.

use std::fs;
use std::time::Instant;

use super::*;
use crate::support::{http, run, scratch, wait_until};

/// Its own messages, in short.
fn told(receiver: &Receiver) -> Vec<(String, String)> {
    let own = receiver.posted("/hook").into_iter().map(|posted| posted.json());
    let own = own.filter(|message| message["job"] == "watchkeeper" && message["kind"] == "daemon");
    let text = |message: &serde_json::Value, field: &str| message[field].as_str().unwrap().to_owned();
    own.map(|message| (text(&message, "event"), text(&message, "headline"))).collect()
}

fn job(name: &str, schedule: &str) -> String {
    format!(
        "[[job]]\nname = \"{name}\"\nkind = \"command\"\ncommand = [\"true\"]\nschedule = \"{schedule}\"\n"
    )
}

#[test]
fn a_disk_that_is_full_under_the_daemon_is_told_by_everybody_until_it_is_not() {
    let (receiver, port) = (Receiver::start(), scratch::free_port());
    let watchkeeper = Watchkeeper::with_config("");
    watchkeeper.configure(&format!(
        "{}[metrics]\nlisten = \"127.0.0.1:{port}\"\n{}",
        webhook("ops", &receiver, "/hook"),
        job("tick", "* * * * * *")
    ));
    let path = |name: &str| watchkeeper.folder().join(name);
    let until = |name: &str| format!("until test -e {}; do sleep 0.1; done; ", path(name).display());
    let script = format!(
        "mount -t tmpfs -o size=4m tmpfs \"$FOLDER\"; $WATCHKEEPER run 2>/dev/null & daemon=$!; {}\
         dd if=/dev/zero of=\"$FOLDER/fill\" bs=4k 2>/dev/null || true; {}\
         code=0; $WATCHKEEPER status || code=$?; echo \"code $code\"; rm \"$FOLDER/fill\"; {}\
         kill -TERM $daemon; wait $daemon",
        until("fill"),
        until("look"),
        until("stop")
    );
    let health = || http::get(port, "/healthz").unwrap_or_default();
    let go_on = |name: &str| fs::write(path(name), "").unwrap();
    let state = watchkeeper.state();
    fs::create_dir_all(&state).unwrap();
    let output = std::thread::scope(|scope| {
        let script = scope.spawn(|| watchkeeper.run_in_mounts(&state, &script));
        wait_until("the daemon is well", SOON, || health().0 == 200);
        go_on("fill");
        wait_until("it says that it is not", SOON, || health().0 == 503);
        assert!(health().1.contains("what runs cannot be noted: "), "{:?}", health());
        let metrics = http::get(port, "/metrics").unwrap().1;
        assert!(metrics.contains("\nwatchkeeper_history_writable 0\n"), "{metrics}");
        assert!(metrics.contains("\nwatchkeeper_history_unwritten_runs "), "{metrics}");
        wait_until("it is told", SOON, || told(&receiver).len() == 1);
        go_on("look");
        wait_until("it is well again", SOON, || health().0 == 200);
        wait_until("that is told", SOON, || told(&receiver).len() == 2);
        go_on("stop");
        script.join().unwrap()
    })
    .expect(0);
    assert!(output.stdout.contains("CAUTION: what runs cannot be noted: "), "{output:?}");
    assert!(
        output.stdout.contains("No space left on device") && output.stdout.contains("code 1"),
        "{output:?}"
    );
    let told = told(&receiver);
    assert!(told[0].0 == "failed" && told[0].1.contains("FAILED watchkeeper on "), "{told:?}");
    assert!(told[1].0 == "recovered" && told[1].1.contains("what runs is noted again"), "{told:?}");
}

/// An ext4 in a file, which becomes read-only as where its disk has an error.
#[test]
fn a_disk_that_becomes_read_only_under_the_daemon_is_told_and_jobs_run_on() {
    let (receiver, port) = (Receiver::start(), scratch::free_port());
    let watchkeeper = Watchkeeper::with_config("");
    let path = |name: &str| watchkeeper.folder().join(name);
    let (ran, image) = (path("ran"), path("image"));
    let job = job("tick", "* * * * * *");
    let job = job.replace("[\"true\"]", &format!("[\"sh\", \"-c\", \"echo >>{}\"]", ran.display()));
    watchkeeper.configure(&format!(
        "reserve = \"0\"\n{}[metrics]\nlisten = \"127.0.0.1:{port}\"\n{job}",
        webhook("ops", &receiver, "/hook")
    ));
    run(std::process::Command::new("truncate").args(["-s", "16M"]).arg(&image));
    run(std::process::Command::new("mkfs.ext4").arg("-q").arg(&image));
    let until = |name: &str| format!("until test -e {}; do sleep 0.1; done; ", path(name).display());
    let script = format!(
        "mount -o loop,errors=remount-ro {} \"$FOLDER\" || exit 77; $WATCHKEEPER run 2>/dev/null & daemon=$!; {}\
         device=$(basename $(findmnt -no SOURCE \"$FOLDER\")); echo 1 >/sys/fs/ext4/$device/trigger_fs_error; {}\
         code=0; $WATCHKEEPER status || code=$?; echo \"code $code\"; \
         kill -TERM $daemon; code=0; wait $daemon || code=$?; echo \"daemon $code\"",
        image.display(),
        until("fail"),
        until("look"),
    );
    let health = || http::get(port, "/healthz").unwrap_or_default();
    let go_on = |name: &str| fs::write(path(name), "").unwrap();
    let runs = || fs::read_to_string(&ran).unwrap_or_default().len();
    let state = watchkeeper.state();
    let output = std::thread::scope(|scope| {
        let script = scope.spawn(|| watchkeeper.run_in_mounts(&state, &script));
        wait_until("the daemon is well, or cannot be tried here", SOON, || {
            health().0 == 200 || script.is_finished()
        });
        if !script.is_finished() {
            // From then on there is a lock for it, without which no job runs.
            wait_until("the job has run", SOON, || runs() > 1);
        }
        go_on("fail");
        if !script.is_finished() {
            wait_until("it says that it is not", SOON, || health().0 == 503);
            wait_until("it is told", SOON, || told(&receiver).len() == 1);
            let before = runs();
            wait_until("jobs run on", SOON, || runs() > before + 1);
        }
        go_on("look");
        script.join().unwrap()
    });
    if output.code == 77 {
        return crate::support::missing("no loop device");
    }
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains("code 1") && output.stdout.contains("CAUTION: "), "{output:?}");
    assert!(output.stdout.contains("daemon 0"), "{output:?}");
    let told = told(&receiver);
    assert!(told[0].0 == "failed" && told[0].1.contains("FAILED watchkeeper on "), "{told:?}");
}

#[test]
fn a_damaged_history_is_told_of_once_and_status_says_so() {
    let (receiver, port) = (Receiver::start(), scratch::free_port());
    let watchkeeper = Watchkeeper::with_config("");
    watchkeeper.configure(&format!(
        "{}[metrics]\nlisten = \"127.0.0.1:{port}\"\n{}",
        webhook("ops", &receiver, "/hook"),
        job("quiet", "@every 90d")
    ));
    watchkeeper.run(&["run-now", "quiet"]).expect(0);
    fs::write(watchkeeper.state().join("history.db"), vec![0x57; 9_000]).unwrap();
    for _ in 0..2 {
        let daemon = watchkeeper.spawn(&["run"]);
        let is_well = || http::get(port, "/healthz").is_some_and(|(status, _)| status == 200);
        wait_until("the daemon has looked", SOON, is_well);
        wait_until("it is told", SOON, || !told(&receiver).is_empty());
        let metrics = http::get(port, "/metrics").unwrap().1;
        assert!(metrics.contains("\nwatchkeeper_history_set_aside_timestamp_seconds "), "{metrics}");
        run(std::process::Command::new("kill").args(["-TERM", &daemon.id().to_string()]));
        watchkeeper.wait(daemon, &["run"]).expect(0);
    }
    let told = told(&receiver);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].1.contains("history.db.damaged-"), "{told:?}");
    let status = watchkeeper.run(&["status"]).expect(0).stdout;
    assert!(status.contains("CAUTION: ") && status.contains("the history was damaged at "), "{status}");
    let json = watchkeeper.run_json(&["status"]).expect(0).json();
    let aside = json["state"]["set_aside"]["path"].as_str().unwrap_or_else(|| panic!("{json}"));
    fs::rename(aside, watchkeeper.folder().join("away")).unwrap();
    let status = watchkeeper.run(&["status"]).expect(0).stdout;
    assert!(!status.contains("the history was damaged"), "it was moved away: {status}");
}

#[test]
fn a_run_by_hand_does_not_wait_long_for_a_notifier_that_hangs() {
    let receiver = Receiver::start();
    let flagged = Flagged::new("", &webhook("stuck", &receiver, "/hang"));
    let since = Instant::now();
    let said = flagged.run(1);
    assert!(since.elapsed() < Duration::from_secs(25), "{:?}", since.elapsed());
    assert!(said.contains("notifier stuck: not delivered: no answer within 10 s"), "{said}");
    // The next one tells it.
    flagged.configure("", &webhook("stuck", &receiver, "/better"));
    flagged.run(1);
    assert_eq!(events(&receiver, "/better"), ["failed"]);
}
