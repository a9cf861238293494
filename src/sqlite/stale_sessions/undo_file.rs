//! The undo file: what is to be closed, and how it was before. One line about the run, then one for each row, written
//! before anything is changed; then one for each transaction, with the rows that it has changed.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::{SUFFIX, Session};
use crate::config::sessions::Columns;
use crate::regular;
use crate::sqlite::SqliteError;
use crate::sqlite::error::file;
use crate::sqlite::restore::Notes;
use crate::store::{atomic, owner};

/// Rows of one transaction: it is over before anybody waits for it.
const BATCH: usize = 200;

/// What the rows of an undo file have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) run: Ulid,
    pub(super) table: String,
    /// What sessions are called by; empty where the file is of a version that did not note it.
    #[serde(default)]
    pub(super) id: String,
    pub(super) start: String,
    pub(super) end: String,
    /// What was written, as an SQL literal. It was NULL before.
    pub(super) written: String,
    /// The backup of before: `JOB/ID`.
    pub(super) backup: String,
    /// Rows of one transaction. Never zero; one where the file is of a version that noted no transactions.
    #[serde(default)]
    pub(super) batch: usize,
}

/// A line behind the first one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Session(Session),
    Batch { batch: usize, closed: Vec<i64> },
}

/// What an undo file tells of.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// What was to be closed.
    pub(super) sessions: Vec<Session>,
    /// By the number of the transaction, the rows that it has changed.
    pub(super) closed: BTreeMap<usize, Vec<i64>>,
}

impl Header {
    pub(super) fn new(run: Ulid, columns: &Columns, written: &str, backup: &str) -> Self {
        let Columns { table, id, start, end, .. } = columns.clone();
        let (written, backup) = (written.to_owned(), backup.to_owned());
        Self { run, table, id, start, end, written, backup, batch: BATCH }
    }
}

/// Writes an undo file and brings it to disk.
pub(super) fn write<'a>(
    notes: &Notes,
    header: &Header,
    sessions: impl Iterator<Item = &'a Session>,
) -> Result<PathBuf, SqliteError> {
    notes.make()?;
    let path = notes.folder().join(format!("{}{SUFFIX}", header.run));
    let mut lines = vec![serde_json::to_string(header)];
    lines.extend(sessions.map(serde_json::to_string));
    let mut text = String::new();
    for line in lines {
        text.push_str(&line.map_err(|source| SqliteError::Describe { source })?);
        text.push('\n');
    }
    atomic::create(&path, text.as_bytes(), owner::FILE_MODE).map_err(file("write", &path))?;
    Ok(path)
}

/// Notes what a transaction has changed, and brings that to disk.
pub(super) fn note(path: &Path, batch: usize, closed: &[i64]) -> Result<(), SqliteError> {
    let line = serde_json::to_string(&Line::Batch { batch, closed: closed.to_vec() });
    let line = line.map_err(|source| SqliteError::Describe { source })?;
    let written = regular::open_to_append(path).and_then(|mut file| {
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_all()
    });
    written.map_err(file("write", path))
}

pub(super) fn read(path: &Path) -> Result<(Header, Noted), SqliteError> {
    let bytes = regular::read_named(path, regular::LARGE).map_err(file("read", path))?;
    let text = String::from_utf8_lossy(&bytes);
    let bad = |source| SqliteError::BadNote { path: path.to_owned(), source };
    // A line that was cut while it was written is none: its transaction counts as one that was not noted.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut lines = whole.lines();
    let mut header: Header = serde_json::from_str(lines.next().unwrap_or_default()).map_err(bad)?;
    header.batch = header.batch.max(1);
    let mut noted = Noted::default();
    for line in lines {
        match serde_json::from_str(line).map_err(bad)? {
            Line::Session(session) => noted.sessions.push(session),
            Line::Batch { batch, closed } => drop(noted.closed.insert(batch, closed)),
        }
    }
    Ok((header, noted))
}

/// Nothing was closed.
pub(super) fn discard(path: &Path) -> Result<(), SqliteError> {
    atomic::remove_if_there(path).map(drop).map_err(file("remove", path))
}

/// It was applied: it is kept, but not applied again. Says where.
pub(super) fn retire(path: &Path) -> Result<PathBuf, SqliteError> {
    let mut done = path.as_os_str().to_owned();
    done.push(".undone");
    fs::rename(path, &done).map_err(file("rename", path))?;
    Ok(done.into())
}

/// The newest undo file of a job and its run.
pub fn newest(notes: &Notes) -> Result<Option<(Ulid, PathBuf)>, SqliteError> {
    let path = notes.files(SUFFIX)?.pop();
    Ok(path.and_then(|path| {
        let run = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?.parse().ok()?;
        Some((run, path))
    }))
}
