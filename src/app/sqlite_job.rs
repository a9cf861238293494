//! The job `sqlite-backup`, and what the jobs on databases share.

use std::path::Path;

use jiff::tz::TimeZone;

use super::{Shared, blocking};
use crate::config::values::Name;
use crate::config::{ApplicationTarget, DatabaseRef, JobConfig, SqliteConfig};
use crate::jobs::{JobOutput, RunContext};
use crate::prometheus::preflight::Finding;
use crate::runner::{Failure, Lock};
use crate::sqlite::backup::{Origin, back_up};
use crate::sqlite::place::{Database, Place};
use crate::sqlite::{SqliteContents, SqliteError};
use crate::store::Backup;
use crate::store::digest::sha256;
use crate::upkeep::{self, Policy};
use crate::words;

/// What its backups are kept by.
pub(super) fn policy(config: &SqliteConfig, zone: &TimeZone) -> Policy {
    Policy { keep: config.keep.clone(), zone: zone.clone(), verify_within: config.verify_within }
}

/// Nobody else changes the database meanwhile.
pub(super) fn lock(database: &DatabaseRef) -> Option<Lock> {
    match database {
        DatabaseRef::Application(name) => Some(Lock::Target { kind: "application", name: name.clone() }),
        DatabaseRef::Host(path) => host_lock(path),
    }
}

/// A path is no name of a lock, but its hash is.
fn host_lock(path: &Path) -> Option<Lock> {
    let hash = sha256(path.as_os_str().as_encoded_bytes());
    let name: Option<Name> = hash.get(..16).and_then(|name| name.parse().ok());
    name.map(|name| Lock::Target { kind: "database", name })
}

pub(super) async fn run(
    shared: &Shared,
    job: &JobConfig,
    config: &SqliteConfig,
    context: RunContext,
) -> Result<JobOutput, Failure> {
    let database = shared.database(&config.database).await.map_err(|error| of(&error))?;
    let kept = keep(shared, job, config, &database, &context).await?;
    let Kept { backup, contents, reread } = kept;
    let mut verified = vec![
        "quick_check and foreign_key_check found nothing in the copy".to_owned(),
        "every byte that was stored was read back and matches its SHA-256".to_owned(),
    ];
    if !(contents.damage.is_empty() && contents.foreign_keys.is_empty() && contents.unchecked.is_empty()) {
        verified.remove(0);
    }
    verified.extend(reread);
    Ok(JobOutput {
        summary: summary(&contents),
        backup: Some(backup.id().clone()),
        bytes: Some(backup.size()),
        facts: facts(&contents),
        verified,
        unverified: vec!["that the application works with it: each `restore` asks for its health".to_owned()],
        ..JobOutput::default()
    })
}

/// A backup that was made before anything is changed, or for its own sake.
pub(super) struct Kept {
    pub(super) backup: Backup,
    pub(super) contents: SqliteContents,
    pub(super) reread: Vec<String>,
}

/// Makes a backup with all that is done around one.
pub(super) async fn keep(
    shared: &Shared,
    job: &JobConfig,
    config: &SqliteConfig,
    database: &Database,
    context: &RunContext,
) -> Result<Kept, Failure> {
    let store = shared.store.job(&job.name);
    let policy = policy(config, &shared.config.timezone);
    let reread = {
        let (store, policy, context) = (store.clone(), policy.clone(), context.clone());
        let work =
            move || upkeep::before_backup(&store, &policy, context.now, &context.progress, &context.cancel);
        blocking(work).await
    };
    let origin = shared.origin(&config.database);
    let made = back_up(database, &origin, &store, config.compression, context).await;
    let (backup, contents) = made.map_err(|error| of(&error))?;
    let context = context.clone();
    blocking(move || upkeep::after_backup(&store, &policy, context.now, &context.progress)).await;
    Ok(Kept { backup, contents, reread })
}

fn summary(contents: &SqliteContents) -> String {
    let tables = words::count(contents.tables.len(), "table");
    format!("{tables}, {} rows, {}", contents.rows(), words::size(contents.bytes))
}

fn facts(contents: &SqliteContents) -> Vec<String> {
    let SqliteContents { page_count, page_size, user_version, journal_mode, method, .. } = contents;
    let schema = &contents.schema_sha256[..12.min(contents.schema_sha256.len())];
    vec![
        format!(
            "{page_count} pages of {page_size} bytes, journal mode {journal_mode}, user_version {user_version}"
        ),
        format!("schema {schema}, read by {method}"),
    ]
}

/// What a run would do.
pub(super) async fn preview(shared: &Shared, config: &SqliteConfig) -> Vec<Finding> {
    let database = match shared.database(&config.database).await {
        Ok(database) => database,
        Err(error) => return vec![problem(&error)],
    };
    let how = match &database.place {
        Place::Host { path } if database.container.is_some() => format!(", through {}", path.display()),
        Place::Host { .. } => String::new(),
        Place::Inside { .. } => ", by sqlite3 or python3 in there".to_owned(),
    };
    let mut findings = vec![Finding::ok(format!("would copy {database}{how}"))];
    match crate::sqlite::look(&database).await {
        Ok(Some(tables)) => {
            findings.push(Finding::ok(format!("it can be read: {}", words::count(tables, "table"))));
        }
        Ok(None) => {}
        Err(error) => findings.push(problem(&error)),
    }
    findings
}

fn problem(error: &SqliteError) -> Finding {
    Finding::problem(words::chain(error), error.hint())
}

pub(super) fn of(error: &SqliteError) -> Failure {
    Failure::of(error, error.hint(), error.is_transient())
}

impl Shared {
    /// The application a database belongs to.
    pub(super) fn application(&self, database: &DatabaseRef) -> Option<&ApplicationTarget> {
        match database {
            DatabaseRef::Application(name) => self.config.application.get(name),
            DatabaseRef::Host(_) => None,
        }
    }

    fn origin(&self, database: &DatabaseRef) -> Origin {
        self.application(database).map_or_else(Origin::default, |application| Origin {
            target: application.name.to_string(),
            url: application.endpoint.url.to_string(),
        })
    }

    /// Where the database is.
    pub(super) async fn database(&self, database: &DatabaseRef) -> Result<Database, SqliteError> {
        let missing = || SqliteError::Missing { path: "[application] database".into() };
        let (path, container) = match database {
            DatabaseRef::Host(path) => (path, None),
            DatabaseRef::Application(_) => {
                let application = self.application(database).ok_or_else(missing)?;
                (application.database.as_ref().ok_or_else(missing)?, application.container.as_ref())
            }
        };
        match container {
            None => Database::on_host(path),
            Some(name) => Database::in_container(self.docker().await?, name, path).await,
        }
    }
}
