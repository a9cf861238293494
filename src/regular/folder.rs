//! A folder that is held open, and what is done in it by names alone.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{Found, Node, flags, give, is_ours, must_be, must_be_a_file};

/// A folder in which files are opened. Whoever puts a link in its place meanwhile leads nobody elsewhere, and nor does a
/// link under a name of it.
#[derive(Debug)]
pub(crate) struct Folder(File);

impl Folder {
    /// Opens a folder. A symbolic link is followed only where it is root's or this user's: that of another user could lead
    /// to what only this user may change.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |more: OFlags| rustix::fs::open(path, flags | more, Mode::empty());
        match open(OFlags::NOFOLLOW) {
            Ok(folder) => return Ok(Self(File::from(folder))),
            Err(Errno::NOTDIR | Errno::LOOP) => {}
            Err(error) => return Err(error.into()),
        }
        let found = fs::symlink_metadata(path)?;
        if found.is_symlink() && !is_ours(found.uid()) {
            return Err(io::Error::other("it is a symbolic link of another user"));
        }
        Ok(Self(File::from(open(OFlags::empty())?)))
    }

    /// Opens the root of the file system.
    pub(super) fn root() -> io::Result<Self> {
        Ok(Self(super::open_folder(Path::new("/"))?))
    }

    /// Opens a folder that lies in it.
    pub(super) fn enter(&self, name: &Path) -> io::Result<Self> {
        // To list it too, and what is mounted on demand is mounted by that.
        match self.at(name, OFlags::RDONLY | OFlags::DIRECTORY) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.at(name, OFlags::PATH | OFlags::DIRECTORY).map(Self)
            }
            opened => opened.map(Self),
        }
    }

    /// The folder itself, to lock it, or to bring it to the disk.
    pub(crate) fn itself(&self) -> io::Result<File> {
        self.at(Path::new("."), OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// What it is itself.
    pub(crate) fn found(&self) -> io::Result<Found> {
        Found::of_open(&self.0)
    }

    /// The folder itself, to change its owner, mode and time.
    pub(crate) fn as_node(&self) -> io::Result<Node> {
        Node::of(self.0.try_clone()?)
    }

    /// What lies under a name.
    pub(crate) fn look(&self, name: &Path) -> io::Result<Found> {
        Ok(Found::of(&rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// Holds open what lies under a name, whatever it is.
    pub(crate) fn node(&self, name: &Path) -> io::Result<Node> {
        // To open a device may already do something: it is looked at before.
        let is_content = matches!(self.look(name)?.kind, FileType::RegularFile | FileType::Directory);
        let opened = if is_content { self.at(name, OFlags::RDONLY) } else { self.at(name, OFlags::PATH) };
        Node::of(match opened {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => self.at(name, OFlags::PATH)?,
            opened => opened?,
        })
    }

    /// Adds the names in it. Those that were read before something went wrong are there all the same.
    pub(crate) fn list(&self, names: &mut Vec<OsString>) -> io::Result<()> {
        for entry in Dir::new(OwnedFd::from(self.itself()?))? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
        }
        Ok(())
    }

    /// Opens a file of it to read.
    pub(crate) fn read(&self, name: &Path) -> io::Result<File> {
        self.file(name, OFlags::RDONLY)
    }

    /// Opens a file of it to read and write.
    pub(crate) fn change(&self, name: &Path) -> io::Result<File> {
        self.file(name, OFlags::RDWR)
    }

    /// Makes a file, for its owner alone: that of the folder, where this is root.
    pub(crate) fn create(&self, name: &Path) -> io::Result<File> {
        let file = self.create_own(name)?;
        give(&file, &self.0.metadata()?)?;
        Ok(file)
    }

    /// Makes a file for this user alone.
    pub(crate) fn create_own(&self, name: &Path) -> io::Result<File> {
        let file = self.at(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        Ok(file)
    }

    /// Makes a folder, with what the umask leaves of the mode.
    pub(crate) fn create_folder(&self, name: &Path, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(&self.0, name, Mode::from_raw_mode(mode))?)
    }

    /// Makes a symbolic link.
    pub(crate) fn create_link(&self, name: &Path, target: &Path) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(target, &self.0, name)?)
    }

    /// Gives a file or link in it another name in it, in place of what has that.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, from, &self.0, to)?)
    }

    /// Removes a file or link, if it is there.
    pub(crate) fn remove(&self, name: &Path) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes an empty folder.
    pub(crate) fn remove_folder(&self, name: &Path) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::REMOVEDIR)?)
    }

    fn file(&self, name: &Path, how: OFlags) -> io::Result<File> {
        // To open a device may already do something: it is looked at before.
        must_be_a_file(self.look(name)?.kind)?;
        let file = self.at(name, how)?;
        must_be(&file.metadata()?)?;
        Ok(file)
    }

    fn at(&self, name: &Path, how: OFlags) -> io::Result<File> {
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(File::from(rustix::fs::openat(&self.0, name, how | flags() | OFlags::NOFOLLOW, mode)?))
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
