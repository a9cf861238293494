//! What a check found out about one block.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::BlockMeta;

/// Everything a full read of one block told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockReport {
    /// The name of the block's folder.
    pub name: String,
    /// `meta.json`, where it could be parsed.
    pub meta: Option<BlockMeta>,
    /// What is wrong; empty for a good block. Bounded: the first few, then a count.
    pub damage: Vec<Damage>,
    /// Facts a running Prometheus can be asked about after a restore.
    pub probes: Vec<Probe>,
    /// Bytes of all files.
    pub bytes: u64,
}

impl BlockReport {
    /// Nothing is wrong with the block.
    pub fn is_good(&self) -> bool {
        self.damage.is_empty()
    }
}

/// One thing that is wrong with a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{file}: {problem}")]
pub struct Damage {
    /// The file inside the block's folder: `chunks/000001`, `index`, `meta.json`, `tombstones`.
    pub file: String,
    /// What is wrong with it, and where: `chunk at 8: checksum mismatch`.
    pub problem: String,
    /// Prometheus does not start, or silently skips the block, while it lies in its data folder like this.
    pub keeps_prometheus_down: bool,
}

/// A series of the block and how many samples it has there: after a restore, Prometheus must answer the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// All labels, `__name__` included.
    pub labels: BTreeMap<String, String>,
    /// Time of its first sample in the block, Unix milliseconds.
    pub first: i64,
    /// Time of its last sample in the block that is not a staleness marker, Unix milliseconds.
    pub last: i64,
    /// Samples in `first..=last` as PromQL counts them: staleness markers left out.
    pub samples: u64,
}
