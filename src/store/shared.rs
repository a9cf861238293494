//! Files that several backups share: stored once, as soon as they are complete, and removed with the last backup that
//! names them.
//!
//! ```text
//! blocks/<KEY>-<8 hex of the content>.tar.gz    the file
//! blocks/<KEY>-<8 hex of the content>.json      its description: immutable but for what it says of the source, sealed
//! blocks/state.json                             when each was read back, and what came of it; losing it costs dates
//! ```
//!
//! A shared file exists exactly when its description does: that is written after the file and removed before it. So a
//! first backup that is cut goes on where it stopped, and a manifest never names a file that is not whole. A name is
//! never given to other bytes than it had: what a manifest of long ago says of a file stays true.

mod checks;
mod name;
mod publish;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::error::{At as _, StoreError};
use super::{ExclusiveLock, JobStore, Left, Listing, StoredFile, atomic, sealed};
use crate::config::values::Compression;
use crate::regular;
use crate::words;

pub(super) use checks::Checks;
pub(super) use name::is_shared;
pub use name::key_of;
use name::{is_stem, stem_of};
pub use publish::{Novelty, Published};

/// The folder of the shared files, in the job's.
pub(super) const FOLDER: &str = "blocks";
/// The last field of a description.
const SEAL: &str = "description_sha256";
/// How long a file that no backup names is spared: a first backup that was cut is to find it again.
const SPARED: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A file that backups share, as its description tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SharedFile {
    /// The stored file; its name begins with `blocks/`.
    pub file: StoredFile,
    /// SHA-256 of what is in it.
    pub content_sha256: String,
    /// How it was compressed.
    pub compression: Compression,
    /// When it was stored.
    pub created: Timestamp,
    /// What is in it, as its kind describes it.
    pub about: serde_json::Value,
}

/// What the maker of a shared file says about it.
#[derive(Debug, Clone)]
pub struct SharedDraft<'a> {
    /// What it is looked up by: letters and digits.
    pub key: &'a str,
    /// SHA-256 of what is in it, in hexadecimal.
    pub content_sha256: String,
    /// How it was compressed.
    pub compression: Compression,
    /// What is in it.
    pub about: serde_json::Value,
}

/// The shared files of a job, by key.
#[derive(Debug)]
pub struct SharedIndex {
    folder: PathBuf,
    stems: BTreeSet<String>,
    checks: Arc<Checks>,
}

impl SharedIndex {
    /// The files of a key that are whole and not known to be bad, in the order of their names.
    pub fn good(&self, key: &str) -> Vec<SharedFile> {
        self.all(key).into_iter().filter(|shared| !self.is_bad(shared)).collect()
    }

    /// The files of a key that were bad when they were last read.
    pub fn bad(&self, key: &str) -> Vec<SharedFile> {
        self.all(key).into_iter().filter(|shared| self.is_bad(shared)).collect()
    }

    fn is_bad(&self, shared: &SharedFile) -> bool {
        self.checks.get(&shared.file.name).is_some_and(|check| check.problem.is_some())
            || size_of(&self.folder.join(&shared.file.name)) != Some(shared.file.size)
    }

    fn all(&self, key: &str) -> Vec<SharedFile> {
        let (from, to) = (format!("{key}-"), format!("{key}."));
        let stems = self.stems.range(from..to);
        // What cannot be read is stored anew, under another name.
        stems.filter_map(|stem| read_description(&self.folder, stem).ok().flatten()).collect()
    }
}

impl JobStore {
    /// The shared files that are there.
    pub fn shared(&self) -> Result<SharedIndex, StoreError> {
        let stems = shared_names(&self.folder)?
            .iter()
            .filter_map(|name| name.strip_suffix(".json"))
            .filter(|stem| is_stem(stem))
            .map(str::to_owned)
            .collect();
        Ok(SharedIndex { folder: self.folder.clone(), stems, checks: Arc::new(self.shared_checks()) })
    }

    /// What is wrong with the descriptions of the shared files that these backups name, one line each. Nobody needs one to
    /// restore; without, the next run stores the file once more.
    pub fn description_problems(&self, listing: &Listing) -> Vec<String> {
        let files = listing.backups.iter().flat_map(|backup| &backup.manifest.files);
        let files: BTreeSet<&str> =
            files.map(|file| file.name.as_str()).filter(|name| is_shared(name)).collect();
        files.into_iter().filter_map(|name| self.description_problem(name)).collect()
    }

    fn description_problem(&self, name: &str) -> Option<String> {
        let stem = stem_of(name)?;
        let path = description_path(&self.folder, stem);
        let problem = match read_description(&self.folder, stem) {
            Ok(Some(_)) => return None,
            Ok(None) => format!("{} is missing", path.display()),
            Err(error) => words::chain(&error),
        };
        Some(format!("{problem}; no restore needs it, and the next run stores {name} once more"))
    }

    /// Removes one shared file and its description. Returns the bytes of the file, if it was there.
    pub(super) fn remove_shared(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let path = self.folder.join(name);
        let size = size_of(&path);
        if let Some(stem) = stem_of(name).filter(|stem| self.describes_only(stem, name)) {
            let description = description_path(&self.folder, stem);
            atomic::remove_if_there(&description).at("remove", &description)?;
        }
        let removed = atomic::remove_if_there(&path).at("remove", &path)?;
        Ok(size.filter(|_| removed))
    }

    /// The description of the stem is that of no other file.
    fn describes_only(&self, stem: &str, name: &str) -> bool {
        match read_description(&self.folder, stem) {
            Ok(described) => described.is_none_or(|shared| shared.file.name == name),
            Err(_) => true,
        }
    }

    /// The shared files that none of the names in `claimed` is.
    pub(super) fn unclaimed(&self, claimed: &BTreeSet<String>) -> Result<Vec<StoredName>, StoreError> {
        let names = shared_names(&self.folder)?.into_iter().map(|name| format!("{FOLDER}/{name}"));
        let names = names.filter(|name| stem_of(name).is_some() && !claimed.contains(name));
        let sized = |name: String| size_of(&self.folder.join(&name)).map(|size| StoredName { name, size });
        Ok(names.filter_map(sized).collect())
    }

    /// Removes those files that no backup in `listing`, which is all there are, names and nobody will look for any
    /// more. Nothing where it is not known what a backup names: somebody may find its manifest again.
    pub fn sweep_shared(
        &self,
        guard: &ExclusiveLock,
        listing: &Listing,
        now: Timestamp,
    ) -> Result<SharedSwept, StoreError> {
        guard.must_cover(self)?;
        let mut swept = SharedSwept::default();
        self.sweep_half_written(now, &mut swept.left)?;
        if listing.unclaimed.in_doubt {
            return Ok(swept);
        }
        let files = listing.unclaimed.files.iter();
        for file in files.filter(|file| is_older(&self.folder.join(&file.name), now)) {
            if Left::note(self.remove_shared(&file.name), &mut swept.left)?.is_some() {
                swept.files.push(file.clone());
            }
        }
        self.forget_removed(&swept.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>())?;
        Ok(swept)
    }

    fn sweep_half_written(&self, now: Timestamp, left: &mut Vec<Left>) -> Result<(), StoreError> {
        for name in shared_names(&self.folder)?.iter().filter(|name| name.starts_with(atomic::TEMP_PREFIX)) {
            let path = self.folder.join(FOLDER).join(name);
            if is_older(&path, now) {
                Left::note(atomic::remove_if_there(&path).at("remove", &path), left)?;
            }
        }
        Ok(())
    }

    /// Brings it to disk that shared files are gone, and forgets when they were read.
    pub(super) fn forget_removed(&self, gone: &[&str]) -> Result<(), StoreError> {
        let folder = self.folder.join(FOLDER);
        if gone.is_empty() || !folder.exists() {
            return Ok(());
        }
        atomic::sync_folder(&folder).at("sync", &folder)?;
        self.forget_shared(gone)
    }
}

/// What a sweep of the shared files took away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SharedSwept {
    /// Files that no backup has named for days.
    pub files: Vec<StoredName>,
    /// What should have gone and is still there.
    pub left: Vec<Left>,
}

/// Files that backups could share and none does: left by a backup that was cut, or being stored just now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unclaimed {
    /// The files, sorted.
    pub files: Vec<StoredName>,
    /// Some manifest is lost, cannot be read or is about to be written: what it names is not known, so none of these is
    /// removed.
    pub in_doubt: bool,
}

/// A file in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredName {
    /// In the folder of the job.
    pub name: String,
    /// In bytes.
    pub size: u64,
}

impl Unclaimed {
    /// Bytes of all of them.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

fn description_path(folder: &Path, stem: &str) -> PathBuf {
    folder.join(FOLDER).join(format!("{stem}.json"))
}

/// The description of this stem; nothing where there is none.
fn read_description(folder: &Path, stem: &str) -> Result<Option<SharedFile>, StoreError> {
    let path = description_path(folder, stem);
    let bytes = match regular::read(&path, regular::NOTE) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.at("read", &path)?,
    };
    let bad = |problem: String| StoreError::Manifest { path: path.clone(), problem };
    sealed::check(&bytes, SEAL).map_err(|e| bad(e.to_string()))?;
    let shared: SharedFile = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
    if stem_of(&shared.file.name) != Some(stem) {
        return Err(bad(format!("it describes {:?}", shared.file.name)));
    }
    Ok(Some(shared))
}

/// The names in the folder of shared files, sorted; none where it is not there.
fn shared_names(folder: &Path) -> Result<Vec<String>, StoreError> {
    super::names_in(&folder.join(FOLDER))
}

fn size_of(path: &Path) -> Option<u64> {
    fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file).map(|metadata| metadata.len())
}

/// By the clock of the file system; what is from the future is young.
fn is_older(path: &Path, now: Timestamp) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|metadata| metadata.modified()).ok();
    let modified = modified.and_then(|time| Timestamp::try_from(time).ok());
    modified.is_some_and(|modified| now.duration_since(modified) > SPARED)
}
