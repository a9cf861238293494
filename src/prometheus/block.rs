//! The on-disk format of a TSDB block, and a check of everything that its checksums and counts can tell.
//!
//! The check reads each file once, as a stream, in any order, in memory that does not depend on the block's size:
//! whether each chunk that the index refers to lies where the index says is decided by comparing two sums over the
//! places, one from the chunk files and one from the index, and not by a set of them. Damage is a finding, never an
//! error: what is damaged must not stop the backup of the rest.

mod chunks;
mod dir;
mod findings;
mod index;
pub mod meta;
mod places;
mod probes;
pub mod report;
mod tombstones;
mod varint;
mod xor;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::SpooledTempFile;

pub use dir::{CheckDirError, check_dir};
pub use meta::BlockMeta;
pub use report::{BlockReport, Damage, Probe};
pub use tombstones::EMPTY as EMPTY_TOMBSTONES;

use chunks::SegmentCheck;
use findings::Findings;
use places::Places;
use probes::Windows;
use tombstones::TombstonesCheck;

/// An index up to this size is kept in memory while it is checked, a larger one in a file without a name.
const INDEX_IN_MEMORY: usize = 8 << 20;

/// No `meta.json` comes near this size.
const LARGEST_META: usize = 16 << 20;

/// Checks one block whose files are handed in.
pub struct BlockCheck {
    name: String,
    spool: PathBuf,
    bytes: u64,
    findings: Findings,
    open: Option<Open>,
    meta: Option<Vec<u8>>,
    index: Option<SpooledTempFile>,
    tombstones: Option<TombstonesCheck>,
    /// Where chunks lie, as the chunk files tell.
    places: Places,
    windows: Windows,
    samples: u64,
    chunks: u64,
}

/// The file that is being handed in.
enum Open {
    Meta(Vec<u8>),
    Index(SpooledTempFile),
    Segment(SegmentCheck),
    Tombstones(TombstonesCheck),
    Other,
}

impl BlockCheck {
    /// Begins the check of a block whose folder is called `name`. A large index is kept in `spool` meanwhile.
    pub fn new(name: &str, spool: &Path) -> Self {
        Self {
            name: name.to_owned(),
            spool: spool.to_path_buf(),
            bytes: 0,
            findings: Findings::default(),
            open: None,
            meta: None,
            index: None,
            tombstones: None,
            places: Places::default(),
            windows: Windows::default(),
            samples: 0,
            chunks: 0,
        }
    }

    /// Begins a file of the block: `meta.json`, `index`, `tombstones`, `chunks/000001`.
    pub fn begin_file(&mut self, path: &str, size: u64) -> FileCheck<'_> {
        self.end_file();
        self.bytes += size;
        self.open = Some(match path {
            "meta.json" => Open::Meta(Vec::new()),
            "index" => Open::Index(SpooledTempFile::new_in(INDEX_IN_MEMORY, self.spool.clone())),
            "tombstones" => Open::Tombstones(TombstonesCheck::default()),
            _ => match chunks::segment_number(path) {
                Some(number) => Open::Segment(SegmentCheck::new(number)),
                None => Open::Other,
            },
        });
        FileCheck { block: self }
    }

    /// Notes damage that whoever reads the files has found: a file that cannot be read.
    pub fn damaged(&mut self, damage: Damage) {
        self.findings.push(damage);
    }

    /// Ends the check.
    pub fn finish(mut self) -> io::Result<BlockReport> {
        self.end_file();
        let meta = self.finish_meta();
        let deleted = self.finish_tombstones();
        let mut probes = Vec::new();
        if let Some(spooled) = self.index.take() {
            let windows = std::mem::take(&mut self.windows);
            let mut facts = index::check(spooled, meta.as_ref(), &windows, &deleted, &mut self.findings)?;
            self.places.compare(&facts.places, &mut self.findings);
            if let Some(meta) = &meta {
                self.compare_counts(meta, &facts);
            }
            probes.append(&mut facts.probes);
        } else {
            self.findings.down("index", "it is missing");
        }
        if self.places.is_empty() && meta.as_ref().is_some_and(|meta| meta.stats.num_chunks > 0) {
            self.findings.down("chunks", "the folder holds no chunk");
        }
        if !self.findings.is_empty() {
            probes.clear();
        }
        let damage = self.findings.into_damage();
        Ok(BlockReport { name: self.name, meta, damage, probes, bytes: self.bytes })
    }

    fn end_file(&mut self) {
        match self.open.take() {
            Some(Open::Meta(bytes)) => self.meta = Some(bytes),
            Some(Open::Index(file)) => self.index = Some(file),
            Some(Open::Tombstones(check)) => self.tombstones = Some(check),
            Some(Open::Segment(segment)) => {
                let tally = segment.finish(&mut self.findings, &mut self.places);
                self.samples += tally.samples;
                self.chunks += tally.chunks;
            }
            Some(Open::Other) | None => {}
        }
    }

    fn finish_meta(&mut self) -> Option<BlockMeta> {
        let Some(bytes) = self.meta.take() else {
            self.findings.down("meta.json", "it is missing");
            return None;
        };
        let meta: BlockMeta = match serde_json::from_slice(&bytes) {
            Ok(meta) => meta,
            Err(e) => {
                self.findings.down("meta.json", &format!("it is not the description of a block: {e}"));
                return None;
            }
        };
        if meta.version != 1 {
            self.findings.down("meta.json", &format!("format version {} is not 1", meta.version));
        }
        if meta.ulid.to_string() != self.name {
            self.findings.note("meta.json", &format!("it names the block {}", meta.ulid));
        }
        if meta.min_time >= meta.max_time {
            self.findings.note("meta.json", "its time range is empty");
        }
        Some(meta)
    }

    fn finish_tombstones(&mut self) -> tombstones::Deleted {
        match self.tombstones.take() {
            Some(check) => check.finish(&mut self.findings),
            None => tombstones::Deleted::None,
        }
    }

    fn compare_counts(&mut self, meta: &BlockMeta, facts: &index::Facts) {
        let stats = &meta.stats;
        // Blocks that other tools wrote may come without counts.
        if *stats == meta::BlockStats::default() {
            return;
        }
        let counts = [
            ("series", stats.num_series, facts.series, "index"),
            ("chunks", stats.num_chunks, self.chunks, "chunks"),
            ("samples", stats.num_samples, self.samples, "chunks"),
        ];
        for (what, promised, found, file) in counts {
            if promised != found {
                self.findings
                    .note(file, &format!("meta.json counts {promised} {what}, but {found} are there"));
            }
        }
    }
}

/// A small file of a block, as it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Small<'a> {
    /// It is not there.
    Missing,
    /// It cannot be read, and why.
    Unreadable(&'a str),
    /// What is in it.
    Bytes(&'a [u8]),
}

/// The report of a block whose index and chunks are those of `before`, with its small files as they are now.
pub fn recheck(before: &BlockReport, meta: Small<'_>, tombstones: Small<'_>) -> BlockReport {
    let mut check = BlockCheck::new(&before.name, Path::new(""));
    let of_data = before.damage.iter().filter(|damage| !is_small(&damage.file));
    of_data.for_each(|damage| check.damaged(damage.clone()));
    for (file, bytes) in [("meta.json", meta), ("tombstones", tombstones)] {
        match bytes {
            Small::Bytes(bytes) => {
                // In memory: there is no spool that could fail.
                let _ = check.begin_file(file, bytes.len() as u64).write_all(bytes);
            }
            Small::Unreadable(problem) => {
                check.findings.down(file, &format!("it cannot be read: {problem}"));
            }
            Small::Missing => {}
        }
    }
    check.end_file();
    let meta = if matches!(meta, Small::Unreadable(_)) { None } else { check.finish_meta() };
    check.finish_tombstones();
    let counts = |meta: &BlockMeta| {
        let stats = &meta.stats;
        (meta.ulid, meta.min_time, meta.max_time, stats.num_series, stats.num_chunks, stats.num_samples)
    };
    if let (Some(now), Some(before)) = (&meta, &before.meta)
        && counts(now) != counts(before)
    {
        check.findings.note("meta.json", "it describes another block than the one that was stored");
    }
    let damage = check.findings.into_damage();
    let probes = if damage.is_empty() { before.probes.clone() } else { Vec::new() };
    BlockReport { name: before.name.clone(), meta, damage, probes, bytes: before.bytes }
}

/// A file of a block that may change while the rest stays.
fn is_small(file: &str) -> bool {
    matches!(file, "meta.json" | "tombstones")
}

/// Takes the bytes of one file. Errors are those of the spool, never the block's.
pub struct FileCheck<'a> {
    block: &'a mut BlockCheck,
}

impl Write for FileCheck<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let block = &mut *self.block;
        match &mut block.open {
            Some(Open::Meta(kept)) => {
                let room = LARGEST_META.saturating_sub(kept.len());
                kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Some(Open::Index(file)) => file.write_all(bytes)?,
            Some(Open::Tombstones(check)) => check.take(bytes),
            Some(Open::Segment(segment)) => {
                segment.take(bytes, &mut block.findings, &mut block.places, &mut block.windows);
            }
            Some(Open::Other) | None => {}
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
