//! A recovery: a target that is down, or all of its project, is backed up, restarted, waited for and looked at, as a run.

mod backups;
mod checks;
mod chosen;
mod left;
mod onlookers;
mod plan;
mod run;

use std::collections::BTreeSet;
use std::time::Duration;

use super::{App, Shared, TargetError};
use crate::config::values::{Auth, Endpoint, JobName, RunsAs, ServiceControl};
use crate::config::{Config, Target, TargetKind};
use crate::docker::DockerError;
use crate::http::{Credentials, HttpClient, SetupError};
use crate::recovery::{Circle, Part, Question};
use crate::runner::Lock;
use crate::service::Service;
pub(super) use left::Finisher;
pub use left::{LeftStopped, left_stopped};
use onlookers::Onlooker;
pub use plan::{PlannedAfter, PlannedPart, RecoveryPlan};

/// What a recovery is asked for.
#[derive(Debug, Clone)]
pub struct RecoveryOptions {
    /// What is down.
    pub target: Target,
    /// All that belongs to it, and not only the target itself.
    pub full: bool,
    /// Backups are made first.
    pub backup: bool,
    /// How long each part may take to be ready.
    pub limit: Duration,
}

/// A recovery that can be done.
pub struct Recovery {
    /// What it will do.
    pub plan: RecoveryPlan,
    options: RecoveryOptions,
    /// In the order in which they are started.
    parts: Vec<Part>,
    /// The part that the target is.
    target_part: usize,
    /// The targets that are restarted.
    targets: BTreeSet<Target>,
    /// What else runs, and is not touched.
    onlookers: Vec<Onlooker>,
    /// What an earlier recovery of it has left stopped and is none of the parts: it is started first.
    left: Vec<Part>,
    /// What is restarted although nothing backs it up, in words.
    unsaved: Vec<String>,
    job: JobName,
    locks: Vec<Lock>,
}

/// A recovery cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// It cannot be talked to as it is configured, or its engine cannot.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Its client cannot be made.
    #[error(transparent)]
    Http(#[from] SetupError),
    /// The project has no order.
    #[error(transparent)]
    Circle(#[from] Circle),
    /// A configured job has the name that the runs of this recovery have in the history.
    #[error("A job is called {job}, and so are the runs of this recovery in the history")]
    JobHasName {
        /// The name.
        job: JobName,
    },
}

impl RecoverError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Target(TargetError::Docker(DockerError::NoContainer { name })) => Some(format!(
                "was it removed? a recovery stops and starts what is there, and makes nothing: `docker compose up -d` makes it \
                 anew, `docker ps -a` lists what there is, and jobs.toml says container = {name:?}"
            )),
            Self::Target(error) => error.hint(),
            Self::Http(_) => None,
            Self::Circle(_) => Some("mend depends_on in the compose file".to_owned()),
            Self::JobHasName { .. } => Some("give the job another name in jobs.toml".to_owned()),
        }
    }
}

/// What nobody else may use while a target is restarted.
fn lock_of(target: &Target) -> Lock {
    Lock::Target { kind: target.kind.word(), name: target.name.clone() }
}

fn endpoint_of<'a>(config: &'a Config, target: &Target) -> Option<&'a Endpoint> {
    let name = &target.name;
    match target.kind {
        TargetKind::Application => config.application.get(name).map(|target| &target.endpoint),
        TargetKind::Prometheus => config.prometheus.get(name).map(|target| &target.endpoint),
        TargetKind::Alertmanager => config.alertmanager.get(name).map(|target| &target.endpoint),
        TargetKind::Grafana => config.grafana.get(name).map(|target| &target.endpoint),
    }
}

impl Shared {
    /// What a target is asked for to learn whether it is ready.
    fn question_of(&self, target: &Target) -> Result<Option<Question>, RecoverError> {
        let Some(endpoint) = endpoint_of(&self.config, target) else { return Ok(None) };
        let path = match target.kind {
            TargetKind::Application => {
                self.config.application.get(&target.name).map_or("/health", |application| &application.health)
            }
            TargetKind::Prometheus | TargetKind::Alertmanager => "/-/ready",
            TargetKind::Grafana => "/api/health",
        };
        // Everybody may ask a Grafana for its health: a secret that is not there keeps nobody from bringing it back.
        let credentials = match &endpoint.auth {
            auth if target.kind != TargetKind::Grafana && *auth != Auth::None => {
                super::targets::credentials(auth, self).map_err(TargetError::from)?
            }
            _ => Credentials::None,
        };
        Ok(Some(Question { client: HttpClient::new(endpoint, credentials)?, path: path.to_owned() }))
    }

    /// What a target runs as; nothing where there is no such target.
    async fn service_of_target(&self, target: &Target) -> Result<Option<Service>, TargetError> {
        let Some(endpoint) = endpoint_of(&self.config, target) else { return Ok(None) };
        let url = endpoint.url.clone();
        Ok(Some(match self.config.runs_as(target) {
            Some(RunsAs::Container(name)) => {
                Service::Container { docker: self.docker().await?.clone(), name }
            }
            Some(RunsAs::Service(ServiceControl::Unit(name))) => Service::Unit { name },
            Some(RunsAs::Service(ServiceControl::Commands { stop, start })) => {
                Service::Commands { stop, start, url }
            }
            None => Service::None { target: target.to_string(), url },
        }))
    }
}

impl App {
    /// Finds out what a recovery would do. Changes nothing.
    pub async fn plan_recovery(&self, options: RecoveryOptions) -> Result<Recovery, RecoverError> {
        plan::plan(&self.shared, options, (self.runner.clock)()).await
    }
}
