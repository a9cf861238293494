//! A run that waits between two attempts goes on after a restart of the daemon, however that ended.

use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::kept::{count, kill};
use super::{HOUR, SOON, fates, history, runs, signal, stop};
use crate::support::scratch::is_alive;
use crate::support::wait_until;
use crate::support::watchkeeper::Watchkeeper;

/// A job that is due in the first second, and fails until there is a file, with these keys beside.
fn failing(keys: &str) -> Watchkeeper {
    let watchkeeper = Watchkeeper::with_config("");
    let folder = watchkeeper.folder().display().to_string();
    // A slot that comes until the schedule is another one is none to make up for.
    let missed = if keys.contains("on_missed") { "" } else { "on_missed = \"skip\"\n" };
    watchkeeper.configure(&format!(
        "[[job]]\nname = \"j\"\nkind = \"command\"\nschedule = \"* * * * * *\"\nshell = true\n\
         command = 'echo $WATCHKEEPER_RUN >> {folder}/ran; test -e {folder}/well'\n{missed}{keys}\n"
    ));
    watchkeeper
}

/// Runs the daemon until the run waits for its next attempt, and gives its ID.
fn until_it_waits(watchkeeper: &Watchkeeper) -> (Child, String) {
    let daemon = watchkeeper.spawn(&["run"]);
    let waits = || watchkeeper.state().join("history.db").exists() && waiting(watchkeeper) == Some(1);
    wait_until("a run waits", SOON, waits);
    let run = history(watchkeeper).query_row("SELECT run FROM waiting", [], |row| row.get(0)).unwrap();
    // No other slot comes when the daemon is started again.
    let text = fs::read_to_string(watchkeeper.config()).unwrap();
    fs::write(watchkeeper.config(), text.replace("* * * * * *", "@yearly")).unwrap();
    (daemon, run)
}

fn waiting(watchkeeper: &Watchkeeper) -> Option<i64> {
    history(watchkeeper).query_row("SELECT count(*) FROM waiting", [], |row| row.get(0)).ok()
}

/// The wait is over in so many milliseconds.
fn due_in(watchkeeper: &Watchkeeper, millis: i64) {
    let now = jiff::Timestamp::now().as_millisecond();
    history(watchkeeper).execute("UPDATE waiting SET due = ?1", [now + millis]).unwrap();
}

fn show(watchkeeper: &Watchkeeper, run: &str) -> Value {
    watchkeeper.run_json(&["show", run]).expect(0).json()
}

fn outcome(watchkeeper: &Watchkeeper, run: &str) -> String {
    show(watchkeeper, run)["outcome"].as_str().unwrap_or("running").to_owned()
}

/// The runs that the work was done for.
fn ran(watchkeeper: &Watchkeeper) -> Vec<String> {
    let text = fs::read_to_string(watchkeeper.folder().join("ran")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_run_goes_on_with_the_attempts_that_are_left_whether_the_daemon_was_stopped_or_killed() {
    for is_killed in [false, true] {
        let watchkeeper = failing("retries = { max = 3, backoff = \"10m\" }\non_overlap = \"queue\"");
        let (daemon, run) = until_it_waits(&watchkeeper);
        let since = Instant::now();
        if is_killed {
            kill(daemon);
        } else {
            stop(&watchkeeper, daemon);
        }
        assert!(
            since.elapsed() < Duration::from_secs(20),
            "nobody waits for the attempt: {:?}",
            since.elapsed()
        );
        // Nobody takes it for one that was cut off.
        let text = watchkeeper.run(&["show", &run]).expect(0).stdout;
        assert!(text.starts_with("running: j: ") && text.contains("; attempt 2 of 4 is due at 2"), "{text}");
        let text = watchkeeper.run(&["explain", "j"]).expect(0).stdout;
        assert!(!text.contains("running") && text.contains("; attempt 2 of 4 is due at 2"), "{text}");
        // How wide a column is depends on the slots that came meanwhile.
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("last run waiting, began ") && words.contains("ran waiting: "), "{text}");
        let slot = show(&watchkeeper, &run)["slot"].clone();

        // It fails again, and that is the second attempt; not before it is due.
        due_in(&watchkeeper, 3000);
        let due = count(&watchkeeper, "SELECT due FROM waiting");
        let daemon = watchkeeper.spawn(&["run"]);
        let attempts = || show(&watchkeeper, &run)["attempts"].as_array().unwrap().len();
        wait_until("the second attempt has failed", SOON, || attempts() == 2);
        let resumed = show(&watchkeeper, &run)["attempts"][1]["resumed"].as_str().unwrap().to_owned();
        assert!(resumed.parse::<jiff::Timestamp>().unwrap().as_millisecond() >= due, "{resumed} {due}");
        let owed = count(&watchkeeper, "SELECT due FROM waiting") - jiff::Timestamp::now().as_millisecond();
        assert!((1_150_000..1_200_001).contains(&owed), "the wait goes on doubling: {owed}");
        kill(daemon);

        fs::write(watchkeeper.folder().join("well"), "").unwrap();
        due_in(&watchkeeper, 0);
        let daemon = watchkeeper.spawn(&["run"]);
        wait_until("it is done", SOON, || outcome(&watchkeeper, &run) == "done");
        stop(&watchkeeper, daemon);
        let report = show(&watchkeeper, &run);
        assert_eq!((&report["slot"], &report["reason"], attempts()), (&slot, &Value::Null, 3));
        let time = |text: &Value| text.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        assert!(time(&report["finished"]) > time(&report["attempts"][2]["resumed"]), "{report}");
        assert_eq!(report["steps"].as_array().unwrap().len(), 3, "{report}");
        assert_eq!(ran(&watchkeeper), [run.as_str(); 3]);
        let text = watchkeeper.run(&["show", &run]).expect(0).stdout;
        assert!(
            text.contains("3. begun at 2") && text.contains(", after a restart of the daemon; "),
            "{text}"
        );
        let text = watchkeeper.run(&["explain", "j"]).expect(0).stdout;
        assert!(
            text.contains("done, went on at 2") && text.contains(" after a restart of the daemon"),
            "{text}"
        );
    }
}

#[test]
fn a_pause_holds_for_the_next_attempt_too_whether_the_daemon_lives_or_was_started_again() {
    for is_restarted in [false, true] {
        let watchkeeper = failing("retries = { max = 3, backoff = \"8s\" }");
        let (mut daemon, run) = until_it_waits(&watchkeeper);
        watchkeeper.run(&["pause", "j", "--reason", "the disk is changed"]).expect(0);
        if is_restarted {
            stop(&watchkeeper, daemon);
            daemon = watchkeeper.spawn(&["run"]);
        }
        wait_until("it is given up", SOON, || outcome(&watchkeeper, &run) != "running");
        let report = show(&watchkeeper, &run);
        let reason = report["reason"].as_str().unwrap();
        assert_eq!(report["outcome"], "interrupted", "{report}");
        assert!(reason.contains("ended with 1; it is not tried again: paused since "), "{reason}");
        assert!(reason.ends_with(": the disk is changed"), "{reason}");
        assert_eq!((ran(&watchkeeper), waiting(&watchkeeper)), (vec![run], Some(0)));
        stop(&watchkeeper, daemon);
    }
}

/// What hooks have noted there, a word a line.
fn noted(watchkeeper: &Watchkeeper, file: &str) -> Vec<String> {
    let text = fs::read_to_string(watchkeeper.folder().join(file)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn what_a_killed_daemon_had_prepared_for_a_run_that_waits_is_put_away_before_that_goes_on_or_is_given_up() {
    let hook = |folder: &str, then: &str| {
        format!("{{ shell = true, command = 'echo $WATCHKEEPER_HOOK >> {folder}/hooks; {then}' }}")
    };
    for goes_on in [true, false] {
        let watchkeeper = failing(
            "retries = { max = 3, backoff = \"10m\" }\n[job.hooks]\nbefore = BEFORE\nfinally = FINALLY",
        );
        let folder = watchkeeper.folder().display().to_string();
        let leaves = format!("setsid sleep 300 >/dev/null 2>&1 & echo $! >> {folder}/left");
        let text = fs::read_to_string(watchkeeper.config()).unwrap();
        let text = text.replace("BEFORE", &hook(&folder, &leaves)).replace("FINALLY", &hook(&folder, "true"));
        fs::write(watchkeeper.config(), text).unwrap();
        let (daemon, run) = until_it_waits(&watchkeeper);
        kill(daemon);
        assert_eq!(noted(&watchkeeper, "hooks"), ["before"]);
        due_in(&watchkeeper, 0);
        if !goes_on {
            watchkeeper.run(&["pause", "j"]).expect(0);
        }
        let daemon = watchkeeper.spawn(&["run"]);
        let attempts = || show(&watchkeeper, &run)["attempts"].as_array().unwrap().len();
        let is_there =
            || if goes_on { attempts() == 2 } else { outcome(&watchkeeper, &run) == "interrupted" };
        wait_until("it went on, or was given up", SOON, is_there);
        let (hooks, left) = (noted(&watchkeeper, "hooks"), noted(&watchkeeper, "left"));
        let alive: Vec<bool> = left.iter().map(|pid| is_alive(pid)).collect();
        for pid in left.iter().filter(|pid| is_alive(pid)) {
            crate::support::run(std::process::Command::new("kill").arg(pid));
        }
        stop(&watchkeeper, daemon);
        let (wanted, lives): (&[&str], &[bool]) = if goes_on {
            (&["before", "finally", "before"], &[false, true])
        } else {
            (&["before", "finally"], &[false])
        };
        assert_eq!((hooks, alive), (wanted.iter().map(ToString::to_string).collect(), lives.to_vec()));
        let warnings = show(&watchkeeper, &run)["warnings"].to_string();
        assert!(
            warnings.contains("ended what a run that was cut off had left running: 1 process"),
            "{warnings}"
        );
    }
}

#[test]
fn no_more_attempts_are_made_than_without_a_restart() {
    let watchkeeper = failing("retries = { max = 1, backoff = \"10m\" }");
    let (daemon, run) = until_it_waits(&watchkeeper);
    stop(&watchkeeper, daemon);
    due_in(&watchkeeper, 0);
    let daemon = watchkeeper.spawn(&["run"]);
    wait_until("it has failed", SOON, || outcome(&watchkeeper, &run) == "failed");
    stop(&watchkeeper, daemon);
    assert_eq!(ran(&watchkeeper), [run.as_str(); 2]);
    assert_eq!(waiting(&watchkeeper), Some(0));
}

#[test]
fn a_run_whose_slot_is_too_old_or_whose_job_is_no_more_does_not_go_on_and_says_why() {
    let edit = |watchkeeper: &Watchkeeper, from: &str, to: &str| {
        let text = fs::read_to_string(watchkeeper.config()).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(watchkeeper.config(), text.replace(from, to)).unwrap();
    };
    // What belongs to its end is run, once.
    let cut = |(keys, is_killed): (&str, bool), change: &dyn Fn(&Watchkeeper), why: &str| {
        let hooks = "[job.hooks]\nbefore = HOOK\non_failure = HOOK\nfinally = HOOK\n";
        let watchkeeper = failing(&format!("retries = {{ max = 3, backoff = \"10m\" }}\n{keys}\n{hooks}"));
        let note = "echo $WATCHKEEPER_HOOK $WATCHKEEPER_OUTCOME $WATCHKEEPER_RUN $WATCHKEEPER_ERROR";
        let hook =
            format!("{{ shell = true, command = '{note} >> {}/hooks' }}", watchkeeper.folder().display());
        edit(&watchkeeper, "HOOK", &hook);
        let (daemon, run) = until_it_waits(&watchkeeper);
        if is_killed {
            kill(daemon);
        } else {
            stop(&watchkeeper, daemon);
        }
        due_in(&watchkeeper, 0);
        change(&watchkeeper);
        let daemon = watchkeeper.spawn(&["run"]);
        wait_until("it is given up", SOON, || outcome(&watchkeeper, &run) == "interrupted");
        signal("-TERM", &daemon);
        let said = watchkeeper.wait(daemon, &["run"]).expect(0).stderr;
        let reason = show(&watchkeeper, &run)["reason"].as_str().unwrap().to_owned();
        assert!(
            reason.contains("it ended with 1; it is not tried again: ") && reason.contains(why),
            "{reason}"
        );
        assert_eq!(ran(&watchkeeper).iter().filter(|ran| **ran == run).count(), 1);
        let noted = fs::read_to_string(watchkeeper.folder().join("hooks")).unwrap();
        let of_run = noted.lines().filter(|line| line.contains(&run));
        let moments: Vec<&str> = of_run.map(|line| line.split(' ').next().unwrap()).collect();
        let is_known = fs::read_to_string(watchkeeper.config()).unwrap().contains("name = \"j\"");
        let wanted: &[&str] = match (is_known, is_killed) {
            (false, _) => &["before"],
            (true, true) => &["before", "on_failure", "finally"],
            (true, false) => &["before", "finally", "on_failure"],
        };
        assert_eq!(moments, wanted, "{noted}");
        assert_eq!(said.contains("its hooks are not known"), !is_known, "{said}");
        if is_known {
            assert!(
                noted.contains(&format!("on_failure interrupted {run} ")) && noted.contains(why),
                "{noted}"
            );
            assert_eq!(show(&watchkeeper, &run)["hooks"].as_array().unwrap().len(), 3);
        }
    };
    let older = |watchkeeper: &Watchkeeper| {
        history(watchkeeper).execute("UPDATE run SET slot = slot - ?1", [6 * HOUR]).unwrap();
    };
    cut(("max_age = \"5h\"", true), &older, "its slot is older than max_age, 5 h");
    let disable =
        |watchkeeper: &Watchkeeper| edit(watchkeeper, "name = \"j\"", "name = \"j\"\nenabled = false");
    cut(("", false), &disable, "the job was taken out of the configuration, or disabled");
    let fewer = |watchkeeper: &Watchkeeper| edit(watchkeeper, "max = 3", "max = 0");
    cut(("", true), &fewer, "\"retries\" of the job allows no more");
    let rename = |watchkeeper: &Watchkeeper| edit(watchkeeper, "name = \"j\"", "name = \"other\"");
    cut(("", true), &rename, "the job was taken out of the configuration, or disabled");
    let pause = |watchkeeper: &Watchkeeper| drop(watchkeeper.run(&["pause", "j"]).expect(0));
    cut(("", false), &pause, "paused since 2");
}

#[test]
fn one_that_still_owes_its_wait_can_be_stopped_and_taken_away_again() {
    let watchkeeper = failing("retries = { max = 3, backoff = \"10m\" }\non_missed = \"all\"");
    let (daemon, run) = until_it_waits(&watchkeeper);
    kill(daemon);
    let due = count(&watchkeeper, "SELECT due FROM waiting");
    let daemon = watchkeeper.spawn(&["run"]);
    let watches = "SELECT count(*) FROM watched WHERE schedule = '@yearly'";
    wait_until("the daemon runs", SOON, || count(&watchkeeper, watches) == 1);
    stop(&watchkeeper, daemon);
    assert_eq!(count(&watchkeeper, "SELECT due FROM waiting"), due, "it owes what it owed");
    assert_eq!((ran(&watchkeeper).len(), outcome(&watchkeeper, &run).as_str()), (1, "running"));
    let daemon = super::kept::ready(&watchkeeper);
    super::kept::reload(&watchkeeper, &daemon, "name = \"j\"", "name = \"j\"\nenabled = false");
    wait_until("it is given up", SOON, || outcome(&watchkeeper, &run) == "interrupted");
    stop(&watchkeeper, daemon);
    let slot = count(&watchkeeper, "SELECT slot FROM run WHERE outcome = 'interrupted'");
    let twice = format!("SELECT count(*) FROM missed WHERE first <= {slot} AND last >= {slot}");
    assert_eq!(count(&watchkeeper, &twice), 0, "{:?}", fates(&watchkeeper, "j"));
}

#[test]
fn a_run_that_is_killed_in_an_attempt_is_cut_off_and_does_not_go_on() {
    let watchkeeper = failing("retries = { max = 3, backoff = \"1s\" }");
    let text = fs::read_to_string(watchkeeper.config()).unwrap();
    let hangs = text.replace("test -e", "test $(wc -l < FOLDER/ran) = 1 || sleep 600; test -e");
    fs::write(watchkeeper.config(), hangs.replace("FOLDER", &watchkeeper.folder().display().to_string()))
        .unwrap();
    let daemon = watchkeeper.spawn(&["run"]);
    wait_until("its second attempt hangs", SOON, || {
        ran(&watchkeeper).len() == 2 && ran(&watchkeeper)[0] == ran(&watchkeeper)[1]
    });
    let run = ran(&watchkeeper)[0].clone();
    wait_until("that is known", SOON, || waiting(&watchkeeper) == Some(0));
    // With what it does, so that nothing is left.
    signal("-KILL", &daemon);
    watchkeeper.wait(daemon, &["run"]);
    assert_eq!(outcome(&watchkeeper, &run), "interrupted");
    let report = show(&watchkeeper, &run);
    assert_eq!(report["attempts"].as_array().unwrap().len(), 1, "{report}");
    // The next daemon ends what hangs.
    let text = fs::read_to_string(watchkeeper.config()).unwrap();
    fs::write(watchkeeper.config(), text.replace("* * * * * *", "@yearly")).unwrap();
    stop(&watchkeeper, super::kept::ready(&watchkeeper));
}

#[test]
fn only_what_may_pass_is_tried_again() {
    let job = "[[job]]\nname = \"j\"\nkind = \"command\"\nretries = { max = 2, backoff = \"1s\" }\n";
    let attempts = |command: &str| {
        let watchkeeper = Watchkeeper::with_config(&format!("{job}command = [\"{command}\"]"));
        let since = Instant::now();
        let report = watchkeeper.run_json(&["run-now", "j"]).expect(1).json()["runs"][0].clone();
        (report["attempts"].as_array().unwrap().len(), since.elapsed())
    };
    let (made, took) = attempts("false");
    assert!(made == 3 && took >= Duration::from_secs(3), "after 1 s and after 2 s: {made} in {took:?}");
    let (made, took) = attempts("/no/such/program");
    assert!(made == 1 && took < Duration::from_secs(3), "{made} in {took:?}");
}

#[test]
fn what_was_prepared_is_put_away_when_the_daemon_stops_and_prepared_again_when_it_goes_on() {
    let hook = "{ shell = true, command = 'echo $WATCHKEEPER_HOOK $WATCHKEEPER_OUTCOME >> FOLDER/hooks' }";
    let hooks =
        format!("[job.hooks]\nbefore = {hook}\non_failure = {hook}\nafter = {hook}\nfinally = {hook}\n");
    let watchkeeper = failing("retries = { max = 3, backoff = \"10m\" }\nFOLDERHOOKS");
    let folder = watchkeeper.folder().display().to_string();
    let text = fs::read_to_string(watchkeeper.config()).unwrap();
    fs::write(watchkeeper.config(), text.replace("FOLDERHOOKS", &hooks.replace("FOLDER", &folder))).unwrap();
    let (daemon, run) = until_it_waits(&watchkeeper);
    stop(&watchkeeper, daemon);
    let noted = || fs::read_to_string(watchkeeper.folder().join("hooks")).unwrap();
    assert_eq!(noted(), "before\nfinally interrupted\n");
    fs::write(watchkeeper.folder().join("well"), "").unwrap();
    due_in(&watchkeeper, 0);
    let daemon = watchkeeper.spawn(&["run"]);
    wait_until("it is done", SOON, || outcome(&watchkeeper, &run) == "done");
    stop(&watchkeeper, daemon);
    assert_eq!(noted(), "before\nfinally interrupted\nbefore\nafter done\nfinally done\n");
    assert_eq!(show(&watchkeeper, &run)["hooks"].as_array().unwrap().len(), 5);
    assert!(runs(&watchkeeper, "j").iter().any(|run| run.1 == "done"));
}

#[test]
fn with_skip_a_slot_that_comes_behind_one_that_runs_and_one_that_waits_is_skipped_at_once() {
    let watchkeeper = failing("retries = { max = 3, backoff = \"10m\" }\non_missed = \"once\"");
    let daemon = watchkeeper.spawn(&["run"]);
    let waits = || watchkeeper.state().join("history.db").exists() && waiting(&watchkeeper) == Some(1);
    wait_until("a run waits", SOON, waits);
    kill(daemon);
    let since = jiff::Timestamp::now();
    wait_until("slots go by", SOON, || jiff::Timestamp::now().duration_since(since).as_secs() >= 3);
    let daemon = watchkeeper.spawn(&["run"]);
    let skipped = "SELECT count(*) FROM run WHERE outcome = 'skipped' AND reason LIKE '%, and another waits'";
    wait_until("slots come behind it", SOON, || count(&watchkeeper, skipped) >= 2);
    wait_until("what waits is told", SOON, || count(&watchkeeper, "SELECT count(*) FROM wait") > 0);
    stop(&watchkeeper, daemon);
    assert_eq!(count(&watchkeeper, "SELECT count(*) FROM wait"), 1, "{:?}", fates(&watchkeeper, "j"));
}

#[test]
fn a_run_that_waits_where_no_daemon_runs_is_said_to_wait_and_is_overdue_when_its_attempt_is() {
    let watchkeeper = failing("retries = { max = 3, backoff = \"10m\" }");
    let (daemon, _) = until_it_waits(&watchkeeper);
    assert!(watchkeeper.run(&["history", "j"]).expect(0).stdout.contains("running"));
    kill(daemon);
    for command in [["history", "j"].as_slice(), &["status"]] {
        let text = watchkeeper.run(command).expect(0).stdout;
        assert!(
            text.contains("it waits for its next attempt, and no daemon runs") && !text.contains("running"),
            "{text}"
        );
    }
    let status = watchkeeper.run_json(&["status"]).expect(0).json();
    assert_eq!(status["jobs"][0]["last"]["outcome"], "waiting");
    due_in(&watchkeeper, -6 * 60_000);
    assert!(watchkeeper.run(&["status"]).expect(1).stdout.contains("overdue"));
}
