//! The note of a change that is under way, so that one that is killed is found by the next: written before the file is
//! touched, and removed when the change is proven or taken back.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

use super::error::ChangeError;
use crate::regular;
use crate::state_dir;
use crate::store::{atomic, owner};

/// The folder of the notes, in the `state_dir`.
const FOLDER: &str = "changes";

/// A change that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The run.
    pub(super) run: Ulid,
    /// When.
    pub(super) began: Timestamp,
    /// What it is to do, in words.
    pub(super) what: String,
    /// The file, as the server sees it.
    pub(super) seen: String,
    /// Where the old file is kept, as a person finds it; nothing where there was none.
    pub(super) backup: Option<String>,
    /// What was in it; nothing where it was not there.
    pub(super) old: Option<Content>,
    /// What is to be in it.
    pub(super) new: Content,
    /// What the server had loaded, as it tells it.
    pub(super) loaded: String,
}

/// The bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content(pub(super) Vec<u8>);

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// How far a change has come that was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The file is the old one.
    Old,
    /// The file is the new one, a part of it over the old one, or gone.
    Written,
    /// Somebody has written something else into it.
    Other,
}

impl Note {
    /// What has become of the file.
    pub(super) fn judge(&self, now: Option<&[u8]>) -> Found {
        let old = self.old.as_ref().map(|old| old.0.as_slice());
        if now == old {
            return Found::Old;
        }
        // Through Docker a file is taken away before the new one comes.
        let Some(now) = now else { return Found::Written };
        if now == self.new.0 || old.is_some_and(|old| is_half(now, old, &self.new.0)) {
            Found::Written
        } else {
            Found::Other
        }
    }
}

/// Whether `now` begins as `new` and goes on as `old`: what a write into the file itself leaves when it is cut.
fn is_half(now: &[u8], old: &[u8], new: &[u8]) -> bool {
    let written = now.iter().zip(new).take_while(|(a, b)| a == b).count();
    let rest = old.get(written..).unwrap_or_default();
    now.get(written..) == Some(rest)
}

/// Where the note of a target is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Journal {
    path: PathBuf,
}

impl Journal {
    pub(super) fn of(state_dir: &Path, target: &str) -> Self {
        Self { path: state_dir.join(FOLDER).join(format!("prometheus-{target}.json")) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps an old file beside the note, and says where.
    pub(super) fn keep(&self, name: &str, bytes: &[u8]) -> Result<String, ChangeError> {
        let path = self.folder()?.join(name);
        atomic::replace(&path, bytes, owner::FILE_MODE).map_err(self.failed("write beside"))?;
        Ok(path.display().to_string())
    }

    fn folder(&self) -> Result<&Path, ChangeError> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        state_dir::folder(folder)?;
        Ok(folder)
    }

    pub(super) fn read(&self) -> Result<Option<Note>, ChangeError> {
        let bytes = match regular::read(&self.path, regular::LARGE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(self.failed("read"))?,
        };
        let note = serde_json::from_slice(&bytes);
        note.map(Some)
            .map_err(|error| ChangeError::BadNote { path: self.path.clone(), problem: error.to_string() })
    }

    pub(super) fn write(&self, note: &Note) -> Result<(), ChangeError> {
        self.folder()?;
        let bytes = serde_json::to_vec_pretty(note).map_err(io::Error::from).map_err(self.failed("write"))?;
        atomic::replace_alone(&self.path, &bytes, owner::FILE_MODE).map_err(self.failed("write"))
    }

    pub(super) fn remove(&self) -> Result<(), ChangeError> {
        atomic::remove_alone(&self.path).map(drop).map_err(self.failed("remove"))
    }

    fn failed(&self, doing: &'static str) -> impl Fn(io::Error) -> ChangeError + use<> {
        let path = self.path.display().to_string();
        move |source| ChangeError::File { doing, path: path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(old: Option<&str>, new: &str) -> Note {
        let content = |text: &str| Content(text.as_bytes().to_vec());
        Note {
            run: Ulid::from_parts(1, 2),
            began: Timestamp::UNIX_EPOCH,
            what: "w".into(),
            seen: "/c".into(),
            backup: None,
            old: old.map(content),
            new: content(new),
            loaded: String::new(),
        }
    }

    #[test]
    fn a_file_that_was_half_written_is_told_from_one_that_somebody_has_edited() {
        for (old, new) in [("aaaa", "abcdef"), ("abcdef", "ax"), ("same", "same")] {
            let note = note(Some(old), new);
            assert_eq!(note.judge(Some(old.as_bytes())), Found::Old);
            for written in 1..=new.len() {
                let half =
                    [&new.as_bytes()[..written], old.as_bytes().get(written..).unwrap_or_default()].concat();
                assert_ne!(note.judge(Some(&half)), Found::Other, "{old} {new} {written}");
            }
            assert_eq!(note.judge(Some(b"zzzz")), Found::Other);
            assert_eq!(note.judge(None), Found::Written);
        }
        let fresh = note(None, "new");
        assert_eq!((fresh.judge(None), fresh.judge(Some(b"new"))), (Found::Old, Found::Written));
        assert_eq!(fresh.judge(Some(b"ne")), Found::Other);
    }

    #[test]
    fn a_note_is_read_as_it_was_written_and_gone_when_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::of(dir.path(), "main");
        assert_eq!(journal.read().unwrap(), None);
        let note = note(Some("\u{0}ü"), "b");
        journal.write(&note).unwrap();
        assert_eq!(journal.read().unwrap(), Some(note));
        journal.remove().unwrap();
        assert_eq!(journal.read().unwrap(), None);
    }
}
