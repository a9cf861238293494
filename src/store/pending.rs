//! A backup that is being made. Nobody sees it before it is published, and nothing is left of it if it never is.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use ulid::Ulid;

use super::archive::ArchiveWriter;
use super::error::{At as _, StoreError};
use super::lock::{Held, SharedLock};
use super::{JobStore, StoredFile, owner};
use crate::config::values::Compression;

/// How names of folders begin in which backups are made.
pub(super) const PREFIX: &str = ".partial-";
/// The archive, before it has its name.
const ARCHIVE: &str = "archive";
/// Held while the run lives.
pub(super) const LOCK: &str = ".lock";
/// How long a prune is waited for.
pub(super) const BRIEF: Duration = Duration::from_mins(1);

/// A backup that is being made, in a folder of its own. Dropping it removes that folder.
pub struct Pending {
    pub(super) job: JobStore,
    pub(super) run: Ulid,
    pub(super) now: Timestamp,
    dir: PathBuf,
    finished: super::archive::Finished,
    /// About how many bytes it will write; 0 where nobody knows.
    pub(super) expected: u64,
    /// Held while it names files of earlier backups.
    pub(super) relies: Option<SharedLock>,
    lock: Option<Held>,
}

impl JobStore {
    /// Begins a backup; first sweeps what dead runs have left, if nobody uses the folder. Fails with
    /// [`StoreError::NoInodes`] where the disk takes no more files.
    pub fn begin(&self, run: Ulid, now: Timestamp) -> Result<Pending, StoreError> {
        if !self.folder.exists() {
            self.require_inodes()?;
        }
        self.create_folder()?;
        // Held until our own lock is, so that a sweep never sees a folder of ours that seems to be dead.
        let _guards = match self.lock_exclusive(Duration::ZERO) {
            Ok(exclusive) => {
                self.sweep(&exclusive)?;
                (Some(exclusive), None)
            }
            Err(StoreError::Busy { .. }) => (None, Some(self.lock_shared(BRIEF)?)),
            Err(e) => return Err(e),
        };
        let dir = self.folder.join(format!("{PREFIX}{run}"));
        if dir.exists() {
            return Err(StoreError::Busy { path: dir, waited: Duration::ZERO });
        }
        self.require_inodes()?;
        owner::create_folder(&dir, owner::FOLDER_MODE).at("create the folder", &dir)?;
        let path = dir.join(LOCK);
        let lock = File::create_new(&path).at("create", &path)?;
        owner::settle_file(&lock, &path, owner::FILE_MODE).at("create", &path)?;
        let lock = Some(Held::fresh(lock).at("lock", &path)?);
        Ok(Pending {
            job: self.clone(),
            run,
            now,
            dir,
            finished: Arc::default(),
            expected: 0,
            relies: None,
            lock,
        })
    }
}

impl Pending {
    /// A folder for spools. It goes when this goes.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Begins the one archive of the backup.
    pub fn archive(&self, compression: Compression) -> Result<ArchiveWriter, StoreError> {
        let path = self.dir.join(format!("{ARCHIVE}{}", compression.codec.suffix()));
        let file = File::create_new(&path).at("create", &path)?;
        owner::settle_file(&file, &path, owner::FILE_MODE).at("create", &path)?;
        ArchiveWriter::expecting(self.expected, file, &path, compression, Arc::clone(&self.finished))
            .map_err(|source| StoreError::Archive { path, source })
    }

    /// The size of its archive in bytes, once that is finished.
    pub fn size(&self) -> Option<u64> {
        self.finished().ok().map(|archive| archive.size)
    }

    /// Where the finished archive lies until it is published.
    pub(super) fn archive_path(&self) -> Result<PathBuf, StoreError> {
        Ok(self.dir.join(self.finished()?.name))
    }

    /// The archive as its writer finished it.
    pub(super) fn finished(&self) -> Result<StoredFile, StoreError> {
        let finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let problem = "its archive was not finished";
        finished.ok_or_else(|| StoreError::Unready { path: self.dir.clone(), problem })
    }

    /// Dies as a killed process does: nothing is cleaned up, the kernel lets the lock go.
    #[cfg(test)]
    pub(super) fn crash(mut self) {
        self.lock = None;
        std::mem::forget(self);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // What cannot be removed now is swept later.
        if self.job.settle(&self.dir).is_ok() {
            let _ = fs::remove_dir_all(&self.dir);
        }
        self.lock = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing;

    fn names(job: &JobStore) -> Vec<String> {
        job.names().unwrap()
    }

    #[test]
    fn a_dropped_backup_leaves_nothing() {
        let (_dir, job) = testing::job();
        let pending = job.begin(Ulid::from_parts(1, 1), testing::now()).unwrap();
        let mut archive = pending.archive(Compression::default()).unwrap();
        archive.file("a", 0o644, 0, 3, &mut &b"abc"[..]).unwrap();
        assert_eq!(names(&job).len(), 2);
        drop(pending);
        assert_eq!(names(&job), [".lock"]);
    }

    #[test]
    fn what_is_not_finished_is_not_published() {
        let (_dir, job) = testing::job();
        let pending = job.begin(Ulid::from_parts(1, 1), testing::now()).unwrap();
        drop(pending.archive(Compression::default()).unwrap());
        let published = testing::publish(pending, 0);
        assert!(matches!(published, Err(StoreError::Unready { .. })));
        assert_eq!(names(&job), [".lock"]);
    }

    #[test]
    fn a_begun_backup_survives_the_sweep_of_another_one_and_a_dead_one_does_not() {
        let (_dir, job) = testing::job();
        job.begin(Ulid::from_parts(1, 1), testing::now()).unwrap().crash();
        let alive = job.begin(Ulid::from_parts(2, 2), testing::now()).unwrap();
        let other = job.begin(Ulid::from_parts(3, 3), testing::now()).unwrap();
        assert_eq!(names(&job).len(), 3); // the lock and the two that live
        assert!(alive.dir().exists() && other.dir().exists());
        assert!(matches!(job.begin(Ulid::from_parts(2, 2), testing::now()), Err(StoreError::Busy { .. })));
    }

    #[test]
    fn a_backup_begins_while_another_one_is_being_restored() {
        let (_dir, job) = testing::job();
        testing::backup(&job, 0);
        let _restore = job.lock_shared(Duration::ZERO).unwrap();
        testing::backup(&job, 1);
        assert_eq!(job.list().unwrap().backups.len(), 2);
    }
}
