//! What a daemon tells while time goes by, by its own clock: against a receiver, with cool-downs of seconds.

use std::process::{Child, Command};

use jiff::{SignedDuration, Timestamp};

use super::{Flagged, SOON, events, webhook};
use crate::support::past::{history, set_back};
use crate::support::receiver::{Posted, Receiver};
use crate::support::watchkeeper::Watchkeeper;
use crate::support::{run, wait_until};

fn stop(watchkeeper: &Watchkeeper, daemon: Child) {
    run(Command::new("kill").args(["-TERM", &daemon.id().to_string()]));
    watchkeeper.wait(daemon, &["run"]).expect(0);
}

fn text(posted: &Posted) -> String {
    posted.json()["text"].as_str().unwrap().to_owned()
}

fn at(posted: &Posted) -> Timestamp {
    posted.json()["at"].as_str().unwrap().parse().unwrap()
}

/// The first message that begins so, as soon as there is one.
fn wait_for(receiver: &Receiver, path: &str, start: &str) -> String {
    let found = || receiver.posted(path).iter().map(text).find(|text| text.starts_with(start));
    wait_until(&format!("{path} is told {start:?}"), SOON, || found().is_some());
    found().unwrap()
}

/// How many runs have failed since the last good one.
fn failures(watchkeeper: &Watchkeeper) -> i64 {
    let sql = "SELECT count(*) FROM run WHERE job = 'j' AND outcome = 'failed'";
    history(watchkeeper).query_row(sql, [], |row| row.get(0)).unwrap_or_default()
}

#[test]
fn a_hundred_failures_make_as_many_messages_as_the_cool_down_allows_and_one_line_ends_them() {
    const COOLDOWN: SignedDuration = SignedDuration::from_secs(5);
    let receiver = Receiver::start();
    let notifier = |name: &str, rhythm: &str| {
        let url = receiver.url(&format!("/{name}"));
        format!("[notify.{name}]\ntype = \"webhook\"\nurl = \"{url}\"\n{rhythm}\n")
    };
    let notifiers = notifier("once", "cooldown = \"0s\"\nremind = \"never\"")
        + &notifier("again", "cooldown = \"5s\"\nremind = \"1s\"");
    let flagged = Flagged::new("schedule = \"* * * * * *\"\nretries = { max = 0 }", &notifiers);
    let keeper = &flagged.watchkeeper;
    let daemon = keeper.spawn(&["run"]);
    wait_until("it is told", SOON, || !receiver.posted("/again").is_empty());
    // Beside those of the daemon, so that it does not take a hundred seconds.
    while failures(keeper) < 100 {
        keeper.run(&["run-now", "j"]);
    }
    wait_until("it reminds", SOON, || receiver.posted("/again").len() >= 3);
    assert_eq!(events(&receiver, "/once"), ["failed"]);
    flagged.raise();
    wait_for(&receiver, "/once", "RECOVERED j on ");
    wait_for(&receiver, "/again", "RECOVERED j on ");
    stop(keeper, daemon);

    let told = receiver.posted("/again");
    let gaps: Vec<SignedDuration> =
        told.windows(2).map(|pair| at(&pair[1]).duration_since(at(&pair[0]))).collect();
    assert!(gaps.iter().all(|gap| *gap >= COOLDOWN), "{gaps:?}");
    let (first, others) = told.split_first().unwrap();
    let (last, reminders) = others.split_last().unwrap();
    assert!(text(first).starts_with("FAILED j on "), "{}", text(first));
    for reminder in reminders {
        let text = text(reminder);
        assert!(text.starts_with("STILL FAILED j on ") && text.contains("have failed since"), "{text}");
    }
    let newest = reminders.last().unwrap().json()["failures"].as_u64().unwrap();
    assert!(newest > 1, "{newest}");
    for line in [text(last), text(&receiver.posted("/once")[1])] {
        assert!(line.starts_with("RECOVERED j on ") && !line.contains('\n'), "{line}");
        let runs: usize = line.split("; ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!(runs >= 100 && line.ends_with(" runs had not been good"), "{line}");
    }
    assert_eq!(receiver.posted("/once").len(), 2);
}

/// One job that makes the daemon look each second, and two that it has to tell of: `long` runs while the file `hold` is there.
fn watched(receiver: &Receiver) -> Watchkeeper {
    let watchkeeper = Watchkeeper::with_config("");
    let hold = watchkeeper.folder().join("hold");
    let each = "jobs = [\"late\", \"long\"]\nremind = \"never\"\n";
    let missed = webhook("missed", receiver, "/missed") + each + "on = [\"missed\"]\n";
    watchkeeper.configure(&format!(
        "[[job]]\nname = \"tick\"\nkind = \"command\"\ncommand = [\"true\"]\nschedule = \"* * * * * *\"\n\
         [[job]]\nname = \"late\"\nkind = \"command\"\ncommand = [\"true\"]\nschedule = \"@every 24h\"\n\
         on_missed = \"skip\"\n\
         [[job]]\nname = \"long\"\nkind = \"command\"\nshell = true\n\
         command = 'while test -e {}; do sleep 0.1; done'\n{}{each}{missed}",
        hold.display(),
        webhook("ops", receiver, "/ops")
    ));
    watchkeeper
}

#[test]
fn a_daemon_tells_of_what_was_missed_is_overdue_or_runs_too_long_in_different_words_and_of_its_end_in_one_line()
 {
    let receiver = Receiver::start();
    let watchkeeper = watched(&receiver);
    let hold = watchkeeper.folder().join("hold");
    let daemon = watchkeeper.spawn(&["run"]);
    let sql = "SELECT (SELECT count(*) FROM watched) + (SELECT count(*) FROM notifier)";
    wait_until("the daemon knows all", SOON, || {
        watchkeeper.state().join("history.db").exists()
            && history(&watchkeeper).query_row(sql, [], |row| row.get::<_, i64>(0)).is_ok_and(|all| all == 4)
    });
    watchkeeper.run(&["run-now", "late"]).expect(0);
    stop(&watchkeeper, daemon);
    assert!(receiver.posted("/").is_empty(), "all is well: {:?}", receiver.posted("/"));

    // As if nobody had been there for two days and more.
    set_back(&watchkeeper, 60);
    let past = history(&watchkeeper);
    past.execute("UPDATE notifier SET born = born - 60 * 3600000", []).unwrap();
    // And as if nobody had seen since then which slots were missed.
    let unseen = "UPDATE note SET note = json_set(note, '$.missed_until', '2020-01-01T00:00:00Z')";
    past.execute(unseen, []).unwrap();
    let daemon = watchkeeper.spawn(&["run"]);
    let missed = wait_for(&receiver, "/missed", "DID NOT START late on ");
    assert!(missed.contains("slots from ") && missed.contains(" did not run: "), "{missed}");
    let overdue = wait_for(&receiver, "/ops", "DID NOT START late on ");
    assert!(overdue.contains(": it was due at ") && overdue.contains("has not begun"), "{overdue}");
    watchkeeper.run(&["run-now", "late"]).expect(0);
    let line = wait_for(&receiver, "/ops", "RECOVERED late on ");
    assert!(!line.contains('\n') && line.contains(" (overdue)"), "{line}");

    for _ in 0..5 {
        watchkeeper.run(&["run-now", "long"]).expect(0);
    }
    std::fs::write(&hold, "").unwrap();
    let run = watchkeeper.spawn(&["run-now", "long"]);
    let sql = "SELECT count(*) FROM run WHERE job = 'long' AND finished IS NULL";
    wait_until("it has begun", SOON, || past.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() == 1);
    // An hour ago, and after those before it.
    let sql = "UPDATE run SET started = started - 3600000, finished = finished - 3600000 WHERE job = 'long'";
    past.execute(sql, []).unwrap();
    let long = wait_for(&receiver, "/ops", "RUNS TOO LONG long on ");
    assert!(long.contains("it has run for 1 h") && long.contains(" is usual"), "{long}");
    std::fs::remove_file(&hold).unwrap();
    watchkeeper.wait(run, &["run-now"]).expect(0);
    let line = wait_for(&receiver, "/ops", "RECOVERED long on ");
    assert!(!line.contains('\n') && line.contains(" (too-long)"), "{line}");
    stop(&watchkeeper, daemon);
    assert_eq!(events(&receiver, "/ops"), ["overdue", "recovered", "too-long", "recovered"]);
    assert_eq!(events(&receiver, "/missed"), ["missed"]);
}
