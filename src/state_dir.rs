//! The program's own folder, and who its files belong to.
//!
//! Watchkeeper is run by root by hand and by the service's user from systemd, on the same `state_dir`. A file that
//! root made for itself there would lock the service out at its next run. So every file made here gets the
//! owner of the folder it is made in: root hands it over, anybody else owns the folder already or could not
//! have written into it.

pub mod reserve;

use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::regular::{self, Folder};
use crate::room::Inodes;

/// A folder or file of the program's own could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// A folder could not be made.
    #[error("Cannot make the folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another user has put a symbolic link on the way to a folder.
    #[error("The folder {} is not used: {} is a symbolic link of another user", path.display(), link.display())]
    ForeignLink {
        /// The folder.
        path: PathBuf,
        /// The link.
        link: PathBuf,
    },
    /// A file could not be opened or made.
    #[error("Cannot open {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl StateDirError {
    /// The disk is full or mounted read-only.
    pub fn is_of_the_disk(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let source = match self {
            Self::Folder { source, .. } | Self::File { source, .. } => source,
            Self::ForeignLink { .. } => return false,
        };
        matches!(source.kind(), QuotaExceeded | ReadOnlyFilesystem | StorageFull)
    }

    /// What the system said.
    pub fn into_io(self) -> io::Error {
        match self {
            Self::Folder { source, .. } | Self::File { source, .. } => source,
            Self::ForeignLink { .. } => io::Error::other(self),
        }
    }

    /// Nothing more fits on the disk, or into the quota.
    pub fn is_of_a_full_disk(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        match self {
            Self::Folder { source, .. } | Self::File { source, .. } => {
                matches!(source.kind(), QuotaExceeded | StorageFull)
            }
            Self::ForeignLink { .. } => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let source = match self {
            Self::Folder { source, .. } | Self::File { source, .. } => source,
            Self::ForeignLink { .. } => {
                return Some("name in `state_dir` the folder itself, or make the link yours".to_owned());
            }
        };
        Some(match source.kind() {
            io::ErrorKind::PermissionDenied => {
                "run it as root or as the service's user, or set `state_dir` to a folder of yours".into()
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "its disk is full: free some space, or move `state_dir`".into()
            }
            io::ErrorKind::FileTooLarge => crate::rights::file_limit_hint(),
            io::ErrorKind::ReadOnlyFilesystem => {
                "set `state_dir` to a folder that is not mounted read-only".into()
            }
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                "`state_dir` must be a folder, and a file stands there".into()
            }
            _ => return None,
        })
    }
}

/// Makes `path` with its parents where they are missing, readable for their owner and nobody else. Each new folder
/// belongs to the owner of the folder it stands in.
pub fn folder(path: &Path) -> Result<(), StateDirError> {
    let unmade = |source| StateDirError::Folder { path: path.to_owned(), source };
    if let Some(link) = crate::rights::foreign_link(path).map_err(unmade)? {
        return Err(StateDirError::ForeignLink { path: path.to_owned(), link });
    }
    made(path).map_err(unmade)?;
    // Nor by its owner, to where only root may go.
    Folder::open(path).map(drop).map_err(unmade)
}

fn made(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
        made(above)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) if rustix::process::geteuid().is_root() => {
            let made = Folder::open(path).and_then(|folder| folder.itself())?;
            regular::give(&made, &above(path).metadata()?)
        }
        Ok(()) => Ok(()),
        // Another process has made it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Opens `path` for reading and writing, made where it is missing, owned by its folder's owner.
pub fn file(path: &Path) -> Result<File, StateDirError> {
    let opened = || {
        let (folder, name) = (Folder::open(above(path))?, name(path));
        // Mostly it is there.
        match folder.change(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
        match folder.create(name) {
            // Another process has made it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => folder.change(name),
            made => made,
        }
    };
    opened().map_err(|source| StateDirError::File { path: path.to_owned(), source })
}

/// The folder that a path lies in; `.` for a bare name.
fn above(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn name(path: &Path) -> &Path {
    path.file_name().map_or(path, Path::new)
}

/// Opens `path` to be locked, as [`fn@file`] does. One that is mounted read-only can still be locked where it is there.
pub fn file_to_lock(path: &Path) -> Result<File, StateDirError> {
    file(path).or_else(|error| match &error {
        StateDirError::File { source, .. } if source.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            Folder::open(above(path)).and_then(|folder| folder.read(name(path))).map_err(|_| error)
        }
        _ => Err(error),
    })
}

/// Tries whether the disk takes what is written into a folder, and leaves nothing behind. Whoever may not write there, or where
/// there is no such folder, learns nothing of the disk: that is no error.
pub fn takes_writes(folder: &Path) -> io::Result<()> {
    let is_of_the_disk = |error: &io::Error| {
        use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        matches!(error.kind(), QuotaExceeded | ReadOnlyFilesystem | StorageFull)
            || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
    };
    has_room(folder)
        .and_then(|()| write_nameless(folder))
        .or_else(|error| if is_of_the_disk(&error) { Err(error) } else { Ok(()) })
}

/// As much as some records of runs take.
const ROOM: usize = 32 * 1024;

/// A part of most disks is kept for root, who writes on where the folder's owner cannot any more.
fn has_room(folder: &Path) -> io::Result<()> {
    // SQLite makes two files beside the history.
    if let Some(lack) = Inodes::at(folder)?.lack(1) {
        return Err(io::Error::new(io::ErrorKind::StorageFull, lack));
    }
    let space = rustix::fs::statvfs(folder)?;
    let is_full = space.f_blocks > 0 && space.f_bavail.saturating_mul(space.f_frsize) < ROOM as u64;
    let is_roots = folder.metadata()?.uid() == 0;
    if is_full && !is_roots { Err(rustix::io::Errno::NOSPC.into()) } else { Ok(()) }
}

fn write_nameless(folder: &Path) -> io::Result<()> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    // A file system that has no files without a name says so, and is asked no further.
    let file = rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR)?;
    File::from(file).write_all(&vec![0x57; ROOM])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_made_by_root_belongs_to_the_owner_of_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        if !rustix::process::geteuid().is_root() {
            return;
        }
        std::os::unix::fs::chown(dir.path(), Some(4321), Some(4322)).unwrap();
        file(&dir.path().join("a")).unwrap();
        folder(&dir.path().join("locks")).unwrap();
        folder(&dir.path().join("deep/er")).unwrap();
        for name in ["a", "locks", "deep", "deep/er"] {
            let meta = dir.path().join(name).metadata().unwrap();
            assert_eq!((meta.uid(), meta.gid()), (4321, 4322), "{name}");
        }
    }

    #[test]
    fn a_file_that_is_there_is_opened_and_keeps_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        io::Write::write_all(&mut file(&path).unwrap(), b"text").unwrap();
        drop(file(&path).unwrap());
        assert_eq!(std::fs::read(path).unwrap(), b"text");
    }
}
