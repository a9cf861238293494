//! Room that is kept on the disk of `state_dir` for the moment at which it is full.
//!
//! It is a file that nobody reads, and some empty ones: a disk without inodes takes no new file, and SQLite makes two beside
//! the history whenever it is opened. Where a disk is full, they are removed, and the history can say what happened. They are
//! made anew once there is room again. The blocks of the one are allocated: a sparse file would keep nothing.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::regular::Folder;
use crate::room::{Inodes, Room};
use crate::words::size;

/// The file's name in the `state_dir`.
pub const FILE: &str = "reserve";
/// The names of the empty ones.
const EMPTY: [&str; 3] = ["reserve-1", "reserve-2", "reserve-3"];
/// So many inodes it needs: its own, and those of the two files that SQLite makes for a while.
const INODES: u64 = 3 + EMPTY.len() as u64;
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
        let look = |name: &str| fs::symlink_metadata(self.state_dir.join(name));
        self.bytes == 0 || look(FILE).is_ok_and(whole) && EMPTY.iter().all(|name| look(name).is_ok())
    }

    /// Makes it where it is not there. An error of kind `StorageFull` where there is no room for it now. What a killed
    /// process has half made is made anew.
    pub fn keep(&self) -> io::Result<()> {
        if self.bytes > 0 && self.is_kept() {
            return Ok(());
        }
        // Whatever is there: nothing is written through a link.
        removed(&self.state_dir)?;
        if self.bytes == 0 || !self.state_dir.is_dir() {
            return Ok(());
        }
        Room::at(&self.state_dir)?.require(self.bytes)?;
        if let Some(lack) = Inodes::at(&self.state_dir)?.lack(INODES) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, lack));
        }
        let made = || -> io::Result<()> {
            let folder = Folder::open(&self.state_dir)?;
            EMPTY.iter().try_for_each(|name| folder.create(Path::new(name)).map(drop))?;
            allocate(&folder.create(Path::new(FILE))?, self.bytes)
        };
        made().inspect_err(|_| drop(removed(&self.state_dir)))
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
        if self.is_kept() {
            return None;
        }
        let folder = self.state_dir.display();
        if let Some(lack) = Inodes::at(&self.state_dir).ok()?.lack(INODES) {
            return Some(format!(
                "{folder} has {lack}, for its reserve: remove files on its disk, or runs will be lacking in the history"
            ));
        }
        let room = Room::at(&self.state_dir).ok().filter(|room| !room.is_for(self.bytes))?;
        Some(format!(
            "{folder} has no room for its reserve of {}, {} free: free some space, or runs will be lacking in the history \
             (`reserve` in jobs.toml says how large it is)",
            size(self.bytes),
            size(room.free)
        ))
    }

    fn path(&self) -> PathBuf {
        self.state_dir.join(FILE)
    }
}

/// Frees the reserve, where there is one: what could not be written may be tried once more then.
pub fn free(state_dir: &Path) -> bool {
    let path = state_dir.join(FILE);
    let bytes = fs::symlink_metadata(&path).map(|meta| meta.len()).unwrap_or_default();
    let has_no_inodes = Inodes::at(state_dir).is_ok_and(|inodes| inodes.lack(1).is_some());
    let is_freed = removed(state_dir).unwrap_or(false);
    let (is_so, todo) = if has_no_inodes {
        ("has no inodes left", "remove files there")
    } else {
        ("is full", "free some space")
    };
    if is_freed {
        tracing::warn!(
            path = %path.display(),
            "the disk of `state_dir` {is_so}: the reserve of {} was freed, so that what happens is noted; {todo}",
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

/// Removes what is kept in a `state_dir`; says whether there was any of it.
fn removed(state_dir: &Path) -> io::Result<bool> {
    let mut was_there = false;
    for name in EMPTY.iter().chain([&FILE]) {
        match fs::remove_file(state_dir.join(name)) {
            Ok(()) => was_there = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(was_there)
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
        fs::remove_file(dir.path().join(EMPTY[1])).unwrap();
        assert!(!reserve.is_kept());
        reserve.keep().unwrap();
        assert!(reserve.is_kept());
        Reserve::new(dir.path(), 1 << 16).keep().unwrap();
        assert_eq!(fs::metadata(reserve.path()).unwrap().len(), 1 << 16);
        Reserve::new(dir.path(), 0).keep().unwrap();
        assert!(Reserve::new(dir.path(), 0).lack().is_none());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
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
