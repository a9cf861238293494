//! The job `sqlite-backup`, and what the jobs on databases share.

use super::Shared;
use super::upkept::{Upkept, with_upkeep};
use crate::config::values::{JobName, Name};
use crate::config::{ApplicationTarget, DatabaseRef, JobConfig, SqliteConfig};
use crate::jobs::{JobOutput, RunContext};
use crate::prometheus::preflight::Finding;
use crate::runner::{Failure, Lock};
use crate::sqlite::backup::{Origin, back_up};
use crate::sqlite::place::{Database, Place};
use crate::sqlite::restore::Notes;
use crate::sqlite::{SqliteContents, SqliteError};
use crate::store::Backup;
use crate::store::digest::sha256;
use crate::words;

/// Nobody else changes the database meanwhile, by whichever name it is called: its application, and where it was found
/// its file.
pub(super) fn locks(database: &DatabaseRef, found: Option<&Database>) -> Vec<Lock> {
    let application = match database {
        DatabaseRef::Application(name) => Some(Lock::Target { kind: "application", name: name.clone() }),
        DatabaseRef::Host(_) => None,
    };
    application.into_iter().chain(found.and_then(file_lock)).collect()
}

/// A path is no name of a lock, but its hash is.
fn file_lock(database: &Database) -> Option<Lock> {
    // The same name for who may go there and for who may not.
    let place = match &database.place {
        Place::Inside { container, path, closed: None, .. } => format!("{container}:{path}").into(),
        Place::Inside { closed: Some(path), .. } | Place::Host { path } => path.clone().into_os_string(),
    };
    let hash = sha256(place.as_encoded_bytes());
    let name: Option<Name> = hash.get(..16).and_then(|name| name.parse().ok());
    name.map(|name| Lock::Target { kind: "database", name })
}

/// While a restore of a database is unfinished nobody else uses it.
pub(super) fn none_unfinished(notes: &Notes, database: &Database) -> Result<(), SqliteError> {
    // What has no place on this host is not restored.
    database.place.on_host().map_or(Ok(()), |path| notes.none_unfinished(path))
}

pub(super) async fn run(
    shared: &Shared,
    job: &JobConfig,
    config: &SqliteConfig,
    context: RunContext,
) -> Result<JobOutput, Failure> {
    let database = shared.free_database(&config.database, &job.name).await.map_err(|error| of(&error))?;
    let kept = keep(shared, job, config, &database, &context).await?;
    let Kept { backup, contents, upkept } = kept;
    let mut verified = vec![
        "quick_check and foreign_key_check found nothing in the copy".to_owned(),
        "every byte that was stored was read back and matches its SHA-256".to_owned(),
    ];
    if !(contents.damage.is_empty() && contents.foreign_keys.is_empty() && contents.unchecked.is_empty()) {
        verified.remove(0);
    }
    verified.extend(upkept.verified);
    Ok(JobOutput {
        summary: summary(&contents),
        backup: Some(backup.id().clone()),
        bytes: Some(backup.size()),
        facts: facts(&contents).into_iter().chain(upkept.facts).collect(),
        verified,
        unverified: vec!["that the application works with it: each `restore` asks for its health".to_owned()],
        ..JobOutput::default()
    })
}

/// A backup that was made before anything is changed, or for its own sake.
pub(super) struct Kept {
    pub(super) backup: Backup,
    pub(super) contents: SqliteContents,
    pub(super) upkept: Upkept,
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
    let origin = shared.origin(&config.database);
    let made = async {
        let made = back_up(database, &origin, &store, config.compression, context).await;
        made.map_err(|error| of(&error))
    };
    let ((backup, contents), upkept) = with_upkeep((shared, job), context, made).await?;
    Ok(Kept { backup, contents, upkept })
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
pub(super) async fn preview(shared: &Shared, job: &JobName, config: &SqliteConfig) -> Vec<Finding> {
    let database = match shared.free_database(&config.database, job).await {
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
        Err(error @ SqliteError::Corrupt { .. }) => {
            let text = format!("{}: what is left of it would be kept as damaged", words::chain(&error));
            findings.push(Finding::warning(text, error.hint().unwrap_or_default()));
        }
        Err(error) => findings.push(problem(&error)),
    }
    findings
}

pub(super) fn problem(error: &SqliteError) -> Finding {
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

    /// The locks of a database; without its file where that cannot be found, of which its run will tell.
    pub(super) async fn database_locks(&self, database: &DatabaseRef) -> Vec<Lock> {
        locks(database, self.database(database).await.ok().as_ref())
    }

    /// Where the database is, for a run that is no restore.
    pub(super) async fn free_database(
        &self,
        database: &DatabaseRef,
        job: &JobName,
    ) -> Result<Database, SqliteError> {
        let found = self.database(database).await?;
        none_unfinished(&Notes::of(&self.config.state_dir, job), &found)?;
        Ok(found)
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
