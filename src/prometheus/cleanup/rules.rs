//! The rules of a cleanup.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{CleanupPolicy, Copy, Decision, Known, Reread, Stage, Verdict};
use crate::prometheus::block::BlockMeta;
use crate::prometheus::folder_op::{FolderBlock, FolderState};

/// What a restore put in place is left alone for this long.
const RESTORED: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Decides about every block of the folder, in the folder's order.
pub fn plan(known: &Known<'_>, policy: &CleanupPolicy) -> Vec<Decision> {
    let newest = known.folder.blocks.iter().filter_map(meta_of).map(|meta| meta.max_time).max();
    let restored = restored(known.folder, known.now);
    let rules = Rules { known, policy, newest, restored };
    let mut decisions: Vec<Decision> = known.folder.blocks.iter().map(|block| rules.decide(block)).collect();
    limit(&mut decisions, known.folder, policy.max_permille);
    decisions
}

/// The metadata of a block whose folder has its name.
fn meta_of(block: &FolderBlock) -> Option<&BlockMeta> {
    block.meta.as_ref().filter(|meta| meta.ulid.to_string() == block.name)
}

/// The blocks that were restored lately. One that is to be restored some time in the future counts: a clock was wrong.
fn restored(folder: &FolderState, now: Timestamp) -> BTreeSet<&str> {
    let lately = folder.restores.iter().filter(|state| now.duration_since(state.note.began) <= RESTORED);
    lately.flat_map(|state| state.note.blocks.iter().map(String::as_str)).collect()
}

struct Rules<'a> {
    known: &'a Known<'a>,
    policy: &'a CleanupPolicy,
    newest: Option<i64>,
    restored: BTreeSet<&'a str>,
}

impl Rules<'_> {
    fn decide(&self, block: &FolderBlock) -> Decision {
        let copy = meta_of(block).and_then(|meta| self.copy(block, meta));
        Decision {
            block: block.name.clone(),
            bytes: block.bytes,
            verdict: self.verdict(block, copy),
            backup: copy.map(|copy| copy.backup.clone()),
            kept: copy.and_then(|copy| copy.kept.clone()),
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
        if self.is_young(meta, newest) {
            return Verdict::Young;
        }
        if self.is_restored(block, meta) {
            return Verdict::Restored;
        }
        match copy {
            _ if !self.policy.require_backup => Verdict::Delete,
            None => Verdict::NoBackup,
            Some(copy) if self.is_proven(copy) => Verdict::Delete,
            Some(_) => Verdict::StoredFileNotProven,
        }
    }

    /// `max_time` is exclusive, so a block that ends at the limit has only older samples.
    fn is_young(&self, meta: &BlockMeta, newest: i64) -> bool {
        let from = newest.min(self.known.now.as_millisecond());
        meta.max_time > from.saturating_sub(millis(self.policy.older_than))
    }

    /// It was restored, or Prometheus has merged it since from what was.
    fn is_restored(&self, block: &FolderBlock, meta: &BlockMeta) -> bool {
        let parents = meta.compaction.parents.iter().map(|parent| parent.ulid);
        let mut from = parents.chain(meta.compaction.sources.iter().copied());
        let restored = &self.restored;
        restored.contains(block.name.as_str())
            || from.any(|ulid| restored.contains(ulid.to_string().as_str()))
    }

    /// The good copy that is proven best: one that was read, else any.
    fn copy(&self, block: &FolderBlock, meta: &BlockMeta) -> Option<&Copy> {
        let holds = |copy: &&Copy| {
            let report = &copy.report;
            copy.good && report.is_good() && report.name == block.name && report.meta.as_ref() == Some(meta)
        };
        let copies = || self.known.copies.iter().filter(holds);
        let proven = copies().find(|copy| self.is_proven(copy) && copy.kept.is_some());
        proven.or_else(|| copies().find(|copy| self.is_proven(copy))).or_else(|| copies().next())
    }

    fn is_proven(&self, copy: &Copy) -> bool {
        match copy.reread {
            Reread::Good => true,
            Reread::Unread => self.known.stage == Stage::Preview,
            Reread::Bad => false,
        }
    }
}

/// Keeps what is more than may go at once; the oldest go first.
fn limit(decisions: &mut [Decision], folder: &FolderState, permille: u16) {
    let allowed = folder.blocks.len() * usize::from(permille.min(1000)) / 1000;
    let end = |index: &usize| folder.blocks[*index].meta.as_ref().map(|meta| (meta.max_time, meta.ulid));
    let mut going: Vec<usize> =
        (0..decisions.len()).filter(|&index| decisions[index].verdict == Verdict::Delete).collect();
    going.sort_by_key(end);
    for index in going.into_iter().skip(allowed) {
        decisions[index].verdict = Verdict::ShareReached;
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
