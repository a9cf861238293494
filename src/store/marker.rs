//! Which store it is: an ID in a file at its top, made with the first backup.
//!
//! A folder says nothing of which disk is mounted there. What is written below a mount point while the mount is away looks
//! like a store, and is none that has a backup.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ulid::Ulid;

use super::error::{At as _, StoreError};
use super::{Store, atomic, lies_where_it_seems, lock, owner};
use crate::regular::{self, Folder};

/// The file, at the top of the store.
const MARKER: &str = ".store-id";
/// It has one line, and nothing that is longer is one.
const LONGEST: u64 = 4096;

/// The identity of a store: whoever has it can tell it from every other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreId(Ulid);

/// A text is no [`StoreId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it holds no store ID, which is a ULID such as 01ARZ3NDEKTSV4RRFFQ69G5FAV")]
pub struct StoreIdError;

impl StoreId {
    /// One that no other store has.
    pub fn generate() -> Self {
        Self(Ulid::generate())
    }

    /// What a file says that has the ID and nothing else.
    pub fn line(self) -> String {
        format!("{self}\n")
    }

    /// The inverse of [`StoreId::line`].
    pub fn of_line(bytes: &[u8]) -> Result<Self, StoreIdError> {
        std::str::from_utf8(bytes).map_err(|_| StoreIdError)?.trim().parse()
    }
}

impl FromStr for StoreId {
    type Err = StoreIdError;

    fn from_str(text: &str) -> Result<Self, StoreIdError> {
        Ulid::from_string(text).map(Self).map_err(|_| StoreIdError)
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Store {
    /// Where the ID of the store in a folder lies.
    pub fn marker(root: &Path) -> PathBuf {
        root.join(MARKER)
    }

    /// The ID of the store in a folder; nothing where it has none, or where there is no such folder.
    pub fn id_at(root: &Path) -> Result<Option<StoreId>, StoreError> {
        lies_where_it_seems(root)?;
        let path = Self::marker(root);
        let opened = Folder::open(root).and_then(|folder| folder.read(Path::new(MARKER)));
        let file = match opened {
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            opened => opened.at("read", &path)?,
        };
        let bytes = regular::whole(&file, LONGEST).at("read", &path)?;
        StoreId::of_line(&bytes)
            .map(Some)
            .map_err(|error| StoreError::Marker { path, problem: error.to_string() })
    }

    /// Gives the store an ID and hands it on to who notes it, while nobody else does. It keeps the one that another process
    /// has given it meanwhile.
    pub fn mark<T>(&self, id: StoreId, note: impl FnOnce(StoreId) -> T) -> Result<T, StoreError> {
        let _alone = lock::lock_folder(&self.root)?;
        let path = Self::marker(&self.root);
        let id = if let Some(found) = Self::id_at(&self.root)? {
            found
        } else {
            atomic::replace_alone(&path, id.line().as_bytes(), owner::FILE_MODE).at("write", &path)?;
            id
        };
        Ok(note(id))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::store::testing;

    #[test]
    fn a_store_has_one_id_whoever_gives_it_and_only_its_owner_reads_it() {
        let (dir, store) = testing::store();
        assert_eq!(Store::id_at(dir.path()).unwrap(), None);
        assert_eq!(Store::id_at(&dir.path().join("none")).unwrap(), None);
        let given = std::thread::scope(|scope| {
            let give = || store.mark(StoreId::generate(), |id| id).unwrap();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(give)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        let id = Store::id_at(dir.path()).unwrap();
        assert!(given.iter().all(|given| Some(*given) == id), "{given:?}");
        assert_eq!(fs::metadata(Store::marker(dir.path())).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(StoreId::of_line(id.unwrap().line().as_bytes()), Ok(id.unwrap()));
    }

    #[test]
    fn what_is_no_id_is_an_error_and_not_a_store_without_one() {
        let (dir, _store) = testing::store();
        for text in ["", "\n", "x", "01ARZ3NDEKTSV4RRFFQ69G5FAV more", "\u{e9}"] {
            let mut marker = fs::File::create(Store::marker(dir.path())).unwrap();
            io::Write::write_all(&mut marker, text.as_bytes()).unwrap();
            let error = Store::id_at(dir.path()).unwrap_err();
            assert!(error.to_string().contains("holds no store ID"), "{text:?}: {error}");
            assert!(error.hint().is_some());
        }
    }
}
