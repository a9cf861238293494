//! The note of a change that is under way, so that one that is killed is found by the next: written before anything is sent,
//! and removed when the change is proven or taken back.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::error::DashboardError;
use super::{DashboardPlan, FOLDER, Old};
use crate::jobs::RunContext;
use crate::regular;
use crate::state_dir;
use crate::store::{atomic, owner};

/// A change that was begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The run.
    run: Ulid,
    /// When.
    pub(super) began: Timestamp,
    /// What it is to do, in words.
    pub(super) what: String,
    /// The dashboard.
    pub(super) uid: String,
    /// Where the old one is kept; nothing where there was none.
    pub(super) backup: Option<PathBuf>,
    /// What was there.
    pub(super) old: Option<Old>,
    /// What is to be there.
    pub(super) new: Old,
    /// It failed, and the old one is being brought back.
    pub(super) goes_back: bool,
}

impl Note {
    pub(super) fn of(plan: &DashboardPlan, backup: Option<PathBuf>, context: &RunContext) -> Self {
        Self {
            run: context.run,
            began: context.now,
            what: plan.what.clone(),
            uid: plan.uid.clone(),
            backup,
            old: plan.old.clone(),
            new: Old { dashboard: plan.wanted.clone(), folder: plan.into.clone() },
            goes_back: false,
        }
    }
}

/// A change that was begun, and is neither proven nor taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cut {
    /// What it was to do.
    pub what: String,
    /// When it was begun.
    pub began: Timestamp,
    /// Where the old dashboard is kept; nothing where there was none.
    pub backup: Option<PathBuf>,
}

/// The change of a Grafana's dashboard that is not settled, where there is one.
pub fn cut(state_dir: &Path, target: &str) -> Result<Option<Cut>, DashboardError> {
    let note = Journal::of(state_dir, target).read()?;
    Ok(note.map(|Note { what, began, backup, .. }| Cut { what, began, backup }))
}

/// Where the note of a target is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Journal {
    path: PathBuf,
}

impl Journal {
    pub(super) fn of(state_dir: &Path, target: &str) -> Self {
        Self { path: state_dir.join(FOLDER).join(format!("grafana-{target}.json")) }
    }

    pub(super) fn read(&self) -> Result<Option<Note>, DashboardError> {
        let bytes = match regular::read(&self.path, regular::LARGE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(self.failed("read"))?,
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| DashboardError::BadNote { path: self.path.clone(), problem: error.to_string() })
    }

    pub(super) fn write(&self, note: &Note) -> Result<(), DashboardError> {
        state_dir::folder(self.path.parent().unwrap_or(Path::new("/")))?;
        let bytes = serde_json::to_vec_pretty(note).map_err(io::Error::from).map_err(self.failed("write"))?;
        atomic::replace_alone(&self.path, &bytes, owner::FILE_MODE).map_err(self.failed("write"))
    }

    pub(super) fn remove(&self) -> Result<(), DashboardError> {
        atomic::remove_alone(&self.path).map(drop).map_err(self.failed("remove"))
    }

    fn failed(&self, doing: &'static str) -> impl Fn(io::Error) -> DashboardError + use<> {
        let path = self.path.clone();
        move |source| DashboardError::File { doing, path: path.clone(), source }
    }
}
