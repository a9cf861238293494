//! Takes a restore back.

use std::fs;

use tokio_util::sync::CancellationToken;

use super::kept::Shelf;
use super::write::{place, write_all};
use super::{FilesBackup, FilesPlan};
use crate::blocking::blocking;
use crate::files::{FileEntry, FilePath, FilesContents, FilesError, What};
use crate::jobs::RunContext;
use crate::regular;
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
            .and_then(|()| remove_created(&source.contents, &mut done, &cancel));
        let left = written.map_err(|error| error.halfway(done.clone(), true))?;
        step.finish(words::count(done.len(), "change"));
        Ok((done.len(), left))
    })
    .await
}

/// Removes what the restore created, adds that to `done`, and gives what stays: what was changed since. (So does a folder
/// that is not empty.)
fn remove_created(
    before: &FilesContents,
    done: &mut Vec<FilePath>,
    cancel: &CancellationToken,
) -> Result<Vec<FilePath>, FilesError> {
    let mut left = Vec::new();
    for entry in before.before_restore.iter().flat_map(|before| &before.created) {
        if remove_if_same(entry, cancel)? {
            done.push(entry.path.clone());
        } else if fs::symlink_metadata(entry.path.as_path()).is_ok() {
            left.push(entry.path.clone());
        }
    }
    Ok(left)
}

fn remove_if_same(entry: &FileEntry, cancel: &CancellationToken) -> Result<bool, FilesError> {
    let path = entry.path.as_path();
    let same = match &entry.what {
        What::Folder => return Ok(fs::remove_dir(path).is_ok()),
        What::Link { target } => fs::read_link(path).is_ok_and(|there| FilePath::from(&there) == *target),
        // Looked at before it is opened: a FIFO would be waited for, and a link be followed.
        What::File { sha256, .. } => {
            fs::symlink_metadata(path).is_ok_and(|there| there.is_file())
                && regular::open(path)
                    .and_then(|file| super::hash(file, cancel))
                    .is_ok_and(|hash| hash == *sha256)
        }
    };
    if same {
        fs::remove_file(path).map_err(place("remove", path))?;
    }
    Ok(same)
}
