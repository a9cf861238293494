//! Why a dashboard was not changed, and whether the old one is there.

use std::io;
use std::path::PathBuf;

use crate::grafana::GrafanaError;
use crate::grafana::restore::door::WriteError;
use crate::state_dir::StateDirError;
use crate::words;

/// A dashboard was not changed.
#[derive(Debug, thiserror::Error)]
pub enum DashboardError {
    /// The server did not answer as it should.
    #[error(transparent)]
    Grafana(#[from] GrafanaError),
    /// The server did not take it.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The folder of what is kept could not be made.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// The old one could not be kept, or nothing noted of the change.
    #[error("Cannot {doing} {}", path.display())]
    File {
        /// What was to be done with it.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The note of a change is none.
    #[error("{} is no note of a change: {problem}", path.display())]
    BadNote {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// An earlier change was cut, and is to be settled first.
    #[error("A change was cut, and has to be settled first: {what}")]
    Unsettled {
        /// What it was to do.
        what: String,
    },
    /// An earlier change had failed, and the old dashboard is still not there.
    #[error("The old dashboard is still NOT back after a change that failed ({what}): {}", words::chain(&**undo))]
    StillNotBack {
        /// What the change was to do.
        what: String,
        /// Why it could not be taken back.
        undo: Box<DashboardError>,
        /// Where the old one is kept; nothing where there was none.
        backup: Option<PathBuf>,
    },
    /// A file is no dashboard that could be written.
    #[error("{} is no dashboard that can be written: {problem}", path.display())]
    NoDashboard {
        /// The file.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// It comes from a file on the server.
    #[error("The dashboard {uid} comes from a file on the server, which alone can change it")]
    Provisioned {
        /// The UID.
        uid: String,
    },
    /// There is no such folder.
    #[error("Grafana has no folder {name:?}")]
    NoFolder {
        /// Title or UID.
        name: String,
        /// The titles of those that there are.
        folders: Vec<String>,
    },
    /// Several folders have this title.
    #[error("Grafana has several folders {name:?}")]
    Ambiguous {
        /// The title.
        name: String,
        /// Their UIDs.
        uids: Vec<String>,
    },
    /// Somebody else has changed it between the look and the change.
    #[error("The dashboard {uid} was changed since it was looked at")]
    Meanwhile {
        /// The UID.
        uid: String,
    },
    /// What was read back is not what was written.
    #[error("Grafana says that it is saved, but {what}")]
    NotProven {
        /// What there is instead.
        what: String,
    },
    /// Somebody has asked to end it.
    #[error("Interrupted before it was done")]
    Cancelled,
    /// It failed, and all is as it was before.
    #[error("{}; the dashboard is as it was before", words::chain(&**cause))]
    TakenBack {
        /// Why it failed.
        cause: Box<DashboardError>,
    },
    /// It failed, and the old one is not there.
    #[error("{}; the old dashboard is NOT back: {}", words::chain(&**cause), words::chain(&**undo))]
    NotBack {
        /// Why it failed.
        cause: Box<DashboardError>,
        /// Why it could not be taken back.
        undo: Box<DashboardError>,
        /// Where the old one is kept; nothing where there was none.
        backup: Option<PathBuf>,
    },
}

impl DashboardError {
    /// The old one is not there.
    pub const fn not_back(&self) -> bool {
        matches!(self, Self::NotBack { .. } | Self::StillNotBack { .. })
    }

    /// Nothing was begun: what was asked for cannot be.
    pub const fn is_refusal(&self) -> bool {
        !matches!(
            self,
            Self::TakenBack { .. } | Self::NotBack { .. } | Self::StillNotBack { .. } | Self::Cancelled
        )
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Grafana(error) | Self::Write(WriteError::Server(error)) => return error.hint(),
            Self::StateDir(error) => return error.hint(),
            Self::TakenBack { cause } => return cause.hint(),
            Self::NoFolder { folders, .. } if folders.is_empty() => "it has none; make it first".to_owned(),
            Self::NoFolder { folders, .. } => format!("the folders are: {}", folders.join(", ")),
            Self::Ambiguous { uids, .. } => format!("name one by its UID: {}", uids.join(", ")),
            Self::Meanwhile { .. } => "look at it, and do it again".to_owned(),
            Self::NotBack { backup: Some(backup), .. } | Self::StillNotBack { backup: Some(backup), .. } => {
                format!("`watchkeeper change dashboard {}` brings the old one back", backup.display())
            }
            Self::NotBack { backup: None, .. } | Self::StillNotBack { backup: None, .. } => {
                "there was none before: delete it in Grafana, or let the next `watchkeeper change dashboard` do it".to_owned()
            }
            Self::Unsettled { .. } => "do it again: that is settled first".to_owned(),
            Self::BadNote { path, .. } => format!(
                "look at the dashboard in Grafana, and remove {}: the old ones that were kept are beside it",
                path.display()
            ),
            _ => return None,
        })
    }
}
