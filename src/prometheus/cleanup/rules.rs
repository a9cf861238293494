//! The rules of a cleanup.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{CleanupPolicy, Copy, Decision, Known, Reread, Stage, Verdict};
use crate::prometheus::block::BlockMeta;
use crate::prometheus::contents::Covered;
use crate::prometheus::folder_op::{FolderBlock, FolderState, Phase, RestoreState};

/// What a restore put in place is left alone for this long.
const RESTORED: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Decides about every block of the folder, in the folder's order.
pub fn plan(known: &Known<'_>, policy: &CleanupPolicy) -> Vec<Decision> {
    let lately: Vec<&RestoreState> = lately(known.folder, known.now).collect();
    let restored = lately.iter().flat_map(|state| state.note.blocks.iter().map(String::as_str)).collect();
    let taken_back = lately.iter().any(|state| state.phase == Phase::Undone);
    let rules = Rules { known, policy, newest: newest(known.folder), restored, taken_back };
    let mut decisions: Vec<Decision> = known.folder.blocks.iter().map(|block| rules.decide(block)).collect();
    limit(&mut decisions, known.folder, policy.max_permille);
    for decision in &mut decisions {
        decision.reason = decision.verdict.to_string();
    }
    decisions
}

/// All samples of a block that goes are older than this: the limit, counted from the earlier of now and the newest
/// block's end. Nothing where there is no block.
pub fn cutoff(folder: &FolderState, now: Timestamp, older_than: Duration) -> Option<Timestamp> {
    Timestamp::from_millisecond(cutoff_millis(newest(folder)?, now, older_than)).ok()
}

fn cutoff_millis(newest: i64, now: Timestamp, older_than: Duration) -> i64 {
    newest.min(now.as_millisecond()).saturating_sub(millis(older_than))
}

/// The end of the newest block.
fn newest(folder: &FolderState) -> Option<i64> {
    folder.blocks.iter().filter_map(meta_of).map(|meta| meta.max_time).max()
}

/// The metadata of a block whose folder has its name.
pub(super) fn meta_of(block: &FolderBlock) -> Option<&BlockMeta> {
    block.meta.as_ref().filter(|meta| meta.ulid.to_string() == block.name)
}

/// The restores that began or got further lately. One that is to do so some time in the future counts: a clock was
/// wrong.
fn lately(folder: &FolderState, now: Timestamp) -> impl Iterator<Item = &RestoreState> {
    let all = folder.restores.iter().chain(&folder.past);
    all.filter(move |state| now.duration_since(state.note.began.max(state.changed)) <= RESTORED)
}

struct Rules<'a> {
    known: &'a Known<'a>,
    policy: &'a CleanupPolicy,
    newest: Option<i64>,
    restored: BTreeSet<&'a str>,
    taken_back: bool,
}

impl Rules<'_> {
    fn decide(&self, block: &FolderBlock) -> Decision {
        let meta = meta_of(block);
        let copy = meta.and_then(|meta| self.copy(block, meta));
        // Where none is needed, one that cannot be relied on is not named either.
        let named = copy.filter(|copy| self.policy.require_backup || self.counts(copy));
        Decision {
            block: block.name.clone(),
            covered: meta.map(|meta| Covered { min_time: meta.min_time, max_time: meta.max_time }),
            bytes: block.bytes,
            verdict: self.verdict(block, copy),
            reason: String::new(),
            backup: named.map(|copy| copy.backup.clone()),
            kept: named.and_then(|copy| copy.kept.clone()),
        }
    }

    fn verdict(&self, block: &FolderBlock, copy: Option<&Copy>) -> Verdict {
        if self.known.folder.unfinished().is_some() {
            return Verdict::RestoreUnfinished;
        }
        let (Some(meta), Some(newest)) = (meta_of(block), self.newest) else { return Verdict::Unreadable };
        if meta.max_time == newest {
            return Verdict::Newest;
        }
        // `max_time` is exclusive, so a block that ends at the limit has only older samples.
        if meta.max_time > cutoff_millis(newest, self.known.now, self.policy.older_than) {
            return Verdict::Young;
        }
        if self.known.folder.past_problem.is_some() {
            return Verdict::RestoresUnknown;
        }
        if self.is_restored(block, meta) {
            return Verdict::Restored;
        }
        if self.taken_back {
            return Verdict::TakenBack;
        }
        match copy {
            _ if !self.policy.require_backup => Verdict::Delete,
            None => Verdict::NoBackup,
            Some(copy) if self.counts(copy) => Verdict::Delete,
            Some(copy) if copy.reread == Reread::Bad => Verdict::StoredFileNotProven,
            Some(copy) if !is_good(copy) => Verdict::NoGoodBackup,
            Some(copy) if copy.kept.is_none() => Verdict::NotKept,
            Some(_) => Verdict::StoredFileNotProven,
        }
    }

    /// It was restored, or Prometheus has merged it since from what was.
    fn is_restored(&self, block: &FolderBlock, meta: &BlockMeta) -> bool {
        let parents = meta.compaction.parents.iter().map(|parent| parent.ulid);
        let mut from = parents.chain(meta.compaction.sources.iter().copied());
        let restored = &self.restored;
        restored.contains(block.name.as_str())
            || from.any(|ulid| restored.contains(ulid.to_string().as_str()))
    }

    /// A copy of the block as it is now: the first that counts, else the first that is nearest to it.
    fn copy(&self, block: &FolderBlock, meta: &BlockMeta) -> Option<&Copy> {
        let holds = |copy: &&Copy| copy.report.name == block.name && copy.report.meta.as_ref() == Some(meta);
        let lacks = |copy: &&Copy| {
            (!self.counts(copy), copy.reread == Reread::Bad, !is_good(copy), copy.kept.is_none())
        };
        // Of equal ones this is the first.
        self.known.copies.iter().filter(holds).min_by_key(lacks)
    }

    /// All that is asked of a copy is true of it.
    fn counts(&self, copy: &Copy) -> bool {
        let proven = match copy.reread {
            Reread::Good => true,
            Reread::Unread => self.known.stage == Stage::Preview,
            Reread::Bad => false,
        };
        proven && is_good(copy) && copy.kept.is_some()
    }
}

fn is_good(copy: &Copy) -> bool {
    copy.good && copy.report.is_good()
}

/// Keeps what is more than may go at once; the oldest go first.
fn limit(decisions: &mut [Decision], folder: &FolderState, permille: u16) {
    let allowed = folder.blocks.len() * usize::from(permille.min(1000)) / 1000;
    let end = |index: &usize| folder.blocks[*index].meta.as_ref().map(|meta| (meta.max_time, meta.ulid));
    let mut going: Vec<usize> = (0..decisions.len()).filter(|&index| decisions[index].goes()).collect();
    going.sort_by_key(end);
    for index in going.into_iter().skip(allowed) {
        decisions[index].verdict = Verdict::ShareReached;
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
