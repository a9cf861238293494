//! Why a cleanup was not done.

use crate::prometheus::client::ClientError;
use crate::prometheus::folder_op::FolderFailure;
use crate::prometheus::restore::RestoreError;
use crate::store::StoreError;

/// A cleanup was not done. Where this comes, this attempt deleted no block.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// The data folder could not be reached, or does not allow it.
    #[error(transparent)]
    Folder(#[from] RestoreError),
    /// The server does not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The backups could not be looked at.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This user may not remove anything there.
    #[error("Nothing was deleted: {failure}")]
    Closed {
        /// What it may not do.
        failure: FolderFailure,
    },
    /// Prometheus is at work in its data folder.
    #[error("Prometheus writes a block at this moment{}, for a compaction or a snapshot", .name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default())]
    Compacting {
        /// The folder of the block, where it has one yet.
        name: Option<String>,
    },
    /// Blocks must not vanish before a restore is finished.
    #[error("A restore of {source_name} into the data folder is not finished")]
    RestoreUnfinished {
        /// What is being restored.
        source_name: String,
    },
    /// It should be restarted and nobody knows how.
    #[error("Nobody can restart {target}: restart = true cannot be done")]
    NoRestart {
        /// The target.
        target: String,
    },
    /// An attempt before this one got so far as to delete something, and was cut: the share is used up.
    #[error("An earlier attempt of this run has begun to delete blocks: the next run goes on")]
    Begun,
    /// The run was told to stop.
    #[error("The cleanup was stopped before it deleted anything")]
    Cancelled,
}

impl CleanupError {
    /// The same may work a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Folder(error) => error.is_transient(),
            Self::Client(error) => error.is_transient(),
            Self::Store(error) => error.is_transient(),
            Self::Compacting { .. } => true,
            Self::Closed { .. }
            | Self::RestoreUnfinished { .. }
            | Self::NoRestart { .. }
            | Self::Begun
            | Self::Cancelled => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Folder(error) => error.hint(),
            Self::Client(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Closed { failure } => failure.hint.clone(),
            Self::Compacting { .. } => Some(
                "run it again when that is over; what a killed compaction has left, Prometheus removes when it starts"
                    .into(),
            ),
            Self::RestoreUnfinished { .. } => Some(
                "finish it with `watchkeeper restore JOB --resume`, or take it back with `--undo`".into(),
            ),
            Self::NoRestart { target } => Some(format!(
                "add container = \"NAME\" or service = {{ unit = \"NAME\" }} to [prometheus.{target}], or remove restart"
            )),
            Self::Begun | Self::Cancelled => None,
        }
    }
}
