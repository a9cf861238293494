//! The copies of blocks in backups: which there are, how long they stay, and whether their stored files are still what
//! was stored.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;

use super::{CleanupPolicy, Copy, Decision, Kept, Known, Reread, Stage, Verdict, plan};
use crate::config::values::Keep;
use crate::progress::Progress;
use crate::prometheus::block::{BlockReport, Probe};
use crate::prometheus::contents::SnapshotContents;
use crate::prometheus::folder_op::{FolderBlock, FolderState};
use crate::retention::{Decision as Retained, Item, Reason, Until, plan as retain, until};
use crate::store::{Backup, JobStore, Problem, SharedLock, StoreError, StoredFile, Verifier, shared_key};
use crate::words;

/// How long to wait for somebody who deletes backups.
const LOCK_LIMIT: Duration = Duration::from_mins(1);

/// A job whose backups may hold blocks.
#[derive(Debug, Clone)]
pub struct Holder {
    /// Its backups.
    pub store: JobStore,
    /// What keeps them.
    pub keep: Keep,
    /// The zone of that, and of what is told.
    pub zone: TimeZone,
    /// When its next backups are made; none where it has no schedule.
    pub slots: Vec<Timestamp>,
}

/// What backups hold.
pub struct Copies {
    holders: Vec<Holder>,
    backups: BTreeMap<String, Source>,
    found: Vec<Copy>,
    /// Keeps the backups from being deleted meanwhile.
    _locks: Vec<SharedLock>,
}

/// A backup, and the place of its job among the holders.
struct Source {
    holder: usize,
    backup: Backup,
}

/// A stored file: its job's place among the holders, the backup where it is that one's own, and its name.
type FileKey = (usize, Option<String>, String);

impl Copies {
    /// Looks up which backups hold the blocks of `folder`, without reading what they store.
    pub fn look_up(holders: Vec<Holder>, folder: &FolderState) -> Result<Self, StoreError> {
        Self::gather(holders, folder, Vec::new())
    }

    /// Like [`Copies::look_up`], and nobody can delete the backups while this lives.
    pub fn hold(holders: Vec<Holder>, folder: &FolderState) -> Result<Self, StoreError> {
        let locks = holders.iter().map(|holder| holder.store.lock_shared(LOCK_LIMIT));
        let locks = locks.collect::<Result<_, _>>()?;
        Self::gather(holders, folder, locks)
    }

    fn gather(
        holders: Vec<Holder>,
        folder: &FolderState,
        locks: Vec<SharedLock>,
    ) -> Result<Self, StoreError> {
        let wanted: BTreeSet<&str> = folder.blocks.iter().map(|block| block.name.as_str()).collect();
        let (mut backups, mut found) = (BTreeMap::new(), Vec::new());
        for (index, holder) in holders.iter().enumerate() {
            for (backup, end, kept) in holder.backups()? {
                // What cannot be read holds nothing that counts.
                let Ok(contents) = backup.contents::<SnapshotContents>() else { continue };
                let (name, good) = (format!("{}/{}", holder.store.job(), backup.id()), backup.is_good());
                for report in contents.blocks.into_iter().filter(|report| wanted.contains(&*report.name)) {
                    let (backup, kept) = (name.clone(), kept.clone());
                    let copy = Copy { backup, kept, good, report, reread: Reread::Unread };
                    found.push((end, copy));
                }
                backups.insert(name, Source { holder: index, backup });
            }
        }
        // What is kept longest comes first; of equal ones the newest.
        found.reverse();
        found.sort_by_key(|(end, _)| std::cmp::Reverse(*end));
        let found = found.into_iter().map(|(_, copy)| copy).collect();
        Ok(Self { holders, backups, found, _locks: locks })
    }

    /// What would be deleted, as far as can be told without reading stored files.
    pub fn preview(&self, folder: &FolderState, policy: &CleanupPolicy, now: Timestamp) -> Vec<Decision> {
        self.plan(folder, policy, now, Stage::Preview)
    }

    /// What is to be deleted, by what was read so far.
    pub fn decide(&self, folder: &FolderState, policy: &CleanupPolicy, now: Timestamp) -> Vec<Decision> {
        let mut decisions = self.plan(folder, policy, now, Stage::Delete);
        // What is more than may go at once was not read, and that is not why it stays.
        let previewed = self.preview(folder, policy, now);
        for (decision, previewed) in decisions.iter_mut().zip(previewed) {
            if decision.verdict == Verdict::StoredFileNotProven && previewed.verdict == Verdict::ShareReached
            {
                *decision = previewed;
            }
        }
        decisions
    }

    fn plan(
        &self,
        folder: &FolderState,
        policy: &CleanupPolicy,
        now: Timestamp,
        stage: Stage,
    ) -> Vec<Decision> {
        plan(&Known { folder, copies: &self.found, now, stage }, policy)
    }

    /// Reads the stored files of everything that would be deleted. Where one is bad, the next copy is read.
    pub fn prove(
        &mut self,
        folder: &FolderState,
        policy: &CleanupPolicy,
        now: Timestamp,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<(), StoreError> {
        let mut read: BTreeMap<FileKey, Option<Problem>> = BTreeMap::new();
        loop {
            let unread = self.unread(&self.preview(folder, policy, now));
            if unread.is_empty() {
                return Ok(());
            }
            self.read(&unread, &mut read, now, progress, cancel)?;
        }
    }

    /// The copies that the plan relies on and nobody has read.
    fn unread(&self, decisions: &[Decision]) -> Vec<usize> {
        let chosen: BTreeSet<(&str, &str)> = decisions
            .iter()
            .filter(|decision| decision.goes())
            .filter_map(|decision| Some((decision.backup.as_deref()?, decision.block.as_str())))
            .collect();
        let is_chosen = |copy: &Copy| chosen.contains(&(copy.backup.as_str(), copy.report.name.as_str()));
        let unread = self.found.iter().enumerate().filter(|(_, copy)| copy.reread == Reread::Unread);
        unread.filter(|(_, copy)| is_chosen(copy)).map(|(index, _)| index).collect()
    }

    fn read(
        &mut self,
        unread: &[usize],
        read: &mut BTreeMap<FileKey, Option<Problem>>,
        now: Timestamp,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<(), StoreError> {
        let files: BTreeMap<FileKey, (&Backup, &StoredFile)> = unread
            .iter()
            .flat_map(|index| self.files_of(&self.found[*index]))
            .filter(|(key, _)| !read.contains_key(key))
            .collect();
        let bytes = files.values().map(|(_, file)| file.size).sum();
        let step = progress.step("read the stored files of what may go", Some(bytes));
        for (key, (backup, file)) in files {
            let store = &self.holders[key.0].store;
            let report = Verifier::new(store, now).files(backup, &[file], &step, cancel)?;
            let problem = report.files.into_iter().find_map(|file| file.problem);
            if let Some(problem) = &problem {
                let (job, id) = (store.job(), backup.id());
                progress.warn(problem.of(&format!("{job}/{id}"), &file.name));
            }
            read.insert(key, problem);
        }
        step.finish(format!("{} files", read.len()));
        for index in unread {
            let bad = self.files_of(&self.found[*index]).any(|(key, _)| read[&key].is_some());
            self.found[*index].reread = if bad { Reread::Bad } else { Reread::Good };
        }
        self.distrust(read);
        Ok(())
    }

    /// A backup with a bad file is no longer a good one, whatever else of it was read.
    fn distrust(&mut self, read: &BTreeMap<FileKey, Option<Problem>>) {
        let is_bad = |name: &str, source: &Source| {
            source
                .backup
                .manifest
                .files
                .iter()
                .any(|file| read.get(&key(name, source, file)).is_some_and(Option::is_some))
        };
        let bad: BTreeSet<&String> =
            self.backups.iter().filter(|(name, source)| is_bad(name, source)).map(|(name, _)| name).collect();
        for copy in self.found.iter_mut().filter(|copy| bad.contains(&copy.backup)) {
            copy.good = false;
        }
    }

    /// The stored files without which the copy cannot be restored: those that hold the block, and the backup's own.
    fn files_of<'a>(
        &'a self,
        copy: &'a Copy,
    ) -> impl Iterator<Item = (FileKey, (&'a Backup, &'a StoredFile))> {
        let source = self.backups.get(&copy.backup);
        let files = source
            .into_iter()
            .flat_map(|source| source.backup.manifest.files.iter().map(move |file| (source, file)));
        let needed = |file: &StoredFile| shared_key(&file.name).is_none_or(|block| block == copy.report.name);
        files
            .filter(move |(_, file)| needed(file))
            .map(|(source, file)| (key(&copy.backup, source, file), (&source.backup, file)))
    }

    /// A series of a block, and how many samples it has, as a backup of the block as it is now tells.
    pub fn probe(&self, block: &FolderBlock) -> Option<&Probe> {
        let same = |report: &&BlockReport| report.name == block.name && report.meta == block.meta;
        let reports = self.found.iter().map(|copy| &copy.report).filter(same);
        reports.flat_map(|report| &report.probes).next()
    }

    /// Notes in every backup that holds one of these blocks, of so many bytes, that the server has it no longer because
    /// it was deleted here: that later backups are smaller is no anomaly then.
    pub fn note_cleaned(&self, gone: &BTreeMap<String, u64>) -> Result<(), StoreError> {
        for (name, source) in &self.backups {
            let copies = self.found.iter().filter(|copy| copy.backup == *name);
            let held = copies.filter_map(|copy| gone.get_key_value(&copy.report.name));
            let held: BTreeMap<String, u64> = held.map(|(block, bytes)| (block.clone(), *bytes)).collect();
            self.holders[source.holder].store.note_cleaned(source.backup.id(), held)?;
        }
        Ok(())
    }
}

/// Which of all stored files this is.
fn key(backup: &str, source: &Source, file: &StoredFile) -> FileKey {
    let own = shared_key(&file.name).is_none().then(|| backup.to_owned());
    (source.holder, own, file.name.clone())
}

impl Holder {
    /// Its backups, oldest first, and how long each is kept.
    fn backups(&self) -> Result<Vec<(Backup, Until, Option<Kept>)>, StoreError> {
        let backups = self.store.list()?.backups;
        let items: Vec<Item> = backups.iter().map(Item::of).collect();
        let decisions = retain(&items, &self.keep, &self.zone);
        let ends = until(&items, &self.keep, &self.zone, &self.slots);
        let kept = decisions.iter().zip(&ends).map(|(decision, end)| (*end, self.kept(decision, *end)));
        let kept: Vec<_> = kept.collect();
        Ok(backups.into_iter().zip(kept).map(|(backup, (end, kept))| (backup, end, kept)).collect())
    }

    fn kept(&self, decision: &Retained, end: Until) -> Option<Kept> {
        // That it is the newest good one says nothing of how long: it is one only until the next.
        let lasting = decision.reasons.iter().filter(|reason| **reason != Reason::NewestGood);
        let mut reasons: Vec<String> = lasting.map(ToString::to_string).collect();
        if reasons.is_empty() {
            reasons.push(Reason::NewestGood.to_string());
        }
        let reasons = reasons.join(", ");
        let (until, words) = match end {
            Until::Dropped => return None,
            Until::Pinned => (None, "for good: it is pinned".to_owned()),
            Until::Unscheduled => (None, format!("as long as it is {reasons}")),
            Until::Slot(at) => {
                (Some(at), format!("until {} at the earliest ({reasons})", words::time(at, &self.zone)))
            }
            Until::Beyond(at) => (Some(at), format!("beyond {} ({reasons})", words::time(at, &self.zone))),
        };
        Some(Kept { until, words })
    }
}
