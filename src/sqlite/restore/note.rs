//! What restores have done, so that it can be taken back: a file each, written before anything is moved.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::RestoreError;
use crate::config::values::JobName;
use crate::regular;
use crate::sqlite::SqliteError;
use crate::sqlite::error::file;
use crate::state_dir;
use crate::store::{atomic, owner};

/// How the name of a note ends.
const SUFFIX: &str = ".restore.json";
/// The folder of them all.
const FOLDER: &str = "undo";

/// One restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sqlite) struct Note {
    /// The run.
    pub(super) run: Ulid,
    /// When.
    pub(super) began: Timestamp,
    /// What was restored: `JOB/ID`.
    pub(super) source: String,
    /// The database.
    pub(super) path: PathBuf,
    /// The new one, until it is in place.
    pub(super) stage: PathBuf,
    /// Where the old one is set aside.
    pub(super) aside: PathBuf,
    /// There was an old one.
    pub(super) had_old: bool,
    /// How far it has come.
    pub(super) state: State,
    /// It took a restore of the source back, and was no restore itself.
    #[serde(default)]
    pub(super) is_undo: bool,
    /// What uses the database ran before, and is to run again. It is not known of a note of an older program.
    #[serde(default)]
    pub(super) ran: Option<bool>,
    /// The run that began to take it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) undoing: Option<Ulid>,
}

/// How far a restore has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// It was begun, and nobody knows more.
    Begun,
    /// It was proven, and is complete: what is aside is the database of before.
    Done,
    /// It took itself back: what is aside is the one that was restored, where something was written to it.
    TakenBack,
}

/// The notes of a job.
#[derive(Debug, Clone)]
pub struct Notes {
    folder: PathBuf,
}

impl Notes {
    /// Where the notes of a job are.
    pub fn of(state_dir: &Path, job: &JobName) -> Self {
        Self { folder: state_dir.join(FOLDER).join(job) }
    }

    /// Where they are.
    pub(in crate::sqlite) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the folder, and takes away what a run that was killed has half written in it: one at a time works on a
    /// database.
    pub(in crate::sqlite) fn make(&self) -> Result<(), SqliteError> {
        let made = self.folder.parent().map_or(Ok(()), state_dir::folder);
        made.and_then(|()| state_dir::folder(&self.folder)).map_err(SqliteError::from)?;
        for entry in fs::read_dir(&self.folder).map_err(file("list", &self.folder))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(atomic::TEMP_PREFIX) {
                atomic::remove_if_there(&entry.path()).map_err(file("remove", &entry.path()))?;
            }
        }
        Ok(())
    }

    pub(super) fn write(&self, note: &Note) -> Result<(), SqliteError> {
        self.make()?;
        let path = self.path(note.run);
        let bytes = serde_json::to_vec_pretty(note).map_err(|source| SqliteError::Describe { source })?;
        atomic::replace(&path, &bytes, owner::FILE_MODE).map_err(file("write", &path))
    }

    pub(super) fn remove(&self, note: &Note) -> Result<(), SqliteError> {
        let path = self.path(note.run);
        atomic::remove_if_there(&path).map(drop).map_err(file("remove", &path))
    }

    /// All of them, oldest first.
    pub(super) fn list(&self) -> Result<Vec<Note>, SqliteError> {
        let mut notes = Vec::new();
        for path in self.files(SUFFIX)? {
            let bytes = regular::read(&path, regular::NOTE).map_err(file("read", &path))?;
            let note = serde_json::from_slice(&bytes);
            notes.push(note.map_err(|source| SqliteError::BadNote { path, source })?);
        }
        Ok(notes)
    }

    /// The files whose names end so, oldest first: each begins with the ULID of its run.
    pub(in crate::sqlite) fn files(&self, suffix: &str) -> Result<Vec<PathBuf>, SqliteError> {
        let entries = match fs::read_dir(&self.folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(file("list", &self.folder))?,
        };
        let mut found: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.ends_with(suffix)))
            .collect();
        found.sort();
        Ok(found)
    }

    /// No restore of this database was begun and never ended, of whichever job. Else nobody else may touch it: what is in
    /// its place may be half of the old and half of the new.
    pub fn none_unfinished(&self, path: &Path) -> Result<(), SqliteError> {
        let Some(of_all) = self.folder.parent() else { return Ok(()) };
        let jobs = match fs::read_dir(of_all) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            jobs => jobs.map_err(file("list", of_all))?,
        };
        for job in jobs.flatten() {
            let notes = Self { folder: job.path() };
            let unfinished = |note: &Note| note.state == State::Begun && note.path == path;
            if let Some(note) = notes.list()?.into_iter().find(unfinished) {
                return Err(RestoreError::Unfinished {
                    path: note.path,
                    job: job.file_name().to_string_lossy().into_owned(),
                    source_title: note.source,
                    began: note.began,
                }
                .into());
            }
        }
        Ok(())
    }

    /// The run of the newest restore that did not take itself back: after one that did all is as it was before.
    pub fn newest(&self) -> Result<Option<Ulid>, SqliteError> {
        let notes = self.list()?;
        Ok(notes.iter().rfind(|note| note.state != State::TakenBack).map(|note| note.run))
    }

    fn path(&self, run: Ulid) -> PathBuf {
        self.folder.join(format!("{run}{SUFFIX}"))
    }
}
