//! A folder that somebody has named to unpack a backup into. Until all of it is there a note in it says so, so that nobody takes
//! the half that a killed process has left for the whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{atomic, owner};
use crate::regular;

/// The note. It has no dot in front: who lists the folder sees it.
pub const NOTE: &str = "watchkeeper-incomplete.txt";

/// A folder that is being filled.
#[derive(Debug)]
#[must_use]
pub struct Halfway {
    folder: PathBuf,
}

impl Halfway {
    /// Notes in an empty folder that `what` is being unpacked there.
    pub fn begin(folder: &Path, what: &str) -> io::Result<Self> {
        let text = format!(
            "{what} is being unpacked into this folder by watchkeeper.\n\
             If no watchkeeper is at it any more, it was cut, and this is only a part: remove all of it, and unpack again.\n"
        );
        atomic::create(&folder.join(NOTE), text.as_bytes(), owner::FILE_MODE)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// All of it is there, and on the disk.
    pub fn end(self) -> io::Result<()> {
        atomic::sync_folder(&self.folder)?;
        fs::remove_file(self.folder.join(NOTE))?;
        atomic::sync_folder(&self.folder)
    }
}

/// An error of kind `DirectoryNotEmpty` if there is something in the folder.
pub fn must_be_empty(folder: &Path) -> io::Result<()> {
    if folder.read_dir()?.next().is_none() {
        return Ok(());
    }
    let why = if is_halfway(folder) {
        "it holds a part of a backup, whose unpacking was cut: remove it with all that is in it"
    } else {
        "it is not empty"
    };
    Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, why))
}

/// What is in the folder is only a part.
pub fn is_halfway(folder: &Path) -> bool {
    regular::open(&folder.join(NOTE)).is_ok()
}
