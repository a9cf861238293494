//! Copies that are made inside a container: each is noted before it is made, so that the next run removes what a run that
//! was killed has left there. Only one run works on a database at a time: whatever is noted of it is of dead runs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::SqliteError;
use super::error::file;
use crate::store::{atomic, owner};
use crate::{regular, state_dir};

/// The folder of the notes.
const FOLDER: &str = "copies";

/// A copy in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Copy {
    pub(super) container: String,
    /// The database in there.
    pub(super) database: String,
    /// The copy of it in there.
    pub(super) path: String,
}

/// The notes.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    folder: PathBuf,
}

impl Ledger {
    pub(super) fn of(state_dir: &Path) -> Self {
        Self { folder: state_dir.join(FOLDER) }
    }

    /// Notes a copy before it is made, and gives the note.
    pub(super) fn note(&self, run: Ulid, copy: &Copy) -> Result<PathBuf, SqliteError> {
        state_dir::folder(&self.folder)?;
        let path = self.folder.join(format!("{run}.json"));
        let bytes = serde_json::to_vec(copy).map_err(|source| SqliteError::Describe { source })?;
        atomic::replace(&path, &bytes, owner::FILE_MODE).map_err(file("write", &path))?;
        Ok(path)
    }

    /// It is gone.
    pub(super) fn forget(note: &Path) -> Result<(), SqliteError> {
        atomic::remove_if_there(note).map(drop).map_err(file("remove", note))
    }

    /// What is noted of a database, with the notes.
    pub(super) fn left(&self, container: &str, database: &str) -> Result<Vec<(PathBuf, Copy)>, SqliteError> {
        let entries = match fs::read_dir(&self.folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(file("list", &self.folder))?,
        };
        let mut left = Vec::new();
        for entry in entries.flatten().filter(|entry| entry.path().extension().is_some_and(|e| e == "json")) {
            let path = entry.path();
            let bytes = regular::read(&path, regular::NOTE).map_err(file("read", &path))?;
            let copy: Copy = serde_json::from_slice(&bytes)
                .map_err(|source| SqliteError::BadNote { path: path.clone(), source })?;
            if copy.container == container && copy.database == database {
                left.push((path, copy));
            }
        }
        Ok(left)
    }
}
