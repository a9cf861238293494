//! From a configured target to one that can be talked to.

use crate::config::secret::{self, SecretError};
use crate::config::values::{Auth, Endpoint, Place, PrometheusTarget, SecretRef, TargetName};
use crate::config::{Access, Config, JobKind};
use crate::docker::DockerError;
use crate::prometheus::client::{ClientError, Credentials, PrometheusClient};
use crate::prometheus::folder::{DataFolder, FolderError};
use crate::prometheus::preflight::{self, Finding};
use crate::words;

use super::{App, Environment, Shared};

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
            Self::Secret(error) => error.hint(),
            Self::Client(error) => error.hint(),
            Self::Docker(error) => error.hint(),
            Self::Folder(error) => error.hint(),
        }
    }
}

impl Shared {
    /// The API of a Prometheus, with its secret at hand.
    pub(crate) fn client(&self, target: &PrometheusTarget) -> Result<PrometheusClient, TargetError> {
        let credentials = credentials(&target.endpoint.auth, &self.environment)?;
        Ok(PrometheusClient::new(&target.endpoint, credentials)?)
    }

    /// The data folder of a Prometheus. Its flags are asked for where it answers; `known` is what a manifest says.
    pub(crate) async fn folder(
        &self,
        target: &PrometheusTarget,
        client: &PrometheusClient,
        access: Access,
        known: Option<&str>,
    ) -> Result<DataFolder, TargetError> {
        let flags = client.flags().await.ok();
        let runtime = client.runtime_info().await.ok();
        let docker = match target.place {
            Place::Container { .. } => Some(self.docker().await?),
            Place::Host { .. } => None,
        };
        let cwd = runtime.as_ref().map(|runtime| runtime.cwd.as_str());
        Ok(DataFolder::locate(target, flags.as_ref(), cwd, known, docker, access.into()).await?)
    }
}

fn credentials(auth: &Auth, environment: &Environment) -> Result<Credentials, SecretError> {
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

    async fn check_prometheus(&self, target: &PrometheusTarget) -> Vec<Finding> {
        let skip_head = self.skips_head(&target.name);
        let client = match self.shared.client(target) {
            Ok(client) => client,
            Err(error) => return vec![problem(&error)],
        };
        let mut findings = preflight::server(&client).await;
        findings.extend(self.check_container(target).await);
        match self.shared.folder(target, &client, Access::Auto, None).await {
            Ok(folder) => findings.extend(preflight::folder(&folder, skip_head).await),
            Err(error) => findings.push(problem(&error)),
        }
        findings
    }

    async fn check_container(&self, target: &PrometheusTarget) -> Option<Finding> {
        let Place::Container { name, .. } = &target.place else { return None };
        let state = match self.shared.docker().await {
            Ok(docker) => docker.container(name).await.map(|container| container.info().state.clone()),
            Err(error) => Err(error),
        };
        Some(match state {
            Ok(state) if state.is_running() => Finding::ok(format!("its container {name} runs")),
            Ok(state) => Finding::problem(
                format!("its container {name} does not run: it is {state}"),
                Some(format!("look at `docker logs {name}`")),
            ),
            Err(error) => Finding::problem(words::chain(&error), error.hint()),
        })
    }

    fn check_store(&self) -> Vec<Finding> {
        let root = self.shared.store.root();
        match tempfile::tempfile_in(root) {
            Ok(_) => vec![Finding::ok("it can be written")],
            Err(error) => vec![Finding::problem(
                format!("it cannot be written: {error}"),
                Some("give the folder to the user who runs this".to_owned()),
            )],
        }
    }

    /// All jobs of this target leave the head out.
    fn skips_head(&self, target: &TargetName) -> bool {
        let mut jobs = self.shared.config.jobs.iter().filter_map(|job| match &job.kind {
            JobKind::PrometheusSnapshot(config) if config.prometheus == *target => Some(config.skip_head),
            JobKind::PrometheusSnapshot(_) => None,
        });
        let first = jobs.next();
        first.is_some_and(|first| first && jobs.all(|skip| skip))
    }
}

fn problem(error: &TargetError) -> Finding {
    Finding::problem(words::chain(error), error.hint())
}

/// A warning for each secret that is not there.
pub fn missing_secrets(config: &Config, environment: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let prometheus = config.prometheus.iter().map(|(name, target)| (format!("prometheus.{name}"), &target.endpoint));
    let grafana = config.grafana.iter().map(|(name, target)| (format!("grafana.{name}"), &target.endpoint));
    let alertmanager =
        config.alertmanager.iter().map(|(name, target)| (format!("alertmanager.{name}"), &target.endpoint));
    let application =
        config.application.iter().map(|(name, target)| (format!("application.{name}"), &target.endpoint));
    let all = prometheus.chain(grafana).chain(alertmanager).chain(application);
    all.filter_map(|(name, endpoint)| missing(endpoint, environment).map(|why| format!("{name}: {why}"))).collect()
}

fn missing(endpoint: &Endpoint, environment: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let (Auth::Basic { password: reference, .. } | Auth::Token(reference)) = &endpoint.auth else { return None };
    secret::is_there(reference, environment).err().map(|error| words::chain(&error))
}
