//! What a restore that was not finished leaves on this host, so that the one that finishes it is known for that.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::plan::Choice;
use super::{RestoreError, Site};
use crate::jobs::RunContext;
use crate::store::{BackupId, atomic};

/// Whoever restores the same again later than this begins anew, and takes back only that.
const FINISHED_WITHIN: SignedDuration = SignedDuration::from_hours(24);

/// While a restore writes, this file says so: one that was cut is known by it, and the one that finishes it is taken
/// back with it. Losing it costs that much of an undo, and no data.
pub(super) struct Note {
    path: PathBuf,
    now: Timestamp,
}

/// What is restored, of what, and to where. Only the same again finishes it; anything else is a restore of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempt {
    of: String,
    url: String,
    only: BTreeSet<String>,
    exclude: BTreeSet<String>,
}

impl Attempt {
    /// This backup, as the choice has it, to this server.
    pub(super) fn new(of: &str, site: &Site, choice: &Choice) -> Self {
        let named = |all: &[crate::grafana::object::Selector]| all.iter().map(ToString::to_string).collect();
        Self {
            of: of.to_owned(),
            url: site.client.url(),
            only: named(&choice.only),
            exclude: named(&choice.exclude),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Unfinished {
    attempt: Attempt,
    /// When it wrote last, as far as its beginning tells.
    begun: Timestamp,
    /// What was there before it.
    before: BackupId,
}

impl Note {
    pub(super) fn at(site: &Site, context: &RunContext) -> Self {
        // Neither name has a dot in it.
        let name = format!("grafana-restore.{}.{}.json", context.job, site.target);
        Self { path: context.state_dir.join(name), now: context.now }
    }

    /// What was there before the same restore, where that was cut not long ago.
    pub(super) fn unfinished(&self, attempt: &Attempt) -> Option<BackupId> {
        let noted: Unfinished = serde_json::from_slice(&fs::read(&self.path).ok()?).ok()?;
        let is_it = noted.attempt == *attempt && self.now.duration_since(noted.begun) <= FINISHED_WITHIN;
        is_it.then_some(noted.before)
    }

    pub(super) fn write(&self, attempt: Attempt, before: &BackupId) -> Result<(), RestoreError> {
        let noted = Unfinished { attempt, begun: self.now, before: before.clone() };
        let bytes = serde_json::to_vec(&noted).unwrap_or_default();
        atomic::replace(&self.path, &bytes, 0o640).map_err(self.failed("write"))
    }

    pub(super) fn remove(&self) -> Result<(), RestoreError> {
        atomic::remove_if_there(&self.path).map(drop).map_err(self.failed("remove"))
    }

    fn failed(&self, doing: &'static str) -> impl Fn(io::Error) -> RestoreError + use<> {
        let path = self.path.clone();
        move |source| RestoreError::Place { doing, path: path.clone(), source }
    }
}
