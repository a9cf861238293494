//! Carries a plan out.

use super::kept::Shelf;
use super::write::write_all;
use super::{FilesBackup, FilesPlan};
use crate::blocking::blocking;
use crate::files::FilesError;
use crate::jobs::RunContext;
use crate::store::{Backup, BackupId, StoreError};
use crate::words;

/// What a restore has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// How many files, folders and links were written.
    pub written: usize,
    /// The backup of what was there before, by which the restore can be taken back.
    pub before: BackupId,
}

/// Restores as planned. What is there is kept first.
pub async fn apply(
    source: FilesBackup,
    plan: FilesPlan,
    shelf: &Shelf,
    context: &RunContext,
) -> Result<Applied, FilesError> {
    verify(source.backup.clone(), context).await?;
    for lack in &plan.lacks {
        context.progress.warn(format!("{}: {lack}", lack.held.in_restore()));
    }
    let before = shelf.keep(&source, &plan, false, context).await?;
    let step = context.progress.step("write what differs", None);
    let cancel = context.cancel.clone();
    let written = blocking(move || {
        let mut done = Vec::new();
        let written = write_all(&source, &plan.changes, &mut done, &cancel);
        written.map_err(|error| error.halfway(done.clone(), false))?;
        step.finish(words::count(done.len(), "change"));
        Ok::<_, FilesError>(done.len())
    })
    .await?;
    Ok(Applied { written, before })
}

async fn verify(backup: Backup, context: &RunContext) -> Result<(), FilesError> {
    let step = context.progress.step("verify the backup", Some(backup.size()));
    let cancel = context.cancel.clone();
    blocking(move || {
        for file in &backup.manifest.files {
            if let Some(problem) = backup.check_file(file, &step, &cancel)? {
                return Err(StoreError::Broken { path: backup.path_of(file), problem }.into());
            }
        }
        step.finish("its hash is the one in its manifest");
        Ok(())
    })
    .await
}
