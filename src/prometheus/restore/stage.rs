//! Brings the blocks to the data folder: a stream that holds nothing but block files, whatever the source holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio_util::sync::CancellationToken;

use super::error::SourceError;
use super::source::{BlockFile, RestoreSource};
use crate::progress::StepGuard;
use crate::prometheus::block::{BlockReport, EMPTY_TOMBSTONES};
use crate::room::Room;
use crate::words::chain;

/// The blocks as a tar stream, `<ULID>/…` at its top. Reading fails where the source does.
pub(super) struct Tar {
    pipe: PipeReader,
    producer: Option<JoinHandle<()>>,
    failure: Arc<Failure>,
}

/// Why the stream ended early, for whoever reads and for whoever asked.
#[derive(Debug, Default)]
pub(super) struct Failure(Mutex<Option<SourceError>>);

impl Failure {
    /// The error, once.
    pub(super) fn take(&self) -> Option<SourceError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, error: SourceError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    fn text(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|error| chain(error))
    }
}

/// Begins to produce the stream of `blocks` on a thread of its own, which ends when the stream is dropped.
pub(super) fn stream(
    source: Arc<RestoreSource>,
    blocks: BTreeSet<String>,
    step: Arc<StepGuard>,
    cancel: CancellationToken,
) -> io::Result<(Tar, Arc<Failure>)> {
    let (pipe, writer) = io::pipe()?;
    let failure = Arc::new(Failure::default());
    let told = Arc::clone(&failure);
    let producer = std::thread::Builder::new().name("restore-stream".into()).spawn(move || {
        if let Err(error) = produce(&source, &blocks, &step, &cancel, writer) {
            told.set(error);
        }
    })?;
    Ok((Tar { pipe, producer: Some(producer), failure: Arc::clone(&failure) }, failure))
}

impl Read for Tar {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.pipe.read(buf)?;
        if n == 0 && !buf.is_empty() {
            let panicked = self.producer.take().is_some_and(|producer| producer.join().is_err());
            if let Some(text) = self.failure.text().or_else(|| panicked.then(|| "it panicked".to_owned())) {
                return Err(io::Error::other(text));
            }
        }
        Ok(n)
    }
}

fn produce(
    source: &RestoreSource,
    blocks: &BTreeSet<String>,
    step: &StepGuard,
    cancel: &CancellationToken,
    pipe: PipeWriter,
) -> Result<(), SourceError> {
    let mut tar = tar::Builder::new(io::BufWriter::with_capacity(1 << 16, pipe));
    let mut folders = BTreeSet::new();
    let mut without_tombstones = blocks.clone();
    source.each_file(blocks, cancel, &mut |file, content| {
        if file.path == "tombstones" {
            without_tombstones.remove(&file.block);
        }
        folder(&mut tar, &mut folders, file.block.clone())?;
        if file.path.starts_with("chunks/") {
            folder(&mut tar, &mut folders, format!("{}/chunks", file.block))?;
        }
        append(&mut tar, file, &mut Counted { inner: content, step })
    })?;
    let stream = |source| SourceError::Stream { source };
    // Prometheus reads a block without the file, but then cannot take a snapshot: the next backup would fail.
    for block in without_tombstones.into_iter().filter(|block| folders.contains(block)) {
        let size = EMPTY_TOMBSTONES.len() as u64;
        let file = BlockFile { block, path: "tombstones".into(), size, mtime: 0 };
        append(&mut tar, &file, &mut EMPTY_TOMBSTONES.as_slice()).map_err(stream)?;
    }
    tar.into_inner().and_then(|mut pipe| pipe.flush()).map_err(stream)
}

type Builder = tar::Builder<io::BufWriter<PipeWriter>>;

fn folder(tar: &mut Builder, made: &mut BTreeSet<String>, path: String) -> io::Result<()> {
    if made.contains(&path) {
        return Ok(());
    }
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o755);
    header.set_size(0);
    tar.append_data(&mut header, format!("{path}/"), io::empty())?;
    made.insert(path);
    Ok(())
}

fn append(tar: &mut Builder, file: &BlockFile, content: &mut dyn Read) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_mtime(file.mtime);
    header.set_size(file.size);
    tar.append_data(&mut header, format!("{}/{}", file.block, file.path), content)
}

struct Counted<'a> {
    inner: &'a mut dyn Read,
    step: &'a StepGuard,
}

impl Read for Counted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.step.add(n as u64);
        Ok(n)
    }
}

/// Writes the blocks into a folder here, synced to the disk.
pub(super) fn unpack(
    source: &RestoreSource,
    blocks: &BTreeSet<String>,
    into: &Path,
    step: &StepGuard,
    cancel: &CancellationToken,
) -> Result<(), SourceError> {
    let mut without_tombstones = blocks.clone();
    source.each_file(blocks, cancel, &mut |file, content| {
        if file.path == "tombstones" {
            without_tombstones.remove(&file.block);
        }
        let path = into.join(&file.block).join(&file.path);
        std::fs::create_dir_all(path.parent().unwrap_or(into))?;
        let mut out = File::create_new(&path)?;
        Room::of(&out)?.require(file.size)?;
        io::copy(&mut Counted { inner: content, step }, &mut out)?;
        out.sync_all()
    })?;
    for block in without_tombstones {
        let path = into.join(block).join("tombstones");
        let written = File::create_new(&path).and_then(|mut file| file.write_all(&EMPTY_TOMBSTONES));
        written.map_err(|source| SourceError::Copy { path, source })?;
    }
    Ok(())
}

/// How what was staged differs from what the source promised; empty where it does not.
pub(super) fn differences(promised: &[BlockReport], staged: &[BlockReport]) -> Vec<String> {
    let staged: BTreeMap<&str, &BlockReport> = staged.iter().map(|b| (b.name.as_str(), b)).collect();
    let mut differences = Vec::new();
    for promise in promised {
        let Some(found) = staged.get(promise.name.as_str()) else {
            differences.push(format!("block {} is missing", promise.name));
            continue;
        };
        differences.extend(found.damage.iter().map(|damage| format!("block {}: {damage}", promise.name)));
        if found.is_good() && found.meta != promise.meta {
            differences
                .push(format!("block {}: its meta.json is not the one that was promised", promise.name));
        }
    }
    let known: BTreeSet<&str> = promised.iter().map(|b| b.name.as_str()).collect();
    let surplus = staged.keys().filter(|name| !known.contains(*name));
    differences.extend(surplus.map(|name| format!("block {name} should not be there")));
    differences
}

#[cfg(test)]
mod tests;
