//! One way to ask a database, wherever it is: statements in, the first column of every row out.

use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::SessionsError;
use crate::blocking::blocking;
use crate::rights;
use crate::sqlite::SqliteError;
use crate::sqlite::error::file;
use crate::sqlite::inside::Inside;
use crate::sqlite::open::{Live, PATIENCE, beside, must_be_sqlite, reading};
use crate::sqlite::place::{Database, Place};

/// What a database in use has beside it, in WAL mode.
const LOG: [&str; 2] = ["-wal", "-shm"];

/// The last line of what was written.
const DONE: &str = "ok";

/// A way to a database.
#[derive(Debug, Clone)]
pub struct Access(Way);

#[derive(Debug, Clone)]
enum Way {
    Host(PathBuf),
    Inside(Inside),
}

impl Access {
    /// Finds the way.
    pub async fn open(
        database: &Database,
        run: Ulid,
        cancel: &CancellationToken,
    ) -> Result<Self, SqliteError> {
        Ok(Self(match &database.place {
            Place::Host { path } => Way::Host(path.clone()),
            Place::Inside { docker, container, path, closed } => {
                let opened = Inside::open(docker, container, path, run, cancel).await;
                Way::Inside(opened.map_err(|error| error.of_closed(closed.as_deref()))?)
            }
        }))
    }

    /// Whether this user may write there at all: asked before anything is begun. In its container a database is written to
    /// as whoever runs there.
    pub fn may_write(&self) -> Result<(), SqliteError> {
        let Way::Host(path) = &self.0 else { return Ok(()) };
        rights::may_write(path).map_err(file("write to", path))?;
        // The log of one in use is written to, and else made: in its folder.
        let log: Vec<PathBuf> = LOG.iter().map(|side| beside(path, side)).collect();
        if log.iter().all(|side| rights::may_write(side).is_ok()) {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(Path::new("/"));
        rights::may_write(folder).map_err(file("write to the folder", folder))
    }

    /// Runs statements that only read.
    pub(super) async fn read(&self, statements: &[String]) -> Result<Vec<String>, SqliteError> {
        let (path, statements) = match &self.0 {
            Way::Inside(inside) => return inside.lines(statements).await,
            Way::Host(path) => (path.clone(), statements.to_vec()),
        };
        blocking(move || {
            reading(&path, Live::open, |connection| all(connection, &statements, "ask the database", &path))
        })
        .await
    }

    /// Runs statements in one transaction that takes its lock at once. The guard, a condition, is asked before it ends:
    /// where it does not hold, all is rolled back.
    pub(super) async fn write(&self, statements: &[String], guard: &str) -> Result<Vec<String>, SqliteError> {
        let path = match &self.0 {
            Way::Inside(inside) => {
                // A division by nothing is NULL in SQLite; a number that is out of range is an error that ends all.
                let guard =
                    format!("SELECT CASE WHEN {guard} THEN '{DONE}' ELSE abs(-9223372036854775807 - 1) END");
                let begin = std::iter::once("BEGIN IMMEDIATE".to_owned());
                let end = [guard, "COMMIT".to_owned()];
                let script: Vec<String> = begin.chain(statements.iter().cloned()).chain(end).collect();
                let lines = inside.lines(&script).await?;
                return if lines.last().is_some_and(|last| last == DONE) {
                    Ok(lines)
                } else {
                    Err(SessionsError::BadRow { row: lines.last().cloned().unwrap_or_default() }.into())
                };
            }
            Way::Host(path) => path.clone(),
        };
        let (statements, guard) = (statements.to_vec(), guard.to_owned());
        blocking(move || {
            let failed = |source| SqliteError::of(&path, "write to the database", source);
            must_be_sqlite(&path)?;
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let mut connection = Connection::open_with_flags(&path, flags).map_err(failed)?;
            connection.busy_timeout(PATIENCE).map_err(failed)?;
            let behaviour = rusqlite::TransactionBehavior::Immediate;
            // Rolled back when it is dropped.
            let transaction = connection.transaction_with_behavior(behaviour).map_err(failed)?;
            let mut lines = all(&transaction, &statements, "write to the database", &path)?;
            let holds = transaction.query_row(&format!("SELECT {guard}"), [], |row| row.get(0));
            if !holds.map_err(failed)? {
                return Err(SessionsError::Guard { path }.into());
            }
            transaction.commit().map_err(failed)?;
            lines.push(DONE.to_owned());
            Ok(lines)
        })
        .await
    }
}

fn all(
    connection: &Connection,
    statements: &[String],
    doing: &'static str,
    path: &Path,
) -> Result<Vec<String>, SqliteError> {
    let mut lines = Vec::new();
    let mut one = |statement: &str| -> rusqlite::Result<()> {
        let mut prepared = connection.prepare(statement)?;
        let mut rows = prepared.query([])?;
        while let Some(row) = rows.next()? {
            lines.push(match row.get_ref(0)? {
                ValueRef::Null => String::new(),
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Real(number) => number.to_string(),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            });
        }
        Ok(())
    };
    for statement in statements {
        one(statement).map_err(|source| SqliteError::of(path, doing, source))?;
    }
    Ok(lines)
}
