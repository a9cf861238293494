//! What is forgotten, and what never is.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ulid::Ulid;

use super::Fixture;
use crate::config::values::Remembered;
use crate::history::{Cause, Filter, LogLine, NewRun, NotesChange, RunReport, SlotFate, Watched};
use crate::jobs::Outcome;

/// Longer than any pruning here takes.
const IN_TIME: Duration = Duration::from_mins(10);

#[test]
fn old_runs_are_forgotten_but_for_what_is_still_asked_for() {
    let day = |day: i64| day * 1_440;
    let fixture = Fixture::new();
    let now = "2026-11-23T02:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(day(1_000));
    let failed = fixture.run(1, "a", "files", day(1), Some(Outcome::Failed));
    let restored = fixture.run(2, "a", "files-restore", day(1), Some(Outcome::Done));
    let running = fixture.run(3, "a", "files", day(1), None);
    for id in 0..150 {
        fixture.done(100 + id, "a", day(2));
    }
    let rare = fixture.done(900, "rare", day(1));
    let keep = Remembered { age: Duration::from_hours(400 * 24), runs: u32::MAX };
    let pruned = fixture.history.prune(keep, now, IN_TIME).unwrap().unwrap();
    // All but the newest hundred, and three that are kept for themselves.
    assert_eq!(pruned.runs, 50);
    let left = fixture.listed(Some("a"), false);
    assert!([failed, restored, running].iter().all(|run| left.contains(run)) && left.len() == 103);
    assert_eq!(fixture.listed(Some("rare"), false), [rare]);
    assert_eq!(fixture.history.prune(keep, now, IN_TIME).unwrap(), None, "once an hour");
    let later = now + SignedDuration::from_hours(1);
    assert_eq!(fixture.history.prune(keep, later, IN_TIME).unwrap().unwrap().runs, 0);
}

#[test]
fn of_a_job_that_runs_often_the_newest_runs_are_kept_and_those_that_are_asked_for() {
    let fixture = Fixture::new();
    let now = "2026-11-24T02:00:00Z".parse::<Timestamp>().unwrap();
    let failed = fixture.run(1, "often", "files", 1, Some(Outcome::Failed));
    let restored = fixture.run(2, "often", "files-restore", 1, Some(Outcome::Done));
    let told = fixture.run(3, "often", "files", 2, Some(Outcome::Failed));
    let cut = fixture.run(4, "often", "files", 2, Some(Outcome::Interrupted));
    let told_of_another = fixture.run(5, "often", "files", 2, Some(Outcome::Done));
    let last_failed = fixture.run(6, "often", "files", 3, Some(Outcome::Failed));
    let good = fixture.done(7, "often", 4);
    for id in 0..400 {
        fixture.run(1_000 + id, "often", "files", 5 + i64::try_from(id).unwrap(), Some(Outcome::Skipped));
    }
    let few: Vec<Ulid> =
        (0..120).map(|id| fixture.done(10_000 + id, "few", i64::try_from(id).unwrap())).collect();
    let about = |job: &str| ("ops".parse().unwrap(), job.parse().unwrap());
    let note = |run: Ulid| Some(format!("{{\"told\":[{{\"run\":\"{run}\"}}]}}"));
    let notes = vec![(about("often"), note(told)), (about("few"), note(told_of_another))];
    fixture.history.note(&NotesChange { notes, at: now, ..NotesChange::default() }).unwrap();

    let keep = Remembered { age: Duration::from_hours(400 * 24), runs: 150 };
    let pruned = fixture.history.prune(keep, now, IN_TIME).unwrap().unwrap();
    assert_eq!(pruned.runs, 250);
    let left = fixture.listed(Some("often"), false);
    // Of those that were skipped many, of those that ran few, of which none goes.
    let ran = [failed, restored, told, cut, told_of_another, last_failed, good];
    assert_eq!(left.len(), 150 + ran.len());
    assert!(ran.iter().all(|run| left.contains(run)), "{left:?}");
    assert_eq!(left[0], Ulid(1_399), "the newest");
    assert_eq!(fixture.listed(Some("few"), false).len(), few.len());
    // However few are wanted.
    let keep = Remembered { runs: 1, ..keep };
    let later = now + SignedDuration::from_hours(1);
    assert_eq!(fixture.history.prune(keep, later, IN_TIME).unwrap().unwrap().runs, 50 + 20);
}

#[test]
fn of_runs_that_are_too_many_those_that_are_told_of_or_asked_for_are_kept() {
    let fixture = Fixture::new();
    let now = "2026-11-24T02:00:00Z".parse::<Timestamp>().unwrap();
    let failed = fixture.run(1, "often", "files", 1, Some(Outcome::Failed));
    let restored = fixture.run(2, "often", "files-restore", 1, Some(Outcome::Done));
    let told = fixture.run(3, "often", "files", 2, Some(Outcome::Failed));
    let last_failed = fixture.run(4, "often", "files", 3, Some(Outcome::Failed));
    for id in 0..400 {
        fixture.done(1_000 + id, "often", 5 + i64::try_from(id).unwrap());
    }
    let note = Some(format!("{{\"told\":[{{\"run\":\"{told}\"}}]}}"));
    let notes = vec![(("ops".parse().unwrap(), "often".parse().unwrap()), note)];
    fixture.history.note(&NotesChange { notes, at: now, ..NotesChange::default() }).unwrap();

    let keep = Remembered { age: Duration::from_hours(400 * 24), runs: 150 };
    let pruned = fixture.history.prune(keep, now, IN_TIME).unwrap().unwrap();
    assert_eq!(pruned.runs, 250 + 1);
    let left = fixture.listed(Some("often"), false);
    assert!([restored, told, last_failed].iter().all(|run| left.contains(run)), "{left:?}");
    assert!(!left.contains(&failed), "{left:?}");
}

#[test]
fn a_pruning_ends_in_its_time_goes_on_at_the_next_and_lets_others_write_meanwhile() {
    let fixture = Fixture::new();
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000) \
                INSERT INTO run (id, job, kind, cause, started, finished, outcome, attempts) \
                SELECT printf('01K0000000%016d', i), 'a', 'command', 'manual', i * 1000, i * 1000, 'done', 1 FROM n";
    fixture.history.lock().execute_batch(fill).unwrap();
    let keep = Remembered { age: Duration::MAX, runs: 1_000 };
    let now = Timestamp::from_second(100_000).unwrap();
    let count = || fixture.history.recent(&Filter::default()).unwrap().len();
    let begun = fixture.history.prune(keep, now, Duration::ZERO).unwrap().unwrap();
    assert_eq!((begun.runs, count()), (0, 40_000));
    let (mut all, mut written) = (0, 0);
    std::thread::scope(|scope| {
        let pruning = scope.spawn(|| fixture.history.prune(keep, now, IN_TIME).unwrap().unwrap());
        while !pruning.is_finished() {
            fixture.run(written, "b", "command", 1, Some(Outcome::Done));
            written += 1;
        }
        all += pruning.join().unwrap().runs;
    });
    assert_eq!(all, 39_000);
    // It takes 78 steps, and a run is written in two.
    assert!(written > 10, "{written} runs were written meanwhile");
    assert_eq!(fixture.history.prune(keep, now, IN_TIME).unwrap(), None);
}

#[test]
fn a_slot_that_is_forgotten_is_not_run_again_and_one_whose_account_is_open_is_not_forgotten() {
    let fixture = Fixture::new();
    let job = "j".parse().unwrap();
    let at = |hour: i64| Timestamp::from_second(1_800_000_000 + hour * 3_600).unwrap();
    for hour in 0..300 {
        let (run, kind) =
            (Ulid::from_parts(u64::try_from(at(hour).as_millisecond()).unwrap(), 1), "files".to_owned());
        let new = NewRun {
            run,
            job: "j".parse().unwrap(),
            kind,
            cause: Cause::Scheduled(at(hour)),
            started: at(hour),
        };
        fixture.history.start(&new).unwrap();
        let mut report = RunReport::begun(&new);
        (report.finished, report.outcome) = (Some(at(hour)), Some(Outcome::Done));
        let line = LogLine { at: at(hour), level: "INFO".into(), text: "x".into() };
        report.log.push(line);
        fixture.history.finish(&report).unwrap();
    }
    let note = Watched {
        schedule: "0 * * * *".into(),
        zone: "UTC".into(),
        born: at(-1),
        until: at(50),
        ended: None,
    };
    fixture.history.watch(&job, &[note], &[]).unwrap();
    let keep = Remembered { age: Duration::from_hours(1), runs: u32::MAX };
    let pruned = fixture.history.prune(keep, at(10_000), IN_TIME).unwrap().unwrap();
    assert_eq!((pruned.runs, pruned.log_lines), (51, 300));
    assert_eq!(fixture.history.forgotten(&job).unwrap(), Some(at(50)));
    let slots = [at(7), at(500)].map(|slot| (job.clone(), slot));
    let fates: Vec<_> = fixture.history.standing(&slots).unwrap().iter().map(|slot| slot.fate).collect();
    assert_eq!(fates, [SlotFate::Ran, SlotFate::Unknown]);
    assert_eq!(fixture.listed(None, false).len(), 249);
}
