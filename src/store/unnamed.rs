//! A file in somebody's folder that has no name until it is whole: whatever ends the process, nothing of it stays there.
//!
//! Where the file system has no files without a name, it has one that tells whose it is, and is locked while its process
//! lives: what a killed one has left there is taken away by the next.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use super::atomic;
use crate::regular;

/// How the names begin of files that could not be without one.
const PREFIX: &str = ".tmp-watchkeeper-";
/// Where a process finds its open files.
const OPEN_FILES: &str = "/proc/self/fd";

/// A file that is being written.
#[derive(Debug)]
pub(super) enum Unnamed {
    /// It has no name.
    Nameless(File),
    /// It has one, and is locked.
    Beside(NamedTempFile),
}

impl Unnamed {
    /// Begins one, for its owner alone, in the folder in which it is to have its name.
    pub(super) fn begin(folder: &Path) -> io::Result<Self> {
        sweep(folder);
        match nameless(folder) {
            Ok(Some(file)) => Ok(Self::Nameless(file)),
            Ok(None) => beside(folder).map(Self::Beside),
            Err(error) => Err(error),
        }
    }

    /// The file, to be written.
    pub(super) fn file(&self) -> io::Result<File> {
        match self {
            Self::Nameless(file) => file.try_clone(),
            Self::Beside(temp) => temp.reopen(),
        }
    }

    /// Gives it its name; an error of kind `AlreadyExists` if something has that.
    pub(super) fn publish(self, to: &Path) -> io::Result<()> {
        match self {
            Self::Nameless(file) => {
                let open = PathBuf::from(OPEN_FILES).join(file.as_raw_fd().to_string());
                Ok(rustix::fs::linkat(CWD, open, CWD, to, AtFlags::SYMLINK_FOLLOW)?)
            }
            Self::Beside(temp) => temp.persist_noclobber(to).map(drop).map_err(|error| error.error),
        }
    }
}

/// Nothing where the file system, or this system, cannot do it.
fn nameless(folder: &Path) -> io::Result<Option<File>> {
    if !Path::new(OPEN_FILES).is_dir() {
        return Ok(None);
    }
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Ok(Some(File::from(file))),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn beside(folder: &Path) -> io::Result<NamedTempFile> {
    loop {
        let temp = tempfile::Builder::new().prefix(PREFIX).tempfile_in(folder)?;
        // Where that is impossible nobody can tell whether its process lives, and it is never swept.
        let is_locked = temp.as_file().lock().is_ok();
        // Before it was locked somebody may have taken it for one that is left.
        if !is_locked || temp.as_file().metadata()?.nlink() > 0 {
            return Ok(temp);
        }
    }
}

/// Takes away what killed processes of this user have left: nobody else holds a lock of these names. Who may not do so, or
/// cannot see it, leaves it.
fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let path = entry.path();
        let Ok(file) = regular::open(&path) else { continue };
        let is_ours = file.metadata().is_ok_and(|meta| meta.uid() == rustix::process::geteuid().as_raw());
        if is_ours && file.try_lock().is_ok() {
            let _ = atomic::remove_if_there(&path);
            let _ = file.unlock();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_gets_its_name_once_and_in_place_of_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("a.tar");
        let ways: [fn(&Path) -> io::Result<Unnamed>; 2] =
            [Unnamed::begin, |folder| beside(folder).map(Unnamed::Beside)];
        for begin in ways {
            let unnamed = begin(dir.path()).unwrap();
            unnamed.file().unwrap().write_all(b"text").unwrap();
            unnamed.publish(&to).unwrap();
            assert_eq!(fs::read(&to).unwrap(), b"text");
            assert_eq!(to.metadata().unwrap().mode() & 0o7777, 0o600);
            let again = begin(dir.path()).unwrap().publish(&to).unwrap_err();
            assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(names(dir.path()), ["a.tar"]);
            fs::remove_file(&to).unwrap();
        }
    }

    #[test]
    fn what_a_killed_process_has_left_goes_and_what_a_living_one_writes_stays() {
        let dir = tempfile::tempdir().unwrap();
        let living = beside(dir.path()).unwrap();
        let (dead, mine) = (dir.path().join(format!("{PREFIX}dead")), dir.path().join(".tmp-mine"));
        for path in [&dead, &mine] {
            atomic::create(path, b"half", 0o600).unwrap();
        }
        drop(Unnamed::begin(dir.path()).unwrap());
        let name = living.path().file_name().unwrap().to_str().unwrap();
        let mut left = vec![".tmp-mine".to_owned(), name.to_owned()];
        left.sort();
        assert_eq!(names(dir.path()), left);
    }
}
