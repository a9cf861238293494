//! Whether there is room for what a restore writes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::How;
use crate::files::{FileEntry, What};
use crate::regular::{Folder, Found};
use crate::room::Room;

/// Where a change will be made.
pub(super) struct Ground<'a> {
    /// The nearest folder above it that is there, and its path.
    pub(super) folder: &'a Folder,
    pub(super) path: &'a Path,
    /// What is there already.
    pub(super) there: Option<Found>,
}

/// What is to be written, by the device it goes to.
#[derive(Debug, Default)]
pub(super) struct Needs(BTreeMap<u64, Need>);

#[derive(Debug)]
struct Need {
    /// A folder on that device.
    folder: PathBuf,
    /// What is free there.
    room: Option<Room>,
    /// Bytes that are there afterwards and were not before.
    more: u64,
    /// Each file lies beside the old one until it takes its place.
    largest: u64,
}

impl Needs {
    /// Takes in a change.
    pub(super) fn add(&mut self, entry: &FileEntry, ground: &Ground<'_>, how: How) {
        let (What::File { size, .. }, How::Missing | How::Content) = (&entry.what, how) else { return };
        let Ok(Found { inode: (device, _), .. }) = ground.folder.found() else { return };
        let old = ground.there.map_or(0, |there| there.size);
        let need = self.0.entry(device).or_insert_with(|| Need {
            folder: ground.path.to_owned(),
            room: Room::of(ground.folder).ok(),
            more: 0,
            largest: 0,
        });
        need.more = need.more.saturating_add(size.saturating_sub(old));
        need.largest = need.largest.max(*size);
    }

    /// Where there is none, one line each.
    pub(super) fn refusals(&self) -> impl Iterator<Item = String> {
        self.0.values().filter_map(|need| {
            let bytes = need.more.saturating_add(need.largest);
            let room = need.room.filter(|room| !room.is_for(bytes))?;
            Some(format!("{}: {}: free some space there", need.folder.display(), room.lack(bytes)))
        })
    }
}
