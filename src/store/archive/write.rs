//! Writes an archive: deterministic headers, and sizes that are held to.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tar::{EntryType, Header};

use super::encode::Encoder;
use super::error::{self, ArchiveError};
use super::paths::{self, Seen};
use super::read::read_tar;
use super::{BLOCK, EntryKind};
use crate::config::values::Compression;
use crate::room::RoomWatch;
use crate::store::manifest::StoredFile;

/// Where a finished archive is told.
pub(in crate::store) type Finished = Arc<Mutex<Option<StoredFile>>>;

/// An archive that is being written. It exists when [`ArchiveWriter::finish`] said so.
///
/// Nothing in it tells who wrote it or when: the same input gives the same bytes.
pub struct ArchiveWriter {
    encoder: Encoder,
    path: PathBuf,
    seen: Seen,
    /// An error came while bytes were under way: what is behind them can no longer be found.
    poisoned: bool,
    finished: Finished,
}

impl ArchiveWriter {
    pub(in crate::store) fn new(
        file: File,
        path: &Path,
        compression: Compression,
        finished: Finished,
    ) -> Result<Self, ArchiveError> {
        Self::expecting(0, file, path, compression, finished)
    }

    /// The same for an archive of which it is known about how many bytes it will have.
    pub(in crate::store) fn expecting(
        bytes: u64,
        file: File,
        path: &Path,
        compression: Compression,
        finished: Finished,
    ) -> Result<Self, ArchiveError> {
        let encoder = Encoder::new(file, compression, RoomWatch::expecting(bytes))
            .map_err(|source| ArchiveError::Write { source })?;
        Ok(Self { encoder, path: path.to_owned(), seen: Seen::default(), poisoned: false, finished })
    }

    /// Adds a folder. Folders of files need not be added.
    pub fn folder(&mut self, path: &str, mode: u32) -> Result<(), ArchiveError> {
        self.begin(path, EntryKind::Folder, Attributes { mode, mtime: 0, size: 0 })
    }

    /// Adds a file of exactly `size` bytes. After an error the archive is good for nothing.
    pub fn file(
        &mut self,
        path: &str,
        mode: u32,
        mtime: u64,
        size: u64,
        reader: &mut dyn Read,
    ) -> Result<(), ArchiveError> {
        self.begin(path, EntryKind::File, Attributes { mode, mtime, size })?;
        self.poisoned = true;
        self.copy(path, size, reader)?;
        self.poisoned = false;
        Ok(())
    }

    /// Ends the archive and brings it to disk. The name of the returned file is that of the unpublished archive.
    pub fn finish(mut self) -> Result<StoredFile, ArchiveError> {
        if self.poisoned {
            return Err(ArchiveError::Poisoned);
        }
        let written = |source| ArchiveError::Write { source };
        self.encoder.write_all(&[0; 2 * BLOCK]).map_err(written)?;
        let (file, size, sha256) = self.encoder.finish().map_err(written)?;
        file.sync_all().map_err(written)?;
        // So that reading it back reads the disk and not our own memory. It is only advice.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stored = StoredFile { name, size, sha256 };
        *self.finished.lock().unwrap_or_else(PoisonError::into_inner) = Some(stored.clone());
        Ok(stored)
    }

    fn begin(&mut self, path: &str, kind: EntryKind, attributes: Attributes) -> Result<(), ArchiveError> {
        if self.poisoned {
            return Err(ArchiveError::Poisoned);
        }
        let root = || ArchiveError::refused(path, "it is the root of the archive");
        let path = paths::clean(path.as_bytes(), kind)?.ok_or_else(root)?;
        let headers = headers(&path, kind, attributes);
        if !reads_back(&headers, &path, kind, attributes.size) {
            return Err(ArchiveError::refused(&path, "its entry could not be read again"));
        }
        self.seen.add(&path, kind)?;
        self.poisoned = true;
        for bytes in headers {
            self.encoder.write_all(&bytes).map_err(|source| ArchiveError::Write { source })?;
        }
        self.poisoned = false;
        Ok(())
    }

    fn copy(&mut self, path: &str, size: u64, reader: &mut dyn Read) -> Result<(), ArchiveError> {
        let wrong = |relation| ArchiveError::Size { path: path.to_owned(), size, relation };
        let written = |source| ArchiveError::Write { source };
        let mut left = size;
        loop {
            let space = self.encoder.space().map_err(written)?;
            // One byte more than is left, to see whether the reader has more.
            let most = usize::try_from(left.saturating_add(1)).unwrap_or(usize::MAX).min(space.len());
            let n = match reader.read(&mut space[..most]) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if error::is_cancelled(&e) => return Err(ArchiveError::Cancelled),
                Err(source) => return Err(ArchiveError::Input { path: path.to_owned(), source }),
            };
            left = left.checked_sub(n as u64).ok_or_else(|| wrong("more bytes"))?;
            self.encoder.advance(n);
        }
        if left > 0 {
            return Err(wrong("fewer bytes"));
        }
        self.encoder.write_all(padding(size)).map_err(written)
    }
}

#[derive(Clone, Copy)]
struct Attributes {
    mode: u32,
    mtime: u64,
    size: u64,
}

/// The blocks before the content: the header, and before it the name where that is too long for one.
fn headers(path: &str, kind: EntryKind, attributes: Attributes) -> Vec<Vec<u8>> {
    let (kind, name) = match kind {
        EntryKind::File => (EntryType::Regular, path.to_owned()),
        EntryKind::Folder => (EntryType::Directory, format!("{path}/")),
    };
    let mut blocks = Vec::new();
    if name.len() > 100 {
        let mut bytes = name.clone().into_bytes();
        bytes.push(0);
        let size = bytes.len() as u64;
        let long = Attributes { mode: 0o644, mtime: 0, size };
        blocks.push(header(b"././@LongLink", EntryType::GNULongName, long));
        bytes.extend_from_slice(padding(size));
        blocks.push(bytes);
    }
    let mut short = &name.as_bytes()[..name.len().min(100)];
    // A cut name that ends so would look like a folder's to those who look no further.
    while kind == EntryType::Regular && short.ends_with(b"/") {
        short = &short[..short.len() - 1];
    }
    blocks.push(header(short, kind, attributes));
    blocks
}

/// Whether our own reader sees in these blocks what was meant. It stops behind them, where the content is yet to come.
fn reads_back(headers: &[Vec<u8>], path: &str, kind: EntryKind, size: u64) -> bool {
    let mut seen = None;
    let _ = read_tar(&headers.concat()[..], &mut |entry, _| {
        seen = Some((entry.path.clone(), entry.kind, entry.size));
        Ok(())
    });
    seen == Some((path.to_owned(), kind, size))
}

fn header(name: &[u8], kind: EntryType, attributes: Attributes) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_mode(attributes.mode & 0o7777);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(attributes.mtime);
    header.set_size(attributes.size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// Zeros up to the next whole block.
fn padding(size: u64) -> &'static [u8] {
    const ZEROS: [u8; BLOCK] = [0; BLOCK];
    // Less than a block, so it fits.
    let over = usize::try_from(size % BLOCK as u64).unwrap_or_default();
    if over == 0 { &[] } else { &ZEROS[over..] }
}
