//! Takes a restore back.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::kept::Shelf;
use super::write::{place, write_all};
use super::{FilesBackup, FilesPlan};
use crate::blocking::blocking;
use crate::files::trees::{Trees, is_missing};
use crate::files::{FileEntry, FilePath, FilesError, What};
use crate::jobs::RunContext;
use crate::regular::Folder;
use crate::store::BackupId;
use crate::words;

/// What an undo has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// The backup whose restore was taken back: `JOB/ID`.
    pub of: String,
    /// How many files, folders and links were written or removed.
    pub changed: usize,
    /// What the restore created and somebody has changed since: it is left as it is.
    pub left: Vec<FilePath>,
    /// The backup of what was replaced; nothing where nothing was.
    pub replaced: Option<BackupId>,
}

/// Takes the newest restore back: what was there before is written again, and what the restore created goes, unless
/// somebody has changed it since. What is replaced is kept first: somebody may have edited it.
pub async fn undo(shelf: &Shelf, context: &RunContext) -> Result<Undone, FilesError> {
    let newest = shelf.newest_restore()?;
    let (kept, source) = newest.ok_or_else(|| FilesError::NothingToUndo { job: context.job.to_string() })?;
    let (id, of) = (source.backup.id().clone(), source.contents.restored().to_owned());
    let cancel = context.cancel.clone();
    let (source, plan) = blocking(move || source.plan(&cancel).map(|plan| (source, plan))).await?;
    if let Some(refusal) = plan.refusals.first() {
        return Err(FilesError::InTheWay { what: refusal.clone() });
    }
    let replaced =
        if plan.changes.is_empty() { None } else { Some(shelf.keep(&source, &plan, true, context).await?) };
    let (changed, left) = write(source, plan, context).await?;
    // It is as it was: there is nothing left to take back.
    if let Err(error) = kept.forget_restores(std::slice::from_ref(&id)) {
        let why = words::chain(&error);
        context.progress.warn(format!(
            "{}/{id} could not be removed, so that the next --undo will take the same restore back: {why}",
            kept.job()
        ));
    }
    Ok(Undone { of, changed, left, replaced })
}

async fn write(
    source: FilesBackup,
    plan: FilesPlan,
    context: &RunContext,
) -> Result<(usize, Vec<FilePath>), FilesError> {
    let step = context.progress.step("write what was there before", None);
    let cancel = context.cancel.clone();
    blocking(move || {
        let mut done = Vec::new();
        let written = write_all(&source, &plan.changes, &mut done, &cancel)
            .and_then(|()| remove_created(&source, &mut done, &cancel));
        let left = written.map_err(|error| error.halfway(done.clone(), true))?;
        step.finish(words::count(done.len(), "change"));
        Ok((done.len(), left))
    })
    .await
}

/// Removes what the restore created, adds that to `done`, and gives what stays: what was changed since. (So does a folder
/// that is not empty.)
fn remove_created(
    source: &FilesBackup,
    done: &mut Vec<FilePath>,
    cancel: &CancellationToken,
) -> Result<Vec<FilePath>, FilesError> {
    let mut trees = Trees::of(source.tops());
    let mut left = Vec::new();
    for entry in source.contents.before_restore.iter().flat_map(|before| &before.created) {
        match remove_if_same(entry, &mut trees, cancel)? {
            Removal::Done => done.push(entry.path.clone()),
            Removal::Gone => {}
            Removal::Left => left.push(entry.path.clone()),
        }
    }
    Ok(left)
}

enum Removal {
    Done,
    Gone,
    Left,
}

fn remove_if_same(
    entry: &FileEntry,
    trees: &mut Trees,
    cancel: &CancellationToken,
) -> Result<Removal, FilesError> {
    let path = entry.path.as_path();
    let (folder, name) = match trees.place(path) {
        Ok(place) => place,
        Err(error) if is_missing(&error) => return Ok(Removal::Gone),
        // A link that somebody has put in place of its folder since.
        Err(_) => return Ok(Removal::Left),
    };
    let removed = match &entry.what {
        What::Folder => folder.remove_folder(name).is_ok(),
        _ if is_same(entry, folder, name, cancel) => {
            folder.remove(name).map_err(place("remove", path))?;
            true
        }
        _ => false,
    };
    Ok(match folder.look(name) {
        _ if removed => Removal::Done,
        Ok(_) => Removal::Left,
        Err(_) => Removal::Gone,
    })
}

/// What lies there is the file or link that the restore has made.
fn is_same(entry: &FileEntry, folder: &Folder, name: &Path, cancel: &CancellationToken) -> bool {
    match &entry.what {
        What::Folder => false,
        What::Link { target } => {
            let there = folder.node(name).and_then(|node| node.target());
            there.is_ok_and(|there| FilePath::from(&there) == *target)
        }
        What::File { sha256, .. } => {
            let hash = folder.read(name).and_then(|file| super::hash(file, cancel));
            hash.is_ok_and(|hash| hash == *sha256)
        }
    }
}
