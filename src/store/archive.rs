//! Archives: compressed tars that plain `tar` opens, and a tar reader that trusts nobody.
//!
//! A stream that ends is not a stream that is complete: Docker ends an archive *cleanly* where a file shrank under
//! it. So every entry's full size and the two zero blocks at the end are required of every source.

mod crew;
mod decode;
mod encode;
mod error;
mod frame;
mod header;
mod member;
mod parallel;
mod paths;
mod pax;
mod piece;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::io::{self, Read};
use std::path::Path;

use tokio_util::sync::CancellationToken;

use crate::regular;

pub use decode::is_archive;
pub use error::ArchiveError;
pub use read::{Visitor, read_tar};
pub use write::ArchiveWriter;
pub(super) use write::Finished;

pub(super) const BLOCK: usize = 512;

/// What an entry is. There are no other kinds: links, devices and sparse files are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
}

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Relative path with `/`; no `..`, no empty part, unique in its archive.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes of its content; 0 for a folder.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// Owner's user ID, as the archive says.
    pub uid: u32,
    /// Owner's group ID, as the archive says.
    pub gid: u32,
    /// Modification time in Unix seconds; 0 where it was before 1970.
    pub mtime: u64,
}

/// Opens an archive of any codec, in one or many pieces, and shows every entry to `visit`. All of the file is read and
/// checked, to its last byte.
pub fn open_archive(
    path: &Path,
    cancel: &CancellationToken,
    visit: &mut Visitor<'_>,
) -> Result<(), ArchiveError> {
    let file = regular::open_named(path).map_err(|source| ArchiveError::Read { source })?;
    read_compressed(Watched::new(file, cancel, &|_| {}), visit)
}

/// Reads a tar, compressed or not, to the last byte of `reader`.
fn read_compressed(reader: impl Read, visit: &mut Visitor<'_>) -> Result<(), ArchiveError> {
    let decoder = decode::open(reader).map_err(|source| ArchiveError::from_source(source, 0))?;
    read_tar(decoder, visit)
}

/// A reader that tells how much passed, and that ends with [`ArchiveError::Cancelled`] once the token is cancelled.
pub struct Watched<'a, R> {
    inner: R,
    cancel: &'a CancellationToken,
    passed: &'a dyn Fn(u64),
}

impl<'a, R> Watched<'a, R> {
    /// Watches `inner`; `passed` is told the size of every piece.
    pub fn new(inner: R, cancel: &'a CancellationToken, passed: &'a dyn Fn(u64)) -> Self {
        Self { inner, cancel, passed }
    }
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(error::cancelled());
        }
        let n = self.inner.read(buf)?;
        (self.passed)(n as u64);
        Ok(n)
    }
}
