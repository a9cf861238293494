//! What was there before restores: kept, so that each can be taken back.

use std::collections::BTreeSet;
use std::path::PathBuf;

use globset::GlobSet;

use super::{Change, FilesBackup, FilesPlan, How};
use crate::config::values::Compression;
use crate::files::backup::{Before, FilesSource, back_up};
use crate::files::{BeforeRestore, FileEntry, FilePath, FilesContents, FilesError, Lack};
use crate::jobs::RunContext;
use crate::store::{Backup, BackupId, JobStore};

/// Where what was there before the restores of a job is kept.
#[derive(Debug, Clone)]
pub struct Shelf {
    /// Where it is kept now.
    pub store: JobStore,
    /// Where else earlier restores have kept it: whether the backup folder can be written to may change.
    pub other: Option<JobStore>,
}

impl Shelf {
    /// What the newest restore has kept that was not taken back, and where that is.
    pub(super) fn newest_restore(&self) -> Result<Option<(JobStore, FilesBackup)>, FilesError> {
        let mut newest: Option<(JobStore, Backup)> = None;
        for store in std::iter::once(&self.store).chain(&self.other) {
            // The newest, whatever could not be kept by it: an older one is of another restore.
            let found = store.list()?.backups.into_iter().rfind(of_restore);
            let newer = |found: &Backup| {
                newest.as_ref().is_none_or(|(_, than)| found.manifest.created > than.manifest.created)
            };
            if let Some(found) = found.filter(newer) {
                newest = Some((store.clone(), found));
            }
        }
        newest.map(|(store, backup)| Ok((store, FilesBackup::of(backup)?))).transpose()
    }

    /// Keeps what a plan is about to replace, all of it: else nothing may be written.
    pub(super) async fn keep(
        &self,
        source: &FilesBackup,
        plan: &FilesPlan,
        by_undo: bool,
        context: &RunContext,
    ) -> Result<BackupId, FilesError> {
        let there = plan.changes.iter().filter(|change| change.how != How::Missing);
        let paths: Vec<PathBuf> = there.map(|change| source.real(&change.entry)).collect();
        let created = plan.changes.iter().rev().filter(|change| change.how == How::Missing);
        // Kept by where they lie here: a container may be another one by then.
        let here = |change: &Change| FileEntry {
            path: FilePath::from(&source.real(&change.entry)),
            ..change.entry.clone()
        };
        let created = created.map(here).collect();
        let restore = BeforeRestore { of: plan.source.clone(), created, by_undo };
        let before = Some(Before { restore, tops: source.tops() });
        let what = FilesSource { paths, exclude: GlobSet::empty(), container: None, own: Vec::new() };
        let kept = back_up(&what, None, &self.store, Compression::default(), before, context).await?;
        let (backup, contents) = kept;
        let lacks = not_kept(&what.paths, &contents);
        if !lacks.is_empty() {
            self.store.forget_restores(std::slice::from_ref(backup.id()))?;
            return Err(FilesError::NotKept { lacks });
        }
        self.store.forget_old_restores(context.now, |_| None)?;
        Ok(backup.id().clone())
    }
}

fn of_restore(backup: &Backup) -> bool {
    let contents = backup.contents::<FilesContents>().ok();
    contents.and_then(|contents| contents.before_restore).is_some_and(|before| !before.by_undo)
}

/// Which of these paths are not in the backup that was to hold them, and why. What was changed while it was read is in
/// there as well as it can be.
fn not_kept(paths: &[PathBuf], contents: &FilesContents) -> Vec<Lack> {
    let kept: BTreeSet<&FilePath> = contents.entries.iter().map(|entry| &entry.path).collect();
    let paths = paths.iter().map(FilePath::from).filter(|path| !kept.contains(path));
    let lack = |path: FilePath| {
        let told = contents.lacks.iter().find(|lack| lack.path == path).cloned();
        told.unwrap_or_else(|| Lack::new(path, "it is no file, folder or link any more"))
    };
    paths.map(lack).collect()
}
