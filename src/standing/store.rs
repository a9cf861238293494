//! How the backups of a job stand.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use jiff::Timestamp;
use serde::Serialize;

use crate::config::JobConfig;
use crate::config::values::{JobName, Subject};
use crate::retention::Leap;
use crate::store::{Backup, BackupId, JobStore, Listing, Store, StoreError};
use crate::upkeep::{self, Suspicion};

/// How the backups of a job stand.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StoreStanding {
    /// How many can be used; those of another source are not counted.
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
struct Stamps([Option<SystemTime>; 2], Suspicion, Option<Subject>);

impl Stamps {
    fn of(store: &JobStore, suspicion: Suspicion, subject: Option<Subject>) -> Self {
        let changed = |folder: PathBuf| folder.metadata().and_then(|folder| folder.modified()).ok();
        Self([changed(store.folder().to_owned()), changed(store.shared_folder())], suspicion, subject)
    }
}

impl Listings {
    /// How the backups of a job stand; as they last stood where there is no store now.
    pub(super) fn of(
        &mut self,
        store: Option<&Store>,
        job: &JobConfig,
        now: Timestamp,
    ) -> Result<StoreStanding, StoreError> {
        let within = job.kind.keeping().and_then(|(keep, _)| keep.rules().within);
        let (name, suspicion) = (&job.name, Suspicion { smaller: job.anomalies.smaller, within });
        let Some(store) = store.map(|store| store.job(name)) else {
            // What was wrong with them is no better while nobody can look.
            return Ok(self.0.get(name).map(|(_, last)| last.clone()).unwrap_or_default());
        };
        // Before the look: what changes meanwhile is looked at again.
        let subject = job.kind.subject();
        let stamps = Stamps::of(&store, suspicion, subject.clone());
        let known = self.0.get(name).filter(|(seen, known)| *seen == stamps && !known.is_ahead(now));
        if let Some((_, standing)) = known {
            return Ok(standing.clone());
        }
        let standing = StoreStanding::of(&store.list()?, suspicion, subject.as_ref(), now);
        self.0.insert(name.clone(), (stamps, standing.clone()));
        Ok(standing)
    }
}

impl StoreStanding {
    /// What is said of it changes with the time.
    fn is_ahead(&self, now: Timestamp) -> bool {
        let of = |newest: &NewestBackup| newest.created;
        self.held.is_some() || self.newest.as_ref().map(of).is_some_and(|at| Leap::ahead(at, now).is_some())
    }

    fn of(listing: &Listing, suspicion: Suspicion, subject: Option<&Subject>, now: Timestamp) -> Self {
        // That of another source says nothing of how safe this one is.
        let is_own =
            |backup: &Backup| subject.is_none_or(|subject| backup.manifest.subject().is_same(subject));
        let newest = subject.and_then(|subject| upkeep::newest_good(listing, subject));
        Self {
            backups: listing.backups.iter().filter(|backup| is_own(backup)).count(),
            broken: listing.broken.len(),
            bad: listing.backups.iter().filter(|backup| backup.problems().next().is_some()).count(),
            newest_good: newest.map(|backup| backup.id().clone()),
            newest: newest
                .map(|backup| NewestBackup { created: backup.manifest.created, bytes: backup.size() }),
            stored_bytes: listing.stored_bytes(),
            verified: listing.backups.iter().map(Backup::verified).min().flatten(),
            held: subject
                .and_then(|subject| upkeep::hold(listing, subject, suspicion, now))
                .map(|hold| format!("the newest backup {hold}")),
        }
    }
}
