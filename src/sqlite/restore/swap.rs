//! The renames of a restore, in an order that can be taken back wherever it was cut.
//!
//! Forward, the database goes before the files beside it; back, it comes after them. So the old database is aside
//! exactly while something is left to be taken back.

use std::fs;
use std::path::Path;

use super::note::Note;
use crate::regular;
use crate::sqlite::SqliteError;
use crate::sqlite::error::file;
use crate::sqlite::open::{SIDES, beside};
use crate::store::atomic::rename_new;

/// Sets the old database aside and puts the new one in its place.
pub(super) fn forward(note: &Note) -> Result<(), SqliteError> {
    if note.had_old {
        rename(&note.path, &note.aside)?;
    }
    // Whatever has the name of a log of the new database would be read as one.
    move_sides(&note.path, &note.aside)?;
    rename(&note.stage, &note.path)
}

/// Whether anything was moved that is not yet back.
pub(super) fn is_begun(note: &Note) -> bool {
    if note.had_old { exists(&note.aside) } else { !exists(&note.stage) }
}

/// Brings back what was there. What is there now goes to `displaced`.
pub(super) fn back(note: &Note, displaced: &Path) -> Result<(), SqliteError> {
    let swapped = is_begun(note);
    for path in [&note.path, &note.aside] {
        is_movable(path)?;
    }
    if swapped && exists(&note.path) {
        displace(&note.path, displaced)?;
    }
    if swapped {
        move_sides(&note.aside, &note.path)?;
        if note.had_old {
            rename(&note.aside, &note.path)?;
        }
    }
    remove(&note.stage)
}

/// Moves what is live aside. Where that is there already, this was cut, and an application that was started meanwhile has
/// made a new database: with nothing in it, it goes; otherwise it is kept beside the other.
fn displace(live: &Path, displaced: &Path) -> Result<(), SqliteError> {
    if !exists(displaced) {
        // A log that is there already is of the database before the cut: one that is live now comes after it.
        for side in SIDES.iter().filter(|side| exists(&beside(live, side))) {
            let stale = beside(displaced, side);
            crate::store::atomic::remove_if_there(&stale).map_err(file("remove", &stale))?;
        }
        move_sides(live, displaced)?;
        return rename(live, displaced);
    }
    if fs::symlink_metadata(live).is_ok_and(|live| live.len() == 0) {
        return remove(live);
    }
    let meanwhile = beside(displaced, "-meanwhile");
    move_sides(live, &meanwhile)?;
    rename(live, &meanwhile)
}

/// Removes a database with the files beside it.
pub(super) fn remove(path: &Path) -> Result<(), SqliteError> {
    for side in SIDES.iter().chain([&""]) {
        let path = beside(path, side);
        // Of what is mounted read-only not even nothing can be removed.
        if exists(&path) {
            is_movable(&path)?;
            crate::store::atomic::remove_if_there(&path).map_err(file("remove", &path))?;
        }
    }
    Ok(())
}

fn move_sides(from: &Path, to: &Path) -> Result<(), SqliteError> {
    for side in SIDES {
        let (from, to) = (beside(from, side), beside(to, side));
        if exists(&from) {
            rename(&from, &to)?;
        }
    }
    Ok(())
}

/// A device, pipe or folder that somebody has put in place of a database is none of ours.
pub(super) fn is_movable(path: &Path) -> Result<(), SqliteError> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_symlink() => regular::must_be(&found).map_err(file("move or remove", path)),
        _ => Ok(()),
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), SqliteError> {
    is_movable(from)?;
    rename_new(from, to).map_err(file("rename", from))
}

pub(super) fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_application_has_made_while_it_was_cut_is_kept_unless_it_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let (live, displaced) = (dir.path().join("live"), dir.path().join("displaced"));
        for (made, names) in [("", vec!["displaced"]), ("new", vec!["displaced", "displaced-meanwhile"])] {
            fs::File::create(&displaced).unwrap();
            crate::store::atomic::replace(&live, made.as_bytes(), 0o600).unwrap();
            displace(&live, &displaced).unwrap();
            let mut found: Vec<_> =
                fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
            found.sort();
            assert_eq!(found, names);
        }
    }

    use jiff::Timestamp;
    use ulid::Ulid;

    /// A folder with an old database and its log, a new one staged, and the note about both.
    fn scene() -> (tempfile::TempDir, Note) {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str| {
            crate::store::atomic::replace(&dir.path().join(name), name.as_bytes(), 0o600).unwrap();
        };
        ["a.db", "a.db-wal", "a.db-shm", "stage"].into_iter().for_each(put);
        let path = |name: &str| dir.path().join(name);
        let note = Note {
            run: Ulid::from_parts(1, 1),
            began: Timestamp::UNIX_EPOCH,
            source: String::new(),
            path: path("a.db"),
            stage: path("stage"),
            aside: path("a.db.before"),
            had_old: true,
            state: super::super::note::State::Begun,
            is_undo: false,
            ran: None,
            undoing: None,
        };
        (dir, note)
    }

    fn read(path: &Path) -> Option<String> {
        fs::read_to_string(path).ok()
    }

    fn is_as_before(note: &Note) {
        for side in ["", "-wal", "-shm"] {
            assert_eq!(read(&beside(&note.path, side)), Some(format!("a.db{side}")));
            assert!(!exists(&beside(&note.aside, side)));
        }
        assert!(!exists(&note.stage));
    }

    #[test]
    fn there_and_back_again() {
        let (dir, note) = scene();
        forward(&note).unwrap();
        assert_eq!(read(&note.path).as_deref(), Some("stage"));
        assert!(!exists(&beside(&note.path, "-wal")));
        back(&note, &dir.path().join("displaced")).unwrap();
        is_as_before(&note);
        assert_eq!(read(&dir.path().join("displaced")).as_deref(), Some("stage"));
    }

    #[test]
    fn a_swap_that_was_cut_after_any_rename_is_taken_back_and_so_is_a_taking_back() {
        type Renames = &'static [(&'static str, &'static str)];
        const FORWARD: Renames = &[
            ("a.db", "a.db.before"),
            ("a.db-wal", "a.db.before-wal"),
            ("a.db-shm", "a.db.before-shm"),
            ("stage", "a.db"),
        ];
        const BACK: Renames = &[
            ("a.db", "displaced"),
            ("a.db.before-wal", "a.db-wal"),
            ("a.db.before-shm", "a.db-shm"),
            ("a.db.before", "a.db"),
        ];
        for cut in 0..=FORWARD.len() + BACK.len() {
            let (dir, note) = scene();
            for (from, to) in FORWARD.iter().chain(BACK).take(cut) {
                fs::rename(dir.path().join(from), dir.path().join(to)).unwrap();
            }
            back(&note, &dir.path().join("displaced")).unwrap();
            is_as_before(&note);
        }
    }
}
