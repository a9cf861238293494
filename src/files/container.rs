//! Named files and folders in a container, through the engine: the container may be stopped, and need have no shell.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tar::EntryType;
use tokio::runtime::Handle;

use super::backup::Collector;
use super::spool::{Failed, Spooled};
use super::{FileEntry, FilePath, FilesError, What};
use crate::docker::{Container, Docker, DockerError};

/// How long nothing may come before it is given up.
const IDLE: Duration = Duration::from_mins(1);
/// Docker reads so much of a file at once. What is longer can change in the middle.
const AT_ONCE: u64 = 32 << 10;
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

impl Reader {
    /// Whether a file has another size or time than when it was begun. What is gone has not changed before that.
    fn changed(&self, path: &Path, (size, mtime): (u64, u64)) -> Result<bool, FilesError> {
        let Some(text) = path.to_str() else { return Ok(false) };
        let stat = match self.handle.block_on(self.container.stat(text)) {
            Ok(stat) => stat,
            Err(DockerError::NoPath { .. } | DockerError::NoContainer { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        // In a stream it has whole seconds.
        let modified =
            stat.modified.and_then(|time| time.parse::<Timestamp>().ok()).map(Timestamp::as_second);
        let same_time = modified.is_none_or(|modified| u64::try_from(modified) == Ok(mtime));
        Ok(stat.size != size || !same_time)
    }
}

/// So many links may lead from one to the next.
const MOST_LINKS: usize = 40;

/// Takes what a path that somebody named stands for: where it is a link, that and what it leads to.
pub(super) fn take_root(
    reader: &Reader,
    path: &Path,
    collector: &mut Collector<'_>,
) -> Result<(), FilesError> {
    let named = FilePath::from(path);
    let mut path = collector.beyond_links(path);
    for _ in 0..MOST_LINKS {
        if !take(reader, &path, &named, collector)? {
            return Ok(());
        }
        let Some(next) = collector.target_of(&path) else { return Ok(()) };
        path = collector.beyond_links(&next);
    }
    collector.lacks(&named, "its links lead to each other");
    Ok(())
}

/// Takes what lies at a path, and everything below. `named` is what is lacking where nothing is there. Returns whether it
/// is a link.
fn take(
    reader: &Reader,
    path: &Path,
    named: &FilePath,
    collector: &mut Collector<'_>,
) -> Result<bool, FilesError> {
    if collector.is_excluded(path) {
        collector.lacks(named, "\"exclude\" leaves it out: take it out of \"paths\", too");
        return Ok(false);
    }
    let Some(taken) = stream(reader, path, named, collector)? else { return Ok(false) };
    // Of a file with several names a stream holds the first with its content, and only that of the others.
    for path in taken.hard_links {
        match stream(reader, &path, &FilePath::from(&path), collector)? {
            Some(again) if !again.hard_links.is_empty() => {
                collector.lacks(&FilePath::from(&path), "Docker gives only its other name");
            }
            _ => {}
        }
    }
    Ok(taken.is_link)
}

/// What came out of one stream.
#[derive(Default)]
struct Taken {
    /// Something came.
    any: bool,
    /// What was asked for is a symbolic link.
    is_link: bool,
    /// Names without content.
    hard_links: Vec<PathBuf>,
    /// Files that may have changed in the middle, with their sizes and times when they were begun.
    long: Vec<(PathBuf, (u64, u64))>,
}

fn stream(
    reader: &Reader,
    path: &Path,
    named: &FilePath,
    collector: &mut Collector<'_>,
) -> Result<Option<Taken>, FilesError> {
    let container = reader.container.info().name.clone();
    let Some(text) = path.to_str() else {
        collector.lacks(named, "Docker cannot be asked for a name that is not UTF-8");
        return Ok(None);
    };
    let download = match reader.handle.block_on(reader.container.download(text, IDLE)) {
        Ok(download) => download.until(collector.cancel.clone()),
        Err(error @ DockerError::NoPath { .. }) => {
            collector.lacks(named, &error.to_string());
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let broken = |source: io::Error| {
        // So it ends, in good order, when a file becomes shorter than Docker has said.
        let source = if source.kind() == io::ErrorKind::UnexpectedEof { cut() } else { source };
        FilesError::Stream { container: container.clone(), path: text.to_owned(), source }
    };
    let mut archive = tar::Archive::new(Tail { inner: download, last: Vec::new() });
    // Entries begin with the last part of the path.
    let above = path.parent().unwrap_or(Path::new("/"));
    let mut taken = Taken::default();
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        taken.any = true;
        let full: PathBuf = above.join(entry.path().map_err(broken)?).components().collect();
        if collector.is_excluded(&full) {
            continue;
        }
        let long = entry.header().entry_type() == EntryType::Regular && entry.size() > AT_ONCE;
        let stamp = (entry.size(), entry.header().mtime().map_err(broken)?);
        if long {
            taken.long.push((full.clone(), stamp));
        }
        let kind = one(&full, &mut entry, collector).map_err(|error| match error {
            Failed::Read(source) => broken(source),
            Failed::Files(error) => error,
        })?;
        match kind {
            EntryType::Link => taken.hard_links.push(full),
            EntryType::Symlink if full == path => taken.is_link = true,
            EntryType::Fifo | EntryType::Char | EntryType::Block if full == path => collector.lacks(
                named,
                "it is a pipe or a device, which holds nothing to back up: take it out of \"paths\"",
            ),
            _ => {}
        }
    }
    archive.into_inner().ended().map_err(broken)?;
    for (path, stamp) in &taken.long {
        if reader.changed(path, *stamp)? {
            collector.doubts(&path.into(), "it changed while it was read: exclude it, or make it rest");
        }
    }
    if !taken.any {
        collector.lacks(named, "Docker gives nothing of it, as of a socket: take it out of \"paths\"");
    }
    Ok(Some(taken))
}

/// Takes one entry, and says what it is.
fn one(
    path: &Path,
    entry: &mut tar::Entry<'_, impl Read>,
    collector: &mut Collector<'_>,
) -> Result<EntryType, Failed> {
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
            What::Link { target: FilePath::from(target.as_os_str()) }
        }
        EntryType::Regular | EntryType::Continuous => {
            let size = entry.size();
            let read = Spooled::read(entry, collector.spool, collector.cancel)?;
            if read.size != size {
                return Err(Failed::Read(io::ErrorKind::UnexpectedEof.into()));
            }
            let what = What::File { size, sha256: read.sha256.clone() };
            content = Some(read);
            what
        }
        _ => return Ok(kind),
    };
    let id = |id: u64| u32::try_from(id).unwrap_or(u32::MAX);
    let entry = FileEntry {
        path: path.into(),
        what,
        uid: id(uid),
        gid: id(gid),
        mode: mode & 0o7777,
        mtime: i64::try_from(mtime).unwrap_or_default(),
    };
    collector.add(entry, content).map_err(Failed::Files)?;
    Ok(kind)
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
        Err(cut())
    }
}

fn cut() -> io::Error {
    let why =
        "it ended before it was whole: a file in it became shorter while it was read, or Docker broke off";
    io::Error::new(io::ErrorKind::UnexpectedEof, why)
}
