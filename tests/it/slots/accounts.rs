//! What is told of slots that did not run, while a daemon runs and when none does.

use std::fs;

use super::kept::{count, ready};
use super::{HOUR, SOON, fates, history, introduce, job, runs, set_back, stop, watched};
use crate::support::wait_until;
use crate::support::watchkeeper::{Output, Watchkeeper};

fn change(watchkeeper: &Watchkeeper, from: &str, to: &str) {
    let text = fs::read_to_string(watchkeeper.config()).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(watchkeeper.config(), text.replace(from, to)).unwrap();
}

fn explain(watchkeeper: &Watchkeeper, job: &str) -> String {
    watchkeeper.run(&["explain", job]).expect(0).stdout
}

fn fate(fate: &str, count: u64) -> (String, u64) {
    (fate.to_owned(), count)
}

#[test]
fn slots_of_jobs_that_were_taken_out_while_no_daemon_ran_are_noted_as_missed_with_the_reason() {
    let watchkeeper = Watchkeeper::with_config(&format!(
        "{}{}",
        job("gone", "@every 2h", "on_missed = \"all\""),
        job("off", "@every 2h", "on_missed = \"all\"\nenabled = true")
    ));
    introduce(&watchkeeper, 2);
    set_back(&watchkeeper, 10);
    change(&watchkeeper, "\"gone\"", "\"renamed\"");
    change(&watchkeeper, "enabled = true", "enabled = false");
    let daemon = ready(&watchkeeper);
    stop(&watchkeeper, daemon);
    for job in ["gone", "off"] {
        assert_eq!(fates(&watchkeeper, job), [fate("missed", 5)], "{job}");
        let text = explain(&watchkeeper, job);
        assert!(text.contains("the job was disabled or taken out of the configuration meanwhile"), "{text}");
        let text = watchkeeper.run(&["history", job]).expect(0).stdout;
        assert!(text.contains("missed") && text.contains("5 slots until "), "{text}");
    }
    assert!(explain(&watchkeeper, "gone").contains("not in the configuration any more"));
    assert_eq!(watchkeeper.run_json(&["history"]).expect(0).json()["missed"][0]["count"], 5);
    watchkeeper.run(&["explain", "never"]).expect(2);
    // When it comes back, it has missed nothing.
    change(&watchkeeper, "enabled = false", "enabled = true");
    let daemon = ready(&watchkeeper);
    stop(&watchkeeper, daemon);
    assert_eq!((fates(&watchkeeper, "off"), runs(&watchkeeper, "off")), (vec![fate("missed", 5)], vec![]));
}

#[test]
fn a_slot_that_waits_says_what_for_and_what_became_of_it_when_the_daemon_ended() {
    let watchkeeper =
        Watchkeeper::with_config(&job("late", "* * * * * *", "jitter = \"1000h\"\non_missed = \"skip\""));
    let daemon = watchkeeper.spawn(&["run"]);
    let waits =
        || watched(&watchkeeper) > 0 && fates(&watchkeeper, "late").iter().any(|fate| fate.0 == "waiting");
    wait_until("a slot waits", SOON, waits);
    let text = watchkeeper.run(&["explain", "late", "-n", "100"]).expect(0).stdout;
    assert!(text.contains("waiting") && text.contains("it waits for its jitter of "), "{text}");
    let text = watchkeeper.run(&["status"]).stdout;
    assert!(text.contains("a slot waits for its jitter of "), "{text}");
    stop(&watchkeeper, daemon);
    let text = watchkeeper.run(&["explain", "late", "-n", "100"]).expect(0).stdout;
    assert!(text.contains("when the daemon ended; the next one decides"), "{text}");
    let daemon = ready(&watchkeeper);
    stop(&watchkeeper, daemon);
    let sql = "SELECT count(*) FROM missed WHERE reason LIKE 'it waited for its jitter of % when the daemon ended at %'";
    assert_eq!(count(&watchkeeper, sql), 1);
}

#[test]
fn a_jitter_is_not_begun_anew_by_each_daemon() {
    let watchkeeper =
        Watchkeeper::with_config(&job("late", "@every 2h", "jitter = \"119m\"\non_missed = \"all\""));
    introduce(&watchkeeper, 1);
    set_back(&watchkeeper, 10);
    let daemon = ready(&watchkeeper);
    let done = || runs(&watchkeeper, "late").iter().filter(|run| run.1 == "done").count();
    // The jitter of all but the newest is over.
    wait_until("what waited long enough has run", SOON, || done() >= 4);
    stop(&watchkeeper, daemon);
}

#[test]
fn slots_before_a_pause_are_made_up_for_when_it_ends_and_those_in_it_are_not() {
    let watchkeeper = Watchkeeper::with_config(&job("all", "@every 1h", "on_missed = \"all\""));
    introduce(&watchkeeper, 1);
    set_back(&watchkeeper, 6);
    watchkeeper.run(&["pause", "all"]).expect(0);
    history(&watchkeeper).execute("UPDATE paused SET since = since - 3 * ?1", [HOUR]).unwrap();
    let daemon = ready(&watchkeeper);
    wait_until("it is told what waits", SOON, || fates(&watchkeeper, "all").contains(&fate("waiting", 1)));
    assert_eq!(
        fates(&watchkeeper, "all"),
        [fate("missed", 3), fate("waiting", 1), fate("waiting", 1), fate("waiting", 1)]
    );
    assert!(explain(&watchkeeper, "all").contains("it waits for the end of the pause"));
    assert_eq!(runs(&watchkeeper, "all"), []);
    watchkeeper.run(&["resume", "all"]).expect(0);
    wait_until("they are made up for", SOON, || {
        runs(&watchkeeper, "all").iter().filter(|run| run.1 == "done").count() == 3
    });
    stop(&watchkeeper, daemon);
    assert_eq!(count(&watchkeeper, "SELECT sum(count) FROM missed"), 3);
}

#[test]
fn a_chain_does_not_stop_without_a_trace_and_a_run_says_for_how_many_ends_it_stands() {
    let by_hand = |name: &str, program: &str, rest: &str| {
        format!("[[job]]\nname = \"{name}\"\nkind = \"command\"\ncommand = {program}\n{rest}\n")
    };
    let watchkeeper = Watchkeeper::with_config(&format!(
        "{}{}{}{}{}{}",
        by_hand("bad", "[\"false\"]", ""),
        by_hand("second", "[\"true\"]", "after = [\"bad\"]"),
        by_hand("third", "[\"true\"]", "after = [\"second\"]"),
        by_hand("always", "[\"true\"]", "after = [\"second\"]\nafter_outcome = \"always\""),
        by_hand("good", "[\"true\"]", ""),
        by_hand("slow", "[\"sleep\", \"4\"]", "after = [\"good\"]"),
    ));
    let daemon = ready(&watchkeeper);
    wait_until("they are watched", SOON, || watched(&watchkeeper) == 4);
    let after = |outcome: &str| ("after".to_owned(), outcome.to_owned());
    watchkeeper.run(&["run-now", "good"]).expect(0);
    watchkeeper.run(&["run-now", "bad"]).expect(1);
    wait_until("slow runs", SOON, || runs(&watchkeeper, "slow") == [after("running")]);
    watchkeeper.run(&["run-now", "good"]).expect(0);
    watchkeeper.run(&["run-now", "good"]).expect(0);
    wait_until("the chain is told to its end", SOON, || {
        runs(&watchkeeper, "third") == [after("skipped")] && runs(&watchkeeper, "always") == [after("done")]
    });
    let text = explain(&watchkeeper, "third");
    let why =
        "the run of second that it runs after was skipped: the run of bad that it runs after was failed";
    assert!(text.contains(why), "{text}");
    wait_until("slow has run again", SOON, || runs(&watchkeeper, "slow") == [after("done"), after("done")]);
    stop(&watchkeeper, daemon);
    assert!(explain(&watchkeeper, "slow").contains("it stands for 2 ends of good"));
}

#[test]
fn a_job_that_runs_after_one_that_never_runs_is_warned_of() {
    let watchkeeper = Watchkeeper::with_config(&format!(
        "{}{}{}",
        job("off", "@daily", "enabled = false"),
        "[[job]]\nname = \"hand\"\nkind = \"command\"\ncommand = [\"true\"]\n",
        "[[job]]\nname = \"last\"\nkind = \"command\"\ncommand = [\"true\"]\nafter = [\"off\", \"hand\"]\non_missed = \"all\"\n",
    ));
    let checked: Output = watchkeeper.run(&["check"]).expect(3);
    for wanted in [
        "job \"last\" runs after \"off\", which is disabled",
        "job \"last\" runs after \"hand\", which has no schedule",
        "\"on_missed\" means nothing with \"after\"",
    ] {
        assert!(checked.stdout.contains(wanted), "{wanted}: {}", checked.stdout);
    }
    let text = explain(&watchkeeper, "last");
    assert!(text.contains("off is disabled: it ends only when `watchkeeper run-now off` runs it"), "{text}");
}

#[test]
fn where_no_daemon_runs_any_more_a_plan_says_so() {
    let watchkeeper = Watchkeeper::with_config(&job("tick", "@every 1h", "on_missed = \"skip\""));
    let commands: [&[&str]; 4] = [&["explain", "tick"], &["next"], &["next", "tick"], &["status"]];
    let caution = |command: &[&str]| watchkeeper.run(command).stdout.contains("no daemon runs here since ");
    let daemon = ready(&watchkeeper);
    assert!(!commands.iter().any(|command| caution(command)));
    stop(&watchkeeper, daemon);
    set_back(&watchkeeper, 3);
    for command in commands {
        let text = watchkeeper.run(command).stdout;
        assert!(text.contains("; 3 slots since then are not accounted for yet. `systemctl start "), "{text}");
    }
    let next = watchkeeper.run_json(&["next"]).expect(0).json();
    assert_eq!((&next["daemon"]["running"], &next["daemon"]["unaccounted"]), (&false.into(), &3.into()));
    let daemon = ready(&watchkeeper);
    assert!(!commands.iter().any(|command| caution(command)));
    stop(&watchkeeper, daemon);
    assert!(explain(&watchkeeper, "tick").contains("no slot came since then"));
}

#[test]
fn the_time_without_a_daemon_begins_when_the_last_one_ended() {
    let watchkeeper = Watchkeeper::with_config(&job("tick", "@every 1h", "on_missed = \"skip\""));
    introduce(&watchkeeper, 1);
    set_back(&watchkeeper, 3);
    // The last slot that is known came a day before that daemon ended.
    let sql = "UPDATE watched SET born = born - ?1, until = until - ?1";
    history(&watchkeeper).execute(sql, [24 * HOUR]).unwrap();
    let daemon = ready(&watchkeeper);
    stop(&watchkeeper, daemon);
    assert_eq!(fates(&watchkeeper, "tick"), [fate("missed", 3), fate("missed", 24)]);
    assert!(explain(&watchkeeper, "tick").contains("it had not begun when the daemon ended at "));
}

#[test]
fn a_count_that_was_broken_off_says_so() {
    let watchkeeper = Watchkeeper::with_config(&job("tick", "* * * * * *", "on_missed = \"skip\""));
    introduce(&watchkeeper, 1);
    set_back(&watchkeeper, 100);
    change(&watchkeeper, "* * * * * *", "@yearly");
    let daemon = ready(&watchkeeper);
    stop(&watchkeeper, daemon);
    let slots = watchkeeper.run_json(&["explain", "tick", "-n", "1"]).expect(0).json();
    assert_eq!(
        (&slots["slots"][0]["count"], &slots["slots"][0]["at_least"]),
        (&100_000.into(), &true.into())
    );
    assert!(explain(&watchkeeper, "tick").contains("at least 100 000 from "));
    assert!(watchkeeper.run(&["history"]).expect(0).stdout.contains("at least 100 000 slots until "));
}

#[test]
fn reasons_name_slots_in_the_zone_of_the_table() {
    let sleeps = job("tick", "* * * * * *", "").replace("[\"true\"]", "[\"sleep\", \"3\"]");
    let watchkeeper = Watchkeeper::with_config(&format!("timezone = \"Asia/Kolkata\"\n{sleeps}"));
    let daemon = watchkeeper.spawn(&["run"]);
    let skipped = "SELECT count(*) FROM run WHERE reason LIKE 'the run for the slot % +05:30 has not ended'";
    wait_until("a slot is skipped", SOON, || watched(&watchkeeper) > 0 && count(&watchkeeper, skipped) > 0);
    stop(&watchkeeper, daemon);
}

#[test]
fn that_a_slot_is_known_is_written_soon_after_its_run_though_none_comes_after_it() {
    let slot = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(4);
    let time = jiff::tz::TimeZone::UTC.to_datetime(slot);
    let schedule = format!("{} {} {} * * *", time.second(), time.minute(), time.hour());
    let watchkeeper =
        Watchkeeper::with_config(&format!("timezone = \"UTC\"\n{}", job("once", &schedule, "")));
    let daemon = ready(&watchkeeper);
    // The moment before it may be known since the start, the slot itself only when it has run.
    let known = format!("SELECT count(*) FROM watched WHERE until / 1000 >= {}", slot.as_second());
    wait_until("the slot is known", SOON, || count(&watchkeeper, &known) == 1);
    assert_eq!(count(&watchkeeper, "SELECT count(*) FROM run WHERE outcome = 'done'"), 1);
    stop(&watchkeeper, daemon);
}
