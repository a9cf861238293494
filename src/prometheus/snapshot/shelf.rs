//! Where the blocks of a snapshot go: all into one archive, or each that is new into one of its own.

use std::collections::BTreeMap;
use std::io::{self, Read, Sink, Write as _};

use tokio_util::sync::CancellationToken;

use super::SnapshotError;
use super::stored::StoredBlock;
use crate::config::values::Compression;
use crate::progress::{Progress, StepGuard};
use crate::prometheus::block::BlockReport;
use crate::prometheus::folder_op::survey::SurveyedBlock;
use crate::store::archive::ArchiveWriter;
use crate::store::digest::Hashing;
use crate::store::{Novelty, Pending, SharedDraft, SharedFile, SharedIndex};

/// A file of a block, as its source describes it.
pub(super) struct Item<'p> {
    pub(super) block: &'p str,
    /// Inside the block: `chunks/000001`.
    pub(super) file: &'p str,
    pub(super) mode: u32,
    pub(super) mtime: u64,
    pub(super) size: u64,
}

impl Item<'_> {
    fn path(&self) -> String {
        format!("{}/{}", self.block, self.file)
    }

    /// It changes while the rest of its block does not.
    fn is_small(&self) -> bool {
        matches!(self.file, "meta.json" | "tombstones")
    }
}

/// What became of a block that was read from the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The store had it, or has it now.
    Stored(Novelty),
    /// It is damaged at the source, and the copy from before that was kept.
    GoodCopyKept,
}

/// A block that was read from the source.
pub(super) struct Added {
    pub(super) report: BlockReport,
    pub(super) file: SharedFile,
    pub(super) fate: Fate,
}

/// Takes blocks, file after file.
pub(super) trait Shelf {
    /// A block begins.
    fn begin(&mut self, block: &str) -> Result<(), SnapshotError>;
    /// A folder of the block.
    fn folder(&mut self, block: &str, inside: &str) -> Result<(), SnapshotError>;
    /// A file of the block. All of `content` has to be read.
    fn file(&mut self, item: &Item<'_>, content: &mut dyn Read) -> Result<(), SnapshotError>;
    /// The block is complete, and this is what its check has found.
    fn end(&mut self, report: BlockReport) -> Result<(), SnapshotError>;
}

/// One archive for all.
pub(super) struct ArchiveShelf {
    writer: ArchiveWriter,
    blocks: Vec<BlockReport>,
}

impl ArchiveShelf {
    pub(super) fn new(writer: ArchiveWriter) -> Self {
        Self { writer, blocks: Vec::new() }
    }

    /// Ends the archive.
    pub(super) fn finish(self) -> Result<Vec<BlockReport>, SnapshotError> {
        if self.blocks.is_empty() {
            return Err(SnapshotError::Empty);
        }
        self.writer.finish()?;
        Ok(self.blocks)
    }
}

impl Shelf for ArchiveShelf {
    fn begin(&mut self, block: &str) -> Result<(), SnapshotError> {
        Ok(self.writer.folder(block, 0o755)?)
    }

    fn folder(&mut self, block: &str, inside: &str) -> Result<(), SnapshotError> {
        Ok(self.writer.folder(&format!("{block}/{inside}"), 0o755)?)
    }

    fn file(&mut self, item: &Item<'_>, content: &mut dyn Read) -> Result<(), SnapshotError> {
        Ok(self.writer.file(&item.path(), item.mode & 0o777, item.mtime, item.size, content)?)
    }

    fn end(&mut self, report: BlockReport) -> Result<(), SnapshotError> {
        self.blocks.push(report);
        Ok(())
    }
}

/// An archive for each block, published when it is complete, with index and chunks only: what else a block has may
/// change and is kept with each backup.
pub(super) struct BlockShelf<'a> {
    pub(super) pending: &'a Pending,
    /// What the store had before.
    pub(super) index: &'a SharedIndex,
    /// The blocks that are to come.
    pub(super) surveyed: BTreeMap<String, SurveyedBlock>,
    pub(super) compression: Compression,
    pub(super) progress: &'a Progress,
    pub(super) cancel: &'a CancellationToken,
    pub(super) added: Vec<Added>,
    pub(super) open: Option<OpenBlock>,
}

/// A block that is being stored.
pub(super) struct OpenBlock {
    writer: ArchiveWriter,
    compression: Compression,
    content: Hashing<Sink>,
}

impl BlockShelf<'_> {
    /// How a block is compressed: one whose stored file is bad in the very way that it was, so that the new file has
    /// the same bytes and takes its place, for older backups too.
    fn compression_of(&self, block: &str) -> Compression {
        let bad = self.index.bad(block).into_iter().find(|shared| {
            let surveyed = self.surveyed.get(block);
            StoredBlock::of(shared).is_some_and(|stored| surveyed.is_some_and(|s| stored.files == s.files))
        });
        bad.map_or(self.compression, |shared| shared.compression)
    }

    /// The copy that was stored while the block was still good.
    fn good_copy(&self, report: &BlockReport) -> Option<Added> {
        let surveyed = self.surveyed.get(&report.name)?;
        let mut good = self.index.good(&report.name).into_iter();
        good.find_map(|shared| {
            let stored = StoredBlock::of(&shared).filter(|stored| stored.report.is_good())?;
            let report = stored.with_small_files_of(surveyed);
            report.is_good().then_some(Added { report, file: shared, fate: Fate::GoodCopyKept })
        })
    }
}

impl Shelf for BlockShelf<'_> {
    fn begin(&mut self, block: &str) -> Result<(), SnapshotError> {
        let compression = self.compression_of(block);
        let mut writer = self.pending.begin_shared(compression)?;
        writer.folder(block, 0o755)?;
        self.open = Some(OpenBlock { writer, compression, content: Hashing::new(io::sink()) });
        Ok(())
    }

    fn folder(&mut self, block: &str, inside: &str) -> Result<(), SnapshotError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        Ok(open.writer.folder(&format!("{block}/{inside}"), 0o755)?)
    }

    fn file(&mut self, item: &Item<'_>, content: &mut dyn Read) -> Result<(), SnapshotError> {
        let Some(open) = self.open.as_mut().filter(|_| !item.is_small()) else {
            let read = io::copy(content, &mut io::sink()).map(drop);
            return read.map_err(|source| SnapshotError::read(item.path().as_ref(), source));
        };
        let path = item.path();
        // What is hashed says where each file begins and ends.
        let head = [item.file.as_bytes(), b"\0", &item.size.to_le_bytes()].concat();
        let _ = open.content.write_all(&head);
        let mut content = Tee { content, copy: &mut open.content };
        // The time is the source's own affair: the same content has to give the same bytes.
        Ok(open.writer.file(&path, 0o644, 0, item.size, &mut content)?)
    }

    fn end(&mut self, report: BlockReport) -> Result<(), SnapshotError> {
        let Some(OpenBlock { writer, compression, content }) = self.open.take() else { return Ok(()) };
        if !report.is_good()
            && let Some(kept) = self.good_copy(&report)
        {
            let damage: Vec<String> = report.damage.iter().map(ToString::to_string).collect();
            self.progress.warn(format!(
                "block {} is damaged at the source: {}; the backup holds the good copy that was stored earlier",
                report.name,
                damage.join("; ")
            ));
            self.added.push(kept);
            return Ok(());
        }
        let written = writer.finish()?;
        let (_, _, content_sha256) = content.finish();
        let surveyed = self.surveyed.get(&report.name);
        let about = StoredBlock::new(report.clone(), surveyed);
        let about = serde_json::to_value(about).map_err(|source| SnapshotError::Describe { source })?;
        let draft = SharedDraft { key: &report.name, content_sha256, compression, about };
        let published = self.pending.publish_shared(&written, draft, &silent(), self.cancel)?;
        if let Some(folder) = published.set_aside {
            self.progress.warn(format!(
                "a folder stood in place of the stored block {}: it is {} now, with all that is in it; remove it if \
                 nobody misses it",
                published.file.file.name,
                folder.display()
            ));
        }
        self.added.push(Added { report, file: published.file, fate: Fate::Stored(published.how) });
        Ok(())
    }
}

/// Reading back is a part of the step that reads the blocks: its bytes are counted there once.
fn silent() -> StepGuard {
    Progress::silent().step("read back", None)
}

/// Copies what passes.
struct Tee<'a> {
    content: &'a mut dyn Read,
    copy: &'a mut Hashing<Sink>,
}

impl Read for Tee<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.content.read(buf)?;
        self.copy.write_all(&buf[..n])?;
        Ok(n)
    }
}
