//! What can go wrong between this program and a Docker engine, in words that say what to change.

use std::error::Error;
use std::io;
use std::time::Duration;

use bollard::errors::Error as Raw;

use crate::rights;

/// Why something could not be done with Docker.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// The engine's socket is not there.
    #[error("No Docker engine at {host}: its socket does not exist")]
    NoSocket {
        /// The engine's address.
        host: String,
    },
    /// The socket is there, but not for us.
    #[error("Permission to use the Docker engine at {host} was denied")]
    Denied {
        /// The engine's address.
        host: String,
    },
    /// Nobody answers there.
    #[error("The Docker engine at {host} cannot be reached")]
    Unreachable {
        /// The engine's address.
        host: String,
        /// What the attempt ended with.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The address is of a kind this program does not speak.
    #[error("{host:?} is not an address of a Docker engine that can be used")]
    BadHost {
        /// The address as it was given.
        host: String,
    },
    /// There is no such container.
    #[error("There is no container {name:?}")]
    NoContainer {
        /// The container's name.
        name: String,
    },
    /// The image a container was made from is gone, and images are never pulled.
    #[error("The image {image} of container {name:?} is not on the engine any more")]
    NoImage {
        /// The container's name.
        name: String,
        /// The image.
        image: String,
    },
    /// The path does not exist in the container.
    #[error("There is no {path:?} in container {name:?}")]
    NoPath {
        /// The container's name.
        name: String,
        /// The path inside it.
        path: String,
    },
    /// The engine answered with an error.
    #[error("Docker could not {action}: {message} (status {status})")]
    Refused {
        /// What was to be done: `start container "prometheus"`.
        action: String,
        /// The HTTP status.
        status: u16,
        /// What the engine says.
        message: String,
    },
    /// The engine did not answer in time.
    #[error("Docker took longer than {limit:?} to {action}")]
    TimedOut {
        /// What was to be done.
        action: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// A transfer or a helper stopped moving.
    #[error("Nothing moved for {limit:?} while trying to {action}")]
    Stalled {
        /// What was being done.
        action: String,
        /// How long nothing moved.
        limit: Duration,
    },
    /// A transfer broke off.
    #[error("The connection broke off while trying to {action}")]
    Broken {
        /// What was being done.
        action: String,
    },
    /// The container is not stopped although it was told to.
    #[error("Container {name:?} still runs {limit:?} after it was told to stop")]
    StillRunning {
        /// The container's name.
        name: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The caller asked to end it.
    #[error("Cancelled while trying to {action}")]
    Cancelled {
        /// What was being done.
        action: String,
    },
    /// Our own side of a transfer failed.
    #[error("Could not {action}")]
    Local {
        /// What was being done.
        action: String,
        /// Why not.
        source: io::Error,
    },
    /// Anything else the client library reports.
    #[error("Docker could not {action}")]
    Failed {
        /// What was to be done.
        action: String,
        /// What the client library says.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl DockerError {
    /// Trying again later may succeed without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Stalled { .. } | Self::Broken { .. } => {
                true
            }
            Self::Refused { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoSocket { .. } => "start Docker, or set DOCKER_HOST to where its socket is",
            Self::Denied { .. } => return Some(rights::docker_hint()),
            Self::Unreachable { .. } => "check that the engine runs, and DOCKER_HOST where it is set",
            Self::BadHost { .. } => "use unix:///path/to/docker.sock or tcp://host:port",
            Self::NoContainer { .. } => "`docker ps -a` lists the names; configure container = \"NAME\"",
            Self::NoImage { .. } => {
                "images are not pulled: pull it, or make the container anew from one that is there"
            }
            Self::TimedOut { .. } | Self::Stalled { .. } | Self::Broken { .. } | Self::Failed { .. } => {
                "does the engine run, and does it answer? `docker info` and the engine's log tell"
            }
            Self::StillRunning { .. } => "look at `docker logs` and stop it by hand",
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// The engine says that what was named is not there.
    pub(super) fn is_gone(&self) -> bool {
        matches!(
            self,
            Self::NoContainer { .. }
                | Self::NoImage { .. }
                | Self::NoPath { .. }
                | Self::Refused { status: 404, .. }
        )
    }

    /// The engine is at it already, or it is in a state that excludes it.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: 409, .. })
    }
}

/// Turns an error of a connection attempt or request to `host` into ours.
pub(super) fn translate(host: &str, action: &str, raw: Raw) -> DockerError {
    let action = action.to_owned();
    let host = host.to_owned();
    match raw {
        Raw::SocketNotFoundError(_) => DockerError::NoSocket { host },
        Raw::UnsupportedURISchemeError { .. } => DockerError::BadHost { host },
        Raw::DockerResponseServerError { status_code, message } => {
            DockerError::Refused { action, status: status_code, message: message.trim().to_owned() }
        }
        Raw::DockerStreamError { error } => DockerError::Refused { action, status: 200, message: error },
        raw => match io_kind(&raw) {
            Some(io::ErrorKind::PermissionDenied) => DockerError::Denied { host },
            Some(io::ErrorKind::NotFound) => DockerError::NoSocket { host },
            _ if is_connect(&raw) => DockerError::Unreachable { host, source: Box::new(raw) },
            _ => DockerError::Failed { action, source: Box::new(raw) },
        },
    }
}

/// Says which container it was that the engine does not know.
pub(super) fn name_missing(name: &str, error: DockerError) -> DockerError {
    match error {
        // 400 where another container was to have its volumes.
        DockerError::Refused { status: 400 | 404, ref message, .. }
            if message.contains("No such container") =>
        {
            DockerError::NoContainer { name: name.to_owned() }
        }
        other => other,
    }
}

fn is_connect(raw: &Raw) -> bool {
    matches!(raw, Raw::HyperLegacyError { err } if err.is_connect())
}

/// The kind of the I/O error somewhere below; `transparent` variants hide theirs from `source()`.
fn io_kind(raw: &Raw) -> Option<io::ErrorKind> {
    if let Raw::IOError { err } = raw {
        return Some(err.kind());
    }
    let mut cause: Option<&(dyn Error + 'static)> = raw.source();
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_problem_says_root_or_group() {
        let raw = Raw::IOError { err: io::Error::from(io::ErrorKind::PermissionDenied) };
        let error = translate("unix:///x", "connect", raw);
        assert!(matches!(error, DockerError::Denied { .. }));
        assert!(error.hint().unwrap().contains("group docker"));
    }

    #[test]
    fn a_missing_container_is_told_from_other_missing_things() {
        let refused = |message: &str| DockerError::Refused {
            action: "look".to_owned(),
            status: 404,
            message: message.to_owned(),
        };
        assert!(matches!(
            name_missing("p", refused("No such container: p")),
            DockerError::NoContainer { name } if name == "p"
        ));
        assert!(matches!(name_missing("p", refused("No such image: i")), DockerError::Refused { .. }));
    }
}
