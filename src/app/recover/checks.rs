//! What is looked at after a recovery: by the jobs that look at what was restarted, else as the runbook does.
//!
//! A check that somebody has configured and that is about what was restarted fails the recovery. Any other that fails is a
//! warning: it may have failed before, and what is restarted here cannot mend it.

use std::sync::Arc;
use std::time::Duration;

use super::backups::Within;
use super::run::Running;
use crate::app::deployment_job;
use crate::config::checks::CheckConfig;
use crate::config::{DeploymentConfig, JobConfig, JobKind};
use crate::jobs::{CheckResult, Outcome};

/// How long what was just restarted may take to settle: others have to see that it is back, as a Prometheus does at its
/// next scrape.
const SETTLE: Duration = Duration::from_secs(30);

/// What was looked at.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Every check.
    pub(super) results: Vec<CheckResult>,
    /// Those that fail the recovery, in words.
    pub(super) failed: Vec<String>,
}

pub(super) async fn look(running: &Running) -> Looked {
    let mut looked = Looked::default();
    let config = &running.app.shared.config;
    for name in &running.recovery.plan.checks {
        if let Some(job) = config.job(name.as_str()) {
            by_job(running, job, &mut looked).await;
        }
    }
    if running.recovery.plan.checks.is_empty() {
        let standard = DeploymentConfig { checks: config.standard_checks(), wait: running.patience(SETTLE) };
        let results = deployment_job::results(&running.app.shared, &standard, &running.context).await;
        running.warn_of(&results);
        looked.results = results;
    }
    looked
}

async fn by_job(running: &Running, job: &JobConfig, looked: &mut Looked) {
    let JobKind::VerifyDeployment(config) = &job.kind else { return };
    let wait = config.wait.max(running.patience(SETTLE));
    let patient = DeploymentConfig { wait, ..config.clone() };
    let patient = JobConfig { kind: JobKind::VerifyDeployment(patient), ..job.clone() };
    let step = Arc::new(running.context.progress.step(&format!("look by {}", job.name), None));
    let sink = Arc::new(Within(Arc::clone(&step)));
    let report = running.app.run_within(&patient, &running.recovery.locks, sink).await;
    let results = report.output.as_ref().map(|output| output.checks.clone()).unwrap_or_default();
    let passed = results.iter().filter(|result| result.passed).count();
    if let Some(step) = Arc::into_inner(step) {
        step.finish(format!("{passed} of {} passed", results.len()));
    }
    if results.is_empty() && report.outcome != Some(Outcome::Done) {
        let why = report.reason.as_deref().unwrap_or("nothing says why");
        running.context.progress.warn(format!("{} did not look whether all works: {why}", job.name));
    }
    let (own, others): (Vec<_>, Vec<_>) = results.iter().cloned().partition(|result| {
        let is_own = |check: &CheckConfig| check.name == result.name && running.is_about(check);
        config.checks.iter().any(is_own)
    });
    running.warn_of(&others);
    let words =
        own.iter().filter(|result| !result.passed).map(|result| format!("{}: {}", result.name, result.text));
    looked.failed.extend(words);
    looked.results.extend(results);
    running.reports().push(report);
}
