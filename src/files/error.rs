//! What can go wrong with named files.

use std::io;
use std::path::PathBuf;

use super::{FilePath, Lack};
use crate::docker::DockerError;
use crate::regular::NotFollowed;
use crate::rights;
use crate::store::{ArchiveError, StoreError};
use crate::words;

/// Files could not be backed up or restored.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The store could not take or give it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The archive could not be written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The engine did not give or take them.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// The stream out of the container is not a whole archive.
    #[error("Cannot read {path} out of the container {container}")]
    Stream {
        /// The container.
        container: String,
        /// What was asked for.
        path: String,
        /// What went wrong.
        source: io::Error,
    },
    /// Nothing of what was named is there, or could be read.
    #[error("Nothing to back up: {}", each(lacks))]
    Nothing {
        /// What is not there or could not be read, and why.
        lacks: Vec<Lack>,
    },
    /// The contents could not be written as JSON.
    #[error("Cannot describe the backup")]
    Describe {
        /// What went wrong.
        source: serde_json::Error,
    },
    /// A file or folder could not be put in place.
    #[error("Could not {doing} {}", path.display())]
    Place {
        /// A verb.
        doing: &'static str,
        /// What.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is in the archive is not what the manifest says.
    #[error("{path} in the backup is not the file that its manifest describes")]
    Differs {
        /// The file.
        path: FilePath,
    },
    /// It is a backup of something else.
    #[error("{title} is a {kind} backup, not one of files")]
    OtherKind {
        /// The backup.
        title: String,
        /// Its kind.
        kind: String,
    },
    /// Something stands where something else has to be.
    #[error("{what}")]
    InTheWay {
        /// What, and where.
        what: String,
    },
    /// What a restore would replace could not be kept, so nothing was written.
    #[error(
        "Nothing was changed, because what is there could not be kept and would be lost: {}",
        each(lacks)
    )]
    NotKept {
        /// What could not be kept, and why.
        lacks: Vec<Lack>,
    },
    /// Some of it was written, and then it failed.
    #[error("{}", halfway(done.len(), *undoing))]
    Halfway {
        /// What is written already, as the backup names it.
        done: Vec<FilePath>,
        /// It was a restore that was taken back.
        undoing: bool,
        /// What went wrong then.
        source: Box<Self>,
    },
    /// There is no restore to take back.
    #[error("There is no restore of {job} to take back")]
    NothingToUndo {
        /// The job.
        job: String,
    },
    /// The run was told to stop.
    #[error("It was stopped before it was complete")]
    Cancelled,
}

fn each(lacks: &[Lack]) -> String {
    lacks.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn halfway(done: usize, undoing: bool) -> String {
    let what = if undoing { "Taking the restore back" } else { "The restore" };
    match done {
        0 => format!("{what} failed at its first change"),
        _ => format!("{what} failed after {}", words::count(done, "change")),
    }
}

impl FilesError {
    /// It happened while files were written, and these are.
    pub(super) fn halfway(self, done: Vec<FilePath>, undoing: bool) -> Self {
        Self::Halfway { done, undoing, source: Box::new(self) }
    }

    /// The same may work a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Docker(error) => error.is_transient(),
            Self::Stream { .. } => true,
            _ => false,
        }
    }

    /// A restore, or its taking back, was not begun, as things are or because there is nothing to do it with.
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::NothingToUndo { .. } | Self::InTheWay { .. } | Self::OtherKind { .. })
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Archive(error) => error.hint(),
            Self::Docker(error) => error.hint(),
            Self::Stream { source, .. } => {
                let docker = source.get_ref().and_then(|inner| inner.downcast_ref::<DockerError>());
                let rest = || Some("exclude what is written all the time, or make it rest".to_owned());
                docker.map_or_else(rest, DockerError::hint)
            }
            Self::Halfway { undoing, source, .. } => {
                let next = if *undoing {
                    "`watchkeeper restore JOB --undo` again does the rest"
                } else {
                    "`watchkeeper restore JOB --undo` takes back what was written; the same restore again writes the rest"
                };
                let first = source.hint().map(|hint| format!("{hint}; "));
                Some(format!("{}{next}", first.unwrap_or_default()))
            }
            Self::NotKept { .. } => {
                Some(format!("{}; or move it away, then try again", rights::files_hint("the files")))
            }
            Self::Nothing { lacks } if lacks.iter().any(Lack::is_denied) => {
                Some(rights::files_hint("the files"))
            }
            Self::Nothing { .. } => Some("look at the \"paths\" of the job".to_owned()),
            Self::Place { source, .. } if NotFollowed::of(source).is_some() => {
                Some(NotFollowed::HINT.to_owned())
            }
            Self::Place { source, .. } => rights::hint(source, "the files"),
            _ => None,
        }
    }
}
