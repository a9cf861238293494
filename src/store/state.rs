//! What changes about a backup after it was published. Losing it costs dates, never data: a backup whose state is lost
//! may have been pinned, so it is kept as if it were until somebody has said otherwise.

use std::collections::BTreeMap;
use std::io;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::{At as _, StoreError};
use super::{BackupId, JobStore, atomic, owner, sealed};
use crate::regular;

/// The last field of a state file.
const SEAL: &str = "state_sha256";

/// What changes about a backup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackupState {
    /// Kept whatever the retention says.
    pub pinned: bool,
    /// Somebody looked at what was strange about it and found it right.
    pub accepted: bool,
    /// For each of its files, by name: when it was last read back, and what came of it.
    pub verified: BTreeMap<String, Verified>,
    /// What of its content was deleted from its source on purpose since, by name, in bytes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub cleaned: BTreeMap<String, u64>,
}

/// A file was read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// When.
    pub when: Timestamp,
    /// How.
    pub how: How,
    /// What was wrong; nothing if it was good.
    pub problem: Option<String>,
}

/// How a file was read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// When it was published: hash and archive structure.
    Published,
    /// Its hash.
    Hash,
    /// It was unpacked and its content was checked.
    Deep,
}

impl BackupState {
    /// What is to be taken for the state of a backup that has lost its own.
    fn lost() -> Self {
        Self { pinned: true, ..Self::default() }
    }
}

impl JobStore {
    /// Keeps a backup whatever the retention says.
    pub fn pin(&self, id: &BackupId) -> Result<(), StoreError> {
        self.change_state(id, |state| state.pinned = true)
    }

    /// Leaves a backup to the retention again.
    pub fn unpin(&self, id: &BackupId) -> Result<(), StoreError> {
        self.change_state(id, |state| state.pinned = false)
    }

    /// Notes that what was strange about a backup is right.
    pub fn accept(&self, id: &BackupId) -> Result<(), StoreError> {
        self.change_state(id, |state| state.accepted = true)
    }

    /// Notes that files of a backup were read back, and what came of it.
    pub fn note_verified(&self, id: &BackupId, files: BTreeMap<String, Verified>) -> Result<(), StoreError> {
        if files.is_empty() {
            return Ok(());
        }
        self.change_state(id, |state| state.verified.extend(files))
    }

    /// Notes what of its content, by name and bytes, was deleted from its source on purpose.
    pub fn note_cleaned(&self, id: &BackupId, content: BTreeMap<String, u64>) -> Result<(), StoreError> {
        if content.is_empty() {
            return Ok(());
        }
        self.change_state(id, |state| state.cleaned.extend(content))
    }

    /// The state of a backup, and what is wrong with its file. A state is there before its backup is, so one that is
    /// missing is lost like one that is damaged.
    pub(super) fn read_state(&self, id: &BackupId) -> (BackupState, Option<String>) {
        let path = self.state_path(id);
        let parsed = match regular::read(&path, regular::NOTE) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err("it is missing".to_owned()),
            Err(e) => Err(e.to_string()),
            Ok(bytes) => sealed::check(&bytes, SEAL)
                .map_err(|e| e.to_string())
                .and_then(|()| serde_json::from_slice(&bytes).map_err(|e| e.to_string())),
        };
        parsed.map_or_else(
            |problem| {
                let (path, job) = (path.display(), &self.job);
                let warning = format!(
                    "{path}: {problem}; when the backup was verified and whether it was pinned is lost, so it is \
                     kept as if it were until `watchkeeper unpin {job}/{id}`"
                );
                (BackupState::lost(), Some(warning))
            },
            |state| (state, None),
        )
    }

    pub(super) fn write_state(&self, id: &BackupId, state: &BackupState) -> Result<(), StoreError> {
        let path = self.state_path(id);
        let bytes = sealed::seal(state, SEAL).map_err(io::Error::from).at("write", &path)?;
        atomic::replace(&path, &bytes, owner::FILE_MODE).at("write", &path)
    }

    /// Changes the state of a backup that exists. Concurrent changes wait for each other, so that none is lost.
    fn change_state(&self, id: &BackupId, change: impl FnOnce(&mut BackupState)) -> Result<(), StoreError> {
        let missing = || StoreError::NotFound { what: id.to_string(), path: self.folder.clone() };
        if !self.folder.is_dir() {
            return Err(missing());
        }
        let _names = self.lock_names()?;
        if !self.manifest_path(id).exists() {
            return Err(missing());
        }
        let (mut state, _) = self.read_state(id);
        change(&mut state);
        self.write_state(id, &state)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::testing;

    #[test]
    fn a_pin_is_kept_and_taken_back_and_needs_a_backup() {
        let (_dir, job) = testing::job();
        let id = testing::backup(&job, 0).manifest.id;
        let pinned = || job.list().unwrap().backups[0].state.pinned;
        job.pin(&id).unwrap();
        assert!(pinned());
        job.unpin(&id).unwrap();
        assert!(!pinned());
        let other = "20300101T000000Z".parse().unwrap();
        assert!(matches!(job.pin(&other), Err(StoreError::NotFound { .. })));
        assert!(!job.state_path(&other).exists());
    }

    #[test]
    fn a_backup_whose_state_is_lost_is_kept_as_if_pinned_until_somebody_says_otherwise() {
        let (_dir, job) = testing::job();
        let ids = [0, 1].map(|seconds| testing::backup(&job, seconds).manifest.id);
        fs::remove_file(job.state_path(&ids[0])).unwrap();
        atomic::replace(&job.state_path(&ids[1]), b"{}", 0o640).unwrap();
        let pinned = || job.list().unwrap().backups.iter().map(|b| b.state.pinned).collect::<Vec<_>>();
        assert_eq!(pinned(), [true, true]);
        let lock = job.lock_exclusive(std::time::Duration::ZERO).unwrap();
        for id in &ids {
            assert!(matches!(job.remove(&lock, std::slice::from_ref(id)), Err(StoreError::Pinned { .. })));
            // That it was read is noted, and does not end the doubt.
            job.note_verified(id, [("x".to_owned(), testing::verified())].into()).unwrap();
        }
        assert_eq!((pinned(), job.list().unwrap().warnings.len()), (vec![true, true], 0));
        job.unpin(&ids[0]).unwrap();
        assert_eq!(pinned(), [false, true]);
    }

    #[test]
    fn a_damaged_state_is_a_warning_and_the_backup_is_still_there() {
        let (_dir, job) = testing::job();
        let id = testing::backup(&job, 0).manifest.id;
        job.pin(&id).unwrap();
        let good = fs::read(job.state_path(&id)).unwrap();
        for i in 0..good.len() {
            let mut bad = good.clone();
            bad[i] ^= 1 << (i % 8);
            atomic::replace(&job.state_path(&id), &bad, 0o640).unwrap();
            assert!(job.read_state(&id).1.is_some(), "byte {i}");
        }
        let listing = job.list().unwrap();
        assert_eq!((listing.backups.len(), listing.broken.len(), listing.warnings.len()), (1, 0, 1));
        fs::remove_file(job.state_path(&id)).unwrap();
        assert!(job.list().unwrap().warnings[0].contains("it is missing"));
    }

    #[test]
    fn concurrent_changes_are_all_kept() {
        let (_dir, job) = testing::job();
        let id = testing::backup(&job, 0).manifest.id;
        let verified = testing::verified();
        std::thread::scope(|scope| {
            for n in 0..8 {
                let (job, id, verified) = (&job, &id, verified.clone());
                scope.spawn(move || job.note_verified(id, [(format!("file-{n}"), verified)].into()).unwrap());
            }
        });
        assert_eq!(job.read_state(&id).0.verified.len(), 9);
    }
}
