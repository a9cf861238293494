//! From a configured target to one that can be talked to.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use crate::config::secret::{self, Places, SecretError};
use crate::config::values::{Access, Auth, Endpoint, Place, PrometheusTarget, SecretRef, TargetName};
use crate::config::{JobConfig, JobKind, SnapshotConfig};
use crate::docker::{ContainerState, DockerError};
use crate::prometheus::client::{ClientError, Credentials, PrometheusClient};
use crate::prometheus::folder::{Clues, DataFolder, FolderError};
use crate::prometheus::preflight::{self, Finding, Severity};
use crate::room::Room;
use crate::words;

use super::{App, Shared, cleanup_job};

/// A server that is well tells all that is asked of it in less.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How long everything may take that is looked at of a target.
const LOOK_LIMIT: Duration = Duration::from_mins(2);
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
    /// It does not answer because its container does not run.
    #[error("Prometheus does not answer: its container {name} {state}")]
    NotRunning {
        /// The container.
        name: String,
        /// What it does instead.
        state: ContainerState,
    },
}

impl TargetError {
    /// The same may work a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Secret(error) => error.is_transient(),
            Self::Client(error) => error.is_transient(),
            Self::Docker(error) => error.is_transient(),
            Self::Folder(error) => error.is_transient(),
            // What ended may be on its way up again; nobody unpauses by himself.
            Self::NotRunning { state, .. } => !matches!(state, ContainerState::Paused | ContainerState::Dead),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Secret(error) => error.hint(),
            Self::Client(error) => error.hint(),
            Self::Docker(error) => error.hint(),
            Self::Folder(error) => error.hint(),
            Self::NotRunning { name, state: ContainerState::Paused } => {
                Some(format!("let it go on with `docker unpause {name}`"))
            }
            Self::NotRunning { name, .. } => {
                Some(format!("`docker logs {name}` tells why, `docker start {name}` starts it"))
            }
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
    /// The server was just asked, and did not answer: it is not asked again.
    pub(crate) silent: bool,
}

impl Default for Hints<'_> {
    fn default() -> Self {
        Self { access: Access::Auto, known: None, idle: Duration::from_mins(5), silent: false }
    }
}

impl Shared {
    /// The API of a Prometheus, with its secret at hand.
    pub(crate) fn client(&self, target: &PrometheusTarget) -> Result<PrometheusClient, TargetError> {
        let credentials = credentials(&target.endpoint.auth, self)?;
        Ok(PrometheusClient::new(&target.endpoint, credentials)?)
    }

    /// How the data folder of a Prometheus may be reached: as the job that backs it up says.
    pub(crate) fn access(&self, target: &TargetName) -> Access {
        let mut jobs = self.config.jobs.iter().filter_map(|job| job.kind.snapshot());
        jobs.find(|config| config.prometheus == *target).map_or(Access::Auto, |config| config.access)
    }

    /// Why it did not answer, where its container tells more than the connection did.
    pub(crate) async fn unanswered(&self, target: &PrometheusTarget, error: ClientError) -> TargetError {
        let connection = matches!(error, ClientError::Unreachable { .. } | ClientError::TimedOut { .. });
        match self.container_state(target).await {
            Some(Ok(state)) if connection && state != ContainerState::Running => {
                TargetError::NotRunning { name: container_name(target), state }
            }
            Some(Err(error)) if connection => error.into(),
            _ => error.into(),
        }
    }

    /// What its container is doing, where it runs in one.
    async fn container_state(
        &self,
        target: &PrometheusTarget,
    ) -> Option<Result<ContainerState, DockerError>> {
        let Place::Container { name, .. } = &target.place else { return None };
        Some(match self.docker().await {
            Ok(docker) => docker.container(name).await.map(|container| container.info().state),
            Err(error) => Err(error),
        })
    }

    /// The data folder of a Prometheus. Its flags are asked for where it answers.
    pub(crate) async fn folder(
        &self,
        target: &PrometheusTarget,
        client: &PrometheusClient,
        hints: Hints<'_>,
    ) -> Result<DataFolder, TargetError> {
        let (flags, runtime) = if hints.silent {
            (None, None)
        } else {
            let (flags, runtime) = tokio::join!(client.flags(), client.runtime_info());
            (flags.ok(), runtime.ok())
        };
        let docker = match target.place {
            Place::Container { .. } => Some(self.docker().await?),
            Place::Host { .. } => None,
        };
        let cwd = runtime.as_ref().map(|runtime| runtime.cwd.as_str());
        let Hints { access, known, idle, .. } = hints;
        let clues = Clues { flags: flags.as_ref(), cwd, known, access, idle };
        Ok(DataFolder::locate(target, &clues, docker).await?)
    }
}

pub(super) fn credentials(auth: &Auth, shared: &Shared) -> Result<Credentials, SecretError> {
    let places = Places { env: &*shared.environment, config: &shared.config.path };
    let resolve = |reference: &SecretRef| secret::resolve(reference, places);
    Ok(match auth {
        Auth::None => Credentials::None,
        Auth::Basic { user, password } => Credentials::Basic(user.clone(), resolve(password)?),
        Auth::Token(token) => Credentials::Token(resolve(token)?),
    })
}

impl App {
    /// Tries every secret and looks at every target, all side by side and each for so long that what hangs is told.
    pub async fn check_targets(&self) -> Vec<(String, Vec<Finding>)> {
        let config = &self.shared.config;
        let prometheus = config.prometheus.values().map(async |target| {
            let (looked, cleanups) =
                tokio::join!(in_time(self.check_prometheus(target)), self.check_cleanups(target));
            (format!("prometheus.{}", target.name), [looked, cleanups].concat())
        });
        let grafana = config.grafana.values().map(async |target| {
            let look = super::grafana_job::look(&self.shared, target);
            (format!("grafana.{}", target.name), answered(&target.endpoint, look).await)
        });
        let databases = config
            .jobs
            .iter()
            .map(async |job| (format!("job {}", job.name), in_time(self.check_database(job)).await));
        let (prometheus, grafana, databases, notifiers) = tokio::join!(
            join_all(prometheus),
            join_all(grafana),
            join_all(databases),
            self.check_notifiers()
        );
        let databases = databases.into_iter().filter(|(_, findings)| !findings.is_empty());
        let store = (format!("backup_dir {}", self.shared.store.root().display()), self.check_store());
        // A server may give back what it was sent, and where it sends others is its own word. What is well is told in
        // ours, where a password such as `admin` is only a word.
        let veil = self.shared.veil();
        let veiled = |finding: Finding| match finding.severity {
            Severity::Ok => finding,
            _ => Finding {
                text: veil.over(&finding.text),
                hint: finding.hint.as_ref().map(|hint| veil.over(hint)),
                ..finding
            },
        };
        let tokens = self.check_tokens();
        let all = prometheus
            .into_iter()
            .chain(grafana)
            .chain(databases)
            .chain(notifiers)
            .chain(tokens)
            .chain([store]);
        all.map(|(name, findings)| (name, findings.into_iter().map(veiled).collect())).collect()
    }

    /// Whether the tokens are to be had that others have to show.
    fn check_tokens(&self) -> Vec<(String, Vec<Finding>)> {
        let config = &self.shared.config;
        let metrics = config.metrics.listen.as_ref().and_then(|listen| listen.token.as_ref());
        let webhook = config.webhook.as_ref().map(|webhook| &webhook.token);
        let look = |(section, token): (&str, Option<&SecretRef>)| {
            let finding = match self.shared.resolve(token?) {
                Ok(_) => Finding::ok("its token is there"),
                Err(error) => Finding::problem(words::chain(&error), error.hint()),
            };
            Some((section.to_owned(), vec![finding]))
        };
        [("metrics", metrics), ("webhook", webhook)].into_iter().filter_map(look).collect()
    }

    /// What is not as it should be with the database of a job.
    async fn check_database(&self, job: &JobConfig) -> Vec<Finding> {
        let (mut findings, least) = match &job.kind {
            JobKind::SqliteBackup(config) => {
                let found = super::sqlite_job::preview(&self.shared, &job.name, config).await;
                (found, Severity::Warning)
            }
            // Single sessions that are in doubt are told by its runs.
            JobKind::CloseStaleSessions(config) => {
                let now = (self.runner.clock)();
                let found = super::stale_job::preview(&self.shared, &job.name, config, now).await;
                (found, Severity::Problem)
            }
            _ => return Vec::new(),
        };
        findings.retain(|finding| finding.severity >= least);
        findings
    }

    pub(super) async fn check_prometheus(&self, target: &PrometheusTarget) -> Vec<Finding> {
        let skip_head = self.skips_head(&target.name);
        let client = match self.shared.client(target) {
            Ok(client) => client,
            Err(error) => return vec![problem(&error)],
        };
        let mut findings = answered(&target.endpoint, preflight::server(&client)).await;
        let silent = findings.first().is_some_and(|finding| finding.severity == Severity::Problem);
        match self.check_container(target).await.transpose() {
            Ok(found) => findings.extend(found),
            Err(error) => {
                findings.push(problem(&error));
                return findings;
            }
        }
        let hints = Hints { access: self.shared.access(&target.name), silent, ..Hints::default() };
        match self.shared.folder(target, &client, hints).await {
            Ok(folder) => {
                findings.extend(preflight::folder(&folder, skip_head).await);
                // Which of its jobs the restore was of is not known; this means any.
                let restores = format!("--prometheus {}", target.name);
                for hint in findings.iter_mut().filter_map(|finding| finding.hint.as_mut()) {
                    *hint = words::for_job(hint, &restores);
                }
                findings.extend(self.same_device(&folder));
            }
            Err(error) => findings.push(problem(&error)),
        }
        findings
    }

    /// Backups on the device of a container's data: where that is on the host, the configuration alone tells.
    fn same_device(&self, folder: &DataFolder) -> Option<Finding> {
        let device = |path: &Path| fs::metadata(path).ok().map(|metadata| metadata.dev());
        folder.container()?;
        let data = device(folder.direct_path()?)?;
        (device(self.shared.store.root()) == Some(data)).then(|| {
            Finding::warning(
                "backup_dir is on the same device as its data",
                "when that disk fails, both are lost: mount another one there",
            )
        })
    }

    /// Where it is an error, nothing in the container can be looked at.
    async fn check_container(&self, target: &PrometheusTarget) -> Option<Result<Finding, TargetError>> {
        let name = container_name(target);
        Some(match self.shared.container_state(target).await? {
            Ok(ContainerState::Running) => Ok(Finding::ok(format!("its container {name} runs"))),
            Ok(state) => {
                let hint = TargetError::NotRunning { name: name.clone(), state }.hint();
                Ok(Finding::problem(format!("its container {name} {state}"), hint))
            }
            Err(error) => Err(error.into()),
        })
    }

    /// A cleanup that Prometheus's own retention leaves nothing to.
    async fn check_cleanups(&self, target: &PrometheusTarget) -> Vec<Finding> {
        let of_target = |job: &JobConfig| match &job.kind {
            JobKind::BlockCleanup(config) if config.prometheus == target.name => Some(config.clone()),
            _ => None,
        };
        let cleanups: Vec<_> = self.shared.config.jobs.iter().filter_map(of_target).collect();
        let client = self.shared.client(target).ok().filter(|_| !cleanups.is_empty());
        // Why there is none is told already.
        let Some(client) = client else { return Vec::new() };
        match timeout(ANSWER_LIMIT, client.runtime_info()).await {
            Ok(Ok(runtime)) => {
                let retention = &runtime.storage_retention;
                cleanups.iter().filter_map(|config| cleanup_job::pointless(config, retention)).collect()
            }
            Ok(Err(_)) | Err(_) => vec![Finding::warning(
                "the server does not answer, so what it deletes by itself, and leaves to its block-cleanup, is not known",
                "check again when it answers",
            )],
        }
    }

    fn check_store(&self) -> Vec<Finding> {
        let root = self.shared.store.root();
        match tempfile::tempfile_in(root) {
            Ok(_) => match free_mib(root) {
                Some(free) if free < LITTLE => vec![Finding::warning(
                    format!("it can be written, but only {} are free", words::size(free << 20)),
                    "free some space, keep fewer backups, or move backup_dir",
                )],
                Some(free) => {
                    vec![Finding::ok(format!("it can be written, and {} are free", words::size(free << 20)))]
                }
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

fn container_name(target: &PrometheusTarget) -> String {
    match &target.place {
        Place::Container { name, .. } => name.clone(),
        Place::Host { .. } => String::new(),
    }
}

/// What a server tells, or that it does not in time.
async fn answered(endpoint: &Endpoint, look: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    let late = |_| {
        let (url, limit) = (endpoint.url.as_str().trim_end_matches('/'), words::duration(ANSWER_LIMIT));
        let hint = "is it overloaded, or is something between that keeps what it answers?";
        vec![Finding::problem(format!("{url} does not answer within {limit}"), Some(hint.to_owned()))]
    };
    timeout(ANSWER_LIMIT, look).await.unwrap_or_else(late)
}

/// What is found where something else than a server is asked too, such as a Docker engine.
async fn in_time(look: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    let late = |_| {
        let limit = words::duration(LOOK_LIMIT);
        let hint = "does the Docker engine answer? `docker version` asks it";
        vec![Finding::problem(format!("it could not be looked at within {limit}"), Some(hint.to_owned()))]
    };
    timeout(LOOK_LIMIT, look).await.unwrap_or_else(late)
}

fn problem(error: &TargetError) -> Finding {
    Finding::problem(words::chain(error), error.hint())
}

/// MiB that are free for an ordinary user.
fn free_mib(folder: &Path) -> Option<u64> {
    Room::at(folder).ok().map(|room| room.free >> 20)
}
