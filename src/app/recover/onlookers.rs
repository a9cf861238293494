//! What runs beside what is restarted: it may be lost with it, as what shares the network of a container is.

use crate::docker::DockerError;
use crate::service::{Service, ServiceError, ServiceState};

/// Something that a recovery does not touch.
#[derive(Debug, Clone)]
pub(super) struct Onlooker {
    pub(super) name: String,
    pub(super) service: Service,
}

/// Those that run now.
pub(super) async fn running(all: &[Onlooker]) -> Vec<&Onlooker> {
    let mut found = Vec::new();
    for onlooker in all {
        if runs(&onlooker.service).await {
            found.push(onlooker);
        }
    }
    found
}

/// Of those that ran, what is to be said of each that does not any more.
pub(super) async fn lost(ran: &[&Onlooker]) -> Vec<String> {
    let mut lost = Vec::new();
    for onlooker in ran {
        if !runs(&onlooker.service).await {
            let (name, how) = (&onlooker.name, start_of(&onlooker.service));
            lost.push(format!("{name} ran before and does not run now: {how}"));
        }
    }
    lost
}

/// What cannot be told counts as running: nobody is alarmed for an engine that is slow to answer.
pub(super) async fn runs(service: &Service) -> bool {
    let gone = |error: &ServiceError| matches!(error, ServiceError::Docker(DockerError::NoContainer { .. }));
    match service.state().await {
        Ok(state) => state != ServiceState::Stopped,
        Err(error) => !gone(&error),
    }
}

/// What a person types to start it.
pub(super) fn start_of(service: &Service) -> String {
    match service {
        Service::Container { name, .. } => {
            format!("`docker logs {name}` tells why, `docker start {name}` starts it")
        }
        Service::Unit { name } => {
            format!("`journalctl -u {name}` tells why, `systemctl start {name}` starts it")
        }
        Service::Commands { start, .. } => format!("`{}` starts it", start.join(" ")),
        Service::None { .. } => "start it by hand".to_owned(),
    }
}
