//! From the snapshot's files to the store, with every block checked on the way: one pass, no copy of the data.
//!
//! What cannot be read does not stop the rest. Its place in the archive is filled with zeros, so that the
//! archive stays whole, and its block is recorded as damaged.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::SnapshotError;
use super::shelf::{Item, Shelf};
use crate::progress::StepGuard;
use crate::prometheus::block::{BlockCheck, Damage, FileCheck};
use crate::regular;
use crate::store::archive::{self, ArchiveError, Entry, EntryKind};

/// Takes the files of a snapshot, block after block, checks them, and puts them on a shelf.
pub(super) struct Archiver<'a> {
    shelf: &'a mut dyn Shelf,
    spool: &'a Path,
    step: &'a StepGuard,
    cancel: &'a CancellationToken,
    current: Option<Current>,
    begun: BTreeSet<String>,
}

/// The block whose files are coming in.
struct Current {
    name: String,
    check: BlockCheck,
    unread: Vec<Damage>,
}

impl<'a> Archiver<'a> {
    pub(super) fn new(
        shelf: &'a mut dyn Shelf,
        spool: &'a Path,
        step: &'a StepGuard,
        cancel: &'a CancellationToken,
    ) -> Self {
        Self { shelf, spool, step, cancel, current: None, begun: BTreeSet::new() }
    }

    /// Takes all blocks, or one, of a snapshot folder that is readable here.
    pub(super) fn take_folder(&mut self, snapshot: &Path, only: Option<&str>) -> Result<(), SnapshotError> {
        let blocks = match only {
            Some(block) => vec![block.to_owned()],
            None => sorted_entries(snapshot)?,
        };
        for block in blocks.iter().filter(|block| is_block(block)) {
            self.folder(block)?;
            self.walk(snapshot, block, Path::new(""))?;
        }
        self.end_block()
    }

    /// Told when it is to stop.
    pub(super) fn cancel(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// Takes the blocks in a tar stream, as Docker sends it. `above` is how many folders are above them.
    pub(super) fn take_tar(&mut self, stream: impl Read, above: usize) -> Result<(), SnapshotError> {
        let mut failed = None;
        let read = archive::read_tar(stream, &mut |entry, content| {
            self.entry(entry, above, content).map_err(|error| {
                let told = ArchiveError::visit(&entry.path, error.to_string());
                failed = Some(error);
                told
            })
        });
        match (read, failed) {
            (_, Some(error)) => Err(error),
            (Err(source), None) => Err(SnapshotError::Stream { source }),
            (Ok(()), None) => self.end_block(),
        }
    }

    fn entry(&mut self, entry: &Entry, above: usize, content: &mut dyn Read) -> Result<(), SnapshotError> {
        let mut parts = entry.path.splitn(above + 2, '/').skip(above);
        let (Some(block), file) = (parts.next().filter(|b| is_block(b)), parts.next()) else {
            return Ok(());
        };
        match (entry.kind, file) {
            (EntryKind::Folder, None) => self.folder(block),
            (EntryKind::File, Some(file)) => {
                let item = Item { block, file, mode: entry.mode, mtime: entry.mtime, size: entry.size };
                self.file(&item, content)
            }
            (EntryKind::Folder, Some(file)) => self.shelf.folder(block, file),
            (EntryKind::File, None) => Ok(()),
        }
    }

    fn walk(&mut self, snapshot: &Path, block: &str, inside: &Path) -> Result<(), SnapshotError> {
        let folder = snapshot.join(block).join(inside);
        for name in sorted_entries(&folder)? {
            let path = folder.join(&name);
            let relative = inside.join(&name);
            let file = relative.to_string_lossy().into_owned();
            let metadata = path.symlink_metadata().map_err(|source| SnapshotError::read(&path, source))?;
            if metadata.is_dir() {
                self.shelf.folder(block, &file)?;
                self.walk(snapshot, block, &relative)?;
            } else if metadata.is_file() {
                let mtime = u64::try_from(metadata.mtime()).unwrap_or(0);
                let item = Item { block, file: &file, mode: metadata.mode(), mtime, size: metadata.len() };
                self.local_file(&item, &path)?;
            }
        }
        Ok(())
    }

    fn local_file(&mut self, item: &Item<'_>, path: &Path) -> Result<(), SnapshotError> {
        let mut content = Padded { source: regular::open(path), left: item.size, problem: None };
        self.file(item, &mut content)?;
        if let (Some(problem), Some(current)) = (content.problem, &mut self.current) {
            current.unread.push(Damage { file: item.file.to_owned(), problem, keeps_prometheus_down: true });
        }
        Ok(())
    }

    /// Begins a block.
    fn folder(&mut self, name: &str) -> Result<(), SnapshotError> {
        self.end_block()?;
        if !self.begun.insert(name.to_owned()) {
            return Err(SnapshotError::Scattered { block: name.to_owned() });
        }
        self.shelf.begin(name)?;
        let check = BlockCheck::new(name, self.spool);
        self.current = Some(Current { name: name.to_owned(), check, unread: Vec::new() });
        Ok(())
    }

    fn file(&mut self, item: &Item<'_>, content: &mut dyn Read) -> Result<(), SnapshotError> {
        if self.current.as_ref().is_none_or(|c| c.name != item.block) {
            self.folder(item.block)?;
        }
        let Some(current) = &mut self.current else { return Ok(()) };
        let check = current.check.begin_file(item.file, item.size);
        let mut content = Checked { content, check, step: self.step, cancel: self.cancel };
        let written = self.shelf.file(item, &mut content);
        if self.cancel.is_cancelled() {
            return Err(SnapshotError::Cancelled);
        }
        written
    }

    fn end_block(&mut self) -> Result<(), SnapshotError> {
        let Some(current) = self.current.take() else { return Ok(()) };
        let spool = self.spool.to_path_buf();
        let mut report =
            current.check.finish().map_err(|source| SnapshotError::Spool { path: spool, source })?;
        report.damage.splice(0..0, current.unread);
        self.shelf.end(report)
    }
}

fn is_block(name: &str) -> bool {
    name.len() == 26 && Ulid::from_string(name).is_ok()
}

/// The names in a folder, sorted, so that a block's files come together and in a stable order.
fn sorted_entries(folder: &Path) -> Result<Vec<String>, SnapshotError> {
    let read = |source| SnapshotError::read(folder, source);
    let mut names = Vec::new();
    for entry in folder.read_dir().map_err(read)? {
        names.push(entry.map_err(read)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Hands the bytes that pass to the block's check.
struct Checked<'a> {
    content: &'a mut dyn Read,
    check: FileCheck<'a>,
    step: &'a StepGuard,
    cancel: &'a CancellationToken,
}

impl Read for Checked<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        let n = self.content.read(buf)?;
        self.check.write_all(&buf[..n])?;
        self.step.add(n as u64);
        Ok(n)
    }
}

/// Reads exactly `left` bytes: what the file does not give is zeros, and the first reason is kept.
struct Padded {
    source: io::Result<File>,
    left: u64,
    problem: Option<String>,
}

impl Read for Padded {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let wanted = buf.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let n = match &mut self.source {
            _ if self.problem.is_some() || wanted == 0 => 0,
            Ok(file) => match file.read(&mut buf[..wanted]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => return Err(e),
                Err(e) => self.give_up(&e.to_string()),
                Ok(0) => self.give_up("the file ended"),
                Ok(n) => n,
            },
            Err(e) => {
                let reason = e.to_string();
                self.give_up(&reason)
            }
        };
        let n = if n == 0 { wanted } else { n };
        if self.problem.is_some() {
            buf[..n].fill(0);
        }
        self.left -= n as u64;
        Ok(n)
    }
}

impl Padded {
    fn give_up(&mut self, reason: &str) -> usize {
        self.problem = Some(format!("cannot be read, {} bytes before its end: {reason}", self.left));
        0
    }
}
