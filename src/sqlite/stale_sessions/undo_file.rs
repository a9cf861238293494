//! The undo file: what was closed, and how it was before. One line about the run, then one for each row.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::{SUFFIX, Session};
use crate::config::sessions::Columns;
use crate::sqlite::SqliteError;
use crate::sqlite::error::file;
use crate::sqlite::restore::Notes;
use crate::store::{atomic, owner};

/// What the rows of an undo file have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) run: Ulid,
    pub(super) table: String,
    pub(super) start: String,
    pub(super) end: String,
    /// What was written, as an SQL literal. It was NULL before.
    pub(super) written: String,
    /// The backup of before: `JOB/ID`.
    pub(super) backup: String,
}

impl Header {
    pub(super) fn new(run: Ulid, columns: &Columns, written: &str, backup: &str) -> Self {
        let Columns { table, start, end, .. } = columns.clone();
        Self { run, table, start, end, written: written.to_owned(), backup: backup.to_owned() }
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

pub(super) fn read(path: &Path) -> Result<(Header, Vec<Session>), SqliteError> {
    let text = fs::read_to_string(path).map_err(file("read", path))?;
    let bad = |source| SqliteError::BadNote { path: path.to_owned(), source };
    let mut lines = text.lines();
    let header = serde_json::from_str(lines.next().unwrap_or_default()).map_err(bad)?;
    let sessions = lines.map(serde_json::from_str).collect::<Result<_, _>>().map_err(bad)?;
    Ok((header, sessions))
}

/// It was applied: it is kept, but not applied again.
pub(super) fn retire(path: &Path) -> Result<(), SqliteError> {
    let mut done = path.as_os_str().to_owned();
    done.push(".undone");
    fs::rename(path, &done).map_err(file("rename", path))
}

/// The newest undo file of a job and its run.
pub fn newest(notes: &Notes) -> Result<Option<(Ulid, PathBuf)>, SqliteError> {
    let path = notes.files(SUFFIX)?.pop();
    Ok(path.and_then(|path| {
        let run = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?.parse().ok()?;
        Some((run, path))
    }))
}
