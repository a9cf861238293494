//! Unpacking a tar stream into a folder of this host.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::FolderError;
use crate::room::Room;
use crate::store::archive::{ArchiveError, Entry, EntryKind, Watched, read_tar};

/// Unpacks `tar` into the folder `into`, which has to be there. Nothing is ever overwritten.
pub(super) async fn here(
    into: PathBuf,
    tar: Box<dyn Read + Send>,
    cancel: CancellationToken,
) -> Result<(), FolderError> {
    let folder = into.display().to_string();
    let work = move || {
        let reader = Watched::new(tar, &cancel, &|_| ());
        read_tar(reader, &mut |entry, content| put(&into, entry, content))
            .map_err(|source| FolderError::Unpack { path: into.clone(), source })
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|source| Err(FolderError::Panicked { folder, source }))
}

fn put(into: &Path, entry: &Entry, content: &mut dyn Read) -> Result<(), ArchiveError> {
    write(into, entry, content)
        .map_err(|source| ArchiveError::Visit { path: entry.path.clone(), source: Box::new(source) })
}

/// `entry.path` was checked by the reader; and the folders on the way were all made by us, so none is a link.
fn write(into: &Path, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
    let path = into.join(&entry.path);
    let mode = entry.mode & 0o777;
    if entry.kind == EntryKind::Folder {
        return match DirBuilder::new().mode(mode | 0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            other => other,
        };
    }
    if let Some(parent) = path.parent() {
        DirBuilder::new().mode(0o755).recursive(true).create(parent)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode | 0o600).open(&path)?;
    // Prometheus may run beside it, on the same disk.
    Room::of(&file)?.require(entry.size)?;
    io::copy(content, &mut file).map(drop)
}
