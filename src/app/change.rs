//! Changes of a target's configuration as runs: with locks, a record, and an outcome, like everything else that changes a
//! target.

use std::sync::Arc;

use super::{App, TargetError};
use crate::config::values::{Place, PrometheusTarget};
use crate::history::{Cause, RunReport};
use crate::jobs::{JobOutput, RunContext};
use crate::progress::{Progress, Silent, Sink};
use crate::prometheus::config_change::{
    ChangeError, ChangePlan, Changed, Opening, Reach, Site, apply, check, job_of, keep_cut, take_back_cut,
};
use crate::runner::{Failure, Holder, Lock, Task};

/// The kind of a change's run.
const CHANGE_KIND: &str = "prometheus-change";

/// What to do with a Prometheus's configuration.
#[derive(Clone)]
pub enum ChangeAction {
    /// Change it as planned.
    Apply(Arc<Site>, Arc<ChangePlan>),
    /// Take back the change that was cut. Prometheus need not run.
    TakeBackCut(Reach),
    /// Leave the file as it is, and forget the change that was cut.
    KeepCut(Reach),
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
    /// Prepares to change the configuration of a Prometheus, which may run or not: nothing is asked of it.
    pub async fn reach_configuration(&self, target: &PrometheusTarget) -> Result<Reach, ChangeOpenError> {
        let client = self.shared.client(target)?;
        let docker = match target.place {
            Place::Container { .. } => Some(self.shared.docker().await.map_err(TargetError::from)?),
            Place::Host { .. } => None,
        };
        let state_dir = &self.shared.config.state_dir;
        Ok((Opening { target, client, docker, state_dir }).reach()?)
    }

    /// Finds out where the configuration of a Prometheus is. It has to run.
    pub async fn open_configuration(
        &self,
        target: &PrometheusTarget,
        reach: &Reach,
    ) -> Result<Site, ChangeOpenError> {
        match reach.open().await {
            Err(ChangeError::Client(error)) => Err(self.shared.unanswered(target, error).await.into()),
            opened => Ok(opened?),
        }
    }

    /// Has promtool look at a plan that is not carried out, and says who did, or why nobody; nothing where a change of it
    /// is under way.
    pub async fn check_change(
        &self,
        target: &PrometheusTarget,
        site: &Site,
        plan: &ChangePlan,
    ) -> Result<Option<String>, ChangeError> {
        let now = (self.runner.clock)();
        let holder =
            Holder { pid: std::process::id(), since: now, job: Some(job_of(&target.name)), run: None };
        let Ok(_held) = self.runner.locks.take(&locks_of(target), &holder) else { return Ok(None) };
        check(site, plan, &Progress::new(Arc::new(Silent))).await.map(Some)
    }

    /// Does it, as a run of its own, and returns its record.
    pub async fn run_change(
        &self,
        target: &PrometheusTarget,
        action: ChangeAction,
        sink: Arc<dyn Sink>,
    ) -> RunReport {
        let job = job_of(&target.name);
        let task = Task { veil: self.shared.veil(), ..Task::once(&job, CHANGE_KIND, locks_of(target)) };
        let work = move |context: RunContext| {
            let action = action.clone();
            async move { Box::pin(perform(action, &context)).await.map_err(|error| failure(&error)) }
        };
        self.runner.run(&task, Cause::Manual, sink, work).await
    }
}

/// What nobody else may hold while a configuration is changed.
fn locks_of(target: &PrometheusTarget) -> Vec<Lock> {
    vec![Lock::Job(job_of(&target.name)), Lock::Target { kind: "prometheus", name: target.name.clone() }]
}

async fn perform(action: ChangeAction, context: &RunContext) -> Result<JobOutput, ChangeError> {
    let done = match action {
        ChangeAction::Apply(site, plan) => return apply(&site, &plan, context).await.map(output),
        ChangeAction::TakeBackCut(reach) => take_back_cut(&reach, context).await?,
        ChangeAction::KeepCut(reach) => keep_cut(&reach, context).await?,
    };
    let summary = done.unwrap_or_else(|| "there is no change that was cut".to_owned());
    Ok(JobOutput { summary, ..JobOutput::default() })
}

fn output(changed: Changed) -> JobOutput {
    let Changed { what, backup, back, verified, unverified } = changed;
    let kept = backup.map(|backup| format!("the old file is kept as {backup}"));
    JobOutput {
        summary: what,
        facts: kept.into_iter().collect(),
        verified,
        unverified,
        next: back.into_iter().collect(),
        ..JobOutput::default()
    }
}

fn failure(error: &ChangeError) -> Failure {
    let (data_not_back, is_refusal) = (error.not_back(), error.is_refusal());
    Failure { is_refusal, data_not_back, ..Failure::of(error, error.hint(), false) }
}
