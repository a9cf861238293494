//! What can go wrong with the history.

use std::path::{Path, PathBuf};

use rusqlite::ffi;

use crate::room::{Inodes, Room};
use crate::state_dir::StateDirError;

/// The history could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file could not be made or opened.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// A statement failed.
    #[error("Cannot {doing} the history {}", path.display())]
    Sqlite {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// A newer program wrote it.
    #[error("The history {} is of version {found}, and this program knows {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The file's version.
        found: u32,
        /// The newest version this program knows.
        known: u32,
    },
    /// The file is a database of another program: nobody's to change, or to move away.
    #[error("{} is not a history, but a database of another program", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a database, or a broken one.
    #[error("The history {} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// It could not be opened, and that is tried again.
    #[error("{why}; it is tried again")]
    NotOpen {
        /// Why not.
        why: String,
    },
    /// A row does not hold what this program writes.
    #[error("The history {} holds a run that cannot be read: {run}: {problem}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The run.
        run: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The slot was run before, or is running.
    #[error("The slot {slot} of job {job} was run before")]
    SlotTaken {
        /// The job.
        job: String,
        /// The slot.
        slot: jiff::Timestamp,
    },
    /// No run is called that.
    #[error("No run is called {text:?}")]
    UnknownRun {
        /// What was asked for.
        text: String,
    },
    /// Several runs begin like that.
    #[error("{count} runs begin with {text:?}")]
    AmbiguousRun {
        /// What was asked for.
        text: String,
        /// How many.
        count: usize,
    },
}

/// What SQLite says where a write, the growth of the shared memory, or a sync finds no room.
const FULL_PERHAPS: [std::ffi::c_int; 3] =
    [ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_SHMSIZE, ffi::SQLITE_IOERR_FSYNC];

impl HistoryError {
    /// The same may work a little later.
    pub fn is_transient(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
        matches!(self, Self::Sqlite { source, .. }
            if matches!(source.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked)))
            || matches!(self, Self::NotOpen { .. })
    }

    /// Its disk is full, mounted read-only or fails, or what is beside the file is gone: nothing else need be wrong.
    pub fn is_of_the_disk(&self) -> bool {
        use rusqlite::ErrorCode::{CannotOpen, DiskFull, ReadOnly, SystemIoFailure};
        match self {
            Self::StateDir(error) => error.is_of_the_disk(),
            Self::Sqlite { source, path, .. } => {
                let code = source.sqlite_error_code();
                matches!(code, Some(CannotOpen | DiskFull | ReadOnly | SystemIoFailure)) && !is_closed(path)
            }
            _ => false,
        }
    }

    /// Nothing more fits on its disk, or into the quota.
    pub fn is_of_a_full_disk(&self) -> bool {
        match self {
            Self::StateDir(error) => error.is_of_a_full_disk(),
            Self::Sqlite { source, path, .. } => match source.sqlite_error() {
                Some(error) if error.code == rusqlite::ErrorCode::DiskFull => true,
                // SQLite does not say whether that was a quota, or a disk that fails.
                Some(error) if FULL_PERHAPS.contains(&error.extended_code) => true,
                // It could not make a file beside it.
                Some(error) if error.code == rusqlite::ErrorCode::CannotOpen => {
                    let is_full = |folder| Room::at(folder).is_ok_and(|room| !room.is_for(0));
                    path.parent().is_some_and(is_full) || has_no_inodes(path)
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// It may be usable later without anybody's doing to the file itself.
    pub fn may_pass(&self) -> bool {
        self.is_transient() || self.is_of_the_disk()
    }

    /// The file is damaged.
    pub const fn is_damaged(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }

    /// The file is of no use to this program, and everything else may be in order.
    pub const fn is_of_the_file(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Newer { .. })
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::StateDir(error) => error.hint(),
            Self::Newer { .. } => {
                Some("use the newer watchkeeper that wrote it, or another `state_dir`".into())
            }
            Self::Foreign { .. } => Some(
                "nothing is changed in it: set `state_dir` to a folder of Watchkeeper's own, or move that file to where it \
                 belongs"
                    .into(),
            ),
            Self::Damaged { path, .. } => Some(format!(
                "the daemon, or the next `watchkeeper run-now` where none runs, sets it aside and begins a new one with the \
                 runs that the backups tell of; no backup is lost by that. `sqlite3 {} .recover` may save the old runs",
                path.display()
            )),
            Self::Row { path, .. } => Some(format!(
                "stop watchkeeper and move {0}, {0}-wal and {0}-shm away: a new history begins with the runs that the backups \
                 tell of, and no backup is lost by that; `sqlite3 {0} .recover` may save the old runs",
                path.display()
            )),
            Self::UnknownRun { .. } => Some("`watchkeeper history` lists the runs".into()),
            Self::AmbiguousRun { .. } => Some("give more of its characters".into()),
            Self::Sqlite { source, .. }
                if source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) =>
            {
                Some("its disk is full: free some space, or move `state_dir`".into())
            }
            Self::Sqlite { source, path, .. } if is_denied(source) && has_no_inodes(path) => {
                Some("its disk has no inodes left: remove files there, or move `state_dir`".into())
            }
            Self::Sqlite { source, .. } if is_denied(source) => {
                Some("run it as root or as the user whose history it is".into())
            }
            Self::Sqlite { .. } | Self::SlotTaken { .. } | Self::NotOpen { .. } => None,
        }
    }
}

/// In the folder of the file this user may not make anything.
fn is_closed(path: &Path) -> bool {
    let folder = path.parent().unwrap_or(Path::new(""));
    crate::rights::may_write(folder).is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

/// On the disk of the file not one more can be made.
fn has_no_inodes(path: &Path) -> bool {
    path.parent().is_some_and(|folder| Inodes::at(folder).is_ok_and(|inodes| inodes.lack(1).is_some()))
}

/// The file, or what SQLite makes beside it, may not be opened by this user.
fn is_denied(source: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, PermissionDenied, ReadOnly};
    matches!(source.sqlite_error_code(), Some(CannotOpen | PermissionDenied | ReadOnly))
}
