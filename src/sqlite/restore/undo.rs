//! Takes the newest restore back, whether it was finished or cut, and removes what restores have set aside.

use std::path::{Path, PathBuf};

use super::RestoreError;
use super::apply::{after_free, free};
use super::note::Note;
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
    /// It had moved nothing: what it had prepared is removed.
    pub was_untouched: bool,
    /// Where the restored database is now, with what was written to it since; nothing where none had been in place.
    pub displaced: Option<PathBuf>,
    /// What was seen of the application.
    pub well: Option<String>,
}

/// Brings back what was there before the newest restore.
pub async fn undo(site: &Site, context: &RunContext) -> Result<Undone, SqliteError> {
    let note = site.notes.list()?.pop();
    let note = note.ok_or_else(|| RestoreError::NothingToUndo { job: context.job.to_string() })?;
    if note.done {
        // Of another job: that one is taken back first.
        site.notes.none_unfinished(&note.path)?;
        if note.had_old && !swap::exists(&note.aside) {
            return Err(RestoreError::NotAside { path: note.aside }.into());
        }
    } else if !swap::is_begun(&note) {
        swap::remove(&note.stage)?;
        site.notes.remove(&note)?;
        site.start_unless_it_runs(context).await;
        return Ok(Undone { source: note.source, was_untouched: true, displaced: None, well: None });
    }
    if let Err(error) = free(site, &note.path, context).await {
        // Without a database in its place an application would make a new one.
        if swap::exists(&note.path) {
            after_free(site, &error, context).await;
        }
        return Err(error.with_nothing_changed());
    }
    let step = context.progress.step("bring the old database back", None);
    let displaced = beside(&note.path, &format!(".before-{}", context.run));
    let (taken, to) = (note.clone(), displaced.clone());
    blocking(move || swap::back(&taken, &to)).await?;
    drop(step);
    let was_swapped = swap::exists(&displaced);
    if was_swapped {
        // So that the undo can be taken back too.
        let source = format!("what was live before the restore of {} was taken back", note.source);
        let again = Note {
            run: context.run,
            began: context.now,
            source,
            aside: displaced.clone(),
            had_old: true,
            done: true,
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
        was_untouched: false,
        displaced: was_swapped.then_some(displaced),
        well,
    })
}

/// Removes what finished restores have set aside. Says how many bytes that were.
pub async fn discard_old(site: &Site) -> Result<u64, SqliteError> {
    let mut bytes = 0;
    for note in site.notes.list()?.into_iter().filter(|note| note.done) {
        let aside = note.aside.clone();
        bytes += blocking(move || {
            let bytes = size(&aside);
            swap::remove(&aside).map(|()| bytes)
        })
        .await?;
        site.notes.remove(&note)?;
    }
    Ok(bytes)
}

fn size(path: &Path) -> u64 {
    let sizes = SIDES.iter().chain([&""]).map(|side| std::fs::metadata(beside(path, side)));
    sizes.flatten().map(|meta| meta.len()).sum()
}
