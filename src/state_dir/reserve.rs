//! Room that is kept on the disk of `state_dir` for the moment at which it is full.
//!
//! It is a file that nobody reads. Where a disk is full, it is removed, and the history can say what happened. It is made
//! anew once there is room again. Its blocks are allocated: a sparse file would keep nothing.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::regular::Folder;
use crate::room::Room;
use crate::words::size;

/// The file's name in the `state_dir`.
pub const FILE: &str = "reserve";
/// The unit of a file's blocks, whatever those of its file system are.
const BLOCK: u64 = 512;

/// What is kept free for a `state_dir`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserve {
    state_dir: PathBuf,
    /// Nothing is kept where it is 0.
    bytes: u64,
}

impl Reserve {
    /// So many bytes on the disk of this `state_dir`; none where that is 0.
    pub fn new(state_dir: &Path, bytes: u64) -> Self {
        Self { state_dir: state_dir.to_owned(), bytes }
    }

    /// It is there, or none is wanted.
    pub fn is_kept(&self) -> bool {
        let whole = |meta: fs::Metadata| {
            meta.is_file() && meta.len() == self.bytes && meta.blocks().saturating_mul(BLOCK) >= self.bytes
        };
        self.bytes == 0 || fs::symlink_metadata(self.path()).is_ok_and(whole)
    }

    /// Makes it where it is not there. An error of kind `StorageFull` where there is no room for it now. What a killed
    /// process has half made is made anew.
    pub fn keep(&self) -> io::Result<()> {
        let path = self.path();
        if self.bytes > 0 && self.is_kept() {
            return Ok(());
        }
        // Whatever is there: nothing is written through a link.
        removed(&path)?;
        if self.bytes == 0 || !self.state_dir.is_dir() {
            return Ok(());
        }
        Room::at(&self.state_dir)?.require(self.bytes)?;
        let made = || -> io::Result<()> {
            let file = Folder::open(&self.state_dir)?.create(Path::new(FILE))?;
            allocate(&file, self.bytes)
        };
        made().inspect_err(|_| drop(removed(&path)))
    }

    /// Makes it where it is not there; says in words that there is no room for it.
    pub fn tend(&self) -> Option<String> {
        match self.keep() {
            Err(error) if is_full(&error) => self.lack(),
            Err(error) => {
                // Read-only or not ours: what is to be written there tells it.
                tracing::debug!(%error, path = %self.path().display(), "the reserve cannot be made");
                None
            }
            Ok(()) => None,
        }
    }

    /// That it is not there and there is no room for it, in words.
    pub fn lack(&self) -> Option<String> {
        let room = Room::at(&self.state_dir).ok().filter(|room| !room.is_for(self.bytes))?;
        (!self.is_kept()).then(|| {
            format!(
                "{} has no room for its reserve of {}, {} free: free some space, or runs will be lacking in the history \
                 (`reserve` in jobs.toml says how large it is)",
                self.state_dir.display(),
                size(self.bytes),
                size(room.free)
            )
        })
    }

    fn path(&self) -> PathBuf {
        self.state_dir.join(FILE)
    }
}

/// Frees the reserve, where there is one: what could not be written may be tried once more then.
pub fn free(state_dir: &Path) -> bool {
    let path = state_dir.join(FILE);
    let bytes = fs::symlink_metadata(&path).map(|meta| meta.len()).unwrap_or_default();
    let is_freed = removed(&path).unwrap_or(false);
    if is_freed {
        tracing::warn!(
            path = %path.display(),
            "the disk of `state_dir` is full: the reserve of {} was freed, so that what happens is noted; free some space",
            size(bytes)
        );
    }
    is_freed
}

/// Does it, and once more where the disk is full and the reserve could be freed.
pub fn with<T>(state_dir: &Path, mut write: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    match write() {
        Err(error) if is_full(&error) && free(state_dir) => write(),
        done => done,
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn removed(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn allocate(mut file: &File, bytes: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        // The file system cannot (NFS).
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            let mut left = bytes;
            while left > 0 {
                let part = usize::try_from(left.min(1 << 16)).unwrap_or(1 << 16);
                file.write_all(&vec![0; part])?;
                left -= part as u64;
            }
            Ok(())
        }
        done => Ok(done?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(reserve: &Reserve) -> u64 {
        fs::metadata(reserve.path()).unwrap().blocks() * BLOCK
    }

    #[test]
    fn it_is_allocated_and_made_anew_where_it_is_half_made_or_of_another_size() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve::new(dir.path(), 1 << 20);
        assert!(!reserve.is_kept());
        reserve.keep().unwrap();
        assert!(reserve.is_kept() && blocks(&reserve) >= 1 << 20);
        // A process was killed: sparse, as it was made, or too short.
        File::create(reserve.path()).unwrap().set_len(1 << 20).unwrap();
        assert!(!reserve.is_kept());
        reserve.keep().unwrap();
        assert!(blocks(&reserve) >= 1 << 20 && reserve.lack().is_none());
        Reserve::new(dir.path(), 1 << 16).keep().unwrap();
        assert_eq!(fs::metadata(reserve.path()).unwrap().len(), 1 << 16);
        Reserve::new(dir.path(), 0).keep().unwrap();
        assert!(!reserve.path().exists() && Reserve::new(dir.path(), 0).lack().is_none());
    }

    #[test]
    fn what_has_no_room_is_not_made_and_not_half() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve::new(dir.path(), 1 << 60);
        assert_eq!(reserve.keep().unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(reserve.tend().unwrap().contains("free some space"));
        assert!(!reserve.path().exists());
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let other = dir.path().join("other");
        File::create(&other).unwrap().write_all(b"mine").unwrap();
        std::os::unix::fs::symlink(&other, dir.path().join(FILE)).unwrap();
        Reserve::new(dir.path(), 1 << 16).keep().unwrap();
        assert_eq!(fs::read(&other).unwrap(), b"mine");
    }

    #[test]
    fn a_write_to_a_full_disk_is_tried_once_more_where_a_reserve_was_freed() {
        let dir = tempfile::tempdir().unwrap();
        let mut tries = 0;
        let mut full = |folder: &Path| {
            tries = 0;
            with(folder, || {
                tries += 1;
                if tries < 3 { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
            })
            .unwrap_err();
            tries
        };
        assert_eq!(full(dir.path()), 1);
        Reserve::new(dir.path(), 1 << 16).keep().unwrap();
        assert_eq!(full(dir.path()), 2);
        assert_eq!(full(dir.path()), 1);
    }
}
