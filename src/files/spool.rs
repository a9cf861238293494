//! Reading one file into a place of our own, so that its size and hash are known before it is archived.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use tokio_util::sync::CancellationToken;

use crate::store::digest::Hashing;

/// Up to this size a file is kept in memory meanwhile.
const IN_MEMORY: usize = 4 << 20;
const BUFFER: usize = 128 << 10;

/// A file's content, read to its end.
pub(super) struct Spooled {
    content: tempfile::SpooledTempFile,
    pub(super) size: u64,
    pub(super) sha256: String,
}

impl Spooled {
    /// Reads all of `source`. What is large lies in `folder` meanwhile.
    pub(super) fn read(source: &mut dyn Read, folder: &Path, cancel: &CancellationToken) -> io::Result<Self> {
        let mut content = Hashing::new(tempfile::SpooledTempFile::new_in(IN_MEMORY, folder));
        let mut buffer = vec![0; BUFFER];
        loop {
            if cancel.is_cancelled() {
                return Err(io::Error::new(io::ErrorKind::Interrupted, "it was told to stop"));
            }
            match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => content.write_all(&buffer[..n])?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        let (mut content, size, sha256) = content.finish();
        content.seek(SeekFrom::Start(0))?;
        Ok(Self { content, size, sha256 })
    }
}

impl Read for Spooled {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.content.read(buf)
    }
}

/// What tells whether a file was changed: size, and when its content and its metadata were.
#[derive(PartialEq, Eq)]
pub(super) struct Stamp(u64, i64, i64, i64, i64, u64);

impl Stamp {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let meta = file.metadata()?;
        Ok(Self(meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec(), meta.ino()))
    }
}
