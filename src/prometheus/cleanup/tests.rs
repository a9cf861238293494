use jiff::Timestamp;
use proptest::prelude::*;
use ulid::Ulid;

use super::*;
use crate::prometheus::block::meta::{BlockCompaction, BlockMeta, BlockStats};
use crate::prometheus::folder_op::{FolderBlock, Phase, RestoreNote, RestoreState};
use crate::store::Owner;

const DAY: i64 = 86_400_000;

fn meta(n: u128, max_time: i64) -> BlockMeta {
    BlockMeta {
        ulid: Ulid(n),
        min_time: max_time - DAY,
        max_time,
        stats: BlockStats { num_samples: 5, ..BlockStats::default() },
        compaction: BlockCompaction { level: 1, sources: vec![Ulid(n)], ..BlockCompaction::default() },
        version: 1,
    }
}

fn block(n: u128, day: i64) -> FolderBlock {
    let meta = Some(meta(n, day * DAY));
    FolderBlock { name: Ulid(n).to_string(), meta, bytes: 10, foreign_owner: false }
}

fn copy(block: &FolderBlock, reread: Reread) -> Copy {
    let (name, meta) = (block.name.clone(), block.meta.clone());
    let report = BlockReport { name, meta, damage: Vec::new(), probes: Vec::new(), bytes: 10 };
    let kept = Some(Kept { until: None, words: "for good: it is pinned".into() });
    Copy { backup: "prom/1".into(), kept, good: true, report, reread }
}

fn restore(day: i64, blocks: Vec<String>, phase: Phase) -> RestoreState {
    let note = RestoreNote { restore: Ulid(900), began: at(day), source: "prom/1".into(), blocks };
    RestoreState { note, phase, changed: at(day), set_aside_bytes: 0, down: false }
}

fn folder(blocks: Vec<FolderBlock>, restores: Vec<RestoreState>) -> FolderState {
    FolderState {
        owner: Owner { uid: 1, gid: 1, mode: 0o755 },
        free_bytes: 0,
        blocks,
        head_bytes: 0,
        snapshots: Vec::new(),
        restores,
        past: Vec::new(),
        past_problem: None,
        creating: Vec::new(),
        deleting: Vec::new(),
        locked: false,
        closed: None,
    }
}

fn at(day: i64) -> Timestamp {
    Timestamp::from_millisecond(day * DAY).unwrap()
}

fn policy(days: u64) -> CleanupPolicy {
    let older_than = Duration::from_hours(24 * days);
    CleanupPolicy { older_than, require_backup: true, max_permille: 1000 }
}

fn verdicts(folder: &FolderState, copies: &[Copy], now: i64, policy: &CleanupPolicy) -> Vec<Verdict> {
    let known = Known { folder, copies, now: at(now), stage: Stage::Delete };
    plan(&known, policy).into_iter().map(|decision| decision.verdict).collect()
}

#[test]
fn after_a_long_outage_age_counts_from_the_newest_block_and_not_from_now() {
    let folder = folder(vec![block(1, 90), block(2, 100)], Vec::new());
    let copies = [copy(&folder.blocks[0], Reread::Good)];
    assert_eq!(verdicts(&folder, &copies, 500, &policy(30)), [Verdict::Young, Verdict::Newest]);
    assert_eq!(verdicts(&folder, &copies, 500, &policy(10)), [Verdict::Delete, Verdict::Newest]);
}

#[test]
fn a_block_merged_from_restored_ones_is_restored_too() {
    let mut merged = block(2, 50);
    merged.meta.as_mut().unwrap().compaction.sources = vec![Ulid(7)];
    let restores = vec![restore(98, vec![Ulid(7).to_string()], Phase::Proven)];
    let folder = folder(vec![merged, block(3, 100)], restores);
    let copies = [copy(&folder.blocks[0], Reread::Good)];
    assert_eq!(verdicts(&folder, &copies, 100, &policy(30))[0], Verdict::Restored);
    assert_eq!(verdicts(&folder, &copies, 106, &policy(30))[0], Verdict::Delete);
}

#[test]
fn what_a_restore_put_there_is_left_alone_also_when_its_work_folder_is_gone() {
    let mut folder = folder(vec![block(1, 1), block(2, 2), block(3, 100)], Vec::new());
    let copies = [copy(&folder.blocks[0], Reread::Good), copy(&folder.blocks[1], Reread::Good)];
    folder.past = vec![restore(98, vec![folder.blocks[0].name.clone()], Phase::Proven)];
    let decided = |folder: &FolderState, now| verdicts(folder, &copies, now, &policy(30))[..2].to_vec();
    assert_eq!(decided(&folder, 100), [Verdict::Restored, Verdict::Delete]);
    assert_eq!(decided(&folder, 106), [Verdict::Delete, Verdict::Delete]);
    // A clock that went back does not shorten that.
    assert_eq!(decided(&folder, 90), [Verdict::Restored, Verdict::Delete]);
    // It began long ago and was finished only now.
    folder.past[0].note.began = at(50);
    assert_eq!(decided(&folder, 100), [Verdict::Restored, Verdict::Delete]);
    // What it had set aside was put there, and nobody has a list of that.
    folder.past[0].phase = Phase::Undone;
    assert_eq!(decided(&folder, 100), [Verdict::Restored, Verdict::TakenBack]);
    folder.past_problem = Some("damaged".into());
    assert_eq!(decided(&folder, 100), [Verdict::RestoresUnknown; 2]);
}

#[test]
fn a_copy_that_retention_may_delete_at_any_time_does_not_count() {
    let folder = folder(vec![block(1, 1), block(2, 100)], Vec::new());
    let kept = copy(&folder.blocks[0], Reread::Good);
    let dropped = Copy { kept: None, backup: "prom/0".into(), ..kept.clone() };
    assert_eq!(verdicts(&folder, std::slice::from_ref(&dropped), 100, &policy(30))[0], Verdict::NotKept);
    assert_eq!(verdicts(&folder, &[dropped, kept], 100, &policy(30))[0], Verdict::Delete);
}

#[test]
fn a_backup_that_is_not_good_is_none_and_that_is_said() {
    let folder = folder(vec![block(1, 1), block(2, 100)], Vec::new());
    let copy = Copy { good: false, ..copy(&folder.blocks[0], Reread::Good) };
    assert_eq!(verdicts(&folder, &[copy], 100, &policy(30))[0], Verdict::NoGoodBackup);
}

#[test]
fn a_copy_that_was_not_read_is_enough_to_preview_and_not_to_delete() {
    let folder = folder(vec![block(1, 1), block(2, 100)], Vec::new());
    let copies = [copy(&folder.blocks[0], Reread::Unread)];
    assert_eq!(verdicts(&folder, &copies, 100, &policy(30))[0], Verdict::StoredFileNotProven);
    let known = Known { folder: &folder, copies: &copies, now: at(100), stage: Stage::Preview };
    assert_eq!(plan(&known, &policy(30))[0].verdict, Verdict::Delete);
}

prop_compose! {
    /// A folder, copies of some of its blocks that may be bad in any way, and a policy.
    fn cases()(
        days in proptest::collection::vec(0_i64..100, 1..12),
        kinds in proptest::collection::vec(0_u8..7, 12),
        put in proptest::collection::vec(any::<bool>(), 12),
        began in 60_i64..120,
        unfinished in prop::bool::weighted(0.1),
        now in 50_i64..120, older in 0_u64..60, max_permille in 0_u16..1001, require_backup in any::<bool>(),
    ) -> (FolderState, Vec<Copy>, i64, CleanupPolicy) {
        let blocks: Vec<FolderBlock> = (1..).zip(&days).map(|(n, &day)| block(n, day)).collect();
        let copies = blocks.iter().zip(&kinds).filter(|(_, kind)| **kind > 0).map(|(block, kind)| {
            let mut copy = copy(block, match kind { 1 => Reread::Bad, 2 => Reread::Unread, _ => Reread::Good });
            copy.good = *kind != 3;
            if *kind == 4 { copy.report.meta.as_mut().unwrap().stats.num_samples += 1; }
            copy
        }).collect();
        let named = blocks.iter().zip(&put).filter(|(_, put)| **put).map(|(block, _)| block.name.clone()).collect();
        let phase = if unfinished { Phase::Swapped } else { Phase::Proven };
        let policy = CleanupPolicy { require_backup, max_permille, ..policy(older) };
        (folder(blocks, vec![restore(began, named, phase)]), copies, now, policy)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The invariant, said again without any code of the plan.
    #[test]
    fn what_goes_violates_no_rule((folder, copies, now, policy) in cases()) {
        let verdicts = verdicts(&folder, &copies, now, &policy);
        let ends: Vec<i64> = folder.blocks.iter().map(|b| b.meta.as_ref().unwrap().max_time).collect();
        let newest = *ends.iter().max().unwrap();
        let age = i64::try_from(policy.older_than.as_secs()).unwrap() * 1000;
        let mut gone = 0;
        for (i, block) in folder.blocks.iter().enumerate().filter(|(i, _)| verdicts[*i] == Verdict::Delete) {
            gone += 1;
            let last_sample = ends[i] - 1;
            prop_assert!(last_sample < newest - age && last_sample < now * DAY - age);
            prop_assert!(ends[i] < newest);
            let restore = &folder.restores[0];
            prop_assert!(restore.phase == Phase::Proven);
            let lately = restore.note.began.as_millisecond() >= (now - 7) * DAY;
            prop_assert!(!(lately && restore.note.blocks.contains(&block.name)));
            let held = copies.iter().any(|copy| {
                copy.good && copy.reread == Reread::Good && copy.report.meta == block.meta
            });
            prop_assert!(held || !policy.require_backup);
        }
        prop_assert!(gone * 1000 <= folder.blocks.len() * usize::from(policy.max_permille));
    }
}
