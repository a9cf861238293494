//! One run of a job at a time, and one writer to a target at a time, across all processes.
//!
//! The kernel holds the locks (`flock` on files in `<state_dir>/locks`) and frees them when their process dies, however
//! it dies: nothing is ever stale, and nothing is judged by a pid. What a holder writes into its file is for messages only.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::kept::is_at;
use crate::config::values::{JobName, TargetName};
use crate::regular;
use crate::state_dir::{self, StateDirError, reserve};
use crate::words;

/// A note of who holds a lock takes a multiple of so many bytes.
const HOLDER: usize = 256;
/// Longer than a look at a lock takes, also on a machine that has much to do.
const LONGEST_LOOK: Duration = Duration::from_secs(5);
/// How soon it is tried again to take a lock that somebody looks at.
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// What a lock stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lock {
    /// The daemon of this `state_dir`.
    Daemon,
    /// Telling people what happened.
    Notify,
    /// A run of this job.
    Job(JobName),
    /// Work that changes, or must not see changed, this target.
    Target {
        /// `prometheus`
        kind: &'static str,
        /// `main`
        name: TargetName,
    },
}

impl Lock {
    fn file_name(&self) -> String {
        match self {
            Self::Daemon => "daemon.lock".into(),
            Self::Notify => "notify.lock".into(),
            Self::Job(job) => format!("job-{job}.lock"),
            Self::Target { kind, name } => format!("target-{kind}-{name}.lock"),
        }
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Daemon => f.write_str("the daemon"),
            Self::Notify => f.write_str("the notifications"),
            Self::Job(job) => write!(f, "job {job}"),
            Self::Target { kind, name } => write!(f, "{kind} {name}"),
        }
    }
}

/// Who holds a lock, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// Since when.
    pub since: Timestamp,
    /// For which job, where it is a run.
    pub job: Option<JobName>,
    /// For which run, where it is one.
    pub run: Option<Ulid>,
}

/// A lock is held by somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Busy {
    /// Which.
    pub lock: Lock,
    /// By whom, where that could be read.
    pub holder: Option<Holder>,
}

impl Busy {
    /// `job a is still running since 2026-11-24 02:00:00 +01:00 (run 01J…, pid 77)`
    pub fn reason(&self, zone: &TimeZone) -> String {
        self.words(" ", zone)
    }

    /// What is waited for: `job a, which is still running since 2026-11-24 02:00:00 +01:00 (run 01J…, pid 77)`
    pub fn awaited(&self, zone: &TimeZone) -> String {
        self.words(", which ", zone)
    }

    fn words(&self, link: &str, zone: &TimeZone) -> String {
        let what = match &self.lock {
            Lock::Daemon => format!("a daemon{link}is running"),
            Lock::Job(_) => format!("{}{link}is still running", self.lock),
            Lock::Target { .. } | Lock::Notify => format!("{}{link}is in use", self.lock),
        };
        let Some(holder) = &self.holder else { return format!("{what} in another process") };
        let mut by = Vec::new();
        if let (Lock::Target { .. }, Some(job)) = (&self.lock, &holder.job) {
            by.push(format!("job {job}"));
        }
        by.extend(holder.run.map(|run| format!("run {run}")));
        by.push(format!("pid {}", holder.pid));
        format!("{what} since {} ({})", words::time(holder.since, zone), by.join(", "))
    }
}

/// Why locks were not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has one of them.
    #[error("{}", .0.reason(&TimeZone::UTC))]
    Busy(Box<Busy>),
    /// The lock file could not be made or opened.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// The lock file could not be locked.
    #[error("Cannot lock {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// The folder of the locks.
#[derive(Debug, Clone)]
pub struct Locks {
    folder: PathBuf,
}

/// A lock that this process holds.
#[derive(Debug)]
pub(super) struct HeldLock {
    pub(super) lock: Lock,
    pub(super) path: PathBuf,
    pub(super) file: File,
}

/// Locks that are held until this is dropped, or its process ends.
#[derive(Debug)]
pub struct Held {
    pub(super) locks: Locks,
    pub(super) holder: Holder,
    pub(super) all: Mutex<Vec<HeldLock>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        // Closing alone is not enough: a child that another thread has just forked still holds the file until it execs.
        for held in self.all.get_mut().unwrap_or_else(PoisonError::into_inner) {
            let _ = held.file.unlock();
        }
    }
}

impl Locks {
    /// The locks of this `state_dir`.
    pub fn new(state_dir: &Path) -> Self {
        Self { folder: state_dir.join("locks") }
    }

    /// Takes all of `locks`, or none and says which one is held. Waits for nobody but those who
    /// look whether one is held.
    pub fn take(&self, locks: &[Lock], holder: &Holder) -> Result<Held, LockError> {
        let mut held = Held { locks: self.clone(), holder: holder.clone(), all: Mutex::default() };
        for lock in locks {
            let taken = self.take_one(lock, holder)?;
            held.all.get_mut().unwrap_or_else(PoisonError::into_inner).push(taken);
        }
        Ok(held)
    }

    pub(super) fn take_one(&self, lock: &Lock, holder: &Holder) -> Result<HeldLock, LockError> {
        let path = self.folder.join(lock.file_name());
        let mut file = self.open(&path)?;
        match lock_alone(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = read_holder(&mut file);
                return Err(LockError::Busy(Box::new(Busy { lock: lock.clone(), holder })));
            }
            Err(TryLockError::Error(source)) => return Err(LockError::Io { path, source }),
        }
        if !is_at(&file, &path) {
            // It was removed between the two: others look at another one.
            return self.take_one(lock, holder);
        }
        // For messages only: a disk that is full must not keep a run from its lock.
        drop(write_holder(&file, holder));
        Ok(HeldLock { lock: lock.clone(), path, file })
    }

    fn open(&self, path: &Path) -> Result<File, StateDirError> {
        // Mostly the folders are there.
        if let Ok(file) = state_dir::file_to_lock(path) {
            return Ok(file);
        }
        let Some(state_dir) = self.folder.parent() else { return state_dir::file_to_lock(path) };
        let made = || {
            state_dir::folder(state_dir)?;
            state_dir::folder(&self.folder)?;
            state_dir::file_to_lock(path)
        };
        match made() {
            Err(error) if error.is_of_a_full_disk() && reserve::free(state_dir) => made(),
            done => done,
        }
    }

    /// The jobs whose runs this process holds a lock for, in order.
    pub fn jobs_of(&self, pid: u32) -> Vec<JobName> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        let job_of = |entry: std::fs::DirEntry| {
            let holder = read_holder(&mut regular::open(&entry.path()).ok()?)?;
            // What is written there stays when it is let go; who else holds one is not disturbed by a look.
            let job = holder.job.filter(|_| holder.pid == pid)?;
            let lock = Lock::Job(job.clone());
            (entry.file_name().to_str() == Some(&lock.file_name()) && self.is_held(&lock)).then_some(job)
        };
        let mut jobs: Vec<JobName> = entries.flatten().filter_map(job_of).collect();
        jobs.sort();
        jobs
    }

    /// Whether somebody holds `lock` now. A lock that cannot be looked at counts as held.
    pub fn is_held(&self, lock: &Lock) -> bool {
        match regular::open(&self.folder.join(lock.file_name())) {
            Ok(file) => file.try_lock_shared().is_err(),
            Err(error) => error.kind() != std::io::ErrorKind::NotFound,
        }
    }
}

/// Takes the lock of a file. Whoever only looks whether it is held has it shared for a moment, and is waited for; who holds
/// it has it alone, and is not.
fn lock_alone(file: &File) -> Result<(), TryLockError> {
    let since = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if since.elapsed() < LONGEST_LOOK && is_only_looked_at(file) => {
                std::thread::sleep(BETWEEN_LOOKS);
            }
            taken => return taken,
        }
    }
}

/// A lock that can be shared is held by nobody.
fn is_only_looked_at(file: &File) -> bool {
    file.try_lock_shared().is_ok() && file.unlock().is_ok()
}

fn write_holder(file: &File, holder: &Holder) -> std::io::Result<()> {
    let mut text = serde_json::to_vec(holder)?;
    // Nearly all are as long as each other then, and one takes the place of the one before by a single write.
    text.resize(text.len().next_multiple_of(HOLDER), b' ');
    file.write_all_at(&text, 0)?;
    let length = text.len() as u64;
    if file.metadata()?.len() == length { Ok(()) } else { file.set_len(length) }
}

fn read_holder(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.take(4096).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder() -> Holder {
        Holder {
            pid: 77,
            since: "2026-11-24T01:00:00Z".parse().unwrap(),
            job: Some("b".parse().unwrap()),
            run: Some(Ulid::from_parts(1, 2)),
        }
    }

    fn job() -> Lock {
        Lock::Job("a".parse().unwrap())
    }

    fn target() -> Lock {
        Lock::Target { kind: "prometheus", name: "main".parse().unwrap() }
    }

    #[test]
    fn a_lock_is_held_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let locks = Locks::new(dir.path());
        assert!(!locks.is_held(&job()));
        let held = locks.take(&[job()], &holder()).unwrap();
        assert!(locks.is_held(&job()));
        assert!(
            matches!(locks.take(&[job()], &holder()), Err(LockError::Busy(busy)) if busy.holder == Some(holder()))
        );
        drop(held);
        assert!(!locks.is_held(&job()));
        locks.take(&[job()], &holder()).unwrap();
    }

    #[test]
    fn who_only_looks_at_a_lock_keeps_nobody_from_it() {
        let dir = tempfile::tempdir().unwrap();
        let locks = Locks::new(dir.path());
        drop(locks.take(&[job()], &holder()).unwrap());
        // As `is_held` has it, but for longer.
        let look = File::open(dir.path().join("locks").join(job().file_name())).unwrap();
        look.try_lock_shared().unwrap();
        let looker = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            drop(look);
        });
        let held = locks.take(&[job()], &holder()).unwrap();
        looker.join().unwrap();
        let since = Instant::now();
        assert!(locks.take(&[job()], &holder()).is_err() && locks.is_held(&job()));
        assert!(since.elapsed() < LONGEST_LOOK, "who holds it is not waited for");
        drop(held);
        assert!(!locks.is_held(&job()));
    }

    #[test]
    fn all_locks_are_taken_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let locks = Locks::new(dir.path());
        let _held = locks.take(&[target()], &holder()).unwrap();
        assert!(locks.take(&[job(), target()], &holder()).is_err());
        assert!(!locks.is_held(&job()));
    }

    #[test]
    fn the_reason_says_what_is_held_since_when_and_by_whom() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let run = Ulid::from_parts(1, 2);
        assert_eq!(
            Busy { lock: job(), holder: Some(holder()) }.reason(&berlin),
            format!("job a is still running since 2026-11-24 02:00:00 +01:00 (run {run}, pid 77)")
        );
        assert_eq!(
            Busy { lock: target(), holder: Some(holder()) }.reason(&berlin),
            format!("prometheus main is in use since 2026-11-24 02:00:00 +01:00 (job b, run {run}, pid 77)")
        );
        assert_eq!(
            Busy { lock: job(), holder: None }.reason(&berlin),
            "job a is still running in another process"
        );
        assert_eq!(
            Busy { lock: target(), holder: None }.awaited(&berlin),
            "prometheus main, which is in use in another process"
        );
    }
}
