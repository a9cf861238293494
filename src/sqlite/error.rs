//! What can go wrong with a SQLite database.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::ErrorCode;

use crate::command::CommandError;
use crate::docker::DockerError;
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
    #[error("The database {path} cannot be reached in container {container}: {problem}")]
    OutOfReach {
        /// The container.
        container: String,
        /// The database.
        path: String,
        /// What was tried.
        problem: String,
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
    /// It is a backup of something else.
    #[error("{title} is a {kind} backup, not one of a database")]
    OtherKind {
        /// The backup.
        title: String,
        /// Its kind.
        kind: String,
    },
    /// What was unpacked is not what the manifest says.
    #[error("The database in {title} is not the one that its manifest describes")]
    Differs {
        /// The backup.
        title: String,
    },
    /// It can be read in its container, but nothing can be put there.
    #[error(
        "The database {path} is in container {container} alone, in no volume and no mounted folder that can be reached here: it cannot be replaced there"
    )]
    NoPlace {
        /// The container.
        container: String,
        /// The path in there.
        path: String,
    },
    /// Somebody would go on writing to the old file.
    #[error("The database {} is still open in {by}", path.display())]
    Held {
        /// The database.
        path: PathBuf,
        /// Who.
        by: String,
    },
    /// The application does not work with what it got.
    #[error("The application is not well {} s after its start: {url}: {seen}{}", limit.as_secs(), last_words(words))]
    NotWell {
        /// What it was asked for.
        url: String,
        /// How long it was waited for.
        limit: Duration,
        /// What it said last.
        seen: String,
        /// The last lines of its log.
        words: Vec<String>,
    },
    /// A restore, or its taking back, could not begin.
    #[error("Nothing was changed: {}", crate::words::chain(&**why))]
    Unchanged {
        /// Why.
        why: Box<SqliteError>,
    },
    /// A restore was cut.
    #[error(
        "A restore of {} is unfinished: {source_title}, begun {began} by job {job}; until it is taken back nothing else uses the database", path.display()
    )]
    Unfinished {
        /// The database.
        path: PathBuf,
        /// The job that the restore is of.
        job: String,
        /// What was being restored.
        source_title: String,
        /// Since when.
        began: jiff::Timestamp,
    },
    /// A restore did not work, and what was there before is back.
    #[error("The restore was taken back, the old database is in its place{}: {}", kept(displaced.as_deref()), crate::words::chain(&**why))]
    TakenBack {
        /// Why.
        why: Box<SqliteError>,
        /// Where the restored one is, if something was written to it meanwhile.
        displaced: Option<PathBuf>,
    },
    /// A restore did not work, and could not be taken back.
    #[error("The restore failed ({}), and the old database is NOT back: {}; it is {}", crate::words::chain(&**why), crate::words::chain(&**back), aside.display())]
    NotBack {
        /// Why it did not work.
        why: Box<SqliteError>,
        /// Why it was not taken back.
        back: Box<SqliteError>,
        /// Where the old database is.
        aside: PathBuf,
    },
    /// The table is not there.
    #[error("There is no table {table:?} in the database")]
    NoTable {
        /// The table.
        table: String,
        /// Those that are.
        known: String,
    },
    /// The column is not there.
    #[error("There is no column {column:?} in the table {table:?}")]
    NoColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Those that are.
        known: String,
    },
    /// Its rows have no numbers of SQLite's own.
    #[error(
        "The table {table:?} is WITHOUT ROWID, or has a column of that name: its rows cannot be named safely"
    )]
    NoRowid {
        /// The table.
        table: String,
    },
    /// A row came out in another shape than it was asked for.
    #[error("A session cannot be read: {row}")]
    BadRow {
        /// How it begins.
        row: String,
    },
    /// There are more open sessions than anybody has.
    #[error("More than {most} sessions are open: they are not looked at")]
    TooMany {
        /// How many were found.
        found: usize,
        /// How many are looked at.
        most: usize,
    },
    /// There are more stale sessions than may be closed.
    #[error("{found} sessions are stale, and max_rows allows {most}: none was closed")]
    TooManyStale {
        /// How many were found.
        found: usize,
        /// How many may be closed.
        most: usize,
    },
    /// The ends that are there are no times.
    #[error(
        "Column {column:?} has its ends in no form that is known here, such as {seen}: no session was closed"
    )]
    NoForm {
        /// The column.
        column: String,
        /// One of them, as an SQL literal.
        seen: String,
    },
    /// One of several transactions failed.
    #[error(
        "Could not write the end of {rows} sessions: {}; {closed} sessions of earlier batches stay closed",
        if *rolled_back { "this batch was rolled back" } else { "whether this batch was written is not known" }
    )]
    Batch {
        /// How many it was to close.
        rows: usize,
        /// None of them was written to; otherwise that is not known.
        rolled_back: bool,
        /// How many were closed before.
        closed: usize,
        /// Why it failed.
        source: Box<SqliteError>,
    },
    /// More rows were changed than were meant.
    #[error("More rows of {} than were meant would have changed: all was rolled back", path.display())]
    Guard {
        /// The database.
        path: PathBuf,
    },
    /// There is no restore to take back.
    #[error("There is nothing of {job} to take back")]
    NothingToUndo {
        /// The job.
        job: String,
    },
    /// The newest restore took itself back.
    #[error("There is nothing to undo: the restore of {source_title}, begun {began}, took itself back")]
    TookItselfBack {
        /// What was to be restored.
        source_title: String,
        /// When.
        began: jiff::Timestamp,
        /// Where the restore before it has set the old database aside, if there was one.
        older: Option<PathBuf>,
    },
    /// What a restore had set aside is gone.
    #[error("The database of before the restore is not at {} any more: nothing was changed", path.display())]
    NotAside {
        /// Where it was set aside.
        path: PathBuf,
    },
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

    /// Told to one who asked for a restore.
    pub(super) fn with_nothing_changed(self) -> Self {
        if matches!(self, Self::Cancelled) { self } else { Self::Unchanged { why: Box::new(self) } }
    }

    /// The same may work a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Docker(error) => error.is_transient(),
            Self::Command(error) => error.is_transient(),
            Self::Service(error) => error.is_transient(),
            Self::Locked { .. } | Self::Changed { .. } => true,
            // A second attempt would hide from `--undo` what the first has closed.
            Self::Batch { closed: 0, rolled_back: true, source, .. } => source.is_transient(),
            _ => false,
        }
    }

    /// A restore failed and what was there before is not back.
    pub fn data_not_back(&self) -> bool {
        matches!(self, Self::NotBack { .. })
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Store(error) => return error.hint(),
            Self::Archive(error) => return error.hint(),
            Self::Docker(error) => return error.hint(),
            Self::Command(error) => return error.hint(),
            Self::Service(error) => return error.hint(),
            Self::Missing { .. } | Self::MissingInside { .. } => {
                "is \"database\" in jobs.toml right? an unfinished restore is taken back by `watchkeeper restore JOB --undo`"
            }
            Self::LeadsNowhere { .. } => {
                "mount or make the folder, and restore: the database comes to where the link leads"
            }
            Self::TookItselfBack { older, .. } => {
                return older.as_ref().map(|aside| {
                    format!("what the restore before it has set aside is still there: {}", aside.display())
                });
            }
            Self::NotAside { .. } => {
                "put it back there, or restore the backup of that time; `watchkeeper restore JOB --discard-old` forgets this restore"
            }
            Self::NotSqlite { .. } => "is \"database\" in jobs.toml right?",
            Self::Corrupt { .. } => {
                "`watchkeeper restore JOB` brings the newest good backup back; `sqlite3 FILE .recover` saves what can be read"
            }
            Self::Interrupted { .. } => {
                "start its application, which does it, or run this as the user who owns the database and its folder"
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
                "run it as root, or as the user who owns the database and its folder"
            }
            Self::File { source, .. } if source.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                "it is mounted read-only: mount it so that it can be written"
            }
            // Only an attribute keeps root out so.
            Self::File { source, .. } if source.raw_os_error() == Some(EPERM) => {
                "run it as root; if you did: `lsattr -d` shows an `i`, and `chattr -i` removes it"
            }
            Self::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "run it as root, or as the user who owns the database and its folder"
            }
            Self::File { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "the disk is full: free some space"
            }
            Self::OutOfReach { .. } => {
                "keep the database in a volume or a mounted folder; else the image needs sqlite3 or python3, and its user a folder to write a copy to, no tmpfs"
            }
            Self::StateDir(error) => return error.hint(),
            Self::NoTable { known, .. } => return Some(format!("\"table\" can be: {known}")),
            Self::NoColumn { known, .. } => return Some(format!("its columns are: {known}")),
            Self::TooManyStale { .. } => {
                "look at them with --dry-run; raise max_rows where they are to be closed"
            }
            Self::NoForm { .. } => "is \"end\" of the job in jobs.toml the right column?",
            Self::Batch { closed: 0, rolled_back: true, source, .. } => return source.hint(),
            Self::Batch { .. } => "`watchkeeper restore JOB --undo` opens them again",
            Self::Unfinished { job, .. } => {
                return Some(format!("`watchkeeper restore {job} --undo` takes it back"));
            }
            Self::TakenBack { why, .. } | Self::Unchanged { why } => return why.hint(),
            Self::NotBack { .. } => {
                "end what has the database open, then run `watchkeeper restore JOB --undo`"
            }
            Self::Held { .. } => {
                "stop it first; an application in jobs.toml is stopped by its \"container\" or \"service\""
            }
            Self::NoPlace { .. } => {
                "keep it in a volume; until then: `watchkeeper restore JOB --into DIR`, then `docker cp` it in"
            }
            Self::NotWell { .. } => "look at its log; is \"health\" of the application in jobs.toml right?",
            Self::Changed { .. } => {
                "let it be read by a user who may write to its folder, as SQLite needs for locks"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

fn kept(displaced: Option<&Path>) -> String {
    displaced.map_or_else(String::new, |path| {
        format!(", and what was written to the restored one meanwhile is in {}", path.display())
    })
}

fn last_words(words: &[String]) -> String {
    if words.is_empty() { String::new() } else { format!("; its log ends: {}", words.join(" / ")) }
}

/// The error is the database's own.
pub(super) fn is_corrupt(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

pub(super) fn file(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> SqliteError + use<> {
    let path = path.to_owned();
    move |source| SqliteError::File { doing, path: path.clone(), source }
}
