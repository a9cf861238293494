//! What a backup job does after its backup was published: re-read its share of the stored files, and let
//! retention delete what no rule keeps.
//!
//! Retention runs only after a new backup was verified, and not while that backup is suspiciously small: what it
//! lacks may exist only in those that would be deleted.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;

use crate::config::values::Keep;
use crate::progress::Progress;
use crate::retention::{self, Decision, Hold, Item};
use crate::store::{Backup, BackupId, JobStore, Listing, Removed, StoreError};
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
pub fn prune(store: &JobStore, policy: &Policy) -> Result<(Plan, Removed), StoreError> {
    let lock = store.lock_exclusive(LOCK_LIMIT)?;
    store.sweep(&lock)?;
    let plan = Plan::of(&store.list()?, policy);
    let removed = store.remove(&lock, &plan.deletions())?;
    Ok((plan, removed))
}

/// After a new backup was published: reads the share of this run, then prunes. What fails here does not make the
/// new backup a failure; it is a warning.
pub fn after_backup(
    store: &JobStore,
    policy: &Policy,
    now: Timestamp,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Vec<String> {
    let mut verified = Vec::new();
    match reread(store, policy, now, progress, cancel) {
        Ok(lines) => verified.extend(lines),
        Err(StoreError::Cancelled) => return verified,
        Err(error) => {
            progress.warn(format!("older backups could not be read again: {}", words::chain(&error)));
        }
    }
    let step = progress.step("apply the retention policy", None);
    match prune(store, policy) {
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
    verified
}

fn reread(
    store: &JobStore,
    policy: &Policy,
    now: Timestamp,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Vec<String>, StoreError> {
    let lock = store.lock_shared(LOCK_LIMIT)?;
    let share = store.verification_share(policy.verify_within, EVERY, now)?;
    // What this run has just published was read back by it.
    let fresh = |id: &BackupId| store.get(id).is_ok_and(|backup| backup.manifest.created == now);
    let mut due: Vec<BackupId> = share.into_iter().map(|(id, _)| id).filter(|id| !fresh(id)).collect();
    due.dedup();
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let step = progress.step("read older backups again", None);
    let mut lines = Vec::new();
    for id in &due {
        let report = store.verify(&store.get(id)?, now, &step, cancel)?;
        for file in report.files.iter().filter(|file| file.problem.is_some()) {
            let problem = file.problem.as_deref().unwrap_or_default();
            progress.warn(format!(
                "the backup {}/{id} is no longer good: {}: {problem}",
                store.job(),
                file.file.name
            ));
        }
        if report.is_good() {
            lines.push(format!("the backup {id} was read again and matches its SHA-256"));
        }
    }
    step.finish(format!("{} of them", due.len()));
    drop(lock);
    Ok(lines)
}
