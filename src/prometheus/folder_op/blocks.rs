//! The deletion of blocks under a Prometheus that runs.
//!
//! A block is renamed before it is removed: Prometheus leaves alone what has no block's name, and removes it at its
//! start. A block that was half removed under its own name would keep it from starting.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::error::{At as _, FolderOpError};
use super::{DoomedBlock, RemovedBlock, files, guard, journal};
use crate::prometheus::block::BlockMeta;
use crate::regular;

/// What is on its way out, as Prometheus itself names it.
const DELETING: &str = ".tmp-for-deletion";
/// What is on its way in.
const CREATING: &str = ".tmp-for-creation";

/// Block folders that are being removed, or were when somebody was killed.
pub(super) fn deleting(root: &Path) -> Result<Vec<String>, FolderOpError> {
    with_suffix(root, DELETING)
}

/// Block folders that a compaction writes, or wrote when it was killed.
pub(super) fn creating(root: &Path) -> Result<Vec<String>, FolderOpError> {
    with_suffix(root, CREATING)
}

fn with_suffix(root: &Path, suffix: &str) -> Result<Vec<String>, FolderOpError> {
    let is_one = |name: &String| name.strip_suffix(suffix).is_some_and(files::is_block);
    Ok(files::names(root)?.into_iter().filter(is_one).collect())
}

/// Removes the blocks, and what an earlier removal that was killed has left. All that speaks against it is said before
/// the first change.
pub(super) fn remove(root: &Path, doomed: &[DoomedBlock]) -> Result<Vec<RemovedBlock>, FolderOpError> {
    let _lock = guard::lock(root)?;
    guard::data_folder(root)?;
    if journal::all(root)?.iter().any(|restore| restore.phase.is_unfinished()) {
        return Err(FolderOpError::refused("a restore into this data folder is not finished", ""));
    }
    if let Some(name) = creating(root)?.first() {
        return Err(FolderOpError::refused(
            format!("Prometheus writes a block at this moment: {name}"),
            "wait until its compaction is over",
        ));
    }
    let mut going = Vec::new();
    for block in doomed {
        going.extend(is_as_planned(root, block)?.then_some(block));
    }
    keeps_the_newest(root, doomed)?;
    let mut removed = Vec::new();
    for block in going {
        removed.push(remove_one(root, &block.name)?);
    }
    for name in deleting(root)? {
        removed.push(take_away(root, &name)?);
    }
    Ok(removed)
}

/// Whether the block is there. One that is another than was decided about stops everything.
fn is_as_planned(root: &Path, block: &DoomedBlock) -> Result<bool, FolderOpError> {
    if !files::is_block(&block.name) {
        return Err(FolderOpError::refused(format!("{:?} is not the name of a block", block.name), ""));
    }
    let path = root.join(&block.name);
    match files::look(&path)? {
        None => return Ok(false),
        Some(metadata) if metadata.is_dir() => {}
        Some(_) => return Err(FolderOpError::refused(format!("{} is not a folder", path.display()), "")),
    }
    let there = meta(root, &block.name);
    let same = there.is_some_and(|meta| {
        meta.ulid.to_string() == block.name
            && meta.max_time == block.max_time
            && meta.stats.num_samples == block.samples
    });
    if same {
        return Ok(true);
    }
    let reason = format!("{} is no longer the block that was decided about", path.display());
    Err(FolderOpError::refused(reason, "run it again"))
}

/// Whatever was decided: a block stays that ends later than all that go.
fn keeps_the_newest(root: &Path, doomed: &[DoomedBlock]) -> Result<(), FolderOpError> {
    let names: BTreeSet<&str> = doomed.iter().map(|block| block.name.as_str()).collect();
    let staying = files::names(root)?.into_iter().filter(|name| files::is_block(name));
    let staying = staying.filter(|name| !names.contains(name.as_str()));
    let newest = staying.filter_map(|name| meta(root, &name)).map(|meta| meta.max_time).max();
    match doomed.iter().map(|block| block.max_time).max() {
        Some(last) if newest.is_none_or(|newest| newest <= last) => {
            Err(FolderOpError::refused("no block would stay that is newer than those that go", ""))
        }
        _ => Ok(()),
    }
}

fn meta(root: &Path, name: &str) -> Option<BlockMeta> {
    serde_json::from_slice(&regular::read_named(&root.join(name).join("meta.json"), regular::SMALL).ok()?)
        .ok()
}

fn remove_one(root: &Path, name: &str) -> Result<RemovedBlock, FolderOpError> {
    let path = root.join(name);
    let doomed = format!("{name}{DELETING}");
    files::remove(&root.join(&doomed))?;
    fs::rename(&path, root.join(&doomed)).at("rename", &path)?;
    files::sync(root)?;
    take_away(root, &doomed)
}

/// Removes a folder of this name. A file that a snapshot also has keeps its bytes.
fn take_away(root: &Path, name: &str) -> Result<RemovedBlock, FolderOpError> {
    let path = root.join(name);
    let (mut bytes, mut linked_bytes) = (0, 0);
    files::walk(&path, &mut |_, metadata| {
        if metadata.is_file() {
            bytes += metadata.len();
            linked_bytes += if metadata.nlink() > 1 { metadata.len() } else { 0 };
        }
        Ok(())
    })?;
    files::remove(&path)?;
    files::sync(root)?;
    Ok(RemovedBlock { name: name.trim_end_matches(DELETING).to_owned(), bytes, linked_bytes })
}
