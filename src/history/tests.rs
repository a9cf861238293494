//! Which runs are found. How fast, in a history of a million, is measured by `benches/history.rs`.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use tempfile::TempDir;
use ulid::Ulid;

use super::{Cause, Filter, History, HistoryError, NewRun, RunReport, RunState, use_wal};
use crate::jobs::Outcome;

struct Fixture {
    history: History,
    _folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { history: History::open(folder.path()).unwrap(), _folder: folder }
    }

    /// A run at this minute, with an ID of our choice.
    fn run(&self, id: u128, job: &str, kind: &str, minute: i64, outcome: Option<Outcome>) -> Ulid {
        let started =
            "2026-11-23T02:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minute);
        let run = Ulid(id);
        let new = NewRun { run, job: job.parse().unwrap(), kind: kind.into(), cause: Cause::Manual, started };
        self.history.start(&new).unwrap();
        if outcome.is_some() {
            let mut report = RunReport::begun(&new);
            (report.finished, report.outcome) = (Some(started), outcome);
            self.history.finish(&report).unwrap();
        }
        run
    }

    fn done(&self, id: u128, job: &str, minute: i64) -> Ulid {
        self.run(id, job, "files", minute, Some(Outcome::Done))
    }

    fn last(&self) -> Vec<(String, Ulid)> {
        let last = self.history.last_per_job().unwrap();
        last.into_iter().map(|(job, report)| (job.to_string(), report.run)).collect()
    }

    fn listed(&self, job: Option<&str>, failed: bool) -> Vec<Ulid> {
        let job = job.map(|job| job.parse().unwrap());
        let states = if failed {
            vec![RunState::Ended(Outcome::Failed), RunState::Ended(Outcome::Interrupted)]
        } else {
            Vec::new()
        };
        let runs = self.history.recent(&Filter { job, states, ..Filter::default() }).unwrap();
        runs.into_iter().map(|report| report.run).collect()
    }
}

#[test]
fn each_jobs_last_run_is_its_newest() {
    let fixture = Fixture::new();
    assert!(fixture.last().is_empty());
    fixture.done(1, "a", 5);
    let newest = fixture.done(2, "a", 9);
    fixture.done(3, "a", 7);
    let other = fixture.done(4, "b", 1);
    let running = fixture.run(5, "c", "files", 0, None);
    assert_eq!(fixture.last(), [("a".into(), newest), ("b".into(), other), ("c".into(), running)]);
}

#[test]
fn of_two_runs_of_one_instant_the_later_id_is_the_last() {
    let fixture = Fixture::new();
    let later = fixture.done(9, "a", 0);
    fixture.done(8, "a", 0);
    assert_eq!(fixture.last(), [("a".into(), later)]);
}

#[test]
fn skipped_runs_and_restores_are_not_a_jobs_last() {
    let fixture = Fixture::new();
    let done = fixture.done(1, "a", 0);
    fixture.run(2, "a", "files", 1, Some(Outcome::Skipped));
    fixture.run(3, "a", "prometheus-restore", 2, Some(Outcome::Done));
    fixture.run(4, "only-skipped", "files", 3, Some(Outcome::Skipped));
    let other = fixture.done(5, "z", 4);
    assert_eq!(fixture.last(), [("a".into(), done), ("z".into(), other)]);
}

#[test]
fn each_jobs_last_restore_is_found_whatever_ran_since_and_by_an_index_of_its_own() {
    let fixture = Fixture::new();
    let restores = || {
        let last = fixture.history.last_restore_per_job().unwrap();
        last.into_iter().map(|(job, report)| (job.to_string(), report.run)).collect::<Vec<_>>()
    };
    fixture.run(1, "a", "prometheus-restore", 1, Some(Outcome::Done));
    let failed = fixture.run(2, "a", "prometheus-restore", 2, Some(Outcome::Failed));
    fixture.run(3, "a", "prometheus-restore", 3, Some(Outcome::Skipped));
    fixture.done(4, "a", 4);
    fixture.done(5, "b", 5);
    assert_eq!(restores(), [("a".into(), failed)]);
    let undone = fixture.run(6, "a", "prometheus-restore", 6, Some(Outcome::Done));
    assert_eq!(restores(), [("a".into(), undone)]);
    let plan: String = fixture
        .history
        .lock()
        .prepare(
            "EXPLAIN QUERY PLAN SELECT id FROM run WHERE job = 'a' AND outcome <> 'skipped' AND kind LIKE '%-restore' \
             ORDER BY started DESC, id DESC LIMIT 1",
        )
        .unwrap()
        .query_map([], |row| row.get::<_, String>(3))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(plan.contains("run_restore"), "{plan}");
}

#[test]
fn a_run_is_shown_by_the_beginning_of_its_id_in_either_case() {
    let fixture = Fixture::new();
    let ids = ["01K0000000000000000000000Z", "01K000000000000000000000Z0", "01M00000000000000000000000"];
    let [first, second, third] = ids.map(|id| fixture.done(id.parse::<Ulid>().unwrap().0, "a", 0));
    let shown = |text: &str| fixture.history.show(text).map(|report| report.run);
    assert_eq!(shown(&first.to_string()).unwrap(), first);
    assert_eq!(shown("01K000000000000000000000Z").unwrap(), second);
    assert_eq!(shown("01m").unwrap(), third);
    assert!(matches!(shown("01K0"), Err(HistoryError::AmbiguousRun { count: 2, .. })));
    assert!(matches!(shown("0"), Err(HistoryError::AmbiguousRun { count: 3, .. })));
    for text in ["", "01L", "01K00000000000000000000000", "01M000000000000000000000000", "%", "~", "01M~"] {
        assert!(matches!(shown(text), Err(HistoryError::UnknownRun { .. })), "{text:?}");
    }
}

#[test]
fn a_list_has_the_newest_run_first_and_only_what_was_asked_for() {
    let fixture = Fixture::new();
    let a = fixture.done(1, "a", 1);
    let failed = fixture.run(2, "b", "files", 3, Some(Outcome::Failed));
    let cut = fixture.run(3, "a", "files", 2, Some(Outcome::Interrupted));
    assert_eq!(fixture.listed(None, false), [failed, cut, a]);
    assert_eq!(fixture.listed(Some("a"), false), [cut, a]);
    assert_eq!(fixture.listed(None, true), [failed, cut]);
    assert_eq!(fixture.listed(Some("b"), true), [failed]);
    assert!(fixture.listed(Some("c"), false).is_empty());
}

#[test]
fn a_file_that_others_use_is_not_waited_for_longer_than_any_statement() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("CREATE TABLE other (a); BEGIN; SELECT * FROM other").unwrap();
    let limit = Duration::from_millis(200);
    let connection = Connection::open(&path).unwrap();
    connection.busy_timeout(limit).unwrap();
    let since = Instant::now();
    use_wal(&connection, limit).unwrap_err();
    assert!(since.elapsed() < limit * 5, "{:?}", since.elapsed());
}

#[test]
fn a_run_of_which_the_history_was_told_nothing_or_only_the_beginning_is_written_later() {
    let fixture = Fixture::new();
    let begun = fixture.run(1, "a", "files", 0, None);
    let mut report = fixture.history.show(&begun.to_string()).unwrap();
    (report.finished, report.outcome) = (Some(report.started), Some(Outcome::Done));
    fixture.history.record(&report).unwrap();
    let unknown = RunReport { run: Ulid(2), cause: Cause::Scheduled(report.started), ..report.clone() };
    fixture.history.record(&unknown).unwrap();
    assert_eq!(fixture.history.show(&begun.to_string()).unwrap().outcome, Some(Outcome::Done));
    assert_eq!(fixture.history.show(&Ulid(2).to_string()).unwrap().cause, unknown.cause);
    let again = RunReport { run: Ulid(3), ..unknown };
    assert!(matches!(fixture.history.record(&again), Err(HistoryError::SlotTaken { .. })));
}

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
    let keep = Duration::from_hours(400 * 24);
    let pruned = fixture.history.prune(keep, now).unwrap().unwrap();
    // All but the newest hundred, and three that are kept for themselves.
    assert_eq!(pruned.runs, 50);
    let left = fixture.listed(Some("a"), false);
    assert!([failed, restored, running].iter().all(|run| left.contains(run)) && left.len() == 103);
    assert_eq!(fixture.listed(Some("rare"), false), [rare]);
    assert_eq!(fixture.history.prune(keep, now).unwrap(), None, "once a day");
    let later = now + SignedDuration::from_hours(25);
    assert_eq!(fixture.history.prune(keep, later).unwrap().unwrap().runs, 0);
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
        let line = super::LogLine { at: at(hour), level: "INFO".into(), text: "x".into() };
        report.log.push(line);
        fixture.history.finish(&report).unwrap();
    }
    let note = super::Watched {
        schedule: "0 * * * *".into(),
        zone: "UTC".into(),
        born: at(-1),
        until: at(50),
        ended: None,
    };
    fixture.history.watch(&job, &[note], &[]).unwrap();
    let pruned = fixture.history.prune(Duration::from_hours(1), at(10_000)).unwrap().unwrap();
    assert_eq!((pruned.runs, pruned.log_lines), (51, 300));
    assert_eq!(fixture.history.forgotten(&job).unwrap(), Some(at(50)));
    assert_eq!(fixture.history.fate(&job, at(7)).unwrap(), super::SlotFate::Ran);
    assert_eq!(fixture.history.fate(&job, at(500)).unwrap(), super::SlotFate::Unknown);
    assert_eq!(fixture.listed(None, false).len(), 249);
}
