//! `verify --deep`: every block of a backup, unpacked and checked as it was when the backup was made.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::block::{BlockCheck, BlockReport, Small, recheck};
use super::contents::SnapshotContents;
use crate::progress::StepGuard;
use crate::store::archive::{ArchiveError, EntryKind, open_archive};
use crate::store::{Backup, Layout, shared_key};
use crate::words;

const BUFFER: usize = 256 << 10;

/// Checks backups, each file once, however many of them share it.
pub struct DeepCheck {
    spool: PathBuf,
    /// What was found in the files that were read so far and may be shared.
    seen: BTreeMap<PathBuf, Result<Vec<BlockReport>, String>>,
}

/// The small files of blocks whose data lie in files of their own, by block and name.
type SmallFiles = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

impl DeepCheck {
    /// Begins. A large index is kept in `spool` while it is checked.
    pub fn new(spool: &Path) -> Self {
        Self { spool: spool.to_path_buf(), seen: BTreeMap::new() }
    }

    /// What is wrong with the blocks of a backup; one line each. Blocks that were damaged at the source are named too.
    pub fn check(&mut self, backup: &Backup, step: &StepGuard, cancel: &CancellationToken) -> Vec<String> {
        let contents: SnapshotContents = match backup.contents() {
            Ok(contents) => contents,
            Err(error) => return vec![words::chain(&error)],
        };
        let mut problems = Vec::new();
        let mut small = SmallFiles::new();
        let mut found = BTreeMap::new();
        for file in &backup.manifest.files {
            let path = backup.path_of(file);
            let reports = if shared_key(&file.name).is_some() {
                self.shared(&path, &small, step, cancel)
            } else if backup.manifest.layout == Layout::Blocks {
                read_small(&path, cancel).map(|read| small = read).map(|()| Vec::new())
            } else {
                blocks(&path, &self.spool, &small, step, cancel)
            };
            match reports {
                Ok(reports) => found.extend(reports.into_iter().map(|report| (report.name.clone(), report))),
                Err(problem) => problems.push(format!("{}: {problem}", file.name)),
            }
        }
        problems.extend(differences(&contents.blocks, found));
        problems
    }

    /// Checks a file that other backups may share.
    fn shared(
        &mut self,
        path: &Path,
        small: &SmallFiles,
        step: &StepGuard,
        cancel: &CancellationToken,
    ) -> Result<Vec<BlockReport>, String> {
        let spool = &self.spool;
        let read = || blocks(path, spool, small, step, cancel);
        let reports = self.seen.entry(path.to_path_buf()).or_insert_with(read);
        // The small files are those of this backup, whosever were there when the file was read.
        let of_this = |report: &BlockReport| {
            let bytes = |name: &str| small.get(&report.name).and_then(|files| files.get(name));
            let small = |name| bytes(name).map_or(Small::Missing, |bytes| Small::Bytes(bytes));
            recheck(report, small("meta.json"), small("tombstones"))
        };
        reports.as_ref().map(|reports| reports.iter().map(of_this).collect()).map_err(Clone::clone)
    }
}

fn differences(promised: &[BlockReport], mut found: BTreeMap<String, BlockReport>) -> Vec<String> {
    let mut problems = Vec::new();
    for promised in promised {
        match found.remove(&promised.name) {
            None => problems.push(format!("block {} is not there", promised.name)),
            Some(report) => problems.extend(compare(promised, &report)),
        }
    }
    problems.extend(found.keys().map(|name| format!("block {name} is there and not in the manifest")));
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

/// Reads the archive of the small files.
fn read_small(archive: &Path, cancel: &CancellationToken) -> Result<SmallFiles, String> {
    let mut small = SmallFiles::new();
    let read = open_archive(archive, cancel, &mut |entry, content| {
        if let (EntryKind::File, Some((block, file))) = (entry.kind, entry.path.split_once('/')) {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).map_err(|source| ArchiveError::Read { source })?;
            small.entry(block.to_owned()).or_default().insert(file.to_owned(), bytes);
        }
        Ok(())
    });
    read.map(|()| small).map_err(|error| words::chain(&error))
}

/// Checks every block in an archive of ours, each together with its small files where those lie elsewhere.
fn blocks(
    archive: &Path,
    spool: &Path,
    small: &SmallFiles,
    step: &StepGuard,
    cancel: &CancellationToken,
) -> Result<Vec<BlockReport>, String> {
    let mut reports = Vec::new();
    let mut current: Option<(String, BlockCheck)> = None;
    let mut buf = vec![0; BUFFER];
    let read = open_archive(archive, cancel, &mut |entry, content| {
        let Some((block, file)) = entry.path.split_once('/').filter(|_| entry.kind == EntryKind::File) else {
            return Ok(());
        };
        let failed = |error: io::Error| ArchiveError::visit(&entry.path, error);
        if current.as_ref().is_none_or(|(name, _)| name != block) {
            if let Some((_, done)) = current.take() {
                reports.push(done.finish().map_err(failed)?);
            }
            current = Some((block.to_owned(), begin(block, spool, small).map_err(failed)?));
        }
        let Some((_, check)) = &mut current else { return Ok(()) };
        let mut out = check.begin_file(file, entry.size);
        loop {
            let n = content.read(&mut buf).map_err(|source| ArchiveError::Read { source })?;
            if n == 0 {
                return Ok(());
            }
            step.add(n as u64);
            out.write_all(&buf[..n]).map_err(failed)?;
        }
    });
    read.map_err(|error| words::chain(&error))?;
    if let Some((_, done)) = current {
        reports.push(done.finish().map_err(|error| error.to_string())?);
    }
    Ok(reports)
}

fn begin(block: &str, spool: &Path, small: &SmallFiles) -> io::Result<BlockCheck> {
    let mut check = BlockCheck::new(block, spool);
    for (file, bytes) in small.get(block).into_iter().flatten() {
        check.begin_file(file, bytes.len() as u64).write_all(bytes)?;
    }
    Ok(check)
}
