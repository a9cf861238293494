//! Takes the newest restore back: what it changed gets to be as it was, and what it created goes.
//!
//! What people have changed since, and the restore had not touched, stays. What is replaced now is kept, too.

use super::apply::{Applied, carry_out, forget_old, open, plan};
use super::found::{Found, Left};
use super::live::Extent;
use super::note::Note;
use super::plan::{Choice, Made, RestorePlan};
use super::shelf::{Kept, Shelf};
use super::source::GrafanaBackup;
use super::{BeforeRestore, RestoreError, Site};
use crate::grafana::bundle::Bundle;
use crate::grafana::object::{Object, ObjectId};
use crate::jobs::RunContext;
use crate::store::{Backup, BackupId};

/// What was there before a restore, and before those that it had finished.
#[derive(Debug)]
struct Past {
    /// The oldest of them: as it was before all.
    base: Backup,
    /// All of them, the newest first.
    all: Vec<BackupId>,
    /// The backups that were restored, the last one first.
    of: Vec<String>,
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
    /// The backup whose restore would be taken back: `grafana/20261123T020000Z`, and others that were restored while it
    /// was not finished.
    pub fn restored(&self) -> String {
        self.past.of.join(" and ")
    }
}

/// Compares what was there before the newest restore with what is there. Writes nothing.
pub async fn prepare_undo(
    site: &Site,
    shelf: &Shelf,
    context: &RunContext,
) -> Result<PreparedUndo, RestoreError> {
    let past = past(site, shelf, context)?
        .ok_or_else(|| RestoreError::NothingToUndo { job: context.job.to_string() })?;
    let source = GrafanaBackup::of(past.base.clone())?;
    let bundle = open(&source, context).await?;
    let live = site.look(&past.extent(&bundle), context).await?;
    let plan = past.plan(site, &source, &bundle, &live)?;
    Ok(PreparedUndo { source, bundle, past, plan })
}

/// Takes it back as planned. What is there is kept first.
pub async fn undo(
    site: &Site,
    prepared: PreparedUndo,
    shelf: &Shelf,
    context: &RunContext,
) -> Result<Applied, RestoreError> {
    let PreparedUndo { source, bundle, past, plan: shown } = prepared;
    if let Some(refusal) = shown.refusals.first() {
        return Err(RestoreError::Refused { refusal: refusal.clone() });
    }
    let changed = || RestoreError::Changed { url: site.client.url() };
    // Somebody else may have restored, or taken back, while a person looked at the plan.
    if self::past(site, shelf, context)?.is_none_or(|now| now.all != past.all) {
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
        let (safe, live) = site.keep(&past.extent(&bundle), before, &shelf.into, context).await?;
        let plan = past.plan(site, &source, &bundle, &live)?;
        if !plan.writes_what(&shown) {
            shelf.into.forget_restores(std::slice::from_ref(safe.id()))?;
            return Err(changed());
        }
        carry_out(site, &bundle, &live, plan, &safe, context).await.map_err(RestoreError::of_undo)?
    };
    Note::at(site, context).taken_back(&past.all)?;
    let found = past.all.iter().chain(&applied.before).cloned().collect::<Vec<_>>();
    Found::at(site, context).forget(&found);
    // It is as it was: there is nothing left to take back.
    shelf.forget(&past.all)?;
    forget_old(&shelf.into, context)?;
    Ok(applied)
}

impl Past {
    /// What has to be looked at: what was there, and what was made.
    fn extent(&self, source: &Bundle) -> Extent {
        let mut extent = Extent::of(source);
        extent.include.extend(self.made.ids.iter().map(|id| id.kind).filter(|kind| kind.is_opt_in()));
        extent
    }

    /// One more, which was before those that it has.
    fn add(&mut self, kept: &Kept, found: Left) {
        let before = &kept.before;
        self.base = kept.backup.clone();
        self.all.push(kept.backup.id().clone());
        if !self.of.contains(&before.of) {
            self.of.push(before.of.clone());
        }
        // What a later one has found changed by somebody is his, also where this one had written it.
        self.made.untouched.extend(found.untouched);
        let untouched = self.made.untouched.clone();
        let wrote = |id: &ObjectId| !untouched.contains(id);
        self.made.ids.extend(before.created.iter().chain(&before.changed).filter(|id| wrote(id)).cloned());
        // What the later one wrote is what there was.
        let known = |object: &&Object| self.made.alone.iter().any(|other| other.id() == object.id());
        let earlier = before.alone.iter().filter(|object| wrote(&object.id()) && !known(object));
        let earlier: Vec<Object> = earlier.cloned().collect();
        self.made.alone.extend(earlier);
        let written = found.written.into_iter().chain(before.written.iter().cloned());
        for written in written.filter(|written| wrote(&written.id)) {
            self.made.written.entry(written.id).or_insert(written.hash);
        }
        for secret in &before.secrets {
            let id = secret.id();
            if wrote(&id) && self.made.secrets.iter().all(|(known, _)| *known != id) {
                self.made.secrets.push((id, secret.clone()));
            }
        }
    }

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

/// The newest restore, with those before it that were cut and that it has finished, and what was restored in between: what
/// was there before one of those was half of it.
fn past(site: &Site, shelf: &Shelf, context: &RunContext) -> Result<Option<Past>, RestoreError> {
    let kept = shelf.restores(&site.target)?;
    let Some(newest) = kept.first() else { return Ok(None) };
    let found = Found::at(site, context);
    let mut past =
        Past { base: newest.backup.clone(), all: Vec::new(), of: Vec::new(), made: Made::default() };
    let mut first = newest.backup.id().clone();
    for one in &kept {
        if *one.backup.id() < first {
            break;
        }
        refuse_another_server(site, one)?;
        past.add(one, found.after(one.backup.id()));
        first = one
            .before
            .continues
            .iter()
            .cloned()
            .chain([first])
            .min()
            .unwrap_or_else(|| one.backup.id().clone());
    }
    // What a restore was cut in is half written, and no edit of anybody.
    let note = Note::at(site, context);
    if past.all.iter().any(|before| note.is_unfinished(before)) {
        past.made.written.clear();
    }
    // Half of what belongs together would be neither what was before nor what was after.
    if *past.base.id() != first {
        return Err(RestoreError::Forgotten { id: first });
    }
    Ok(Some(past))
}

/// What one server had is not brought to another one because that has its name, or its URL, now.
fn refuse_another_server(site: &Site, kept: &Kept) -> Result<(), RestoreError> {
    let (was, is) = (&kept.backup.manifest.source.url, site.client.url());
    let (title, target) = (kept.title(), site.target.to_string());
    if *was != is {
        return Err(RestoreError::AnotherServer { kept: title, target, was: was.clone(), is });
    }
    match kept.before.account.as_ref().zip(site.account.as_ref()) {
        Some((then, now)) if then.is_elsewhere(now) => Err(RestoreError::AnotherDatabase {
            kept: title,
            target,
            url: is,
            accounts: Box::new([then.clone(), now.clone()]),
        }),
        _ => Ok(()),
    }
}
