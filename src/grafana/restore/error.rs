//! What can go wrong with a restore, and what it leaves behind.

use std::io;
use std::path::PathBuf;

use super::door::WriteError;
use super::secrets::SecretsError;
use crate::grafana::GrafanaError;
use crate::grafana::bundle::BundleError;
use crate::store::{ArchiveError, BackupId, StoreError};

/// A Grafana could not be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The server did not give or take what it was to, before anything was written.
    #[error(transparent)]
    Grafana(#[from] GrafanaError),
    /// The file of secrets cannot be used.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// It is a backup of something else.
    #[error("{title} is a {kind} backup, not an export of a Grafana")]
    OtherKind {
        /// The backup.
        title: String,
        /// Its kind.
        kind: String,
    },
    /// What was named is not in the backup.
    #[error("{option} {selector} fits nothing in {title}: nothing was written")]
    FitsNothing {
        /// The option.
        option: &'static str,
        /// What stands there.
        selector: String,
        /// The backup.
        title: String,
        /// What may have been meant: `dashboards/overview (Overview)`.
        near: Vec<String>,
    },
    /// The plan says that it cannot be done.
    #[error("The restore cannot be done, and nothing was written: {refusal}")]
    Refused {
        /// Why.
        refusal: String,
    },
    /// The server is not as it was when the plan was shown.
    #[error("Grafana at {url} was changed since the plan was made: nothing was written")]
    Changed {
        /// The server's base URL.
        url: String,
    },
    /// Some objects were not restored, and the others were.
    #[error("{} {} not restored: {}; {written} of the others {} written", failed.len(), if failed.len() == 1 { "object was" } else { "objects were" }, failed.join("; "), if *written == 1 { "was" } else { "were" })]
    Incomplete {
        /// How many were written as they were to be.
        written: usize,
        /// Something was sent that the server has not turned away.
        touched: bool,
        /// Those that were not, and why.
        failed: Vec<String>,
    },
    /// The server as a whole gave up in between.
    #[error("The restore stopped in the middle, after {written} objects were written")]
    Stopped {
        /// How many certainly were.
        written: usize,
        /// Something may have been written.
        touched: bool,
        /// What went wrong.
        source: Box<GrafanaError>,
    },
    /// Whoever ran it told it to stop.
    #[error("The restore was told to stop, after {written} objects were written")]
    Cut {
        /// How many certainly were written.
        written: usize,
        /// Something may have been written.
        touched: bool,
    },
    /// There is no restore to take back.
    #[error("There is no restore of {job} to take back")]
    NothingToUndo {
        /// The job.
        job: String,
    },
    /// What was there before the first of the restores that belong together is no longer kept.
    #[error(
        "What was there before the restore was kept as {id}, which is not there any more: nothing was taken back"
    )]
    Forgotten {
        /// What was kept.
        id: BackupId,
    },
    /// A folder has no manifest in it, or there is nothing at all.
    #[error("There is no {} {}", if path.is_dir() { "backup in" } else { "file" }, path.display())]
    NoBackup {
        /// The folder, or what is not there.
        path: PathBuf,
    },
    /// A file of this host could not be written or read.
    #[error("Could not {doing} {}", path.display())]
    Place {
        /// A verb.
        doing: &'static str,
        /// What.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl RestoreError {
    /// Something was written, and it is neither the old nor the new.
    pub fn data_not_back(&self) -> bool {
        matches!(
            self,
            Self::Incomplete { touched: true, .. }
                | Self::Stopped { touched: true, .. }
                | Self::Cut { touched: true, .. }
        )
    }

    /// The same may work a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Grafana(error) => error.is_transient(),
            Self::Stopped { source, .. } => source.is_transient(),
            _ => false,
        }
    }

    /// Whoever ran it told it to stop.
    pub fn is_interruption(&self) -> bool {
        matches!(self, Self::Cut { .. } | Self::Grafana(GrafanaError::Cancelled))
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let again = "run the restore again: it writes only what still differs; or take it back with --undo";
        Some(match self {
            Self::Grafana(error) => return error.hint(),
            Self::Secrets(error) => return error.hint(),
            Self::OtherKind { .. } => "name a backup of a grafana-export job".to_owned(),
            Self::FitsNothing { near, .. } if near.is_empty() => {
                "`--dry-run` without it lists all that is in the backup".to_owned()
            }
            Self::FitsNothing { near, .. } => format!("did you mean {}?", near.join(", or ")),
            Self::Changed { .. } => "look at it again, with --dry-run, and restore then".to_owned(),
            Self::Incomplete { touched: false, .. } => {
                "nothing was written; what stands in the way is said above".to_owned()
            }
            Self::Incomplete { .. } => {
                format!("{again}; `--exclude TYPE/UID` leaves out what cannot be restored")
            }
            Self::Stopped { source, .. } => match source.hint() {
                Some(hint) => format!("{hint}; then {again}"),
                None => again.to_owned(),
            },
            Self::Cut { .. } => again.to_owned(),
            Self::NoBackup { .. } => "name its manifest, or its archive".to_owned(),
            Self::Forgotten { .. } => {
                "restore the export that shows what you want; `watchkeeper backups` lists all, those from before restores too"
                    .to_owned()
            }
            Self::Refused { .. } | Self::NothingToUndo { .. } | Self::Place { .. } => return None,
        })
    }
}

impl From<BundleError> for RestoreError {
    fn from(error: BundleError) -> Self {
        Self::Grafana(error.into())
    }
}

impl From<StoreError> for RestoreError {
    fn from(error: StoreError) -> Self {
        Self::Grafana(error.into())
    }
}

impl From<ArchiveError> for RestoreError {
    fn from(error: ArchiveError) -> Self {
        Self::Grafana(error.into())
    }
}

/// Before anything is written, a refusal of the server is one of the whole restore.
impl From<WriteError> for RestoreError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Refused(refusal) | WriteError::Wrong(refusal) => Self::Refused { refusal },
            WriteError::Server(error) => error.into(),
        }
    }
}
