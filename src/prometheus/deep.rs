//! `verify --deep`: every block of a stored archive, unpacked and checked as it was when the backup was made.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::block::{BlockCheck, BlockReport};
use super::contents::SnapshotContents;
use crate::progress::StepGuard;
use crate::store::Backup;
use crate::store::archive::{ArchiveError, EntryKind, open_archive};
use crate::words;

/// What is wrong with the blocks in a backup's archive; one line each. Blocks that were damaged at the source are
/// named too.
pub fn check(backup: &Backup, spool: &Path, step: &StepGuard, cancel: &CancellationToken) -> Vec<String> {
    let contents: SnapshotContents = match serde_json::from_value(backup.manifest.contents.clone()) {
        Ok(contents) => contents,
        Err(e) => return vec![format!("the manifest does not describe blocks: {e}")],
    };
    let mut problems = Vec::new();
    let mut found = BTreeMap::new();
    for file in &backup.manifest.files {
        match blocks(&backup.path_of(file), spool, step, cancel) {
            Ok(reports) => found.extend(reports.into_iter().map(|report| (report.name.clone(), report))),
            Err(error) => problems.push(format!("{}: {}", file.name, words::chain(&error))),
        }
    }
    for promised in &contents.blocks {
        match found.remove(&promised.name) {
            None => problems.push(format!("block {} is not in the archive", promised.name)),
            Some(report) => problems.extend(compare(promised, &report)),
        }
    }
    problems
        .extend(found.keys().map(|name| format!("block {name} is in the archive and not in the manifest")));
    problems
}

fn compare(promised: &BlockReport, found: &BlockReport) -> Vec<String> {
    let mut problems: Vec<String> =
        found.damage.iter().map(|damage| format!("block {}: {damage}", found.name)).collect();
    if problems.is_empty() && promised.meta != found.meta {
        problems.push(format!("block {}: its meta.json is not the one in the manifest", found.name));
    }
    problems
}

/// Checks every block in an archive of ours.
fn blocks(
    archive: &Path,
    spool: &Path,
    step: &StepGuard,
    cancel: &CancellationToken,
) -> Result<Vec<BlockReport>, ArchiveError> {
    let mut reports = Vec::new();
    let mut current: Option<(String, BlockCheck)> = None;
    let failed = |path: &str, error: io::Error| ArchiveError::visit(path, error);
    open_archive(archive, cancel, &mut |entry, content| {
        if entry.kind == EntryKind::Folder {
            return Ok(());
        }
        let Some((block, file)) = entry.path.split_once('/') else { return Ok(()) };
        if current.as_ref().is_none_or(|(name, _)| name != block) {
            if let Some((_, done)) = current.take() {
                reports.push(done.finish().map_err(|e| failed(&entry.path, e))?);
            }
            current = Some((block.to_owned(), BlockCheck::new(block, spool)));
        }
        let Some((_, check)) = &mut current else { return Ok(()) };
        let mut out = check.begin_file(file, entry.size);
        let mut buf = vec![0; 128 << 10];
        loop {
            let n = content.read(&mut buf).map_err(|source| ArchiveError::Read { source })?;
            if n == 0 {
                return Ok(());
            }
            step.add(n as u64);
            out.write_all(&buf[..n]).map_err(|e| failed(&entry.path, e))?;
        }
    })?;
    if let Some((name, done)) = current {
        reports.push(done.finish().map_err(|e| failed(&name, e))?);
    }
    Ok(reports)
}
