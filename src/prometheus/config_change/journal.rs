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
use crate::config::values::TargetName;
use crate::regular;
use crate::state_dir;
use crate::store::{atomic, owner};

/// The folder of the notes, in the `state_dir`.
const FOLDER: &str = "changes";

/// What a file of rules holds that is to go, and that nothing can remove.
pub(super) const NO_RULES: &[u8] = b"groups: []\n";

/// A change that was begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// When it had loaded that, in seconds since 1970; 0 where it does not tell.
    #[serde(default)]
    pub(super) loaded_at: f64,
    /// The file of this host that a write leaves when it is cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) temporary: Option<PathBuf>,
    /// The old file was put back, and nobody has seen yet that the server runs with it.
    #[serde(default)]
    pub(super) is_back: bool,
}

/// A file that promtool looks at, which is to go again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Candidate {
    /// Its path, as whoever looks at it sees it.
    pub(super) path: String,
    /// It is where the server is, and not simply on this host.
    pub(super) is_with_server: bool,
}

/// A change that was cut, and is neither proven nor taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cut {
    /// Of which Prometheus, by its name in the configuration.
    pub target: String,
    /// What it was to do, in words.
    pub what: String,
    /// When it began.
    pub began: Timestamp,
    /// The file, as the server sees it.
    pub file: String,
    /// Where the old file is kept: a path, or `CONTAINER:PATH`; nothing where there was none.
    pub backup: Option<String>,
    /// The old file was put back; nobody has seen yet that Prometheus runs with it.
    pub is_back: bool,
}

impl Cut {
    /// The one of this target, as its note in the `state_dir` tells. It may be under way: who does it holds the lock of
    /// [`super::job_of`].
    pub fn of(state_dir: &Path, target: &TargetName) -> Result<Option<Self>, ChangeError> {
        Ok(Journal::of(state_dir, target.as_str()).read()?.map(|note| Self::told(target.as_str(), note)))
    }

    pub(super) fn told(target: &str, note: Note) -> Self {
        let Note { what, began, seen: file, backup, is_back, .. } = note;
        Self { target: target.to_owned(), what, began, file, backup, is_back }
    }

    /// What has become of it, in a sentence. `began` is when it began, as a person reads it.
    pub fn words(&self, began: &str) -> String {
        let Self { target, what, file, .. } = self;
        let kept = match &self.backup {
            Some(backup) => format!("kept as {backup}"),
            None => "there was none before".to_owned(),
        };
        if self.is_back {
            return format!(
                "A change of Prometheus {target} was cut, begun {began}: {what}. The old {file} is back ({kept}), but nobody has \
                 seen yet that Prometheus runs with it"
            );
        }
        format!(
            "A change of Prometheus {target} was cut, begun {began}: {what}. It was not proven: {file} may be the new one (the old \
             one: {kept})"
        )
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        take_back(
            &self.target,
            if self.is_back {
                "proves it when Prometheus runs"
            } else {
                "puts the old file back, also where Prometheus does not run"
            },
        )
    }
}

/// The way out of a change that was cut, with what the first command does.
pub(super) fn take_back(target: &str, does: &str) -> String {
    let command = format!("watchkeeper change take-back --prometheus {target}");
    format!("`{command}` {does}; `{command} --keep` leaves the file as it is")
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
        if now == old || (old.is_none() && now == Some(NO_RULES)) {
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
    target: String,
}

impl Journal {
    pub(super) fn of(state_dir: &Path, target: &str) -> Self {
        let path = state_dir.join(FOLDER).join(format!("prometheus-{target}.json"));
        Self { path, target: target.to_owned() }
    }

    /// Keeps an old file beside the note, and says where.
    pub(super) fn keep(&self, name: &str, bytes: &[u8]) -> Result<String, ChangeError> {
        let path = self.folder()?.join(name);
        atomic::replace(&path, bytes, owner::FILE_MODE).map_err(self.failed("write beside"))?;
        Ok(path.display().to_string())
    }

    /// The folder of what [`Journal::keep`] keeps.
    pub(super) fn kept_in(&self) -> Option<PathBuf> {
        self.path.parent().map(Path::to_owned)
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
        note.map(Some).map_err(|error| ChangeError::BadNote {
            path: self.path.clone(),
            problem: error.to_string(),
            target: self.target.clone(),
        })
    }

    pub(super) fn write(&self, note: &Note) -> Result<(), ChangeError> {
        self.folder()?;
        let bytes = serde_json::to_vec_pretty(note).map_err(io::Error::from).map_err(self.failed("write"))?;
        atomic::replace_alone(&self.path, &bytes, owner::FILE_MODE).map_err(self.failed("write"))
    }

    pub(super) fn remove(&self) -> Result<(), ChangeError> {
        atomic::remove_alone(&self.path).map(drop).map_err(self.failed("remove"))
    }

    /// Where a file lies that the promtool of this host looks at.
    pub(super) fn checked_file(&self) -> Result<PathBuf, ChangeError> {
        self.folder()?;
        Ok(self.path.with_extension("check"))
    }

    /// What a check that was cut has left.
    pub(super) fn candidate(&self) -> Option<Candidate> {
        serde_json::from_slice(&regular::read(&self.of_candidate(), regular::SMALL).ok()?).ok()
    }

    pub(super) fn note_candidate(&self, candidate: &Candidate) -> Result<(), ChangeError> {
        self.folder()?;
        let failed = self.failed("write beside");
        let bytes = serde_json::to_vec(candidate).map_err(io::Error::from).map_err(&failed)?;
        atomic::replace_alone(&self.of_candidate(), &bytes, owner::FILE_MODE).map_err(failed)
    }

    /// It is gone.
    pub(super) fn forget_candidate(&self) -> Result<(), ChangeError> {
        atomic::remove_alone(&self.of_candidate()).map(drop).map_err(self.failed("remove the note beside"))
    }

    fn of_candidate(&self) -> PathBuf {
        self.path.with_extension("check.json")
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
            loaded_at: 1.5,
            temporary: None,
            is_back: false,
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
        assert_eq!(fresh.judge(Some(NO_RULES)), Found::Old, "nothing could remove it");
    }

    #[test]
    fn a_note_is_read_as_it_was_written_and_gone_when_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::of(dir.path(), "main");
        assert_eq!(journal.read().unwrap(), None);
        let note = note(Some("\u{0}ü"), "b");
        journal.write(&note).unwrap();
        assert_eq!(journal.read().unwrap(), Some(note));
        // Notes of an older version say less.
        let text = std::fs::read_to_string(&journal.path).unwrap();
        let mut older: serde_json::Value = serde_json::from_str(&text).unwrap();
        for key in ["loaded_at", "is_back"] {
            older.as_object_mut().unwrap().remove(key).unwrap();
        }
        assert!(serde_json::from_value::<Note>(older).is_ok());
        journal.remove().unwrap();
        assert_eq!(journal.read().unwrap(), None);
    }
}
