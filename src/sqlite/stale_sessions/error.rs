//! What can go wrong with sessions.

use std::path::PathBuf;

use crate::sqlite::SqliteError;

/// Sessions could not be looked at or closed.
#[derive(Debug, thiserror::Error)]
pub enum SessionsError {
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
}

impl SessionsError {
    /// The same may work a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            // A second attempt would hide from `--undo` what the first has closed.
            Self::Batch { closed: 0, rolled_back: true, source, .. } => source.is_transient(),
            _ => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoTable { known, .. } => Some(format!("\"table\" can be: {known}")),
            Self::NoColumn { known, .. } => Some(format!("its columns are: {known}")),
            Self::TooManyStale { .. } => {
                Some("look at them with --dry-run; raise max_rows where they are to be closed".to_owned())
            }
            Self::NoForm { .. } => Some("is \"end\" of the job in jobs.toml the right column?".to_owned()),
            Self::Batch { closed: 0, rolled_back: true, source, .. } => source.hint(),
            Self::Batch { .. } => Some("`watchkeeper restore JOB --undo` opens them again".to_owned()),
            _ => None,
        }
    }
}
