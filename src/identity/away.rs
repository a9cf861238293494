//! What is in the place of a store that is not there.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

use crate::store::{Store, StoreId};

/// What a new file system has of its own.
const OWN: &str = "lost+found";
/// What to look at first.
const PROBABLY: &str = "a mount is probably away";

/// Another store, or none, is in the place of the one that backups were made in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Away {
    /// The configured folder.
    pub backup_dir: PathBuf,
    /// Where it is noted which store should be there.
    pub note: PathBuf,
    /// That one.
    pub expected: StoreId,
    /// What is there.
    pub seen: Seen,
}

/// What is at `backup_dir`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Nothing.
    NoFolder,
    /// A folder that is no store, or one whose ID was lost.
    Unmarked {
        /// There is nothing in it.
        is_empty: bool,
        /// Where the file system is mounted that it lies on, if that can be told.
        mounted_at: Option<PathBuf>,
    },
    /// Another store.
    Other(StoreId),
}

impl Seen {
    /// What is at a path where there is no store that has an ID.
    pub(super) fn at(root: &Path) -> Self {
        let Ok(mut entries) = fs::read_dir(root) else { return Self::NoFolder };
        let is_empty = entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == OWN));
        Self::Unmarked { is_empty, mounted_at: mount_of(root) }
    }
}

/// Where the file system is mounted that a path lies on. Nothing where the system is too old to tell.
fn mount_of(path: &Path) -> Option<PathBuf> {
    let path = fs::canonicalize(path).ok()?;
    let is_mounted = |path: &Path| {
        let found = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()).ok()?;
        let tells = found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
        tells.then(|| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    };
    for above in path.ancestors() {
        if is_mounted(above)? {
            return Some(above.to_owned());
        }
    }
    None
}

impl Away {
    /// What to do about it.
    pub fn hint(&self) -> String {
        let (backup_dir, note) = (self.backup_dir.display(), self.note.display());
        format!(
            "mount it, and nothing else is to be done; if the store was moved or emptied on purpose, `rm {note}`, and the next run \
             goes on with what is in {backup_dir}"
        )
    }
}

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (root, note, expected) = (self.backup_dir.display(), self.note.display(), self.expected);
        let marker = Store::marker(&self.backup_dir);
        let marker = marker.display();
        match &self.seen {
            Seen::NoFolder => write!(
                f,
                "The backup folder {root} is not there, or nobody can look into it; {PROBABLY}: the store {expected} should be there, \
                 as {note} says"
            ),
            Seen::Other(found) => write!(
                f,
                "The backup folder {root} is another store than the one that backups were made in: {marker} says {found}, and \
                 {note} says {expected}"
            ),
            Seen::Unmarked { is_empty, mounted_at } => {
                let (guess, place) = match mounted_at {
                    Some(at) if *at == self.backup_dir => {
                        ("another disk may be mounted there", "it is a mount point, ".to_owned())
                    }
                    Some(at) => {
                        let place = format!(
                            "it is no mount point but a folder of what is mounted at {}, ",
                            at.display()
                        );
                        (PROBABLY, place)
                    }
                    None => (PROBABLY, String::new()),
                };
                let content = if *is_empty {
                    "it is empty"
                } else {
                    "it is not known that the newest backups are in it"
                };
                write!(
                    f,
                    "The backup folder {root} is not the store that backups were made in; {guess}: {place}{content}; {marker} is \
                     missing, which should say {expected} as {note} does"
                )
            }
        }
    }
}
