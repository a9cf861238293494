//! No run writes to another store than the one that backups were made in, and none reads one for it.

use std::sync::Arc;

use super::{App, Shared};
use crate::blocking::blocking;
use crate::config::{JobConfig, JobKind, RequireBackup};
use crate::history::History;
use crate::identity::{Identity, IdentityError};
use crate::jobs::RunContext;
use crate::prometheus::preflight::Finding;
use crate::runner::Failure;
use crate::words;

/// Before a run does anything: fails where the store is away that it would work with.
pub(super) async fn claim(
    (shared, job): (&Shared, &JobConfig),
    history: Arc<History>,
    context: &RunContext,
) -> Result<(), Failure> {
    let Some(using) = Using::of(&job.kind) else { return Ok(()) };
    let config = Arc::clone(&shared.config);
    let claimed = blocking(move || {
        let identity = Identity::of(&config, Some(&history));
        match using {
            Using::Writes => identity.claim(),
            Using::Reads => identity.check().map(|()| None),
        }
    })
    .await;
    if let Some(warning) = claimed.map_err(|error| failure(&error))? {
        context.progress.warn(warning);
    }
    Ok(())
}

/// After a backup was made: fails where the store has gone meanwhile, and with it what was made.
pub(super) async fn confirm(shared: &Shared) -> Result<(), Failure> {
    let config = Arc::clone(&shared.config);
    blocking(move || Identity::of(&config, None).check()).await.map_err(|error| failure(&error))
}

/// What a run does with the store.
#[derive(Clone, Copy)]
enum Using {
    /// It makes a backup.
    Writes,
    /// What it deletes has to be there.
    Reads,
}

impl Using {
    /// Nothing where a run can do without the store, or says itself that it is away.
    fn of(kind: &JobKind) -> Option<Self> {
        match kind {
            JobKind::PrometheusSnapshot(_)
            | JobKind::GrafanaExport(_)
            | JobKind::FilesBackup(_)
            | JobKind::SqliteBackup(_)
            | JobKind::CloseStaleSessions(_) => Some(Self::Writes),
            JobKind::BlockCleanup(config) if config.require_backup == RequireBackup::No => None,
            JobKind::BlockCleanup(_) => Some(Self::Reads),
            JobKind::Command(_) | JobKind::VerifyDeployment(_) => None,
        }
    }
}

fn failure(error: &IdentityError) -> Failure {
    Failure::of(error, error.hint(), error.is_transient())
}

/// Of what was asked for and cannot be begun.
pub(super) fn refusal(error: &IdentityError) -> Failure {
    Failure { is_refusal: true, ..failure(error) }
}

impl App {
    /// Why a run of a job would fail, where the store is away that it works with.
    pub(super) fn store_problem(&self, job: &JobConfig) -> Option<Finding> {
        Using::of(&job.kind)?;
        let error = self.check_store_is_right().err()?;
        Some(Finding::problem(words::chain(&error), error.hint()))
    }

    /// Fails where the store is away.
    pub(super) fn check_store_is_right(&self) -> Result<(), IdentityError> {
        Identity::of(&self.shared.config, Some(&self.runner.history)).check()
    }
}
