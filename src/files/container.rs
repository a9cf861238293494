//! Named files and folders in a container, through the engine: the container may be stopped, and need have no shell.

use std::io::{self, Read};
use std::time::Duration;

use tar::EntryType;
use tokio::runtime::Handle;

use super::backup::Collector;
use super::spool::Spooled;
use super::{FileEntry, FilesError, What};
use crate::docker::{Container, Docker, DockerError};

/// How long nothing may come before it is given up.
const IDLE: Duration = Duration::from_mins(1);
/// Two blocks of zeros end a tar. A stream that was cut ends without them, and otherwise looks complete.
const END: usize = 1024;

/// Reads out of a container, on a blocking thread: one path after the other, since each locks the container.
pub(super) struct Reader {
    container: Container,
    handle: Handle,
}

/// Looks the container up.
pub(super) async fn open(docker: &Docker, name: &str) -> Result<Reader, FilesError> {
    Ok(Reader { container: docker.container(name).await?, handle: Handle::current() })
}

/// Takes what lies at a path, and everything below.
pub(super) fn take(reader: &Reader, path: &str, collector: &mut Collector<'_>) -> Result<(), FilesError> {
    let container = reader.container.info().name.clone();
    let download = match reader.handle.block_on(reader.container.download(path, IDLE)) {
        Ok(download) => download,
        Err(error @ DockerError::NoPath { .. }) => {
            collector.problem(path, &error.to_string());
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let broken = |source| FilesError::Stream { container: container.clone(), path: path.to_owned(), source };
    let mut archive = tar::Archive::new(Tail { inner: download, last: Vec::new() });
    // Entries begin with the last part of the path.
    let above = path.rsplit_once('/').map_or("", |(above, _)| above).to_owned();
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let inside = entry.path().map_err(broken)?.into_owned();
        let Some(inside) = inside.to_str().map(|inside| inside.trim_end_matches('/').to_owned()) else {
            collector.problem(path, "a name in it is not UTF-8");
            continue;
        };
        let full = format!("{above}/{inside}");
        if collector.is_excluded(&full) {
            continue;
        }
        one(&full, &mut entry, collector).map_err(|error| match error {
            Failed::Read(source) => broken(source),
            Failed::Files(error) => error,
        })?;
    }
    archive.into_inner().ended().map_err(broken)
}

enum Failed {
    Read(io::Error),
    Files(FilesError),
}

fn one(
    path: &str,
    entry: &mut tar::Entry<'_, impl Read>,
    collector: &mut Collector<'_>,
) -> Result<(), Failed> {
    let header = entry.header();
    let number = |read: io::Result<u64>| read.map_err(Failed::Read);
    let (uid, gid) = (number(header.uid())?, number(header.gid())?);
    let (mode, mtime) = (header.mode().map_err(Failed::Read)?, number(header.mtime())?);
    let kind = header.entry_type();
    let mut content = None;
    let what = match kind {
        EntryType::Directory => What::Folder,
        EntryType::Symlink => {
            let target = entry.link_name().map_err(Failed::Read)?.unwrap_or_default();
            What::Link { target: target.to_string_lossy().into_owned() }
        }
        EntryType::Regular | EntryType::Continuous => {
            let size = entry.size();
            let read = Spooled::read(entry, collector.spool, collector.cancel).map_err(Failed::Read)?;
            if read.size != size {
                return Err(Failed::Read(io::ErrorKind::UnexpectedEof.into()));
            }
            let what = What::File { size, sha256: read.sha256.clone() };
            content = Some(read);
            what
        }
        EntryType::Link => {
            collector.problem(path, "it is a hard link, which is not backed up through Docker");
            return Ok(());
        }
        _ => return Ok(()),
    };
    let id = |id: u64| u32::try_from(id).unwrap_or(u32::MAX);
    let entry = FileEntry {
        path: path.to_owned(),
        what,
        uid: id(uid),
        gid: id(gid),
        mode: mode & 0o7777,
        mtime: i64::try_from(mtime).unwrap_or_default(),
    };
    collector.add(entry, content).map_err(Failed::Files)
}

/// Keeps the end of what passes.
struct Tail<R> {
    inner: R,
    last: Vec<u8>,
}

impl<R: Read> Read for Tail<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.last.extend_from_slice(&buf[..n]);
        let surplus = self.last.len().saturating_sub(END);
        self.last.drain(..surplus);
        Ok(n)
    }
}

impl<R: Read> Tail<R> {
    /// Reads what is left, and sees that the archive had its end.
    fn ended(mut self) -> io::Result<()> {
        io::copy(&mut self, &mut io::sink())?;
        if self.last.len() == END && self.last.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the stream ended before the archive did"))
    }
}
