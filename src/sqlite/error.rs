//! What can go wrong with a SQLite database.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use super::restore::RestoreError;
use super::stale_sessions::SessionsError;
use crate::command::CommandError;
use crate::docker::DockerError;
use crate::rights;
use crate::service::ServiceError;
use crate::state_dir::StateDirError;
use crate::store::{ArchiveError, StoreError};

/// "Operation not permitted"
const EPERM: i32 = rustix::io::Errno::PERM.raw_os_error();

/// A database could not be used, backed up or restored.
#[derive(Debug, thiserror::Error)]
pub enum SqliteError {
    /// The store could not take or give it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The archive could not be written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The engine did not help.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// A program in the container could not be run.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// What uses the database could not be stopped or started.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// There is no such file.
    #[error("There is no database {}", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// It is named by a link to where no folder is.
    #[error("There is no database {}: it is a link to {}, and there is no such folder", path.display(), target.display())]
    LeadsNowhere {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// There is no such file in the container.
    #[error("There is no database {path} in container {container}")]
    MissingInside {
        /// The container.
        container: String,
        /// Where it should be.
        path: String,
    },
    /// It is something else.
    #[error("{} is not a SQLite database: {problem}", path.display())]
    NotSqlite {
        /// The file.
        path: PathBuf,
        /// What it is.
        problem: &'static str,
    },
    /// Its pages contradict each other.
    #[error("The database {} is corrupt", path.display())]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// Its pages contradict each other, as a program in its container says.
    #[error("The database {} is corrupt: {program} in there says {said:?}", path.display())]
    CorruptInside {
        /// The database, behind its container.
        path: PathBuf,
        /// `sqlite3`, `python3`
        program: &'static str,
        /// The end of what it said.
        said: String,
    },
    /// A transaction was cut, and may not be rolled back by this user.
    #[error("A transaction of the database {} was cut while it was written, and must be rolled back first", path.display())]
    Interrupted {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// Somebody else holds it.
    #[error("The database {} is locked: somebody has held it for {waited} s", path.display())]
    Locked {
        /// The database.
        path: PathBuf,
        /// How long it was waited for, in seconds.
        waited: u64,
    },
    /// SQLite could not do it.
    #[error("Could not {doing} {}", path.display())]
    Sql {
        /// A verb.
        doing: &'static str,
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The file system refused.
    #[error("Could not {doing} {}", path.display())]
    File {
        /// A verb.
        doing: &'static str,
        /// What.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database is in the container alone, and what could read it there is not there.
    #[error("The database {path} cannot be reached in container {container}: {}, and {problem}", no_mount(closed.as_deref()))]
    OutOfReach {
        /// The container.
        container: String,
        /// The database.
        path: String,
        /// What was tried.
        problem: String,
        /// Where it lies on this host, where only this user may not go there.
        closed: Option<PathBuf>,
    },
    /// A program in the container failed.
    #[error("{program} in container {container} failed: {said}")]
    Inside {
        /// `sqlite3`, `python3`
        program: &'static str,
        /// The container.
        container: String,
        /// The end of what it said.
        said: String,
    },
    /// The database changed while it was read in a way that only bears no writer.
    #[error("{} was written to while it was read without a lock", path.display())]
    Changed {
        /// The database.
        path: PathBuf,
    },
    /// The contents could not be written as JSON.
    #[error("Cannot describe the backup")]
    Describe {
        /// What went wrong.
        source: serde_json::Error,
    },
    /// What the program notes for itself could not be written.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// A note cannot be read.
    #[error("The note {} cannot be read", path.display())]
    BadNote {
        /// The note.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A restore, or its taking back, went wrong.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// Sessions could not be looked at or closed.
    #[error(transparent)]
    Sessions(#[from] SessionsError),
    /// The run was told to stop.
    #[error("It was stopped before it was complete")]
    Cancelled,
}

impl SqliteError {
    /// An error of SQLite about a database.
    pub(super) fn of(path: &Path, doing: &'static str, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => {
                Self::NotSqlite { path, problem: "it has no SQLite header, or is encrypted" }
            }
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt { path, source },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::Locked { path, waited: super::open::PATIENCE.as_secs() }
            }
            _ => Self::Sql { doing, path, source },
        }
    }

    /// It is said where the database lies, as one finds it who may go there.
    pub(super) fn of_closed(self, place: Option<&Path>) -> Self {
        match self {
            Self::OutOfReach { container, path, problem, .. } => {
                Self::OutOfReach { container, path, problem, closed: place.map(Path::to_owned) }
            }
            other => other,
        }
    }

    /// Told to one who asked for a restore.
    pub(super) fn with_nothing_changed(self) -> Self {
        match self {
            Self::Cancelled => self,
            why => RestoreError::Unchanged { why: Box::new(why) }.into(),
        }
    }

    /// The same may work a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Docker(error) => error.is_transient(),
            Self::Command(error) => error.is_transient(),
            Self::Service(error) => error.is_transient(),
            Self::Sessions(error) => error.is_transient(),
            Self::Locked { .. } | Self::Changed { .. } => true,
            _ => false,
        }
    }

    /// A restore, or its taking back, was not begun, as things are or because there is nothing to do it with.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Restore(error) if error.is_refusal())
    }

    /// A restore failed and what was there before is not back.
    pub fn data_not_back(&self) -> bool {
        matches!(self, Self::Restore(RestoreError::NotBack { .. }))
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Store(error) => return error.hint(),
            Self::Archive(error) => return error.hint(),
            Self::Docker(error) => return error.hint(),
            Self::Command(error) => return error.hint(),
            Self::Service(error) => return error.hint(),
            Self::Restore(error) => return error.hint(),
            Self::Sessions(error) => return error.hint(),
            Self::Missing { .. } | Self::MissingInside { .. } => {
                "is \"database\" in jobs.toml right? an unfinished restore is taken back by `watchkeeper restore JOB --undo`"
            }
            Self::LeadsNowhere { .. } => {
                "mount or make the folder, and restore: the database comes to where the link leads"
            }
            Self::NotSqlite { .. } => "is \"database\" in jobs.toml right?",
            Self::Corrupt { .. } | Self::CorruptInside { .. } => {
                "`watchkeeper restore JOB` brings the newest good backup back; `sqlite3 FILE .recover` saves what can be read"
            }
            Self::Interrupted { .. } => {
                return Some(format!(
                    "start its application, which does it, or {}",
                    rights::files_hint("the database and its folder")
                ));
            }
            Self::Locked { .. } => {
                "look for who holds it: `fuser -v FILE`; it is tried again where the job has retries"
            }
            Self::Sql { source, .. } if source.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
                "the disk is full: free some space"
            }
            Self::Sql { source, .. }
                if matches!(
                    source.sqlite_error_code(),
                    Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly)
                ) =>
            {
                return Some(rights::files_hint("the database and its folder"));
            }
            // Only an attribute keeps root out so.
            Self::File { source, .. }
                if source.raw_os_error() == Some(EPERM) && rustix::process::geteuid().is_root() =>
            {
                "`lsattr -d` shows an `i`, and `chattr -i` removes it"
            }
            Self::File { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "the disk is full: free some space"
            }
            Self::File { source, .. } => return rights::hint(source, "the database and its folder"),
            Self::OutOfReach { closed: Some(_), .. } => {
                let also = "or let the image have sqlite3 or python3";
                return Some(format!("{}; {also}", rights::files_hint("the volume")));
            }
            Self::OutOfReach { .. } => {
                "keep the database in a volume or a mounted folder; else the image needs sqlite3 or python3, and its user a folder to write a copy to, no tmpfs"
            }
            Self::StateDir(error) => return error.hint(),
            Self::Changed { .. } => {
                "let it be read by a user who may write to its folder, as SQLite needs for locks"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

fn no_mount(closed: Option<&Path>) -> String {
    match closed {
        None => "it is in no volume and no mounted folder that can be read here".to_owned(),
        Some(place) => format!("this user may not go to {}, where it is on this host", place.display()),
    }
}

/// The error is the database's own.
pub(super) fn is_corrupt(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

pub(super) fn file(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> SqliteError + use<> {
    let path = path.to_owned();
    move |source| SqliteError::File { doing, path: path.clone(), source }
}
