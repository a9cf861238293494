//! Stopping a part within the time that it may take, and how it ended.

use std::time::Duration;

use tokio::time::Instant;

use super::Part;
use crate::docker::ContainerInfo;
use crate::service::{Service, ServiceError, ServiceState};
use crate::words;

/// How long a unit or a command may take.
const SERVICE: Duration = Duration::from_mins(1);
/// The engine counts whole seconds.
const LEAST: Duration = Duration::from_secs(1);
/// The exit code of what was ended by SIGKILL.
const KILLED: i64 = 137;

/// How long a part may take to stop before it is killed: a container as long as it says itself, as with `docker restart`, but
/// nothing longer than `most`.
pub(super) async fn patience(service: &Service, most: Duration) -> Duration {
    match info_of(service).await {
        Some(info) => info.stopping.patience.unwrap_or(most).clamp(LEAST, most.max(LEAST)),
        None => SERVICE,
    }
}

/// Stops it, and says how it ended.
///
/// A command that stops it fails where there is nothing to stop: what does not run is no reason not to start it.
pub(super) async fn stop(part: &Part, patience: Duration) -> Result<String, ServiceError> {
    let service = &part.service;
    let (before, since) = (info_of(service).await, Instant::now());
    match service.stop(patience).await {
        Ok(()) if before.is_some_and(|info| info.state.is_stopped()) => Ok(format!("{service} did not run")),
        Ok(()) => Ok(ended(service, patience, since.elapsed()).await),
        Err(error @ ServiceError::Failed { .. }) if matches!(service, Service::Commands { .. }) => {
            match service.state().await {
                Ok(ServiceState::Stopped) => {
                    Ok(format!("it was not running; its stop command said: {}", words::chain(&error)))
                }
                _ => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

async fn ended(service: &Service, patience: Duration, took: Duration) -> String {
    let Some(info) = info_of(service).await else { return service.to_string() };
    let code = info.life.exit_code;
    if code == KILLED && took >= patience {
        let (after, signal) = (words::duration(patience), &info.stopping.signal);
        return format!("{service} was killed after {after}: {signal} did not end it");
    }
    format!("{service} ended after {}, with exit code {code}", words::duration(took))
}

async fn info_of(service: &Service) -> Option<ContainerInfo> {
    let Service::Container { docker, name } = service else { return None };
    docker.container(name).await.ok().map(|container| container.info().clone())
}
