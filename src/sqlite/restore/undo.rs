//! Takes the newest restore back, whether it was finished or cut, and removes what restores have set aside.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::RestoreError;
use super::apply::{after_free, free};
use super::note::{Note, State};
use super::{Site, swap};
use crate::blocking::blocking;
use crate::jobs::RunContext;
use crate::sqlite::SqliteError;
use crate::sqlite::open::{SIDES, beside};

/// A restore that was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// What had been restored.
    pub source: String,
    /// What was taken back.
    pub what: Taken,
    /// When that was begun.
    pub began: Timestamp,
    /// Where the restored database is now, with what was written to it since; nothing where none had been in place.
    pub displaced: Option<PathBuf>,
    /// What was seen of the application.
    pub well: Option<String>,
    /// A restore that had moved nothing has stopped the application: it was started again.
    pub started: bool,
}

/// What was taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// A restore that had moved nothing: what it had prepared is removed.
    Nothing,
    /// A restore.
    Restore,
    /// The taking back of a restore: what had been restored is live again.
    Undo,
}

/// Brings back what was there before the newest restore.
pub async fn undo(site: &Site, context: &RunContext) -> Result<Undone, SqliteError> {
    let mut notes = site.notes.list()?;
    // One that was cut comes first: what is newer is its own note of what can be taken back again.
    let newest = notes.iter().rposition(|note| note.state == State::Begun).or(notes.len().checked_sub(1));
    let newest = newest.map(|newest| notes.remove(newest));
    let mut note = newest.ok_or_else(|| RestoreError::NothingToUndo { job: context.job.to_string() })?;
    if note.state == State::TakenBack {
        let older = notes.into_iter().rfind(|note| note.state == State::Done && note.had_old);
        return Err(RestoreError::TookItselfBack {
            source_title: note.source,
            began: note.began,
            older: older.map(|note| note.aside),
        }
        .into());
    }
    if note.state == State::Done {
        // Of another job: that one is taken back first.
        site.notes.none_unfinished(&note.path)?;
        if note.had_old && !swap::exists(&note.aside) {
            return Err(RestoreError::NotAside { path: note.aside }.into());
        }
    } else if !swap::is_begun(&note) && note.undoing.is_none() {
        // First: who finds no note any more does not know that it was stopped.
        let (started, well) = start_what_ran(site, &note, context).await;
        swap::remove(&note.stage)?;
        site.notes.remove(&note)?;
        let (source, began, what) = (note.source, note.began, Taken::Nothing);
        return Ok(Undone { source, what, began, displaced: None, well, started });
    }
    // Before the application is stopped for nothing.
    swap::is_movable(&note.path)?;
    if let Err(error) = free(site, &note.path, context).await {
        // Without a database in its place an application would make a new one.
        if swap::exists(&note.path) {
            after_free(site, &error, context).await;
        }
        return Err(error.with_nothing_changed());
    }
    let step = context.progress.step("bring the old database back", None);
    // Noted before anything moves: cut now, it is unfinished for everybody, and goes on where it was.
    let undoing = *note.undoing.get_or_insert(context.run);
    note.state = State::Begun;
    site.notes.write(&note)?;
    let displaced = beside(&note.path, &format!(".before-{undoing}"));
    let (taken, to) = (note.clone(), displaced.clone());
    blocking(move || swap::back(&taken, &to)).await?;
    drop(step);
    let was_swapped = swap::exists(&displaced);
    if was_swapped {
        // So that the undo can be taken back too.
        let again = Note {
            run: undoing,
            began: context.now,
            aside: displaced.clone(),
            had_old: true,
            state: State::Done,
            is_undo: !note.is_undo,
            undoing: None,
            ..note.clone()
        };
        site.notes.write(&again)?;
    }
    site.notes.remove(&note)?;
    let well = match site.start(context).await {
        Ok(well) => well,
        Err(error) => {
            context.progress.warn(format!("the old database is back, but: {}", crate::words::chain(&error)));
            None
        }
    };
    Ok(Undone {
        source: note.source,
        what: if note.is_undo { Taken::Undo } else { Taken::Restore },
        began: note.began,
        displaced: was_swapped.then_some(displaced),
        well,
        started: false,
    })
}

/// Starts the application that a restore has stopped which was cut then. Says whether it did, and what was seen of it.
async fn start_what_ran(site: &Site, note: &Note, context: &RunContext) -> (bool, Option<String>) {
    if note.ran == Some(false) || site.runs().await {
        return (false, None);
    }
    let is_controlled = site.service.as_ref().is_some_and(crate::service::Service::is_controlled);
    match site.start(context).await {
        Ok(well) => (is_controlled, well),
        Err(error) => {
            context.progress.warn(format!(
                "the restore had moved nothing, but has stopped the application, and it is not well: {}: start it by hand",
                crate::words::chain(&error)
            ));
            (false, None)
        }
    }
}

/// Removes what restores that have ended have set aside. Says how many bytes that were.
pub async fn discard_old(site: &Site) -> Result<u64, SqliteError> {
    let mut bytes = 0;
    for note in site.notes.list()?.into_iter().filter(|note| note.state != State::Begun) {
        if note.had_old {
            let aside = note.aside.clone();
            bytes += blocking(move || {
                let bytes = size(&aside);
                swap::remove(&aside).map(|()| bytes)
            })
            .await?;
        }
        site.notes.remove(&note)?;
    }
    Ok(bytes)
}

fn size(path: &Path) -> u64 {
    let sizes = SIDES.iter().chain([&""]).map(|side| std::fs::metadata(beside(path, side)));
    sizes.flatten().map(|meta| meta.len()).sum()
}
