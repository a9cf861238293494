//! What Prometheus itself will do with blocks that are put into its data folder.
//!
//! It deletes blocks on its own: those that another block was made from, those beyond its retention, those whose
//! samples are all deleted. A restore that does not know these rules would call its own work failed, or promise
//! data that are gone an hour later. The rules are those of `deletableBlocks` and `reloadBlocks` in tsdb/db.go.

use jiff::Timestamp;
use serde::Serialize;
use ulid::Ulid;

use crate::prometheus::block::BlockMeta;

/// What applies where neither a time nor a size is set.
const DEFAULT_RETENTION_MS: i64 = 15 * DAY_MS;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// How long and how much a Prometheus keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Retention {
    /// Milliseconds; nothing where only the size counts.
    pub time_ms: Option<i64>,
    /// Bytes of all blocks and the head.
    pub bytes: Option<u64>,
}

impl Default for Retention {
    fn default() -> Self {
        Self { time_ms: Some(DEFAULT_RETENTION_MS), bytes: None }
    }
}

impl Retention {
    /// Reads what a Prometheus says of itself: `15d`, `1d12h`, `15d or 1GiB`, `512MB`. A zero is not set.
    pub fn parse(text: &str) -> Option<Self> {
        let (mut time_ms, mut bytes) = (None, None);
        for part in text.split(" or ").map(str::trim).filter(|part| !part.is_empty()) {
            if let Some(ms) = duration_ms(part) {
                time_ms = Some(ms).filter(|ms| *ms > 0);
            } else {
                bytes = Some(size_bytes(part)?).filter(|n| *n > 0);
            }
        }
        match (time_ms, bytes) {
            (None, None) => Some(Self::default()),
            _ => Some(Self { time_ms, bytes }),
        }
    }
}

/// Prometheus's own durations: years are 365 days, and the units come largest first.
fn duration_ms(text: &str) -> Option<i64> {
    let units = [
        ("y", 365 * DAY_MS),
        ("w", 7 * DAY_MS),
        ("d", DAY_MS),
        ("h", 3_600_000),
        ("ms", 1),
        ("m", 60_000),
        ("s", 1000),
    ];
    let (mut rest, mut total) = (text, 0_i64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest[..digits].parse().ok()?;
        let (unit, ms) = units.iter().find(|(unit, _)| {
            let after = rest[digits..].strip_prefix(unit);
            after.is_some_and(|after| !after.starts_with(|c: char| c.is_ascii_alphabetic()))
        })?;
        total = total.checked_add(number.checked_mul(*ms)?)?;
        rest = &rest[digits + unit.len()..];
    }
    (!text.is_empty()).then_some(total)
}

/// Prometheus's own sizes: powers of 1024, whether or not there is an `i`.
fn size_bytes(text: &str) -> Option<u64> {
    let letters = text.find(|c: char| c.is_ascii_alphabetic())?;
    let number: u64 = text[..letters].trim().parse().ok()?;
    let power = match text[letters..].replace('i', "").as_str() {
        "B" => 0,
        "KB" => 1,
        "MB" => 2,
        "GB" => 3,
        "TB" => 4,
        "PB" => 5,
        "EB" => 6,
        _ => return None,
    };
    number.checked_mul(1_u64.checked_shl(10 * power)?)
}

/// What becomes of a restored block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "fate", rename_all = "kebab-case")]
pub enum Fate {
    /// It stays.
    Stays,
    /// A restored block was made from it and holds its samples: it is deleted at the start.
    Superseded {
        /// That block.
        by: Ulid,
    },
    /// All its samples were deleted: it is deleted at the start.
    Emptied,
    /// It ends so long before the newest restored block that the retention deletes it at the start.
    TooOld,
    /// It and the newer ones are larger than the retention allows: it is deleted at the start.
    TooMuch,
    /// It stays until Prometheus has made a block of new samples, some hours after the start. Then the retention
    /// deletes it.
    TooOldSoon,
}

impl Fate {
    /// Prometheus may delete the block while the restore still watches.
    pub const fn is_gone_at_start(self) -> bool {
        !matches!(self, Self::Stays | Self::TooOldSoon)
    }
}

/// A block as its fate depends on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    /// Its `meta.json`.
    pub(super) meta: &'a BlockMeta,
    /// Bytes of its files.
    pub(super) bytes: u64,
}

/// What becomes of each of `blocks`, which are all that will lie in the folder.
pub(super) fn fates(blocks: &[Candidate<'_>], retention: Retention, now: Timestamp) -> Vec<Fate> {
    let newest = blocks.iter().map(|b| b.meta.max_time).max().unwrap_or_default();
    let too_much = too_much(blocks, retention.bytes);
    let fate = |(index, block): (usize, &Candidate<'_>)| {
        let meta = block.meta;
        let descendant =
            blocks.iter().find(|b| b.meta.compaction.parents.iter().any(|parent| parent.ulid == meta.ulid));
        let older_than_allowed =
            |than: i64| retention.time_ms.is_some_and(|limit| than.saturating_sub(meta.max_time) >= limit);
        if let Some(descendant) = descendant.filter(|b| b.meta.ulid != meta.ulid) {
            Fate::Superseded { by: descendant.meta.ulid }
        } else if meta.compaction.deletable {
            Fate::Emptied
        } else if meta.max_time < newest && older_than_allowed(newest) {
            Fate::TooOld
        } else if too_much[index] {
            Fate::TooMuch
        } else if older_than_allowed(now.as_millisecond()) {
            Fate::TooOldSoon
        } else {
            Fate::Stays
        }
    };
    blocks.iter().enumerate().map(fate).collect()
}

/// From the newest on: the first block with which the limit is passed, and all older ones.
fn too_much(blocks: &[Candidate<'_>], limit: Option<u64>) -> Vec<bool> {
    let mut beyond = vec![false; blocks.len()];
    let Some(limit) = limit else { return beyond };
    let mut order: Vec<usize> = (0..blocks.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(blocks[*i].meta.max_time));
    let mut total = 0_u64;
    for index in order {
        total = total.saturating_add(blocks[index].bytes);
        beyond[index] = total > limit;
    }
    beyond
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prometheus::block::meta::{BlockCompaction, BlockParent, BlockStats};

    const HOUR: i64 = 3_600_000;

    fn meta(id: u128, max_hours: i64) -> BlockMeta {
        BlockMeta {
            ulid: Ulid::from_parts(1, id),
            min_time: (max_hours - 2) * HOUR,
            max_time: max_hours * HOUR,
            stats: BlockStats::default(),
            compaction: BlockCompaction { level: 1, ..BlockCompaction::default() },
            version: 1,
        }
    }

    fn all(metas: &[BlockMeta], retention: &str, now_hours: i64) -> Vec<Fate> {
        let blocks: Vec<Candidate<'_>> = metas.iter().map(|meta| Candidate { meta, bytes: 100 }).collect();
        let now = Timestamp::from_millisecond(now_hours * HOUR).unwrap();
        fates(&blocks, Retention::parse(retention).unwrap(), now)
    }

    #[test]
    fn retention_is_read_as_prometheus_words_it() {
        let is = |text, time_ms, bytes| {
            assert_eq!(Retention::parse(text), Some(Retention { time_ms, bytes }), "{text}");
        };
        is("15d", Some(15 * DAY_MS), None);
        is("1d12h", Some(36 * HOUR), None);
        is("2y", Some(730 * DAY_MS), None);
        is("90m", Some(90 * 60_000), None);
        is("1500ms", Some(1500), None);
        is("15d or 1GiB", Some(15 * DAY_MS), Some(1 << 30));
        is("0s or 512MB", None, Some(512 << 20));
        is("512MB", None, Some(512 << 20));
        is("0s", Some(15 * DAY_MS), None);
        for wrong in ["fifteen days", "15", "15dd", "GB", "15d or much"] {
            assert_eq!(Retention::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_block_that_ends_a_retention_before_the_newest_is_deleted_at_the_start() {
        let metas = [meta(1, 2), meta(2, 4), meta(3, 26)];
        assert_eq!(all(&metas, "1d", 26), [Fate::TooOld, Fate::Stays, Fate::Stays]);
        assert_eq!(all(&metas, "22h", 26), [Fate::TooOld, Fate::TooOld, Fate::Stays]);
    }

    #[test]
    fn old_blocks_alone_stay_until_the_head_makes_a_block() {
        let metas = [meta(1, 2), meta(2, 4)];
        assert_eq!(all(&metas, "1d", 1000), [Fate::TooOldSoon, Fate::TooOldSoon]);
        assert_eq!(all(&metas, "1d", 26), [Fate::TooOldSoon, Fate::Stays]);
    }

    #[test]
    fn the_size_is_counted_from_the_newest_block_and_everything_beyond_goes() {
        let metas = [meta(1, 2), meta(2, 4), meta(3, 6)];
        assert_eq!(all(&metas, "250B", 6), [Fate::TooMuch, Fate::Stays, Fate::Stays]);
        assert_eq!(all(&metas, "99B", 6), [Fate::TooMuch; 3]);
    }

    #[test]
    fn a_parent_beside_its_descendant_and_an_emptied_block_go_at_the_start() {
        let mut metas = [meta(1, 2), meta(2, 4), meta(3, 4)];
        let parent = BlockParent { ulid: metas[0].ulid, min_time: 0, max_time: 1 };
        metas[1].compaction.parents.push(parent);
        metas[2].compaction.deletable = true;
        let by = metas[1].ulid;
        assert_eq!(all(&metas, "15d", 4), [Fate::Superseded { by }, Fate::Stays, Fate::Emptied]);
        assert!(all(&metas, "15d", 4)[0].is_gone_at_start());
    }

    #[test]
    fn a_block_that_names_itself_as_its_parent_is_not_its_own_descendant() {
        let mut metas = [meta(1, 2)];
        metas[0].compaction.parents.push(BlockParent { ulid: metas[0].ulid, min_time: 0, max_time: 1 });
        assert_eq!(all(&metas, "15d", 2), [Fate::Stays]);
    }
}
