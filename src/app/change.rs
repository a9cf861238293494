//! Changes of a target's configuration as runs: with locks, a record, and an outcome, like everything else that changes a
//! target.

use std::sync::Arc;

use super::{App, TargetError};
use crate::config::values::{JobName, Place, PrometheusTarget, TargetName};
use crate::history::{Cause, RunReport};
use crate::jobs::{JobOutput, RunContext};
use crate::progress::Sink;
use crate::prometheus::config_change::{
    ChangeError, ChangePlan, Changed, Opening, Site, apply, take_back_cut,
};
use crate::runner::{Failure, Lock, Task};

/// The kind of a change's run.
const CHANGE_KIND: &str = "prometheus-change";

/// What to do with a Prometheus's configuration.
#[derive(Clone)]
pub enum ChangeAction {
    /// Change it as planned.
    Apply(Arc<ChangePlan>),
    /// Take back the change that was cut.
    TakeBackCut,
}

/// A Prometheus's configuration cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ChangeOpenError {
    /// It cannot be talked to as it is configured.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Its configuration cannot be found.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

impl ChangeOpenError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Target(error) => error.hint(),
            Self::Change(error) => error.hint(),
        }
    }
}

impl App {
    /// Finds out where the configuration of a Prometheus is. It has to run.
    pub async fn open_configuration(&self, target: &PrometheusTarget) -> Result<Site, ChangeOpenError> {
        let client = self.shared.client(target)?;
        let docker = match target.place {
            Place::Container { .. } => Some(self.shared.docker().await.map_err(TargetError::from)?),
            Place::Host { .. } => None,
        };
        let state_dir = &self.shared.config.state_dir;
        match (Opening { target, client, docker, state_dir }).open().await {
            Err(ChangeError::Client(error)) => Err(self.shared.unanswered(target, error).await.into()),
            opened => Ok(opened?),
        }
    }

    /// Does it, as a run of its own, and returns its record.
    pub async fn run_change(
        &self,
        target: &PrometheusTarget,
        site: Arc<Site>,
        action: ChangeAction,
        sink: Arc<dyn Sink>,
    ) -> RunReport {
        let job = job_of(&target.name);
        let locks =
            vec![Lock::Job(job.clone()), Lock::Target { kind: "prometheus", name: target.name.clone() }];
        let task = Task { veil: self.shared.veil(), ..Task::once(&job, CHANGE_KIND, locks) };
        let work = move |context: RunContext| {
            let (site, action) = (Arc::clone(&site), action.clone());
            async move { perform(&site, action, &context).await.map_err(|error| failure(&error)) }
        };
        self.runner.run(&task, Cause::Manual, sink, work).await
    }
}

/// A change is no run of a job that backs the target up: how well that is, it does not say.
fn job_of(target: &TargetName) -> JobName {
    format!("change-prometheus-{target}").parse().unwrap_or_else(|_| target.clone())
}

async fn perform(site: &Site, action: ChangeAction, context: &RunContext) -> Result<JobOutput, ChangeError> {
    match action {
        ChangeAction::Apply(plan) => apply(site, &plan, context).await.map(output),
        ChangeAction::TakeBackCut => {
            let done = take_back_cut(site, context).await?;
            let summary = done.unwrap_or_else(|| "there is no change that was cut".to_owned());
            Ok(JobOutput { summary, ..JobOutput::default() })
        }
    }
}

fn output(changed: Changed) -> JobOutput {
    let Changed { what, backup, back, verified, unverified } = changed;
    let kept = backup.map(|backup| format!("the old file is kept as {backup}"));
    JobOutput {
        summary: what,
        facts: kept.into_iter().collect(),
        verified,
        unverified,
        next: vec![back],
        ..JobOutput::default()
    }
}

fn failure(error: &ChangeError) -> Failure {
    let (data_not_back, is_refusal) = (error.not_back(), error.is_refusal());
    Failure { is_refusal, data_not_back, ..Failure::of(error, error.hint(), false) }
}
