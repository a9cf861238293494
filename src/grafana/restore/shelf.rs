//! Where what was there before restores is kept. What was there before one of a Grafana is found whichever job's backup was
//! restored, and whatever its jobs are called by now.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{BeforeRestore, RestoreError};
use crate::config::values::TargetName;
use crate::grafana::KIND;
use crate::grafana::contents::GrafanaContents;
use crate::regular;
use crate::store::{Backup, BackupId, JobStore, StoreError};

/// The folders of what was there before restores.
#[derive(Debug, Clone)]
pub struct Shelf {
    /// Where the next one goes.
    pub into: JobStore,
    /// All of them, that one too.
    pub all: Vec<JobStore>,
}

/// What was there before one restore.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) store: JobStore,
    pub(super) backup: Backup,
    pub(super) before: BeforeRestore,
}

/// What was there before a restore, and cannot be read.
struct Damaged {
    /// Its manifest, or the archive that has none.
    path: PathBuf,
    problem: String,
    /// All that is left of it.
    files: Vec<PathBuf>,
}

impl Kept {
    pub(super) fn title(&self) -> String {
        format!("{}/{}", self.store.job(), self.backup.id())
    }
}

impl Shelf {
    /// What was there before each restore of a Grafana that was not taken back, the newest first. One that cannot be read
    /// is an error where the newest would be passed over for it.
    pub(super) fn restores(&self, target: &TargetName) -> Result<Vec<Kept>, RestoreError> {
        let mut kept = Vec::new();
        let mut damaged: Vec<(BackupId, Damaged)> = Vec::new();
        for store in &self.all {
            let listing = store.list()?;
            let is_its = |backup: &&Backup| {
                backup.manifest.kind == KIND && backup.manifest.source.target == target.as_str()
            };
            let its: Vec<&Backup> = listing.backups.iter().filter(is_its).collect();
            let is_whose = !its.is_empty() || store.job() == self.into.job();
            for broken in &listing.broken {
                let Some(id) = broken.id().filter(|_| may_be_of(&broken.path, target, is_whose)) else {
                    continue;
                };
                let (path, problem) = (broken.path.clone(), broken.problem.clone());
                damaged.push((id.clone(), Damaged { path, problem, files: store.files_of(&id)? }));
            }
            for backup in its {
                if let Some(before) = of_restore(backup)? {
                    kept.push(Kept { store: store.clone(), backup: backup.clone(), before });
                }
            }
        }
        kept.sort_by(|a, b| b.backup.id().cmp(a.backup.id()));
        let newest = kept.first().map(|kept| kept.backup.id().clone());
        damaged.retain(|(id, _)| newest.as_ref().is_none_or(|newest| id > newest));
        damaged.sort_by(|a, b| b.0.cmp(&a.0));
        // All of them stand before the newest that can be read: whoever moves one away has not to come again.
        let mut files: Vec<PathBuf> = damaged.iter().flat_map(|(_, one)| one.files.clone()).collect();
        files.dedup();
        match damaged.into_iter().next() {
            Some((_, Damaged { path, problem, .. })) => {
                Err(RestoreError::DamagedKept { path, problem, files })
            }
            None => Ok(kept),
        }
    }

    /// Which backups were restored when these were kept, each once, the last one first.
    pub(super) fn sources(&self, target: &TargetName, ids: &[BackupId]) -> Result<Vec<String>, RestoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let kept = self.restores(target)?.into_iter().filter(|kept| ids.contains(kept.backup.id()));
        let mut sources: Vec<String> = kept.map(|kept| kept.before.of).collect();
        sources.dedup();
        Ok(sources)
    }

    /// Removes what was kept before restores that were taken back.
    pub(super) fn forget(&self, ids: &[BackupId]) -> Result<(), RestoreError> {
        for store in &self.all {
            let names = store.list()?.backups;
            let here: Vec<BackupId> =
                names.iter().map(Backup::id).filter(|id| ids.contains(id)).cloned().collect();
            if !here.is_empty() {
                store.forget_restores(&here)?;
            }
        }
        Ok(())
    }
}

/// What a backup says of the restore before which it was made; nothing where there is none to take back.
pub(super) fn of_restore(backup: &Backup) -> Result<Option<BeforeRestore>, StoreError> {
    let contents: GrafanaContents = backup.contents()?;
    Ok(contents.before_restore.filter(|before| !before.by_undo))
}

/// Something broken may be what was there before a restore of this Grafana: it says so, or nobody knows.
fn may_be_of(path: &Path, target: &TargetName, is_whose: bool) -> bool {
    let manifest: Option<Value> =
        regular::read(path, regular::LARGE).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let Some(manifest) = manifest else { return is_whose };
    manifest["kind"] == KIND
        && manifest["source"]["target"] == target.as_str()
        && manifest["contents"]["before_restore"]["by_undo"] != true
}
