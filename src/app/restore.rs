//! Restores as runs: with locks, a record, and an outcome, like everything else that changes a target.

use std::sync::Arc;

use super::{App, TargetError};
use crate::config::values::{JobName, Place, PrometheusTarget};
use crate::history::{Cause, RunReport};
use crate::jobs::{JobOutput, RunContext};
use crate::progress::Sink;
use crate::prometheus::folder_op::RestoreState;
use crate::prometheus::restore::apply::{Restored, apply};
use crate::prometheus::restore::plan::RestorePlan;
use crate::prometheus::restore::undo::{Runs, Undone, discard_old, resume, undo};
use crate::prometheus::restore::{Opened, Opening, RestoreError, RestoreSource, SourceError};
use crate::runner::{Failure, Lock, Task};
use crate::words;

/// The kind of a restore's run.
pub const RESTORE_KIND: &str = "prometheus-restore";

/// What to do with a Prometheus's data.
#[derive(Clone)]
pub enum RestoreAction {
    /// Restore this as planned.
    Apply(Arc<RestoreSource>, Arc<RestorePlan>),
    /// Finish the restore that is unfinished, with its source where that is at hand.
    Resume(Option<Arc<RestoreSource>>),
    /// Take back the unfinished restore, or the newest.
    Undo,
    /// Remove what finished restores have set aside.
    DiscardOld,
}

/// A Prometheus cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be talked to as it is configured.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Its data folder or its service cannot be found.
    #[error(transparent)]
    Restore(#[from] RestoreError),
}

impl OpenError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Target(error) => error.hint(),
            Self::Restore(error) => error.hint(),
        }
    }
}

impl App {
    /// Finds out about a Prometheus that is to be restored, up or down. `known` is the data folder as a manifest has it,
    /// `command` what a person types to restore this one.
    pub async fn open_prometheus(
        &self,
        target: &PrometheusTarget,
        known: Option<&str>,
        command: String,
    ) -> Result<Opened, OpenError> {
        let client = self.shared.client(target)?;
        let docker = match target.place {
            Place::Container { .. } => Some(self.shared.docker().await.map_err(TargetError::from)?),
            Place::Host { .. } => None,
        };
        let access = self.shared.access(&target.name);
        Ok(Opening { target, client, docker, access, known, command }.open().await?)
    }

    /// Does it, as a run of `job`, and returns its record.
    pub async fn run_restore(
        &self,
        job: &JobName,
        target: &PrometheusTarget,
        opened: Arc<Opened>,
        action: RestoreAction,
        sink: Arc<dyn Sink>,
    ) -> RunReport {
        let locks =
            vec![Lock::Job(job.clone()), Lock::Target { kind: "prometheus", name: target.name.clone() }];
        let task = Task::once(job, RESTORE_KIND, locks);
        let store = self.shared.store.clone();
        let work = move |context: RunContext| {
            let (opened, action, store) = (Arc::clone(&opened), action.clone(), store.clone());
            async move {
                let (now, source) = (context.now, source_of(&action));
                let performed = perform(&opened, action, context).await;
                if let (Err(RestoreError::Source(SourceError::Damaged(damaged))), Some(source)) =
                    (&performed, source)
                {
                    source.note_bad(&store, &damaged.files, now);
                }
                performed.map_err(|error| failure(&error, &opened.site.command))
            }
        };
        self.runner.run(&task, Cause::Manual, sink, work).await
    }
}

/// What an action restores, where that is at hand.
fn source_of(action: &RestoreAction) -> Option<Arc<RestoreSource>> {
    match action {
        RestoreAction::Apply(source, _) => Some(Arc::clone(source)),
        RestoreAction::Resume(source) => source.clone(),
        RestoreAction::Undo | RestoreAction::DiscardOld => None,
    }
}

async fn perform(
    opened: &Opened,
    action: RestoreAction,
    context: RunContext,
) -> Result<JobOutput, RestoreError> {
    let site = &opened.site;
    match action {
        RestoreAction::Apply(source, plan) => {
            let from = source.made_from();
            let restored = apply(site, source, &plan, &context).await?;
            let left_out = plan.left_out.iter().map(|block| format!("left out: {block}"));
            Ok(JobOutput {
                facts: from.iter().map(|from| format!("made from {from}")).chain(left_out).collect(),
                ..output(&restored, &site.command)
            })
        }
        RestoreAction::Resume(source) => {
            resume(opened, source, &context).await.map(|restored| output(&restored, &site.command))
        }
        RestoreAction::Undo => Ok(match undo(site, &context).await? {
            Undone::Dropped(state, runs) => {
                if runs == Runs::Not {
                    let target = &site.target;
                    context.progress.warn(format!(
                        "Prometheus {target} does not run, and it is not known that the restore has stopped it: it was                          not started"
                    ));
                }
                let again = "; Prometheus, which it had stopped, was started and is ready";
                summed(format!(
                    "the restore of {} had changed nothing; what it had staged is gone{}",
                    state.note.source,
                    if runs == Runs::Again { again } else { "" }
                ))
            }
            Undone::Back(state) => summed(format!(
                "the data of before the restore of {} are live again; {}",
                state.note.source,
                aside(&state)
            )),
        }),
        RestoreAction::DiscardOld => {
            let removed = discard_old(site, &context).await?;
            let bytes = removed.iter().map(|state| state.set_aside_bytes).sum();
            Ok(summed(format!(
                "removed {} that {} had set aside",
                words::size(bytes),
                words::count(removed.len(), "restore")
            )))
        }
    }
}

fn output(restored: &Restored, command: &str) -> JobOutput {
    let state = &restored.state;
    let blocks = state.note.blocks.len();
    JobOutput {
        summary: format!(
            "{} of {} {} live again; {}",
            words::count(blocks, "block"),
            state.note.source,
            if blocks == 1 { "is" } else { "are" },
            aside(state)
        ),
        next: vec![
            format!("`{command} --undo` brings back what was live before"),
            format!("`{command} --discard-old` removes that for good"),
        ],
        verified: restored.proof.verified.clone(),
        unverified: restored.proof.unverified.clone(),
        ..JobOutput::default()
    }
}

fn aside(state: &RestoreState) -> String {
    match state.set_aside_bytes {
        0 => "nothing had to be set aside".to_owned(),
        bytes => format!("{} are set aside", words::size(bytes)),
    }
}

fn summed(summary: String) -> JobOutput {
    JobOutput { summary, ..JobOutput::default() }
}

/// `command` is what restores it: a target that no job backs up is not named by a job.
fn failure(error: &RestoreError, command: &str) -> Failure {
    let named = command.trim_start_matches("watchkeeper restore ");
    let hint = error.hint().map(|hint| words::for_job(&hint, named));
    let (data_not_back, is_refusal) = (error.data_not_back(), error.is_refusal());
    Failure { is_refusal, data_not_back, ..Failure::of(error, hint, error.is_transient()) }
}
