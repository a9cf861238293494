//! Whether the program can keep what it does, and has kept it: its folder can be written to, and its history is no new one.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::View;
use crate::history::{self, Founded, History};
use crate::{state_dir, words};

/// A history that was set aside is told of for so long, or until its file is gone.
const TOLD: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How it stands with the program's own folder.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StateStanding {
    /// Why what runs cannot be noted; nothing where it can.
    pub not_writable: Option<String>,
    /// The newest history that was damaged and set aside, for 7 days or until its file is gone.
    pub set_aside: Option<SetAside>,
    /// That the history stands in the place of one that was lost, for 7 days.
    pub founded: Option<Founded>,
}

/// A history that was damaged, in whose place a new one was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetAside {
    /// When.
    pub at: Timestamp,
    /// Where it is.
    pub path: PathBuf,
}

impl StateStanding {
    /// Looks, by trying whether the disk takes what is written there; nothing is left behind. What a process knows of a history
    /// that it has open itself, others do not.
    pub fn of(view: View<'_>) -> Self {
        let folder = &view.config.state_dir;
        let full = || {
            let error = state_dir::takes_writes(folder).err()?;
            Some(format!("Cannot write to {}: {}", folder.display(), words::chain(&error)))
        };
        // The disk first: what SQLite says of the end of a run whose beginning it could not note is nothing that helps.
        let not_writable = full().or_else(|| view.history.and_then(History::write_trouble));
        let set_aside = newest_set_aside(folder).filter(|aside| view.now.duration_since(aside.at) < TOLD);
        Self { not_writable, set_aside, founded: lost(view) }
    }
}

impl SetAside {
    /// Of the file that was set aside.
    pub fn of(path: PathBuf) -> Option<Self> {
        let at = history::set_aside_at(&path)?;
        Some(Self { at, path })
    }

    /// `the history was damaged and set aside on …: what ran before that is in … only`
    pub fn words(&self, zone: &TimeZone) -> String {
        let (at, path) = (words::time(self.at, zone), self.path.display());
        format!(
            "the history was damaged at {at} and a new one was begun, which knows of runs before as far as backups tell of them, \
             and of no slot or pause. The old one is {path}: `sqlite3 {path} .recover` may save what is in it"
        )
    }
}

/// How the history began, where it stands in the place of one that was lost, for 7 days.
pub fn lost(view: View<'_>) -> Option<Founded> {
    // What cannot be read is told of by who reads more of it.
    let founded = view.history?.founded().ok()??;
    (founded.runs > 0 && view.now.duration_since(founded.at).abs() < TOLD).then_some(founded)
}

fn newest_set_aside(folder: &Path) -> Option<SetAside> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    entries.filter_map(|entry| SetAside::of(entry.path())).max_by_key(|aside| aside.at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::store::{atomic, owner};

    #[test]
    fn a_history_that_was_set_aside_is_told_of_for_a_week_or_until_its_file_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("state_dir = {0:?}\nbackup_dir = \"/x\"\n", folder.path());
        let path = folder.path().join("jobs.toml");
        atomic::replace(&path, text.as_bytes(), owner::FILE_MODE).unwrap();
        let config = Config::load(&path, &|_| None, TimeZone::UTC).unwrap();
        let of = |now: &str| {
            let view = View { config: &config, history: None, store: None, now: now.parse().unwrap() };
            StateStanding::of(view).set_aside.map(|aside| aside.at.to_string())
        };
        assert_eq!(of("2026-11-26T02:00:00Z"), None);
        for name in ["20261120T020000Z", "20261125T010203Z", "20261124T000000Z", "20261125T010203Z-wal", "x"]
        {
            let file = folder.path().join(format!("history.db.damaged-{name}"));
            atomic::replace(&file, b"", owner::FILE_MODE).unwrap();
        }
        assert_eq!(of("2026-11-26T02:00:00Z").as_deref(), Some("2026-11-25T01:02:03Z"));
        assert_eq!(of("2026-12-02T01:00:00Z").as_deref(), Some("2026-11-25T01:02:03Z"));
        assert_eq!(of("2026-12-02T01:03:00Z"), None);
        fs::remove_file(folder.path().join("history.db.damaged-20261125T010203Z")).unwrap();
        assert_eq!(of("2026-11-26T02:00:00Z").as_deref(), Some("2026-11-24T00:00:00Z"));
    }
}
