//! What must hold before anything in a data folder is touched.

use std::fs::{File, Metadata, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use ulid::Ulid;

use super::error::{At as _, FolderOpError};
use super::{files, journal, shim};
use crate::regular;

/// One watchkeeper at a time changes a data folder, wherever it keeps its state and in whichever container it runs.
/// The kernel frees the lock when its holder dies.
pub(super) fn lock(root: &Path) -> Result<Lock, FolderOpError> {
    let folder = regular::open_folder(root).at("open", root)?;
    match folder.try_lock() {
        Err(TryLockError::WouldBlock) => Err(FolderOpError::refused(
            format!("another watchkeeper changes {} at this moment", root.display()),
            "wait until it is done",
        )),
        // Some network file systems lock no folders; the locks in state_dir remain.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(Lock(folder)),
    }
}

/// A held lock. To close the file is not enough: a process that another thread starts at this moment has a copy of
/// it until it executes its program, and would hold the lock that long.
#[derive(Debug)]
pub(super) struct Lock(File);

#[cfg(test)]
impl Lock {
    pub(super) fn duplicate(&self) -> File {
        self.0.try_clone().unwrap()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Where this fails, closing does it a little later.
        let _ = self.0.unlock();
    }
}

/// A process holds the lock that Prometheus takes on its data folder. A missing one is not made.
pub(super) fn is_in_use(root: &Path) -> bool {
    let Ok(file) = regular::open(&root.join("lock")) else { return false };
    match file.try_lock() {
        Ok(()) => {
            drop(Lock(file));
            false
        }
        Err(e) => matches!(e, TryLockError::WouldBlock),
    }
}

/// A folder is a Prometheus's, or empty as that of one that never started. All else is left alone.
pub(super) fn data_folder(root: &Path) -> Result<(), FolderOpError> {
    let known = |name: &String| {
        files::is_data(name) || ["snapshots", "queries.active", "lock"].contains(&name.as_str())
    };
    let empty = |name: &String| name == "lost+found" || name.starts_with(".watchkeeper-");
    let names = files::names(root)?;
    let is_top = root.canonicalize().at("look at", root)?.parent().is_none();
    if is_top || !(names.iter().any(known) || names.iter().all(empty)) {
        return Err(FolderOpError::refused(
            format!("{} is neither a Prometheus data folder nor empty", root.display()),
            "name the folder that Prometheus is started with (--storage.tsdb.path)",
        ));
    }
    Ok(())
}

/// Another restore that is unfinished has its shims among the live names.
pub(super) fn no_other(root: &Path, restore: Ulid) -> Result<(), FolderOpError> {
    let restores = journal::all(root)?;
    let other = restores.iter().find(|other| other.phase.is_unfinished() && other.note.restore != restore);
    match other {
        None => Ok(()),
        Some(other) => Err(FolderOpError::refused(
            format!("a restore of {} into this data folder is not finished", other.note.source),
            "finish it with `restore JOB --resume`, or take it back with `restore JOB --undo`",
        )),
    }
}

/// Every entry can be exchanged by a rename: none is a mount, and none a link that would lead elsewhere from its
/// new place.
pub(super) fn movable(root: &Path) -> Result<(), FolderOpError> {
    let device = root.metadata().at("look at", root)?.dev();
    for name in files::data_names(root)? {
        let path = root.join(&name);
        let Some(metadata) = files::look(&path)? else { continue };
        if metadata.is_symlink() && !shim::is_shim(&path)? {
            return Err(FolderOpError::refused(
                format!("{} is a symbolic link, which a restore cannot set aside", path.display()),
                "put the folder itself in its place while Prometheus is stopped",
            ));
        }
        if metadata.dev() != device || is_mount(&path) {
            return Err(FolderOpError::refused(
                format!("{} is a mount of its own, so that it cannot be exchanged", path.display()),
                "mount the whole data folder from one device",
            ));
        }
    }
    Ok(())
}

/// A bind mount of the same file system has the same device: only the kernel tells, since 5.8.
fn is_mount(path: &Path) -> bool {
    statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())
        .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Staged data are files and folders. A link would lead Prometheus out of its folder, and a pipe never ends.
pub(super) fn plain_files(staged: &Path) -> Result<(), FolderOpError> {
    files::walk(staged, &mut |path: &Path, metadata: &Metadata| {
        if metadata.is_file() || metadata.is_dir() {
            return Ok(());
        }
        Err(FolderOpError::refused(
            format!("{} is neither a file nor a folder", path.display()),
            "take the restore back with `restore JOB --undo`",
        ))
    })
}

/// The data of a Prometheus that runs must not be exchanged under it.
pub(super) fn not_in_use(root: &Path) -> Result<(), FolderOpError> {
    if is_in_use(root) {
        return Err(FolderOpError::refused(
            format!(
                "a process holds {}: Prometheus still runs on this data folder",
                root.join("lock").display()
            ),
            "stop it first",
        ));
    }
    Ok(())
}
