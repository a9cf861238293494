//! Backups outside of a store: a manifest with its files beside it, as on another host or in a copy.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{At as _, StoreError};
use super::list::{Sizes, archive_id, manifest_id};
use super::{Backup, BackupId, BackupState, Manifest};

/// The backup that is meant by a folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Newest {
    /// The newest one that is good; where none is, the newest one.
    pub backup: Backup,
    /// Names of the manifests whose backups cannot be used.
    pub broken: Vec<String>,
}

impl Backup {
    /// The backup whose manifest this is. It has no state.
    pub fn outside(manifest: &Path) -> Result<Self, StoreError> {
        let backup = Self::outside_damaged(manifest)?;
        match backup.missing(&mut Sizes::default())? {
            None => Ok(backup),
            Some(problem) => Err(StoreError::Broken { path: manifest.to_owned(), problem }),
        }
    }

    /// The same, also where some of the files are missing or have another size: who uses it looks at each.
    pub fn outside_damaged(manifest: &Path) -> Result<Self, StoreError> {
        // Somebody may have named a link to it; its files lie where it lies itself.
        let path = fs::canonicalize(manifest).at("read", manifest)?;
        let folder = super::owner::parent(&path).to_owned();
        let (manifest, state) = (Manifest::read(&path)?, BackupState::default());
        Ok(Self { manifest, state, folder, path, shared: Arc::default() })
    }

    /// The backup that is meant by a folder in which manifests lie; nothing where none does. Where none can be used, that
    /// is an error which says why of the oldest. One that can do without what is damaged is meant where none is whole.
    pub fn newest_outside(folder: &Path) -> Result<Option<Newest>, StoreError> {
        let mut ids: Vec<BackupId> =
            super::names_in(folder)?.iter().filter_map(|name| manifest_id(name)).collect();
        ids.sort();
        let (mut found, mut broken, mut first, mut damaged) = (Vec::new(), Vec::new(), None, None);
        for id in ids {
            let name = format!("{id}.json");
            let path = folder.join(&name);
            match Self::outside(&path) {
                Ok(backup) => found.push(backup),
                Err(error) => {
                    let other = Self::outside_damaged(&path).ok().filter(Self::can_do_without_doubtful);
                    damaged = other.map(|backup| (backup, name.clone())).or(damaged);
                    first = first.or(Some(error));
                    broken.push(name);
                }
            }
        }
        if let (true, Some((backup, name))) = (found.is_empty(), damaged) {
            broken.retain(|other| *other != name);
            found.push(backup);
        }
        let good = found.iter().rposition(Self::is_good);
        let index = good.or(found.len().checked_sub(1));
        match (index, first) {
            (Some(index), _) => Ok(Some(Newest { backup: found.swap_remove(index), broken })),
            (None, Some(error)) => Err(error),
            (None, None) => Ok(None),
        }
    }

    /// The manifest of what lies at a path: itself, the newest of a folder, or the one beside an archive
    /// (`snapshot_<ID>.tar.gz`). Nothing where there is none.
    pub fn manifest_at(path: &Path) -> Option<PathBuf> {
        if path.is_dir() {
            let names = path.read_dir().ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            let newest = names.filter_map(|name| manifest_id(&name)).max()?;
            return Some(path.join(format!("{newest}.json")));
        }
        if path.extension().is_some_and(|ending| ending == "json") {
            return Some(path.to_owned());
        }
        let id = archive_id(path.file_name()?.to_str()?)?;
        Some(path.with_file_name(format!("{id}.json"))).filter(|manifest| manifest.is_file())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing;

    #[test]
    fn the_manifest_is_the_newest_of_a_folder_and_the_one_beside_an_archive() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        assert_eq!(Backup::manifest_at(dir.path()), None);
        for name in
            ["20261123T020000Z.json", "20261123T020000Z-2.json", "20261123T020000Z.state.json", "a.json"]
        {
            fs::File::create(path(name)).unwrap();
        }
        let newest = Some(path("20261123T020000Z-2.json"));
        assert_eq!(Backup::manifest_at(dir.path()), newest);
        assert_eq!(Backup::manifest_at(&path("snapshot_20261123T020000Z-2.tar.gz")), newest);
        assert_eq!(Backup::manifest_at(&path("a.json")), Some(path("a.json")));
        for none in ["snapshot_20261123_020000.tar.gz", "snapshot_20261124T020000Z.tar.gz", "copy.tar.gz"] {
            assert_eq!(Backup::manifest_at(&path(none)), None, "{none}");
        }
    }

    #[test]
    fn of_a_folder_the_newest_that_can_be_used_is_meant_and_the_others_are_named() {
        let (_dir, job) = testing::job();
        assert_eq!(Backup::newest_outside(job.folder()).unwrap(), None);
        let made = [0, 10, 20].map(|s| testing::backup(&job, s));
        let files = |backup: &Backup| backup.path_of(&backup.manifest.files[0]);
        fs::remove_file(files(&made[2])).unwrap();
        let newest = Backup::newest_outside(job.folder()).unwrap().unwrap();
        assert_eq!(
            (newest.backup.id(), newest.broken),
            (made[1].id(), vec![format!("{}.json", made[2].id())])
        );
        made[..2].iter().for_each(|backup| fs::remove_file(files(backup)).unwrap());
        let error = Backup::newest_outside(job.folder()).unwrap_err();
        assert!(error.to_string().contains(made[0].id().as_str()), "{error}");
    }
}
