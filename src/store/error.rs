//! What can go wrong in the store.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::archive::ArchiveError;
use super::id::BackupId;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error("Could not {doing} {}", path.display())]
    Io {
        /// A verb: `read`, `create the folder`.
        doing: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store cannot be where it is configured to be.
    #[error("The backup folder {} cannot be used: {problem}", path.display())]
    Unusable {
        /// The configured folder.
        path: PathBuf,
        /// Why.
        problem: &'static str,
    },
    /// It cannot be told which store it is.
    #[error("{} cannot be used: {problem}", path.display())]
    Marker {
        /// The file at its top that says it.
        path: PathBuf,
        /// Why it does not.
        problem: String,
    },
    /// Another user has put a symbolic link on the way to the store.
    #[error("The backup folder {} is not used: {} is a symbolic link of another user", path.display(), link.display())]
    ForeignLink {
        /// The configured folder.
        path: PathBuf,
        /// The link.
        link: PathBuf,
    },
    /// The disk has none for what is to be written.
    #[error("There is no room for this backup in {}: {lack}", path.display())]
    NoRoom {
        /// The job's folder.
        path: PathBuf,
        /// How much it needs, and how much there is.
        lack: String,
    },
    /// The disk takes no more files.
    #[error("There is no room for this backup in {}: {lack}", path.display())]
    NoInodes {
        /// The job's folder.
        path: PathBuf,
        /// How many it needs, and how many there are.
        lack: String,
    },
    /// Another process holds the lock.
    #[error("{} is in use by another run, backup, restore or prune; waited {} s", path.display(), waited.as_secs())]
    Busy {
        /// The locked folder.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// A guard of one job was shown for another one.
    #[error("The lock of {} does not cover {}", held.display(), wanted.display())]
    WrongLock {
        /// The folder that is locked.
        held: PathBuf,
        /// The folder that should be.
        wanted: PathBuf,
    },
    /// A manifest is from the future.
    #[error("{} was made by a newer watchkeeper (format {format}, this one reads up to {})", path.display(), super::manifest::FORMAT)]
    NewerFormat {
        /// The manifest.
        path: PathBuf,
        /// Its format.
        format: u64,
    },
    /// A manifest is damaged or says what it must not.
    #[error("The manifest {} cannot be used: {problem}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// An archive could not be written or read.
    #[error("Could not use the archive {}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        source: ArchiveError,
    },
    /// What was written is not what is read.
    #[error("{} was written with SHA-256 {written} but reads back as {read}", path.display())]
    ReadBack {
        /// The archive.
        path: PathBuf,
        /// The hash of what was written.
        written: String,
        /// The hash of what was read.
        read: String,
    },
    /// A step was taken out of order: a bug of the caller.
    #[error("The backup in {} cannot be published: {problem}", path.display())]
    Unready {
        /// The folder of the backup that is being made.
        path: PathBuf,
        /// What is missing.
        problem: &'static str,
    },
    /// A pinned backup was to be removed.
    #[error("Backup {id} in {} is pinned", path.display())]
    Pinned {
        /// The backup.
        id: BackupId,
        /// Its folder.
        path: PathBuf,
    },
    /// The newest good backup was meant, and none is good.
    #[error("There is no good backup in {}", path.display())]
    NoneGood {
        /// Where.
        path: PathBuf,
    },
    /// There is no such backup.
    #[error("There is no backup {what} in {}", path.display())]
    NotFound {
        /// What was looked for.
        what: String,
        /// Where.
        path: PathBuf,
    },
    /// The backup is there, but it cannot be used.
    #[error("Backup {} is broken: {problem}", path.display())]
    Broken {
        /// Its manifest.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// More than one backup is meant.
    #[error("{spec:?} can mean a backup of {}: write JOB/{spec}", jobs.join(" or "))]
    Ambiguous {
        /// What was asked for.
        spec: String,
        /// The jobs that have one.
        jobs: Vec<String>,
    },
    /// What was asked for is not the name of a backup.
    #[error("{spec:?} names no backup: use ID, JOB/ID, JOB/latest or latest")]
    BadSpec {
        /// What was asked for.
        spec: String,
    },
    /// Nothing can be written where it was asked for.
    #[error("Cannot write {}: {problem}", path.display())]
    Target {
        /// Where.
        path: PathBuf,
        /// Why not.
        problem: &'static str,
    },
    /// The run was told to stop.
    #[error("Cancelled")]
    Cancelled,
}

impl StoreError {
    /// The same attempt may succeed later without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Busy { .. } => true,
            Self::Archive { source, .. } => source.io().is_some_and(passing),
            Self::Io { source, .. } => passing(source),
            _ => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        if let Some(source) = self.io() {
            return match (self, source.kind()) {
                (Self::Io { path, .. } | Self::Archive { path, .. }, io::ErrorKind::PermissionDenied) => {
                    Some(format!("run it as root, or as a user who may use {}", path.display()))
                }
                _ => io_hint(source),
            };
        }
        match self {
            Self::NoRoom { .. } => Some(FULL.to_owned()),
            Self::NoInodes { .. } => Some(
                "the disk has no inodes left: remove files there, keep fewer backups, or move backup_dir".to_owned(),
            ),
            Self::Pinned { id, .. } => Some(format!("unpin {id} first")),
            Self::NewerFormat { .. } => Some("use the watchkeeper that made it, or a newer one".to_owned()),
            Self::Unusable { .. } => Some(
                "create it, or set backup_dir to a folder that the user who runs this may write to"
                    .to_owned(),
            ),
            Self::Marker { path, .. } => Some(format!(
                "if this is the right store, `rm {}`: where the newest backups that are known are in it, the next run writes it \
                 anew",
                path.display()
            )),
            Self::ForeignLink { .. } => Some(
                "its owner could lead backups anywhere: name in backup_dir the folder itself, or make the link yours"
                    .to_owned(),
            ),
            Self::Broken { .. } | Self::Manifest { .. } => {
                Some("restore another backup, or bring this one's files back from a copy".to_owned())
            }
            Self::NoneGood { .. } | Self::NotFound { .. } => {
                Some("`watchkeeper backups` lists what there is".to_owned())
            }
            Self::Target { .. } => Some("choose another name, such as backup.tar.gz".to_owned()),
            Self::ReadBack { .. } => Some("check the disk and the memory of this machine".to_owned()),
            _ => None,
        }
    }

    /// The disk or the quota is full.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::NoRoom { .. } | Self::NoInodes { .. }) || self.io().is_some_and(disk_full)
    }

    fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Archive { source, .. } => source.io(),
            _ => None,
        }
    }
}

/// What to do about a disk without room.
pub(super) const FULL: &str = "the disk is full: free some space, keep fewer backups, or move backup_dir";

fn passing(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, ResourceBusy, StaleNetworkFileHandle, TimedOut};
    matches!(error.kind(), Interrupted | ResourceBusy | StaleNetworkFileHandle | TimedOut)
}

fn disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

pub(super) fn io_hint(error: &io::Error) -> Option<String> {
    if disk_full(error) {
        return Some(FULL.to_owned());
    }
    match error.kind() {
        io::ErrorKind::FileTooLarge => Some(crate::rights::file_limit_hint()),
        io::ErrorKind::PermissionDenied => {
            Some("run it as root, or as the user whose files these are".to_owned())
        }
        io::ErrorKind::NotFound => Some("is backup_dir in jobs.toml right?".to_owned()),
        io::ErrorKind::ReadOnlyFilesystem => Some("the file system is mounted read-only".to_owned()),
        _ => None,
    }
}

/// Says what was being done to which path when an I/O error came.
pub(super) trait At<T> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T, StoreError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Io { doing, path: path.to_owned(), source })
    }
}
