use std::path::Path;

use super::*;

fn runner(folder: &Path) -> Runner {
    Runner {
        history: Arc::new(History::open(folder).unwrap()),
        unwritten: Unwritten::default(),
        live: Live::default(),
        cleared: Cleared::default(),
        forgetful: None,
        locks: Locks::new(folder),
        log: Arc::default(),
        state_dir: folder.to_owned(),
        reserve: Reserve::new(folder, 0),
        backup_dir: folder.join("backups"),
        zone: TimeZone::UTC,
        clock: Timestamp::now,
        stop: CancellationToken::new(),
        grace: Duration::from_secs(1),
    }
}

/// Panics where the work itself is, or on a thread that it waits for.
async fn panics(on_a_thread: bool) -> Result<JobOutput, Failure> {
    assert!(on_a_thread, "what must not be: 17 of 3");
    blocking(|| -> Result<JobOutput, Failure> { panic!("what must not be: 17 of 3") }).await
}

#[tokio::test]
async fn a_panic_ends_its_run_as_failed_with_its_message_and_the_runner_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let runner = runner(folder.path());
    let job: JobName = "j".parse().unwrap();
    let task = Task::once(&job, "command", vec![Lock::Job(job.clone())]);
    for on_a_thread in [false, true] {
        let cause = Cause::Manual;
        let run = runner.run(&task, cause, Arc::new(Silent), |_| panics(on_a_thread)).await.run;
        let noted = runner.history.show(&run.to_string()).unwrap();
        assert_eq!(noted.outcome, Some(Outcome::Failed));
        assert_eq!(noted.reason.as_deref(), Some("It panicked: what must not be: 17 of 3"));
        assert!(noted.hint.unwrap().contains("please report it"));
        assert_eq!(noted.attempts.len(), 1);
        // Its lock is free, and the next one runs.
        let done = |_| async { Ok(JobOutput::default()) };
        let next = runner.run(&task, cause, Arc::new(Silent), done).await;
        assert_eq!(next.outcome, Some(Outcome::Done));
    }
    let all = runner.history.recent(&crate::history::Filter::default()).unwrap();
    assert_eq!(all.len(), 4);
    assert!(!folder.path().join("unwritten.jsonl").exists());
}

#[tokio::test]
async fn a_run_that_could_not_be_noted_comes_before_the_next_one_of_its_job() {
    let folder = tempfile::tempdir().unwrap();
    let runner = runner(folder.path());
    let job: JobName = "j".parse().unwrap();
    let task = Task::once(&job, "command", vec![Lock::Job(job.clone())]);
    let started = whole_millis(Timestamp::now());
    let new = NewRun { run: new_ulid(started), job, kind: "command".into(), cause: Cause::Manual, started };
    let lost =
        RunReport { finished: Some(started), outcome: Some(Outcome::Failed), ..RunReport::begun(&new) };
    runner.unwritten.keep(lost);
    let done = |_| async { Ok(JobOutput::default()) };
    let next = runner.run(&task, Cause::Manual, Arc::new(Silent), done).await;
    let noted = runner.history.newest_that_ran(&next.job, 9).unwrap();
    assert_eq!(noted.iter().map(|report| report.run).collect::<Vec<_>>(), [next.run, new.run]);
    assert_eq!(runner.unwritten.count(), 0);
}
