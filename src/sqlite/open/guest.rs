//! Opening a database of somebody else without making a file beside it.
//!
//! SQLite makes the log of a database in WAL mode, and the index of that, also for one who only reads, and he cannot
//! remove them again. They would belong to him, and the application could not write to its own database any more.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use super::guard::Guard;
use super::{Live, PATIENCE, PAUSE, beside, has_journal, header, is_refused, read, recovered};
use crate::sqlite::SqliteError;

/// It needs the index of the log, and does not make it.
const READ_ONLY: &str = "?mode=ro&readonly_shm=1";
/// While the guard is held a writer may wait for it, and SQLite for that writer: then both are let go on.
const BRIEF: Duration = Duration::from_millis(200);

/// What SQLite makes would belong to somebody else than the database: root gives it to that one.
pub(super) fn is_guest(path: &Path) -> bool {
    let me = rustix::process::geteuid();
    !me.is_root() && fs::metadata(path).is_ok_and(|meta| meta.uid() != me.as_raw())
}

/// Opens it to read; `first` is run before anything is read.
pub(super) fn open(path: &Path, first: &str) -> Result<Live, SqliteError> {
    let since = Instant::now();
    loop {
        match attempt(path, first) {
            Err(SqliteError::Locked { .. }) if since.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            opened => return opened,
        }
    }
}

fn attempt(path: &Path, first: &str) -> Result<Live, SqliteError> {
    let failed = |source| SqliteError::of(path, "open", source);
    let guard = Guard::hold(path)?;
    let before = Sight::of(path);
    if header(path)?.get(19) != Some(&2) {
        // With a transaction SQLite has its own lock to the end.
        return match read(path, READ_ONLY, &format!("{first}; BEGIN"), BRIEF) {
            Ok(connection) => Ok(Live { connection, before: None, guard, path: path.to_owned() }),
            Err(error) if is_refused(&error) && has_journal(path) => {
                drop(guard);
                let connection = recovered(path)?;
                Ok(Live { connection, before: None, guard: None, path: path.to_owned() })
            }
            Err(error) => Err(failed(error)),
        };
    }
    if let Some(log) = &before.log {
        match read(path, READ_ONLY, first, PATIENCE) {
            Ok(connection) => {
                return Ok(Live { connection, before: None, guard, path: path.to_owned() });
            }
            // Nobody has it open, and nothing is in the log.
            Err(error) if is_refused(&error) && log.bytes == 0 => {}
            Err(error) => return Err(failed(error)),
        }
    }
    // There is nothing but the database itself. Whoever writes to it makes a log first, which stays while the guard is
    // held: that is looked for at the end, and whether the file is as it was.
    let connection = read(path, "?immutable=1", first, PATIENCE).map_err(failed)?;
    Ok(Live { connection, before: Some(before), guard, path: path.to_owned() })
}

/// A database and its log, as they were seen.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sight {
    database: Option<Seen>,
    log: Option<Seen>,
    journal: Option<Seen>,
}

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    inode: u64,
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Sight {
    pub(super) fn of(path: &Path) -> Self {
        let seen = |path: &Path| {
            let meta = fs::metadata(path).ok()?;
            Some(Seen { inode: meta.ino(), bytes: meta.len(), modified: meta.modified().ok() })
        };
        Self {
            database: seen(path),
            log: seen(&beside(path, "-wal")),
            journal: seen(&beside(path, "-journal")),
        }
    }
}
