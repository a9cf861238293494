//! Takes away what crashes have left. Only what is known to be a leftover: an archive without a manifest may be
//! somebody's lost backup, so it is listed and never swept.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::{At as _, StoreError};
use super::list::manifest_id;
use super::{ExclusiveLock, JobStore, Left, Removed, atomic, lock, pending};

/// What a sweep took away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Folders of dead runs, interrupted removals and half-written files.
    pub paths: Vec<PathBuf>,
    /// What should have gone and is still there.
    pub left: Vec<Left>,
}

impl JobStore {
    /// Takes away what dead runs have left and completes interrupted removals.
    pub fn sweep(&self, guard: &ExclusiveLock) -> Result<Swept, StoreError> {
        guard.must_cover(self)?;
        let mut swept = Swept::default();
        for name in self.names()? {
            let path = self.folder.join(&name);
            if Left::note(self.sweep_one(&name, &path, &mut swept.left), &mut swept.left)?.unwrap_or_default()
            {
                swept.paths.push(path);
            }
        }
        Ok(swept)
    }

    /// Takes it away where it is a leftover, and says whether it was.
    fn sweep_one(&self, name: &str, path: &Path, left: &mut Vec<Left>) -> Result<bool, StoreError> {
        if name.starts_with(pending::PREFIX) {
            return self.sweep_partial(path);
        }
        if let Some(id) = name.strip_prefix(".removed-").and_then(manifest_id) {
            let mut removed = Removed::default();
            self.complete_removal(&id, &self.claims()?, &mut removed)?;
            let whole = removed.left.is_empty();
            left.append(&mut removed.left);
            return Ok(whole);
        }
        // Whoever writes such a file holds the lock of the names.
        let _names = self.lock_names()?;
        Ok(name.starts_with(atomic::TEMP_PREFIX) && atomic::remove_if_there(path).at("remove", path)?)
    }

    fn sweep_partial(&self, dir: &Path) -> Result<bool, StoreError> {
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
