//! What is done inside a Prometheus data folder, as data.
//!
//! A data folder is either a path here or inside a container that may have no shell. So each operation is a
//! value: on the host it is performed directly, for a container the same code performs it in a helper container
//! that runs this very binary (`watchkeeper folder-op`), with the value as JSON in and the reply as JSON out.

mod blocks;
mod error;
mod exchange;
mod files;
mod guard;
#[cfg(test)]
mod hazards;
mod inspect;
mod journal;
#[cfg(test)]
mod live;
mod past;
#[cfg(test)]
mod random;
mod restore;
mod serve;
mod shim;
pub mod survey;
#[cfg(test)]
mod tests;

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::block::{BlockMeta, BlockReport};
use crate::store::Owner;
use error::FolderOpError;
pub use serve::{serve, serve_all};
use survey::SurveyedBlock;

/// One operation on a data folder. Each can be repeated: a second time finds nothing left to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum FolderOp {
    /// Looks, and changes nothing. Replies [`FolderReply::Folder`].
    Inspect,
    /// Removes `snapshots/<name>`, of a link that has its place the link alone, and the then empty `snapshots` never. Replies [`FolderReply::Folder`].
    RemoveSnapshot {
        /// The snapshot's name; anything that is not one plain path component is refused.
        name: String,
    },
    /// Sees that `snapshots/<name>` is a folder, and leads nowhere else. Replies [`FolderReply::Done`].
    FindSnapshot {
        /// The snapshot's name; anything that is not one plain path component is refused.
        name: String,
    },
    /// Tells of every block of `snapshots/<name>` what can be known without reading its data, as [`Told::Block`].
    /// Replies [`FolderReply::Done`].
    Survey {
        /// The snapshot's name; anything that is not one plain path component is refused.
        name: String,
    },
    /// Begins a restore: makes its work folder with the journal and the empty staging folder.
    /// Replies [`FolderReply::Restore`].
    Prepare {
        /// What the restore is.
        note: RestoreNote,
    },
    /// Reads every staged block fully, gives the files the folder's owner and modes, and syncs them to the disk.
    /// Replies [`FolderReply::Staged`].
    CheckStaged {
        /// The restore.
        restore: Ulid,
    },
    /// Notes whether Prometheus is stopped for the restore or for its undoing. Replies [`FolderReply::Restore`].
    NoteDown {
        /// The restore.
        restore: Ulid,
        /// It is stopped, or about to be; else it runs again.
        down: bool,
    },
    /// Makes the staged data live and sets the old aside. Killed at any point it can be performed again.
    /// Replies [`FolderReply::Restore`].
    Swap {
        /// The restore.
        restore: Ulid,
    },
    /// Notes that the new data were proven. Replies [`FolderReply::Restore`].
    Accept {
        /// The restore.
        restore: Ulid,
    },
    /// Makes the old data live again and sets what is live aside. Replies [`FolderReply::Restore`].
    Undo {
        /// The restore.
        restore: Ulid,
    },
    /// Removes what was set aside, with the work folder. Refused in the middle of a swap.
    /// Replies [`FolderReply::Folder`].
    Discard {
        /// The restore.
        restore: Ulid,
    },
    /// Removes blocks, and what an earlier removal that was killed has left. Refused as a whole where one of them is
    /// another than was decided about, or where none would stay that is newer. Replies [`FolderReply::Removed`].
    RemoveBlocks {
        /// Which.
        blocks: Vec<DoomedBlock>,
    },
}

/// A block that is to be removed, as it was when that was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoomedBlock {
    /// Its folder.
    pub name: String,
    /// Its exclusive end, Unix milliseconds.
    pub max_time: i64,
    /// How many samples it has.
    pub samples: u64,
}

/// A block that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedBlock {
    /// Its folder.
    pub name: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// Bytes of those that something else links too, such as a snapshot: they stay on the disk.
    pub linked_bytes: u64,
}

/// What a restore is, noted in its journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreNote {
    /// Its identity: the run's.
    pub restore: Ulid,
    /// When it began.
    pub began: Timestamp,
    /// What is restored, in words: `prometheus-snapshot/20261123T020000Z`, or a path.
    pub source: String,
    /// The blocks that are put in place, by name.
    pub blocks: Vec<String>,
}

/// How far a restore is. It is unfinished in every phase but [`Phase::Proven`] and [`Phase::Undone`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The new data are being put beside the old; the live data are untouched.
    Staging,
    /// The live data are being exchanged; Prometheus finds all old or all new data.
    Swapping,
    /// The new data are live and the old set aside, but nobody has proven the new ones yet.
    Swapped,
    /// The new data are live and proven; the old are set aside.
    Proven,
    /// The old data are being put back; Prometheus finds all old or all new data.
    Undoing,
    /// The old data are live again; what was live before that is set aside.
    Undone,
}

impl Phase {
    /// The restore needs somebody to finish it or to take it back.
    pub const fn is_unfinished(self) -> bool {
        !matches!(self, Self::Proven | Self::Undone)
    }
}

/// A restore whose work folder lies in the data folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreState {
    /// What it is.
    pub note: RestoreNote,
    /// How far it is.
    pub phase: Phase,
    /// When it got so far, by the clock of the data folder's host.
    pub changed: Timestamp,
    /// Bytes of what is set aside.
    pub set_aside_bytes: u64,
    /// Prometheus was stopped for it, and nobody has noted that it runs again.
    #[serde(default)]
    pub down: bool,
}

/// A block folder as it lies there; only its `meta.json` was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderBlock {
    /// The folder's name.
    pub name: String,
    /// Its `meta.json`, where that could be read.
    pub meta: Option<BlockMeta>,
    /// Bytes of its files.
    pub bytes: u64,
    /// Its files belong to somebody other than the data folder does: Prometheus cannot delete or hard-link them.
    pub foreign_owner: bool,
}

/// What a data folder holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderState {
    /// Its owner and mode.
    pub owner: Owner,
    /// Bytes that are free on its file system for an ordinary user.
    pub free_bytes: u64,
    /// The blocks, by name.
    pub blocks: Vec<FolderBlock>,
    /// Bytes of WAL and head chunks.
    pub head_bytes: u64,
    /// The names in `snapshots/`, sorted.
    pub snapshots: Vec<String>,
    /// The restores whose work folders lie here, oldest first.
    pub restores: Vec<RestoreState>,
    /// Those whose work folders are gone.
    pub past: Vec<RestoreState>,
    /// Why nobody knows which those are, if so.
    pub past_problem: Option<String>,
    /// The block folders that a compaction writes at this moment, or wrote when it was killed.
    pub creating: Vec<String>,
    /// The block folders that are being removed, or were when somebody was killed.
    pub deleting: Vec<String>,
    /// A process holds the folder's `lock` file.
    pub locked: bool,
    /// Why whoever looked may not remove blocks and snapshots, if so.
    pub closed: Option<Box<FolderFailure>>,
}

impl FolderState {
    /// The restore that is unfinished, if there is one.
    pub fn unfinished(&self) -> Option<&RestoreState> {
        self.restores.iter().find(|restore| restore.phase.is_unfinished())
    }

    /// The newest restore that is finished, but for the start of the Prometheus that was stopped for it.
    pub fn left_down(&self) -> Option<&RestoreState> {
        self.restores.iter().rev().find(|restore| restore.down && !restore.phase.is_unfinished())
    }
}

/// What came of a [`FolderOp`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum FolderReply {
    /// The folder as it is now.
    Folder(FolderState),
    /// The restore as it is now.
    Restore(RestoreState),
    /// What the staged blocks were found to be.
    Staged {
        /// One report for each staged block.
        blocks: Vec<BlockReport>,
    },
    /// What was removed.
    Removed {
        /// The blocks.
        blocks: Vec<RemovedBlock>,
    },
    /// It was done, and there is nothing to say beside what was told.
    Done,
    /// It was not done.
    Failed(FolderFailure),
}

/// Why an operation was not done, as it travels out of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{reason}")]
pub struct FolderFailure {
    /// The error with its causes.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// What is told while an operation is performed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// How many more bytes were read.
    Bytes(u64),
    /// One block of a survey.
    Block(Box<SurveyedBlock>),
}

/// Performs an operation on the data folder `root`. `tell` is told what was read and found, piece by piece.
pub fn perform(
    root: &Path,
    op: &FolderOp,
    tell: &mut dyn FnMut(Told),
    cancel: &CancellationToken,
) -> FolderReply {
    let state = |state| FolderReply::Restore(state);
    let done = match op {
        FolderOp::Inspect => inspect::folder(root).map(FolderReply::Folder),
        FolderOp::RemoveSnapshot { name } => {
            inspect::remove_snapshot(root, name).and_then(|()| inspect::folder(root)).map(FolderReply::Folder)
        }
        FolderOp::FindSnapshot { name } => inspect::find_snapshot(root, name).map(|()| FolderReply::Done),
        FolderOp::Survey { name } => survey::snapshot(root, name, tell, cancel).map(|()| FolderReply::Done),
        FolderOp::Prepare { note } => restore::prepare(root, note).map(state),
        FolderOp::CheckStaged { restore } => {
            restore::check_staged(root, *restore, &mut |bytes| tell(Told::Bytes(bytes)), cancel)
                .map(|blocks| FolderReply::Staged { blocks })
        }
        FolderOp::NoteDown { restore, down } => restore::note_down(root, *restore, *down).map(state),
        FolderOp::Swap { restore } => restore::swap(root, *restore).map(state),
        FolderOp::Accept { restore } => restore::accept(root, *restore).map(state),
        FolderOp::Undo { restore } => restore::undo(root, *restore).map(state),
        FolderOp::Discard { restore } => {
            restore::discard(root, *restore).and_then(|()| inspect::folder(root)).map(FolderReply::Folder)
        }
        FolderOp::RemoveBlocks { blocks } => {
            blocks::remove(root, blocks).map(|blocks| FolderReply::Removed { blocks })
        }
    };
    done.unwrap_or_else(|error: FolderOpError| FolderReply::Failed(error.into()))
}

/// Where the new data of a restore are put, relative to the data folder. `Prepare` makes it.
pub fn staging(restore: Ulid) -> String {
    format!("{}/new", work_folder(restore))
}

/// The work folder of a restore, relative to the data folder: Prometheus ignores it.
pub fn work_folder(restore: Ulid) -> String {
    format!(".watchkeeper-restore-{restore}")
}
