//! What could not be taken away: it stays and is told, and the rest goes nevertheless.

use std::path::PathBuf;

use serde::Serialize;

use super::StoreError;

/// Something that was to be removed and is still there. The next removal tries it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// Where it is.
    pub path: PathBuf,
    /// Why it is still there, and what to do.
    pub problem: String,
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} could not be removed: {}", self.path.display(), self.problem)
    }
}

impl Left {
    /// Notes among `left` what the file system refused. Any other error ends the whole removal.
    pub(super) fn note<T>(
        removed: Result<T, StoreError>,
        left: &mut Vec<Self>,
    ) -> Result<Option<T>, StoreError> {
        match removed {
            Ok(removed) => Ok(Some(removed)),
            Err(StoreError::Io { path, source, .. }) => {
                let problem = if path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
                    "it is a folder where a file belongs: look what is in it, and move it away".to_owned()
                } else {
                    source.to_string()
                };
                left.push(Self { path, problem });
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
