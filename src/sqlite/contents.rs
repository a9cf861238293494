//! What a database holds: the `contents` of the manifest of its backup.

use std::path::Path;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::SqliteError;
use super::open::{Live, quoted, reading};
use crate::store::digest::sha256;

/// So many problems are listed; one cause often makes thousands.
const SHOWN: usize = 20;

/// The contents of a `sqlite-backup`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqliteContents {
    /// The database, as its application sees it.
    pub database: String,
    /// Its name in the archive.
    pub file: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 of it.
    pub sha256: String,
    /// Bytes of a page.
    pub page_size: u64,
    /// Pages.
    pub page_count: u64,
    /// `PRAGMA user_version`: the version of the application's schema, where it keeps one.
    pub user_version: i64,
    /// `PRAGMA application_id`.
    pub application_id: i64,
    /// `wal` or `delete`, as the source had it.
    pub journal_mode: String,
    /// The SQLite that made the copy.
    pub sqlite_version: String,
    /// How the copy was made: `online backup`, `sqlite3 in container NAME`.
    pub method: String,
    /// SHA-256 over the schema: the same schema has the same one.
    pub schema_sha256: String,
    /// The statements that make the schema, by type and name.
    pub schema: Vec<String>,
    /// The tables and how many rows each has.
    pub tables: Vec<TableRows>,
    /// What `quick_check` found; empty where all is well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damage: Vec<String>,
    /// What `foreign_key_check` found, one line for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign_keys: Vec<String>,
    /// What could not be looked at, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unchecked: Vec<String>,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRows {
    /// Its name.
    pub name: String,
    /// How many rows it has; nothing where they cannot be counted here.
    pub rows: Option<u64>,
}

impl SqliteContents {
    /// How many rows there are in all.
    pub fn rows(&self) -> u64 {
        self.tables.iter().filter_map(|table| table.rows).sum()
    }

    /// Reads and checks a copy that nobody uses. Its size and hash are not known yet.
    pub(super) fn of_copy(path: &Path, database: &str, method: &str) -> Result<Self, SqliteError> {
        let connection = super::open::at_rest(path)?;
        let failed = |source| SqliteError::of(path, "read the copy of the database in", source);
        let number =
            |pragma: &str| connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0));
        let mut damage = Vec::new();
        let schema = readable(schema(&connection), &mut damage).map_err(failed)?;
        let tables = readable(tables(&connection), &mut damage).map_err(failed)?;
        let mut unchecked = Vec::new();
        damage.extend(problems(&connection, "PRAGMA quick_check", &mut unchecked, path)?);
        damage.dedup();
        // What is damaged answers nothing that could be relied on.
        let foreign_keys = if damage.is_empty() {
            problems(&connection, "PRAGMA foreign_key_check", &mut unchecked, path)?
        } else {
            Vec::new()
        };
        Ok(Self {
            database: database.to_owned(),
            file: file_name(database),
            bytes: 0,
            sha256: String::new(),
            page_size: number("page_size").map_err(failed)?.unsigned_abs(),
            page_count: number("page_count").map_err(failed)?.unsigned_abs(),
            user_version: number("user_version").map_err(failed)?,
            application_id: number("application_id").map_err(failed)?,
            journal_mode: journal_mode(path)?.to_owned(),
            sqlite_version: rusqlite::version().to_owned(),
            method: method.to_owned(),
            schema_sha256: sha256(schema.join("\n").as_bytes()),
            tables,
            schema,
            damage,
            foreign_keys,
            unchecked,
        })
    }
}

/// The name of the database's file. It is used as a name in an archive.
fn file_name(database: &str) -> String {
    let name = Path::new(database).file_name().and_then(|name| name.to_str());
    name.filter(|name| !name.starts_with('.')).unwrap_or("database.db").to_owned()
}

/// What could be read of a list; that it is damaged is noted.
fn readable<T>(read: rusqlite::Result<Vec<T>>, damage: &mut Vec<String>) -> rusqlite::Result<Vec<T>> {
    match read {
        Err(error) if super::error::is_corrupt(&error) => {
            damage.push(error.to_string());
            Ok(Vec::new())
        }
        read => read,
    }
}

fn schema(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement =
        connection.prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type, name")?;
    let rows = statement.query_map([], |row| row.get(0))?;
    rows.collect()
}

/// The tables of a database that others may use, with their rows.
pub(super) fn tables_of(path: &Path) -> Result<Vec<TableRows>, SqliteError> {
    let failed = |source| SqliteError::of(path, "read the tables of", source);
    reading(path, Live::open, |connection| tables(connection).map_err(failed))
}

fn tables(connection: &Connection) -> rusqlite::Result<Vec<TableRows>> {
    let mut statement = connection
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name")?;
    let names = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    // A virtual table needs its module, which may be the application's own.
    let rows = |name: &str| {
        let sql = format!("SELECT count(*) FROM {}", quoted(name));
        connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).ok().map(i64::unsigned_abs)
    };
    Ok(names.into_iter().map(|name| TableRows { rows: rows(&name), name }).collect())
}

/// What a check found, one line each.
fn problems(
    connection: &Connection,
    check: &str,
    unchecked: &mut Vec<String>,
    path: &Path,
) -> Result<Vec<String>, SqliteError> {
    let mut found = Vec::new();
    let listed = (|| {
        let mut statement = connection.prepare(check)?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let text = if columns == 1 { row.get::<_, String>(0)? } else { violation(row)? };
            if text != "ok" && found.len() < SHOWN {
                found.push(text);
            }
        }
        Ok(())
    })();
    match listed {
        Ok(()) => {}
        Err(error) if super::error::is_corrupt(&error) => found.push(error.to_string()),
        // A collation or a module of the application's own.
        Err(rusqlite::Error::SqliteFailure(code, Some(text)))
            if code.code == rusqlite::ErrorCode::Unknown =>
        {
            unchecked.push(format!("{}: {text}", check.trim_start_matches("PRAGMA ")));
        }
        Err(source) => return Err(SqliteError::of(path, "check the copy of the database in", source)),
    }
    Ok(found)
}

fn violation(row: &rusqlite::Row<'_>) -> rusqlite::Result<String> {
    let (table, rowid, parent): (String, Option<i64>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let which = rowid.map_or_else(|| "a row".to_owned(), |rowid| format!("row {rowid}"));
    Ok(format!("{which} of {table} refers to a row of {parent} that is not there"))
}

/// The journal mode is in the header; a copy at rest is opened in a way that would not tell.
fn journal_mode(path: &Path) -> Result<&'static str, SqliteError> {
    let header = super::open::header(path)?;
    Ok(if header.get(18) == Some(&2) { "wal" } else { "delete" })
}
