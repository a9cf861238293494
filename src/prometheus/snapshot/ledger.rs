//! The ledger of snapshots that were asked for: what makes sure that none of ours stays on a server.
//!
//! The intent is noted before the request and the name after the reply, so that whatever ends the program in
//! between, the next run knows what may be there. Nobody deletes snapshots on a Prometheus server, they pin its
//! disk for ever; but a folder that may be somebody else's is left alone and reported.
//!
//! One entry per target is enough: whoever writes it holds the target's lock.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::config::values::TargetName;
use crate::regular;
use crate::state_dir::reserve;
use crate::store::{atomic, owner};

/// How long after the request the server may have chosen the name: it does so before it does anything else.
const NAMED_WITHIN: Duration = Duration::from_secs(10);

/// Names carry whole seconds, and the server's clock may tick a little behind ours.
const CLOCK_SLACK: Duration = Duration::from_secs(2);

/// The ledger of one target.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
}

/// A snapshot that was asked for and not yet removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The run that asked.
    pub run: Ulid,
    /// When it asked.
    pub asked: Timestamp,
    /// The snapshots that the server had before.
    pub before: BTreeSet<String>,
    /// The name in the reply, once there was one.
    pub name: Option<String>,
}

/// What is to be done about an [`Entry`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// Nothing of ours is on the server.
    Clean,
    /// This snapshot is ours and must be removed.
    Remove(String),
    /// One of these may be ours; nobody can tell.
    InDoubt(Vec<String>),
}

/// The ledger could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A file operation failed.
    #[error("Cannot {action} the snapshot ledger {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The ledger's file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The file does not hold an entry.
    #[error(
        "The snapshot ledger {} is damaged: look for leftover folders in the server's snapshots/ folder, remove \
         those that are yours, then remove this file", path.display()
    )]
    Damaged {
        /// The ledger's file.
        path: PathBuf,
        /// Why it does not parse.
        source: serde_json::Error,
    },
}

impl Ledger {
    /// The ledger of a Prometheus target.
    pub fn of(state_dir: &Path, target: &TargetName) -> Self {
        Self { path: state_dir.join("ledger").join(format!("prometheus-{target}.json")) }
    }

    /// The open entry, if there is one: a run that noted it never got to clear it.
    pub fn read(&self) -> Result<Option<Entry>, LedgerError> {
        let bytes = match regular::read(&self.path, regular::NOTE) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.failed("read", source)),
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| LedgerError::Damaged { path: self.path.clone(), source })
    }

    /// Notes an entry durably: when this returns, a crash cannot lose it.
    pub fn note(&self, entry: &Entry) -> Result<(), LedgerError> {
        let text = serde_json::to_vec_pretty(entry)
            .map_err(|source| LedgerError::Damaged { path: self.path.clone(), source })?;
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let write = || {
            owner::create_folder(folder, owner::FOLDER_MODE)?;
            atomic::replace_alone(&self.path, &text, owner::FILE_MODE)
        };
        let state_dir = folder.parent().unwrap_or(Path::new(""));
        reserve::with(state_dir, write).map_err(|source| self.failed("write", source))
    }

    /// Clears the entry: nothing of ours is on the server any more.
    pub fn clear(&self) -> Result<(), LedgerError> {
        atomic::remove_alone(&self.path).map(drop).map_err(|source| self.failed("clear", source))
    }

    fn failed(&self, action: &'static str, source: io::Error) -> LedgerError {
        LedgerError::Io { action, path: self.path.clone(), source }
    }
}

impl Entry {
    /// Decides what to do, given the snapshots the server has now.
    pub fn settle(&self, present: &BTreeSet<String>) -> Settlement {
        if let Some(name) = &self.name {
            return if present.contains(name) { Settlement::Remove(name.clone()) } else { Settlement::Clean };
        }
        let mut candidates: Vec<String> =
            present.difference(&self.before).filter(|name| self.may_have_made(name)).cloned().collect();
        match candidates.len() {
            0 => Settlement::Clean,
            1 => Settlement::Remove(candidates.remove(0)),
            _ => Settlement::InDoubt(candidates),
        }
    }

    /// The server puts the time of the request into the name.
    fn may_have_made(&self, name: &str) -> bool {
        named_at(name).is_some_and(|at| at >= self.asked - CLOCK_SLACK && at <= self.asked + NAMED_WITHIN)
    }
}

/// The time in a snapshot's name: `20261123T224556Z-5a6ba848718acef4`.
fn named_at(name: &str) -> Option<Timestamp> {
    let (time, _) = name.split_once('-')?;
    let civil = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", time).ok()?;
    civil.to_zoned_datetime(jiff::tz::TimeZone::UTC).ok().map(|z| z.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    fn entry(name: Option<&str>) -> Entry {
        Entry {
            run: Ulid::nil(),
            asked: "2026-11-23T22:45:56.7Z".parse().unwrap(),
            before: set(&["20261123T224555Z-1111111111111111"]),
            name: name.map(str::to_owned),
        }
    }

    #[test]
    fn a_named_snapshot_is_removed_while_it_is_there_and_forgotten_when_it_is_gone() {
        let ours = "20261123T224556Z-5a6ba848718acef4";
        let entry = entry(Some(ours));
        assert_eq!(entry.settle(&set(&[ours])), Settlement::Remove(ours.into()));
        assert_eq!(entry.settle(&set(&["20261123T224556Z-ffffffffffffffff"])), Settlement::Clean);
    }

    #[test]
    fn an_unnamed_snapshot_is_ours_when_it_is_the_only_new_one_made_at_that_moment() {
        let found = set(&[
            "20261123T224555Z-1111111111111111",
            "20261123T224556Z-5a6ba848718acef4",
            "20261124T090000Z-2222222222222222",
        ]);
        assert_eq!(
            entry(None).settle(&found),
            Settlement::Remove("20261123T224556Z-5a6ba848718acef4".into())
        );
    }

    #[test]
    fn with_two_new_snapshots_of_that_moment_neither_is_touched() {
        let found = set(&["20261123T224556Z-5a6ba848718acef4", "20261123T224557Z-3333333333333333"]);
        assert_eq!(entry(None).settle(&found), Settlement::InDoubt(found.into_iter().collect()));
    }

    #[test]
    fn folders_from_before_or_much_later_or_of_another_form_are_never_ours() {
        let found = set(&[
            "20261123T224555Z-1111111111111111",
            "20261123T224656Z-4444444444444444",
            "mine",
            "lost+found",
        ]);
        assert_eq!(entry(None).settle(&found), Settlement::Clean);
    }

    #[test]
    fn an_entry_survives_and_is_gone_once_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::of(dir.path(), &"main".parse().unwrap());
        assert_eq!(ledger.read().unwrap(), None);
        ledger.note(&entry(None)).unwrap();
        ledger.note(&entry(Some("x"))).unwrap();
        assert_eq!(ledger.read().unwrap(), Some(entry(Some("x"))));
        ledger.clear().unwrap();
        ledger.clear().unwrap();
        assert_eq!(ledger.read().unwrap(), None);
    }

    #[test]
    fn a_damaged_ledger_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::of(dir.path(), &"main".parse().unwrap());
        ledger.note(&entry(None)).unwrap();
        std::fs::OpenOptions::new().write(true).open(&ledger.path).unwrap().set_len(10).unwrap();
        let error = ledger.read().unwrap_err().to_string();
        assert!(error.contains("is damaged: look for leftover folders"), "{error}");
    }
}
