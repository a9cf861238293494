//! Removing backups: the manifest first, so that none ever names a file that is gone; then its files that no other
//! manifest names; then its state.
//!
//! The manifest is renamed to `.removed-<ID>.json` and goes last of all. While that is there the removal is
//! unfinished, and the next sweep completes it.

use std::collections::BTreeSet;
use std::fs;

use super::error::{At as _, StoreError};
use super::list::{archive_id, manifest_id};
use super::{BackupId, ExclusiveLock, JobStore, Left, Manifest, atomic, shared};

/// What a removal took away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// The backups that are gone.
    pub backups: Vec<BackupId>,
    /// How many files went with them, manifests and states not counted.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were to go with them and are still there: a later sweep tries again.
    pub left: Vec<Left>,
}

/// What the manifests that are there claim.
pub(super) struct Claims {
    pub(super) files: BTreeSet<String>,
    /// Some manifest cannot be read: what it claims is not known.
    pub(super) unknown: bool,
}

impl JobStore {
    /// Removes backups, broken ones too. Nothing is removed if one of them is pinned or not there.
    pub fn remove(&self, guard: &ExclusiveLock, ids: &[BackupId]) -> Result<Removed, StoreError> {
        guard.must_cover(self)?;
        for id in ids {
            self.may_be_removed(id)?;
        }
        let mut removed = Removed::default();
        if ids.is_empty() {
            return Ok(removed);
        }
        for id in ids {
            self.bury(id)?;
        }
        // Looked up once: with what many backups share, this is the long part.
        let claims = self.claims()?;
        for id in ids {
            self.complete_removal(id, &claims, &mut removed)?;
            removed.backups.push(id.clone());
        }
        Ok(removed)
    }

    fn may_be_removed(&self, id: &BackupId) -> Result<(), StoreError> {
        let is_backup = self.manifest_path(id).exists();
        // What is no backup any more has no state that it could have lost.
        if (is_backup || self.state_path(id).exists()) && self.read_state(id).0.pinned {
            return Err(StoreError::Pinned { id: id.clone(), path: self.folder.clone() });
        }
        if is_backup || !self.archives_of(id)?.is_empty() {
            return Ok(());
        }
        Err(StoreError::NotFound { what: id.to_string(), path: self.folder.clone() })
    }

    /// The backup ends to exist.
    fn bury(&self, id: &BackupId) -> Result<(), StoreError> {
        let path = self.manifest_path(id);
        if path.exists() {
            fs::rename(&path, self.tombstone_path(id)).at("remove", &path)?;
            atomic::sync_folder(&self.folder).at("sync", &self.folder)?;
        }
        Ok(())
    }

    /// Removes what is left of a backup whose manifest is gone, and adds that to `removed`. Can be done again after a
    /// crash at any point. Where something stays, so does the tombstone.
    pub(super) fn complete_removal(
        &self,
        id: &BackupId,
        claims: &Claims,
        removed: &mut Removed,
    ) -> Result<(), StoreError> {
        let tombstone = self.tombstone_path(id);
        let mut files = self.archives_of(id)?;
        if let Ok(manifest) = Manifest::read(&tombstone) {
            files.extend(manifest.files.into_iter().map(|file| file.name));
        }
        let (mut gone, left) = (Vec::new(), removed.left.len());
        for file in files.iter().filter(|file| !self.is_claimed(file, claims)) {
            let Some(size) = Left::note(self.remove_shared(file), &mut removed.left)? else { continue };
            if shared::is_shared(file) {
                gone.push(file.as_str());
            }
            removed.files += usize::from(size.is_some());
            removed.bytes += size.unwrap_or_default();
        }
        self.forget_removed(&gone)?;
        let _names = self.lock_names()?;
        if !self.manifest_path(id).exists() {
            let state = self.state_path(id);
            Left::note(atomic::remove_if_there(&state).at("remove", &state), &mut removed.left)?;
        }
        atomic::sync_folder(&self.folder).at("sync", &self.folder)?;
        if removed.left.len() > left {
            return Ok(());
        }
        Left::note(atomic::remove_if_there(&tombstone).at("remove", &tombstone), &mut removed.left)?;
        atomic::sync_folder(&self.folder).at("sync", &self.folder)
    }

    /// The archives that carry the ID in their name.
    fn archives_of(&self, id: &BackupId) -> Result<BTreeSet<String>, StoreError> {
        Ok(self.names()?.into_iter().filter(|name| archive_id(name).as_ref() == Some(id)).collect())
    }

    pub(super) fn claims(&self) -> Result<Claims, StoreError> {
        let mut claims = Claims { files: BTreeSet::new(), unknown: false };
        for id in self.names()?.iter().filter_map(|name| manifest_id(name)) {
            match Manifest::read(&self.manifest_path(&id)) {
                Ok(manifest) => claims.files.extend(manifest.files.into_iter().map(|file| file.name)),
                Err(_) => claims.unknown = true,
            }
        }
        Ok(claims)
    }

    /// When in doubt a file stays.
    fn is_claimed(&self, file: &str, claims: &Claims) -> bool {
        claims.files.contains(file)
            || match archive_id(file) {
                Some(owner) => self.manifest_path(&owner).exists(),
                None => claims.unknown,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing;
    use std::time::Duration;

    fn lock(job: &JobStore) -> ExclusiveLock {
        job.lock_exclusive(Duration::ZERO).unwrap()
    }

    #[test]
    fn a_removed_backup_leaves_nothing_and_the_others_stay() {
        let (_dir, job) = testing::job();
        let made = [0, 1, 2].map(|s| testing::backup(&job, s));
        let removed = job.remove(&lock(&job), &[made[0].id().clone(), made[2].id().clone()]).unwrap();
        assert_eq!(
            (removed.backups.len(), removed.files, removed.bytes),
            (2, 2, made[0].size() + made[2].size())
        );
        assert_eq!(job.list().unwrap().backups, [made[1].clone()]);
        assert_eq!(job.names().unwrap().len(), 4);
    }

    #[test]
    fn nothing_is_removed_if_one_is_pinned_or_unknown() {
        let (_dir, job) = testing::job();
        let ids = [0, 1].map(|s| testing::backup(&job, s).id().clone());
        job.pin(&ids[1]).unwrap();
        assert!(matches!(job.remove(&lock(&job), &ids), Err(StoreError::Pinned { .. })));
        let unknown = [ids[0].clone(), "20300101T000000Z".parse().unwrap()];
        assert!(matches!(job.remove(&lock(&job), &unknown), Err(StoreError::NotFound { .. })));
        assert_eq!(job.list().unwrap().backups.len(), 2);
    }

    #[test]
    fn a_removal_that_was_cut_never_leaves_a_manifest_without_its_file_and_is_completed() {
        for cut in 0..3 {
            let (_dir, job) = testing::job();
            let (gone, stays) = (testing::backup(&job, 0), testing::backup(&job, 1));
            job.bury(gone.id()).unwrap();
            if cut > 0 {
                fs::remove_file(gone.path_of(&gone.manifest.files[0])).unwrap();
            }
            if cut > 1 {
                fs::remove_file(job.state_path(gone.id())).unwrap();
            }
            let listing = job.list().unwrap();
            assert_eq!((listing.backups, listing.broken), (vec![stays], vec![]), "cut {cut}");
            job.sweep(&lock(&job)).unwrap();
            assert_eq!(job.names().unwrap().len(), 4, "cut {cut}");
        }
    }

    #[test]
    fn a_file_that_another_manifest_names_stays() {
        let (_dir, job) = testing::job();
        let (one, two) = (testing::backup(&job, 0), testing::backup(&job, 1));
        let mut shares = two.manifest.clone();
        shares.files.push(one.manifest.files[0].clone());
        atomic::replace(&job.manifest_path(two.id()), &testing::sealed(&shares), 0o640).unwrap();
        let removed = job.remove(&lock(&job), &[one.id().clone()]).unwrap();
        assert_eq!((removed.files, job.list().unwrap().backups.len()), (0, 1));
        assert_eq!(job.list().unwrap().broken, []);
    }

    #[test]
    fn broken_backups_and_archives_without_a_manifest_can_be_removed() {
        let (_dir, job) = testing::job();
        let made = [0, 1].map(|s| testing::backup(&job, s));
        atomic::replace(&job.manifest_path(made[0].id()), b"{", 0o640).unwrap();
        fs::remove_file(job.manifest_path(made[1].id())).unwrap();
        let ids = made.map(|b| b.id().clone());
        assert_eq!(job.remove(&lock(&job), &ids).unwrap().files, 2);
        assert_eq!(job.names().unwrap(), [".lock"]);
    }
}
