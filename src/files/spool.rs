//! Reading one file into a place of our own, so that its size and hash are known before it is archived.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::FilesError;
use crate::room::Room;
use crate::store::StoreError;
use crate::store::digest::Hashing;

/// Up to this size a file is kept in memory meanwhile.
pub(super) const IN_MEMORY: usize = 4 << 20;
const BUFFER: usize = 128 << 10;

/// Why a file is not in the backup.
pub(super) enum Failed {
    /// It cannot be read: the backup lacks it.
    Read(io::Error),
    /// There is no backup, whatever else can be read.
    Files(FilesError),
}

impl Failed {
    /// The place of our own cannot take it: the file is not to blame.
    fn spool(folder: &Path, source: io::Error) -> Self {
        Self::Files(StoreError::Io { doing: "write into", path: folder.to_owned(), source }.into())
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// A file's content, read to its end.
pub(super) struct Spooled {
    content: tempfile::SpooledTempFile,
    pub(super) size: u64,
    pub(super) sha256: String,
}

impl Spooled {
    /// Reads all of `source`. What is large lies in `folder` meanwhile.
    pub(super) fn read(
        source: &mut dyn Read,
        folder: &Path,
        cancel: &CancellationToken,
    ) -> Result<Self, Failed> {
        let mut content = Hashing::new(tempfile::SpooledTempFile::new_in(IN_MEMORY, folder));
        let mut buffer = vec![0; BUFFER];
        let mut left_in_memory = IN_MEMORY;
        loop {
            if cancel.is_cancelled() {
                return Err(Failed::Read(io::Error::new(io::ErrorKind::Interrupted, "it was told to stop")));
            }
            match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => {
                    left_in_memory = left_in_memory.saturating_sub(n);
                    if left_in_memory == 0 {
                        let room = Room::at(folder).and_then(|room| room.require(n as u64));
                        room.map_err(|source| Failed::spool(folder, source))?;
                    }
                    content.write_all(&buffer[..n]).map_err(|source| Failed::spool(folder, source))?;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Failed::Read(e)),
            }
        }
        let (mut content, size, sha256) = content.finish();
        content.seek(SeekFrom::Start(0)).map_err(|source| Failed::spool(folder, source))?;
        Ok(Self { content, size, sha256 })
    }
}

impl Read for Spooled {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.content.read(buf)
    }
}

/// What tells whether a file was changed.
pub(super) struct Stamp(Metadata);

impl Stamp {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(Self)
    }

    /// Neither its content nor its metadata was changed in between. That it has lost its name is no change of it.
    pub(super) fn is_same(&self, later: &Self) -> bool {
        let content = |meta: &Metadata| (meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec());
        let changed = |meta: &Metadata| (meta.ctime(), meta.ctime_nsec());
        let has_lost_its_name = self.0.nlink() > 0 && later.0.nlink() == 0;
        content(&self.0) == content(&later.0) && (has_lost_its_name || changed(&self.0) == changed(&later.0))
    }
}
