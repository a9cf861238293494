//! Reads what has no manifest, and checks every block on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use tokio_util::sync::CancellationToken;

use super::{BlockFile, Data, Reading, RestoreSource, TakeFile, is_block_file, is_block_name, split};
use crate::prometheus::block::{BlockCheck, BlockReport, CheckDirError, check_dir};
use crate::prometheus::contents::SnapshotContents;
use crate::prometheus::restore::error::SourceError;
use crate::regular;
use crate::store::archive::{ArchiveError, EntryKind, open_archive};

/// How many folders above a block are looked into: `backup/prometheus_backup_X/snapshots/<name>/<ULID>`.
const DEEPEST: usize = 6;

/// The blocks that lie in one folder, by that folder's path.
type Groups = BTreeMap<String, Vec<BlockReport>>;

/// An archive that nobody described.
pub(super) fn archive(path: &Path, reading: &Reading) -> Result<RestoreSource, SourceError> {
    let step = reading.progress.step("read the archive", None);
    let mut groups = Groups::new();
    let mut open: Option<(String, BlockCheck)> = None;
    let mut done = BTreeSet::new();
    let mut scattered = None;
    let shown = open_archive(path, &reading.cancel, &mut |entry, content| {
        let Some((above, (block, file))) = split(&entry.path) else { return Ok(()) };
        if entry.kind != EntryKind::File || !is_block_file(file) {
            return Ok(());
        }
        let key = format!("{above}/{block}");
        if open.as_ref().is_none_or(|(current, _)| *current != key) {
            close(open.take(), &mut groups).map_err(|source| ArchiveError::visit(&entry.path, source))?;
            if !done.insert(key.clone()) {
                scattered = Some(key.clone());
                return Err(ArchiveError::visit(&entry.path, "the files of a block are not together"));
            }
            open = Some((key, BlockCheck::new(block, &reading.spool)));
        }
        if let Some((_, check)) = &mut open {
            let mut check = check.begin_file(file, entry.size);
            let copied = io::copy(content, &mut check).and_then(|n| check.flush().map(|()| n));
            step.add(copied.map_err(|source| ArchiveError::visit(&entry.path, source))?);
        }
        Ok(())
    });
    shown.map_err(|source| SourceError::archive(path, source, &reading.cancel))?;
    let spooled = |source| SourceError::Spool { path: reading.spool.clone(), source };
    close(open.take(), &mut groups).map_err(spooled)?;
    let (root, blocks, notes) = choose(path, groups)?;
    step.finish(crate::words::count(blocks.len(), "block"));
    let data = Data::Archive { path: path.to_path_buf(), root };
    Ok(source(path, blocks, notes, data))
}

fn close(open: Option<(String, BlockCheck)>, groups: &mut Groups) -> io::Result<()> {
    let Some((key, check)) = open else { return Ok(()) };
    let above = key.rsplit_once('/').map_or("", |(above, _)| above);
    groups.entry(above.to_owned()).or_default().push(check.finish()?);
    Ok(())
}

/// A folder that holds block folders, at any depth.
pub(super) fn folder(path: &Path, reading: &Reading) -> Result<RestoreSource, SourceError> {
    let mut found = BTreeMap::new();
    find_blocks(path, "", 0, &mut found)
        .map_err(|source| SourceError::Open { path: path.to_path_buf(), source })?;
    // A data folder has its own blocks, and snapshots below: the former are meant.
    if found.contains_key("") {
        found.retain(|above, _| above.is_empty());
    }
    let step = reading.progress.step("read the blocks", None);
    let mut groups = Groups::new();
    for (above, names) in found {
        for name in names {
            let block = path.join(&above).join(name);
            let report = check_dir(&block, &reading.spool, &reading.cancel, &mut |bytes| step.add(bytes));
            let report = report.map_err(|source| match source {
                CheckDirError::Cancelled { .. } => SourceError::Cancelled,
                source => SourceError::Block { source },
            })?;
            groups.entry(above.clone()).or_default().push(report);
        }
    }
    let (root, blocks, notes) = choose(path, groups)?;
    step.finish(crate::words::count(blocks.len(), "block"));
    let data = Data::Folder(path.join(root));
    Ok(source(path, blocks, notes, data))
}

fn find_blocks(
    root: &Path,
    above: &str,
    depth: usize,
    found: &mut BTreeMap<String, BTreeSet<String>>,
) -> io::Result<()> {
    for entry in root.join(above).read_dir()? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // A link is followed: the data folder of a restored Prometheus holds some.
        if !entry.path().is_dir() {
            continue;
        }
        if is_block_name(&name) {
            found.entry(above.to_owned()).or_default().insert(name);
        } else if depth < DEEPEST && !entry.file_type()?.is_symlink() {
            let below = if above.is_empty() { name } else { format!("{above}/{name}") };
            find_blocks(root, &below, depth + 1, found)?;
        }
    }
    Ok(())
}

/// Takes the group whose data are the newest; two snapshots in one archive overlap, and only one can be meant.
fn choose(path: &Path, groups: Groups) -> Result<(String, Vec<BlockReport>, Vec<String>), SourceError> {
    let newest = |blocks: &[BlockReport]| {
        let ends = blocks.iter().filter_map(|b| b.meta.as_ref());
        (ends.map(|m| m.max_time).max(), blocks.len())
    };
    let names: Vec<String> = groups.keys().cloned().collect();
    let best = groups.into_iter().max_by_key(|(_, blocks)| newest(blocks));
    let Some((root, blocks)) = best else {
        return Err(SourceError::NoBlocks { path: path.to_path_buf() });
    };
    let mut notes = Vec::new();
    if names.len() > 1 {
        let count = names.len();
        notes.push(format!(
            "It holds {count} snapshots ({}); the one with the newest data is taken: {root}",
            names.join(", ")
        ));
    }
    // Sorts, and drops probes that say nothing because blocks share time.
    let contents = SnapshotContents::new("", false, blocks);
    Ok((root, contents.blocks, notes))
}

fn source(path: &Path, blocks: Vec<BlockReport>, mut notes: Vec<String>, data: Data) -> RestoreSource {
    notes.push(
        "It has no manifest: its blocks were checked, but whether one is missing cannot be known".to_owned(),
    );
    let title = path.display().to_string();
    RestoreSource { notes, ..RestoreSource::new(title, blocks, data) }
}

/// Hands every file of one block folder to `take`.
pub(super) fn each_file_of_block(
    folder: &Path,
    block: &str,
    cancel: &CancellationToken,
    take: &mut TakeFile<'_>,
) -> Result<(), SourceError> {
    let root = folder.join(block);
    let opened = |path: &Path| {
        let path = path.to_path_buf();
        move |source| SourceError::Open { path, source }
    };
    let mut files = Vec::new();
    for (below, prefix) in [(root.clone(), ""), (root.join("chunks"), "chunks/")] {
        for entry in below.read_dir().map_err(opened(&below))? {
            let name = entry.map_err(opened(&below))?.file_name().to_string_lossy().into_owned();
            files.push(format!("{prefix}{name}"));
        }
    }
    files.sort();
    for path in files.into_iter().filter(|path| is_block_file(path)) {
        if cancel.is_cancelled() {
            return Err(SourceError::Cancelled);
        }
        let at: PathBuf = root.join(&path);
        let mut file = regular::open_named(&at).map_err(opened(&at))?;
        let metadata = file.metadata().map_err(opened(&at))?;
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let mtime = modified.map_or(0, |since| since.as_secs());
        let described = BlockFile { block: block.to_owned(), path, size: metadata.len(), mtime };
        take(&described, &mut file).map_err(|source| SourceError::Copy { path: at, source })?;
    }
    Ok(())
}
