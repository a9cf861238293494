//! Why a backup of a Prometheus could not be made.

use std::io;
use std::path::{Path, PathBuf};

use super::ledger::LedgerError;
use crate::prometheus::client::ClientError;
use crate::prometheus::folder::FolderError;
use crate::prometheus::folder_op::FolderFailure;
use crate::store::StoreError;
use crate::store::archive::ArchiveError;

/// A backup could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The server did not do what was asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The data folder could not be reached.
    #[error(transparent)]
    Access(#[from] FolderError),
    /// Something inside the data folder could not be done.
    #[error("{failure}")]
    Folder {
        /// What, and why not.
        failure: FolderFailure,
    },
    /// This user may not remove a snapshot again, so none was taken.
    #[error("No snapshot was taken, because it could not be removed again: {failure}")]
    Closed {
        /// What it may not do.
        failure: FolderFailure,
    },
    /// The helper inside the data folder answered something else than was asked.
    #[error("The helper in the data folder answered {reply}")]
    Reply {
        /// What it answered.
        reply: String,
    },
    /// The store could not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The archive could not be written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The ledger could not be kept.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A restore into this data folder is not finished.
    #[error("A restore of {note} into the data folder is not finished")]
    RestoreUnfinished {
        /// What is being restored.
        note: String,
    },
    /// The stream of the snapshot broke or is not a whole tar archive.
    #[error("Cannot read the snapshot out of the container")]
    Stream {
        /// What went wrong.
        source: ArchiveError,
    },
    /// Files of one block came apart from each other.
    #[error("The files of block {block} do not come together in the stream")]
    Scattered {
        /// The block.
        block: String,
    },
    /// A block of the snapshot did not come.
    #[error("Block {block} of the snapshot could not be read: it did not come")]
    Vanished {
        /// The block.
        block: String,
    },
    /// The snapshot holds no block.
    #[error("The snapshot holds no block: Prometheus has no data to back up yet")]
    Empty,
    /// A file or folder of the snapshot could not be read.
    #[error("Cannot read {} of the snapshot", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The file that holds an index while it is checked could not be written.
    #[error("Cannot check a block: its index could not be kept in {}", path.display())]
    Spool {
        /// The folder.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The snapshot could not be removed from the server.
    #[error("The snapshot {name} is still on the server after it was removed")]
    StillThere {
        /// Its name.
        name: String,
    },
    /// The contents could not be written as JSON.
    #[error("Cannot describe the backup")]
    Describe {
        /// What went wrong.
        source: serde_json::Error,
    },
    /// The run was told to stop.
    #[error("The backup was stopped before it was complete: there is none of this run")]
    Cancelled,
}

impl SnapshotError {
    pub(super) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_path_buf(), source }
    }

    /// The same may work a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Client(error) => error.is_transient(),
            Self::Access(error) => error.is_transient(),
            Self::Store(error) => error.is_transient(),
            Self::Stream { .. } | Self::Read { .. } => true,
            _ => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Client(error) => error.hint(),
            Self::Access(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Archive(error) => error.hint(),
            Self::Folder { failure } | Self::Closed { failure } => failure.hint.clone(),
            Self::Stream { .. } => Some(
                "see that the container and the engine run (`docker ps -a`, `docker info`), and run it again".into(),
            ),
            Self::RestoreUnfinished { .. } => Some(
                "finish it with `watchkeeper restore JOB --resume`, or take it back with `--undo`".into(),
            ),
            Self::Empty => Some("wait until it has scraped something; with skip_head, until its first block is cut some three hours after its start".into()),
            _ => None,
        }
    }
}
