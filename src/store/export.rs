//! A backup as one archive outside of the store.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::archive::{ArchiveError, ArchiveWriter, EntryKind, open_archive};
use super::error::{At as _, StoreError};
use super::unnamed::Unnamed;
use super::{Backup, Layout, StoredFile, atomic, owner, shared};
use crate::config::values::{Codec, Compression};
use crate::progress::StepGuard;

/// The small files of each block: their names, times and contents.
type SmallFiles = BTreeMap<String, Vec<SmallFile>>;

struct SmallFile {
    path: String,
    mtime: u64,
    bytes: Vec<u8>,
}

impl Backup {
    /// Writes all of it into one archive at `to`, where nothing may be yet: what the layout `archive` has made of it.
    /// Every stored file is verified before. The codec is that of the name.
    pub fn export(
        &self,
        to: &Path,
        step: &StepGuard,
        cancel: &CancellationToken,
    ) -> Result<StoredFile, StoreError> {
        let unfit = |problem| StoreError::Target { path: to.to_owned(), problem };
        let name = to.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let codec =
            Codec::of_name(name).ok_or_else(|| unfit("it does not end in .tar.gz, .tar.zst or .tar"))?;
        if to.symlink_metadata().is_ok() {
            return Err(unfit("it is there already"));
        }
        for file in &self.manifest.files {
            if let Some(problem) = self.check_file(file, step, cancel)? {
                return Err(StoreError::Broken { path: self.path_of(file), problem });
            }
        }
        let folder = owner::parent(to);
        let unnamed = Unnamed::begin(folder).at("write into", folder)?;
        let file = unnamed.file().at("write into", folder)?;
        let written = |source| StoreError::Archive { path: to.to_owned(), source };
        let writer =
            ArchiveWriter::new(file, to, Compression::from(codec), Arc::default()).map_err(written)?;
        let stored = Join { backup: self, step, cancel }.write(writer)?;
        unnamed.publish(to).at("create", to)?;
        atomic::sync_folder(folder).at("sync", folder)?;
        Ok(stored)
    }
}

/// Brings the archives of a backup together.
struct Join<'a> {
    backup: &'a Backup,
    step: &'a StepGuard,
    cancel: &'a CancellationToken,
}

impl Join<'_> {
    fn write(&self, mut writer: ArchiveWriter) -> Result<StoredFile, StoreError> {
        let files = &self.backup.manifest.files;
        let mut small = SmallFiles::new();
        if self.backup.manifest.layout == Layout::Blocks {
            for file in files.iter().filter(|file| !shared::is_shared(&file.name)) {
                self.read_small(file, &mut small)?;
            }
        }
        for file in files {
            match shared::key_of(&file.name) {
                Some(block) => {
                    self.append(file, &mut writer)?;
                    let small = small.remove(block).unwrap_or_default();
                    small
                        .iter()
                        .try_for_each(|small| put(&mut writer, small))
                        .map_err(|e| self.failed(file, e))?;
                }
                None if self.backup.manifest.layout == Layout::Archive => self.append(file, &mut writer)?,
                None => {}
            }
        }
        let path = self.backup.folder.clone();
        writer.finish().map_err(|source| StoreError::Archive { path, source })
    }

    fn read_small(&self, file: &StoredFile, small: &mut SmallFiles) -> Result<(), StoreError> {
        let path = self.backup.path_of(file);
        let read = open_archive(&path, self.cancel, &mut |entry, content| {
            if let (EntryKind::File, Some((block, _))) = (entry.kind, entry.path.split_once('/')) {
                let mut bytes = Vec::new();
                content.read_to_end(&mut bytes).map_err(|source| ArchiveError::Read { source })?;
                let file = SmallFile { path: entry.path.clone(), mtime: entry.mtime, bytes };
                small.entry(block.to_owned()).or_default().push(file);
            }
            Ok(())
        });
        read.map_err(|source| self.failed(file, source))
    }

    fn append(&self, file: &StoredFile, writer: &mut ArchiveWriter) -> Result<(), StoreError> {
        let path: PathBuf = self.backup.path_of(file);
        let read = open_archive(&path, self.cancel, &mut |entry, content| match entry.kind {
            EntryKind::Folder => writer.folder(&entry.path, entry.mode),
            EntryKind::File => {
                self.step.add(entry.size);
                writer.file(&entry.path, entry.mode, entry.mtime, entry.size, content)
            }
        });
        read.map_err(|source| self.failed(file, source))
    }

    fn failed(&self, file: &StoredFile, source: ArchiveError) -> StoreError {
        match source {
            ArchiveError::Cancelled => StoreError::Cancelled,
            source => StoreError::Archive { path: self.backup.path_of(file), source },
        }
    }
}

fn put(writer: &mut ArchiveWriter, small: &SmallFile) -> Result<(), ArchiveError> {
    let mut bytes: &mut dyn io::Read = &mut small.bytes.as_slice();
    writer.file(&small.path, 0o644, small.mtime, small.bytes.len() as u64, &mut bytes)
}
