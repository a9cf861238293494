//! The backup that is restored: verified, unpacked, and found to be a whole export.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::RestoreError;
use crate::config::values::JobName;
use crate::grafana::KIND;
use crate::grafana::bundle::{Bundle, BundleError};
use crate::progress::Progress;
use crate::regular;
use crate::store::archive::{is_archive, open_archive};
use crate::store::digest::Hashing;
use crate::store::halfway::{Halfway, must_be_empty};
use crate::store::{ArchiveError, Backup, EntryKind, StoreError};

/// A backup that is an export of a Grafana.
#[derive(Debug, Clone)]
pub struct GrafanaBackup {
    /// What it is called: `JOB/ID`, or the path of its archive.
    pub title: String,
    /// When it was made, where that is known.
    pub created: Option<Timestamp>,
    /// The job that made it, where that is known.
    pub job: Option<JobName>,
    /// The Grafana that it is from, as the configuration of then calls it; empty where that is not known.
    pub target: String,
    archive: PathBuf,
    /// Its manifest, where there is one.
    backup: Option<Backup>,
}

impl GrafanaBackup {
    /// Takes a backup that is one.
    pub fn of(backup: Backup) -> Result<Self, RestoreError> {
        let manifest = &backup.manifest;
        let title = format!("{}/{}", manifest.job, backup.id());
        // A manifest names at least one file, and an export is one archive.
        let Some(file) = manifest.files.first().filter(|_| manifest.kind == KIND) else {
            return Err(RestoreError::OtherKind { title, kind: manifest.kind.clone() });
        };
        Ok(Self {
            title,
            created: Some(manifest.created),
            job: Some(manifest.job.clone()),
            target: manifest.source.target.clone(),
            archive: backup.path_of(file),
            backup: Some(backup),
        })
    }

    /// What lies at a path: a manifest, a folder in which the newest one is meant, or an archive, alone or beside its
    /// manifest.
    pub fn outside(path: &Path) -> Result<Self, RestoreError> {
        match Backup::manifest_at(path) {
            Some(manifest) => Self::of(Backup::outside(&manifest)?),
            None if path.is_dir() || !path.exists() => Err(RestoreError::NoBackup { path: path.to_owned() }),
            None if matches!(is_archive(path), Ok(false)) => {
                let problem = "it is no archive".to_owned();
                Err(BundleError::NotOurs { path: path.to_owned(), problem }.into())
            }
            None => {
                let (title, archive) = (path.display().to_string(), path.to_owned());
                Ok(Self { title, created: None, job: None, target: String::new(), archive, backup: None })
            }
        }
    }

    /// What it was made from, where a manifest tells it: `grafana-export of main (http://grafana:3000)`.
    pub fn made_from(&self) -> Option<String> {
        Some(self.backup.as_ref()?.manifest.made_from())
    }

    /// What no other contents have, wherever they lie: the SHA-256 of the archive.
    pub(super) fn identity(&self) -> Result<String, RestoreError> {
        if let Some(file) = self.backup.iter().flat_map(|backup| &backup.manifest.files).next() {
            return Ok(file.sha256.clone());
        }
        let failed = |source| RestoreError::Place { doing: "read", path: self.archive.clone(), source };
        let mut hashing = Hashing::new(regular::open_named(&self.archive).map_err(failed)?);
        io::copy(&mut hashing, &mut io::sink()).map_err(failed)?;
        Ok(hashing.finish().2)
    }

    /// Reads all of it, compares it with its hashes, and leaves its objects in a folder of `spool`.
    pub fn open(
        &self,
        spool: &Path,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<Bundle, RestoreError> {
        let step = progress.step("verify the backup", self.backup.as_ref().map(Backup::size));
        for (backup, file) in
            self.backup.iter().flat_map(|backup| backup.manifest.files.iter().map(move |file| (backup, file)))
        {
            if let Some(problem) = backup.check_file(file, &step, cancel)? {
                return Err(StoreError::Broken { path: backup.path_of(file), problem }.into());
            }
        }
        let bundle = Bundle::open(&self.archive, spool, cancel)?;
        step.finish(match self.backup {
            Some(_) => "its hash is the one in its manifest, and every object that it counts is there",
            None => "it is whole, and every object that it counts is there",
        });
        Ok(bundle)
    }

    /// Checks it as a restore does, and unpacks its files below an empty folder, where nobody but their owner reads
    /// them: there may be secrets in them. Returns how many there are.
    pub fn unpack(&self, into: &Path, cancel: &CancellationToken) -> Result<usize, RestoreError> {
        let place = |doing, path: &Path| {
            let path = path.to_owned();
            move |source| RestoreError::Place { doing, path, source }
        };
        let make = |folder: &Path| DirBuilder::new().recursive(true).mode(0o700).create(folder);
        make(into).map_err(place("create the folder", into))?;
        must_be_empty(into).map_err(place("unpack into", into))?;
        // What lies there while it is checked goes again.
        drop(self.open(into, &Progress::silent(), cancel)?);
        let halfway = Halfway::begin(into, &self.title).map_err(place("unpack into", into))?;
        let path = self.archive.clone();
        let mut files = 0;
        let read = open_archive(&path, cancel, &mut |entry, content| {
            let to = into.join(&entry.path);
            let written = |source| ArchiveError::Input { path: entry.path.clone(), source };
            if entry.kind == EntryKind::Folder {
                return make(&to).map_err(written);
            }
            make(to.parent().unwrap_or(into)).map_err(written)?;
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&to).map_err(written)?;
            io::copy(content, &mut file).map_err(written)?;
            files += 1;
            Ok(())
        });
        read.map_err(|source| StoreError::Archive { path, source })?;
        halfway.end().map_err(place("unpack into", into))?;
        Ok(files)
    }
}
