//! Why an operation on a data folder was not done.

use std::io;
use std::path::{Path, PathBuf};

use super::FolderFailure;
use crate::rights;
use crate::words;

#[derive(Debug, thiserror::Error)]
pub(super) enum FolderOpError {
    #[error("Could not {doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{reason}")]
    Refused { reason: String, hint: Option<String> },
    #[error(transparent)]
    Check(#[from] crate::prometheus::block::CheckDirError),
}

impl FolderOpError {
    pub(super) fn refused(reason: impl Into<String>, hint: &str) -> Self {
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        Self::Refused { reason: reason.into(), hint }
    }
}

impl From<FolderOpError> for FolderFailure {
    fn from(error: FolderOpError) -> Self {
        let reason = words::chain(&error);
        let hint = match error {
            FolderOpError::Refused { hint, .. } => hint,
            FolderOpError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some space on the volume of the data folder".into())
            }
            FolderOpError::Io { source, .. } => rights::hint(&source, "the data folder"),
            FolderOpError::Check(_) => None,
        };
        Self { reason, hint }
    }
}

/// Says what was being done to which path when an I/O error came.
pub(super) trait At<T> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T, FolderOpError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T, FolderOpError> {
        self.map_err(|source| FolderOpError::Io { doing, path: path.to_owned(), source })
    }
}
