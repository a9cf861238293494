//! The journal of a restore, in its work folder inside the data folder: what goes with the data cannot be lost
//! without them.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::error::{At as _, FolderOpError};
use super::{Phase, RestoreNote, RestoreState, files, work_folder};
use crate::regular;
use crate::store::atomic;

/// A restore's journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    pub(super) note: RestoreNote,
    pub(super) phase: Phase,
    /// The staged blocks were read and found good.
    pub(super) checked: bool,
    /// The file system exchanges two names in one step.
    pub(super) exchanges: bool,
    /// Prometheus was stopped for it, and nobody has noted that it runs again.
    #[serde(default)]
    pub(super) down: bool,
}

/// A restore's work folder and journal.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) folder: PathBuf,
    pub(super) journal: Journal,
}

impl Work {
    /// Where the new data are staged, and where what is live goes when the old comes back.
    pub(super) fn new_side(&self) -> PathBuf {
        self.folder.join("new")
    }

    /// Where the old data are set aside.
    pub(super) fn old_side(&self) -> PathBuf {
        self.folder.join("old")
    }

    /// Opens the restore of this identity.
    pub(super) fn open(root: &Path, restore: Ulid) -> Result<Self, FolderOpError> {
        let folder = root.join(work_folder(restore));
        let path = folder.join("journal.json");
        let bytes = regular::read(&path, regular::NOTE).at("read the journal of the restore", &path)?;
        let journal = serde_json::from_slice(&bytes)
            .map_err(|e| FolderOpError::refused(format!("{} is damaged: {e}", path.display()), ""))?;
        Ok(Self { folder, journal })
    }

    /// Notes a phase durably.
    pub(super) fn enter(&mut self, phase: Phase) -> Result<(), FolderOpError> {
        self.journal.phase = phase;
        self.save()
    }

    pub(super) fn save(&self) -> Result<(), FolderOpError> {
        let path = self.folder.join("journal.json");
        let bytes =
            serde_json::to_vec_pretty(&self.journal).map_err(std::io::Error::other).at("write", &path)?;
        atomic::replace_alone(&path, &bytes, 0o644).at("write", &path)
    }

    /// When the journal was last written: with each phase.
    fn changed(&self) -> Result<Timestamp, FolderOpError> {
        let path = self.folder.join("journal.json");
        let written = path.metadata().and_then(|metadata| metadata.modified()).at("look at", &path)?;
        Timestamp::try_from(written).map_err(std::io::Error::other).at("look at", &path)
    }

    /// The restore as it is now.
    pub(super) fn state(&self) -> Result<RestoreState, FolderOpError> {
        let aside = match self.journal.phase {
            Phase::Undone => self.new_side(),
            _ => self.old_side(),
        };
        Ok(RestoreState {
            note: self.journal.note.clone(),
            phase: self.journal.phase,
            changed: self.changed()?,
            set_aside_bytes: files::bytes(&aside)?,
            down: self.journal.down,
        })
    }
}

/// All restores of a data folder, oldest first. A work folder without a journal never began.
pub(super) fn all(root: &Path) -> Result<Vec<RestoreState>, FolderOpError> {
    let mut restores = Vec::new();
    for name in files::names(root)? {
        let id = name.strip_prefix(".watchkeeper-restore-").and_then(|id| Ulid::from_string(id).ok());
        if let Some(id) = id
            && root.join(&name).join("journal.json").exists()
        {
            restores.push(Work::open(root, id)?.state()?);
        }
    }
    restores.sort_by_key(|restore: &RestoreState| (restore.note.began, restore.note.restore));
    Ok(restores)
}
