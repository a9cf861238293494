//! Unpacks a backup into an empty folder, for whoever wants to look at it, or start a Prometheus on it by hand.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use super::error::{RestoreError, SourceError};
use super::source::{BadFile, Reading, RestoreSource};
use super::stage;
use super::warn::Refusal;
use crate::prometheus::block::{BlockReport, check_dir};
use crate::room::Room;
use crate::store::halfway::{Halfway, must_be_empty};
use crate::words::count;

/// What was unpacked.
#[derive(Debug, Clone, PartialEq)]
pub struct Unpacked {
    /// The stored files that were left out, each with its block.
    pub left_out: Vec<BadFile>,
    /// Every block that was unpacked, as it lies there now; damaged ones are among them if the backup has such.
    pub blocks: Vec<BlockReport>,
    /// Bytes of their files.
    pub bytes: u64,
}

/// Unpacks all blocks, damaged ones too, since nothing starts on the folder by itself, and checks them there.
pub fn into(source: &RestoreSource, folder: &Path, reading: &Reading) -> Result<Unpacked, RestoreError> {
    let (progress, cancel) = (&reading.progress, &reading.cancel);
    let unfit = |source| RestoreError::Into { path: folder.to_path_buf(), source };
    if let Some(damaged) = source.stands_in_the_way() {
        return Err(SourceError::Damaged(damaged).into());
    }
    make_empty(folder).map_err(unfit)?;
    let names: BTreeSet<String> = source.readable().map(|b| b.name.clone()).collect();
    if names.is_empty() {
        return Err(RestoreError::Refused { refusal: Refusal::Empty });
    }
    source.verify(&names, progress, cancel)?;
    let bytes = source.readable().map(|b| b.bytes).fold(0, u64::saturating_add);
    has_room(folder, bytes).map_err(unfit)?;
    let halfway = Halfway::begin(folder, &source.title).map_err(unfit)?;
    let step = progress.step("unpack the blocks", Some(bytes));
    stage::unpack(source, &names, folder, &step, cancel)?;
    step.finish(count(names.len(), "block"));
    let step = progress.step("check the unpacked blocks", Some(bytes));
    let mut blocks = Vec::new();
    for name in &names {
        let report = check_dir(&folder.join(name), &reading.spool, cancel, &mut |n| step.add(n));
        blocks.push(report.map_err(|source| SourceError::Block { source })?);
    }
    // Damage that the backup is known to have is no surprise here.
    let good: Vec<BlockReport> = source.good().map(|(report, _)| report.clone()).collect();
    let of_good = |b: &&BlockReport| good.iter().any(|g| g.name == b.name);
    let found: Vec<BlockReport> = blocks.iter().filter(of_good).cloned().collect();
    let problems = stage::differences(&good, &found);
    if !problems.is_empty() {
        return Err(RestoreError::Staged { problems });
    }
    step.finish(format!("{}, all as the backup has them", count(blocks.len(), "block")));
    halfway.end().map_err(unfit)?;
    Ok(Unpacked { left_out: source.bad.clone(), blocks, bytes })
}

/// A small archive may hold far more than there is room for: then nothing of it is written.
fn has_room(folder: &Path, bytes: u64) -> io::Result<()> {
    Room::at(folder)?.require(bytes)
}

fn make_empty(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    must_be_empty(folder)
}
