//! What a backup job does around its backup: before, re-read its share of the stored files; after it was published,
//! let retention delete what no rule keeps.
//!
//! Retention runs only after a new backup was verified, and not while that backup is suspiciously small: what it
//! lacks may exist only in those that would be deleted. Nor while it bears a time that the clock may have shown wrongly: by that
//! all the others may look old.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;

use crate::config::values::{Keep, Subject};
use crate::progress::Progress;
use crate::retention::{self, Decision, Hold, Item, Leap, Reason};
use crate::store::{
    Backup, BackupId, Broken, JobStore, Left, Listing, Removed, StoreError, StoredFile, StoredName, Swept,
    Verifier,
};
use crate::words;

/// How long to wait for readers of the store before backups are deleted.
const LOCK_LIMIT: Duration = Duration::from_mins(1);

/// Between two runs at most so much time is expected to pass.
const EVERY: Duration = Duration::from_hours(24);

/// What a job's backups are kept by.
#[derive(Debug, Clone)]
pub struct Policy {
    /// What the job backs up: only backups of that count.
    pub subject: Subject,
    /// Which backups to keep.
    pub keep: Keep,
    /// The zone of hours, days and weeks.
    pub zone: TimeZone,
    /// Within which time every stored file is read again.
    pub verify_within: Duration,
    /// A backup with less in it than so many per cent of what those before it have is in doubt.
    pub smaller: u32,
}

/// What makes retention distrust a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspicion {
    /// As in [`Policy`].
    pub smaller: u32,
    /// What is younger than this is kept: a clock that leaps would make all the others look old.
    pub within: Option<Duration>,
}

impl Policy {
    fn suspicion(&self) -> Suspicion {
        Suspicion { smaller: self.smaller, within: self.keep.rules().within }
    }
}

/// Why nothing is deleted for now.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(untagged)]
pub enum Held {
    /// The newest good backup is suspicious for what it holds.
    Content(Hold),
    /// It is for its time.
    Time(Leap),
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Content(hold) => hold.fmt(f),
            Self::Time(leap) => leap.fmt(f),
        }
    }
}

/// The retention plan of a job: what `prune --dry-run` shows and `prune` applies.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Plan {
    /// Oldest first.
    pub decisions: Vec<Decision>,
    /// Why nothing is deleted for now, if so.
    pub hold: Option<Held>,
}

impl Plan {
    /// What retention decides about these backups, now.
    pub fn of(listing: &Listing, policy: &Policy, now: Timestamp) -> Self {
        let is_own = |backup: &&Backup| backup.manifest.subject().is_same(&policy.subject);
        let (own, others): (Vec<&Backup>, Vec<&Backup>) = listing.backups.iter().partition(is_own);
        let items: Vec<Item> = own.into_iter().map(Item::of).collect();
        let mut decisions = retention::plan_at(&items, &policy.keep, &policy.zone, now);
        // Of another job, host or database that had this folder, or has it still: nothing here takes their place.
        decisions.extend(others.into_iter().map(|backup| Decision {
            id: backup.id().clone(),
            keep: true,
            reasons: vec![Reason::OtherSource(backup.manifest.made_from())],
        }));
        decisions.sort_by(|a, b| a.id.cmp(&b.id));
        Self { decisions, hold: hold(listing, &policy.subject, policy.suspicion(), now) }
    }

    /// The backups that go, oldest first; none while retention is held.
    pub fn deletions(&self) -> Vec<BackupId> {
        if self.hold.is_some() {
            return Vec::new();
        }
        self.decisions.iter().filter(|decision| !decision.keep).map(|decision| decision.id.clone()).collect()
    }
}

/// The newest good backup of what a job backs up.
pub fn newest_good<'a>(listing: &'a Listing, subject: &Subject) -> Option<&'a Backup> {
    let mut newest_first = listing.backups.iter().rev();
    newest_first.find(|backup| backup.is_good() && backup.manifest.subject().is_same(subject))
}

/// Why retention of a job is held, if it is: its newest good backup is far smaller than those before it, good or not,
/// and nobody has accepted that. (One bad file can make all of those bad, and they hold the rest nevertheless.) Or it bears a time
/// that the clock may have shown wrongly.
pub fn hold(listing: &Listing, subject: &Subject, suspicion: Suspicion, now: Timestamp) -> Option<Held> {
    let content = doubts(listing, suspicion.smaller).remove(newest_good(listing, subject)?.id());
    content.map(Held::Content).or_else(|| leap(listing, subject, suspicion.within, now).map(Held::Time))
}

/// Why the time of the newest good backup is not trusted. That it is long after those before it costs only what is kept
/// `within` a time: every other rule counts backups, or spans that have one.
fn leap(listing: &Listing, subject: &Subject, within: Option<Duration>, now: Timestamp) -> Option<Leap> {
    let newest = newest_good(listing, subject).filter(|newest| !newest.state.accepted)?;
    if let Some(within) = within {
        let own: Vec<&Backup> =
            listing.backups.iter().filter(|backup| backup.manifest.subject().is_same(subject)).collect();
        let accepted = own.iter().rposition(|backup| backup.state.accepted).unwrap_or(0);
        let good = own[accepted..].iter().filter(|backup| backup.is_good());
        let created: Vec<Timestamp> = good.map(|backup| backup.manifest.created).collect();
        if let Some(leap) = retention::leaps(&created, within).pop().flatten() {
            return Some(leap);
        }
    }
    Leap::ahead(newest.manifest.created, now)
}

/// The backups that are far smaller than those before them, or cannot have what those have, and that nobody has accepted,
/// with why they are in doubt. `smaller`: as in [`Policy`].
pub fn doubts(listing: &Listing, smaller: u32) -> BTreeMap<BackupId, Hold> {
    let mut rest: Vec<&Backup> = listing.backups.iter().collect();
    let mut doubts = BTreeMap::new();
    // One of another source is no measure.
    while let Some(subject) = rest.last().map(|backup| backup.manifest.subject()) {
        let is_same = |backup: &&Backup| backup.manifest.subject().is_same(&subject);
        let (same, others): (Vec<&Backup>, Vec<&Backup>) = rest.into_iter().partition(is_same);
        doubts.extend(doubts_among(&same, smaller));
        rest = others;
    }
    doubts
}

/// The same for backups of one source, oldest first.
fn doubts_among(all: &[&Backup], smaller: u32) -> BTreeMap<BackupId, Hold> {
    let accepted = all.iter().rposition(|backup| backup.state.accepted).unwrap_or(0);
    // What was deleted from the source on purpose is missed by nobody.
    let still_there = |backup: &Backup| {
        let cleaned = backup.state.cleaned.values().sum();
        backup.manifest.content_bytes.saturating_sub(cleaned)
    };
    let bytes: Vec<u64> = all[accepted..].iter().copied().map(still_there).collect();
    let counts: Vec<&BTreeMap<String, u64>> =
        all[accepted..].iter().map(|backup| &backup.manifest.counts).collect();
    let judged = retention::holds(&bytes, smaller).into_iter().zip(retention::fewer(&counts, smaller));
    let doubt = judged.zip(&bytes).zip(&all[accepted..]).map(|(((hold, fewer), bytes), backup)| {
        let missing = if backup.state.accepted { Vec::new() } else { backup.manifest.missing.clone() };
        match hold {
            Some(hold) => Some(Hold { fewer, missing, ..hold }),
            None if fewer.is_empty() && missing.is_empty() => None,
            // Nothing is wrong with the bytes.
            None => Some(Hold { newest: *bytes, median: *bytes, fewer, missing }),
        }
    });
    let doubtful = all[accepted..].iter().zip(doubt);
    doubtful.filter_map(|(backup, doubt)| Some((backup.id().clone(), doubt?))).collect()
}

/// What a pruning has taken away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The backups that no rule keeps, and their files.
    pub removed: Removed,
    /// Files that no backup has named for days.
    pub swept: Vec<StoredName>,
    /// What should have gone and is still there, sorted.
    pub left: Vec<Left>,
}

impl Pruned {
    /// Bytes that are free again.
    pub fn bytes(&self) -> u64 {
        self.removed.bytes + self.swept.iter().map(|file| file.size).sum::<u64>()
    }
}

/// Deletes what the plan lets go, made anew under the lock.
pub fn prune(store: &JobStore, policy: &Policy, now: Timestamp) -> Result<(Plan, Pruned), StoreError> {
    let lock = store.lock_exclusive(LOCK_LIMIT)?;
    let Swept { mut left, .. } = store.sweep(&lock)?;
    let listing = store.list()?;
    let swept = store.sweep_shared(&lock, &listing, now)?;
    let plan = Plan::of(&listing, policy, now);
    let removed = store.remove(&lock, &plan.deletions())?;
    left.extend(swept.left.iter().chain(&removed.left).cloned());
    left.sort_by(|a, b| a.path.cmp(&b.path));
    left.dedup();
    Ok((plan, Pruned { removed, swept: swept.files, left }))
}

/// What was found before a backup.
#[derive(Debug, Default)]
pub struct Before {
    /// What was verified.
    pub verified: Vec<String>,
    /// Backups that cannot be restored as they are.
    unfit: BTreeSet<BackupId>,
}

/// Before a backup: warns of what is wrong in the store, and reads the share of this run. What is found to be bad is
/// stored anew by this very backup where its source still has it.
pub fn before_backup(
    store: &JobStore,
    policy: &Policy,
    now: Timestamp,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Before {
    let read = reread(store, policy, now, progress, cancel);
    let verified = read.unwrap_or_else(|error| {
        if !matches!(error, StoreError::Cancelled) {
            progress.warn(format!("older backups could not be read again: {}", words::chain(&error)));
        }
        Vec::new()
    });
    match store.list() {
        Ok(listing) => {
            warn_about(store, &listing, progress);
            let bad = listing.backups.iter().filter(|backup| backup.problems().next().is_some());
            let bad = bad.map(|backup| backup.id().clone());
            Before { verified, unfit: bad.chain(listing.broken.iter().filter_map(Broken::id)).collect() }
        }
        Err(error) => {
            progress.warn(format!("older backups could not be looked at: {}", words::chain(&error)));
            Before { verified, unfit: BTreeSet::new() }
        }
    }
}

/// Says what is wrong, once for all backups that share it.
fn warn_about(store: &JobStore, listing: &Listing, progress: &Progress) {
    listing.warnings.iter().for_each(|warning| progress.warn(warning.clone()));
    let mut problems: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for broken in &listing.broken {
        let name = broken.id().map_or_else(|| broken.path.display().to_string(), |id| id.to_string());
        problems.entry(&broken.problem).or_default().push(name);
    }
    let mut bad: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for backup in &listing.backups {
        for (file, problem) in backup.problems() {
            bad.entry(format!("{}: {problem}", file.name)).or_default().push(backup.id().to_string());
        }
    }
    let problems = problems.into_iter().map(|(problem, backups)| (problem.to_owned(), backups));
    for (problem, backups) in problems.chain(bad) {
        let (job, number) = (store.job(), words::count(backups.len(), "backup"));
        let names = words::some(&backups, 3);
        progress.warn(format!(
            "{number} of {job} cannot be restored whole ({names}): {problem}; what is bad is stored anew while its \
             source has it"
        ));
    }
}

/// After a new backup was published and verified: prunes. What fails here does not make the new backup a failure; it
/// is a warning. Says which older backups are good again.
pub fn after_backup(
    store: &JobStore,
    policy: &Policy,
    now: Timestamp,
    progress: &Progress,
    before: &Before,
) -> Vec<String> {
    let step = progress.step("apply the retention policy", None);
    let mut facts = Vec::new();
    match prune(store, policy, now) {
        Ok((plan, pruned)) => {
            facts.extend(others(&plan));
            if let Some(hold) = plan.hold {
                let job = store.job();
                progress.warn(format!(
                    "the newest backup {hold}: no older backup is deleted until `watchkeeper accept {job}/latest` says that this is right"
                ));
            }
            pruned.left.iter().for_each(|left| progress.warn(left.to_string()));
            let deleted = pruned.removed.backups.len();
            let bad = plan.decisions.iter().filter(|decision| decision.reasons.contains(&Reason::NotGood));
            let bad: Vec<String> = bad.map(|decision| decision.id.to_string()).collect();
            if !bad.is_empty() && deleted > 0 {
                let number = words::count(bad.len(), "backup");
                progress.warn(format!(
                    "{number} that could not be restored whole were deleted: {}",
                    words::some(&bad, 3)
                ));
            }
            step.finish(format!("{} kept, {deleted} deleted", plan.decisions.len() - deleted));
        }
        Err(error) => progress.warn(format!("old backups could not be deleted: {}", words::chain(&error))),
    }
    facts.extend(mended(store, before));
    facts
}

/// Says which backups are of another source, and stay.
fn others(plan: &Plan) -> Option<String> {
    let source = |decision: &Decision| match decision.reasons.first() {
        Some(Reason::OtherSource(source)) => Some(format!("{} ({source})", decision.id)),
        _ => None,
    };
    let all: Vec<String> = plan.decisions.iter().filter_map(source).collect();
    let number = words::count(all.len(), "backup");
    let told =
        || format!("{number} of another source stay, and no rule counts them: {}", words::some(&all, 3));
    (!all.is_empty()).then(told)
}

/// Which backups that could not be restored before are good now.
fn mended(store: &JobStore, before: &Before) -> Vec<String> {
    if before.unfit.is_empty() {
        return Vec::new();
    }
    // That they cannot be looked at was told.
    let listing = store.list().unwrap_or_default();
    let good = listing.backups.iter().filter(|backup| backup.problems().next().is_none());
    let again: Vec<String> =
        good.map(Backup::id).filter(|id| before.unfit.contains(id)).map(ToString::to_string).collect();
    if again.is_empty() {
        return Vec::new();
    }
    let number = words::count(again.len(), "older backup");
    vec![format!("{number} can be restored again: what was bad was stored anew ({})", words::some(&again, 3))]
}

/// What came of reading again.
#[derive(Default)]
struct Reread {
    files: usize,
    bad: usize,
    bytes: u64,
}

fn reread(
    store: &JobStore,
    policy: &Policy,
    now: Timestamp,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Vec<String>, StoreError> {
    let _lock = store.lock_shared(LOCK_LIMIT)?;
    let mut due: BTreeMap<BackupId, Vec<StoredFile>> = BTreeMap::new();
    for (id, file) in store.verification_share(policy.verify_within, EVERY, now)? {
        due.entry(id).or_default().push(file);
    }
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let step =
        progress.step("read stored files again", Some(due.values().flatten().map(|file| file.size).sum()));
    let mut verifier = Verifier::new(store, now);
    let mut all = Reread::default();
    for (id, due) in &due {
        let due: Vec<&StoredFile> = due.iter().collect();
        let report = verifier.files(&store.get(id)?, &due, &step, cancel)?;
        for checked in &report.files {
            all.files += 1;
            all.bytes += checked.file.size;
            if let Some(problem) = &checked.problem {
                all.bad += 1;
                progress.warn(problem.of(&format!("{}/{id}", store.job()), &checked.file.name));
            }
        }
    }
    step.finish(format!("{} files", all.files));
    let Reread { files, bad, bytes } = all;
    let good = files - bad;
    Ok(vec![format!(
        "{good} of {files} older stored files were read again and match their SHA-256 ({})",
        words::size(bytes)
    )])
}
