//! The history of a million runs: what a run adds to it, and what a person asks of it.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros write no docs, and a benchmark that cannot go on stops"
)]

use criterion::{Criterion, criterion_group, criterion_main};
use jiff::Timestamp;
use tempfile::TempDir;
use ulid::Ulid;
use watchkeeper::history::{Cause, FILE, Filter, History, NewRun, RunReport, RunState};
use watchkeeper::jobs::Outcome;

/// A million runs of ten jobs, one a minute, two steps each; every fiftieth failed. Among them, three of a job that
/// runs rarely. Written at once, because each run that is noted as it should be is on the disk before the next begins.
const FILL: &str = "
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999999)
INSERT INTO run (id, job, kind, cause, slot, started, finished, outcome, attempts)
SELECT printf('01K0000000%016d', i), CASE WHEN i IN (7, 300000, 600000) THEN 'rare' ELSE 'job-' || (i % 10) END,
       'prometheus-snapshot', 'scheduled',
       1735689600000 + i * 60000, 1735689600000 + i * 60000, 1735689601000 + i * 60000,
       CASE WHEN i % 50 = 0 THEN 'failed' ELSE 'done' END, 1 FROM n;
INSERT INTO step (run, position, name, millis, bytes) SELECT id, 0, 'make a snapshot', 100, 0 FROM run;
INSERT INTO step (run, position, name, millis, bytes) SELECT id, 1, 'copy', 900, 1000000 FROM run;
ANALYZE;
";

fn filled() -> (TempDir, History) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    drop(History::open(folder.path()).unwrap());
    let connection = rusqlite::Connection::open(folder.path().join(FILE)).unwrap();
    connection.execute_batch(&format!("BEGIN; {FILL} COMMIT; PRAGMA wal_checkpoint(TRUNCATE)")).unwrap();
    drop(connection);
    let history = History::open(folder.path()).unwrap();
    (folder, history)
}

fn one_run(history: &History) {
    let new = NewRun {
        run: Ulid::generate(),
        job: "job-1".parse().unwrap(),
        kind: "prometheus-snapshot".into(),
        cause: Cause::Manual,
        started: Timestamp::now(),
    };
    history.start(&new).unwrap();
    let mut report = RunReport::begun(&new);
    (report.finished, report.outcome) = (Some(Timestamp::now()), Some(Outcome::Done));
    history.finish(&report).unwrap();
}

fn history(criterion: &mut Criterion) {
    let (_folder, history) = filled();
    let mut group = criterion.benchmark_group("history of 1,000,000 runs");
    group.sample_size(20);
    group.bench_function("start and finish a run", |bencher| bencher.iter(|| one_run(&history)));
    let job = Some("job-3".parse().unwrap());
    let rare = Some("rare".parse().unwrap());
    let failures = [Outcome::Failed, Outcome::Interrupted].map(RunState::Ended).to_vec();
    let lists = [
        ("list the last 20", 20, Filter { limit: Some(20), ..Filter::default() }),
        ("list the last 20 of a job", 20, Filter { job, limit: Some(20), ..Filter::default() }),
        ("list the last 20 of a rare job", 3, Filter { job: rare, limit: Some(20), ..Filter::default() }),
        (
            "list the last 20 that failed",
            20,
            Filter { states: failures, limit: Some(20), ..Filter::default() },
        ),
    ];
    for (what, count, filter) in lists {
        group.bench_function(what, |bencher| {
            bencher.iter(|| assert_eq!(history.recent(&filter).unwrap().len(), count));
        });
    }
    group.bench_function("show one run", |bencher| {
        bencher.iter(|| history.show("01K00000000000000000500000").unwrap());
    });
    group.bench_function("say that an ID is too short", |bencher| {
        bencher.iter(|| history.show("01K").unwrap_err());
    });
    group.bench_function("the last run of each job", |bencher| {
        bencher.iter(|| assert_eq!(history.last_per_job().unwrap().len(), 11));
    });
    group.finish();
}

criterion_group!(benches, history);
criterion_main!(benches);
