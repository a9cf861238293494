//! Backups on disk. A backup exists exactly when its manifest does.
//!
//! One folder per job. Files are published beside their target and renamed, the manifest last; they are removed in
//! the opposite order. So a crash at any point leaves whole backups and things that [`JobStore::sweep`] takes away.

pub mod archive;
pub mod atomic;
mod before;
pub mod digest;
mod doubtful;
mod error;
mod export;
mod find;
pub mod halfway;
mod id;
mod left;
mod list;
mod lock;
pub mod manifest;
mod marker;
mod outside;
pub mod owner;
mod pending;
mod publish;
mod remove;
mod room;
mod sealed;
mod shared;
mod state;
mod sweep;
#[cfg(test)]
mod testing;
mod unnamed;
mod verify;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use crate::config::values::JobName;

pub use archive::{ArchiveError, ArchiveWriter, Entry, EntryKind};
pub use error::StoreError;
pub use find::{Found, resolve, resolve_damaged};
pub use id::{BackupId, BackupIdError};
pub use left::Left;
pub use list::{Backup, Broken, DatedManifest, Listing};
pub use lock::{ExclusiveLock, SharedLock};
pub use manifest::{Contents, Layout, Manifest, Owner, Source, StoredFile, is_lacking};
pub use marker::{StoreId, StoreIdError};
pub use outside::Newest;
pub use pending::Pending;
pub use publish::Draft;
pub use remove::Removed;
pub use room::Beside;
pub use shared::{
    Novelty, Published, SharedDraft, SharedFile, SharedIndex, SharedSwept, StoredName, Unclaimed,
    key_of as shared_key,
};
pub use state::{BackupState, How, Verified};
pub use sweep::Swept;
pub use verify::{CheckedFile, Problem, Verifier, VerifyReport};

use error::At as _;

/// All backups of a configuration: `backup_dir`.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// The backups of one job. The folder may not be there yet.
#[derive(Debug, Clone)]
pub struct JobStore {
    job: JobName,
    folder: PathBuf,
}

impl Store {
    /// Opens the store to write to it. Creates its folder if only that is missing.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        lies_where_it_seems(root)?;
        let unusable = |problem| StoreError::Unusable { path: root.to_owned(), problem };
        match owner::create_folder(root, owner::FOLDER_MODE) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(unusable("the folder it should lie in does not exist"));
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory) => {
                return Err(unusable("it is not a folder"));
            }
            Err(e) => return Err(e).at("create the backup folder", root),
        }
        if rustix::fs::access(root, Access::WRITE_OK | Access::EXEC_OK | Access::READ_OK).is_err() {
            return Err(unusable("this user may not write to it, or it is mounted read-only"));
        }
        Ok(Self { root: root.to_owned() })
    }

    /// Opens a store that is only read: it may be mounted read-only, or belong to somebody else.
    pub fn open_to_read(root: &Path) -> Result<Self, StoreError> {
        lies_where_it_seems(root)?;
        if fs::metadata(root).at("open the backup folder", root)?.is_dir() {
            return Ok(Self { root: root.to_owned() });
        }
        Err(StoreError::Unusable { path: root.to_owned(), problem: "it is not a folder" })
    }

    /// A store that is not there now and may be later, as when its disk is mounted: whoever uses it has to look first.
    pub fn absent(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// This user may write to it.
    pub fn is_writable(&self) -> bool {
        rustix::fs::access(&self.root, Access::WRITE_OK | Access::EXEC_OK).is_ok()
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The backups of a job.
    pub fn job(&self, job: &JobName) -> JobStore {
        JobStore { job: job.clone(), folder: self.root.join(job) }
    }

    /// The jobs that have a folder, configured or not.
    pub fn jobs(&self) -> Result<Vec<JobName>, StoreError> {
        let mut jobs = Vec::new();
        for entry in fs::read_dir(&self.root).at("list", &self.root)? {
            let entry = entry.at("list", &self.root)?;
            let name = entry.file_name().to_str().and_then(|name| name.parse().ok());
            jobs.extend(name.filter(|_| entry.path().is_dir()));
        }
        jobs.sort();
        Ok(jobs)
    }
}

impl JobStore {
    /// The job.
    pub fn job(&self) -> &JobName {
        &self.job
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of the files that its backups share; it need not be there.
    pub fn shared_folder(&self) -> PathBuf {
        self.folder.join(shared::FOLDER)
    }

    fn create_folder(&self) -> Result<(), StoreError> {
        owner::create_folder(&self.folder, owner::FOLDER_MODE).at("create the folder", &self.folder)
    }

    fn manifest_path(&self, id: &BackupId) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    fn state_path(&self, id: &BackupId) -> PathBuf {
        self.folder.join(format!("{id}.state.json"))
    }

    /// Where a removal of the backup is noted until it is complete.
    fn tombstone_path(&self, id: &BackupId) -> PathBuf {
        self.folder.join(format!(".removed-{id}.json"))
    }

    /// The names in the folder; none if it is not there.
    fn names(&self) -> Result<Vec<String>, StoreError> {
        names_in(&self.folder)
    }
}

/// Nobody else has led the path elsewhere.
fn lies_where_it_seems(root: &Path) -> Result<(), StoreError> {
    match crate::rights::foreign_link(root).at("look at", root)? {
        None => Ok(()),
        Some(link) => Err(StoreError::ForeignLink { path: root.to_owned(), link }),
    }
}

/// The names in a folder, sorted; none if it is not there.
fn names_in(folder: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.at("list", folder)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        // What is not UTF-8 is not ours.
        names.extend(entry.at("list", folder)?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_creates_the_root_but_not_what_it_lies_in() {
        let dir = tempfile::tempdir().unwrap();
        Store::open(&dir.path().join("backups")).unwrap();
        assert!(dir.path().join("backups").is_dir());
        let error = Store::open(&dir.path().join("missing/backups")).unwrap_err();
        assert!(error.to_string().contains("the folder it should lie in does not exist"), "{error}");
        assert!(!dir.path().join("missing").exists());
    }

    #[test]
    fn a_file_in_place_of_the_root_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        atomic::replace(&path, b"", 0o640).unwrap();
        for result in [Store::open(&path), Store::open_to_read(&path), Store::open(&path.join("x"))] {
            assert!(result.unwrap_err().to_string().ends_with("it is not a folder"));
        }
    }

    #[test]
    fn jobs_are_the_folders_with_a_name_of_a_job() {
        let (dir, store) = testing::store();
        for name in ["prom-b", "prom-a", ".hidden", "Upper", "lost+found"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        atomic::replace(&dir.path().join("file"), b"", 0o640).unwrap();
        let jobs: Vec<String> = store.jobs().unwrap().into_iter().map(String::from).collect();
        assert_eq!(jobs, ["prom-a", "prom-b"]);
    }
}
