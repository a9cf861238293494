//! Writes what a backup has: each file gets its name by one rename, once its bytes are those of the manifest.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use super::beside::{Beside, name_of};
use super::{Change, FilesBackup, How};
use crate::files::trees::Trees;
use crate::files::{FileEntry, FilePath, FilesError, What};
use crate::regular::{Folder, Node};
use crate::rights;
use crate::room::Room;
use crate::store::digest::Hashing;

/// Writes every change, and adds to `done` what is written.
pub(super) fn write_all(
    source: &FilesBackup,
    changes: &[Change],
    done: &mut Vec<FilePath>,
    cancel: &CancellationToken,
) -> Result<(), FilesError> {
    let trees = &mut Trees::of(source.tops());
    sweep(source, trees);
    let mut files: BTreeMap<String, &FileEntry> = BTreeMap::new();
    // By each folder something that lies in it.
    let mut folders = BTreeMap::new();
    let mut to_own = Vec::new();
    for Change { entry, how, .. } in changes {
        let real = source.real(entry);
        folders.extend(real.parent().map(|folder| (folder.to_owned(), real.clone())));
        match (&entry.what, how) {
            (What::File { .. }, how) if is_written(entry, *how) => {
                files.insert(entry.archive_path(), entry);
                continue;
            }
            (What::Folder, how) => {
                if *how == How::Missing {
                    make_folder(trees, &real)?;
                }
                to_own.push((real, entry));
            }
            (What::Link { target }, How::Missing | How::Content) => {
                make_link(trees, &real, entry, target.as_path())?;
            }
            (What::File { .. } | What::Link { .. }, _) => settle(trees, &real, entry)?,
        }
        done.push(entry.path.clone());
    }
    write_files(source, trees, files, done, cancel)?;
    // What is in a folder comes before its mode, which may forbid to write there; the deepest first.
    for (real, entry) in to_own.iter().rev() {
        settle(trees, real, entry)?;
    }
    for (folder, inside) in folders {
        let synced = trees.place(&inside).and_then(|(folder, _)| folder.itself()?.sync_all());
        synced.map_err(place("sync", &folder))?;
    }
    Ok(())
}

/// A file is written anew: also one that will run with the rights of another user, which somebody may have open to write.
fn is_written(entry: &FileEntry, how: How) -> bool {
    how != How::Attributes || (entry.mode & 0o6000 != 0 && rights::may_give_away())
}

/// Takes away what a restore that was killed has half written beside what is in this backup, and beside what it was about
/// to create. Who may not do so here writes nothing here either.
fn sweep(source: &FilesBackup, trees: &mut Trees) {
    let created = source.contents.before_restore.iter().flat_map(|before| &before.created);
    for entry in source.contents.entries.iter().chain(created) {
        let _ = trees.place(&source.real(entry)).and_then(|(folder, name)| folder.remove(&name_of(name)));
    }
}

/// Writes regular files, given by their paths in the archive, in the order in which they stand in there.
fn write_files(
    source: &FilesBackup,
    trees: &mut Trees,
    mut files: BTreeMap<String, &FileEntry>,
    done: &mut Vec<FilePath>,
    cancel: &CancellationToken,
) -> Result<(), FilesError> {
    let mut failed = None;
    source.each_file(cancel, &mut |path, content| {
        if failed.is_none()
            && let Some(entry) = files.remove(path)
        {
            match write_file(trees, &source.real(entry), entry, content, cancel) {
                Ok(()) => done.push(entry.path.clone()),
                Err(error) => failed = Some(error),
            }
        }
        Ok(())
    })?;
    match (failed, files.values().next()) {
        (Some(error), _) => Err(error),
        (None, Some(left)) => Err(FilesError::Differs { path: left.path.clone() }),
        (None, None) => Ok(()),
    }
}

pub(super) fn modified(entry: &FileEntry) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(entry.mtime).unwrap_or_default())
}

fn write_file(
    trees: &mut Trees,
    path: &Path,
    entry: &FileEntry,
    content: &mut dyn io::Read,
    cancel: &CancellationToken,
) -> Result<(), FilesError> {
    let (folder, name) = make_place(trees, path)?;
    let temp = Beside::new(folder, name).map_err(place("write into", path.parent().unwrap_or(path)))?;
    if let What::File { size, .. } = entry.what {
        Room::of(temp.file()).and_then(|room| room.require(size)).map_err(place("write", path))?;
    }
    let mut hashed = Hashing::new(content);
    io::copy(&mut hashed, &mut temp.file()).map_err(place("write", path))?;
    let (_, size, sha256) = hashed.finish();
    if (What::File { size, sha256: sha256.clone() }) != entry.what {
        return Err(FilesError::Differs { path: entry.path.clone() });
    }
    temp.file().sync_all().map_err(place("sync", path))?;
    // A disk that is broken may take less than it says.
    let back = temp.again().and_then(|file| super::hash(file, cancel)).map_err(place("read back", path))?;
    if back != sha256 {
        let source = io::Error::other("it does not read back as it was written: check this disk (`dmesg`)");
        return Err(place("write", path)(source));
    }
    own(&temp.node().map_err(place("open", path))?, path, entry)?;
    temp.file().set_modified(modified(entry)).map_err(place("set the time of", path))?;
    temp.file().sync_all().map_err(place("sync", path))?;
    temp.put_in_place(name).map_err(place("put in place", path))
}

/// The folder that a path lies in, made where it is missing, and its name in there.
fn make_place<'t, 'p>(trees: &'t mut Trees, path: &'p Path) -> Result<(&'t Folder, &'p Path), FilesError> {
    trees.make_place(path).map_err(place("create the folder", path.parent().unwrap_or(path)))
}

/// Makes a folder that is ours alone until it gets its owner and mode.
fn make_folder(trees: &mut Trees, path: &Path) -> Result<(), FilesError> {
    let (folder, name) = make_place(trees, path)?;
    match folder.create_folder(name, 0o700) {
        Err(error)
            if error.kind() == io::ErrorKind::AlreadyExists
                && folder.look(name).is_ok_and(|there| there.kind.is_dir()) =>
        {
            Ok(())
        }
        made => made.map_err(place("create the folder", path)),
    }
}

fn make_link(trees: &mut Trees, path: &Path, entry: &FileEntry, target: &Path) -> Result<(), FilesError> {
    let (folder, name) = make_place(trees, path)?;
    // Made beside and renamed: there is always a link, the old or the new.
    let beside = name_of(name);
    folder.remove(&beside).map_err(place("write into", path.parent().unwrap_or(path)))?;
    folder.create_link(&beside, target).map_err(place("create the link", path))?;
    own(&folder.node(&beside).map_err(place("open", path))?, path, entry)?;
    folder.rename(&beside, name).map_err(place("put in place", path))
}

/// Gives what is there its owner and mode.
fn settle(trees: &mut Trees, path: &Path, entry: &FileEntry) -> Result<(), FilesError> {
    let node = trees.node(path).map_err(place("open", path))?;
    let kind = node.found().kind;
    let is_as_planned = match entry.what {
        What::File { .. } => kind.is_file(),
        What::Folder => kind.is_dir(),
        What::Link { .. } => kind.is_symlink(),
    };
    if !is_as_planned {
        let source = io::Error::other("it has become something else meanwhile");
        return Err(place("give to its owner", path)(source));
    }
    own(&node, path, entry)
}

/// Owner and mode as the backup has them. Who may not give files away did not come so far: for him the owner is their own already, or
/// this fails.
fn own(node: &Node, path: &Path, entry: &FileEntry) -> Result<(), FilesError> {
    node.give(entry.uid, entry.gid).map_err(place("give to its owner", path))?;
    if matches!(entry.what, What::Link { .. }) {
        return Ok(());
    }
    node.set_mode(entry.mode).map_err(place("set the mode of", path))
}

pub(super) fn place(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> FilesError + use<> {
    let path = path.to_owned();
    move |source| FilesError::Place { doing, path: path.clone(), source }
}
