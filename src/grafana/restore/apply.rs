//! Carries a plan out: keeps what is there, writes what differs, and proves it.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::found::{Found, Left};
use super::ledger::Ledger;
use super::live::Extent;
use super::meanwhile::Meanwhile;
use super::note::{Attempt, Note};
use super::plan::{Action, Choice, Item, Made, Planner, RestorePlan, left, overwritten, traces};
use super::run::{Outcome, Run, stopped};
use super::said::find;
use super::shelf::{Shelf, of_restore};
use super::source::GrafanaBackup;
use super::{BeforeRestore, RestoreError, Site};
use crate::blocking::blocking;
use crate::grafana::bundle::Bundle;
use crate::grafana::contents::Secret;
use crate::grafana::object::{Object, ObjectId, ObjectType};
use crate::grafana::spool;
use crate::jobs::RunContext;
use crate::store::{Backup, BackupId, JobStore};
use crate::words;

/// So many of those that failed stand in the log of the run.
const LOGGED: usize = 150;

/// A backup, what of it is meant, and what that would do.
#[derive(Debug)]
pub struct Prepared {
    /// The backup.
    pub backup: GrafanaBackup,
    /// Its objects.
    pub(super) bundle: Bundle,
    /// The SHA-256 of its archive.
    pub(super) identity: String,
    /// What of it is meant.
    pub choice: Choice,
    /// Secrets that are entered over others.
    overwritten: Vec<Secret>,
    /// What would be done.
    pub plan: RestorePlan,
}

/// What a restore has done.
#[derive(Debug)]
pub struct Applied {
    /// What was planned, and done.
    pub plan: RestorePlan,
    /// The backup of what was there before, by which the restore can be taken back; none where nothing was written.
    pub before: Option<BackupId>,
    /// Restores before it that were cut, and that it has not finished: the backups that they were of. An undo of it leaves
    /// those as they are, and another one takes them back.
    pub cut_before: Vec<String>,
    /// How many objects were written.
    pub written: usize,
    /// How many of them were found as they were written.
    pub proven: usize,
    /// What a person should know although it is no failure.
    pub warnings: Vec<String>,
}

impl Applied {
    /// Everything was so already.
    pub(super) fn nothing(plan: RestorePlan) -> Self {
        Self { plan, before: None, cut_before: Vec::new(), written: 0, proven: 0, warnings: Vec::new() }
    }
}

/// Compares a backup with what is there. Writes nothing.
pub async fn prepare(
    site: &Site,
    backup: GrafanaBackup,
    choice: Choice,
    context: &RunContext,
) -> Result<Prepared, RestoreError> {
    let bundle = open(&backup, context).await?;
    choice.check(&backup.title, &bundle)?;
    let unset = Ledger::at(site, context).unset(site).await?;
    // One site is prepared for once.
    let _ = site.unset.set(unset);
    let live = site.look(&Extent::of(&bundle), context).await?;
    let plan = plan(site, &backup, &bundle, &live, &choice, None)?;
    let hashed = backup.clone();
    let identity = blocking(move || hashed.identity()).await?;
    let overwritten = overwritten(&plan, &live)?;
    Ok(Prepared { backup, bundle, identity, choice, overwritten, plan })
}

pub(super) async fn open(backup: &GrafanaBackup, context: &RunContext) -> Result<Bundle, RestoreError> {
    let (backup, context) = (backup.clone(), context.clone());
    let spool = spool(&context);
    sweep_spools(&context.state_dir).await;
    blocking(move || backup.open(&spool, &context.progress, &context.cancel)).await
}

pub(super) fn plan(
    site: &Site,
    backup: &GrafanaBackup,
    bundle: &Bundle,
    live: &Bundle,
    choice: &Choice,
    made: Option<&Made>,
) -> Result<RestorePlan, RestoreError> {
    let head = RestorePlan {
        source: backup.title.clone(),
        created: backup.created,
        from_version: bundle.contents().version.clone(),
        to: site.client.url(),
        to_version: live.contents().version.clone(),
        ..RestorePlan::default()
    };
    Ok(Planner::new(bundle, live, choice, site.facts(), head)?.plan(made)?)
}

/// Restores as planned. What is there is kept first.
pub async fn apply(
    site: &Site,
    prepared: Prepared,
    shelf: &Shelf,
    context: &RunContext,
) -> Result<Applied, RestoreError> {
    let kept = &shelf.into;
    let Prepared { backup, bundle, identity, choice, overwritten, plan: shown } = prepared;
    if let Some(refusal) = shown.refusals.first() {
        return Err(RestoreError::Refused { refusal: refusal.clone() });
    }
    if shown.writes().next().is_none() {
        // Nothing is written, so there is nothing to keep.
        return not_all(&shown, Outcome::default(), false).map(|()| Applied::nothing(shown));
    }
    let (note, attempt) = (Note::at(site, context), Attempt::new(&identity, site, &choice));
    let before = BeforeRestore {
        of: backup.title.clone(),
        created: ids(&shown, Action::Create),
        changed: ids(&shown, Action::Update),
        alone: alone(&shown, &bundle)?,
        written: traces(&shown, &bundle, site.facts().login.as_deref())?,
        secrets: overwritten,
        continues: note.unfinished(&attempt),
        account: site.account.clone(),
        by_undo: false,
    };
    let continues = before.continues.clone();
    let (safe, live) = site.keep(&Extent::of(&bundle), before, kept, context).await?;
    let plan = plan(site, &backup, &bundle, &live, &choice, None)?;
    if !plan.writes_what(&shown) {
        kept.forget_restores(std::slice::from_ref(safe.id()))?;
        return Err(RestoreError::Changed { url: site.client.url() });
    }
    note.write(attempt.clone(), safe.id())?;
    let is_user = |item: &&Item| item.id.kind == ObjectType::Users && item.action == Action::Create;
    let unknown = plan.writes().filter(is_user).filter(|item| !plan.entered.contains_key(&item.id));
    let unknown: Vec<&str> = unknown.map(|item| item.id.key.as_str()).collect();
    Ledger::at(site, context).add(&unknown)?;
    let applied = carry_out(site, &bundle, &live, plan, &safe, context).await?;
    note.finished(&attempt)?;
    let cut = note.cut_before(continues.as_ref().unwrap_or(safe.id()));
    // What cannot be read there is for an undo to say.
    let cut_before = shelf.sources(&site.target, &cut).unwrap_or_default();
    forget_old(kept, context)?;
    Ok(Applied { cut_before, ..applied })
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
    let meanwhile = Meanwhile::new(source, live, &plan);
    let run = Run { site, source, live, plan: &plan, context, meanwhile, sent: Mutex::default() };
    let (found, mut outcome) = (Found::at(site, context), Outcome::default());
    let ended = run.carry_out(&mut outcome).await;
    let mut left = Left { untouched: run.untouched(&outcome), ..Left::default() };
    found.note(safe.id(), &left);
    let is_known =
        |id: &&ObjectId| id.kind == ObjectType::Users && (plan.entered.contains_key(id) || plan.removes(id));
    let known = outcome.written.iter().filter(is_known).map(|id| id.key.as_str());
    let is_user = |id: &&ObjectId| id.kind == ObjectType::Users;
    let of_others = left.untouched.iter().filter(is_user).map(|id| id.key.as_str());
    let ledger = Ledger::at(site, context);
    let noted = ledger.remove(known.chain(of_others));
    let learned = ledger.learn(site).await;
    ended?;
    noted.and(learned)?;
    let after = match site.look(&Extent::of(source).and(live), context).await {
        Ok(after) => after,
        Err(RestoreError::Grafana(error)) => {
            return Err(stopped(error, outcome.written.len(), run.has_sent()));
        }
        Err(error) => return Err(error),
    };
    let step = context.progress.step("compare what is there now with the backup", None);
    let proven = run.prove(&after, &mut outcome)?;
    let me = site.facts().login;
    left.written = self::left(&plan, (source, &after), me.as_deref())?;
    left.written.retain(|written| !left.untouched.contains(&written.id));
    found.note(safe.id(), &left);
    step.finish(format!("{} as they were written", words::count(proven, "object")));
    let (written, warnings) = (outcome.written.len(), std::mem::take(&mut outcome.warnings));
    not_all(&plan, outcome, run.has_sent())?;
    let before = Some(safe.id().clone());
    Ok(Applied { plan, before, cut_before: Vec::new(), written, proven, warnings })
}

/// What failed, or could not even be tried, is told as that. `touched`: something may be another one on the server.
fn not_all(plan: &RestorePlan, outcome: Outcome, touched: bool) -> Result<(), RestoreError> {
    let blocked = plan.blocked().map(|item| (item.id.clone(), item.note.clone().unwrap_or_default()));
    let failed = outcome.failed.into_iter().chain(blocked);
    let failed: Vec<String> = failed.map(|(id, why)| format!("{}: {why}", plan.name(&id))).collect();
    for failed in failed.iter().take(LOGGED) {
        tracing::info!("not restored: {failed}");
    }
    let written = outcome.written.len();
    if failed.is_empty() { Ok(()) } else { Err(RestoreError::Incomplete { written, touched, failed }) }
}

fn ids(plan: &RestorePlan, action: Action) -> Vec<ObjectId> {
    plan.items.iter().filter(|item| item.action == action).map(|item| item.id.clone()).collect()
}

/// What is written of that of which an organisation has only one.
fn alone(plan: &RestorePlan, source: &Bundle) -> Result<Vec<Object>, RestoreError> {
    let is_alone = |kind| matches!(kind, ObjectType::Policies | ObjectType::Preferences);
    let written = plan.writes().filter(|item| item.action == Action::Create && is_alone(item.id.kind));
    let entries = written.filter_map(|item| find(source, &item.id));
    Ok(entries.map(|entry| source.load(entry)).collect::<Result<_, _>>()?)
}

/// Where objects lie while they are used.
pub(super) fn spool(context: &RunContext) -> PathBuf {
    if context.state_dir.is_dir() { context.state_dir.clone() } else { std::env::temp_dir() }
}

/// Removes what killed restores have left of unpacked exports in `state_dir`. What cannot be removed keeps nobody from
/// anything.
pub async fn sweep_spools(state_dir: &Path) {
    let folder = state_dir.to_owned();
    let swept = blocking(move || if folder.is_dir() { spool::sweep(&folder) } else { Ok(Vec::new()) });
    match swept.await {
        Ok(swept) if swept.is_empty() => {}
        Ok(swept) => {
            tracing::info!(swept = swept.len(), "removed unpacked exports that killed restores had left");
        }
        Err(error) => tracing::warn!(
            folder = %state_dir.display(),
            error = words::chain(&error),
            "unpacked exports that killed restores have left could not be removed"
        ),
    }
}

/// Removes what is older than anybody takes back, of each Grafana for itself; never what a restore that is kept goes on from.
pub(super) fn forget_old(kept: &JobStore, context: &RunContext) -> Result<(), RestoreError> {
    kept.forget_old_restores(context.now, |backup| of_restore(backup).ok()??.continues)?;
    Ok(())
}

/// Nothing is left of this restore that could still be done: the next one goes on from nothing.
pub fn settle(site: &Site, prepared: &Prepared, context: &RunContext) -> Result<(), RestoreError> {
    let attempt = Attempt::new(&prepared.identity, site, &prepared.choice);
    Note::at(site, context).finished(&attempt)
}
