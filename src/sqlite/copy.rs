//! The copy of a live database.

use std::path::Path;
use std::time::Instant;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use tokio_util::sync::CancellationToken;

use super::SqliteError;
use super::error::file;
use super::open::{Live, PATIENCE, PAUSE, reading};
use crate::store::atomic::remove_if_there;

/// All pages at once.
const ALL: std::ffi::c_int = -1;

/// Copies the database at `from` to the new file `to`: one moment of it, whoever writes.
pub(super) fn copy(from: &Path, to: &Path, cancel: &CancellationToken) -> Result<(), SqliteError> {
    let open = |from: &Path| match Live::open(from) {
        // What is left of it may be the last that there is.
        Err(SqliteError::Corrupt { .. }) => Live::open_corrupt(from),
        live => live,
    };
    let failed = |source| SqliteError::of(to, "write the copy of the database to", source);
    reading(from, open, |live| {
        remove_if_there(to).map_err(file("remove", to))?;
        let mut copy = Connection::open(to).map_err(failed)?;
        // It is worth nothing before it is complete, and brought to disk in the archive.
        copy.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;").map_err(failed)?;
        whole(live, &mut copy, from, cancel)?;
        copy.close().map_err(|(_, source)| failed(source))
    })
}

fn whole(
    live: &Connection,
    copy: &mut Connection,
    from: &Path,
    cancel: &CancellationToken,
) -> Result<(), SqliteError> {
    let failed = |source| SqliteError::of(from, "copy the database", source);
    let backup = Backup::new(live, copy).map_err(failed)?;
    let since = Instant::now();
    loop {
        if cancel.is_cancelled() {
            return Err(SqliteError::Cancelled);
        }
        match backup.step(ALL).map_err(failed)? {
            StepResult::Done => return Ok(()),
            _ if since.elapsed() > PATIENCE => {
                return Err(SqliteError::Locked { path: from.to_owned(), waited: PATIENCE.as_secs() });
            }
            _ => std::thread::sleep(PAUSE),
        }
    }
}
