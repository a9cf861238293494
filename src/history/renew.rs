//! A history whose files are taken away, turn out to be damaged, or cannot be opened yet, for who keeps it open for long.
//!
//! SQLite goes on writing to a file that nobody finds any more, and says nothing. So whoever keeps a history open for long
//! looks whether its files are still those in the folder, and makes a new one where it is not.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rusqlite::Connection;

use super::open::opened;
use super::{FILE, History, HistoryError, failure};
use crate::state_dir;
use crate::words;

/// What is beside the file while it is in use: the log, and the index of that.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// Why a history was opened anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renewed {
    /// The old one was taken away.
    Gone,
    /// Another one stands in its place.
    Replaced,
    /// The old one was damaged, and is there now.
    Damaged(PathBuf),
    /// What was beside the file was taken away. What was in the file is still there.
    Beside,
    /// It could not be opened before.
    Opened,
}

/// A file by its device and number.
type Identity = (u64, u64);

/// The files that were opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Files {
    main: Identity,
    beside: [Option<Identity>; 2],
}

impl Files {
    /// Those that are in the folder now.
    pub(super) fn found(path: &Path) -> Option<Self> {
        let beside = BESIDE.map(|beside| identity(&named(path, beside)));
        identity(path).map(|main| Self { main, beside })
    }

    /// Nothing of what was opened is gone or another.
    fn are_in(self, found: Self) -> bool {
        let same = |(known, found): (&Option<Identity>, &Option<Identity>)| known.is_none() || known == found;
        self.main == found.main && self.beside.iter().zip(&found.beside).all(same)
    }

    /// Of a file that another one has replaced, its log would get into that one. SQLite leaves it there, as the file is gone;
    /// what has come with the other one stays.
    fn remove_what_is_left_beside(self, found: Self, path: &Path) {
        for (at, beside) in BESIDE.iter().enumerate() {
            if self.beside[at].is_some() && self.beside[at] == found.beside[at] {
                let _ = fs::remove_file(named(path, beside));
            }
        }
    }

    /// Somebody else may have written to another log than the one that was opened.
    fn has_another_log(self, found: Self) -> bool {
        found.beside[0].is_some() && found.beside[0] != self.beside[0]
    }
}

fn identity(path: &Path) -> Option<Identity> {
    fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

fn named(path: &Path, beside: &str) -> PathBuf {
    PathBuf::from(format!("{}{beside}", path.display()))
}

impl History {
    /// Opens the history for who renews it from then on: a damaged one is set aside and begun anew, and where it cannot be
    /// opened now, [`History::renew`] tries it again. Until then every call fails with [`HistoryError::NotOpen`].
    pub fn open_to_renew(state_dir: &Path, now: Timestamp) -> Result<(Self, Option<Renewed>), HistoryError> {
        let error = match Self::open_anew(state_dir, now) {
            Err(error) if error.may_pass() || error.is_damaged() => error,
            opened => return opened,
        };
        Ok((Self::not_open_yet(state_dir, &error)?, None))
    }

    /// Opens the history; a damaged one is set aside and begun anew. Of two processes only one may do that at a time.
    pub fn open_anew(state_dir: &Path, now: Timestamp) -> Result<(Self, Option<Renewed>), HistoryError> {
        let damaged = match Self::open(state_dir) {
            Err(HistoryError::Damaged { .. }) => set_aside(&state_dir.join(FILE), now),
            opened => return opened.map(|history| (history, None)),
        };
        let history = Self::open(state_dir)?;
        history.remember_aside(damaged.as_deref());
        Ok((history, Some(damaged.map_or(Renewed::Gone, Renewed::Damaged))))
    }

    /// Why it is not open, if so.
    pub fn why_not_open(&self) -> Option<String> {
        self.not_open().clone()
    }

    fn remember_aside(&self, aside: Option<&Path>) {
        if let Some(aside) = aside {
            *self.set_aside.lock().unwrap_or_else(PoisonError::into_inner) = Some(aside.to_owned());
        }
    }

    fn not_open_yet(state_dir: &Path, error: &HistoryError) -> Result<Self, HistoryError> {
        let path = state_dir.join(FILE);
        // Without a table: every statement fails.
        let connection = Connection::open_in_memory().map_err(|e| failure(&path, "replace", e))?;
        let history = Self::on(path, connection, None);
        *history.not_open() = Some(words::chain(error));
        Ok(history)
    }

    /// Opens the files anew where they are no more what was opened, are damaged, or could not be opened before. What is
    /// left of a lost file is set aside.
    pub fn renew(&self, now: Timestamp) -> Result<Option<Renewed>, HistoryError> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let is_closed = self.not_open().is_some();
        let is_damaged = self.is_damaged.load(Ordering::Relaxed);
        let (known, found) = (*files, Files::found(&self.path));
        // What stands in the place of a damaged one now may be anybody's.
        let is_there = known.zip(found).is_none_or(|(known, found)| known.main == found.main);
        let why = match (known, found) {
            _ if is_damaged && (is_closed || is_there) => Renewed::Damaged(PathBuf::new()),
            _ if is_closed => Renewed::Opened,
            // It is in memory.
            (None, _) => return Ok(None),
            (Some(known), Some(found)) if known.are_in(found) => return Ok(None),
            (Some(known), Some(found)) if known.main == found.main => Renewed::Beside,
            (Some(_), Some(_)) => Renewed::Replaced,
            (Some(_), None) => Renewed::Gone,
        };
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if why == Renewed::Beside
            && !known.zip(found).is_some_and(|(known, found)| known.has_another_log(found))
        {
            // What is in the log that nobody finds any more: as far as that works.
            let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        }
        // Closed first: it would go on writing to what is set aside.
        let memory = Connection::open_in_memory().map_err(|e| failure(&self.path, "replace", e))?;
        drop(std::mem::replace(&mut *connection, memory));
        let aside = match why {
            // One that replaces it may be a good one, as of a restore.
            Renewed::Damaged(_) | Renewed::Gone => set_aside(&self.path, now),
            _ => None,
        };
        if let (Renewed::Replaced, Some(known), Some(found)) = (&why, known, found) {
            known.remove_what_is_left_beside(found, &self.path);
        }
        let anew = state_dir::file(&self.path).map_err(HistoryError::from).and_then(|_| opened(&self.path));
        let (new, opened) = match anew {
            Ok(anew) => anew,
            Err(error) => {
                // One that is damaged is set aside the next time.
                self.is_damaged.store(matches!(error, HistoryError::Damaged { .. }), Ordering::Relaxed);
                *self.not_open() = Some(words::chain(&error));
                return Err(error);
            }
        };
        (*connection, *files, *self.not_open()) = (new, opened, None);
        // What is gone was no history that could be told of.
        self.remember_aside(aside.as_deref().filter(|_| matches!(why, Renewed::Damaged(_))));
        self.is_damaged.store(false, Ordering::Relaxed);
        Ok(Some(match (why, aside) {
            (Renewed::Damaged(_), Some(aside)) => Renewed::Damaged(aside),
            (Renewed::Damaged(_), None) => Renewed::Gone,
            (why, _) => why,
        }))
    }
}

/// How the name goes on of a file that was set aside, and the time in it.
const ASIDE: (&str, &str) = (".damaged-", "%Y%m%dT%H%M%SZ");

/// When a damaged history was set aside that lies there; nothing of any other file.
pub fn set_aside_at(path: &Path) -> Option<Timestamp> {
    let time = path.file_name()?.to_str()?.strip_prefix(FILE)?.strip_prefix(ASIDE.0)?;
    TimeZone::UTC.to_timestamp(DateTime::strptime(ASIDE.1, time).ok()?).ok()
}

/// Moves the file and what is beside it out of the way: what is left of an old one must not get into a new one.
fn set_aside(path: &Path, now: Timestamp) -> Option<PathBuf> {
    let more = format!("{}{}", ASIDE.0, now.strftime(ASIDE.1));
    let moved = ["", BESIDE[0], BESIDE[1]]
        .map(|beside| fs::rename(named(path, beside), named(path, &format!("{more}{beside}"))).is_ok());
    moved[0].then(|| named(path, &more))
}
