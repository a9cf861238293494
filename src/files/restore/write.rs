//! Writes what a backup has: each file gets its name by one rename, once its bytes are those of the manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use super::{Change, FilesBackup, How};
use crate::files::{FileEntry, FilePath, FilesError, What};
use crate::regular;
use crate::room::Room;
use crate::store::atomic::{beside, remove_if_there, sync_folder, written_beside};
use crate::store::halfway::{Halfway, must_be_empty};

/// Writes every change, and adds to `done` what is written.
pub(super) fn write_all(
    source: &FilesBackup,
    changes: &[Change],
    done: &mut Vec<FilePath>,
    cancel: &CancellationToken,
) -> Result<(), FilesError> {
    sweep(source);
    let mut files: BTreeMap<String, &FileEntry> = BTreeMap::new();
    let mut folders = BTreeSet::new();
    let mut to_own = Vec::new();
    for Change { entry, how, .. } in changes {
        let real = source.real(entry);
        folders.extend(real.parent().map(Path::to_path_buf));
        match (&entry.what, how) {
            (What::File { .. }, How::Missing | How::Content) => {
                files.insert(entry.archive_path(), entry);
                continue;
            }
            (What::Folder, how) => {
                if *how == How::Missing {
                    make_folder(&real)?;
                }
                to_own.push((real, entry));
            }
            (What::Link { target }, How::Missing | How::Content) => {
                make_link(&real, entry, target.as_path())?;
            }
            (_, How::Attributes) => own(&real, entry)?,
        }
        done.push(entry.path.clone());
    }
    write_files(source, files, done, cancel)?;
    // What is in a folder comes before its mode, which may forbid to write there; the deepest first.
    for (real, entry) in to_own.iter().rev() {
        own(real, entry)?;
    }
    for folder in folders {
        sync_folder(&folder).map_err(place("sync", &folder))?;
    }
    Ok(())
}

/// Takes away what a restore that was killed has half written beside what is in this backup, and beside what it was about
/// to create. Who may not do so here writes nothing here either.
fn sweep(source: &FilesBackup) {
    let created = source.contents.before_restore.iter().flat_map(|before| &before.created);
    for entry in source.contents.entries.iter().chain(created) {
        let _ = remove_if_there(&beside(&source.real(entry)));
    }
}

/// Writes regular files, given by their paths in the archive, in the order in which they stand in there.
fn write_files(
    source: &FilesBackup,
    mut files: BTreeMap<String, &FileEntry>,
    done: &mut Vec<FilePath>,
    cancel: &CancellationToken,
) -> Result<(), FilesError> {
    let mut failed = None;
    source.each_file(cancel, &mut |path, content| {
        if failed.is_none()
            && let Some(entry) = files.remove(path)
        {
            match write_file(&source.real(entry), entry, content, cancel) {
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

/// Unpacks a backup below an empty folder.
pub(super) fn unpack(
    source: &FilesBackup,
    into: &Path,
    cancel: &CancellationToken,
) -> Result<usize, FilesError> {
    fs::create_dir_all(into).map_err(place("create the folder", into))?;
    must_be_empty(into).map_err(place("unpack into", into))?;
    let bytes = source.contents.files().1;
    Room::at(into).and_then(|room| room.require(bytes)).map_err(place("unpack into", into))?;
    let halfway = Halfway::begin(into, &source.title()).map_err(place("unpack into", into))?;
    let below =
        |entry: &FileEntry| into.join(entry.path.as_path().strip_prefix("/").unwrap_or(entry.path.as_path()));
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for entry in &source.contents.entries {
        let path = below(entry);
        let folder = if entry.what == What::Folder { path.as_path() } else { path.parent().unwrap_or(into) };
        fs::create_dir_all(folder).map_err(place("create the folder", folder))?;
        files.insert(entry.archive_path(), path);
    }
    source.each_file(cancel, &mut |inside, content| match files.get(inside) {
        Some(path) => {
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
            io::copy(content, &mut file).map(drop)
        }
        None => Ok(()),
    })?;
    // Nothing is written through a link that leads out of the folder, and no folder is closed before it is full.
    for entry in source.contents.entries.iter().rev() {
        unpacked(entry, &below(entry))?;
    }
    halfway.end().map_err(place("unpack into", into))?;
    Ok(source.contents.entries.len())
}

/// Gives what was unpacked its mode and time, and its owner where we may; makes it, where it is a link.
fn unpacked(entry: &FileEntry, path: &Path) -> Result<(), FilesError> {
    if let What::Link { target } = &entry.what {
        symlink(target.as_path(), path).map_err(place("create the link", path))?;
    }
    if crate::rights::may_give_away() {
        lchown(path, Some(entry.uid), Some(entry.gid)).map_err(place("give to its owner", path))?;
    }
    if matches!(entry.what, What::Link { .. }) {
        return Ok(());
    }
    let is_folder = entry.what == What::Folder;
    let file = if is_folder { regular::open_folder(path) } else { regular::open(path) };
    let file = file.map_err(place("open", path))?;
    file.set_modified(modified(entry)).map_err(place("set the time of", path))?;
    // A change of owner takes these bits away.
    file.set_permissions(Permissions::from_mode(entry.mode)).map_err(place("set the mode of", path))
}

fn modified(entry: &FileEntry) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(entry.mtime).unwrap_or_default())
}

fn read_back(path: &Path, cancel: &CancellationToken) -> io::Result<String> {
    super::hash(regular::open(path)?, cancel)
}

fn write_file(
    path: &Path,
    entry: &FileEntry,
    content: &mut dyn io::Read,
    cancel: &CancellationToken,
) -> Result<(), FilesError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(place("create the folder", folder))?;
    let mut temp = written_beside(path).map_err(place("write into", folder))?;
    if let What::File { size, .. } = entry.what {
        Room::of(temp.as_file()).and_then(|room| room.require(size)).map_err(place("write", path))?;
    }
    let mut hashed = crate::store::digest::Hashing::new(content);
    io::copy(&mut hashed, &mut temp).map_err(place("write", path))?;
    let (_, size, sha256) = hashed.finish();
    if (What::File { size, sha256: sha256.clone() }) != entry.what {
        return Err(FilesError::Differs { path: entry.path.clone() });
    }
    temp.flush().map_err(place("write", path))?;
    temp.as_file().sync_all().map_err(place("sync", path))?;
    // A disk that is broken may take less than it says.
    if read_back(temp.path(), cancel).map_err(place("read back", path))? != sha256 {
        let source = io::Error::other("it does not read back as it was written: check this disk (`dmesg`)");
        return Err(place("write", path)(source));
    }
    own(temp.path(), entry)?;
    temp.as_file().set_modified(modified(entry)).map_err(place("set the time of", path))?;
    temp.as_file().sync_all().map_err(place("sync", path))?;
    temp.persist(path).map(drop).map_err(|error| place("put in place", path)(error.error))
}

/// Makes a folder that is ours alone until it gets its owner and mode.
fn make_folder(path: &Path) -> Result<(), FilesError> {
    let above = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(above).map_err(place("create the folder", above))?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made.map_err(place("create the folder", path)),
    }
}

fn make_link(path: &Path, entry: &FileEntry, target: &Path) -> Result<(), FilesError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(place("create the folder", folder))?;
    // Made beside and renamed: there is always a link, the old or the new.
    let beside = beside(path);
    let _ = fs::remove_file(&beside);
    symlink(target, &beside).map_err(place("create the link", path))?;
    lchown(&beside, Some(entry.uid), Some(entry.gid)).map_err(place("give to its owner", path))?;
    fs::rename(&beside, path).map_err(place("put in place", path))
}

/// Owner and mode as the backup has them. Who may not give files away did not come so far: for him the owner is their own already, or
/// this fails.
fn own(path: &Path, entry: &FileEntry) -> Result<(), FilesError> {
    lchown(path, Some(entry.uid), Some(entry.gid)).map_err(place("give to its owner", path))?;
    if matches!(entry.what, What::Link { .. }) {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(entry.mode)).map_err(place("set the mode of", path))
}

pub(super) fn place(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> FilesError + use<> {
    let path = path.to_owned();
    move |source| FilesError::Place { doing, path: path.clone(), source }
}
