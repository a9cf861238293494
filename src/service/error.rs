//! Why a service could not be stopped or started.

use std::io;
use std::time::Duration;

use crate::docker::DockerError;
use crate::rights;

/// Why a service could not be stopped or started, or what it is doing could not be told.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The engine could not do it.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// The target is a container, but no engine was connected to.
    #[error("Container {name:?} cannot be controlled without a Docker engine")]
    NoDocker {
        /// The container's name.
        name: String,
    },
    /// Nobody has said how the target is stopped and started.
    #[error("Target {target:?} has to be {verb}, but nothing says how")]
    NoControl {
        /// The target's name.
        target: String,
        /// `stopped`, `started` or `reloaded`.
        verb: &'static str,
    },
    /// The command could not be run at all.
    #[error("Could not run {command:?}")]
    NotRun {
        /// The command.
        command: String,
        /// Why not.
        source: io::Error,
    },
    /// The command said no.
    #[error("{command:?} failed ({status}): {output}")]
    Failed {
        /// The command.
        command: String,
        /// How it ended.
        status: String,
        /// The end of what it said.
        output: String,
    },
    /// systemd does not let this user do it.
    #[error("{command:?} was denied: {output}")]
    Denied {
        /// The command.
        command: String,
        /// The unit.
        unit: String,
        /// The end of what it said.
        output: String,
    },
    /// The command took too long, and was killed.
    #[error("{command:?} took longer than {limit:?}")]
    TimedOut {
        /// The command.
        command: String,
        /// How long it was waited for.
        limit: Duration,
    },
}

impl ServiceError {
    /// Trying again later may succeed without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Docker(error) => error.is_transient(),
            Self::TimedOut { .. } => true,
            _ => false,
        }
    }

    /// There is nothing any more that could be stopped: its container was removed.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Docker(DockerError::NoContainer { .. }))
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Docker(error) => error.hint(),
            Self::NoControl { verb, .. } => Some(format!(
                "configure service = \"UNIT\" or service = {{ stop = […], start = […] }}, or let it be {verb} by hand"
            )),
            Self::NoDocker { .. } => Some("start Docker, or set DOCKER_HOST".to_owned()),
            Self::NotRun { command, .. } if command.starts_with("systemctl") => {
                Some("without systemd, configure service = { stop = […], start = […] }".to_owned())
            }
            Self::NotRun { .. } => {
                Some("commands run without a shell: name the program with its path".to_owned())
            }
            Self::Denied { unit, .. } => Some(rights::unit_hint(unit)),
            Self::Failed { .. } | Self::TimedOut { .. } => None,
        }
    }
}
