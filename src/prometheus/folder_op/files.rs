//! Names in a data folder, and walking it without following links.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Component, Path};

use ulid::Ulid;

use super::error::{At as _, FolderOpError};
use crate::regular;

/// The name of a block folder.
pub(super) fn is_block(name: &str) -> bool {
    name.len() == 26 && Ulid::from_string(name).is_ok()
}

/// The folders of the head that Prometheus makes when it misses them.
pub(super) const HEAD_FOLDERS: [&str; 3] = ["wal", "wbl", "chunks_head"];

/// The head: what was not yet cut into blocks.
pub(super) fn is_head(name: &str) -> bool {
    HEAD_FOLDERS.contains(&name) || name.starts_with("chunk_snapshot.")
}

/// What a restore exchanges. All else stays: snapshots, the lock, the query log, what is somebody else's.
pub(super) fn is_data(name: &str) -> bool {
    is_block(name)
        || is_head(name)
        || name.split_once('.').is_some_and(|(block, tmp)| is_block(block) && tmp.starts_with("tmp"))
}

/// The name of a snapshot, where it is one plain name: as a path it leads nowhere else.
pub(super) fn plain(name: &str) -> Result<&str, FolderOpError> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(part)), None) if part == name => Ok(name),
        _ => Err(FolderOpError::refused(format!("{name:?} is not the name of a snapshot"), "")),
    }
}

/// The names in a folder, sorted; none where it is not there.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, FolderOpError> {
    let mut names = Vec::new();
    let entries = match folder.read_dir() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(names),
        entries => entries.at("list", folder)?,
    };
    for entry in entries {
        names.extend(entry.at("list", folder)?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// The names of what a restore exchanges.
pub(super) fn data_names(folder: &Path) -> Result<Vec<String>, FolderOpError> {
    Ok(names(folder)?.into_iter().filter(|name| is_data(name)).collect())
}

/// Metadata of the thing itself, not of what a link leads to; nothing where nothing is.
pub(super) fn look(path: &Path) -> Result<Option<Metadata>, FolderOpError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).at("look at", path),
    }
}

/// Shows everything below and including `path`, folders before what is in them. Links are not followed.
pub(super) fn walk(
    path: &Path,
    visit: &mut dyn FnMut(&Path, &Metadata) -> Result<(), FolderOpError>,
) -> Result<(), FolderOpError> {
    let Some(metadata) = look(path)? else { return Ok(()) };
    visit(path, &metadata)?;
    if metadata.is_dir() {
        for name in names(path)? {
            walk(&path.join(name), visit)?;
        }
    }
    Ok(())
}

/// Bytes of all files below.
pub(super) fn bytes(path: &Path) -> Result<u64, FolderOpError> {
    let mut bytes = 0;
    walk(path, &mut |_, metadata| {
        bytes += if metadata.is_file() { metadata.len() } else { 0 };
        Ok(())
    })?;
    Ok(bytes)
}

/// Removes whatever is there. Links are removed, not followed.
pub(super) fn remove(path: &Path) -> Result<(), FolderOpError> {
    match look(path)? {
        None => Ok(()),
        Some(metadata) if metadata.is_dir() => fs::remove_dir_all(path).at("remove", path),
        Some(_) => fs::remove_file(path).at("remove", path),
    }
}

/// Brings the names in a folder to the disk.
pub(super) fn sync(folder: &Path) -> Result<(), FolderOpError> {
    regular::open_folder(folder).and_then(|folder| folder.sync_all()).at("sync", folder)
}
