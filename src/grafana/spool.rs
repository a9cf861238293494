//! Folders in which unpacked exports lie while they are used. There may be secrets in the clear in them, so only their
//! owner sees them, and what a killed process has left is swept by the next one.
//!
//! Each is locked while it is used; the kernel ends the lock with the process, however that ends.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::regular;

const PREFIX: &str = ".grafana-";
/// For nobody but its owner.
const MODE: u32 = 0o700;

/// A folder of its own, which goes when this is dropped.
#[derive(Debug)]
pub(super) struct Spool {
    dir: TempDir,
    _lock: File,
}

impl Spool {
    /// Makes a new one in `folder`.
    pub(super) fn make(folder: &Path) -> io::Result<Self> {
        loop {
            let mut builder = tempfile::Builder::new();
            let dir = builder.prefix(PREFIX).permissions(Permissions::from_mode(MODE)).tempdir_in(folder)?;
            let lock = regular::open_folder(dir.path())?;
            lock.lock()?;
            // Whoever swept in this moment took it for one that is not used.
            if dir.path().is_dir() {
                return Ok(Self { dir, _lock: lock });
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Removes those in `folder` that nobody uses any more, and says which they were.
pub fn sweep(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut swept = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_one = entry.file_name().to_string_lossy().starts_with(PREFIX) && entry.file_type()?.is_dir();
        if is_one && remove(&entry.path())? {
            swept.push(entry.path());
        }
    }
    Ok(swept)
}

fn remove(path: &Path) -> io::Result<bool> {
    let gone =
        |error: io::Error| if error.kind() == io::ErrorKind::NotFound { Ok(false) } else { Err(error) };
    let lock = match regular::open_folder(path) {
        Ok(lock) => lock,
        Err(error) => return gone(error),
    };
    match lock.try_lock() {
        Ok(()) => fs::remove_dir_all(path).map(|()| true).or_else(gone),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_left_goes() {
        let folder = tempfile::tempdir().unwrap();
        let used = Spool::make(folder.path()).unwrap();
        assert_eq!(fs::metadata(used.path()).unwrap().permissions().mode() & 0o777, MODE);
        let left = folder.path().join(format!("{PREFIX}left"));
        fs::create_dir_all(left.join("objects")).unwrap();
        for other in ["grafana-restore.a.b.json", ".grafana-file"] {
            File::create(folder.path().join(other)).unwrap();
        }
        assert_eq!(sweep(folder.path()).unwrap(), [left]);
        assert!(used.path().is_dir() && folder.path().join(".grafana-file").exists());
        drop(used);
        assert!(sweep(folder.path()).unwrap().is_empty());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
