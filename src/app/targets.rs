//! From a configured target to one that can be talked to.

use std::time::Duration;

use crate::config::SnapshotConfig;
use crate::config::secret::{self, SecretError};
use crate::config::values::{Access, Auth, Place, PrometheusTarget, SecretRef, TargetName};
use crate::docker::{ContainerState, DockerError};
use crate::prometheus::client::{ClientError, Credentials, PrometheusClient};
use crate::prometheus::folder::{Clues, DataFolder, FolderError};
use crate::prometheus::preflight::{self, Finding};
use crate::words;

use super::{App, Environment, Shared};

/// MiB under which the store is told to be nearly full.
const LITTLE: u64 = 512;

/// A target cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Its secret is not there.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Its client cannot be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The Docker engine cannot be used.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// Its data folder cannot be found.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

impl TargetError {
    /// The same may work a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Secret(error) => error.is_transient(),
            Self::Client(error) => error.is_transient(),
            Self::Docker(error) => error.is_transient(),
            Self::Folder(error) => error.is_transient(),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Secret(_) => None,
            Self::Client(error) => error.hint(),
            Self::Docker(error) => error.hint(),
            Self::Folder(error) => error.hint(),
        }
    }
}

/// How a data folder is found and reached, beside what its server tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hints<'a> {
    /// How it may be reached.
    pub(crate) access: Access,
    /// Where a manifest says that it is.
    pub(crate) known: Option<&'a str>,
    /// How long nothing may move before something is given up.
    pub(crate) idle: Duration,
}

impl Default for Hints<'_> {
    fn default() -> Self {
        Self { access: Access::Auto, known: None, idle: Duration::from_mins(5) }
    }
}

impl Shared {
    /// The API of a Prometheus, with its secret at hand.
    pub(crate) fn client(&self, target: &PrometheusTarget) -> Result<PrometheusClient, TargetError> {
        let credentials = credentials(&target.endpoint.auth, &self.environment)?;
        Ok(PrometheusClient::new(&target.endpoint, credentials)?)
    }

    /// How the data folder of a Prometheus may be reached: as the job that backs it up says.
    pub(crate) fn access(&self, target: &TargetName) -> Access {
        let mut jobs = self.config.jobs.iter().filter_map(|job| job.kind.snapshot());
        jobs.find(|config| config.prometheus == *target).map_or(Access::Auto, |config| config.access)
    }

    /// The data folder of a Prometheus. Its flags are asked for where it answers.
    pub(crate) async fn folder(
        &self,
        target: &PrometheusTarget,
        client: &PrometheusClient,
        hints: Hints<'_>,
    ) -> Result<DataFolder, TargetError> {
        let flags = client.flags().await.ok();
        let runtime = client.runtime_info().await.ok();
        let docker = match target.place {
            Place::Container { .. } => Some(self.docker().await?),
            Place::Host { .. } => None,
        };
        let cwd = runtime.as_ref().map(|runtime| runtime.cwd.as_str());
        let Hints { access, known, idle } = hints;
        let clues = Clues { flags: flags.as_ref(), cwd, known, access, idle };
        Ok(DataFolder::locate(target, &clues, docker).await?)
    }
}

pub(super) fn credentials(auth: &Auth, environment: &Environment) -> Result<Credentials, SecretError> {
    let resolve = |reference: &SecretRef| secret::resolve(reference, &**environment);
    Ok(match auth {
        Auth::None => Credentials::None,
        Auth::Basic { user, password } => Credentials::Basic(user.clone(), resolve(password)?),
        Auth::Token(token) => Credentials::Token(resolve(token)?),
    })
}

impl App {
    /// Tries every secret and looks at every target.
    pub async fn check_targets(&self) -> Vec<(String, Vec<Finding>)> {
        let mut checked = Vec::new();
        for target in self.shared.config.prometheus.values() {
            checked.push((format!("prometheus.{}", target.name), self.check_prometheus(target).await));
        }
        checked.push((format!("backup_dir {}", self.shared.store.root().display()), self.check_store()));
        checked
    }

    pub(super) async fn check_prometheus(&self, target: &PrometheusTarget) -> Vec<Finding> {
        let skip_head = self.skips_head(&target.name);
        let client = match self.shared.client(target) {
            Ok(client) => client,
            Err(error) => return vec![problem(&error)],
        };
        let mut findings = preflight::server(&client).await;
        findings.extend(self.check_container(target).await);
        let hints = Hints { access: self.shared.access(&target.name), ..Hints::default() };
        match self.shared.folder(target, &client, hints).await {
            Ok(folder) => findings.extend(preflight::folder(&folder, skip_head).await),
            Err(error) => findings.push(problem(&error)),
        }
        findings
    }

    async fn check_container(&self, target: &PrometheusTarget) -> Option<Finding> {
        let Place::Container { name, .. } = &target.place else { return None };
        let state = match self.shared.docker().await {
            Ok(docker) => docker.container(name).await.map(|container| container.info().state),
            Err(error) => Err(error),
        };
        Some(match state {
            Ok(ContainerState::Running) => Finding::ok(format!("its container {name} runs")),
            Ok(state) => {
                let hint = match state {
                    ContainerState::Paused => format!("`docker unpause {name}` lets it run on"),
                    ContainerState::Created | ContainerState::Exited { .. } => {
                        format!("`docker logs {name}` tells why; `docker start {name}` starts it")
                    }
                    _ => format!("look at `docker logs {name}`"),
                };
                Finding::problem(format!("its container {name} does not run: {state}"), Some(hint))
            }
            Err(error) => Finding::problem(words::chain(&error), error.hint()),
        })
    }

    fn check_store(&self) -> Vec<Finding> {
        let root = self.shared.store.root();
        match tempfile::tempfile_in(root) {
            Ok(_) => match free_mib(root) {
                Some(free) if free < LITTLE => vec![Finding::warning(
                    format!("it can be written, but only {free} MiB are free"),
                    "free some space, keep fewer backups, or move backup_dir",
                )],
                Some(free) => vec![Finding::ok(format!("it can be written, and {free} MiB are free"))],
                None => vec![Finding::ok("it can be written")],
            },
            Err(error) => vec![Finding::problem(
                format!("it cannot be written: {error}"),
                Some("give the folder to the user who runs this".to_owned()),
            )],
        }
    }

    /// All jobs of this target leave the head out.
    fn skips_head(&self, target: &TargetName) -> bool {
        let of_target = |config: &&SnapshotConfig| config.prometheus == *target;
        let jobs = self.shared.config.jobs.iter().filter_map(|job| job.kind.snapshot()).filter(of_target);
        let mut jobs = jobs.map(|config| config.skip_head);
        let first = jobs.next();
        first.is_some_and(|first| first && jobs.all(|skip| skip))
    }
}

fn problem(error: &TargetError) -> Finding {
    Finding::problem(words::chain(error), error.hint())
}

/// MiB that are free for an ordinary user.
fn free_mib(folder: &std::path::Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize) >> 20)
}
