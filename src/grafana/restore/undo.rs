//! Takes the newest restore back: what it changed gets to be as it was, and what it created goes.
//!
//! What people have changed since, and the restore had not touched, stays. What is replaced now is kept, too.

use std::collections::BTreeSet;

use super::apply::{Applied, Note, carry_out, forget_old, open, plan};
use super::plan::Choice;
use super::source::GrafanaBackup;
use super::{BeforeRestore, RestoreError, Site};
use crate::grafana::contents::GrafanaContents;
use crate::grafana::object::ObjectId;
use crate::jobs::RunContext;
use crate::store::{Backup, BackupId, JobStore};

/// What was there before a restore, and before those that it had finished.
struct Past {
    /// The oldest of them: as it was before all.
    base: Backup,
    /// All of them.
    all: Vec<BackupId>,
    /// What they had created or changed.
    touched: BTreeSet<ObjectId>,
}

/// Takes it back.
pub async fn undo(site: &Site, kept: &JobStore, context: &RunContext) -> Result<Applied, RestoreError> {
    let past =
        past(site, kept)?.ok_or_else(|| RestoreError::NothingToUndo { job: context.job.to_string() })?;
    let source = GrafanaBackup::of(past.base)?;
    let bundle = open(&source, context).await?;
    let choice = Choice { ids: Some(past.touched.clone()), ..Choice::default() };
    let before = BeforeRestore {
        of: source.title.clone(),
        changed: past.touched.iter().cloned().collect(),
        by_undo: true,
        ..BeforeRestore::default()
    };
    let (safe, live) = site.keep(&bundle, before, kept, context).await?;
    let plan = plan(site, &source, &bundle, &live, &choice, Some(&past.touched))?;
    if let Some(refusal) = plan.refusals.first() {
        return Err(RestoreError::Refused { refusal: refusal.clone() });
    }
    let applied = carry_out(site, &bundle, &live, plan, &safe, context).await?;
    Note::at(site, context).remove()?;
    // It is as it was: there is nothing left to take back.
    kept.forget_restores(&past.all)?;
    forget_old(kept, context)?;
    Ok(applied)
}

pub(super) fn of_restore(backup: &Backup) -> Option<BeforeRestore> {
    let contents: GrafanaContents = backup.contents().ok()?;
    contents.before_restore.filter(|before| !before.by_undo)
}

/// The newest restore, with those before it that were cut and that it has finished.
fn past(site: &Site, kept: &JobStore) -> Result<Option<Past>, RestoreError> {
    let mut backups = kept.list()?.backups;
    // Another Grafana may have been restored from the backups of the same job: what that had is none of this one's.
    backups.retain(|backup| backup.manifest.source.target == site.target.as_str());
    let newest = backups.iter().rev().find_map(|backup| Some((backup, of_restore(backup)?)));
    let Some((mut base, mut before)) = newest else { return Ok(None) };
    let (mut all, mut touched) = (vec![base.id().clone()], BTreeSet::new());
    loop {
        touched.extend(before.created.iter().chain(&before.changed).cloned());
        let Some(id) = &before.continues else { break };
        let earlier = backups.iter().find(|backup| backup.id() == id);
        let earlier = earlier.and_then(|backup| Some((backup, of_restore(backup)?)));
        // Half of what belongs together would be neither what was before nor what was after.
        let earlier = earlier.ok_or_else(|| RestoreError::Forgotten { id: id.clone() })?;
        if all.contains(earlier.0.id()) {
            break;
        }
        (base, before) = earlier;
        all.push(base.id().clone());
    }
    Ok(Some(Past { base: base.clone(), all, touched }))
}
