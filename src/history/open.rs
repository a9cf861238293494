//! Opens the file of the history: it must be ours, and is brought to the version of this program.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

use super::patience::BUSY;
use super::renew::Files;
use super::whose::{self, Whose, whose};
use super::{HistoryError, STATEMENTS, failure, schema};
use crate::regular;
use crate::state_dir::StateDirError;

/// Opens the file, and says which ones that are.
pub(super) fn opened(path: &Path) -> Result<(Connection, Option<Files>), HistoryError> {
    must_be_files(path)?;
    not_foreign(path)?;
    let mut connection = Connection::open(path).map_err(|e| failure(path, "open", e))?;
    ready(path, &mut connection)?;
    whose::read_a_little(&connection).map_err(|e| failure(path, "read", e))?;
    Ok((connection, Files::found(path)))
}

/// Looks at the file alone, and changes nothing: where the log of a history that was there before is still beside another
/// program's database, SQLite would write the one into the other.
pub(super) fn not_foreign(path: &Path) -> Result<(), HistoryError> {
    match whose::of_file(path) {
        Ok(Whose::Foreign) => Err(HistoryError::Foreign { path: path.to_owned() }),
        // What else is wrong with it, or only seems so while somebody writes, is found when it is opened.
        _ => Ok(()),
    }
}

/// SQLite opens the file and those beside it as they are: a pipe would be waited for, and a link be followed.
pub(super) fn must_be_files(path: &Path) -> Result<(), HistoryError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let path = PathBuf::from(name);
        match path.symlink_metadata().and_then(|found| regular::must_be(&found)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            looked => looked.map_err(|source| StateDirError::File { path, source })?,
        }
    }
    Ok(())
}

/// Makes a connection ready for use. What is not ours, or not whole, is only looked at.
pub(super) fn ready(path: &Path, connection: &mut Connection) -> Result<(), HistoryError> {
    let looked = connection.busy_timeout(BUSY).and_then(|()| whose(connection));
    match looked.map_err(|e| failure(path, "open", e))? {
        // Before the log is there, in which the ID would be for a while only.
        Whose::Nobodys => whose::sign(connection).map_err(|e| failure(path, "open", e))?,
        Whose::Ours => {}
        Whose::Foreign => return Err(HistoryError::Foreign { path: path.to_owned() }),
        Whose::Lacking(table) => return Err(failure(path, "open", whose::lacks(table))),
    }
    let version = prepare(connection).map_err(|e| failure(path, "open", e))?;
    if version > schema::current() {
        return Err(HistoryError::Newer { path: path.to_owned(), found: version, known: schema::current() });
    }
    Ok(())
}

pub(super) fn prepare(connection: &mut Connection) -> rusqlite::Result<u32> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Else each value that is bound may change the plan, and the statement is prepared anew for it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > schema::current() {
        return Ok(version);
    }
    use_wal(connection, BUSY)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // SQLite's own default here is on.
    connection.pragma_update(None, "foreign_keys", false)?;
    let version = schema::migrate(connection)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(version)
}

/// Switches the file to WAL. SQLite does not always wait for its busy timeout here, so two first opens at once would make
/// one of them fail; and where it does wait, a try may take all of it.
pub(super) fn use_wal(connection: &Connection, limit: Duration) -> rusqlite::Result<()> {
    let since = Instant::now();
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())) {
            Err(e) if e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && since.elapsed() < limit => {
                std::thread::sleep(Duration::from_millis(50));
            }
            result => return result,
        }
    }
}
