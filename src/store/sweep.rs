//! Takes away what crashes have left. Only what is known to be a leftover: an archive without a manifest may be
//! somebody's lost backup, so it is listed and never swept.

use std::fs;
use std::path::PathBuf;

use super::error::{At as _, StoreError};
use super::list::manifest_id;
use super::{ExclusiveLock, JobStore, atomic, lock, pending};

/// What a sweep took away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Folders of dead runs, interrupted removals and half-written files.
    pub paths: Vec<PathBuf>,
}

impl JobStore {
    /// Takes away what dead runs have left and completes interrupted removals.
    pub fn sweep(&self, guard: &ExclusiveLock) -> Result<Swept, StoreError> {
        guard.must_cover(self)?;
        let mut swept = Swept::default();
        for name in self.names()? {
            let path = self.folder.join(&name);
            let gone = if name.starts_with(pending::PREFIX) {
                self.sweep_partial(&path)?
            } else if let Some(id) = name.strip_prefix(".removed-").and_then(manifest_id) {
                self.complete_removal(&id, &self.claims()?)?;
                true
            } else {
                // Whoever writes such a file holds the lock of the names.
                let _names = self.lock_names()?;
                name.starts_with(atomic::TEMP_PREFIX) && atomic::remove_if_there(&path).at("remove", &path)?
            };
            if gone {
                swept.paths.push(path);
            }
        }
        Ok(swept)
    }

    fn sweep_partial(&self, dir: &std::path::Path) -> Result<bool, StoreError> {
        if !lock::is_free(&dir.join(pending::LOCK))? {
            return Ok(false);
        }
        self.settle(dir)?;
        match fs::remove_dir_all(dir) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            removed => removed.at("remove", dir).map(|()| true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing;
    use std::time::Duration;

    #[test]
    fn half_written_files_go_and_everything_else_stays() {
        let (_dir, job) = testing::job();
        let backup = testing::backup(&job, 0);
        fs::remove_file(job.manifest_path(backup.id())).unwrap(); // somebody lost a manifest
        for name in [".tmp-abc", "notes.txt", ".hidden"] {
            fs::File::create(job.folder().join(name)).unwrap();
        }
        let before = job.names().unwrap();
        let swept = job.sweep(&job.lock_exclusive(Duration::ZERO).unwrap()).unwrap();
        assert_eq!(swept.paths, [job.folder().join(".tmp-abc")]);
        assert_eq!(job.names().unwrap().len(), before.len() - 1);
    }

    #[test]
    fn the_lock_of_another_job_does_not_count() {
        let (_dir, store) = testing::store();
        let (one, two) = (store.job(&"one".parse().unwrap()), store.job(&"two".parse().unwrap()));
        let guard = one.lock_exclusive(Duration::ZERO).unwrap();
        assert!(matches!(two.sweep(&guard), Err(StoreError::WrongLock { .. })));
        assert!(matches!(two.remove(&guard, &[]), Err(StoreError::WrongLock { .. })));
    }
}
