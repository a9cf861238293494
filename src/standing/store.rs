//! How the backups of a job stand.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use jiff::Timestamp;
use serde::Serialize;

use crate::config::JobConfig;
use crate::config::values::{JobName, Subject};
use crate::store::{Backup, BackupId, JobStore, Listing, Store, StoreError};
use crate::upkeep;

/// How the backups of a job stand.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StoreStanding {
    /// How many can be used.
    pub backups: usize,
    /// How many cannot.
    pub broken: usize,
    /// Backups with a stored file that was found bad.
    pub bad: usize,
    /// The newest one that is good.
    pub newest_good: Option<BackupId>,
    /// The same one, with its size.
    pub newest: Option<NewestBackup>,
    /// Bytes of all their files, each counted once.
    pub stored_bytes: u64,
    /// When the backup that was read back longest ago was; nothing where one never was, or there is none.
    pub verified: Option<Timestamp>,
    /// Why retention is held.
    pub held: Option<String>,
}

/// The newest good backup.
#[derive(Debug, Clone, Serialize)]
pub struct NewestBackup {
    /// When it was made.
    pub created: Timestamp,
    /// Its stored size in bytes, with what it shares with others.
    pub bytes: u64,
}

/// What was found when the backups were last looked at. Many manifests take long to read, and few change.
#[derive(Debug, Default)]
pub struct Listings(BTreeMap<JobName, (Stamps, StoreStanding)>);

/// When the folders of a job changed: each backup, and each note of one, is put there by a rename. And what makes a backup
/// doubtful, and one of the job's own.
#[derive(Debug, PartialEq, Eq)]
struct Stamps([Option<SystemTime>; 2], u32, Option<Subject>);

impl Stamps {
    fn of(store: &JobStore, smaller: u32, subject: Option<Subject>) -> Self {
        let changed = |folder: PathBuf| folder.metadata().and_then(|folder| folder.modified()).ok();
        Self([changed(store.folder().to_owned()), changed(store.shared_folder())], smaller, subject)
    }
}

impl Listings {
    /// How the backups of a job stand; none where there is no store.
    pub(super) fn of(&mut self, store: Option<&Store>, job: &JobConfig) -> Result<StoreStanding, StoreError> {
        let (name, smaller) = (&job.name, job.anomalies.smaller);
        let Some(store) = store.map(|store| store.job(name)) else { return Ok(StoreStanding::default()) };
        // Before the look: what changes meanwhile is looked at again.
        let stamps = Stamps::of(&store, smaller, job.kind.subject());
        if let Some((_, standing)) = self.0.get(name).filter(|(seen, _)| *seen == stamps) {
            return Ok(standing.clone());
        }
        let standing = StoreStanding::of(&store.list()?, smaller, job.kind.subject().as_ref());
        self.0.insert(name.clone(), (stamps, standing.clone()));
        Ok(standing)
    }
}

impl StoreStanding {
    fn of(listing: &Listing, smaller: u32, subject: Option<&Subject>) -> Self {
        // That of another source says nothing of how safe this one is.
        let newest = subject.and_then(|subject| upkeep::newest_good(listing, subject));
        Self {
            backups: listing.backups.len(),
            broken: listing.broken.len(),
            bad: listing.backups.iter().filter(|backup| backup.problems().next().is_some()).count(),
            newest_good: newest.map(|backup| backup.id().clone()),
            newest: newest
                .map(|backup| NewestBackup { created: backup.manifest.created, bytes: backup.size() }),
            stored_bytes: listing.stored_bytes(),
            verified: listing.backups.iter().map(Backup::verified).min().flatten(),
            held: subject
                .and_then(|subject| upkeep::hold(listing, smaller, subject))
                .map(|hold| format!("the newest backup {hold}")),
        }
    }
}
