//! The stored files of a backup: which of them are still what was stored, and what can be restored without the others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{Data, RestoreSource};
use crate::progress::{Progress, StepGuard};
use crate::prometheus::restore::error::SourceError;
use crate::prometheus::restore::warn::span;
use crate::store::{Backup, Store, StoreError, StoredFile, shared_key};
use crate::words;

/// So many damaged files are named in a message: the plan lists them all.
const SHOWN: usize = 4;

/// Which stored files are read before a plan is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Those that are not there as the manifest says, or were bad when they were last read. The rest are read when it is
    /// restored, before anything is touched.
    Doubtful,
    /// All.
    All,
}

/// A stored file that is not the one that was stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadFile {
    /// Its name beside the manifest: `blocks/<ULID>-<8 hex>.tar.gz`.
    pub name: String,
    /// The block in it; nothing where it holds a part of every block.
    pub block: Option<String>,
    /// The time of that block, Unix milliseconds; the end is exclusive.
    pub time: Option<(i64, i64)>,
    /// What is wrong with it.
    pub problem: String,
}

/// A backup some of whose stored files are damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damaged {
    /// The backup: `JOB/ID`.
    pub title: String,
    /// The files.
    pub files: Vec<BadFile>,
    /// How many good blocks are left without them.
    pub others: usize,
}

impl fmt::Display for BadFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(block) = &self.block {
            write!(f, "block {block} ({}) is damaged in the store: ", span(self.time))?;
        }
        write!(f, "{}: {}", self.name, self.problem)
    }
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<String> = self.files.iter().map(ToString::to_string).take(SHOWN).collect();
        write!(f, "{} cannot be restored whole: {}", self.title, files.join("; "))?;
        match self.files.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl Damaged {
    /// What to do about it.
    pub fn hint(&self) -> String {
        const ANEW: &str = "a run of its job stores anew what is bad while Prometheus still has it; else try a backup that does \
                            not share the file: `watchkeeper verify` checks them all";
        let can_be_left_out = self.others > 0 && self.files.iter().all(|file| file.block.is_some());
        if can_be_left_out {
            let others = words::counted(self.others, "other block", "other blocks");
            format!("the same with --skip-damaged restores the {others} and leaves a gap; {ANEW}")
        } else {
            ANEW.to_owned()
        }
    }
}

impl RestoreSource {
    /// Looks at the stored files, where a manifest tells what they should be. The blocks in those that are bad are left
    /// out of everything from now on.
    pub fn examine(
        &mut self,
        look: Look,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<(), SourceError> {
        let Data::Backup(backup) = &self.data else { return Ok(()) };
        let files: Vec<&StoredFile> = match look {
            Look::Doubtful => backup.doubtful_files().collect(),
            Look::All => backup.manifest.files.iter().collect(),
        };
        if files.is_empty() {
            return Ok(());
        }
        let step = progress.step("read the backup", Some(files.iter().map(|file| file.size).sum()));
        let bad = self.bad_among(&files, backup, &step, cancel)?;
        let good = files.len() - bad.len();
        step.finish(format!("{good} of {} as they were stored", words::count(files.len(), "file")));
        self.is_read = look == Look::All;
        let why = |file: &BadFile| Some((file.block.clone()?, format!("{}: {}", file.name, file.problem)));
        self.left_out = bad.iter().filter_map(why).collect();
        self.bad = bad;
        Ok(())
    }

    /// Leaves the blocks in damaged files out, where it would be refused for them.
    pub fn skip_damaged(&mut self) {
        self.skips = true;
    }

    /// Leaves out all but these blocks: those with which the restore began that goes on with it.
    #[must_use]
    pub fn limited_to(mut self, blocks: &[String]) -> Self {
        let others: BTreeMap<String, String> = self
            .good()
            .filter(|(block, _)| !blocks.contains(&block.name))
            .map(|(block, _)| (block.name.clone(), "it was left out when the restore began".to_owned()))
            .collect();
        self.left_out.extend(others);
        self
    }

    /// What keeps it from being restored as it is, where some of it is damaged.
    pub fn stands_in_the_way(&self) -> Option<Damaged> {
        let is_whole = self.bad.is_empty();
        if is_whole || (self.skips && self.bad.iter().all(|file| file.block.is_some())) {
            return None;
        }
        Some(self.damaged_by(self.bad.clone()))
    }

    /// Reads the stored files that hold these blocks back and compares their hashes, where a manifest tells those. What
    /// has no manifest was read through just now.
    pub fn verify(
        &self,
        blocks: &BTreeSet<String>,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<(), SourceError> {
        let Data::Backup(backup) = &self.data else { return Ok(()) };
        let files: Vec<&StoredFile> = files_of(backup, blocks).collect();
        let step = progress.step("verify the backup", Some(files.iter().map(|file| file.size).sum()));
        let bad = self.bad_among(&files, backup, &step, cancel)?;
        if !bad.is_empty() {
            return Err(SourceError::Damaged(self.damaged_by(bad)));
        }
        step.finish(format!("{} files, each with the SHA-256 of its manifest", files.len()));
        Ok(())
    }

    /// Notes in the store what was found bad, so that every command knows it, and the next run stores it anew. Nothing
    /// where the backup does not lie in this store. Whoever may not write there loses nothing but that.
    pub fn note_bad(&self, store: &Store, files: &[BadFile], now: Timestamp) {
        let Data::Backup(backup) = &self.data else { return };
        let job = store.job(&backup.manifest.job);
        if files.is_empty() || job.folder() != backup.folder {
            return;
        }
        let bad = files.iter().map(|file| (file.name.clone(), file.problem.clone()));
        if let Err(error) = job.note_bad(backup, bad, now) {
            tracing::debug!(error = %error, "what is bad in {} could not be noted", self.title);
        }
    }

    fn damaged_by(&self, files: Vec<BadFile>) -> Damaged {
        let bad: BTreeSet<&String> = files.iter().filter_map(|file| file.block.as_ref()).collect();
        let others = self.good().filter(|(block, _)| !bad.contains(&block.name)).count();
        Damaged { title: self.title.clone(), files, others }
    }

    fn bad_among(
        &self,
        files: &[&StoredFile],
        backup: &Backup,
        step: &StepGuard,
        cancel: &CancellationToken,
    ) -> Result<Vec<BadFile>, SourceError> {
        let mut bad = Vec::new();
        for file in files {
            match backup.check_file(file, step, cancel) {
                Ok(None) => {}
                Ok(Some(problem)) => bad.push(self.bad_file(file, problem)),
                Err(StoreError::Cancelled) => return Err(SourceError::Cancelled),
                Err(source) => return Err(SourceError::Manifest { source: Box::new(source) }),
            }
        }
        Ok(bad)
    }

    fn bad_file(&self, file: &StoredFile, problem: String) -> BadFile {
        let block = shared_key(&file.name).map(str::to_owned);
        let report = self.blocks.iter().find(|report| Some(&report.name) == block.as_ref());
        let time = report.and_then(|report| report.meta.as_ref()).map(|meta| (meta.min_time, meta.max_time));
        BadFile { name: file.name.clone(), block, time, problem }
    }
}

/// The files of a backup in which these blocks are: each its own, and those that have a part of every block.
pub(super) fn files_of<'a>(
    backup: &'a Backup,
    blocks: &'a BTreeSet<String>,
) -> impl Iterator<Item = &'a StoredFile> {
    let has_some = |file: &&StoredFile| shared_key(&file.name).is_none_or(|block| blocks.contains(block));
    backup.manifest.files.iter().filter(has_some)
}
