//! The files of a snapshot, wherever they lie.

use std::path::PathBuf;

use tokio::runtime::Handle;

use super::SnapshotError;
use super::archive::Archiver;
use crate::prometheus::folder::{DataFolder, FolderReader};

/// A snapshot that is about to be read, on a blocking thread.
pub(super) enum SnapshotFiles {
    /// A folder that is readable here.
    Here(PathBuf),
    /// In a container; `relative` is the snapshot's folder.
    Docker { reader: FolderReader, relative: String, handle: Handle },
}

impl SnapshotFiles {
    /// Opens the snapshot `name`.
    pub(super) async fn open(folder: &DataFolder, name: &str) -> Result<Self, SnapshotError> {
        let relative = format!("snapshots/{name}");
        Ok(match folder.direct_path() {
            Some(root) => Self::Here(root.join(relative)),
            None => Self::Docker { reader: folder.reader().await?, relative, handle: Handle::current() },
        })
    }

    /// Takes every block.
    pub(super) fn take_all(&self, archiver: &mut Archiver<'_>) -> Result<(), SnapshotError> {
        match self {
            Self::Here(snapshot) => archiver.take_folder(snapshot, None),
            Self::Docker { reader, relative, handle } => {
                let stream = handle.block_on(reader.read(relative))?.until(archiver.cancel());
                archiver.take_tar(stream, 1)
            }
        }
    }

    /// Takes one block. Of a container, nothing else leaves it.
    pub(super) fn take_block(&self, archiver: &mut Archiver<'_>, block: &str) -> Result<(), SnapshotError> {
        match self {
            Self::Here(snapshot) => archiver.take_folder(snapshot, Some(block)),
            Self::Docker { reader, relative, handle } => {
                let stream = handle.block_on(reader.read(&format!("{relative}/{block}")))?;
                archiver.take_tar(stream.until(archiver.cancel()), 0)
            }
        }
    }

    /// Removes what reading has needed.
    pub(super) async fn close(self) -> Result<(), SnapshotError> {
        match self {
            Self::Here(_) => Ok(()),
            Self::Docker { reader, .. } => Ok(reader.close().await?),
        }
    }
}
