//! Deleting old blocks: what may go and why, as pure data, and how it goes.
//!
//! A block goes only when every rule allows it; a rule that cannot be decided keeps the block. The plan reads neither a
//! file nor the clock, so that a dry run and the run itself decide by the same code.

mod copies;
mod error;
mod mapped;
mod rules;
mod run;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::block::BlockReport;
use super::contents::Covered;
use super::folder_op::FolderState;
pub use copies::{Copies, Holder};
pub use error::CleanupError;
pub use rules::{cutoff, plan};
pub use run::{Cleaned, Cleanup, must_be_open, must_be_quiet};

/// What a cleanup may delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Blocks all of whose samples are older than this may go.
    pub older_than: Duration,
    /// Only what a good backup holds may go.
    pub require_backup: bool,
    /// How many of a thousand blocks may go at once.
    pub max_permille: u16,
}

/// Whether the stored files of a copy were read just before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reread {
    /// Not yet: enough for a preview, never for a deletion.
    Unread,
    /// They match their hashes.
    Good,
    /// They do not.
    Bad,
}

/// A block as a backup holds it.
#[derive(Debug, Clone)]
pub struct Copy {
    /// The backup: `JOB/ID`.
    pub backup: String,
    /// How long its retention keeps that backup; `None` where it may be deleted at any time.
    pub kept: Option<Kept>,
    /// The backup as a whole is good.
    pub good: bool,
    /// What was found of the block when it was stored.
    pub report: BlockReport,
    /// Whether its stored files were read just before.
    pub reread: Reread,
}

/// How long a backup is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Its earliest end; nothing where it has none, or nobody knows.
    pub until: Option<Timestamp>,
    /// The same in words, with the reason.
    pub words: String,
}

/// What the plan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// To tell: the stored files may still be unread.
    Preview,
    /// To delete: they must have been read.
    Delete,
}

/// What is known when a cleanup is planned.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The data folder.
    pub folder: &'a FolderState,
    /// The copies in backups, in order of preference.
    pub copies: &'a [Copy],
    /// The time.
    pub now: Timestamp,
    /// What the plan is for.
    pub stage: Stage,
}

/// What is decided about one block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// The block's folder.
    pub block: String,
    /// The time it covers, where it says so.
    pub covered: Option<Covered>,
    /// Bytes of its files.
    pub bytes: u64,
    /// It goes, or why it stays.
    pub verdict: Verdict,
    /// The same in words.
    pub reason: String,
    /// The backup that holds it, where one does: `JOB/ID`.
    pub backup: Option<String>,
    /// How long retention keeps that backup.
    pub kept: Option<Kept>,
}

impl Decision {
    /// It goes.
    pub fn goes(&self) -> bool {
        self.verdict == Verdict::Delete
    }
}

/// Whether a block goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every rule allows it.
    #[error("all its samples are older than the limit")]
    Delete,
    /// A restore is unfinished.
    #[error("a restore of this data folder is unfinished")]
    RestoreUnfinished,
    /// The note of earlier restores is damaged.
    #[error("nobody knows which blocks were restored lately")]
    RestoresUnknown,
    /// Nobody can say how old it is.
    #[error("its meta.json cannot be read or names another block")]
    Unreadable,
    /// No other one ends later.
    #[error("it is the newest block")]
    Newest,
    /// It has samples that are younger than the limit.
    #[error("it has samples that are not older than the limit")]
    Young,
    /// A restore put it there a few days ago.
    #[error("a restore of the last 7 days put it there")]
    Restored,
    /// A restore was taken back a few days ago: what it had set aside was put there.
    #[error("a restore was taken back in the last 7 days")]
    TakenBack,
    /// No backup holds it.
    #[error("no backup holds it as it is now")]
    NoBackup,
    /// Backups hold it, and all of them have a damaged file or block.
    #[error("no good backup holds it")]
    NoGoodBackup,
    /// Backups hold it that may be deleted at any time.
    #[error("retention keeps no backup that holds it")]
    NotKept,
    /// The stored files of all backups that hold it are bad or were not read.
    #[error("no stored file that holds it was read just before and found good")]
    StoredFileNotProven,
    /// As many as may go at once are older.
    #[error("max_share of the blocks go at once already")]
    ShareReached,
}
