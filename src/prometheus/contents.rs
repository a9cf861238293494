//! What a Prometheus backup holds: the `contents` of its manifest.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::block::BlockReport;

/// The contents of a `prometheus-snapshot` backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotContents {
    /// The snapshot's name on the server, where it no longer is.
    pub snapshot: String,
    /// The head was left out: samples of the last hours are missing.
    pub skip_head: bool,
    /// First instant covered, Unix milliseconds, inclusive.
    pub min_time: i64,
    /// End of the time covered, Unix milliseconds, exclusive.
    pub max_time: i64,
    /// Samples in all good blocks.
    pub samples: u64,
    /// Every block, oldest first.
    pub blocks: Vec<BlockReport>,
    /// The blocks that the store did not have before, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub new: Vec<String>,
}

impl SnapshotContents {
    /// Describes the blocks of a snapshot.
    pub fn new(snapshot: &str, skip_head: bool, mut blocks: Vec<BlockReport>) -> Self {
        blocks.sort_by_key(|b| (b.meta.as_ref().map(|m| (m.min_time, m.max_time)), b.name.clone()));
        forget_ambiguous_probes(&mut blocks);
        let metas = || blocks.iter().filter_map(|b| b.meta.as_ref());
        let good = blocks.iter().filter(|b| b.is_good()).filter_map(|b| b.meta.as_ref());
        Self {
            snapshot: snapshot.to_owned(),
            skip_head,
            min_time: metas().map(|m| m.min_time).min().unwrap_or_default(),
            max_time: metas().map(|m| m.max_time).max().unwrap_or_default(),
            samples: good.map(|m| m.stats.num_samples).fold(0, u64::saturating_add),
            blocks,
            new: Vec::new(),
        }
    }

    /// The same, with the blocks that the store did not have before.
    #[must_use]
    pub fn with_new(mut self, mut new: Vec<String>) -> Self {
        new.sort();
        self.new = new;
        self
    }

    /// The damaged blocks.
    pub fn damaged(&self) -> impl Iterator<Item = &BlockReport> {
        self.blocks.iter().filter(|b| !b.is_good())
    }
}

/// The time that the contents of a manifest cover, and nothing else of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covered {
    /// First instant covered, Unix milliseconds, inclusive.
    pub min_time: i64,
    /// End of the time covered, Unix milliseconds, exclusive.
    pub max_time: i64,
}

impl Covered {
    /// As a person reads it.
    pub fn text(&self, zone: &TimeZone) -> String {
        let shown = |millis| {
            let at = Timestamp::from_millisecond(millis).unwrap_or_default();
            at.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
        };
        format!("{} to {}", shown(self.min_time), shown(self.max_time))
    }
}

/// Drops the probes of blocks that share time with another one: Prometheus merges what such blocks hold, so
/// that the count of one block alone is not what a query answers. The blocks are sorted by their first instant.
fn forget_ambiguous_probes(blocks: &mut [BlockReport]) {
    let ranges: Vec<Option<(i64, i64)>> =
        blocks.iter().map(|b| b.meta.as_ref().map(|m| (m.min_time, m.max_time))).collect();
    let mut ambiguous: Vec<bool> = ranges.iter().map(Option::is_none).collect();
    // The block whose end is the latest so far: who shares time with any of those before shares it with this one.
    let mut latest: Option<(usize, i64)> = None;
    for (i, (min, max)) in ranges.iter().enumerate().filter_map(|(i, range)| Some((i, (*range)?))) {
        if let Some((before, _)) = latest.filter(|(_, end)| min < *end) {
            ambiguous[before] = true;
            ambiguous[i] = true;
        }
        if latest.is_none_or(|(_, end)| max > end) {
            latest = Some((i, max));
        }
    }
    for (block, _) in blocks.iter_mut().zip(ambiguous).filter(|(_, ambiguous)| *ambiguous) {
        block.probes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prometheus::block::meta::{BlockCompaction, BlockMeta, BlockStats};
    use crate::prometheus::block::{Damage, Probe};
    use ulid::Ulid;

    fn block(min_time: i64, max_time: i64) -> BlockReport {
        let ulid = Ulid::from_parts(max_time.unsigned_abs(), 7);
        let stats = BlockStats { num_samples: 10, ..BlockStats::default() };
        let compaction = BlockCompaction { level: 1, sources: vec![ulid], ..BlockCompaction::default() };
        BlockReport {
            name: ulid.to_string(),
            meta: Some(BlockMeta { ulid, min_time, max_time, stats, compaction, version: 1 }),
            damage: Vec::new(),
            probes: vec![Probe {
                labels: std::collections::BTreeMap::default(),
                first: min_time,
                last: min_time,
                samples: 1,
            }],
            bytes: 100,
        }
    }

    #[test]
    fn blocks_are_listed_oldest_first_and_the_time_covered_is_theirs() {
        let contents = SnapshotContents::new("s", false, vec![block(200, 300), block(100, 200)]);
        assert_eq!((contents.min_time, contents.max_time, contents.samples), (100, 300, 20));
        assert_eq!(contents.blocks[0].meta.as_ref().unwrap().min_time, 100);
    }

    #[test]
    fn blocks_that_touch_keep_their_probes_and_blocks_that_overlap_lose_them() {
        let apart = SnapshotContents::new("s", false, vec![block(100, 200), block(200, 300)]);
        assert!(apart.blocks.iter().all(|b| b.probes.len() == 1));
        let overlapping =
            SnapshotContents::new("s", false, vec![block(100, 201), block(200, 300), block(300, 400)]);
        let probes: Vec<usize> = overlapping.blocks.iter().map(|b| b.probes.len()).collect();
        assert_eq!(probes, [0, 0, 1]);
    }

    proptest::proptest! {
        #[test]
        fn only_blocks_that_share_time_with_no_other_one_keep_their_probes(
            ranges in proptest::collection::vec((0_i64..30, 1_i64..8), 0..9),
        ) {
            let blocks = ranges.iter().map(|(min, length)| block(*min, min + length)).collect();
            for (i, block) in SnapshotContents::new("s", false, blocks).blocks.iter().enumerate() {
                let range = |b: &BlockReport| b.meta.as_ref().map(|m| (m.min_time, m.max_time)).unwrap();
                let (min, max) = range(block);
                let mut blocks: Vec<_> = ranges.iter().map(|(min, length)| (*min, min + length)).collect();
                blocks.remove(blocks.iter().position(|found| *found == (min, max)).unwrap());
                let shares = blocks.iter().any(|(from, to)| *from < max && min < *to);
                proptest::prop_assert_eq!(block.probes.is_empty(), shares, "block {}", i);
            }
        }
    }

    #[test]
    fn samples_of_damaged_blocks_are_not_promised() {
        let mut damaged = block(100, 200);
        damaged.damage.push(Damage {
            file: "index".into(),
            problem: "x".into(),
            keeps_prometheus_down: true,
        });
        let contents = SnapshotContents::new("s", false, vec![damaged, block(200, 300)]);
        assert_eq!((contents.samples, contents.damaged().count()), (10, 1));
    }
}
