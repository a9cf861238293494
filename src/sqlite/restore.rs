//! The restore of a database: proven beside the old one, swapped in by renames while nobody has it open, and taken back
//! when its application is not well with it.
//!
//! The old database is set aside together with its -wal and -shm, which hold its newest transactions. What was done is
//! noted before it is done, so that a restore that was killed anywhere is taken back by `--undo`.

mod apply;
mod error;
mod holders;
mod note;
mod plan;
mod site;
mod swap;
mod undo;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::error::file;
use super::{KIND, SqliteContents, SqliteError};
use crate::room::Room;
use crate::store::archive::{ArchiveError, EntryKind, open_archive};
use crate::store::atomic::rename_new;
use crate::store::digest::Hashing;
use crate::store::{Backup, StoreError};

pub use apply::{Restored, apply};
pub use error::RestoreError;
pub use note::Notes;
pub use plan::{RestorePlan, TableChange, plan};
pub use site::{Health, Site};
pub use undo::{Taken, Undone, discard_old, undo};

/// A backup of a database, to be restored.
#[derive(Debug, Clone)]
pub struct SqliteBackup {
    /// The backup.
    pub backup: Backup,
    /// What it holds.
    pub contents: SqliteContents,
}

impl SqliteBackup {
    /// Takes a backup for one of a database.
    pub fn of(backup: Backup) -> Result<Self, SqliteError> {
        let manifest = &backup.manifest;
        if manifest.kind != KIND {
            let title = format!("{}/{}", manifest.job, manifest.id);
            return Err(RestoreError::OtherKind { title, kind: manifest.kind.clone() }.into());
        }
        let contents = backup.contents()?;
        Ok(Self { backup, contents })
    }

    /// `JOB/ID`
    pub fn title(&self) -> String {
        format!("{}/{}", self.backup.manifest.job, self.backup.manifest.id)
    }

    /// Writes the database into an empty folder, and checks it there. It has its name only when it is whole.
    pub fn unpack(&self, folder: &Path, cancel: &CancellationToken) -> Result<PathBuf, SqliteError> {
        let is_new = !folder.exists();
        fs::create_dir_all(folder).map_err(file("create the folder", folder))?;
        if folder.read_dir().map_err(file("list", folder))?.next().is_some() {
            return Err(file("unpack into", folder)(io::ErrorKind::DirectoryNotEmpty.into()));
        }
        // The manifest is sealed, but a name is only a name.
        let name = Path::new(&self.contents.file).file_name().unwrap_or_default();
        let (to, partial) = (folder.join(name), folder.join(".partial.db"));
        let written = self.write(&partial, cancel).and_then(|()| self.prove(&partial));
        let named = written.and_then(|()| rename_new(&partial, &to).map_err(file("rename", &partial)));
        if let Err(error) = named {
            // Why it could not be written is told, not what else could not be done then.
            let _ = fs::remove_file(&partial);
            if is_new {
                let _ = fs::remove_dir(folder);
            }
            return Err(error);
        }
        Ok(to)
    }

    /// Writes the database to a new file and compares it with the manifest.
    fn write(&self, to: &Path, cancel: &CancellationToken) -> Result<(), SqliteError> {
        // Before the archive is opened: that is not to blame where nothing can be written.
        let folder = to.parent().unwrap_or(to);
        let target = File::create_new(to).map_err(file("write to the folder", folder))?;
        let mut written = None;
        for stored in &self.backup.manifest.files {
            let path = self.backup.path_of(stored);
            let read = open_archive(&path, cancel, &mut |entry, content| {
                if entry.kind != EntryKind::File || entry.path != self.contents.file || written.is_some() {
                    return Ok(());
                }
                let copied = (|| {
                    Room::of(&target)?.require(entry.size)?;
                    let mut hashing = Hashing::new(content);
                    io::copy(&mut hashing, &mut &target)?;
                    target.sync_all()?;
                    Ok(hashing.finish().2)
                })();
                written = Some(copied.map_err(|error: io::Error| ArchiveError::visit(&entry.path, error))?);
                Ok(())
            });
            read.map_err(|source| match source {
                ArchiveError::Cancelled => SqliteError::Cancelled,
                source => StoreError::Archive { path, source }.into(),
            })?;
        }
        if written.as_deref() == Some(self.contents.sha256.as_str()) {
            return Ok(());
        }
        Err(RestoreError::Differs { title: self.title() }.into())
    }

    /// The file is a database, and holds what the manifest says.
    fn prove(&self, path: &Path) -> Result<(), SqliteError> {
        let found = SqliteContents::of_copy(path, &self.contents.database, &self.contents.method)?;
        let same = found.tables == self.contents.tables
            && found.schema_sha256 == self.contents.schema_sha256
            && found.damage.is_empty();
        // Of one that was damaged at its source nothing is promised.
        if same || !self.contents.damage.is_empty() {
            return Ok(());
        }
        Err(RestoreError::Differs { title: self.title() }.into())
    }
}
