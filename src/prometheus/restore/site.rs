//! The Prometheus that is restored: its data folder, its service, its HTTP API, behind verbs that say what was done.

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::error::RestoreError;
use super::proof::{pause, reloads, wait_for_reload};
use crate::progress::Progress;
use crate::prometheus::block::BlockReport;
use crate::prometheus::client::PrometheusClient;
use crate::prometheus::folder::{DataFolder, OnBytes};
use crate::prometheus::folder_op::{
    FolderFailure, FolderOp, FolderReply, FolderState, RestoreState, work_folder,
};
use crate::service::{Service, ServiceState};

/// How many of a server's last log lines tell why it ended.
pub(super) const LAST_WORDS: usize = 3;

/// How long each thing may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// To stop: it flushes its head.
    pub stop: Duration,
    /// To be started.
    pub start: Duration,
    /// From the start until it is ready: large blocks take their time.
    pub ready: Duration,
    /// Until its first reload, which comes a minute after the start.
    pub reload: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stop: Duration::from_mins(2),
            start: Duration::from_mins(1),
            ready: Duration::from_mins(5),
            reload: Duration::from_secs(90),
        }
    }
}

/// A Prometheus as a restore needs it.
pub struct Site {
    /// The target's name in the configuration.
    pub target: String,
    /// Its data folder.
    pub folder: DataFolder,
    /// How it is stopped and started.
    pub service: Service,
    /// Its HTTP API.
    pub client: PrometheusClient,
    /// How long each thing may take.
    pub limits: Limits,
    /// The command whose `--undo` and `--resume` concern this Prometheus: `watchkeeper restore JOB`.
    pub command: String,
}

/// How Prometheus was before a restore touched it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Before {
    /// It ran, or tried to.
    pub running: bool,
    /// It served queries.
    pub ready: bool,
}

impl Before {
    /// Nobody remembers: it should be up.
    pub(super) const UNKNOWN: Self = Self { running: true, ready: true };
}

impl Site {
    /// It can be stopped and started without anybody's help.
    pub fn is_controllable(&self) -> bool {
        self.service.is_controlled()
    }

    /// How it is now.
    pub async fn before(&self) -> Before {
        let ready = self.client.ready().await.unwrap_or(false);
        let state = self.service.state().await.unwrap_or(ServiceState::Unknown);
        Before { running: ready || matches!(state, ServiceState::Running | ServiceState::Restarting), ready }
    }

    /// Its data folder as it is now.
    pub async fn inspect(&self, cancel: &CancellationToken) -> Result<FolderState, RestoreError> {
        const ACTION: &str = "look into the data folder";
        match self.run(ACTION, &FolderOp::Inspect, cancel).await? {
            FolderReply::Folder(state) => Ok(state),
            _ => Err(unexpected(ACTION)),
        }
    }

    /// Reads every staged block.
    pub(super) async fn check_staged(
        &self,
        restore: Ulid,
        on_bytes: OnBytes,
        cancel: &CancellationToken,
    ) -> Result<Vec<BlockReport>, RestoreError> {
        const ACTION: &str = "check the staged blocks";
        match self.run_watched(ACTION, &FolderOp::CheckStaged { restore }, on_bytes, cancel).await? {
            FolderReply::Staged { blocks } => Ok(blocks),
            _ => Err(unexpected(ACTION)),
        }
    }

    /// Performs an operation that replies the restore. `action` completes "Cannot …".
    pub(super) async fn restore(
        &self,
        action: &'static str,
        op: &FolderOp,
        cancel: &CancellationToken,
    ) -> Result<RestoreState, RestoreError> {
        match self.run(action, op, cancel).await? {
            FolderReply::Restore(state) => Ok(state),
            _ => Err(unexpected(action)),
        }
    }

    /// Performs an operation. `action` completes "Cannot …".
    pub(in crate::prometheus) async fn run(
        &self,
        action: &'static str,
        op: &FolderOp,
        cancel: &CancellationToken,
    ) -> Result<FolderReply, RestoreError> {
        self.run_watched(action, op, Arc::new(|_| ()), cancel).await
    }

    async fn run_watched(
        &self,
        action: &'static str,
        op: &FolderOp,
        on_bytes: OnBytes,
        cancel: &CancellationToken,
    ) -> Result<FolderReply, RestoreError> {
        match self.folder.run_watched(op, on_bytes, cancel).await {
            Ok(FolderReply::Failed(source)) => Err(RestoreError::Folder { action, source }),
            Ok(reply) => Ok(reply),
            Err(_) if cancel.is_cancelled() => Err(RestoreError::Cancelled),
            Err(error) => Err(RestoreError::folder(action, &error)),
        }
    }

    /// Unpacks a tar stream into a folder in the data folder.
    pub(super) async fn put(
        &self,
        relative: &str,
        tar: Box<dyn Read + Send>,
        cancel: &CancellationToken,
    ) -> Result<(), RestoreError> {
        match self.folder.put(relative, tar, cancel).await {
            Ok(()) => Ok(()),
            Err(_) if cancel.is_cancelled() => Err(RestoreError::Cancelled),
            Err(error) => Err(RestoreError::folder("bring the blocks to the data folder", &error)),
        }
    }

    /// Stops it, and returns when it has stopped.
    pub(in crate::prometheus) async fn stop(&self, progress: &Progress) -> Result<(), RestoreError> {
        let _step = progress.step("stop Prometheus", None);
        let stopped = self.service.stop(self.limits.stop).await;
        stopped.map_err(|error| RestoreError::service("stop Prometheus", &error))
    }

    /// Stops it to take a restore back. A container that was removed has stopped, unless the server still answers: then it
    /// was renamed. Whether anything else uses the data is asked in their folder.
    pub(super) async fn stop_to_undo(
        &self,
        restore: Ulid,
        before: Before,
        progress: &Progress,
    ) -> Result<(), RestoreError> {
        let is_gone = self.service.state().await.is_err_and(|error| error.is_gone());
        if is_gone && self.client.ready().await.is_err() {
            return Ok(());
        }
        self.stop_for(restore, before, progress).await
    }

    /// Starts it.
    pub(in crate::prometheus) async fn start(&self, progress: &Progress) -> Result<(), RestoreError> {
        let _step = progress.step("start Prometheus", None);
        let started = self.service.start(self.limits.start).await;
        started.map_err(|error| RestoreError::service("start Prometheus", &error))
    }

    /// Stops it for a restore. Before that it is noted with the restore that it is to run again, so that also who finds
    /// the restore cut knows it.
    pub(super) async fn stop_for(
        &self,
        restore: Ulid,
        before: Before,
        progress: &Progress,
    ) -> Result<(), RestoreError> {
        if before.running && self.is_controllable() {
            let noted = FolderOp::NoteDown { restore, down: true };
            self.restore("note that Prometheus is stopped", &noted, &CancellationToken::new()).await?;
        }
        self.stop(progress).await
    }

    /// Notes with a restore that what was stopped for it runs again.
    pub(super) async fn note_up(&self, restore: Ulid) {
        let noted = FolderOp::NoteDown { restore, down: false };
        // Who finds the old note sees that it runs.
        let _ = self.restore("note that Prometheus runs", &noted, &CancellationToken::new()).await;
    }

    /// Waits until it serves queries; fails early when it ends instead.
    pub(in crate::prometheus) async fn wait_ready(
        &self,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<(), RestoreError> {
        let _step = progress.step("wait until Prometheus is ready", None);
        self.while_it_lives(progress, Box::pin(self.get_ready(cancel))).await
    }

    async fn get_ready(&self, cancel: &CancellationToken) -> Result<(), RestoreError> {
        let deadline = Instant::now() + self.limits.ready;
        let mut ended = 0;
        loop {
            match self.client.ready().await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) if error.is_transient() => {}
                Err(source) => return Err(RestoreError::Client { source }),
            }
            // Twice in a row: it may have been looked at too early.
            ended = if self.has_ended().await { ended + 1 } else { 0 };
            if ended > 1 {
                return Err(RestoreError::Ended { log: self.service.last_words(LAST_WORDS).await });
            }
            if Instant::now() >= deadline {
                let log = self.service.last_words(LAST_WORDS).await;
                return Err(RestoreError::NotReady { limit: self.limits.ready, log });
            }
            pause(cancel).await?;
        }
    }

    /// How often it has reloaded its blocks; nothing where it does not say.
    pub(in crate::prometheus) async fn reloads(&self) -> Option<f64> {
        reloads(self).await
    }

    /// Waits until it has reloaded its blocks, which it had done `before` times. False where that was not seen.
    pub(in crate::prometheus) async fn has_reloaded(
        &self,
        before: Option<f64>,
        cancel: &CancellationToken,
    ) -> bool {
        wait_for_reload(self, before, cancel).await.unwrap_or(false)
    }

    /// A unit was started, and does not run. Of given commands that cannot be told: nobody may listen there yet.
    async fn has_ended(&self) -> bool {
        match &self.service {
            Service::Unit { .. } => matches!(self.service.state().await, Ok(ServiceState::Stopped)),
            Service::Container { .. } | Service::Commands { .. } | Service::None { .. } => false,
        }
    }

    /// What to do by hand where taking back failed.
    pub(super) fn by_hand(&self, restore: Ulid) -> String {
        let folder = work_folder(restore);
        format!(
            "nothing is lost: the old data are in {folder} of the data folder. Remove the cause, make sure that {} is \
             stopped, and run: {} --undo",
            self.service, self.command
        )
    }
}

fn unexpected(action: &'static str) -> RestoreError {
    let reason = "the helper replied to another question: is it another version of this program?".to_owned();
    RestoreError::Folder { action, source: FolderFailure { reason, hint: None } }
}
