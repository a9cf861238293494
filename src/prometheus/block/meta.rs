//! `meta.json`, as Prometheus writes it (tsdb/block.go).

use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// The contents of a block's `meta.json`. Unknown fields are ignored: newer versions add some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockMeta {
    /// The block's identity; the name of its folder.
    pub ulid: Ulid,
    /// First instant covered, Unix milliseconds, inclusive.
    pub min_time: i64,
    /// End of the time covered, Unix milliseconds, exclusive.
    pub max_time: i64,
    /// Counts of what the block holds.
    #[serde(default)]
    pub stats: BlockStats,
    /// How the block came to be.
    pub compaction: BlockCompaction,
    /// Format version; Prometheus accepts 1 only.
    pub version: u32,
}

/// What a block holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockStats {
    /// Samples in all chunks.
    #[serde(default)]
    pub num_samples: u64,
    /// Series in the index.
    #[serde(default)]
    pub num_series: u64,
    /// Chunks that the index refers to.
    #[serde(default)]
    pub num_chunks: u64,
    /// Deleted ranges that compaction has not yet applied.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub num_tombstones: u64,
}

/// How a block came to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockCompaction {
    /// 1 for a block cut from the head, higher for merged ones.
    pub level: u32,
    /// The level 1 blocks whose samples are in here.
    #[serde(default)]
    pub sources: Vec<Ulid>,
    /// The blocks it was made from; Prometheus deletes those when it sees this block beside them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<BlockParent>,
    /// All samples are deleted: Prometheus removes the block at its next reload.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deletable: bool,
    /// A compaction of this block failed before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
}

/// A block that another one was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockParent {
    /// Its identity.
    pub ulid: Ulid,
    /// Its first instant, Unix milliseconds.
    pub min_time: i64,
    /// Its exclusive end, Unix milliseconds.
    pub max_time: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form serde calls")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}
