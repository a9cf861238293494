//! The application whose database is restored: how it is stopped and started, and how it tells that it is well.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use super::Notes;
use super::RestoreError;
use crate::http::HttpClient;
use crate::jobs::RunContext;
use crate::progress::Progress;
use crate::service::{Service, ServiceState};
use crate::sqlite::SqliteError;
use crate::sqlite::place::{Database, Place};

/// How long an application may take to stop, and to start.
const SERVICE: Duration = Duration::from_mins(1);
/// How long it may take to be well after its start.
const WELL: Duration = Duration::from_mins(1);
/// How long one answer may take, and how often it is asked.
const ANSWER: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(300);

/// How an application tells that it is well.
#[derive(Debug, Clone)]
pub struct Health {
    /// Its server.
    pub client: HttpClient,
    /// What to ask it for.
    pub path: String,
}

/// Where a database is restored to.
pub struct Site {
    /// The database.
    pub database: Database,
    /// What uses it, where somebody is known to.
    pub service: Option<Service>,
    /// How that tells that it is well.
    pub health: Option<Health>,
    /// What restores have done here.
    pub notes: Notes,
    /// How long the application may take to be well.
    pub patience: Duration,
}

impl Site {
    /// With the usual limits.
    pub fn new(database: Database, service: Option<Service>, health: Option<Health>, notes: Notes) -> Self {
        Self { database, service, health, notes, patience: WELL }
    }

    /// The undo file of the newest closing of sessions, where nothing was restored since.
    pub fn closed_sessions(&self) -> Result<Option<PathBuf>, SqliteError> {
        let (closed, restored) = (crate::sqlite::stale_sessions::newest(&self.notes)?, self.notes.newest()?);
        Ok(closed.filter(|(run, _)| restored.is_none_or(|restored| restored < *run)).map(|(_, path)| path))
    }

    /// The database's file on this host.
    pub(super) fn path(&self) -> Result<PathBuf, SqliteError> {
        match &self.database.place {
            Place::Host { path } => Ok(path.clone()),
            Place::Inside { closed: Some(place), .. } => {
                let (database, place) = (self.database.to_string(), place.clone());
                Err(RestoreError::Closed { database, place }.into())
            }
            Place::Inside { container, path, .. } => {
                Err(RestoreError::NoPlace { container: container.clone(), path: path.clone() }.into())
            }
        }
    }

    /// Whether the application runs, or is about to.
    pub(super) async fn runs(&self) -> bool {
        let Some(service) = &self.service else { return false };
        matches!(service.state().await, Ok(ServiceState::Running | ServiceState::Restarting))
    }

    pub(super) async fn stop(&self, progress: &Progress) -> Result<(), SqliteError> {
        let Some(service) = &self.service else { return Ok(()) };
        let step = progress.step("stop the application", None);
        service.stop(SERVICE).await?;
        step.finish(service.to_string());
        Ok(())
    }

    /// Starts the application where that is known how, and waits until it is well. Says what was seen. Whoever tells
    /// the run to stop does not wait for that.
    pub(super) async fn start(&self, context: &RunContext) -> Result<Option<String>, SqliteError> {
        let Some(service) = self.service.as_ref().filter(|service| service.is_controlled()) else {
            return Ok(None);
        };
        let step = context.progress.step("start the application", None);
        service.start(SERVICE).await?;
        drop(step);
        let Some(health) = &self.health else { return Ok(None) };
        let step = context.progress.step("wait until the application is well", None);
        let well = tokio::select! {
            () = context.cancel.cancelled() => return Err(SqliteError::Cancelled),
            well = self.well(service, health) => well?,
        };
        step.finish(well.clone());
        Ok(Some(well))
    }

    /// Starts the application unless it runs, which is asked where it is not known to be stopped.
    pub(super) async fn start_unless_it_runs(&self, context: &RunContext) {
        if !self.runs().await {
            self.start_again(context).await;
        }
    }

    /// Starts the application after something has failed. What goes wrong with that is a warning.
    pub(super) async fn start_again(&self, context: &RunContext) {
        match self.start(context).await {
            Ok(_) | Err(SqliteError::Cancelled) => {}
            Err(error) => {
                let why = crate::words::chain(&error);
                context.progress.warn(format!("the old database is in its place, but: {why}"));
            }
        }
    }

    async fn well(&self, service: &Service, health: &Health) -> Result<String, SqliteError> {
        let deadline = Instant::now() + self.patience;
        let url = health.client.url(&health.path);
        loop {
            let seen = match health.client.get(&health.path, ANSWER).await {
                // A page is what a proxy shows in place of an application that is down.
                Ok(reply) if (200..300).contains(&reply.status) && !reply.is_page() => {
                    return Ok(format!("{url} answers with {}", reply.status));
                }
                Ok(reply) => {
                    format!("it answers with {}: {}", reply.status, crate::http::excerpt(&reply.body))
                }
                Err(error) => crate::words::chain(&error),
            };
            if Instant::now() > deadline {
                let words = service.last_words(5).await;
                return Err(RestoreError::NotWell { url, limit: self.patience, seen, words }.into());
            }
            tokio::time::sleep(TICK).await;
        }
    }
}
