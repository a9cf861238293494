//! Takes the newest restore back: what it changed gets to be as it was, and what it created goes.
//!
//! What people have changed since, and the restore had not touched, stays. What is replaced now is kept, too.

use super::apply::{Applied, carry_out, forget_old, open, plan};
use super::note::Note;
use super::plan::{Choice, Made, RestorePlan};
use super::source::GrafanaBackup;
use super::{BeforeRestore, RestoreError, Site};
use crate::grafana::bundle::Bundle;
use crate::grafana::contents::GrafanaContents;
use crate::grafana::object::Object;
use crate::jobs::RunContext;
use crate::store::{Backup, BackupId, JobStore};

/// What was there before a restore, and before those that it had finished.
#[derive(Debug)]
struct Past {
    /// The oldest of them: as it was before all.
    base: Backup,
    /// All of them, the newest first.
    all: Vec<BackupId>,
    /// The backup that was restored.
    of: String,
    /// What they had created or changed.
    made: Made,
}

/// A restore, and what taking it back would do.
#[derive(Debug)]
pub struct PreparedUndo {
    source: GrafanaBackup,
    bundle: Bundle,
    past: Past,
    /// What would be done.
    pub plan: RestorePlan,
}

impl PreparedUndo {
    /// The backup whose restore would be taken back: `grafana/20261123T020000Z`.
    pub fn restored(&self) -> &str {
        &self.past.of
    }
}

/// Compares what was there before the newest restore with what is there. Writes nothing.
pub async fn prepare_undo(
    site: &Site,
    kept: &JobStore,
    context: &RunContext,
) -> Result<PreparedUndo, RestoreError> {
    let past =
        past(site, kept)?.ok_or_else(|| RestoreError::NothingToUndo { job: context.job.to_string() })?;
    let source = GrafanaBackup::of(past.base.clone())?;
    let bundle = open(&source, context).await?;
    let live = site.look(&bundle, context).await?;
    let plan = past.plan(site, &source, &bundle, &live)?;
    Ok(PreparedUndo { source, bundle, past, plan })
}

/// Takes it back as planned. What is there is kept first.
pub async fn undo(
    site: &Site,
    prepared: PreparedUndo,
    kept: &JobStore,
    context: &RunContext,
) -> Result<Applied, RestoreError> {
    let PreparedUndo { source, bundle, past, plan: shown } = prepared;
    if let Some(refusal) = shown.refusals.first() {
        return Err(RestoreError::Refused { refusal: refusal.clone() });
    }
    let changed = || RestoreError::Changed { url: site.client.url() };
    // Somebody else may have restored, or taken back, while a person looked at the plan.
    if self::past(site, kept)?.is_none_or(|now| now.all != past.all) {
        return Err(changed());
    }
    let applied = if shown.writes().next().is_none() {
        Applied::nothing(shown)
    } else {
        let before = BeforeRestore {
            of: source.title.clone(),
            changed: past.made.ids.iter().cloned().collect(),
            by_undo: true,
            ..BeforeRestore::default()
        };
        let (safe, live) = site.keep(&bundle, before, kept, context).await?;
        let plan = past.plan(site, &source, &bundle, &live)?;
        if !plan.writes_what(&shown) {
            kept.forget_restores(std::slice::from_ref(safe.id()))?;
            return Err(changed());
        }
        carry_out(site, &bundle, &live, plan, &safe, context).await?
    };
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

impl Past {
    fn plan(
        &self,
        site: &Site,
        source: &GrafanaBackup,
        bundle: &Bundle,
        live: &Bundle,
    ) -> Result<RestorePlan, RestoreError> {
        let choice = Choice { ids: Some(self.made.ids.clone()), ..Choice::default() };
        plan(site, source, bundle, live, &choice, Some(&self.made))
    }
}

/// The newest restore, with those before it that were cut and that it has finished.
fn past(site: &Site, kept: &JobStore) -> Result<Option<Past>, RestoreError> {
    let mut backups = kept.list()?.backups;
    // Another Grafana may have been restored from the backups of the same job: what that had is none of this one's.
    backups.retain(|backup| backup.manifest.source.target == site.target.as_str());
    let newest = backups.iter().rev().find_map(|backup| Some((backup, of_restore(backup)?)));
    let Some((mut base, mut before)) = newest else { return Ok(None) };
    let (mut all, mut made) = (vec![base.id().clone()], Made::default());
    let of = before.of.clone();
    loop {
        made.ids.extend(before.created.iter().chain(&before.changed).cloned());
        // What the later one wrote is what there was.
        let known = |object: &Object, all: &[Object]| all.iter().any(|other| other.id() == object.id());
        let earlier: Vec<Object> =
            before.alone.iter().filter(|object| !known(object, &made.alone)).cloned().collect();
        made.alone.extend(earlier);
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
    Ok(Some(Past { base: base.clone(), all, of, made }))
}
