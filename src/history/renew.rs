//! A history whose file is taken away, or turns out to be damaged, while it is open.
//!
//! SQLite goes on writing to a file that nobody finds any more, and says nothing. So whoever keeps a history open for long
//! looks whether its file is still the one in the folder, and makes a new one where it is not.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use rusqlite::Connection;

use super::{History, HistoryError, failure, opened};
use crate::state_dir;

/// What is beside the file while it is in use.
const BESIDE: [&str; 3] = ["", "-wal", "-shm"];

/// Why a new file was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renewed {
    /// The old one was taken away, or another one stands in its place.
    Gone,
    /// The old one was damaged, and is there now.
    Damaged(PathBuf),
}

/// The file that was opened; nothing in memory.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

impl History {
    /// Makes the file anew where it is no more what was opened, or is damaged. What is left of the old one is set aside.
    pub fn renew(&self, now: Timestamp) -> Result<Option<Renewed>, HistoryError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let is_damaged = self.is_damaged.load(Ordering::Relaxed);
        let Some(known) = file.as_ref().filter(|known| is_damaged || identity(&self.path) != Some(**known))
        else {
            return Ok(None);
        };
        // Another program may have put a good one there, as one that restores.
        let is_another = !is_damaged && identity(&self.path).is_some_and(|found| found != *known);
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        // Closed first: it would go on writing to what is set aside.
        let memory = Connection::open_in_memory().map_err(|e| failure(&self.path, "replace", e))?;
        drop(std::mem::replace(&mut *connection, memory));
        let aside = if is_another { None } else { set_aside(&self.path, now) };
        drop(state_dir::file(&self.path)?);
        let (new, _) = opened(&self.path)?;
        *connection = new;
        *file = identity(&self.path);
        self.is_damaged.store(false, Ordering::Relaxed);
        Ok(Some(aside.filter(|_| is_damaged).map_or(Renewed::Gone, Renewed::Damaged)))
    }
}

/// Moves the file and what is beside it out of the way: what is left of an old one must not get into a new one.
fn set_aside(path: &Path, now: Timestamp) -> Option<PathBuf> {
    let name = |beside: &str, more: &str| PathBuf::from(format!("{}{more}{beside}", path.display()));
    let more = format!(".damaged-{}", now.strftime("%Y%m%dT%H%M%SZ"));
    let moved = BESIDE.map(|beside| fs::rename(name(beside, ""), name(beside, &more)).is_ok());
    moved[0].then(|| name("", &more))
}
