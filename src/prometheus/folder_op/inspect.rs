//! What a data folder holds, and the removal of one snapshot.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::error::{At as _, FolderOpError};
use super::{FolderBlock, FolderFailure, FolderState, blocks, files, guard, journal, past, shim};
use crate::prometheus::block::BlockMeta;
use crate::regular;
use crate::rights;
use crate::room::Room;
use crate::store::Owner;

/// Looks at a data folder.
pub(super) fn folder(root: &Path) -> Result<FolderState, FolderOpError> {
    let metadata = root.metadata().at("look at the data folder", root)?;
    if !metadata.is_dir() {
        return Err(FolderOpError::refused(format!("{} is not a folder", root.display()), ""));
    }
    let (uid, gid) = owner(root)?;
    let space = Room::at(root).at("ask for the free space of", root)?;
    let mut found = Vec::new();
    let mut head_bytes = 0;
    for name in files::names(root)? {
        let path = root.join(&name);
        if files::is_head(&name) {
            head_bytes += files::bytes(&path)?;
        } else if files::is_block(&name) && path.is_dir() {
            found.extend(block(&path, name, uid)?);
        }
    }
    let (past, past_problem) = past::read(root);
    Ok(FolderState {
        owner: Owner { uid, gid, mode: metadata.mode() & 0o7777 },
        free_bytes: space.free,
        blocks: found,
        head_bytes,
        snapshots: files::names(&root.join("snapshots"))?,
        restores: journal::all(root)?,
        past,
        past_problem,
        creating: blocks::creating(root)?,
        deleting: blocks::deleting(root)?,
        locked: guard::is_in_use(root),
        closed: closed(root),
    })
}

/// Why this user may not change what Prometheus has made. A snapshot that Prometheus makes is like a block of its: who
/// may not empty that could not remove it again.
fn closed(root: &Path) -> Option<Box<FolderFailure>> {
    let names = files::names(root).unwrap_or_default();
    let blocks = names.into_iter().filter(|name| files::is_block(name)).flat_map(|name| {
        let block = root.join(name);
        [block.join("chunks"), block]
    });
    let folders = [root.to_owned(), root.join("snapshots")].into_iter().chain(blocks);
    folders.filter(|folder| folder.is_dir()).find_map(|folder| {
        let denied = rights::may_write(&folder).at("change what is in", &folder).err()?;
        Some(Box::new(denied.into()))
    })
}

/// Whom the data belong to: what Prometheus itself has made tells it. The folder may be somebody else's, as one that
/// was made for a bind mount often is.
pub(super) fn owner(root: &Path) -> Result<(u32, u32), FolderOpError> {
    for name in ["wal", "chunks_head", "queries.active", "lock", "."] {
        let path = root.join(name);
        // In the middle of an exchange these lead to what Prometheus has made.
        let found = if shim::is_shim(&path)? { path.metadata().ok() } else { files::look(&path)? };
        if let Some(metadata) = found.filter(|metadata| !metadata.is_symlink()) {
            return Ok((metadata.uid(), metadata.gid()));
        }
    }
    Err(FolderOpError::refused(format!("{} is not there", root.display()), ""))
}

/// A block as it lies there; nothing for one that is only announced while data are exchanged.
fn block(path: &Path, name: String, owner: u32) -> Result<Option<FolderBlock>, FolderOpError> {
    let meta = regular::read_named(&path.join("meta.json"), regular::SMALL).ok();
    if meta.is_none() && shim::is_shim(path)? {
        return Ok(None);
    }
    let mut foreign_owner = false;
    let mut bytes = 0;
    files::walk(path, &mut |_, metadata| {
        foreign_owner |= metadata.uid() != owner;
        bytes += if metadata.is_file() { metadata.len() } else { 0 };
        Ok(())
    })?;
    let meta = meta.and_then(|bytes| serde_json::from_slice::<BlockMeta>(&bytes).ok());
    Ok(Some(FolderBlock { name, meta, bytes, foreign_owner }))
}

/// A link in place of a snapshot would lead to what is none, and nothing of that is to be read.
pub(super) fn find_snapshot(root: &Path, name: &str) -> Result<(), FolderOpError> {
    let path = root.join("snapshots").join(files::plain(name)?);
    let is = match files::look(&path)? {
        Some(metadata) if metadata.is_dir() => return Ok(()),
        Some(metadata) if metadata.is_symlink() => {
            let target = path.read_link().at("read the link", &path)?;
            format!("is a symbolic link to {}: nothing there was read, or will be removed", target.display())
        }
        Some(_) => "is no folder".to_owned(),
        None => "is not there, although the server says that it has made it".to_owned(),
    };
    Err(FolderOpError::refused(
        format!("The snapshot {} {is}", path.display()),
        "find out who changes what is in the data folder of Prometheus",
    ))
}

/// Removes one snapshot, if it is there. A link in its place is not followed.
pub(super) fn remove_snapshot(root: &Path, name: &str) -> Result<(), FolderOpError> {
    let snapshots = root.join("snapshots");
    let path = snapshots.join(files::plain(name)?);
    match files::look(&path)? {
        None => Ok(()),
        Some(metadata) if metadata.is_dir() || metadata.is_symlink() => {
            files::remove(&path)?;
            files::sync(&snapshots)
        }
        Some(_) => Err(FolderOpError::refused(format!("{} is not a folder", path.display()), "")),
    }
}
