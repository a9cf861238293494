//! A file that is written beside the one whose place it takes.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::regular::{Folder, Node};
use crate::store::atomic::name_beside;

/// A new file for this user alone, with a name of its own until it is put in place. It goes where it is not.
pub(super) struct Beside<'a> {
    folder: &'a Folder,
    name: PathBuf,
    file: File,
    is_in_place: bool,
}

impl<'a> Beside<'a> {
    /// Beside the one of this name, in place of what a killed process may have left there.
    pub(super) fn new(folder: &'a Folder, name: &Path) -> io::Result<Self> {
        let name = name_of(name);
        folder.remove(&name)?;
        Ok(Self { folder, file: folder.create_own(&name)?, name, is_in_place: false })
    }

    /// To write it.
    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// To change its owner, mode and time.
    pub(super) fn node(&self) -> io::Result<Node> {
        Node::of(self.file.try_clone()?)
    }

    /// Opens it again under the name that it has.
    pub(super) fn again(&self) -> io::Result<File> {
        self.folder.read(&self.name)
    }

    /// Gives it the name, in place of what has that.
    pub(super) fn put_in_place(mut self, name: &Path) -> io::Result<()> {
        self.folder.rename(&self.name, name)?;
        self.is_in_place = true;
        Ok(())
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        if !self.is_in_place {
            let _ = self.folder.remove(&self.name);
        }
    }
}

/// The name of one that is written beside another.
pub(super) fn name_of(name: &Path) -> PathBuf {
    name_beside(name.as_os_str()).into()
}
