//! Shims: what stands at a live name while data are exchanged, and leads to the side that counts.
//!
//! A work folder has two sides, `old` and `new`, and a link `current` to one of them. A shim of a block is a folder
//! with a link for each of its parts, a shim of `wal` and the like is a link; both go through `current`. So one
//! rename of `current` changes what all shims show, and what Prometheus finds is all of one side at any time. A
//! shim whose side lacks the name leads nowhere: Prometheus skips a block without `meta.json`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, lchown, symlink};
use std::path::{Path, PathBuf};

use super::error::{At as _, FolderOpError};
use super::files;

/// Marks a folder as a shim.
const MARK: &str = ".watchkeeper-shim";

/// How the name of every work folder begins; only what leads into one is a shim.
const WORK: &str = ".watchkeeper-restore-";

/// What a block consists of.
pub(super) const PARTS: [&str; 4] = ["meta.json", "index", "chunks", "tombstones"];

/// Something is a shim: a link into a work folder, or a folder with such a link. A link that leads elsewhere is
/// somebody's own: a WAL on another disk.
pub(super) fn is_shim(path: &Path) -> Result<bool, FolderOpError> {
    Ok(match files::look(path)? {
        None => false,
        Some(metadata) if metadata.is_symlink() => leads_to_work(path),
        Some(metadata) if !metadata.is_dir() => false,
        // Any one is enough: a Prometheus may have replaced some, or have been killed while it removed them.
        Some(_) => PARTS.iter().chain([&MARK]).any(|part| leads_to_work(&path.join(part))),
    })
}

fn leads_to_work(link: &Path) -> bool {
    let Ok(target) = fs::read_link(link) else { return false };
    let target = target.strip_prefix("..").unwrap_or(&target);
    target.to_str().is_some_and(|target| target.starts_with(WORK))
}

/// Something real is there, and no shim.
pub(super) fn is_real(path: &Path) -> Result<bool, FolderOpError> {
    Ok(files::look(path)?.is_some() && !is_shim(path)?)
}

/// Makes a shim for `name` in the work folder, from where it is moved into place, and returns where it is.
pub(super) fn make(work: &Path, name: &str) -> Result<PathBuf, FolderOpError> {
    let shim = making(work)?.join(name);
    let work_name = work.file_name().unwrap_or_default();
    // As seen from its place in the data folder.
    let target = Path::new(work_name).join("current").join(name);
    if !files::is_block(name) {
        symlink(&target, &shim).at("create", &shim)?;
        give(work, &shim)?;
        return Ok(shim);
    }
    fs::create_dir(&shim).at("create", &shim)?;
    for part in PARTS {
        let link = shim.join(part);
        symlink(part_target(work, name, part), &link).at("create", &link)?;
    }
    let mark = shim.join(MARK);
    symlink(work_name, &mark).at("create", &mark)?;
    give(work, &shim)?;
    files::sync(&shim)?;
    Ok(shim)
}

/// Makes an empty folder of the head in the work folder, as Prometheus makes one it misses.
pub(super) fn make_head(work: &Path, name: &str) -> Result<PathBuf, FolderOpError> {
    let making = making(work)?;
    let head = making.join(name);
    fs::create_dir(&head).at("create", &head)?;
    give(work, &head)?;
    Ok(head)
}

/// Makes a link as it is in a block's shim, to be moved into the shim.
pub(super) fn make_part(work: &Path, name: &str, part: &str) -> Result<PathBuf, FolderOpError> {
    let link = making(work)?.join(part);
    symlink(part_target(work, name, part), &link).at("create", &link)?;
    Ok(link)
}

fn part_target(work: &Path, name: &str, part: &str) -> PathBuf {
    Path::new("..").join(work.file_name().unwrap_or_default()).join("current").join(name).join(part)
}

/// Where things are made before they are moved into place: empty at first.
pub(super) fn making(work: &Path) -> Result<PathBuf, FolderOpError> {
    let making = work.join("making");
    files::remove(&making)?;
    fs::create_dir(&making).at("create", &making)?;
    Ok(making)
}

/// To the owner of the data: a Prometheus that is started in the middle must be able to delete it, and does
/// not start when it cannot delete a block that it no longer wants.
pub(super) fn give(work: &Path, path: &Path) -> Result<(), FolderOpError> {
    // The work folder was given to that owner when it was made. The data no longer tell it in the middle.
    let owner = work.metadata().at("look at", work)?;
    let found = fs::symlink_metadata(path).at("look at", path)?;
    if (found.uid(), found.gid()) == (owner.uid(), owner.gid()) {
        return Ok(());
    }
    lchown(path, Some(owner.uid()), Some(owner.gid())).at("change the owner of", path)
}
