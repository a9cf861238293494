//! What lies under a name of a folder: looked at, or held open itself, so that what is done to it is done to nothing else.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{AtFlags, FileType, Gid, Stat, Uid};
use rustix::io::Errno;

use super::{NotFollowed, is_ours};

/// What a file, folder, link or something else is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// What it is. A link is a link.
    pub(crate) kind: FileType,
    /// Owner's user ID.
    pub(crate) uid: u32,
    /// Owner's group ID.
    pub(crate) gid: u32,
    /// Permission bits, with setuid, setgid and sticky.
    pub(crate) mode: u32,
    /// Modification time, Unix seconds.
    pub(crate) mtime: i64,
    /// Bytes.
    pub(crate) size: u64,
    /// Device and inode: those of nothing else, by whatever path.
    pub(crate) inode: (u64, u64),
}

impl Found {
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            kind: FileType::from_raw_mode(stat.st_mode),
            uid: stat.st_uid,
            gid: stat.st_gid,
            mode: stat.st_mode & 0o7777,
            mtime: stat.st_mtime,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            inode: (stat.st_dev, stat.st_ino),
        }
    }

    /// Of what is open.
    pub(crate) fn of_open(file: &File) -> io::Result<Self> {
        Ok(Self::of(&rustix::fs::fstat(file)?))
    }
}

/// Something that is held open itself, to read it or only to change its owner and mode.
#[derive(Debug)]
pub(crate) struct Node {
    file: File,
    found: Found,
}

impl Node {
    /// Of what is open.
    pub(crate) fn of(file: File) -> io::Result<Self> {
        Ok(Self { found: Found::of_open(&file)?, file })
    }

    /// What it was when it was opened.
    pub(crate) const fn found(&self) -> &Found {
        &self.found
    }

    /// Where it leads, of a symbolic link.
    pub(crate) fn target(&self) -> io::Result<PathBuf> {
        if !self.found.kind.is_symlink() {
            return Err(io::Error::other("it is no symbolic link any more"));
        }
        let target = rustix::fs::readlinkat(&self.file, "", Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()).into())
    }

    /// The same, to go there: an error where it is a link at `path` of another user.
    pub(crate) fn target_to_follow(&self, path: &Path) -> io::Result<PathBuf> {
        if self.found.kind.is_symlink() && !is_ours(self.found.uid) {
            return Err(NotFollowed { path: path.to_owned(), owner: self.found.uid }.into());
        }
        self.target()
    }

    /// Gives it to another owner; of a link itself.
    pub(crate) fn give(&self, uid: u32, gid: u32) -> io::Result<()> {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        Ok(rustix::fs::chownat(&self.file, "", uid, gid, AtFlags::EMPTY_PATH)?)
    }

    /// Sets the mode of a file or folder.
    pub(crate) fn set_mode(&self, mode: u32) -> io::Result<()> {
        let mode = Permissions::from_mode(mode);
        match self.file.set_permissions(mode.clone()) {
            // Its owner may not even read it. This name of it stands for what is open, and leads nowhere else.
            Err(error) if error.raw_os_error() == Some(Errno::BADF.raw_os_error()) => {
                fs::set_permissions(format!("/proc/self/fd/{}", self.file.as_raw_fd()), mode)
            }
            set => set,
        }
    }

    /// Sets the time of its last change. It must be one that can be read.
    pub(crate) fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.file.set_modified(time)
    }
}
