//! Whether the disk has room for one more backup, as far as the last one tells.
//!
//! Retention deletes only after a new backup was verified, so an old and a new one must fit beside each other.

use std::path::Path;

use super::error::{At as _, StoreError};
use super::list::Listing;
use super::manifest::Layout;
use super::{Backup, JobStore, Pending};
use crate::room::{Inodes, Room};

/// What lies beside the archive of a backup until that is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// Nothing that is worth a mention.
    Nothing,
    /// A copy of all of its content.
    Copy,
    /// So many bytes.
    Bytes(u64),
}

/// So many files and folders a backup makes at least: its own, and what is there while it is made.
const FILES: u64 = 10;

impl JobStore {
    /// About how many bytes the next backup of this job will write, as its newest good one did; 0 where there is none.
    pub fn expected(&self, beside: Beside) -> Result<u64, StoreError> {
        if !self.folder.exists() {
            return Ok(0);
        }
        let listing = self.list()?;
        let Some(newest) = listing.newest_good() else { return Ok(0) };
        let beside = match beside {
            Beside::Nothing => 0,
            Beside::Copy => newest.manifest.content_bytes,
            Beside::Bytes(bytes) => bytes,
        };
        Ok(written(&listing, newest).saturating_add(beside))
    }

    /// Fails with [`StoreError::NoRoom`], or [`StoreError::NoInodes`], where the disk has none for the next backup; returns
    /// what it is expected to write.
    pub fn require_room(&self, beside: Beside) -> Result<u64, StoreError> {
        let expected = self.expected(beside)?;
        self.require_inodes()?;
        let folder = self.nearest();
        let room = Room::at(folder).at("ask for the free space of", folder)?;
        if room.is_for(expected) {
            return Ok(expected);
        }
        Err(StoreError::NoRoom { path: self.folder.clone(), lack: room.lack(expected) })
    }

    /// Fails with [`StoreError::NoInodes`] where the disk does not take the files of a backup.
    pub(super) fn require_inodes(&self) -> Result<(), StoreError> {
        let folder = self.nearest();
        let inodes = Inodes::at(folder).at("ask for the free inodes of", folder)?;
        let lack = inodes.lack(FILES).map(|lack| StoreError::NoInodes { path: self.folder.clone(), lack });
        lack.map_or(Ok(()), Err)
    }

    /// Its folder, or that above it which is there.
    fn nearest(&self) -> &Path {
        self.folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"))
    }
}

/// What a backup has added to what was there: blocks that others have too were there.
fn written(listing: &Listing, backup: &Backup) -> u64 {
    match backup.manifest.layout {
        Layout::Archive => backup.size(),
        // What the first one added tells nothing of the next.
        Layout::Blocks if listing.backups.len() < 2 => {
            let own = backup.manifest.files.iter().filter(|file| !file.is_shared());
            own.map(|file| file.size).sum()
        }
        Layout::Blocks => listing.alone().remove(backup.id()).unwrap_or_default(),
    }
}

impl Pending {
    /// The same, where there is room for it: it is asked again while its archive is written.
    pub fn within_room(mut self, beside: Beside) -> Result<Self, StoreError> {
        self.expected = self.job.require_room(beside)?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing;

    #[test]
    fn the_next_backup_is_expected_to_be_as_large_as_the_newest_good_one() {
        let (_dir, job) = testing::job();
        assert_eq!(job.expected(Beside::Copy).unwrap(), 0);
        testing::backup(&job, 0);
        let newest = testing::backup(&job, 60);
        assert_eq!(job.expected(Beside::Nothing).unwrap(), newest.size());
        let both = newest.size() + newest.manifest.content_bytes;
        assert_eq!(job.expected(Beside::Copy).unwrap(), both);
        assert_eq!(job.require_room(Beside::Copy).unwrap(), both);
    }
}
