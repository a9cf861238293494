//! A container that belongs to somebody else: looking at it, stopping it, starting it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum, MountPoint};
use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, KillContainerOptionsBuilder, LogsOptionsBuilder,
    StopContainerOptionsBuilder,
};
use futures_util::StreamExt as _;
use jiff::Timestamp;

use super::bounds::{Bounds, Stopping, bounds_of, stopping_of};
use super::error::{DockerError, name_missing};
use super::{Docker, Download, REQUEST_LIMIT};

/// How long a container has to stay stopped before it is believed.
const SETTLE: Duration = Duration::from_millis(300);
/// The bit of Go's file mode that says folder, and those of all that is no regular file.
const GO_FOLDER: u32 = 1 << 31;
const GO_SPECIAL: u32 = GO_FOLDER | 1 << 27 | 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 1 << 19;
/// What the engine may take beyond the limit it was given: it kills then, and that takes a moment.
const KILL_GRACE: Duration = Duration::from_secs(15);

/// What a container is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerState {
    /// It was made, but never started.
    Created,
    /// It runs.
    Running,
    /// It runs, but its processes are frozen.
    Paused,
    /// It ended, and the engine is about to start it again.
    Restarting,
    /// It ended.
    Exited {
        /// With this exit code.
        code: i64,
    },
    /// The engine is removing it.
    Removing,
    /// The engine tried to remove it and could not.
    Dead,
}

impl std::fmt::Display for ContainerState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Created => f.write_str("was never started"),
            Self::Running => f.write_str("runs"),
            Self::Paused => f.write_str("is paused"),
            Self::Restarting => f.write_str("keeps ending and being started again"),
            Self::Exited { code } => write!(f, "has ended, with exit code {code}"),
            Self::Removing => f.write_str("is being removed"),
            Self::Dead => f.write_str("is dead: the engine could not remove it"),
        }
    }
}

impl ContainerState {
    /// No process of it runs, and none will unless somebody starts it.
    pub const fn is_stopped(self) -> bool {
        matches!(self, Self::Created | Self::Exited { .. } | Self::Dead)
    }
}

/// What kind of thing is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountKind {
    /// A folder of the engine's machine.
    Bind,
    /// A volume of the engine.
    Volume,
    /// Anything else: `tmpfs`, `npipe`, …
    Other(String),
}

/// Something mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// What it is.
    pub kind: MountKind,
    /// Where it lies on the engine's machine.
    pub source: String,
    /// Where it is in the container.
    pub destination: String,
    /// It can be written.
    pub writable: bool,
}

/// What the engine says of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerInfo {
    /// Its ID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its image's ID.
    pub image_id: String,
    /// Its image, as it names it: `prom/prometheus:v2.53.0`.
    pub image: String,
    /// What it is doing.
    pub state: ContainerState,
    /// How it is by its own health check: `starting`, `healthy` or `unhealthy`; nothing where it has none.
    pub health: Option<String>,
    /// What it runs: entrypoint and arguments.
    pub command: Vec<String>,
    /// Where it runs that.
    pub working_dir: String,
    /// As whom; empty for root.
    pub user: String,
    /// What is mounted into it.
    pub mounts: Vec<Mount>,
    /// `no`, `always`, `unless-stopped` or `on-failure`.
    pub restart_policy: String,
    /// How often that has started it again since somebody started it.
    pub restarts: u64,
    /// When it was last started.
    pub started: Option<Timestamp>,
    /// The engine removes it as soon as it ends, with all that is in its own layer.
    pub removed_at_end: bool,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// How it is now, or how it ended.
    pub life: Life,
    /// What it may take of the machine, and what of it is reached from outside.
    pub bounds: Bounds,
    /// How it is to be stopped.
    pub stopping: Stopping,
}

/// How a container is now, or how it ended, beside its state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Life {
    /// With which code it ended last; 0 while it runs, and where it never did.
    pub exit_code: i64,
    /// The kernel has killed something in it because its memory was full. Only of its last life.
    pub out_of_memory: bool,
    /// Its first process as the engine's machine numbers it, while it runs.
    pub pid: Option<u32>,
    /// When it last ended.
    pub finished: Option<Timestamp>,
    /// Why the engine could not start it.
    pub error: Option<String>,
    /// What its own health check said last.
    pub health_output: Option<String>,
}

impl ContainerInfo {
    /// The mount `path` lies in, if it lies in one.
    pub fn mount_of(&self, path: &str) -> Option<&Mount> {
        let holds = |mount: &&Mount| std::path::Path::new(path).starts_with(&mount.destination);
        self.mounts.iter().filter(holds).max_by_key(|mount| mount.destination.len())
    }
}

/// What the engine says of a path in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathStat {
    /// When it was last changed, in RFC 3339 with all digits.
    pub modified: Option<String>,
    /// It is a folder.
    pub is_folder: bool,
    /// It is a regular file.
    pub is_file: bool,
    /// Its size in bytes.
    pub size: u64,
    /// Where it leads at last, as the container sees it, if it is a symbolic link: there may be nothing.
    pub leads_to: Option<String>,
}

/// A container, by the name it was asked for with: it may be removed and made anew between two calls.
#[derive(Debug, Clone)]
pub struct Container {
    docker: Docker,
    info: ContainerInfo,
    reference: String,
}

impl Docker {
    /// Looks a container up by name or ID.
    pub async fn container(&self, name: &str) -> Result<Container, DockerError> {
        let info = self.inspect(name).await?;
        Ok(Container { docker: self.clone(), info, reference: name.to_owned() })
    }

    pub(super) async fn inspect(&self, name: &str) -> Result<ContainerInfo, DockerError> {
        let action = format!("inspect container {name:?}");
        let found = self.request(&action, self.client.inspect_container(name, None)).await;
        found.map(describe).map_err(|error| name_missing(name, error))
    }
}

impl Container {
    /// What it was when it was last looked at.
    pub fn info(&self) -> &ContainerInfo {
        &self.info
    }

    /// Looks at it again.
    pub async fn refresh(&mut self) -> Result<&ContainerInfo, DockerError> {
        self.info = self.docker.inspect(&self.reference).await?;
        Ok(&self.info)
    }

    /// What it is doing now.
    pub async fn state(&self) -> Result<ContainerState, DockerError> {
        Ok(self.docker.inspect(&self.reference).await?.state)
    }

    /// Stops it, and sees that it stays stopped. After `limit` the engine kills it.
    ///
    /// One that crashes and is restarted over and over is told so until it is found stopped twice in a row:
    /// between two of its lives there is nothing to signal.
    pub async fn stop(&self, limit: Duration) -> Result<(), DockerError> {
        let deadline = Instant::now() + limit + KILL_GRACE;
        let mut calm = 0;
        while calm < 2 {
            let info = self.docker.inspect(&self.reference).await?;
            if info.state.is_stopped() {
                calm += if info.restart_policy == "no" { 2 } else { 1 };
                if calm < 2 {
                    tokio::time::sleep(SETTLE).await;
                }
                continue;
            }
            if Instant::now() > deadline {
                return Err(DockerError::StillRunning { name: self.reference.clone(), limit });
            }
            calm = 0;
            self.push_down(info.state, limit).await?;
        }
        Ok(())
    }

    /// Starts it; returns when its process was started, which says nothing about readiness.
    pub async fn start(&self) -> Result<(), DockerError> {
        if self.state().await? == ContainerState::Paused {
            return self.unpause().await;
        }
        let action = format!("start container {:?}", self.reference);
        let started = self.docker.client.start_container(&self.reference, None);
        self.docker.request(&action, started).await.map_err(|error| name_missing(&self.reference, error))
    }

    /// Waits until it has stopped by itself.
    pub async fn wait_stopped(&self, limit: Duration) -> Result<ContainerState, DockerError> {
        let deadline = Instant::now() + limit;
        loop {
            let state = self.state().await?;
            if state.is_stopped() {
                return Ok(state);
            }
            if Instant::now() > deadline {
                return Err(DockerError::StillRunning { name: self.reference.clone(), limit });
            }
            tokio::time::sleep(SETTLE).await;
        }
    }

    /// Looks at a path in it, whether it runs or not.
    pub async fn stat(&self, path: &str) -> Result<PathStat, DockerError> {
        self.docker.stat(&self.reference, &self.reference, path).await
    }

    /// The path as a tar stream whose entries start with the path's last component, whether it runs or not. The
    /// container is locked until the stream ends: only for what is small.
    pub async fn download(&self, path: &str, idle: Duration) -> Result<Download, DockerError> {
        self.docker.download(&self.reference, &self.reference, path, idle).await
    }

    /// Unpacks a tar stream into the folder `path`, whether it runs or not, with the owners of its headers. The container is
    /// locked until it ends: only for what is small.
    pub async fn upload(
        &self,
        path: &str,
        tar: Box<dyn std::io::Read + Send>,
        idle: Duration,
    ) -> Result<(), DockerError> {
        self.docker.upload((&self.reference, &self.reference), path, tar, idle).await
    }

    /// Sends a signal to its first process: `HUP`.
    pub async fn signal(&self, signal: &str) -> Result<(), DockerError> {
        let action = format!("send SIG{signal} to container {:?}", self.reference);
        let options = KillContainerOptionsBuilder::default().signal(&format!("SIG{signal}")).build();
        let sent = self.docker.client.kill_container(&self.reference, Some(options));
        self.docker.request(&action, sent).await.map_err(|error| name_missing(&self.reference, error))
    }

    /// The last lines it wrote; none where its logs cannot be read.
    pub async fn last_words(&self, lines: usize) -> Vec<String> {
        let options =
            LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&lines.to_string()).build();
        let mut stream = self.docker.client.logs(&self.reference, Some(options));
        let read = async {
            let mut text = String::new();
            while let Some(Ok(piece)) = stream.next().await {
                text.push_str(&piece.to_string());
            }
            text
        };
        let text = tokio::time::timeout(REQUEST_LIMIT, read).await.unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    async fn push_down(&self, state: ContainerState, limit: Duration) -> Result<(), DockerError> {
        // A frozen process sees no signal but the last one: it would be killed instead of ending.
        if state == ContainerState::Paused {
            self.unpause().await?;
        }
        let seconds = i32::try_from(limit.as_secs().max(1)).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        let patient = limit + KILL_GRACE + REQUEST_LIMIT;
        let client = self.docker.client.clone().with_timeout(patient);
        let action = format!("stop container {:?}", self.reference);
        let stopped = client.stop_container(&self.reference, Some(options)).await;
        let result = stopped.map_err(|raw| match raw {
            bollard::errors::Error::RequestTimeoutError => {
                DockerError::TimedOut { action: action.clone(), limit: patient }
            }
            raw => name_missing(&self.reference, self.docker.translate(&action, raw)),
        });
        tokio::time::sleep(SETTLE).await;
        result
    }

    async fn unpause(&self) -> Result<(), DockerError> {
        let action = format!("unpause container {:?}", self.reference);
        let result =
            self.docker.request(&action, self.docker.client.unpause_container(&self.reference)).await;
        match result {
            // Somebody else was faster.
            Err(error) if error.is_conflict() => Ok(()),
            other => other,
        }
    }
}

impl Docker {
    /// Looks at `path` in the container `id`; errors speak of `name`.
    pub(super) async fn stat(&self, id: &str, name: &str, path: &str) -> Result<PathStat, DockerError> {
        let action = format!("look at {path:?} in container {name:?}");
        let options = ContainerArchiveInfoOptionsBuilder::default().path(path).build();
        let request = self.client.get_container_archive_info(id, Some(options));
        match self.request(&action, request).await {
            Ok(stat) => Ok(PathStat {
                modified: stat.modification_time,
                is_folder: stat.file_mode & GO_FOLDER != 0,
                is_file: stat.file_mode & GO_SPECIAL == 0,
                size: u64::try_from(stat.size).unwrap_or_default(),
                leads_to: Some(stat.link_target).filter(|target| !target.is_empty()),
            }),
            // An answer to HEAD has no body that could say what is missing.
            Err(DockerError::Refused { status: 404, .. }) => {
                self.inspect(id).await.map_err(|_| DockerError::NoContainer { name: name.to_owned() })?;
                Err(DockerError::NoPath { name: name.to_owned(), path: path.to_owned() })
            }
            Err(other) => Err(other),
        }
    }
}

fn describe(raw: ContainerInspectResponse) -> ContainerInfo {
    let config = raw.config.unwrap_or_default();
    let host = raw.host_config.unwrap_or_default();
    let stopping = stopping_of(&config);
    let removed_at_end = host.auto_remove.unwrap_or_default();
    let policy = host.restart_policy.as_ref().and_then(|policy| policy.name);
    let policy = policy.map(|name| name.to_string()).filter(|name| !name.is_empty());
    let state = raw.state.unwrap_or_default();
    // One between two of its lives has none.
    let runs = matches!(state_of(&state), ContainerState::Running | ContainerState::Paused);
    let open = raw.network_settings.filter(|_| runs).map(|network| network.ports.unwrap_or_default());
    let bounds = bounds_of(&host, open.as_ref());
    let health = state.health.as_ref().and_then(|health| health.status).map(|status| status.to_string());
    ContainerInfo {
        id: raw.id.unwrap_or_default(),
        name: raw.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        image_id: raw.image.unwrap_or_default(),
        image: config.image.unwrap_or_default(),
        state: state_of(&state),
        health: health.filter(|health| !matches!(health.as_str(), "" | "none")),
        command: raw.path.into_iter().chain(raw.args.unwrap_or_default()).collect(),
        working_dir: config.working_dir.filter(|dir| !dir.is_empty()).unwrap_or_else(|| "/".to_owned()),
        user: config.user.unwrap_or_default(),
        mounts: raw.mounts.unwrap_or_default().into_iter().map(mount_of).collect(),
        restart_policy: policy.unwrap_or_else(|| "no".to_owned()),
        restarts: raw.restart_count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default(),
        started: state.started_at.as_ref().and_then(|started| started.parse().ok()),
        removed_at_end,
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        life: life_of(state),
        bounds,
        stopping,
    }
}

fn life_of(state: bollard::models::ContainerState) -> Life {
    let text = |text: String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let last = state.health.and_then(|health| health.log).unwrap_or_default().pop();
    // One that never ended has the year 1.
    let finished = state.finished_at.and_then(|at| at.parse::<Timestamp>().ok());
    Life {
        exit_code: state.exit_code.unwrap_or_default(),
        out_of_memory: state.oom_killed.unwrap_or_default(),
        pid: state.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0),
        finished: finished.filter(|at| *at > Timestamp::UNIX_EPOCH),
        error: state.error.and_then(text),
        health_output: last.and_then(|last| last.output).and_then(text),
    }
}

fn state_of(state: &bollard::models::ContainerState) -> ContainerState {
    use ContainerStateStatusEnum as Status;
    match state.status {
        Some(Status::CREATED) => ContainerState::Created,
        Some(Status::RUNNING) => ContainerState::Running,
        Some(Status::PAUSED) => ContainerState::Paused,
        Some(Status::RESTARTING) => ContainerState::Restarting,
        Some(Status::REMOVING) => ContainerState::Removing,
        Some(Status::DEAD) => ContainerState::Dead,
        _ if state.running == Some(true) => ContainerState::Running,
        _ => ContainerState::Exited { code: state.exit_code.unwrap_or(0) },
    }
}

fn mount_of(raw: MountPoint) -> Mount {
    Mount {
        kind: match raw.typ.as_deref() {
            Some("bind") => MountKind::Bind,
            Some("volume") => MountKind::Volume,
            other => MountKind::Other(other.unwrap_or_default().to_owned()),
        },
        source: raw.source.unwrap_or_default(),
        destination: raw.destination.unwrap_or_default(),
        writable: raw.rw.unwrap_or(true),
    }
}
