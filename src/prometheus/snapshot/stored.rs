//! A block that the store has: what was known when it was stored, and what of it still holds.
//!
//! Index and chunks never change under their names, sizes and times, so a block whose are the same is not read again.
//! Its two small files do change, so what they say is looked at anew each time.

use serde::{Deserialize, Serialize};

use crate::prometheus::block::{BlockReport, recheck};
use crate::prometheus::folder_op::survey::{SmallFile, SurveyedBlock, SurveyedFile};
use crate::store::{SharedFile, digest};

/// What the description of a shared file says about its block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredBlock {
    /// What a full read told when it was stored.
    pub(super) report: BlockReport,
    /// Its index and chunks as they were.
    pub(super) files: Vec<SurveyedFile>,
    /// The `tombstones` with which it was checked.
    tombstones_sha256: Option<String>,
}

impl StoredBlock {
    pub(super) fn new(report: BlockReport, surveyed: Option<&SurveyedBlock>) -> Self {
        let files = surveyed.map(|block| block.files.clone()).unwrap_or_default();
        let tombstones_sha256 = surveyed.and_then(|block| hash(&block.tombstones));
        Self { report, files, tombstones_sha256 }
    }

    /// What a description says; nothing where it does not describe a block.
    pub(super) fn of(shared: &SharedFile) -> Option<Self> {
        serde_json::from_value(shared.about.clone()).ok()
    }

    /// Index and chunks of the block are those that were stored, and they were good.
    pub(super) fn is(&self, surveyed: &SurveyedBlock) -> bool {
        self.report.is_good() && !self.files.is_empty() && self.files == surveyed.files
    }

    /// The report of the block with its small files as they are now.
    pub(super) fn with_small_files_of(&self, surveyed: &SurveyedBlock) -> BlockReport {
        let mut report = recheck(&self.report, surveyed.meta.small(), surveyed.tombstones.small());
        report.bytes = surveyed.bytes();
        // Samples that were deleted since are no longer answered: what was counted then proves nothing.
        if hash(&surveyed.tombstones) != self.tombstones_sha256 {
            report.probes.clear();
        }
        report
    }
}

fn hash(file: &SmallFile) -> Option<String> {
    file.bytes().map(digest::sha256)
}
