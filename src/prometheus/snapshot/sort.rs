//! Tells the blocks that the store has from those that are new, while the survey of the snapshot comes in, and keeps
//! the small files of all of them with the backup.

use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;

use super::SnapshotError;
use super::stored::StoredBlock;
use crate::prometheus::block::BlockReport;
use crate::prometheus::folder_op::survey::{SmallFile, SurveyedBlock};
use crate::store::archive::ArchiveWriter;
use crate::store::{SharedIndex, StoredFile};

/// The blocks of a snapshot.
#[derive(Default)]
pub(super) struct Sorted {
    /// Those that the store has, each with its file.
    pub(super) known: Vec<(BlockReport, StoredFile)>,
    /// The others, by name.
    pub(super) new: BTreeMap<String, SurveyedBlock>,
}

/// Sorts what is surveyed until the survey ends. `own` becomes the archive of the small files.
pub(super) fn sort(
    surveyed: &Receiver<SurveyedBlock>,
    index: &SharedIndex,
    mut own: ArchiveWriter,
) -> Result<Sorted, SnapshotError> {
    let mut sorted = Sorted::default();
    for block in surveyed {
        own.folder(&block.name, 0o755)?;
        for (name, file) in [("meta.json", &block.meta), ("tombstones", &block.tombstones)] {
            keep(&mut own, &format!("{}/{name}", block.name), file)?;
        }
        match known(index, &block) {
            Some(known) => sorted.known.push(known),
            None => drop(sorted.new.insert(block.name.clone(), block)),
        }
    }
    if sorted.known.is_empty() && sorted.new.is_empty() {
        return Err(SnapshotError::Empty);
    }
    own.finish()?;
    Ok(sorted)
}

fn keep(own: &mut ArchiveWriter, path: &str, file: &SmallFile) -> Result<(), SnapshotError> {
    let Some(mut bytes) = file.bytes() else { return Ok(()) };
    Ok(own.file(path, 0o644, file.mtime, bytes.len() as u64, &mut bytes)?)
}

fn known(index: &SharedIndex, block: &SurveyedBlock) -> Option<(BlockReport, StoredFile)> {
    index.good(&block.name).into_iter().find_map(|shared| {
        let stored = StoredBlock::of(&shared).filter(|stored| stored.is(block))?;
        Some((stored.with_small_files_of(block), shared.file))
    })
}
