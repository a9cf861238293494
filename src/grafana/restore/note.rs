//! What restores that were not finished leave on this host, so that the one that finishes one is known for that.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::plan::Choice;
use super::{Account, RestoreError, Site, of_two_servers};
use crate::grafana::object::Selector;
use crate::jobs::RunContext;
use crate::regular;
use crate::store::{BackupId, atomic, owner};

/// Whoever restores the same again later than this begins anew, and takes back only that.
const FINISHED_WITHIN: SignedDuration = SignedDuration::from_hours(24);

/// While a restore writes, this file says so: one that was cut is known by it, and the one that finishes it is taken
/// back with it. Losing it costs that much of an undo, and no data.
pub(super) struct Note {
    path: PathBuf,
    now: Timestamp,
}

/// What is restored, of what, and to where. The same again finishes it, also where more is named with it or some of it is
/// left out by name; a part of it, or anything else, is a restore of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempt {
    /// The SHA-256 of the archive: a path may have another one later.
    of: String,
    url: String,
    #[serde(default)]
    account: Option<Account>,
    only: BTreeSet<String>,
    exclude: BTreeSet<String>,
}

impl Attempt {
    /// The backup of this identity, as the choice has it, to this server.
    pub(super) fn new(identity: &str, site: &Site, choice: &Choice) -> Self {
        let named = |all: &[Selector]| all.iter().map(ToString::to_string).collect();
        Self {
            of: identity.to_owned(),
            url: site.client.url(),
            account: site.account.clone(),
            only: named(&choice.only),
            exclude: named(&choice.exclude),
        }
    }

    /// Once this one is through, nobody would finish the other one. Whoever adds `--exclude` to a restore leaves out what
    /// it failed on; whoever adds `--only` wants a part of the backup, whatever became of the rest.
    fn finishes(&self, other: &Self) -> bool {
        let same_place =
            self.url == other.url && !of_two_servers(self.account.as_ref(), other.account.as_ref());
        let all_of_it =
            self.only.is_empty() || (!other.only.is_empty() && self.only.is_superset(&other.only));
        self.of == other.of && same_place && all_of_it
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
        // No name has a dot in it.
        let name = format!("grafana-restore.{}.json", site.target);
        Self { path: context.state_dir.join(name), now: context.now }
    }

    /// What was there before the restores that this one finishes: before the first of them that was cut not long ago.
    pub(super) fn unfinished(&self, attempt: &Attempt) -> Option<BackupId> {
        let its = self.read().into_iter().filter(|noted| attempt.finishes(&noted.attempt));
        its.map(|noted| noted.before).min()
    }

    /// What was there before restores that were cut, before this was kept.
    pub(super) fn cut_before(&self, first: &BackupId) -> Vec<BackupId> {
        self.read().into_iter().map(|noted| noted.before).filter(|before| before < first).collect()
    }

    /// Whether the restore that this was there before has not come to its end.
    pub(super) fn is_unfinished(&self, before: &BackupId) -> bool {
        self.read().iter().any(|noted| noted.before == *before)
    }

    pub(super) fn write(&self, attempt: Attempt, before: &BackupId) -> Result<(), RestoreError> {
        let mut noted = self.read();
        noted.retain(|noted| noted.attempt != attempt);
        noted.push(Unfinished { attempt, begun: self.now, before: before.clone() });
        self.replace(&noted)
    }

    /// Nothing of it is left to be done. Another one that was cut is still one that was cut.
    pub(super) fn finished(&self, attempt: &Attempt) -> Result<(), RestoreError> {
        self.keep(|noted| !attempt.finishes(&noted.attempt))
    }

    /// Those before which this was kept were taken back.
    pub(super) fn taken_back(&self, before: &[BackupId]) -> Result<(), RestoreError> {
        self.keep(|noted| !before.contains(&noted.before))
    }

    fn keep(&self, is_kept: impl Fn(&Unfinished) -> bool) -> Result<(), RestoreError> {
        let mut noted = self.read();
        noted.retain(is_kept);
        self.replace(&noted)
    }

    /// Those that were cut not long ago.
    fn read(&self) -> Vec<Unfinished> {
        let read = regular::read(&self.path, regular::NOTE)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mut noted: Vec<Unfinished> = read.unwrap_or_default();
        noted.retain(|noted| self.now.duration_since(noted.begun) <= FINISHED_WITHIN);
        noted
    }

    fn replace(&self, noted: &[Unfinished]) -> Result<(), RestoreError> {
        if noted.is_empty() {
            return atomic::remove_if_there(&self.path).map(drop).map_err(self.failed("remove"));
        }
        let bytes = serde_json::to_vec(noted).unwrap_or_default();
        atomic::replace(&self.path, &bytes, owner::FILE_MODE).map_err(self.failed("write"))
    }

    fn failed(&self, doing: &'static str) -> impl Fn(io::Error) -> RestoreError + use<> {
        let path = self.path.clone();
        move |source| RestoreError::Place { doing, path: path.clone(), source }
    }
}
