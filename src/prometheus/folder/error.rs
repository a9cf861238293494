//! Why a data folder was not found, or something in it was not done.

use std::io;
use std::path::PathBuf;

use crate::docker::DockerError;
use crate::rights;
use crate::store::archive::ArchiveError;

/// Why a data folder was not found, or something in it was not done.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Docker could not do it.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// The target is in a container, but no engine was connected to.
    #[error("The data of container {name:?} cannot be reached without a Docker engine")]
    NoDocker {
        /// The container's name.
        name: String,
    },
    /// Nothing says where the data are.
    #[error("The data folder of {target:?} is not known: {tried}")]
    Unknown {
        /// The target's name.
        target: String,
        /// What was looked at.
        tried: String,
    },
    /// There is no folder where it was said to be.
    #[error("The data folder of {target:?} is not {path:?}, which {origin}: there is no such folder")]
    NotThere {
        /// The target's name.
        target: String,
        /// The path.
        path: String,
        /// Who said so.
        origin: &'static str,
    },
    /// The folder cannot be read by this process.
    #[error("The data folder {} cannot be used directly", .path.display())]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Direct access was asked for, but the container's folder is not a path here.
    #[error("The data folder {path:?} of container {name:?} cannot be reached by a path on this host")]
    NotOnHost {
        /// The container's name.
        name: String,
        /// The path inside it.
        path: String,
    },
    /// The folder goes with the container.
    #[error("The data folder {path:?} of container {name:?} lies in no volume")]
    NoVolume {
        /// The container's name.
        name: String,
        /// The path inside it.
        path: String,
    },
    /// A stream was asked for where the path is at hand.
    #[error("The data folder {folder} is reached directly, not through Docker")]
    NotThroughDocker {
        /// The folder.
        folder: String,
    },
    /// A path led out of the folder.
    #[error("{relative:?} does not name anything inside the data folder")]
    Outside {
        /// The path.
        relative: String,
    },
    /// An operation could not be written down.
    #[error("Could not put an operation into JSON")]
    Operation {
        /// Why not.
        source: serde_json::Error,
    },
    /// Our binary beside the container ended without an answer.
    #[error("The operation on {folder} ended with exit code {exit_code} and without a reply: {said}")]
    NoReply {
        /// The folder.
        folder: String,
        /// The exit code.
        exit_code: i64,
        /// The end of what it said.
        said: String,
    },
    /// An operation here panicked.
    #[error("The operation on {folder} broke down")]
    Panicked {
        /// The folder.
        folder: String,
        /// How.
        source: tokio::task::JoinError,
    },
    /// A tar stream could not be unpacked.
    #[error("Could not unpack into {}", .path.display())]
    Unpack {
        /// Where it was to go.
        path: PathBuf,
        /// Why not.
        source: ArchiveError,
    },
}

impl FolderError {
    /// Trying again later may succeed without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Docker(error) if error.is_transient())
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Docker(error) => return error.hint(),
            Self::NoDocker { .. } => "start Docker, or set DOCKER_HOST",
            Self::Unknown { .. } | Self::NotThere { .. } => {
                "configure data_dir = \"/path\", the path as Prometheus sees it"
            }
            Self::Unusable { .. } => return Some(rights::files_hint("the data folder")),
            Self::NotOnHost { .. } => {
                return Some(format!(
                    "configure access = \"docker\"; or, on the engine's machine: {}",
                    rights::files_hint("the volume")
                ));
            }
            Self::NoVolume { .. } => {
                "mount a volume or a folder there: without, the data go with the container"
            }
            Self::NoReply { exit_code: 137, .. } => "the helper was killed: is the machine out of memory?",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
