//! Which runs are found. How fast, in a history of a million, is measured by `benches/history.rs`.

mod forgotten;

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, StatementStatus};
use tempfile::TempDir;
use ulid::Ulid;

use super::open::use_wal;
use super::{
    Begins, Cause, CutRun, Filter, History, HistoryError, NewRun, Pause, RAN, RunReport, RunState, Terms,
    Watched, cut, standing,
};
use crate::config::values::{JobName, Remembered};
use crate::jobs::Outcome;

struct Fixture {
    history: History,
    folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { history: History::open(folder.path()).unwrap(), folder }
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
fn a_snapshot_is_of_one_moment_and_keeps_nobody_from_writing() {
    let fixture = Fixture::new();
    let first = fixture.done(1, "a", 1);
    let snapshot = fixture.history.snapshot().unwrap().unwrap();
    fixture.run(2, "a", "files", 2, Some(Outcome::Failed));
    let job = "a".parse().unwrap();
    assert_eq!(snapshot.last_per_job().unwrap()[&job].run, first);
    assert_eq!(snapshot.recent(&Filter::default()).unwrap().len(), 1);
    assert_eq!(snapshot.last_success(&job).unwrap().1, 0);
    assert_eq!(fixture.history.last_success(&job).unwrap().1, 1);
    let forgetful = History::forgetful(fixture.folder.path()).unwrap();
    assert!(forgetful.snapshot().unwrap().is_none());
}

#[test]
fn a_snapshot_makes_no_history_where_it_was_taken_away() {
    let fixture = Fixture::new();
    let file = fixture.folder.path().join(super::FILE);
    std::fs::remove_file(&file).unwrap();
    assert!(fixture.history.snapshot().is_err());
    assert!(!file.exists());
}

#[test]
fn each_jobs_last_run_is_the_one_that_was_noted_last_whatever_the_clock_showed() {
    let fixture = Fixture::new();
    assert!(fixture.last().is_empty());
    let job: JobName = "a".parse().unwrap();
    for id in 10..130 {
        fixture.done(id, "a", 1);
    }
    fixture.done(1, "a", 5);
    let ahead = fixture.done(9, "a", 90);
    let failed = fixture.run(3, "a", "files", 7, Some(Outcome::Failed));
    let cut = fixture.run(4, "a", "files", 8, Some(Outcome::Interrupted));
    let other = fixture.done(5, "b", 1);
    let running = fixture.run(6, "c", "files", 0, None);
    assert_eq!(fixture.last(), [("a".into(), cut), ("b".into(), other), ("c".into(), running)]);
    let runs = |found: Vec<RunReport>| found.into_iter().map(|report| report.run).collect::<Vec<_>>();
    assert_eq!(runs(fixture.history.newest_that_ran(&job, 3).unwrap()), [cut, failed, ahead]);
    assert_eq!(runs(fixture.history.newest_bad(&job, 1).unwrap()), [cut]);
    assert_eq!(fixture.history.newest_run(&job).unwrap().unwrap().run, cut);
    assert_eq!(fixture.history.last_success(&job).unwrap().1, 2);
    assert_eq!(fixture.history.cut_off_since_done(&job, Ulid(7)).unwrap(), [cut]);
    // A clock that is far behind takes none of them away.
    let behind = fixture.run(7, "a", "files", -1_000_000, Some(Outcome::Failed));
    let now = new_run(1, "a", 100).started;
    let keep = Remembered { age: Duration::from_hours(1), runs: 100 };
    assert_eq!(fixture.history.prune(keep, now, Duration::from_mins(1)).unwrap().unwrap().runs, 24);
    assert_eq!(fixture.last()[0], ("a".into(), behind));
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
             ORDER BY rowid DESC LIMIT 1",
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

/// A run of a job that begins at this minute for its own slot.
fn new_run(id: u128, job: &str, minute: i64) -> NewRun {
    let started = Timestamp::from_second(1_800_000_000 + minute * 60).unwrap();
    let cause = Cause::Scheduled(started);
    NewRun { run: Ulid(id), job: job.parse().unwrap(), kind: "files".into(), cause, started }
}

#[test]
fn a_run_begins_once_nothing_stands_against_it_and_then_it_is_noted() {
    let fixture = Fixture::new();
    let history = &fixture.history;
    let (new, mut terms) = (new_run(9, "j", 9), Terms { heeds_pause: true, ..Terms::default() });
    let cut = fixture.run(1, "j", "files", 0, Some(Outcome::Interrupted));
    fixture.run(2, "other", "files", 0, Some(Outcome::Interrupted));
    history.pause(&new.job, &Pause { since: new.started, reason: None }).unwrap();
    assert!(matches!(history.begin(&new, &terms), Begins::Paused(_)));
    history.resume(&new.job, new.started).unwrap();
    let behind = vec![CutRun { run: cut, is_over: true }];
    assert!(matches!(history.begin(&new, &terms), Begins::Behind(found) if found == behind));
    assert!(!history.is_running(new.run).unwrap(), "nothing is noted of what does not begin");
    terms.cleared.insert(cut);
    let begins = history.begin(&new, &terms);
    assert!(matches!(&begins, Begins::Now { noted: Ok(()), cut_off } if *cut_off == [cut]), "{begins:?}");
    assert!(history.is_running(new.run).unwrap());
    // What is noted as running still, with its lock free, may have left something, too.
    let next = new_run(10, "j", 10);
    let behind = vec![CutRun { run: new.run, is_over: false }, behind[0]];
    assert!(matches!(history.begin(&next, &terms), Begins::Behind(found) if found == behind));
    terms.cleared.insert(new.run);
    let twice = history.begin(&NewRun { cause: new.cause, ..next }, &terms);
    assert!(
        matches!(twice, Begins::Now { noted: Err(HistoryError::SlotTaken { .. }), .. }),
        "a slot is run once: {twice:?}"
    );
}

#[test]
fn a_history_that_cannot_be_written_still_says_what_stands_against_a_run() {
    let fixture = Fixture::new();
    let history = &fixture.history;
    history.be_brief();
    let (new, terms) = (new_run(9, "j", 9), Terms { heeds_pause: true, ..Terms::default() });
    history.pause(&new.job, &Pause { since: new.started, reason: None }).unwrap();
    let other = Connection::open(fixture.folder.path().join(super::FILE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(matches!(history.begin(&new, &terms), Begins::Paused(_)));
    let begins = history.begin(&NewRun { job: "k".parse().unwrap(), ..new }, &terms);
    assert!(matches!(&begins, Begins::Now { noted: Err(error), .. } if error.is_transient()), "{begins:?}");
}

#[test]
fn what_is_asked_for_each_run_is_prepared_once_and_reads_no_other_runs() {
    let fixture = Fixture::new();
    let terms = Terms { heeds_pause: true, ..Terms::default() };
    for minute in 0..20_u16 {
        let new = new_run(minute.into(), if minute % 2 == 0 { "j" } else { "k" }, minute.into());
        fixture.history.standing(&[(new.job.clone(), new.started)]).unwrap();
        assert!(matches!(fixture.history.begin(&new, &terms), Begins::Now { noted: Ok(()), .. }));
        let mut report = RunReport::begun(&new);
        (report.finished, report.outcome) = (Some(new.started), Some(Outcome::Done));
        fixture.history.finish(&report).unwrap();
    }
    let connection = fixture.history.lock();
    for sql in [cut::OF_JOB, cut::SINCE_DONE, standing::FATE] {
        let statement = connection.prepare_cached(sql).unwrap();
        let [run, prepared] =
            [StatementStatus::Run, StatementStatus::RePrepare].map(|status| statement.get_status(status));
        assert!(run >= 20 && prepared == 0, "{run} times run, {prepared} times prepared anew: {sql}");
    }
    for sql in [cut::OF_JOB, standing::FATE] {
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let plan: Vec<String> =
            plan.query_map(["j", "1"], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        let of_run: Vec<&String> = plan.iter().filter(|line| line.contains(" run ")).collect();
        assert!(
            !of_run.is_empty() && of_run.iter().all(|line| !line.contains("run_by_job")),
            "all runs of the job are read: {plan:?}"
        );
    }
}

#[test]
fn what_belongs_to_a_run_is_replaced_whenever_it_is_written_again() {
    let fixture = Fixture::new();
    let new = new_run(1, "j", 0);
    fixture.history.start(&new).unwrap();
    let mut report = RunReport::begun(&new);
    report.finished = Some(new.started);
    report.outcome = Some(Outcome::Warned);
    for warnings in [vec!["first".to_owned(), "second".to_owned()], vec!["third".to_owned()], Vec::new()] {
        report.warnings = warnings;
        fixture.history.finish(&report).unwrap();
        assert_eq!(fixture.history.show(&new.run.to_string()).unwrap().warnings, report.warnings);
    }
}

#[test]
fn how_far_slots_of_several_jobs_are_known_is_noted_of_all_or_of_none() {
    let fixture = Fixture::new();
    let (history, at) = (&fixture.history, |minute| new_run(1, "j", minute).started);
    let jobs: [JobName; 2] = ["j".parse().unwrap(), "k".parse().unwrap()];
    let note =
        |until| Watched { schedule: "@daily".into(), zone: "UTC".into(), born: at(0), until, ended: None };
    for job in &jobs {
        history.watch(job, &[note(at(0))], &[]).unwrap();
    }
    let further = |minute| {
        move |mut notes: Vec<Watched>| {
            notes[0].until = at(minute);
            notes
        }
    };
    history.watch_on(jobs.iter().map(|job| (job, further(5)))).unwrap();
    let until = || jobs.each_ref().map(|job| history.watched(job).unwrap()[0].until);
    assert_eq!(until(), [at(5), at(5)]);
    let second =
        "CREATE TRIGGER t BEFORE INSERT ON watched WHEN new.job = 'k' BEGIN SELECT RAISE(ABORT, 'no'); END";
    history.lock().execute_batch(second).unwrap();
    history.watch_on(jobs.iter().map(|job| (job, further(9)))).unwrap_err();
    assert_eq!(until(), [at(5), at(5)]);
}

#[test]
fn a_run_is_among_the_newest_that_ran_however_many_slots_were_skipped_since_and_by_an_index_of_its_own() {
    let fixture = Fixture::new();
    let first = fixture.done(1, "a", 1);
    let failed = fixture.run(2, "a", "files", 2, Some(Outcome::Failed));
    for id in 3..60 {
        fixture.run(id, "a", "files", 3, Some(Outcome::Skipped));
    }
    fixture.run(60, "a", "prometheus-restore", 4, Some(Outcome::Done));
    fixture.done(61, "b", 5);
    let newest = |limit| {
        let runs = fixture.history.newest_that_ran(&"a".parse().unwrap(), limit).unwrap();
        runs.into_iter().map(|report| report.run).collect::<Vec<_>>()
    };
    assert_eq!(newest(24), [failed, first]);
    assert_eq!(newest(1), [failed]);
    let sql = format!("EXPLAIN QUERY PLAN SELECT id FROM run WHERE job = ?1 AND {RAN} ORDER BY rowid DESC");
    let connection = fixture.history.lock();
    let plan: String = connection.prepare(&sql).unwrap().query_row(["a"], |row| row.get(3)).unwrap();
    assert!(plan.contains("USING INDEX run_ran"), "{plan}");
}
