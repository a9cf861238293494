//! What can be restored: a backup of the store, or what somebody has at hand on a fresh host.
//!
//! Whatever it is, it becomes the same thing: blocks, each with the report of a full check. A backup's manifest has
//! the reports; everything else is read through once to make them, so that a plan knows of damage before anything
//! is touched, and the proof has counts to compare.

mod scan;
mod stored;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::error::SourceError;
use crate::progress::Progress;
use crate::prometheus::block::{BlockMeta, BlockReport};
use crate::prometheus::contents::SnapshotContents;
use crate::store::archive::{ArchiveError, EntryKind, is_archive, open_archive};
use crate::store::halfway::is_halfway;
use crate::store::{Backup, Source};
pub use stored::{BadFile, Damaged, Look};

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
    /// Its stored files that were found bad, as far as they were looked at.
    pub bad: Vec<BadFile>,
    /// Every stored file was read.
    pub is_read: bool,
    /// Blocks that are left out though nothing was wrong with them when they were stored, and why.
    left_out: BTreeMap<String, String>,
    /// It is restored without what is bad.
    skips: bool,
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
        let data = Data::Backup(Box::new(backup.clone()));
        let (created, origin) = (Some(manifest.created), manifest.source.clone());
        Ok(Self { created, origin, notes, ..Self::new(title, contents.blocks, data) })
    }

    /// Nothing more is known of it.
    fn new(title: String, blocks: Vec<BlockReport>, data: Data) -> Self {
        Self {
            title,
            created: None,
            origin: Source::default(),
            blocks,
            notes: Vec::new(),
            bad: Vec::new(),
            // Without a manifest it is read through when it is found.
            is_read: !matches!(data, Data::Backup(_)),
            left_out: BTreeMap::new(),
            skips: false,
            data,
        }
    }

    /// What lies at `path`: a manifest, an archive, a backup folder, or a folder with blocks.
    pub fn at_path(path: &Path, reading: &Reading) -> Result<Self, SourceError> {
        let opened = |source| SourceError::Open { path: path.to_path_buf(), source };
        let backup = |manifest: &Path| {
            Backup::outside_damaged(manifest)
                .map_err(|source| SourceError::Manifest { source: Box::new(source) })
        };
        if std::fs::metadata(path).map_err(opened)?.is_dir() {
            if is_halfway(path) {
                return Err(SourceError::Halfway { path: path.to_path_buf() });
            }
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
        Self::new("job/1".to_owned(), blocks, Data::Folder(folder.to_path_buf()))
    }

    /// The blocks that can be put in place.
    pub fn good(&self) -> impl Iterator<Item = (&BlockReport, &BlockMeta)> {
        let metas = self.blocks.iter().filter_map(|block| Some((block, block.meta.as_ref()?)));
        metas.filter(|(block, _)| block.is_good() && !self.left_out.contains_key(&block.name))
    }

    /// The others, each with what is wrong.
    pub fn damaged(&self) -> impl Iterator<Item = (&BlockReport, Vec<String>)> {
        self.blocks.iter().filter_map(|block| {
            let left_out = self.left_out.get(&block.name).cloned();
            if block.is_good() && block.meta.is_some() && left_out.is_none() {
                return None;
            }
            Some((block, block.damage.iter().map(ToString::to_string).chain(left_out).collect()))
        })
    }

    /// The blocks whose files can be read: not all of them need have been good at their source.
    pub fn readable(&self) -> impl Iterator<Item = &BlockReport> {
        self.blocks.iter().filter(|block| !self.left_out.contains_key(&block.name))
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
                for file in stored::files_of(backup, wanted) {
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
