//! Opening a database without changing what is in it.

mod guard;
mod guest;

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::SqliteError;
use super::error::file;
use crate::regular::{self, in_a_uri};

/// How long a lock of somebody else is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait before a database that is locked is asked again.
pub(super) const PAUSE: Duration = Duration::from_millis(50);
/// So often a database is read that is written to while it is read without a lock.
const READS: usize = 5;
/// How every database begins.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// The files beside a database that belong to it.
pub(super) const SIDES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The file of a database that has `suffix` behind its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A name as SQL has it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The first bytes of a file; fewer where it is shorter.
pub(super) fn header(path: &Path) -> Result<Vec<u8>, SqliteError> {
    let mut header = Vec::new();
    let no_file = || SqliteError::NotSqlite { path: path.to_owned(), problem: "it is no regular file" };
    // A pipe would be waited for until somebody writes to it.
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Err(no_file());
    }
    let opened = match regular::open_named(path) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Err(SqliteError::Missing { path: path.to_owned() });
        }
        opened => opened.map_err(file("open", path))?,
    };
    opened.take(100).read_to_end(&mut header).map_err(file("read", path))?;
    Ok(header)
}

/// Whether the file is one of SQLite, before SQLite is asked: that takes an empty file for an empty database.
pub(super) fn must_be_sqlite(path: &Path) -> Result<(), SqliteError> {
    let header = header(path)?;
    // SQLite opens them as they are: a pipe would be waited for, and no limit ends that.
    for side in SIDES.map(|suffix| beside(path, suffix)) {
        regular::must_be_or_be_missing(&side).map_err(file("use", &side))?;
    }
    let problem = if header.is_empty() {
        "it is empty"
    } else if header.starts_with(MAGIC) {
        return Ok(());
    } else {
        "it has no SQLite header, or is encrypted"
    };
    Err(SqliteError::NotSqlite { path: path.to_owned(), problem })
}

/// Reads a database that others may use, and gives what is whole: where there was no lock, nobody wrote meanwhile.
pub(super) fn reading<T>(
    path: &Path,
    how: impl Fn(&Path) -> Result<Live, SqliteError>,
    mut work: impl FnMut(&Connection) -> Result<T, SqliteError>,
) -> Result<T, SqliteError> {
    let mut reads = 1;
    loop {
        let live = how(path)?;
        let done = work(&live.connection);
        match live.finish() {
            Err(SqliteError::Changed { .. }) if reads < READS => reads += 1,
            Err(error) => return Err(error),
            Ok(()) => return done,
        }
    }
}

/// A database that others may use.
pub(super) struct Live {
    connection: Connection,
    /// It was opened without SQLite's locks: what it was then has to be what it is at the end.
    before: Option<guest::Sight>,
    /// Ends after the connection.
    #[expect(dead_code, reason = "it is held")]
    guard: Option<guard::Guard>,
    path: PathBuf,
}

impl Live {
    /// Opens it to read. Nothing is written to it, but SQLite may make the files beside it that it needs for its locks,
    /// where they belong to the owner of the database.
    pub(super) fn open(path: &Path) -> Result<Self, SqliteError> {
        Self::opened(path, "")
    }

    /// Opens one whose pages contradict its header, as one that was cut short does: what is there can be copied.
    pub(super) fn open_corrupt(path: &Path) -> Result<Self, SqliteError> {
        Self::opened(path, LENIENT)
    }

    fn opened(path: &Path, first: &str) -> Result<Self, SqliteError> {
        must_be_sqlite(path)?;
        if guest::is_guest(path) {
            return guest::open(path, first);
        }
        let with = |connection| Self { connection, before: None, guard: None, path: path.to_owned() };
        match read(path, "?mode=ro", first, PATIENCE) {
            Ok(connection) => Ok(with(connection)),
            // Its locks need files that this user may not make. Where there is no log, there is nobody who writes:
            // SQLite can read it without any.
            Err(error) if is_refused(&error) && !has_log(path) => guest::open(path, first),
            Err(error) if is_refused(&error) && has_journal(path) => recovered(path).map(with),
            Err(error) => Err(SqliteError::of(path, "open", error)),
        }
    }

    fn finish(self) -> Result<(), SqliteError> {
        match self.before {
            Some(before) if before != guest::Sight::of(&self.path) => {
                Err(SqliteError::Changed { path: self.path })
            }
            _ => Ok(()),
        }
    }
}

/// Opens a database that nobody uses, such as a copy: no file is made beside it.
pub(super) fn at_rest(path: &Path) -> Result<Connection, SqliteError> {
    must_be_sqlite(path)?;
    let opened = match read(path, "?immutable=1", "", PATIENCE) {
        Err(error) if super::error::is_corrupt(&error) => read(path, "?immutable=1", LENIENT, PATIENCE),
        opened => opened,
    };
    opened.map_err(|source| SqliteError::of(path, "open", source))
}

/// A transaction was cut while it was written, and what it had overwritten is in the journal. Nobody can read the
/// database before it is rolled back, which SQLite does at once where it may write; so would the application.
fn recovered(path: &Path) -> Result<Connection, SqliteError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, flags).and_then(|connection| {
        connection.busy_timeout(PATIENCE)?;
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
        connection.execute_batch("PRAGMA query_only = ON")?;
        Ok(connection)
    });
    opened.map_err(|source| match &source {
        refused if is_refused(refused) => SqliteError::Interrupted { path: path.to_owned(), source },
        _ => SqliteError::of(path, "roll the interrupted transaction back in", source),
    })
}

fn has_log(path: &Path) -> bool {
    has(path, "-wal") || has_journal(path)
}

fn has_journal(path: &Path) -> bool {
    has(path, "-journal")
}

fn has(path: &Path, side: &str) -> bool {
    fs::metadata(beside(path, side)).is_ok_and(|meta| meta.len() > 0)
}

fn is_refused(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied)
    )
}

/// SQLite reads what is there, also where the header speaks of more.
pub(super) const LENIENT: &str = "PRAGMA writable_schema = ON";

fn read(path: &Path, how: &str, first: &str, patience: Duration) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(format!("file:{}{how}", in_a_uri(path)), flags)?;
    connection.busy_timeout(patience)?;
    connection.execute_batch(first)?;
    // Opening does not read: this does.
    connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
    Ok(connection)
}
