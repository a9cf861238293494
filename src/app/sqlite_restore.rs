//! The restore of a database as a run: with locks, a record, and an outcome.

use std::path::PathBuf;
use std::sync::Arc;

use super::sqlite_job::{locks, none_unfinished, of};
use super::targets::credentials;
use super::{App, TargetError};
use crate::config::values::{JobName, ServiceControl};
use crate::config::{ApplicationTarget, DatabaseRef};
use crate::history::{Cause, RunReport};
use crate::http::HttpClient;
use crate::jobs::{JobOutput, RunContext};
use crate::progress::Sink;
use crate::runner::{Failure, Lock, Task};
use crate::service::Service;
use crate::sqlite::SqliteError;
use crate::sqlite::restore::{
    Health, Notes, RestorePlan, Restored, Site, SqliteBackup, Taken, apply, discard_old, undo,
};
use crate::sqlite::stale_sessions::{self, Access};
use crate::words;

/// The kind of a restore's run.
const RESTORE_KIND: &str = "sqlite-restore";

/// What to do with a database.
#[derive(Clone)]
pub enum SqliteAction {
    /// Restore this as planned.
    Apply(Arc<(SqliteBackup, RestorePlan)>),
    /// Take the newest restore back.
    Undo,
    /// Open the sessions again that this undo file tells of.
    OpenSessions(PathBuf),
    /// Remove what restores have set aside.
    DiscardOld,
}

impl App {
    /// Where a database is restored to, and what uses it.
    pub async fn sqlite_site(&self, job: &JobName, database: &DatabaseRef) -> Result<Site, SqliteOpenError> {
        let found = self.shared.database(database).await?;
        let notes = Notes::of(&self.shared.config.state_dir, job);
        let Some(application) = self.shared.application(database) else {
            return Ok(Site::new(found, None, None, notes));
        };
        let service = self.service_of(application).await?;
        let secret = credentials(&application.endpoint.auth, &self.shared);
        let secret = secret.map_err(TargetError::from)?;
        let client = HttpClient::new(&application.endpoint, secret).map_err(SqliteOpenError::Http)?;
        let health = Health { client, path: application.health.clone() };
        Ok(Site::new(found, Some(service), Some(health), notes))
    }

    async fn service_of(&self, application: &ApplicationTarget) -> Result<Service, SqliteError> {
        let url = application.endpoint.url.clone();
        if let Some(name) = &application.container {
            let docker = self.shared.docker().await?.clone();
            return Ok(Service::Container { docker, name: name.clone() });
        }
        Ok(match &application.service {
            Some(ServiceControl::Unit(name)) => Service::Unit { name: name.clone() },
            Some(ServiceControl::Commands { stop, start }) => {
                Service::Commands { stop: stop.clone(), start: start.clone(), url }
            }
            None => Service::None { target: application.name.to_string(), url },
        })
    }

    /// Does it, as a run of `job`, and returns its record.
    pub async fn run_sqlite(
        &self,
        job: &JobName,
        database: &DatabaseRef,
        site: Arc<Site>,
        action: SqliteAction,
        sink: Arc<dyn Sink>,
    ) -> RunReport {
        let locks = std::iter::once(Lock::Job(job.clone())).chain(locks(database, Some(&site.database)));
        let task = Task::once(job, RESTORE_KIND, locks.collect());
        let work = move |context: RunContext| {
            let (site, action) = (Arc::clone(&site), action.clone());
            async move { perform(&site, action, &context).await.map_err(|error| failure(&error)) }
        };
        self.runner.run(&task, Cause::Manual, sink, work).await
    }
}

async fn perform(site: &Site, action: SqliteAction, context: &RunContext) -> Result<JobOutput, SqliteError> {
    match action {
        SqliteAction::Apply(planned) => {
            let (source, plan) = &*planned;
            apply(site, source, plan, context).await.map(|restored| output(source, &restored))
        }
        SqliteAction::Undo => {
            let undone = undo(site, context).await?;
            let displaced =
                undone.displaced.map(|path| format!("what was live until now is {}", path.display()));
            let (source, began) = (undone.source, undone.began);
            let summary = match undone.what {
                Taken::Nothing => {
                    let again = "; the application, which it had stopped, was started";
                    let again = if undone.started { again } else { "" };
                    format!("the restore of {source} had changed nothing; what it had staged is gone{again}")
                }
                Taken::Restore => format!("the database of before the restore of {source} is live again"),
                Taken::Undo => {
                    format!(
                        "what the restore of {source} had brought is live again, as before the undo of {began}"
                    )
                }
            };
            Ok(JobOutput {
                summary,
                facts: displaced.into_iter().collect(),
                verified: undone.well.into_iter().collect(),
                ..JobOutput::default()
            })
        }
        SqliteAction::OpenSessions(file) => {
            let step = context.progress.step("open the sessions again", None);
            none_unfinished(&site.notes, &site.database)?;
            let access = Access::open(&site.database, context.run, &context.cancel).await?;
            let reopened = stale_sessions::undo(&access, &file).await?;
            let opened = words::count(reopened.opened, "session");
            step.finish(opened.clone());
            if !reopened.left.is_empty() {
                context.progress.warn(format!(
                    "{} had changed or gone since they were closed, and were left as they are: {}",
                    reopened.left.len(),
                    reopened.left.join(", ")
                ));
            }
            if !reopened.doubtful.is_empty() {
                context.progress.warn(format!(
                    "the run was cut, and who has closed these is not known; they were left closed: {}",
                    reopened.doubtful.join(", ")
                ));
            }
            let summary = format!("{opened} that had been closed are open again");
            let all = reopened.left.is_empty() && reopened.doubtful.is_empty();
            let file = format!("what was not opened again is told in {}", reopened.undo_file.display());
            let facts = if all { Vec::new() } else { vec![file] };
            Ok(JobOutput { summary, facts, ..JobOutput::default() })
        }
        SqliteAction::DiscardOld => {
            let bytes = discard_old(site).await?;
            let summary = format!("removed {} that restores had set aside", words::size(bytes));
            Ok(JobOutput { summary, ..JobOutput::default() })
        }
    }
}

fn output(source: &SqliteBackup, restored: &Restored) -> JobOutput {
    let (contents, from) = (&source.contents, source.backup.manifest.made_from());
    let tables = words::count(contents.tables.len(), "table");
    let mut verified = vec![format!(
        "the restored database has {tables} and {} rows, as its manifest says",
        contents.rows()
    )];
    verified.extend(restored.well.clone());
    let unverified = match (&restored.well, restored.started) {
        (Some(_), _) => Vec::new(),
        (None, true) => vec!["that the application works with it: it has no url to ask".to_owned()],
        (None, false) => {
            vec!["that an application works with it: nothing says what to start and to ask".to_owned()]
        }
    };
    let aside = restored.aside.iter().map(|path| format!("the old database is {}", path.display()));
    JobOutput {
        summary: format!("{} of {} is live again", words::size(contents.bytes), source.title()),
        facts: std::iter::once(format!("made from {from}")).chain(aside).collect(),
        verified,
        unverified,
        ..JobOutput::default()
    }
}

fn failure(error: &SqliteError) -> Failure {
    Failure { data_not_back: error.data_not_back(), is_refusal: error.is_refusal(), ..of(error) }
}

/// A database that is to be restored cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum SqliteOpenError {
    /// Its application cannot be talked to as it is configured.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Its client cannot be made.
    #[error(transparent)]
    Http(crate::http::SetupError),
    /// It cannot be found.
    #[error(transparent)]
    Sqlite(#[from] SqliteError),
}

impl SqliteOpenError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Target(error) => error.hint(),
            Self::Http(_) => None,
            Self::Sqlite(error) => error.hint(),
        }
    }
}
