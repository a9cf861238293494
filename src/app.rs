//! The composition root: from the configuration to targets, store, history and runner, and from a job to its work.

mod change;
mod cleanup_job;
mod command_job;
pub mod daemon;
mod dashboard;
mod deployment_job;
mod diagnosis;
mod files_job;
mod folders;
mod founding;
mod grafana_job;
mod grafana_restore;
pub mod incidents;
mod lacks;
pub mod metrics;
mod notices;
mod observer;
mod preview;
mod recover;
mod restore;
mod right_store;
mod room;
mod snapshot_job;
mod sqlite_job;
mod sqlite_restore;
mod stale_job;
mod targets;
mod upkept;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

pub use change::{ChangeAction, ChangeOpenError};
pub use cleanup_job::BlockPlan;
pub use dashboard::DashboardAction;
pub use files_job::FilesAction;
pub use folders::unusable_folders;
pub use founding::{FoundingError, found, history_of_backups};
pub use grafana_restore::{GrafanaAction, GrafanaOpenError, count_text, secret_text};
pub use lacks::lacks;
pub use notices::{Teller, Tested, tell};
pub use observer::{Sight, Sights, observe};
pub use preview::Preview;
pub use recover::{
    LeftStopped, PlannedAfter, PlannedPart, RecoverError, Recovery, RecoveryOptions, RecoveryPlan,
    left_stopped,
};
pub use restore::{OpenError, RESTORE_KIND, RestoreAction};
pub use room::no_room;
pub use sqlite_restore::{SqliteAction, SqliteOpenError};
pub(crate) use targets::Hints;
pub use targets::TargetError;

use crate::blocking::blocking;
use crate::config::notify::parts_of_secret_url;
use crate::config::values::{Secret, SecretRef, TargetName, Veil};
use crate::config::{self, Config, JobConfig, JobKind};
use crate::docker::{Docker, DockerError};
use crate::history::{self, Cause, History, HistoryError, RunReport};
use crate::identity::{Identity, IdentityError};
use crate::progress::Sink;
use crate::runner::{
    Cleared, Holder, Limit, Live, Lock, Locks, LogBook, Origin, Patience, Runner, Task, Unwritten,
};
use crate::state_dir::reserve::Reserve;
use crate::store::{Store, StoreError};
use crate::upkeep::Policy;

/// How the program looks up what an environment variable holds.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What is done where the history cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutHistory {
    /// Nothing: that is an error.
    Fail,
    /// A damaged one is set aside where no daemon runs that does it. Else the work that is asked for now, with a warning: it
    /// must not fail for a record of the past.
    Forget,
    /// A damaged one is set aside, one that cannot be opened now is opened later, and jobs run meanwhile. For the daemon,
    /// which has its lock.
    Renew,
}

/// What the program finds around itself, handed in by `cli`.
#[derive(Clone)]
pub struct Surroundings {
    /// The wall clock.
    pub clock: fn() -> Timestamp,
    /// The environment, for secrets.
    pub environment: Environment,
    /// Where the Docker engine is, if not at its usual socket.
    pub docker_host: Option<String>,
    /// The last log lines of what runs.
    pub log: Arc<LogBook>,
    /// What is done where the history cannot be used.
    pub without_history: WithoutHistory,
    /// Work also where the backups can only be read.
    pub store_to_read: bool,
    /// Tells what runs to stop.
    pub stop: CancellationToken,
    /// How long it may take to tidy up then.
    pub grace: Duration,
}

/// Everything that running work needs.
pub struct App {
    shared: Arc<Shared>,
    runner: Runner,
}

/// What the work of a run shares with the rest of the program.
pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    pub(crate) environment: Environment,
    pub(crate) store: Store,
    docker_host: Option<String>,
    docker: Arc<OnceCell<Docker>>,
}

/// The program cannot begin its work.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The history cannot be used.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AppError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::History(error) => error.hint(),
            Self::Store(error) => error.hint(),
        }
    }
}

impl App {
    /// Opens everything that is on this host; no target is talked to yet.
    pub fn open(config: Arc<Config>, around: Surroundings) -> Result<Self, AppError> {
        let emptied = emptied_history(&config);
        let (history, forgetful) = open_history(&config, &around)?;
        if let Some(warning) = emptied {
            tracing::warn!("{warning}");
        }
        let is_away = matches!(Identity::of(&config, Some(&history)).check(), Err(IdentityError::Away(_)));
        let store = open_store(&config.backup_dir, is_away, around.store_to_read)?;
        let now = (around.clock)();
        // One that is only in memory is not begun in the place of another.
        let founded = if forgetful.is_none() { found(&config, &history, now) } else { None };
        if let Some(founded) = founded {
            tracing::error!("{}", founded.words(&config.timezone));
        }
        settle_history(&config, &history, now);
        let reserve = Reserve::new(&config.state_dir, config.reserve);
        if let Some(lack) = reserve.tend() {
            tracing::warn!("{lack}");
        }
        let runner = Runner {
            history: Arc::new(history),
            unwritten: Unwritten::default(),
            cleared: Cleared::default(),
            live: Live::default(),
            forgetful,
            locks: Locks::new(&config.state_dir),
            log: around.log,
            state_dir: config.state_dir.clone(),
            reserve,
            backup_dir: config.backup_dir.clone(),
            zone: config.timezone.clone(),
            clock: around.clock,
            stop: around.stop,
            grace: around.grace,
        };
        let shared = Shared {
            config,
            environment: around.environment,
            store,
            docker_host: around.docker_host,
            docker: Arc::default(),
        };
        Ok(Self { shared: Arc::new(shared), runner })
    }

    /// The same program with another configuration, whose folders are the same.
    #[must_use]
    pub fn with_config(&self, config: Config) -> Self {
        let config = Arc::new(config);
        let shared = Shared {
            environment: Arc::clone(&self.shared.environment),
            store: self.shared.store.clone(),
            docker_host: self.shared.docker_host.clone(),
            docker: Arc::clone(&self.shared.docker),
            config,
        };
        let reserve = Reserve::new(&shared.config.state_dir, shared.config.reserve);
        let runner = Runner { zone: shared.config.timezone.clone(), reserve, ..self.runner.clone() };
        Self { shared: Arc::new(shared), runner }
    }

    /// What runs work and keeps its record.
    pub fn runner(&self) -> &Runner {
        &self.runner
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// Runs a job once, because a person asked for it, and returns its record.
    pub async fn run_now(&self, job: &JobConfig, sink: Arc<dyn Sink>) -> RunReport {
        self.run_job(job, Cause::Manual, None, sink).await
    }

    /// Notes that a job which is paused was skipped, and returns the record; nothing where it is not paused.
    pub async fn skip_paused(&self, job: &JobConfig) -> Option<RunReport> {
        let (history, name) = (Arc::clone(&self.runner.history), job.name.clone());
        let pause = match blocking(move || history.pause_of(&name)).await {
            Ok(pause) => pause?,
            Err(error) => {
                let error = crate::words::chain(&error);
                tracing::warn!(job = %job.name, error, "whether the job is paused is not known");
                return None;
            }
        };
        let reason = pause.words(&self.runner.zone);
        Some(self.runner.skip(&job.name, job.kind.kind_name(), Cause::Manual, reason).await)
    }

    /// Runs a job once and returns its record.
    async fn run_job(
        &self,
        job: &JobConfig,
        origin: impl Into<Origin>,
        patience: Option<Patience>,
        sink: Arc<dyn Sink>,
    ) -> RunReport {
        let task = Task { patience, ..task(job, self.shared.locks(job).await) };
        self.run_task(job, task, origin.into(), sink).await
    }

    /// Runs a job once, as a part of work that holds these locks already.
    async fn run_within(&self, job: &JobConfig, held: &[Lock], sink: Arc<dyn Sink>) -> RunReport {
        let mut locks = self.shared.locks(job).await;
        locks.retain(|lock| !held.contains(lock));
        self.run_task(job, task(job, locks), Cause::Manual.into(), sink).await
    }

    async fn run_task(&self, job: &JobConfig, task: Task, origin: Origin, sink: Arc<dyn Sink>) -> RunReport {
        let (shared, job_of_work) = (Arc::clone(&self.shared), job.clone());
        // What the attempts of one run share.
        let begun = Arc::new(AtomicBool::new(false));
        let history = Arc::clone(&self.runner.history);
        let work = move |context| {
            let (shared, job, begun) = (Arc::clone(&shared), job_of_work.clone(), Arc::clone(&begun));
            let history = Arc::clone(&history);
            // The state of a whole job is large, and this is moved about.
            Box::pin(async move {
                right_store::claim((&shared, &job), history, &context).await?;
                match &job.kind {
                    JobKind::PrometheusSnapshot(config) => {
                        Box::pin(snapshot_job::run(&shared, &job, config, context)).await
                    }
                    JobKind::GrafanaExport(config) => {
                        Box::pin(grafana_job::run(&shared, &job, config, context)).await
                    }
                    JobKind::FilesBackup(config) => files_job::run(&shared, &job, config, context).await,
                    JobKind::VerifyDeployment(config) => deployment_job::run(&shared, config, context).await,
                    JobKind::Command(config) => command_job::run(&shared, &job, config, context).await,
                    JobKind::SqliteBackup(config) => {
                        Box::pin(sqlite_job::run(&shared, &job, config, context)).await
                    }
                    JobKind::CloseStaleSessions(config) => {
                        Box::pin(stale_job::run(&shared, &job, config, context)).await
                    }
                    JobKind::BlockCleanup(config) => {
                        cleanup_job::run(&shared, &job, config, &begun, context).await
                    }
                }
            })
        };
        let task = Task { veil: self.shared.veil(), ..task };
        self.runner.run(&task, origin, sink, work).await
    }

    /// Forgets what the history has kept long enough, once an hour, for so long at most. What cannot be done now is done
    /// another time.
    pub async fn tidy_history(&self, limit: Duration) {
        let (history, keep) = (Arc::clone(&self.runner.history), self.shared.config.history);
        let now = (self.runner.clock)();
        match blocking(move || history.prune(keep, now, limit)).await {
            Ok(Some(pruned)) if pruned != history::Pruned::default() => {
                let history::Pruned { runs, missed, log_lines, incidents } = pruned;
                tracing::info!(
                    runs,
                    missed,
                    log_lines,
                    incidents,
                    "what was old in the history is forgotten"
                );
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = crate::words::chain(&error), "what is old stays in the history");
            }
        }
    }

    /// Removes what was made on the Docker engine for all runs of this process.
    pub async fn close(&self) {
        if let Some(docker) = self.shared.docker.get()
            && let Err(error) = docker.close().await
        {
            tracing::warn!(
                error = crate::words::chain(&error),
                "a helper image was left on the Docker engine"
            );
        }
    }
}

/// What is decoded as easily as it is read.
fn as_a_request_carries_it(user: &str, password: &Secret) -> Secret {
    Secret::new(BASE64.encode(format!("{user}:{}", password.expose())))
}

impl Shared {
    /// The Docker engine; connected to when it is first needed.
    pub(crate) async fn docker(&self) -> Result<&Docker, DockerError> {
        self.docker.get_or_try_init(|| connect(self.docker_host.as_deref())).await
    }

    /// What is not to be seen in what programs say.
    pub(crate) fn veil(&self) -> Veil {
        let all: Vec<Secret> = self.config.secrets().filter_map(|secret| self.resolve(secret).ok()).collect();
        let parts: Vec<Secret> = all.iter().flat_map(parts_of_secret_url).collect();
        let logins = self.config.logins().filter_map(|(user, password)| {
            self.resolve(password).ok().map(|password| as_a_request_carries_it(user, &password))
        });
        Veil::new(all.into_iter().chain(parts).chain(logins))
    }

    /// A secret, from where it is.
    fn resolve(&self, secret: &SecretRef) -> Result<Secret, config::secret::SecretError> {
        let places = config::secret::Places { env: &*self.environment, config: &self.config.path };
        config::secret::resolve(secret, places)
    }

    /// What nobody else may use while a job runs.
    async fn locks(&self, job: &JobConfig) -> Vec<Lock> {
        let target = |kind, name: &TargetName| vec![Lock::Target { kind, name: name.clone() }];
        match &job.kind {
            JobKind::PrometheusSnapshot(config) => target("prometheus", &config.prometheus),
            JobKind::BlockCleanup(config) => target("prometheus", &config.prometheus),
            JobKind::GrafanaExport(config) => target("grafana", &config.grafana),
            JobKind::SqliteBackup(config) => self.database_locks(&config.database).await,
            JobKind::CloseStaleSessions(config) => self.database_locks(&config.backup.database).await,
            JobKind::FilesBackup(_) | JobKind::Command(_) | JobKind::VerifyDeployment(_) => Vec::new(),
        }
    }
}

/// Connects, and removes what a process of ours that was killed left on the engine.
async fn connect(host: Option<&str>) -> Result<Docker, DockerError> {
    let docker = Docker::connect(host).await?;
    match docker.sweep().await {
        Ok(0) => {}
        Ok(swept) => tracing::info!(swept, "removed helpers that a killed run had left on the Docker engine"),
        Err(error) => {
            tracing::warn!(
                error = crate::words::chain(&error),
                "helpers that were left could not be removed"
            );
        }
    }
    Ok(docker)
}

/// What the runner has to know of a job.
fn task(job: &JobConfig, targets: Vec<Lock>) -> Task {
    let limit = match &job.kind {
        // However long a large backup takes: it is stuck only when nothing moves.
        JobKind::PrometheusSnapshot(config) => Limit::Idle(config.idle_timeout),
        JobKind::VerifyDeployment(config) => Limit::Total(job.timeout + config.wait),
        JobKind::BlockCleanup(_)
        | JobKind::FilesBackup(_)
        | JobKind::GrafanaExport(_)
        | JobKind::Command(_)
        | JobKind::SqliteBackup(_)
        | JobKind::CloseStaleSessions(_) => Limit::Total(job.timeout),
    };
    Task {
        job: job.name.clone(),
        kind: job.kind.kind_name().to_owned(),
        locks: std::iter::once(Lock::Job(job.name.clone())).chain(targets).collect(),
        limit: Some(limit),
        retries: job.retries,
        hooks: job.hooks.clone(),
        anomalies: job.anomalies,
        veil: Veil::default(),
        patience: None,
    }
}

/// What a job's backups are kept by; nothing where it makes none.
pub fn policy(job: &JobConfig, zone: &TimeZone) -> Option<Policy> {
    let (keep, verify_within) = job.kind.keeping()?;
    let smaller = job.anomalies.smaller;
    Some(Policy {
        subject: job.kind.subject()?,
        keep: keep.clone(),
        zone: zone.clone(),
        verify_within,
        smaller,
    })
}

/// The store. One that is away may be there when a job runs, which looks then.
fn open_store(root: &Path, is_away: bool, to_read: bool) -> Result<Store, StoreError> {
    if is_away {
        return Ok(Store::absent(root));
    }
    match Store::open(root) {
        // A restore only reads: the disk with the backups may be mounted read-only.
        Err(error) if to_read => Store::open_to_read(root).map_err(|_| error),
        opened => opened,
    }
}

/// The history, and why it forgets all, if it does.
fn open_history(config: &Config, around: &Surroundings) -> Result<(History, Option<String>), HistoryError> {
    if around.without_history == WithoutHistory::Renew {
        let (history, renewed) = History::open_to_renew(&config.state_dir, (around.clock)())?;
        if let Some(renewed) = renewed {
            daemon::tell_renewed(&renewed);
        }
        if let Some(why) = history.why_not_open() {
            tracing::error!(
                "{why}: jobs run all the same, and what they did is kept in memory until that works"
            );
        }
        return Ok((history, None));
    }
    if around.without_history == WithoutHistory::Fail {
        return Ok((History::open(&config.state_dir)?, None));
    }
    match open_or_set_aside(config, (around.clock)()) {
        Err(error) if error.is_of_the_file() || error.is_of_the_disk() => {
            let lost = format!("{}: this run will not be in it", crate::words::chain(&error));
            Ok((History::forgetful(&config.state_dir)?, Some(lost)))
        }
        opened => Ok((opened?, None)),
    }
}

/// Opens the history; a damaged one is set aside and begun anew, as a daemon does that has just been started. Where one runs
/// that is left to it.
fn open_or_set_aside(config: &Config, now: Timestamp) -> Result<History, HistoryError> {
    let error = match History::open(&config.state_dir) {
        Err(error) if error.is_damaged() => error,
        opened => return opened,
    };
    let holder = Holder { pid: std::process::id(), since: now, job: None, run: None };
    let Ok(_held) = Locks::new(&config.state_dir).take(&[Lock::Daemon], &holder) else { return Err(error) };
    let (history, renewed) = History::open_anew(&config.state_dir, now)?;
    if let Some(renewed) = renewed {
        daemon::tell_renewed(&renewed);
    }
    Ok(history)
}

/// What is to be said of a history that is a file without content. It is opened like a new one, and then nobody can tell
/// any more: ask before.
pub fn emptied_history(config: &Config) -> Option<String> {
    let path = config.state_dir.join(history::FILE);
    let is_empty = std::fs::metadata(&path).is_ok_and(|file| file.len() == 0);
    is_empty.then(|| {
        format!(
            "The history {} was an empty file and is begun anew: what ran before it knows as far as backups tell, and no slot from before now is made up for. If there is a copy of it, stop the daemon and put it back",
            path.display()
        )
    })
}

/// Runs that are noted as running while nobody holds their job's lock were cut off.
pub fn settle_history(config: &Config, history: &History, now: Timestamp) {
    let locks = Locks::new(Path::new(&config.state_dir));
    if let Err(error) = history.mark_interrupted(now, &|job| locks.is_held(&Lock::Job(job.clone()))) {
        tracing::warn!(
            error = crate::words::chain(&error),
            "runs that were cut off are still noted as running"
        );
    }
}
