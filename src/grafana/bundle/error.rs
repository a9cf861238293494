//! What can be wrong with the archive of an export.

use std::io;
use std::path::PathBuf;

use crate::store::ArchiveError;

/// An archive is not an export of a Grafana, or not a whole one.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It cannot be read as an archive.
    #[error("Cannot read the archive {}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What went wrong.
        source: ArchiveError,
    },
    /// It is an archive of something else.
    #[error("{} is no export of a Grafana that watchkeeper made: {problem}", path.display())]
    NotOurs {
        /// The archive.
        path: PathBuf,
        /// How that was seen.
        problem: String,
    },
    /// A later version of this program made it.
    #[error("{} was made by a newer watchkeeper (format {format}; this one knows {})", path.display(), super::super::contents::FORMAT)]
    NewerFormat {
        /// The archive.
        path: PathBuf,
        /// Its format.
        format: u64,
    },
    /// Something in it is not as it was written.
    #[error("{} is damaged: {entry}: {problem}", path.display())]
    Damaged {
        /// The archive.
        path: PathBuf,
        /// The file in it.
        entry: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An object is not written in its order.
    #[error("{entry} came behind what has to follow it")]
    Order {
        /// The object.
        entry: String,
    },
    /// The archive could not be written.
    #[error("Cannot write {entry} into the archive")]
    Write {
        /// The file in it.
        entry: String,
        /// What went wrong.
        source: ArchiveError,
    },
    /// An object could not be written as JSON.
    #[error("Cannot write {entry} as JSON")]
    Json {
        /// The object.
        entry: String,
        /// What went wrong.
        source: serde_json::Error,
    },
    /// What was unpacked cannot be written or read.
    #[error("Could not {doing} {}", path.display())]
    Spool {
        /// A verb.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl BundleError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotOurs { .. } => Some(
                "what other tools export cannot be restored; name a backup of a grafana-export job".into(),
            ),
            Self::NewerFormat { .. } => Some("restore it with that version".into()),
            Self::Damaged { .. } => Some("`watchkeeper verify` tells which backups are good".into()),
            _ => None,
        }
    }
}
