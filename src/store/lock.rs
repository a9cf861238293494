//! Locks of a job's folder. The kernel holds them, so that they end with the process however it ends.
//!
//! `.lock`: shared while somebody uses backups (restore, verify, export, publish), exclusive while they are removed
//! or swept. The folder itself is locked for the moments in which names are given or states are changed; a long
//! restore thereby never keeps a backup from being published.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::JobStore;
use super::error::{At as _, StoreError};
use crate::regular::{self, Folder};

/// The file that is locked, in the folder of a job.
const LOCK: &str = ".lock";
const POLL: Duration = Duration::from_millis(20);
/// How long the moments are waited for in which others give names or change states.
const BRIEF: Duration = Duration::from_mins(1);

/// While it lives, no backup of the job is removed.
#[derive(Debug)]
#[must_use]
pub struct SharedLock {
    /// Nothing where there is nothing that could be removed, or where nobody can.
    _held: Option<Held>,
}

/// While it lives, nobody else uses the backups of the job.
#[derive(Debug)]
#[must_use]
pub struct ExclusiveLock {
    folder: PathBuf,
    _held: Held,
}

/// A locked file. Closing it is not enough: a child process that another thread has just forked holds a copy of it
/// until it becomes its program, and the lock would live as long.
#[derive(Debug)]
pub(super) struct Held(File);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl Held {
    /// Locks a file that nobody else knows yet.
    pub(super) fn fresh(file: File) -> io::Result<Self> {
        file.lock()?;
        Ok(Self(file))
    }
}

impl ExclusiveLock {
    pub(super) fn must_cover(&self, job: &JobStore) -> Result<(), StoreError> {
        if self.folder == job.folder {
            return Ok(());
        }
        Err(StoreError::WrongLock { held: self.folder.clone(), wanted: job.folder.clone() })
    }
}

impl JobStore {
    /// Keeps backups from being removed while they are used.
    pub fn lock_shared(&self, wait: Duration) -> Result<SharedLock, StoreError> {
        let file = match self.lock_file() {
            Ok(file) => file,
            // Nothing there yet, or nobody can remove anything.
            Err(StoreError::Io { source, .. })
                if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::ReadOnlyFilesystem) =>
            {
                return Ok(SharedLock { _held: None });
            }
            Err(e) => return Err(e),
        };
        poll(&self.folder, wait, || file.try_lock_shared())?;
        Ok(SharedLock { _held: Some(Held(file)) })
    }

    /// Has the backups for oneself, to remove some.
    pub fn lock_exclusive(&self, wait: Duration) -> Result<ExclusiveLock, StoreError> {
        self.create_folder()?;
        let file = self.lock_file()?;
        poll(&self.folder, wait, || file.try_lock())?;
        Ok(ExclusiveLock { folder: self.folder.clone(), _held: Held(file) })
    }

    /// Has the names and states for oneself, for a moment.
    pub(super) fn lock_names(&self) -> Result<Held, StoreError> {
        lock_folder(&self.folder)
    }

    fn lock_file(&self) -> Result<File, StoreError> {
        let (path, name) = (self.folder.join(LOCK), Path::new(LOCK));
        let folder = Folder::open(&self.folder).at("open", &self.folder)?;
        match folder.read(name) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            opened => return opened.at("open", &path),
        }
        match folder.create(name) {
            // Another process has made it meanwhile.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => folder.read(name),
            made => made,
        }
        .at("create", &path)
    }
}

/// Has a folder for oneself, for a moment.
pub(super) fn lock_folder(folder: &Path) -> Result<Held, StoreError> {
    let file = Folder::open(folder).and_then(|folder| folder.itself()).at("open", folder)?;
    poll(folder, BRIEF, || file.try_lock())?;
    Ok(Held(file))
}

fn poll(
    folder: &Path,
    wait: Duration,
    mut attempt: impl FnMut() -> Result<(), TryLockError>,
) -> Result<(), StoreError> {
    let since = Instant::now();
    loop {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(e)) => return Err(e).at("lock", folder),
            Err(TryLockError::WouldBlock) if since.elapsed() >= wait => {
                return Err(StoreError::Busy { path: folder.to_owned(), waited: wait });
            }
            Err(TryLockError::WouldBlock) => thread::sleep(POLL.min(wait)),
        }
    }
}

/// Whether the owner of a lock file is gone. A file that is not there has none.
pub(super) fn is_free(path: &Path) -> Result<bool, StoreError> {
    match regular::open(path) {
        Ok(file) => match file.try_lock() {
            Ok(()) => {
                drop(Held(file));
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(e)) => Err(e).at("lock", path),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(e).at("open", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing;
    use std::process::{Command, Stdio};

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn exclusive_excludes_everybody_and_shared_only_the_exclusive() {
        let (_dir, job) = testing::job();
        let exclusive = job.lock_exclusive(NOW).unwrap();
        assert!(job.lock_shared(NOW).unwrap_err().is_transient());
        assert!(matches!(job.lock_exclusive(NOW), Err(StoreError::Busy { .. })));
        drop(exclusive);
        let (one, two) = (job.lock_shared(NOW).unwrap(), job.lock_shared(NOW).unwrap());
        assert!(matches!(job.lock_exclusive(NOW), Err(StoreError::Busy { .. })));
        drop((one, two));
        drop(job.lock_exclusive(NOW).unwrap());
    }

    #[test]
    fn a_waiting_thread_gets_the_lock_when_it_is_given_back() {
        let (_dir, job) = testing::job();
        let held = job.lock_exclusive(NOW).unwrap();
        let other = job.clone();
        let waiter = thread::spawn(move || other.lock_shared(Duration::from_secs(20)).is_ok());
        drop(held);
        assert!(waiter.join().unwrap());
    }

    #[test]
    fn another_process_excludes_us_until_it_is_killed() {
        let (_dir, job) = testing::job();
        drop(job.lock_exclusive(NOW).unwrap());
        let lock = job.folder().join(".lock");
        // `flock` holds the lock and `cat` tells that it does; it ends with its input.
        let mut other = Command::new("flock")
            .arg(&lock)
            .args(["sh", "-c", "echo held; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = io::BufReader::new(other.stdout.take().unwrap());
        io::BufRead::read_line(&mut output, &mut line).unwrap();
        assert_eq!(line, "held\n");
        assert!(matches!(job.lock_shared(NOW), Err(StoreError::Busy { .. })));
        drop(other.stdin.take());
        other.wait().unwrap();
        drop(job.lock_exclusive(NOW).unwrap());
    }

    #[test]
    fn reading_where_nothing_is_needs_no_lock_and_creates_nothing() {
        let (dir, store) = testing::store();
        let job = store.job(&"none".parse().unwrap());
        drop(job.lock_shared(NOW).unwrap());
        assert!(!dir.path().join("none").exists());
    }
}
