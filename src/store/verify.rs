//! Reading stored files back. A file is as good as its last reading, and every file gets one in time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::archive::Watched;
use super::digest::Hashing;
use super::error::{At as _, StoreError};
use super::shared::is_shared;
use super::{Backup, BackupId, How, JobStore, StoredFile, Verified};
use crate::progress::StepGuard;
use crate::regular;
use crate::words;

/// What came of reading the files of a backup back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// Each file.
    pub files: Vec<CheckedFile>,
    /// Why it could not be noted in the store, where it could not: a store mounted read-only can be verified.
    pub unrecorded: Option<String>,
}

/// A file that was read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedFile {
    /// The file.
    pub file: StoredFile,
    /// What is wrong with it.
    pub problem: Option<Problem>,
}

/// Why a file is not known to be good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// It is not what its manifest says.
    Bad(String),
    /// This process may or can not read it, which says nothing about it. It is not noted.
    Unread(String),
}

impl Problem {
    /// What it means for the backup that names the file.
    pub fn of(&self, backup: &str, file: &str) -> String {
        match self {
            Self::Bad(problem) => format!("the backup {backup} is no longer good: {file}: {problem}"),
            Self::Unread(why) => {
                format!("the backup {backup} was not verified: {file} cannot be read: {why}")
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bad(problem) => f.write_str(problem),
            Self::Unread(why) => write!(f, "it cannot be read: {why}"),
        }
    }
}

impl VerifyReport {
    /// Every file is what its manifest says.
    pub fn is_good(&self) -> bool {
        self.files.iter().all(|file| file.problem.is_none())
    }
}

impl Backup {
    /// Reads one file and compares its hash. `Ok(Some(problem))` if it is not the file it should be.
    pub fn check_file(
        &self,
        file: &StoredFile,
        step: &StepGuard,
        cancel: &CancellationToken,
    ) -> Result<Option<String>, StoreError> {
        let path = self.path_of(file);
        match hash(&path, step, cancel) {
            Ok((size, _)) if size != file.size => {
                Ok(Some(format!("it has {size} bytes instead of {}", file.size)))
            }
            Ok((_, sha256)) if sha256 != file.sha256 => Ok(Some(format!("its SHA-256 is {sha256}"))),
            Ok(_) => Ok(None),
            Err(_) if cancel.is_cancelled() => Err(StoreError::Cancelled),
            Err(e) if says_that_the_file_is_bad(&e) => Ok(Some(format!("it cannot be read: {e}"))),
            Err(e) => Err(e).at("read", &path),
        }
    }
}

/// Reads files of a job's backups back, each file once, however many backups share it, and notes what came of it.
pub struct Verifier<'a> {
    job: &'a JobStore,
    now: Timestamp,
    /// What was wrong with the shared files that were read so far.
    shared: BTreeMap<String, Option<Problem>>,
}

impl<'a> Verifier<'a> {
    /// Reads at `now`.
    pub fn new(job: &'a JobStore, now: Timestamp) -> Self {
        Self { job, now, shared: BTreeMap::new() }
    }

    /// Reads all files of a backup that were not read yet.
    pub fn backup(
        &mut self,
        backup: &Backup,
        step: &StepGuard,
        cancel: &CancellationToken,
    ) -> Result<VerifyReport, StoreError> {
        let files: Vec<&StoredFile> = backup.manifest.files.iter().collect();
        self.files(backup, &files, step, cancel)
    }

    /// Reads some files of a backup.
    pub fn files(
        &mut self,
        backup: &Backup,
        files: &[&StoredFile],
        step: &StepGuard,
        cancel: &CancellationToken,
    ) -> Result<VerifyReport, StoreError> {
        let mut report = VerifyReport { files: Vec::new(), unrecorded: None };
        let mut notes = Notes::default();
        let outcome = files.iter().try_for_each(|file| {
            let problem = self.read(backup, file, &mut notes, step, cancel)?;
            report.files.push(CheckedFile { file: (*file).clone(), problem });
            Ok(())
        });
        // What was read before it was told to stop was read.
        report.unrecorded = notes.write(self.job, backup.id()).err().map(|e| e.to_string());
        outcome.map(|()| report)
    }

    /// Reads a file, unless it was read before. That one cannot be read does not keep others from being read.
    fn read(
        &mut self,
        backup: &Backup,
        file: &StoredFile,
        notes: &mut Notes,
        step: &StepGuard,
        cancel: &CancellationToken,
    ) -> Result<Option<Problem>, StoreError> {
        if let Some(known) = self.shared.get(&file.name) {
            return Ok(known.clone());
        }
        let problem = match backup.check_file(file, step, cancel) {
            Err(StoreError::Cancelled) => return Err(StoreError::Cancelled),
            Err(error) => Some(Problem::Unread(words::chain(&error))),
            Ok(problem) => {
                notes.add(&file.name, Verified { when: self.now, how: How::Hash, problem: problem.clone() });
                problem.map(Problem::Bad)
            }
        };
        if is_shared(&file.name) {
            self.shared.insert(file.name.clone(), problem.clone());
        }
        Ok(problem)
    }
}

/// What came of reading, to be noted at once: a state has a line for each file, and is written whole.
#[derive(Default)]
struct Notes {
    own: BTreeMap<String, Verified>,
    shared: BTreeMap<String, Verified>,
}

impl Notes {
    fn add(&mut self, name: &str, verified: Verified) {
        let notes = if is_shared(name) { &mut self.shared } else { &mut self.own };
        notes.insert(name.to_owned(), verified);
    }

    fn write(self, job: &JobStore, id: &BackupId) -> Result<(), StoreError> {
        job.note_shared(self.shared)?;
        job.note_verified(id, self.own)
    }
}

impl JobStore {
    /// Reads all files of a backup, compares their hashes and notes what came of it.
    pub fn verify(
        &self,
        backup: &Backup,
        now: Timestamp,
        step: &StepGuard,
        cancel: &CancellationToken,
    ) -> Result<VerifyReport, StoreError> {
        Verifier::new(self, now).backup(backup, step, cancel)
    }

    /// Notes that files of a backup were found bad, by name and with what is wrong, where somebody else has read them.
    pub fn note_bad(
        &self,
        backup: &Backup,
        bad: impl IntoIterator<Item = (String, String)>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut notes = Notes::default();
        for (name, problem) in bad {
            notes.add(&name, Verified { when: now, how: How::Hash, problem: Some(problem) });
        }
        notes.write(self, backup.id())
    }

    /// The files that were not read back for longer than `within`, the longest unread first.
    pub fn due_for_verification(
        &self,
        within: Duration,
        now: Timestamp,
    ) -> Result<Vec<(BackupId, StoredFile)>, StoreError> {
        self.due(within, Duration::ZERO, now)
    }

    /// The share of one run of a job that runs about `every` so often: reading it each time, no file stays unread for
    /// `within`, and no run has to read everything. What was read less than `every` ago is not read again, and counts:
    /// a job that runs more often reads no more. The longest unread first.
    pub fn verification_share(
        &self,
        within: Duration,
        every: Duration,
        now: Timestamp,
    ) -> Result<Vec<(BackupId, StoredFile)>, StoreError> {
        self.due(within, every, now)
    }

    fn due(
        &self,
        within: Duration,
        every: Duration,
        now: Timestamp,
    ) -> Result<Vec<(BackupId, StoredFile)>, StoreError> {
        let (mut total, mut recent) = (0, 0);
        let mut files = Vec::new();
        let mut shared = BTreeSet::new();
        // From the newest: a file that several share is read for the one that will stay longest.
        for backup in self.list()?.backups.iter().rev() {
            for file in &backup.manifest.files {
                if is_shared(&file.name) && !shared.insert(file.name.clone()) {
                    continue;
                }
                // Read in the future: the clock was wrong then or is now, so that says nothing.
                let last = backup.check_of(file).filter(|verified| verified.when <= now);
                total += file.size;
                if last.is_some_and(|last| is_recent(last.when, every, now)) {
                    recent += if last.is_some_and(|last| last.how == How::Published) { 0 } else { file.size };
                    continue;
                }
                files.push((last.map(|last| last.when), backup.id().clone(), file.clone()));
            }
        }
        files.sort_by(|a, b| (a.0, &a.1, &a.2.name).cmp(&(b.0, &b.1, &b.2.name)));
        let share = share_of(total, within, every).saturating_sub(recent);
        let mut taken = 0;
        let due = files.into_iter().take_while(|(last, _, file)| {
            let late = last.is_none_or(|last| is_late(last, within, every, now));
            let take = late || taken < share;
            taken += file.size;
            take
        });
        Ok(due.map(|(_, id, file)| (id, file)).collect())
    }
}

/// It was read since the run before this one.
fn is_recent(last: Timestamp, every: Duration, now: Timestamp) -> bool {
    now.duration_since(last) < SignedDuration::try_from(every).unwrap_or(SignedDuration::MAX)
}

/// It would be unread for longer than `within` before the next run.
fn is_late(last: Timestamp, within: Duration, every: Duration, now: Timestamp) -> bool {
    let age = now
        .duration_since(last)
        .saturating_add(SignedDuration::try_from(every).unwrap_or(SignedDuration::MAX));
    age > SignedDuration::try_from(within).unwrap_or(SignedDuration::MAX)
}

/// Bytes of `total` to read now, so that all are read in `within`.
fn share_of(total: u64, within: Duration, every: Duration) -> u64 {
    let product = u128::from(total) * every.as_millis();
    u64::try_from(product.div_ceil(within.as_millis().max(1))).unwrap_or(u64::MAX)
}

/// Reads what was written, from the disk, and compares its hash.
pub(super) fn read_back(
    path: &Path,
    written: &StoredFile,
    step: &StepGuard,
    cancel: &CancellationToken,
) -> Result<(), StoreError> {
    let (size, read) = match hash(path, step, cancel) {
        Err(_) if cancel.is_cancelled() => return Err(StoreError::Cancelled),
        hashed => hashed.at("read", path)?,
    };
    if size == written.size && read == written.sha256 {
        return Ok(());
    }
    Err(StoreError::ReadBack { path: path.to_owned(), written: written.sha256.clone(), read })
}

fn hash(path: &Path, step: &StepGuard, cancel: &CancellationToken) -> io::Result<(u64, String)> {
    let file = regular::open(path)?;
    // So that the disk is read and not our memory of it. It is only advice.
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    let passed = |bytes| step.add(bytes);
    let mut reader = Hashing::new(Watched::new(file, cancel, &passed));
    let mut buffer = vec![0; 1 << 20];
    while reader.read(&mut buffer)? > 0 {}
    let (_, size, sha256) = reader.finish();
    Ok((size, sha256))
}

/// The file itself is bad, and not our right to read it or the memory we have.
fn says_that_the_file_is_bad(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Progress;
    use crate::store::testing;
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;

    const DAY: Duration = Duration::from_hours(24);

    fn verify(job: &JobStore, backup: &Backup, seconds: i64) -> Result<VerifyReport, StoreError> {
        let step = Progress::silent().step("verify", None);
        job.verify(backup, testing::at(seconds), &step, &CancellationToken::new())
    }

    #[test]
    fn a_good_backup_is_noted_as_read() {
        let (_dir, job) = testing::job();
        let backup = testing::backup(&job, 0);
        assert!(verify(&job, &backup, 50).unwrap().is_good());
        let listed = job.get(backup.id()).unwrap();
        assert_eq!((listed.verified(), listed.is_good()), (Some(testing::at(50)), true));
    }

    #[test]
    fn a_changed_byte_makes_it_a_bad_one_until_the_file_is_right_again() {
        let (_dir, job) = testing::job();
        let backup = testing::backup(&job, 0);
        let file =
            File::options().read(true).write(true).open(backup.path_of(&backup.manifest.files[0])).unwrap();
        let mut byte = [0];
        file.read_at(&mut byte, 40).unwrap();
        file.write_at(&[byte[0] ^ 1], 40).unwrap();
        assert!(!verify(&job, &backup, 50).unwrap().is_good());
        assert!(!job.get(backup.id()).unwrap().is_good());
        file.write_at(&byte, 40).unwrap();
        assert!(verify(&job, &backup, 60).unwrap().is_good());
        assert!(job.get(backup.id()).unwrap().is_good());
    }

    #[test]
    fn a_missing_file_is_a_problem_and_a_cancelled_check_is_not() {
        let (_dir, job) = testing::job();
        let backup = testing::backup(&job, 0);
        let cancel = CancellationToken::new();
        cancel.cancel();
        let step = Progress::silent().step("verify", None);
        let cancelled = job.verify(&backup, testing::now(), &step, &cancel);
        assert!(matches!(cancelled, Err(StoreError::Cancelled)));
        std::fs::remove_file(backup.path_of(&backup.manifest.files[0])).unwrap();
        let report = verify(&job, &backup, 1).unwrap();
        assert!(
            matches!(&report.files[0].problem, Some(Problem::Bad(p)) if p.contains("cannot be read")),
            "{report:?}"
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_keeps_no_other_one_from_being_read_and_is_not_called_bad() {
        let (_dir, job) = testing::job();
        let backup = testing::backup(&job, 0);
        let mut both = backup.clone();
        both.manifest.files.insert(0, StoredFile { name: "x".into(), size: 1, sha256: String::new() });
        std::fs::create_dir(job.folder().join("x")).unwrap();
        let report = verify(&job, &both, 1).unwrap();
        assert!(matches!(&report.files[0].problem, Some(Problem::Unread(why)) if why.contains("directory")));
        assert_eq!((report.files[1].problem.as_ref(), report.is_good()), (None, false));
        let listed = job.get(backup.id()).unwrap();
        assert_eq!((listed.is_good(), listed.verified()), (true, Some(testing::at(1))));
    }

    #[test]
    fn files_are_due_when_they_were_not_read_for_long_and_the_longest_unread_comes_first() {
        let (_dir, job) = testing::job();
        let made = [0, 100, 200].map(|s| testing::backup(&job, s));
        let due = |now: i64| -> Vec<BackupId> {
            let due = job.due_for_verification(DAY, testing::at(now)).unwrap();
            due.into_iter().map(|(id, _)| id).collect()
        };
        let day = 86_400;
        assert_eq!(due(300), []);
        assert_eq!(due(day + 101), [made[0].id().clone(), made[1].id().clone()]);
        verify(&job, &made[0], day).unwrap();
        assert_eq!(due(day + 201), [made[1].id().clone(), made[2].id().clone()]);
        assert_eq!(due(-50).len(), 3); // all were read in the future: that says nothing
    }

    #[test]
    fn reading_a_share_in_every_run_reads_everything_in_time_and_never_everything_at_once() {
        let (_dir, job) = testing::job();
        let made: Vec<Backup> = (0..6).map(|s| testing::backup(&job, s)).collect();
        let (day, mut most) = (86_400, 0);
        for run in 1..=12 {
            let now = run * day;
            let share = job.verification_share(DAY * 3, DAY, testing::at(now)).unwrap();
            most = most.max(share.len());
            for (id, _) in share {
                verify(&job, made.iter().find(|b| *b.id() == id).unwrap(), now).unwrap();
            }
            let unread = job.due_for_verification(DAY * 3, testing::at(now + day - 1)).unwrap();
            assert_eq!(unread, [], "after run {run}");
        }
        assert!(most <= 3, "{most}");
    }
}
