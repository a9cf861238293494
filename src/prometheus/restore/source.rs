//! What can be restored: a backup of the store, or what somebody has at hand on a fresh host.
//!
//! Whatever it is, it becomes the same thing: blocks, each with the report of a full check. A backup's manifest has
//! the reports; everything else is read through once to make them, so that a plan knows of damage before anything
//! is touched, and the proof has counts to compare.

mod scan;

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::error::SourceError;
use crate::progress::Progress;
use crate::prometheus::block::{BlockMeta, BlockReport};
use crate::prometheus::contents::SnapshotContents;
use crate::store::archive::{ArchiveError, EntryKind, is_archive, open_archive};
use crate::store::{Backup, Source, StoreError, StoredFile, shared_key};

/// Something that can be restored.
#[derive(Debug, Clone, PartialEq)]
pub struct RestoreSource {
    /// What it is called: `prometheus-snapshot/20261123T020000Z`, or a path.
    pub title: String,
    /// When the backup was made, where it is one.
    pub created: Option<Timestamp>,
    /// Where the data came from, as far as it is known.
    pub origin: Source,
    /// Every block, oldest first, damaged ones included.
    pub blocks: Vec<BlockReport>,
    /// What a person should know about it.
    pub notes: Vec<String>,
    data: Data,
}

#[derive(Debug, Clone, PartialEq)]
enum Data {
    /// A backup: one archive, or one for the small files of all blocks and one for each block.
    Backup(Box<Backup>),
    /// Blocks below `root` (empty, or without a slash at its end) in an archive that is no backup of ours.
    Archive { path: PathBuf, root: String },
    /// Block folders directly in a folder.
    Folder(PathBuf),
}

/// How a source without a manifest is read through.
#[derive(Clone)]
pub struct Reading {
    /// A folder with room for the largest index.
    pub spool: PathBuf,
    /// Where it is told.
    pub progress: Progress,
    /// Stops it.
    pub cancel: CancellationToken,
}

/// A file of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BlockFile {
    /// The block's folder.
    pub(super) block: String,
    /// Its path in there.
    pub(super) path: String,
    /// Its size in bytes.
    pub(super) size: u64,
    /// Unix seconds.
    pub(super) mtime: u64,
}

/// Takes one file of a block.
pub(super) type TakeFile<'a> = dyn FnMut(&BlockFile, &mut dyn Read) -> io::Result<()> + 'a;

impl RestoreSource {
    /// A backup of the store, or a manifest anywhere with its files beside it.
    pub fn of_backup(backup: &Backup) -> Result<Self, SourceError> {
        let manifest = &backup.manifest;
        let title = format!("{}/{}", manifest.job, manifest.id);
        if manifest.kind != super::KIND {
            return Err(SourceError::OtherKind { title, kind: manifest.kind.clone() });
        }
        let contents = backup.contents::<SnapshotContents>();
        let contents = contents.map_err(|source| SourceError::Manifest { source: Box::new(source) })?;
        let mut notes = Vec::new();
        if contents.skip_head {
            notes.push(
                "The backup was made without the head: the last hours before it are missing".to_owned(),
            );
        }
        for (file, problem) in backup.problems() {
            notes.push(format!("{} was bad when it was last read: {problem}", file.name));
        }
        let data = Data::Backup(Box::new(backup.clone()));
        let (created, origin) = (Some(manifest.created), manifest.source.clone());
        Ok(Self { title, created, origin, blocks: contents.blocks, notes, data })
    }

    /// What lies at `path`: a manifest, an archive, a backup folder, or a folder with blocks.
    pub fn at_path(path: &Path, reading: &Reading) -> Result<Self, SourceError> {
        let opened = |source| SourceError::Open { path: path.to_path_buf(), source };
        let backup = |manifest: &Path| {
            Backup::outside(manifest).map_err(|source| SourceError::Manifest { source: Box::new(source) })
        };
        if std::fs::metadata(path).map_err(opened)?.is_dir() {
            let newest = Backup::newest_outside(path);
            let newest = newest.map_err(|source| SourceError::Manifest { source: Box::new(source) })?;
            let Some(newest) = newest else { return scan::folder(path, reading) };
            let mut source = Self::of_backup(&newest.backup)?;
            if !newest.broken.is_empty() {
                source.notes.push(format!("Broken and passed over: {}", newest.broken.join(", ")));
            }
            return Ok(source);
        }
        if path.extension().is_some_and(|extension| extension == "json") {
            return Self::of_backup(&backup(path)?);
        }
        if !is_archive(path).map_err(opened)? {
            return Err(SourceError::Unknown { path: path.to_path_buf() });
        }
        match Backup::manifest_at(path) {
            Some(manifest) => Self::of_backup(&backup(&manifest)?),
            None => scan::archive(path, reading),
        }
    }

    /// What it was made from, where a manifest tells it: `prometheus-snapshot of main`.
    pub fn made_from(&self) -> Option<String> {
        let Data::Backup(backup) = &self.data else { return None };
        Some(backup.manifest.made_from())
    }

    #[cfg(test)]
    pub(super) fn for_tests(blocks: Vec<BlockReport>) -> Self {
        Self::for_tests_in(Path::new(""), blocks)
    }

    #[cfg(test)]
    pub(super) fn for_tests_in(folder: &Path, blocks: Vec<BlockReport>) -> Self {
        let (title, origin, data) =
            ("job/1".to_owned(), Source::default(), Data::Folder(folder.to_path_buf()));
        Self { title, created: None, origin, blocks, notes: Vec::new(), data }
    }

    /// The blocks that can be put in place.
    pub fn good(&self) -> impl Iterator<Item = (&BlockReport, &BlockMeta)> {
        self.blocks.iter().filter(|block| block.is_good()).filter_map(|b| Some((b, b.meta.as_ref()?)))
    }

    /// The others.
    pub fn damaged(&self) -> impl Iterator<Item = &BlockReport> {
        self.blocks.iter().filter(|block| !block.is_good() || block.meta.is_none())
    }

    /// Reads the stored files back and compares their hashes, where a manifest tells those. What has no manifest was
    /// read through just now.
    pub fn verify(&self, progress: &Progress, cancel: &CancellationToken) -> Result<(), SourceError> {
        let Data::Backup(backup) = &self.data else { return Ok(()) };
        let step = progress.step("verify the backup", Some(backup.size()));
        for file in &backup.manifest.files {
            match backup.check_file(file, &step, cancel) {
                Ok(None) => {}
                Ok(Some(problem)) => {
                    return Err(SourceError::Bad { path: backup.path_of(file), problem });
                }
                Err(StoreError::Cancelled) => return Err(SourceError::Cancelled),
                Err(source) => return Err(SourceError::Manifest { source: Box::new(source) }),
            }
        }
        let files = backup.manifest.files.len();
        step.finish(format!("{files} files, each with the SHA-256 of its manifest"));
        Ok(())
    }

    /// Hands every file of the `wanted` blocks to `take`.
    pub(super) fn each_file(
        &self,
        wanted: &BTreeSet<String>,
        cancel: &CancellationToken,
        take: &mut TakeFile<'_>,
    ) -> Result<(), SourceError> {
        match &self.data {
            Data::Backup(backup) => {
                let is_wanted =
                    |file: &&StoredFile| shared_key(&file.name).is_none_or(|block| wanted.contains(block));
                for file in backup.manifest.files.iter().filter(is_wanted) {
                    each_file_in(&backup.path_of(file), "", wanted, cancel, take)?;
                }
                Ok(())
            }
            Data::Archive { path, root } => each_file_in(path, root, wanted, cancel, take),
            Data::Folder(folder) => {
                for block in wanted {
                    scan::each_file_of_block(folder, block, cancel, take)?;
                }
                Ok(())
            }
        }
    }
}

/// Hands every file of the `wanted` blocks below `root` in an archive to `take`.
fn each_file_in(
    path: &Path,
    root: &str,
    wanted: &BTreeSet<String>,
    cancel: &CancellationToken,
    take: &mut TakeFile<'_>,
) -> Result<(), SourceError> {
    let shown = open_archive(path, cancel, &mut |entry, content| {
        let Some((above, file)) = split(&entry.path) else { return Ok(()) };
        let is_ours = entry.kind == EntryKind::File && above == root;
        if !is_ours || !wanted.contains(file.0) || !is_block_file(file.1) {
            return Ok(());
        }
        let (block, path) = (file.0.to_owned(), file.1.to_owned());
        let file = BlockFile { block, path, size: entry.size, mtime: entry.mtime };
        take(&file, content).map_err(|source| ArchiveError::visit(&entry.path, source))
    });
    shown.map_err(|source| SourceError::archive(path, source, cancel))
}

/// Splits a path at the first folder that is named like a block: what is above, the block, and the path in it.
fn split(path: &str) -> Option<(&str, (&str, &str))> {
    let mut start = 0;
    for part in path.split('/') {
        let end = start + part.len();
        if is_block_name(part) {
            let above = path[..start].trim_end_matches('/');
            return Some((above, (part, path[end..].trim_start_matches('/'))));
        }
        start = end + 1;
    }
    None
}

/// A block's folder is named by a ULID in capital letters.
fn is_block_name(name: &str) -> bool {
    ulid::Ulid::from_string(name).is_ok_and(|ulid| ulid.to_string() == name)
}

/// A file that belongs to a block. Nothing else is put into a data folder.
fn is_block_file(path: &str) -> bool {
    match path {
        "meta.json" | "index" | "tombstones" => true,
        _ => path.strip_prefix("chunks/").is_some_and(|number| {
            (6..=9).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit())
        }),
    }
}

#[cfg(test)]
mod tests;
