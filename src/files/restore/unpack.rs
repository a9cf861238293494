//! Unpacks a backup below an empty folder.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::FilesBackup;
use super::write::{modified, place};
use crate::files::{FileEntry, FilesError, What};
use crate::regular::Tree;
use crate::rights;
use crate::room::Room;
use crate::store::halfway::{Halfway, must_be_empty};

/// Unpacks it there, and says how much that is.
pub(super) fn unpack(
    source: &FilesBackup,
    into: &Path,
    cancel: &CancellationToken,
) -> Result<usize, FilesError> {
    let into = &std::path::absolute(into).map_err(place("find", into))?;
    let mut tree = empty(into, source.contents.files().1)?;
    let halfway = Halfway::begin(into, &source.title()).map_err(place("unpack into", into))?;
    let below =
        |entry: &FileEntry| into.join(entry.path.as_path().strip_prefix("/").unwrap_or(entry.path.as_path()));
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for entry in &source.contents.entries {
        let path = below(entry);
        let folder = if entry.what == What::Folder { path.as_path() } else { path.parent().unwrap_or(into) };
        tree.make_folder(folder).map_err(place("create the folder", folder))?;
        files.insert(entry.archive_path(), path);
    }
    source.each_file(cancel, &mut |inside, content| match files.get(inside) {
        Some(path) => {
            let (folder, name) = tree.place(path)?;
            io::copy(content, &mut folder.create_own(name)?).map(drop)
        }
        None => Ok(()),
    })?;
    // No folder is closed, or given to whom could change it, before it is full.
    for entry in source.contents.entries.iter().rev() {
        unpacked(entry, &below(entry), &mut tree)?;
    }
    halfway.end().map_err(place("unpack into", into))?;
    Ok(source.contents.entries.len())
}

/// The folder that it goes to, which has room for so many bytes.
fn empty(into: &Path, bytes: u64) -> Result<Tree, FilesError> {
    let mut tree = Tree::make(into).map_err(place("create the folder", into))?;
    let folder = tree.folder(into).map_err(place("open", into))?;
    must_be_empty(into).map_err(place("unpack into", into))?;
    Room::of(folder).and_then(|room| room.require(bytes)).map_err(place("unpack into", into))?;
    Ok(tree)
}

/// Gives what was unpacked its mode and time, and its owner where we may; makes it, where it is a link.
fn unpacked(entry: &FileEntry, path: &Path, tree: &mut Tree) -> Result<(), FilesError> {
    let failed = |doing| place(doing, path);
    if let What::Link { target } = &entry.what {
        let (folder, name) = tree.place(path).map_err(failed("open"))?;
        folder.create_link(name, target.as_path()).map_err(failed("create the link"))?;
    }
    let node = tree.node(path).map_err(failed("open"))?;
    if rights::may_give_away() {
        node.give(entry.uid, entry.gid).map_err(failed("give to its owner"))?;
    }
    if matches!(entry.what, What::Link { .. }) {
        return Ok(());
    }
    node.set_modified(modified(entry)).map_err(failed("set the time of"))?;
    // A change of owner takes these bits away.
    node.set_mode(entry.mode).map_err(failed("set the mode of"))
}
