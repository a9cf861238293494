//! Carries a plan out: keeps what is there, writes what differs, and proves it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use super::plan::{Action, Choice, Planner, RestorePlan};
use super::run::{Outcome, Run, stopped};
use super::source::GrafanaBackup;
use super::undo::of_restore;
use super::{BeforeRestore, RestoreError, Site};
use crate::blocking::blocking;
use crate::grafana::bundle::Bundle;
use crate::grafana::object::ObjectId;
use crate::jobs::RunContext;
use crate::store::{Backup, BackupId, JobStore, atomic};
use crate::words;

/// A backup, what of it is meant, and what that would do.
#[derive(Debug)]
pub struct Prepared {
    /// The backup.
    pub backup: GrafanaBackup,
    /// Its objects.
    pub(super) bundle: Bundle,
    /// What of it is meant.
    pub choice: Choice,
    /// What would be done.
    pub plan: RestorePlan,
}

/// What a restore has done.
#[derive(Debug)]
pub struct Applied {
    /// What was planned, and done.
    pub plan: RestorePlan,
    /// The backup of what was there before, by which the restore can be taken back.
    pub before: BackupId,
    /// How many objects were written.
    pub written: usize,
    /// How many of them were found as they were written.
    pub proven: usize,
    /// What a person should know although it is no failure.
    pub warnings: Vec<String>,
}

/// Compares a backup with what is there. Writes nothing.
pub async fn prepare(
    site: &Site,
    backup: GrafanaBackup,
    choice: Choice,
    context: &RunContext,
) -> Result<Prepared, RestoreError> {
    let bundle = open(&backup, context).await?;
    let live = site.look(&bundle, context).await?;
    let plan = plan(site, &backup, &bundle, &live, &choice, None)?;
    Ok(Prepared { backup, bundle, choice, plan })
}

pub(super) async fn open(backup: &GrafanaBackup, context: &RunContext) -> Result<Bundle, RestoreError> {
    let (backup, context) = (backup.clone(), context.clone());
    let spool = spool(&context);
    blocking(move || backup.open(&spool, &context.progress, &context.cancel)).await
}

pub(super) fn plan(
    site: &Site,
    backup: &GrafanaBackup,
    bundle: &Bundle,
    live: &Bundle,
    choice: &Choice,
    created: Option<&BTreeSet<ObjectId>>,
) -> Result<RestorePlan, RestoreError> {
    let head = RestorePlan {
        source: backup.title.clone(),
        created: backup.created,
        from_version: bundle.contents().version.clone(),
        to: site.client.url(),
        to_version: live.contents().version.clone(),
        ..RestorePlan::default()
    };
    Ok(Planner::new(bundle, live, choice, site.facts(), head)?.plan(created)?)
}

/// Restores as planned. What is there is kept first.
pub async fn apply(
    site: &Site,
    prepared: Prepared,
    kept: &JobStore,
    context: &RunContext,
) -> Result<Applied, RestoreError> {
    let Prepared { backup, bundle, choice, plan: shown } = prepared;
    if let Some(refusal) = shown.refusals.first() {
        return Err(RestoreError::Refused { refusal: refusal.clone() });
    }
    let note = Note::at(site, context);
    let before = BeforeRestore {
        of: backup.title.clone(),
        created: ids(&shown, Action::Create),
        changed: ids(&shown, Action::Update),
        continues: note.unfinished(&backup.title),
        by_undo: false,
    };
    let (safe, live) = site.keep(&bundle, before, kept, context).await?;
    let plan = plan(site, &backup, &bundle, &live, &choice, None)?;
    if !plan.writes_what(&shown) {
        kept.forget_restores(std::slice::from_ref(safe.id()))?;
        return Err(RestoreError::Changed { url: site.client.url() });
    }
    note.write(&backup.title, safe.id())?;
    let applied = carry_out(site, &bundle, &live, plan, &safe, context).await?;
    note.remove()?;
    forget_old(kept, context)?;
    Ok(applied)
}

/// Writes, looks at the server again, and compares.
pub(super) async fn carry_out(
    site: &Site,
    source: &Bundle,
    live: &Bundle,
    plan: RestorePlan,
    safe: &Backup,
    context: &RunContext,
) -> Result<Applied, RestoreError> {
    let run = Run { site, source, live, plan: &plan, context, touched: AtomicBool::new(false) };
    let mut outcome = run.carry_out().await?;
    let after = match site.look(source, context).await {
        Ok(after) => after,
        Err(RestoreError::Grafana(error)) => return Err(stopped(error, outcome.written, true)),
        Err(error) => return Err(error),
    };
    let step = context.progress.step("compare what is there now with the backup", None);
    let proven = run.prove(&after, &mut outcome)?;
    step.finish(format!("{} as they were written", words::count(proven, "object")));
    let Outcome { written, mut failed, warnings } = outcome;
    failed
        .extend(plan.blocked().map(|item| format!("{}: {}", item.id, item.note.clone().unwrap_or_default())));
    if !failed.is_empty() {
        return Err(RestoreError::Incomplete { written, failed });
    }
    Ok(Applied { plan, before: safe.id().clone(), written, proven, warnings })
}

fn ids(plan: &RestorePlan, action: Action) -> Vec<ObjectId> {
    plan.items.iter().filter(|item| item.action == action).map(|item| item.id.clone()).collect()
}

/// Where objects lie while they are used.
pub(super) fn spool(context: &RunContext) -> PathBuf {
    if context.state_dir.is_dir() { context.state_dir.clone() } else { std::env::temp_dir() }
}

/// Removes what is older than anybody takes back; never what a restore that is kept goes on from.
pub(super) fn forget_old(kept: &JobStore, context: &RunContext) -> Result<(), RestoreError> {
    kept.forget_old_restores(context.now, |backup| of_restore(backup)?.continues)?;
    Ok(())
}

/// Nothing is left of an earlier restore that could still be done: the next one goes on from nothing.
pub fn settle(site: &Site, context: &RunContext) -> Result<(), RestoreError> {
    Note::at(site, context).remove()
}

/// While a restore writes, this file says so: one that was cut is known by it, and the next one takes back both.
/// Losing it costs that much of an undo, and no data.
pub(super) struct Note(PathBuf);

#[derive(Serialize, Deserialize)]
struct Unfinished {
    of: String,
    before: BackupId,
}

impl Note {
    pub(super) fn at(site: &Site, context: &RunContext) -> Self {
        // Neither name has a dot in it.
        Self(context.state_dir.join(format!("grafana-restore.{}.{}.json", context.job, site.target)))
    }

    /// What was there before a restore of the same backup that was cut.
    fn unfinished(&self, of: &str) -> Option<BackupId> {
        let noted: Unfinished = serde_json::from_slice(&fs::read(&self.0).ok()?).ok()?;
        (noted.of == of).then_some(noted.before)
    }

    fn write(&self, of: &str, before: &BackupId) -> Result<(), RestoreError> {
        let noted = Unfinished { of: of.to_owned(), before: before.clone() };
        let bytes = serde_json::to_vec(&noted).unwrap_or_default();
        atomic::replace(&self.0, &bytes, 0o640).map_err(self.failed("write"))
    }

    pub(super) fn remove(&self) -> Result<(), RestoreError> {
        atomic::remove_if_there(&self.0).map(drop).map_err(self.failed("remove"))
    }

    fn failed(&self, doing: &'static str) -> impl Fn(std::io::Error) -> RestoreError + use<> {
        let path: PathBuf = Path::to_path_buf(&self.0);
        move |source| RestoreError::Place { doing, path: path.clone(), source }
    }
}
