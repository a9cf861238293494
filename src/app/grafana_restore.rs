//! The restore of a Grafana as a run: with locks, a record, and an outcome.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::files_job::before_restore;
use super::right_store::refusal;
use super::targets::credentials;
use super::{App, TargetError};
use crate::config::values::{BEFORE_RESTORE, JobName, TargetName};
use crate::config::{GrafanaTarget, JobKind};
use crate::grafana::client::GrafanaClient;
use crate::grafana::contents::Secret;
use crate::grafana::object::ObjectId;
use crate::grafana::restore::apply::{Applied, Prepared, apply, prepare, settle, sweep_spools};
use crate::grafana::restore::plan::{Action, Choice};
use crate::grafana::restore::shelf::Shelf;
use crate::grafana::restore::source::GrafanaBackup;
use crate::grafana::restore::undo::{PreparedUndo, prepare_undo, undo};
use crate::grafana::restore::{RestoreError, Site, undo_command};
use crate::history::{Cause, RunReport};
use crate::identity::IdentityError;
use crate::jobs::{JobOutput, RunContext};
use crate::progress::{Progress, Sink};
use crate::runner::{Failure, Lock, Task};
use crate::store::{JobStore, StoreError};
use crate::words;

/// The kind of a restore's run.
const RESTORE_KIND: &str = "grafana-restore";

/// What to do with a Grafana.
pub enum GrafanaAction {
    /// Restore this as planned.
    Apply(Box<Prepared>),
    /// Take the newest restore back as planned.
    Undo(Box<PreparedUndo>),
}

/// A Grafana cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum GrafanaOpenError {
    /// It cannot be talked to as it is configured.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// It does not answer as one that can be restored to.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// What was there before its restores is away.
    #[error(transparent)]
    Away(#[from] IdentityError),
}

impl GrafanaOpenError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Target(error) => error.hint(),
            Self::Restore(error) => error.hint(),
            Self::Away(error) => error.hint(),
        }
    }

    /// Whoever ran it told it to stop.
    pub fn is_interruption(&self) -> bool {
        matches!(self, Self::Restore(error) if error.is_interruption())
    }
}

impl App {
    /// Finds out about a Grafana that is to be restored: with as many requests side by side as `job` has.
    pub async fn open_grafana(
        &self,
        target: &GrafanaTarget,
        job: &JobName,
    ) -> Result<Site, GrafanaOpenError> {
        let secret = credentials(&target.endpoint.auth, &self.shared).map_err(TargetError::from)?;
        let requests = match self.shared.config.job(job.as_str()).map(|job| &job.kind) {
            Some(JobKind::GrafanaExport(config)) => config.requests as usize,
            _ => crate::grafana::client::REQUESTS,
        };
        let client = GrafanaClient::new(&target.endpoint, secret, requests);
        Ok(Site::open(&target.name, client.map_err(RestoreError::from)?).await?)
    }

    /// Compares a backup with what is there, as a run of this job would at this time. Writes nothing.
    pub async fn prepare_grafana(
        &self,
        site: &Site,
        (job, now): (&JobName, Timestamp),
        backup: GrafanaBackup,
        choice: Choice,
        sink: Arc<dyn Sink>,
        cancel: CancellationToken,
    ) -> Result<Prepared, GrafanaOpenError> {
        let context = self.beside_runs(job, now, Progress::new(sink), cancel);
        Ok(prepare(site, backup, choice, &context).await?)
    }

    /// Compares what was there before the newest restore with what is there. Writes nothing.
    pub async fn prepare_undo_of_grafana(
        &self,
        site: &Site,
        (job, now): (&JobName, Timestamp),
        sink: Arc<dyn Sink>,
        cancel: CancellationToken,
    ) -> Result<PreparedUndo, GrafanaOpenError> {
        let context = self.beside_runs(job, now, Progress::new(sink), cancel);
        self.check_store_is_right()?;
        let places = self.grafana_shelf(&site.target).map_err(RestoreError::from)?;
        Ok(prepare_undo(site, &places, &context).await?)
    }

    /// What was prepared found nothing to do: the same restore, where it was not finished, is.
    pub fn settle_grafana(
        &self,
        site: &Site,
        prepared: &Prepared,
        (job, now): (&JobName, Timestamp),
    ) -> Result<(), RestoreError> {
        let context = self.beside_runs(job, now, Progress::silent(), CancellationToken::new());
        settle(site, prepared, &context)
    }

    /// Where what was there before restores of a Grafana is kept: beside the backups of its job, whichever backup is
    /// restored to it; where no job is its own, under its own name. It is looked for in all folders of that sort: jobs
    /// come, go and get other names.
    fn grafana_shelf(&self, target: &TargetName) -> Result<Shelf, StoreError> {
        let is_its =
            |kind: &JobKind| matches!(kind, JobKind::GrafanaExport(config) if config.grafana == *target);
        let job = self.shared.config.jobs.iter().find(|job| is_its(&job.kind));
        // Target names are job names as far as their letters go.
        let name = before_restore(job.map_or(target, |job| &job.name));
        let store = &self.shared.store;
        let mut names = store.jobs()?;
        names.retain(|known| known.as_str().ends_with(BEFORE_RESTORE) && *known != name);
        let into = store.job(&name);
        let all = std::iter::once(into.clone()).chain(names.iter().map(|name| store.job(name))).collect();
        Ok(Shelf { into, all })
    }

    /// Removes what killed restores have left of unpacked exports: there may be secrets in them.
    pub async fn sweep_spools(&self) {
        sweep_spools(&self.shared.config.state_dir).await;
    }

    /// For what is no run.
    fn beside_runs(
        &self,
        job: &JobName,
        now: Timestamp,
        progress: Progress,
        cancel: CancellationToken,
    ) -> RunContext {
        RunContext {
            run: Ulid::nil(),
            job: job.clone(),
            now,
            cancel,
            progress,
            state_dir: self.shared.config.state_dir.clone(),
            backup_dir: self.shared.config.backup_dir.clone(),
            cut_off: Vec::new(),
        }
    }

    /// Does it, as a run of `job`, and returns its record. `command` is what a person types to restore it.
    pub async fn run_grafana(
        &self,
        job: &JobName,
        site: Site,
        action: GrafanaAction,
        command: String,
        sink: Arc<dyn Sink>,
    ) -> RunReport {
        let locks = vec![Lock::Job(job.clone()), Lock::Target { kind: "grafana", name: site.target.clone() }];
        let task = Task::once(job, RESTORE_KIND, locks);
        // What is there now is written into the store.
        let is_right = self.check_store_is_right().map_err(|error| refusal(&error));
        let places = self.grafana_shelf(&site.target);
        // There is one attempt: it takes the action.
        let action = Mutex::new(Some((site, action, places)));
        let work = move |context: RunContext| {
            let action = action.lock().unwrap_or_else(PoisonError::into_inner).take();
            let (command, is_right) = (command.clone(), is_right.clone());
            // A restore's state is large, and this is moved about.
            Box::pin(async move {
                is_right?;
                let Some((site, action, places)) = action else {
                    return Err(Failure::new("It was begun already"));
                };
                let places = places.map_err(|error| of(&error.into(), &command))?;
                let done = perform(&site, action, &places, &command, &context).await;
                done.map_err(|error| of(&error, &command))
            })
        };
        self.runner.run(&task, Cause::Manual, sink, work).await
    }
}

async fn perform(
    site: &Site,
    action: GrafanaAction,
    shelf: &Shelf,
    command: &str,
    context: &RunContext,
) -> Result<JobOutput, RestoreError> {
    let (applied, undone) = match action {
        GrafanaAction::Apply(prepared) => (apply(site, *prepared, shelf, context).await?, false),
        GrafanaAction::Undo(prepared) => (undo(site, *prepared, shelf, context).await?, true),
    };
    for warning in applied.plan.warnings.iter().chain(&applied.warnings) {
        context.progress.warn(warning.clone());
    }
    for secret in &applied.plan.secrets {
        context.progress.warn(secret_text(secret));
    }
    Ok(output(&applied, &shelf.into, command, undone))
}

fn output(applied: &Applied, kept: &JobStore, command: &str, undone: bool) -> JobOutput {
    let plan = &applied.plan;
    let number = |action| plan.items.iter().filter(|item| item.action == action).count();
    let (created, updated, removed) =
        (number(Action::Create), number(Action::Update), number(Action::Remove));
    let same = number(Action::Same);
    let summary = if undone {
        let but = if plan.warnings.is_empty() && plan.secrets.is_empty() {
            ""
        } else {
            ", but for what is warned of"
        };
        format!(
            "as it was before the restore{but}: {created} created, {updated} changed, {removed} removed, {same} were so already"
        )
    } else {
        format!("{} restored: {created} created, {updated} changed, {same} were so already", plan.source)
    };
    let mut facts: Vec<String> =
        plan.counts().iter().map(|(kind, counts)| count_text(kind.name(), counts)).collect();
    facts.extend(
        applied
            .before
            .as_ref()
            .map(|before| format!("what was there before is the backup {}/{before}", kept.job())),
    );
    let verified = applied.before.iter().map(|_| {
        format!(
            "all was exported again, and {} of {} that were written are there as the backup has them",
            applied.proven,
            words::count(applied.written, "object")
        )
    });
    let verified = verified.collect();
    JobOutput {
        summary,
        facts,
        next: if undone {
            back_to_edits(applied, kept).into_iter().collect()
        } else {
            back(applied, command)
        },
        verified,
        ..JobOutput::default()
    }
}

/// What a person types who wants what was there before, and how often.
fn back(applied: &Applied, command: &str) -> Vec<String> {
    let mut lines = vec![format!("{} brings back what was there before", undo_command(command))];
    if !applied.cut_before.is_empty() {
        lines.push(format!(
            "that is what a restore of {} had left that was not finished: the same once more takes that one back",
            applied.cut_before.join(", and one of ")
        ));
    }
    lines
}

/// What a person types who wants what people had changed since the restore, and the undo has replaced.
fn back_to_edits(applied: &Applied, kept: &JobStore) -> Option<String> {
    let before = applied.before.as_ref().filter(|_| !applied.plan.edited.is_empty())?;
    let only = |id: &ObjectId| {
        // A key is a pattern where it is named, and a word of a shell.
        let name: String =
            id.to_string().chars().map(|c| if "*?[]{}\\'!".contains(c) { '?' } else { c }).collect();
        format!(" --only '{name}'")
    };
    let only: String = applied.plan.edited.iter().map(only).collect();
    Some(format!(
        "`watchkeeper restore {}/{before}{only}` brings back what people had changed since the restore",
        kept.job()
    ))
}

/// `dashboards: 3 create, 12 same`
pub fn count_text(kind: &str, counts: &BTreeMap<Action, usize>) -> String {
    let all: Vec<String> =
        counts.iter().map(|(action, number)| format!("{number} {}", action.word())).collect();
    format!("{kind}: {}", all.join(", "))
}

/// What somebody has to enter, and where.
pub fn secret_text(secret: &Secret) -> String {
    let place = secret.organisation.as_ref().map(|name| format!(" in {name}")).unwrap_or_default();
    format!(
        "enter again: {} of {}/{} ({}){place}",
        secret.fields.join(", "),
        secret.kind,
        secret.key,
        secret.title
    )
}

fn of(error: &RestoreError, command: &str) -> Failure {
    let failure = Failure::of(error, error.hint_after(command), error.is_transient());
    Failure { data_not_back: error.data_not_back(), is_refusal: error.is_refusal(), ..failure }
}
