//! Shims: what stands at a live name while data are exchanged, and leads to the side that counts.
//!
//! A work folder has two sides, `old` and `new`, and a link `current` to one of them. A shim of a block is a folder
//! with a link for each of its parts, a shim of `wal` and the like is a link; both go through `current`. So one
//! rename of `current` changes what all shims show, and what Prometheus finds is all of one side at any time. A
//! shim whose side lacks the name leads nowhere: Prometheus skips a block without `meta.json`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::error::{At as _, FolderOpError};
use super::files;

/// Marks a folder as a shim.
const MARK: &str = ".watchkeeper-shim";

/// What a block consists of.
const PARTS: [&str; 4] = ["meta.json", "index", "chunks", "tombstones"];

/// Something is a shim: a link, or a folder that is marked as one.
pub(super) fn is_shim(path: &Path) -> Result<bool, FolderOpError> {
    Ok(match files::look(path)? {
        None => false,
        Some(metadata) if metadata.is_symlink() => true,
        Some(metadata) if !metadata.is_dir() => false,
        Some(_) => files::look(&path.join(MARK))?.is_some(),
    })
}

/// Something real is there, and no shim.
pub(super) fn is_real(path: &Path) -> Result<bool, FolderOpError> {
    Ok(files::look(path)?.is_some() && !is_shim(path)?)
}

/// Makes a shim for `name` in the work folder, from where it is moved into place, and returns where it is.
pub(super) fn make(work: &Path, name: &str) -> Result<PathBuf, FolderOpError> {
    let making = work.join("making");
    files::remove(&making)?;
    fs::create_dir(&making).at("create", &making)?;
    let shim = making.join(name);
    let work_name = work.file_name().unwrap_or_default();
    // As seen from its place in the data folder.
    let target = Path::new(work_name).join("current").join(name);
    if !files::is_block(name) {
        symlink(&target, &shim).at("create", &shim)?;
        return Ok(shim);
    }
    fs::create_dir(&shim).at("create", &shim)?;
    for part in PARTS {
        let link = shim.join(part);
        symlink(Path::new("..").join(&target).join(part), &link).at("create", &link)?;
    }
    let mark = shim.join(MARK);
    symlink(work_name, &mark).at("create", &mark)?;
    files::sync(&shim)?;
    Ok(shim)
}
