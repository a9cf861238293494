//! What can go wrong in a restore, and what to do about each.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::source::Damaged;
use super::warn::Refusal;
use crate::prometheus::block::CheckDirError;
use crate::prometheus::client::ClientError;
use crate::prometheus::folder::FolderError;
use crate::prometheus::folder_op::FolderFailure;
use crate::service::ServiceError;
use crate::store::halfway::NOTE;
use crate::store::{ArchiveError, StoreError};
use crate::words::chain;

/// A source cannot be read, or is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It, or something in it, cannot be opened.
    #[error("Cannot open {}", path.display())]
    Open {
        /// What.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// It is nothing that can be restored.
    #[error("{} is neither a manifest, nor an archive, nor a folder with blocks", path.display())]
    Unknown {
        /// What.
        path: PathBuf,
    },
    /// It is what is left of an unpacking that was cut.
    #[error("{} holds only a part of a backup: unpacking it was cut", path.display())]
    Halfway {
        /// The folder.
        path: PathBuf,
    },
    /// There is no block in it.
    #[error("{} holds no Prometheus block: no folder in it is named like one", path.display())]
    NoBlocks {
        /// What.
        path: PathBuf,
    },
    /// The store has something to say about the manifest or its files.
    #[error(transparent)]
    Manifest {
        /// What.
        source: Box<StoreError>,
    },
    /// It is a backup of something else.
    #[error("{title} is a {kind} backup, not one of Prometheus's data")]
    OtherKind {
        /// The backup.
        title: String,
        /// Its kind.
        kind: String,
    },
    /// Stored files are not those that were stored.
    #[error("{0}")]
    Damaged(Damaged),
    /// The archive cannot be read to its end.
    #[error("Cannot read {}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What went wrong.
        source: Box<ArchiveError>,
    },
    /// A block cannot be checked.
    #[error(transparent)]
    Block {
        /// What went wrong.
        source: CheckDirError,
    },
    /// The place for the largest index failed.
    #[error("Cannot keep an index in {} while it is checked", path.display())]
    Spool {
        /// The folder.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// A file cannot be copied.
    #[error("Cannot copy {}", path.display())]
    Copy {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// Whoever takes the data ended.
    #[error("Cannot hand the blocks over")]
    Stream {
        /// What went wrong.
        source: io::Error,
    },
    /// It was told to stop.
    #[error("It was interrupted")]
    Cancelled,
}

impl SourceError {
    /// An error of an archive, unless it was told to stop.
    pub(super) fn archive(path: &Path, source: ArchiveError, cancel: &CancellationToken) -> Self {
        if cancel.is_cancelled() {
            return Self::Cancelled;
        }
        Self::Archive { path: path.to_path_buf(), source: Box::new(source) }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Manifest { source } => source.hint(),
            Self::Damaged(damaged) => Some(damaged.hint()),
            Self::Archive { .. } => {
                Some("a run of its job stores anew what is bad while Prometheus still has it; else try a backup that does not share the file: verify checks them all".into())
            }
            Self::Halfway { .. } => Some(format!(
                "unpack the backup again, into another folder; where this part is all there is, remove {NOTE} from it"
            )),
            Self::NoBlocks { .. } => Some(
                "blocks are folders with names of 26 letters and digits, like 01HF0Z1K2M3N4P5Q6R7S8T9V0W"
                    .into(),
            ),
            _ => None,
        }
    }
}

/// A restore, or a part of one, was not done.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The source.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It cannot be done as things are.
    #[error("{refusal}")]
    Refused {
        /// Why.
        refusal: Refusal,
    },
    /// An operation on the data folder was not done.
    #[error("Cannot {action}")]
    Folder {
        /// Completes "Cannot …".
        action: &'static str,
        /// Why.
        source: FolderFailure,
    },
    /// What arrived in the data folder is not what was sent.
    #[error("The staged blocks are not those of the backup: {}", problems.join("; "))]
    Staged {
        /// How.
        problems: Vec<String>,
    },
    /// Prometheus was not stopped or not started.
    #[error("Cannot {action}")]
    Service {
        /// Completes "Cannot …".
        action: &'static str,
        /// Why.
        source: FolderFailure,
    },
    /// Prometheus answers, but not what it should.
    #[error(transparent)]
    Client {
        /// What.
        source: ClientError,
    },
    /// Prometheus came up, but did not get ready in time.
    #[error("Prometheus was not ready within {} s{}", limit.as_secs(), last_words(log))]
    NotReady {
        /// How long was waited.
        limit: Duration,
        /// Its last log lines.
        log: Vec<String>,
    },
    /// Its container is paused, and stayed so.
    #[error("Prometheus could not answer for {} s: its container {container} is paused", limit.as_secs())]
    Paused {
        /// The container.
        container: String,
        /// How long was waited.
        limit: Duration,
    },
    /// Prometheus ended instead of getting ready, or while it was asked.
    #[error("Prometheus ended after its start{}", last_words(log))]
    Ended {
        /// Its last log lines.
        log: Vec<String>,
    },
    /// Prometheus runs, but does not show what was restored.
    #[error("Prometheus does not show what was restored: {}", failures.join("; "))]
    Unproven {
        /// What it does not show.
        failures: Vec<String>,
    },
    /// The restore failed, and everything is as it was.
    #[error(
        "The restore failed and was taken back: the old data are live again, and what was restored is set aside"
    )]
    TakenBack {
        /// Why it failed.
        source: Box<RestoreError>,
    },
    /// Making the old data live again failed.
    #[error("{}the old data are NOT back", failed.as_ref().map_or_else(|| String::from("It failed, and "), |e| format!("The restore failed ({}), and ", chain(e.as_ref()))))]
    NotBack {
        /// Why it is taken back, where it was not asked for.
        failed: Option<Box<RestoreError>>,
        /// Why that did not work.
        source: Box<RestoreError>,
        /// What to run next.
        hint: String,
    },
    /// The old data are live again, but nobody serves them.
    #[error("{}the old data are back in place, but Prometheus {target} is not up with them", failed.as_ref().map_or_else(String::new, |e| format!("The restore failed ({}) and was taken back: ", chain(e.as_ref()))))]
    Down {
        /// Why it was taken back, where it was not asked for.
        failed: Option<Box<RestoreError>>,
        /// Why it is not up.
        source: Box<RestoreError>,
        /// The target.
        target: String,
    },
    /// A restore that was cut has stopped it, and it does not come up again.
    #[error(
        "The restore had changed nothing that is live, but has stopped Prometheus {target}, and it is not up"
    )]
    Stopped {
        /// Why it is not up.
        source: Box<RestoreError>,
        /// The target.
        target: String,
    },
    /// There is nothing to resume, undo or discard.
    #[error("There is no restore to {action} in the data folder")]
    NoRestore {
        /// `resume`, `undo`, `discard`.
        action: &'static str,
    },
    /// It was cut before anything was staged completely.
    #[error("The restore of {what} was cut before it touched the live data: it cannot go on")]
    CutEarly {
        /// What was restored.
        what: String,
    },
    /// A folder to unpack into is not empty, or cannot be made.
    #[error("Cannot unpack into {}", path.display())]
    Into {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It was told to stop, and nothing had been changed.
    #[error("The restore was interrupted")]
    Cancelled,
}

impl RestoreError {
    /// An error of the data folder. `action` completes "Cannot …".
    pub(super) fn folder(action: &'static str, error: &FolderError) -> Self {
        Self::Folder { action, source: FolderFailure { reason: chain(error), hint: error.hint() } }
    }

    /// An error of the service. `action` completes "Cannot …".
    pub(super) fn service(action: &'static str, error: &ServiceError) -> Self {
        Self::Service { action, source: FolderFailure { reason: chain(error), hint: error.hint() } }
    }

    /// The same may work a little later. A restore is never tried again by itself.
    pub const fn is_transient(&self) -> bool {
        false
    }

    /// The data that were there before are not live any more, and nothing proven is.
    pub const fn data_not_back(&self) -> bool {
        matches!(self, Self::NotBack { .. })
    }

    /// Nothing was begun, as things are or because there is nothing to do it with.
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::NoRestore { .. } | Self::Refused { .. })
    }

    /// It was told to stop.
    pub fn is_interruption(&self) -> bool {
        match self {
            Self::Cancelled | Self::Source(SourceError::Cancelled) => true,
            Self::TakenBack { source } | Self::Stopped { source, .. } => source.is_interruption(),
            _ => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Source(source) => source.hint(),
            Self::Refused { refusal } => refusal.hint(),
            Self::Folder { source, .. } | Self::Service { source, .. } => source.hint.clone(),
            Self::TakenBack { source } => {
                let more = "`watchkeeper restore JOB --discard-old` removes what was set aside";
                Some(source.hint().map_or_else(|| more.to_owned(), |hint| format!("{hint}; {more}")))
            }
            Self::Client { source } => source.hint(),
            Self::NotBack { hint, .. } => Some(hint.clone()),
            Self::Down { source, .. } => {
                let more = "start Prometheus by hand: its data are those from before the restore";
                Some(source.hint().map_or_else(|| more.to_owned(), |hint| format!("{hint}; {more}")))
            }
            Self::Stopped { source, .. } => {
                let more = "start Prometheus by hand, then run the same again";
                Some(source.hint().map_or_else(|| more.to_owned(), |hint| format!("{hint}; {more}")))
            }
            Self::CutEarly { .. } => Some(
                "drop what it had staged with `watchkeeper restore JOB --undo`, then restore again".into(),
            ),
            Self::NoRestore { action: "undo" } => {
                Some("one that was taken back, or whose old data were discarded, cannot be undone".into())
            }
            Self::NoRestore { action: "resume" } => Some("no restore of it is unfinished".into()),
            Self::NoRestore { .. } => {
                Some("nothing was restored there, or what was set aside is removed already".into())
            }
            Self::Paused { container, .. } => Some(format!(
                "see why it was paused, and leave it running (`docker unpause {container}`); then restore again"
            )),
            Self::Into { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("give a folder on a disk with more room".into())
            }
            Self::Into { .. } => Some("give a folder that is empty or does not exist yet".into()),
            _ => None,
        }
    }
}

fn last_words(log: &[String]) -> String {
    if log.is_empty() { String::new() } else { format!("; it said last: {}", log.join(" | ")) }
}
