//! Whether there is room for what a restore writes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::How;
use crate::files::{FileEntry, What};
use crate::room::Room;

/// What is to be written, by the device it goes to.
#[derive(Debug, Default)]
pub(super) struct Needs(BTreeMap<u64, Need>);

#[derive(Debug)]
struct Need {
    /// A folder on that device.
    folder: PathBuf,
    /// Bytes that are there afterwards and were not before.
    more: u64,
    /// Each file lies beside the old one until it takes its place.
    largest: u64,
}

impl Needs {
    /// Takes in a change of what is at this path.
    pub(super) fn add(&mut self, entry: &FileEntry, path: &Path, how: How) {
        let (What::File { size, .. }, How::Missing | How::Content) = (&entry.what, how) else { return };
        let Some(folder) = path.ancestors().skip(1).find(|folder| folder.is_dir()) else { return };
        let Ok(device) = fs::metadata(folder).map(|meta| meta.dev()) else { return };
        let old = fs::symlink_metadata(path).map(|meta| meta.len()).unwrap_or_default();
        let new = Need { folder: folder.to_owned(), more: 0, largest: 0 };
        let need = self.0.entry(device).or_insert(new);
        need.more = need.more.saturating_add(size.saturating_sub(old));
        need.largest = need.largest.max(*size);
    }

    /// Where there is none, one line each.
    pub(super) fn refusals(&self) -> impl Iterator<Item = String> {
        self.0.values().filter_map(|need| {
            let bytes = need.more.saturating_add(need.largest);
            let room = Room::at(&need.folder).ok().filter(|room| !room.is_for(bytes))?;
            Some(format!("{}: {}: free some space there", need.folder.display(), room.lack(bytes)))
        })
    }
}
