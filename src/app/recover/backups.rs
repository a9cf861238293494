//! The backups that are made before a recovery changes anything.
//!
//! What is down cannot always be backed up, and that must not keep anybody from bringing it back: a server that has to be
//! asked for its own backup, and does not answer, is gone without, with a warning. A backup that fails for any other reason,
//! such as a database that is damaged or a disk that is full, is the last moment at which that can be looked into: nothing
//! is restarted then, unless whoever asks says `--no-backup`.

use std::sync::Arc;

use super::run::Running;
use crate::app::Shared;
use crate::config::values::Retries;
use crate::config::{JobConfig, JobKind};
use crate::docker::ContainerState;
use crate::history::RunReport;
use crate::jobs::Outcome;
use crate::progress::{Sink, Step, StepGuard};
use crate::recovery::{Answer, Question};
use crate::runner::Failure;
use crate::sqlite::place::Place;
use crate::words;

/// Whether what a backup needs is there.
enum Needs {
    /// It is: what fails then is no matter of the target being down.
    There,
    /// It answers, but is not well.
    Sick(String),
    /// It is not: there is no use in trying.
    Gone(String),
}

/// Makes all of them, and says what was made, one line each.
pub(super) async fn make(running: &Running) -> Result<Vec<String>, Failure> {
    let mut made = Vec::new();
    for name in &running.recovery.plan.backups {
        let Some(job) = running.app.shared.config.job(name.as_str()) else { continue };
        if running.context.cancel.is_cancelled() {
            return Err(Failure::new("told to stop before anything was restarted"));
        }
        match needs(running, job).await {
            Needs::Gone(why) => running
                .context
                .progress
                .warn(format!("no backup was made by {name}, because what it needs is down: {why}")),
            needs => made.extend(make_one(running, job, needs).await?),
        }
    }
    Ok(made)
}

async fn make_one(running: &Running, job: &JobConfig, needs: Needs) -> Result<Option<String>, Failure> {
    let step = Arc::new(running.context.progress.step(&format!("back up by {}", job.name), None));
    // Who waits for a service to come back does not wait for another attempt.
    let once = JobConfig { retries: Retries { max: 0, ..job.retries }, ..job.clone() };
    let sink = Arc::new(Within(Arc::clone(&step)));
    let report = running.app.run_within(&once, &running.recovery.locks, sink).await;
    let ended = ended(running, job, needs, &report);
    if let (Some(step), Ok(Some(text))) = (Arc::into_inner(step), &ended) {
        step.finish(text.clone());
    }
    running.reports().push(report);
    ended
}

fn ended(
    running: &Running,
    job: &JobConfig,
    needs: Needs,
    report: &RunReport,
) -> Result<Option<String>, Failure> {
    let name = &job.name;
    let why = report.reason.as_deref().unwrap_or("nothing says why");
    match (report.outcome, needs) {
        (Some(Outcome::Done | Outcome::Warned), _) => {
            for warning in &report.warnings {
                running.context.progress.warn(format!("backup by {name}: {warning}"));
            }
            let id = report.output.as_ref().and_then(|output| output.backup.as_ref());
            Ok(id.map(|id| format!("backup {name}/{id} was made before anything was restarted")))
        }
        (Some(Outcome::Interrupted), _) => {
            Err(Failure::new(format!("told to stop while {name} made a backup; nothing was restarted")))
        }
        (_, Needs::Sick(seen)) => {
            running.context.progress.warn(format!(
                "no backup was made by {name}, because what it needs is not well ({seen}): {why}"
            ));
            Ok(None)
        }
        (_, Needs::There | Needs::Gone(_)) => {
            let hint = format!(
                "look at that first, `watchkeeper show {}` tells more; if it may be restarted without a backup, say --no-backup",
                report.run
            );
            let reason = format!(
                "Nothing was restarted: the backup by {name} failed, and not because {} is down: {why}",
                running.recovery.plan.target
            );
            Err(Failure { hint: Some(hint), ..Failure::new(reason) })
        }
    }
}

async fn needs(running: &Running, job: &JobConfig) -> Needs {
    match &job.kind {
        JobKind::SqliteBackup(config) => of_database(&running.app.shared, &config.database).await,
        _ => of_server(running.questions_of(job)).await,
    }
}

/// A file of this host is there whatever its application does; what is only in a container is read by a program in there.
async fn of_database(shared: &Shared, database: &crate::config::DatabaseRef) -> Needs {
    let Ok(found) = shared.database(database).await else { return Needs::There };
    let Place::Inside { docker, container, .. } = &found.place else { return Needs::There };
    match docker.container(container).await.map(|container| container.info().state) {
        Ok(ContainerState::Running) | Err(_) => Needs::There,
        Ok(state) => Needs::Gone(format!("container {container} {state}")),
    }
}

async fn of_server(questions: &[Question]) -> Needs {
    for question in questions {
        match question.ask().await {
            Answer::Well(_) => {}
            Answer::Sick(seen) => return Needs::Sick(seen),
            Answer::Silent(seen) => return Needs::Gone(seen),
        }
    }
    Needs::There
}

/// Shows the steps of a run within one step of another.
pub(super) struct Within(pub(super) Arc<StepGuard>);

impl Sink for Within {
    fn step_started(&self, name: &str, _: Option<u64>) {
        self.0.tell(0, 0, name);
    }

    fn step_advanced(&self, name: &str, done: u64) {
        self.0.tell(0, 0, &format!("{name}, {}", words::size(done)));
    }

    fn step_finished(&self, _: &Step) {}

    fn warned(&self, _: &str) {}

    fn step_told(&self, _: &str, done: u64, total: u64, current: &str) {
        self.0.tell(done, total, current);
    }
}
