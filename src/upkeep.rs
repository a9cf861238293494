//! What a backup job does around its backup: before, re-read its share of the stored files; after it was published,
//! let retention delete what no rule keeps.
//!
//! Retention runs only after a new backup was verified, and not while that backup is suspiciously small: what it
//! lacks may exist only in those that would be deleted.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;

use crate::config::values::Keep;
use crate::progress::Progress;
use crate::retention::{self, Decision, Hold, Item};
use crate::store::{Backup, BackupId, JobStore, Listing, Removed, StoreError, StoredFile, Verifier};
use crate::words;

/// How long to wait for readers of the store before backups are deleted.
const LOCK_LIMIT: Duration = Duration::from_mins(1);

/// Between two runs at most so much time is expected to pass.
const EVERY: Duration = Duration::from_hours(24);

/// What a job's backups are kept by.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Which backups to keep.
    pub keep: Keep,
    /// The zone of hours, days and weeks.
    pub zone: TimeZone,
    /// Within which time every stored file is read again.
    pub verify_within: Duration,
}

/// The retention plan of a job: what `prune --dry-run` shows and `prune` applies.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Plan {
    /// Oldest first.
    pub decisions: Vec<Decision>,
    /// Why nothing is deleted for now, if so.
    pub hold: Option<Hold>,
}

impl Plan {
    /// What retention decides about these backups.
    pub fn of(listing: &Listing, policy: &Policy) -> Self {
        let items: Vec<Item> = listing.backups.iter().map(item).collect();
        Self { decisions: retention::plan(&items, &policy.keep, &policy.zone), hold: hold(listing) }
    }

    /// The backups that go, oldest first; none while retention is held.
    pub fn deletions(&self) -> Vec<BackupId> {
        if self.hold.is_some() {
            return Vec::new();
        }
        self.decisions.iter().filter(|decision| !decision.keep).map(|decision| decision.id.clone()).collect()
    }
}

/// Why retention of a job is held, if it is: its newest good backup is far smaller than those before it, and
/// nobody has accepted that.
pub fn hold(listing: &Listing) -> Option<Hold> {
    let good: Vec<&Backup> = listing.backups.iter().filter(|backup| backup.is_good()).collect();
    let accepted = good.iter().rposition(|backup| backup.state.accepted).unwrap_or(0);
    let bytes: Vec<u64> =
        good[accepted.min(good.len())..].iter().map(|backup| backup.manifest.content_bytes).collect();
    retention::hold(&bytes)
}

fn item(backup: &Backup) -> Item {
    Item {
        id: backup.id().clone(),
        created: backup.manifest.created,
        good: backup.is_good(),
        pinned: backup.state.pinned,
    }
}

/// Deletes what the plan lets go, made anew under the lock.
pub fn prune(store: &JobStore, policy: &Policy, now: Timestamp) -> Result<(Plan, Removed), StoreError> {
    let lock = store.lock_exclusive(LOCK_LIMIT)?;
    store.sweep(&lock)?;
    let listing = store.list()?;
    store.sweep_shared(&lock, &listing, now)?;
    let plan = Plan::of(&listing, policy);
    let removed = store.remove(&lock, &plan.deletions())?;
    Ok((plan, removed))
}

/// Before a backup: reads the share of this run, so that what is found to be bad is stored anew by this very backup
/// where its source still has it. Says what was verified.
pub fn before_backup(
    store: &JobStore,
    policy: &Policy,
    now: Timestamp,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Vec<String> {
    match reread(store, policy, now, progress, cancel) {
        Ok(lines) => lines,
        Err(StoreError::Cancelled) => Vec::new(),
        Err(error) => {
            progress.warn(format!("older backups could not be read again: {}", words::chain(&error)));
            Vec::new()
        }
    }
}

/// After a new backup was published and verified: prunes. What fails here does not make the new backup a failure; it
/// is a warning.
pub fn after_backup(store: &JobStore, policy: &Policy, now: Timestamp, progress: &Progress) {
    let step = progress.step("apply the retention policy", None);
    match prune(store, policy, now) {
        Ok((plan, removed)) => {
            if let Some(hold) = plan.hold {
                let job = store.job();
                progress.warn(format!(
                    "{hold}: no older backup is deleted until `watchkeeper accept {job}/latest` says that this is right"
                ));
            }
            let kept = plan.decisions.len() - removed.backups.len();
            step.finish(format!("{kept} kept, {} deleted", removed.backups.len()));
        }
        Err(error) => progress.warn(format!("old backups could not be deleted: {}", words::chain(&error))),
    }
}

fn reread(
    store: &JobStore,
    policy: &Policy,
    now: Timestamp,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Vec<String>, StoreError> {
    let lock = store.lock_shared(LOCK_LIMIT)?;
    let mut due: BTreeMap<BackupId, Vec<StoredFile>> = BTreeMap::new();
    for (id, file) in store.verification_share(policy.verify_within, EVERY, now)? {
        due.entry(id).or_default().push(file);
    }
    let bytes: u64 = due.values().flatten().map(|file| file.size).sum();
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let step = progress.step("read stored files again", Some(bytes));
    let mut verifier = Verifier::new(store, now);
    let (mut files, mut bad) = (0, 0);
    for (id, due) in &due {
        let due: Vec<&StoredFile> = due.iter().collect();
        let report = verifier.files(&store.get(id)?, &due, &step, cancel)?;
        files += report.files.len();
        for (file, problem) in
            report.files.iter().filter_map(|file| Some((&file.file, file.problem.as_ref()?)))
        {
            bad += 1;
            progress.warn(format!(
                "the backup {}/{id} is no longer good: {}: {problem}",
                store.job(),
                file.name
            ));
        }
    }
    step.finish(format!("{files} files"));
    drop(lock);
    let good =
        format!("{} of {files} older stored files were read again and match their SHA-256", files - bad);
    Ok(vec![format!("{good} ({})", words::size(bytes))])
}
