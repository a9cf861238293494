//! Whose a file is, by what is in it, before anything is written to it: a database of another program that stands in the
//! place of the history is nobody's to change or to move, and one of ours that lacks a table is damaged.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, ffi};

use crate::regular::in_a_uri;

/// `Wkpr`, in the header of each history. Those of old lack it, and are known by their tables.
pub(super) const APPLICATION_ID: i32 = 0x576B_7072;

/// The tables, each with the version of the first file that has it.
const TABLES: [(i64, &str); 21] = [
    (1, "run"),
    (1, "step"),
    (1, "warning"),
    (1, "attempt"),
    (1, "log_line"),
    (3, "watched"),
    (3, "missed"),
    (3, "paused"),
    (6, "hook"),
    (6, "waiting"),
    (6, "ended_pause"),
    (7, "wait"),
    (7, "forgotten"),
    (7, "chore"),
    (10, "notifier"),
    (10, "note"),
    (10, "post"),
    (12, "incident"),
    (12, "incident_entry"),
    (12, "escalated"),
    (14, "founding"),
];

/// Whose a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// There is nothing in it: it becomes a history.
    Nobodys,
    /// It is a history.
    Ours,
    /// It is one, and lacks this table.
    Lacking(&'static str),
    /// It is a database of another program.
    Foreign,
}

/// Looks, and writes nothing.
pub(super) fn whose(connection: &Connection) -> rusqlite::Result<Whose> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    let names = tables(connection)?;
    let of_the_first = || TABLES.iter().filter(|(since, _)| *since == 1);
    let known = of_the_first().filter(|(_, name)| names.contains(*name)).count();
    let is_ours = match application {
        0 => version > 0 && (names.is_empty() || known > of_the_first().count() / 2),
        id => id == i64::from(APPLICATION_ID),
    };
    let lacking = TABLES.iter().find(|(since, name)| *since <= version && !names.contains(*name));
    Ok(match lacking {
        _ if application == 0 && version == 0 && names.is_empty() => Whose::Nobodys,
        _ if !is_ours => Whose::Foreign,
        // What a newer one must have nobody knows here.
        Some((_, name)) if version <= i64::from(super::schema::current()) => Whose::Lacking(name),
        _ => Whose::Ours,
    })
}

/// The same of a file, without what lies beside it.
pub(super) fn of_file(path: &Path) -> rusqlite::Result<Whose> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    whose(&Connection::open_with_flags(format!("file:{}?immutable=1", in_a_uri(path)), flags)?)
}

/// Makes a file that is nobody's one of ours.
pub(super) fn sign(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "application_id", APPLICATION_ID)
}

/// Reads something of each table: what is right in the first page of a damaged file need not be in the others.
pub(super) fn read_a_little(connection: &Connection) -> rusqlite::Result<()> {
    let all: Vec<String> =
        TABLES.iter().map(|(_, table)| format!("EXISTS (SELECT 1 FROM {table})")).collect();
    connection.query_row(&format!("SELECT {}", all.join(" + ")), [], |_| Ok(()))
}

fn tables(connection: &Connection) -> rusqlite::Result<BTreeSet<String>> {
    let sql = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
    let mut statement = connection.prepare(sql)?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// What is said of a history that lacks a table.
pub(super) fn lacks(table: &str) -> rusqlite::Error {
    let code = ffi::Error::new(ffi::SQLITE_CORRUPT);
    rusqlite::Error::SqliteFailure(code, Some(format!("it lacks its table {table}")))
}

/// A statement has not found its table: somebody has taken it away since the file was opened.
pub(super) fn has_lost_a_table(error: &rusqlite::Error) -> bool {
    let text = error.to_string();
    let name = text.strip_prefix("no such table: ").and_then(|rest| rest.split_whitespace().next());
    let name = name.map(|name| name.strip_prefix("main.").unwrap_or(name));
    name.is_some_and(|name| TABLES.iter().any(|(_, table)| *table == name))
}

#[cfg(test)]
mod tests {
    use super::super::schema;
    use super::*;

    fn database(sql: &str) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(sql).unwrap();
        connection
    }

    #[test]
    fn the_tables_of_each_version_are_those_that_its_file_has() {
        for version in 1..=schema::current() {
            let connection = database("");
            schema::as_of(&connection, version);
            let all = TABLES.iter().filter(|(since, _)| *since <= i64::from(version));
            assert_eq!(tables(&connection).unwrap(), all.map(|(_, name)| (*name).to_owned()).collect());
            // Without an ID, as they were.
            assert_eq!(whose(&connection).unwrap(), Whose::Ours, "{version}");
            connection.execute_batch("DROP TABLE run").unwrap();
            assert_eq!(whose(&connection).unwrap(), Whose::Lacking("run"), "{version}");
        }
    }

    #[test]
    fn a_table_of_ours_that_is_not_there_is_lost_and_any_other_is_not() {
        let connection = database(
            "CREATE TABLE step (a); CREATE TABLE chore (a); \
                                   CREATE TRIGGER ours BEFORE INSERT ON step BEGIN INSERT INTO run VALUES (1); END; \
                                   CREATE TRIGGER other BEFORE INSERT ON chore BEGIN INSERT INTO nowhere VALUES (1); END",
        );
        let is_lost = |sql: &str| has_lost_a_table(&connection.execute(sql, []).unwrap_err());
        assert!(is_lost("DELETE FROM run WHERE id = 1") && is_lost("INSERT INTO step VALUES (1)"));
        assert!(!is_lost("DELETE FROM nowhere") && !is_lost("INSERT INTO chore VALUES (1)"));
    }

    #[test]
    fn a_new_file_is_signed_before_there_is_a_log() {
        let folder = tempfile::Builder::new().prefix("a b?c#d%25").tempdir().unwrap();
        let path = folder.path().join("history.db");
        let connection = Connection::open(&path).unwrap();
        assert_eq!(of_file(&path).unwrap(), Whose::Nobodys);
        sign(&connection).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.execute_batch("CREATE TABLE precious (a)").unwrap();
        assert_eq!(of_file(&path).unwrap(), Whose::Ours, "its tables are in the log");
    }

    #[test]
    fn what_is_not_ours_is_known_by_its_tables_or_its_id() {
        assert_eq!(whose(&database("")).unwrap(), Whose::Nobodys);
        for sql in [
            "CREATE TABLE precious (a)",
            "CREATE TABLE run (id); PRAGMA user_version = 3",
            "CREATE TABLE precious (a); PRAGMA user_version = 9999",
            "PRAGMA application_id = 7",
            "CREATE VIEW v AS SELECT 1",
        ] {
            assert_eq!(whose(&database(sql)).unwrap(), Whose::Foreign, "{sql}");
        }
        let ours = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 9999");
        assert_eq!(whose(&database(&ours)).unwrap(), Whose::Ours, "a newer one");
        assert_eq!(whose(&database("PRAGMA user_version = 5")).unwrap(), Whose::Lacking("run"));
    }
}
