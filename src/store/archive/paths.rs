//! Which paths an archive may name, and that it names each once.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::EntryKind;
use super::error::ArchiveError;

/// Longest path that is taken: what Linux takes.
const LONGEST: usize = 4096;
/// Most entries and folders that are taken. Far more than any backup has, and a bound on memory.
const MOST: usize = 2_000_000;

/// The path as we write it: relative, `/` between parts, no `.` or `..`. `None` for the root itself (`./`).
pub(super) fn clean(raw: &[u8], kind: EntryKind) -> Result<Option<String>, ArchiveError> {
    let shown = String::from_utf8_lossy(raw);
    let refused = |problem| Err(ArchiveError::refused(&shown, problem));
    let Ok(text) = std::str::from_utf8(raw) else { return refused("its path is not UTF-8") };
    if text.starts_with('/') {
        return refused("its path is absolute");
    }
    if text.contains('\0') || text.len() > LONGEST {
        return refused("its path is too long or holds a NUL");
    }
    let mut path = text;
    while let Some(rest) = path.strip_prefix("./") {
        path = rest;
    }
    if kind == EntryKind::Folder {
        path = path.strip_suffix('/').unwrap_or(path);
        if matches!(text, "." | "./") {
            return Ok(None);
        }
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return refused("its path has an empty part, '.' or '..'");
    }
    if path.split('/').any(|part| part.len() > 255) {
        return refused("a part of its path is longer than 255 bytes");
    }
    Ok(Some(path.to_owned()))
}

/// The paths that were seen. Keeps 16 bytes of hash per path and not the path, so that memory stays small; in trees, since a
/// table that grows has all of it twice for a moment: of two million paths, 60 MB and not 110.
#[derive(Default)]
pub(super) struct Seen {
    files: BTreeSet<Key>,
    /// The value tells whether an entry named it, or only something inside it did.
    folders: BTreeMap<Key, bool>,
}

type Key = [u8; 16];

impl Seen {
    /// Takes a clean path, unless it was there or lies inside a file.
    pub(super) fn add(&mut self, path: &str, kind: EntryKind) -> Result<(), ArchiveError> {
        for (slash, _) in path.match_indices('/') {
            let above = key(&path[..slash]);
            if self.files.contains(&above) {
                return Err(ArchiveError::refused(path, "it lies inside a file"));
            }
            self.folders.entry(above).or_insert(false);
        }
        let own = key(path);
        let twice = match kind {
            EntryKind::File => self.folders.contains_key(&own) || !self.files.insert(own),
            EntryKind::Folder => self.files.contains(&own) || self.folders.insert(own, true).unwrap_or(false),
        };
        if twice {
            return Err(ArchiveError::refused(path, "it comes twice"));
        }
        if self.files.len() + self.folders.len() > MOST {
            return Err(ArchiveError::TooMany { limit: MOST });
        }
        Ok(())
    }
}

fn key(path: &str) -> Key {
    let hash = Sha256::digest(path.as_bytes());
    let mut key = Key::default();
    key.copy_from_slice(&hash[..16]);
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use EntryKind::{File, Folder};

    #[test]
    fn only_relative_paths_without_tricks_are_taken() {
        let taken = |raw: &[u8], kind| clean(raw, kind).unwrap();
        assert_eq!(taken(b"a/b", File).as_deref(), Some("a/b"));
        assert_eq!(taken(b"./a/b/", Folder).as_deref(), Some("a/b"));
        assert_eq!(taken(b"./", Folder), None);
        assert_eq!(taken(b"..a/b..", File).as_deref(), Some("..a/b.."));
        for bad in ["", "/a", "a/../b", "..", "../a", "a//b", "a/./b", "a\0b", ".", "a/", "./", "//", "a/.."]
        {
            assert!(clean(bad.as_bytes(), File).is_err(), "{bad:?}");
        }
        assert!(clean(b"a\xff", File).is_err());
        assert!(clean("x".repeat(256).as_bytes(), File).is_err());
        assert!(clean(b"a//", Folder).is_err());
    }

    #[test]
    fn a_path_comes_once_and_nothing_lies_inside_a_file() {
        let mut seen = Seen::default();
        seen.add("a/b", File).unwrap();
        seen.add("a", Folder).unwrap();
        for (path, kind) in [("a/b", File), ("a", Folder), ("a", File), ("a/b", Folder), ("a/b/c", File)] {
            assert!(seen.add(path, kind).is_err(), "{path}");
        }
    }
}
