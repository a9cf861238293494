//! Which time the blocks of a backup cover, where they leave gaps, and what compaction has made of them.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use ulid::Ulid;

use super::block::{BlockMeta, BlockReport};
use crate::words;

/// A query looks back so far for a sample: a shorter gap between two blocks is none to it. Milliseconds.
const LOOKBACK: i64 = 5 * 60 * 1000;

/// The time that blocks cover; all of it in Unix milliseconds, ends exclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// From the first instant of the first block to the end of the last.
    pub range: (i64, i64),
    /// What lies between and is in no block, oldest first.
    pub gaps: Vec<(i64, i64)>,
    /// For how long two or more blocks cover the same time.
    pub overlap: i64,
}

impl Coverage {
    /// What good blocks cover; nothing where there is none.
    pub fn of(blocks: &[BlockReport]) -> Option<Self> {
        let mut ranges: Vec<(i64, i64)> = metas(blocks).map(|meta| (meta.min_time, meta.max_time)).collect();
        ranges.sort_unstable();
        let (from, mut end) = *ranges.first()?;
        let (mut gaps, mut overlap) = (Vec::new(), 0);
        for (min, max) in ranges.into_iter().skip(1) {
            if min - end > LOOKBACK {
                gaps.push((end, min));
            }
            overlap += (end.min(max) - min).max(0);
            end = end.max(max);
        }
        Some(Self { range: (from, end), gaps, overlap })
    }

    /// In words, with times of this zone.
    pub fn text(&self, zone: &TimeZone) -> String {
        let time = |millis: i64| {
            let at = Timestamp::from_millisecond(millis).unwrap_or_default();
            at.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
        };
        let span = |(from, to): (i64, i64)| format!("{} to {}", time(from), time(to));
        let gaps = match self.gaps.iter().max_by_key(|(from, to)| to - from) {
            None => ", without a gap".to_owned(),
            Some(gap) if self.gaps.len() == 1 => format!(", but nothing from {}", span(*gap)),
            Some(gap) => format!(", with {} gaps, the longest from {}", self.gaps.len(), span(*gap)),
        };
        let overlap = match self.overlap {
            0 => String::new(),
            overlap => format!("; blocks overlap for {}", length(0, overlap)),
        };
        format!("{} ({}){gaps}{overlap}", span(self.range), length(self.range.0, self.range.1))
    }
}

/// The level 1 blocks whose samples are in good blocks.
pub fn sources(blocks: &[BlockReport]) -> impl Iterator<Item = Ulid> {
    metas(blocks).flat_map(|meta| meta.compaction.sources.iter().copied())
}

/// Of the blocks called `new`, those that hold nothing but what was stored already: compaction has merged blocks that
/// were stored one by one.
pub fn rewritten<'a>(
    blocks: &'a [BlockReport],
    new: &BTreeSet<&str>,
    had: &BTreeSet<Ulid>,
) -> Vec<&'a BlockReport> {
    let is_rewritten = |block: &&BlockReport| {
        let sources = block.meta.as_ref().map(|meta| meta.compaction.sources.as_slice()).unwrap_or_default();
        new.contains(block.name.as_str())
            && sources.len() > 1
            && sources.iter().all(|source| had.contains(source))
    };
    blocks.iter().filter(is_rewritten).collect()
}

fn metas(blocks: &[BlockReport]) -> impl Iterator<Item = &BlockMeta> {
    blocks.iter().filter(|block| block.is_good()).filter_map(|block| block.meta.as_ref())
}

fn length(from: i64, to: i64) -> String {
    let length = SignedDuration::from_millis(to.saturating_sub(from));
    words::duration(length.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prometheus::block::meta::{BlockCompaction, BlockStats};

    const HOUR: i64 = 3_600_000;

    fn block(number: u64, hours: (i64, i64), sources: &[u64]) -> BlockReport {
        let ulid = |number: u64| Ulid::from_parts(number, 1);
        let sources = sources.iter().map(|&source| ulid(source)).collect();
        let compaction = BlockCompaction { level: 1, sources, ..BlockCompaction::default() };
        let meta = BlockMeta {
            ulid: ulid(number),
            min_time: hours.0 * HOUR,
            max_time: hours.1 * HOUR,
            stats: BlockStats::default(),
            compaction,
            version: 1,
        };
        let name = ulid(number).to_string();
        BlockReport { name, meta: Some(meta), damage: Vec::new(), probes: Vec::new(), bytes: 1 }
    }

    fn text(blocks: &[BlockReport]) -> String {
        Coverage::of(blocks).unwrap().text(&TimeZone::UTC)
    }

    #[test]
    fn blocks_that_touch_leave_no_gap() {
        let blocks = [block(2, (2, 4), &[2]), block(1, (0, 2), &[1])];
        assert_eq!(text(&blocks), "1970-01-01 00:00 to 1970-01-01 04:00 (4 h 00 m), without a gap");
        assert_eq!(Coverage::of(&[]), None);
    }

    #[test]
    fn gaps_and_overlaps_are_told() {
        let blocks = [block(1, (0, 2), &[1]), block(2, (3, 6), &[2]), block(3, (5, 7), &[3])];
        let expected = "1970-01-01 00:00 to 1970-01-01 07:00 (7 h 00 m), but nothing from 1970-01-01 02:00 to \
                        1970-01-01 03:00; blocks overlap for 1 h 00 m";
        assert_eq!(text(&blocks), expected);
        let blocks = [block(1, (0, 1), &[1]), block(2, (2, 3), &[2]), block(3, (5, 7), &[3])];
        assert!(text(&blocks).contains("with 2 gaps, the longest from 1970-01-01 03:00 to 1970-01-01 05:00"));
    }

    #[test]
    fn a_block_inside_another_one_overlaps_by_its_own_length() {
        let coverage = Coverage::of(&[block(1, (0, 9), &[1]), block(2, (2, 4), &[2])]).unwrap();
        assert_eq!((coverage.range, coverage.overlap), ((0, 9 * HOUR), 2 * HOUR));
    }

    #[test]
    fn a_merged_block_is_a_rewrite_only_where_all_of_its_sources_were_stored() {
        let before = sources(&[block(1, (0, 2), &[1]), block(2, (2, 4), &[2])]).collect();
        let merged = [block(9, (0, 4), &[1, 2]), block(8, (4, 8), &[3, 2]), block(7, (8, 9), &[4])];
        let names: Vec<String> = merged.iter().map(|block| block.name.clone()).collect();
        let new: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let found: Vec<&str> = rewritten(&merged, &new, &before).iter().map(|b| b.name.as_str()).collect();
        assert_eq!(found, [names[0].as_str()]);
        assert_eq!(rewritten(&merged, &BTreeSet::new(), &before), Vec::<&BlockReport>::new());
    }
}
