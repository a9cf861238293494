//! Room on a disk: asked before something large is begun, and again while it is written.
//!
//! A disk that is filled to its last byte stops whatever runs beside, Prometheus among it. So a little of it is left
//! alone, and what would need that ends before it does.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{StatVfs, fstatvfs, statvfs};

use crate::words::size;

/// No more than this is left alone, however large the disk is.
const MOST_SPARED: u64 = 64 << 20;
/// Of a small disk, one part in so many is.
const SHARE_SPARED: u64 = 100;

/// How much of a file system may be written, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// What an ordinary user may still write.
    pub free: u64,
    /// Its size.
    pub total: u64,
}

impl Room {
    /// Of the file system that a path is on.
    pub fn at(path: &Path) -> io::Result<Self> {
        Ok(statvfs(path).map(Self::from)?)
    }

    /// Of the file system that an open file is on.
    pub fn of(file: impl AsFd) -> io::Result<Self> {
        Ok(fstatvfs(file).map(Self::from)?)
    }

    /// What is left alone: a hundredth, and 64 MiB at the most.
    pub const fn spared(self) -> u64 {
        let share = self.total / SHARE_SPARED;
        if share < MOST_SPARED { share } else { MOST_SPARED }
    }

    /// Whether so many bytes can be written, and what is left alone still stays.
    pub const fn is_for(self, bytes: u64) -> bool {
        self.free >= bytes.saturating_add(self.spared())
    }

    /// An error of kind `StorageFull` that names the figures, where there is no room for so many bytes.
    pub fn require(self, bytes: u64) -> io::Result<()> {
        if self.is_for(bytes) {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::StorageFull, self.lack(bytes)))
    }

    /// What is told where there is no room for so many bytes.
    pub fn lack(self, bytes: u64) -> String {
        format!(
            "no space: needs {}, {} free, of which {} are left alone",
            size(bytes),
            size(self.free),
            size(self.spared())
        )
    }
}

/// How many files a file system may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inodes {
    /// So many more.
    pub free: u64,
    /// So many in all; 0 where it has no limit.
    pub total: u64,
}

impl Inodes {
    /// Of the file system that a path is on.
    pub fn at(path: &Path) -> io::Result<Self> {
        let found = statvfs(path)?;
        Ok(Self { free: found.f_favail, total: found.f_files })
    }

    /// What is told where so many files cannot be made.
    pub fn lack(self, files: u64) -> Option<String> {
        let Self { free, total } = self;
        let is_lacking = total > 0 && free < files;
        is_lacking.then(|| format!("no inodes: needs {files}, {free} of {total} free"))
    }
}

impl From<StatVfs> for Room {
    fn from(found: StatVfs) -> Self {
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Self { free: bytes(found.f_bavail), total: bytes(found.f_blocks) }
    }
}

/// Looks at the room of a file while it is written.
#[derive(Debug, Default)]
pub struct RoomWatch {
    /// What is expected to be written in all; nothing where nobody knows.
    expected: u64,
    written: u64,
}

impl RoomWatch {
    /// For a file that will have about so many bytes.
    pub const fn expecting(bytes: u64) -> Self {
        Self { expected: bytes, written: 0 }
    }

    /// To be asked before so many bytes are written: an error of kind `StorageFull` where there is no room for them.
    pub fn before(&mut self, file: &File, bytes: u64) -> io::Result<()> {
        self.written = self.written.saturating_add(bytes);
        // A device, as in tests, has none that could be asked for.
        let Ok(room) = Room::of(file) else { return Ok(()) };
        if room.total == 0 || room.is_for(bytes) {
            return Ok(());
        }
        let left = self.expected.saturating_sub(self.written).saturating_add(bytes);
        room.require(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundredth_is_left_alone_and_not_more_than_64_mib() {
        let room = |total| Room { free: 0, total };
        assert_eq!(room(100 << 10).spared(), 1 << 10);
        assert_eq!(room(1 << 40).spared(), 64 << 20);
    }

    #[test]
    fn what_would_need_what_is_left_alone_has_no_room() {
        let room = Room { free: 1000, total: 10_000 };
        assert!(room.is_for(900) && !room.is_for(901) && !room.is_for(u64::MAX));
        let error = room.require(901).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(error.to_string(), "no space: needs 901 B, 1000 B free, of which 100 B are left alone");
    }

    #[test]
    fn a_disk_without_a_limit_lacks_no_inodes() {
        assert_eq!(Inodes { free: 0, total: 0 }.lack(8), None);
        assert_eq!(Inodes { free: 8, total: 60 }.lack(8), None);
        let lack = Inodes { free: 7, total: 60 }.lack(8);
        assert_eq!(lack.as_deref(), Some("no inodes: needs 8, 7 of 60 free"));
    }

    #[test]
    fn a_real_disk_has_room() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (at, of) = (Room::at(file.path()).unwrap(), Room::of(file.as_file()).unwrap());
        assert_eq!(at.total, of.total);
        assert!(at.total > at.spared());
        RoomWatch::expecting(1).before(file.as_file(), 1).unwrap();
        assert!(RoomWatch::default().before(file.as_file(), u64::MAX >> 1).is_err());
    }
}
