//! Stopping and starting what a target runs as: a container, a systemd unit, or whatever two commands do.

mod command;
mod error;

use std::time::Duration;

use url::Url;

use crate::config::values::{Place, PrometheusTarget, ServiceControl};
use crate::docker::{ContainerState, Docker};
pub use error::ServiceError;

/// How long a server may take to accept a connection before it is not known whether it listens.
const PROBE_LIMIT: Duration = Duration::from_secs(3);
/// How long systemd may take to say what a unit is doing.
const STATE_LIMIT: Duration = Duration::from_secs(20);

/// What a service is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceState {
    /// It runs, or is on its way to.
    Running,
    /// It does not run, and nobody is about to start it.
    Stopped,
    /// It ended, and somebody is about to start it again.
    Restarting,
    /// That cannot be told.
    Unknown,
}

/// What a target runs as.
#[derive(Debug, Clone)]
pub enum Service {
    /// A container.
    Container {
        /// The engine.
        docker: Docker,
        /// The container's name.
        name: String,
    },
    /// A systemd unit.
    Unit {
        /// Its name.
        name: String,
    },
    /// Whatever two commands stop and start.
    Commands {
        /// Stops it.
        stop: Vec<String>,
        /// Starts it.
        start: Vec<String>,
        /// Where it listens.
        url: Url,
    },
    /// Nobody has said how it is stopped.
    None {
        /// The target's name.
        target: String,
        /// Where it listens.
        url: Url,
    },
}

impl Service {
    /// The last lines it wrote to its log, where that can be read.
    pub async fn last_words(&self, lines: usize) -> Vec<String> {
        let Self::Container { docker, name } = self else { return Vec::new() };
        match docker.container(name).await {
            Ok(container) => container.last_words(lines).await,
            Err(_) => Vec::new(),
        }
    }

    /// What `target` runs as. A container needs `docker`.
    pub fn of(target: &PrometheusTarget, docker: Option<&Docker>) -> Result<Self, ServiceError> {
        let url = target.endpoint.url.clone();
        Ok(match &target.place {
            Place::Container { name, .. } => {
                let docker = docker.ok_or_else(|| ServiceError::NoDocker { name: name.clone() })?;
                Self::Container { docker: docker.clone(), name: name.clone() }
            }
            Place::Host { service: Some(ServiceControl::Unit(name)), .. } => {
                Self::Unit { name: name.clone() }
            }
            Place::Host { service: Some(ServiceControl::Commands { stop, start }), .. } => {
                Self::Commands { stop: stop.clone(), start: start.clone(), url }
            }
            Place::Host { service: None, .. } => Self::None { target: target.name.to_string(), url },
        })
    }

    /// Stops it, and returns when it has stopped. Stopping what is stopped is no error.
    pub async fn stop(&self, limit: Duration) -> Result<(), ServiceError> {
        match self {
            Self::Container { docker, name } => Ok(docker.container(name).await?.stop(limit).await?),
            Self::Unit { name } => control("stop", name, limit).await,
            Self::Commands { stop, .. } => command::run(stop, limit).await,
            Self::None { target, url } => match listens(url).await {
                Some(false) => Ok(()),
                _ => Err(ServiceError::NoControl { target: target.clone(), verb: "stopped" }),
            },
        }
    }

    /// Starts it; returning says nothing about readiness.
    pub async fn start(&self, limit: Duration) -> Result<(), ServiceError> {
        match self {
            Self::Container { docker, name } => {
                let container = docker.container(name).await?;
                let started = tokio::time::timeout(limit, container.start()).await;
                Ok(started
                    .map_err(|_| ServiceError::TimedOut { command: format!("start {name}"), limit })??)
            }
            Self::Unit { name } => control("start", name, limit).await,
            Self::Commands { start, .. } => command::run(start, limit).await,
            Self::None { target, url } => match listens(url).await {
                Some(true) => Ok(()),
                _ => Err(ServiceError::NoControl { target: target.clone(), verb: "started" }),
            },
        }
    }

    /// Has it read its configuration again, by SIGHUP or as its unit says; returning says nothing of whether it did.
    pub async fn reload(&self, limit: Duration) -> Result<(), ServiceError> {
        match self {
            Self::Container { docker, name } => Ok(docker.container(name).await?.signal("HUP").await?),
            Self::Unit { name } => control("reload", name, limit).await,
            Self::Commands { .. } | Self::None { .. } => {
                Err(ServiceError::NoControl { target: self.to_string(), verb: "reloaded" })
            }
        }
    }

    /// It can be told to read its configuration again.
    pub const fn is_reloadable(&self) -> bool {
        matches!(self, Self::Container { .. } | Self::Unit { .. })
    }

    /// What it is doing now.
    pub async fn state(&self) -> Result<ServiceState, ServiceError> {
        match self {
            Self::Container { docker, name } => Ok(of_container(docker.container(name).await?.info().state)),
            Self::Unit { name } => {
                let said = command::said(&systemctl("is-active", name), STATE_LIMIT).await?;
                Ok(of_unit(said.trim()))
            }
            Self::Commands { url, .. } | Self::None { url, .. } => Ok(match listens(url).await {
                Some(true) => ServiceState::Running,
                Some(false) => ServiceState::Stopped,
                None => ServiceState::Unknown,
            }),
        }
    }

    /// What starts it, in words.
    pub fn starts_by(&self) -> String {
        match self {
            Self::Commands { start, .. } => start.join(" "),
            other => other.to_string(),
        }
    }

    /// It can be stopped and started without anybody's help.
    pub const fn is_controlled(&self) -> bool {
        !matches!(self, Self::None { .. })
    }
}

impl std::fmt::Display for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Container { name, .. } => write!(f, "container {name}"),
            Self::Unit { name } => write!(f, "unit {name}"),
            Self::Commands { stop, .. } => write!(f, "{}", stop.join(" ")),
            Self::None { target, .. } => write!(f, "{target}"),
        }
    }
}

/// Runs a program of this host to its end, without a shell: whether it succeeded, and the end of what it said.
pub async fn run_to_end(argv: &[String], limit: Duration) -> Result<(bool, String), ServiceError> {
    let (status, said) = command::execute(argv, limit).await?;
    Ok((status.success(), said))
}

/// Has systemd stop, start or reload a unit.
async fn control(verb: &str, unit: &str, limit: Duration) -> Result<(), ServiceError> {
    match command::run(&systemctl(verb, unit), limit).await {
        Err(ServiceError::Failed { command, output, .. }) if is_denial(&output) => {
            Err(ServiceError::Denied { command, unit: unit.to_owned(), output })
        }
        ended => ended,
    }
}

/// polkit says no, or there is none to ask; systemd itself says it of a user who may not even talk to it.
fn is_denial(said: &str) -> bool {
    let words = [
        "Interactive authentication required",
        "Access denied",
        "Permission denied",
        "Operation not permitted",
    ];
    words.iter().any(|words| said.contains(words))
}

fn systemctl(verb: &str, unit: &str) -> Vec<String> {
    // `--` so that no unit name can be taken for an option.
    ["systemctl", verb, "--", unit].map(str::to_owned).to_vec()
}

const fn of_container(state: ContainerState) -> ServiceState {
    match state {
        ContainerState::Running | ContainerState::Paused => ServiceState::Running,
        ContainerState::Restarting => ServiceState::Restarting,
        ContainerState::Created | ContainerState::Exited { .. } | ContainerState::Dead => {
            ServiceState::Stopped
        }
        ContainerState::Removing => ServiceState::Unknown,
    }
}

fn of_unit(said: &str) -> ServiceState {
    match said {
        "active" | "reloading" | "deactivating" | "refreshing" => ServiceState::Running,
        // Also while it waits to be restarted.
        "activating" => ServiceState::Restarting,
        "inactive" | "failed" => ServiceState::Stopped,
        _ => ServiceState::Unknown,
    }
}

/// Whether somebody accepts connections there; `None` when that cannot be told.
async fn listens(url: &Url) -> Option<bool> {
    let address = (url.host_str()?.trim_matches(['[', ']']), url.port_or_known_default()?);
    match tokio::time::timeout(PROBE_LIMIT, tokio::net::TcpStream::connect(address)).await {
        Ok(Ok(_)) => Some(true),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
