//! Storing a file that backups share: under a name that has no other bytes, or not at all where its content is there.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{FOLDER, SEAL, SharedDraft, SharedFile, description_path, name, read_description, size_of};
use crate::config::values::{Codec, Compression};
use crate::progress::StepGuard;
use crate::store::archive::ArchiveWriter;
use crate::store::error::{At as _, StoreError};
use crate::store::{How, Pending, StoredFile, Verified, atomic, owner, pending, sealed, verify};

/// So many files may have the same key and content and yet other bytes, before something must be wrong.
const MOST_TWINS: u32 = 100;

/// What came of storing a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// The file that holds the content now.
    pub file: SharedFile,
    /// Whether the store had it.
    pub how: Novelty,
    /// Where a folder is now that stood in place of the file.
    pub set_aside: Option<PathBuf>,
}

/// Whether the store had a content before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Novelty {
    /// It did not.
    New,
    /// It had it in a file that was bad, and that is good again.
    Mended,
    /// It did: nothing was stored.
    Known,
}

/// Where a content goes.
enum Place {
    /// It is in this good file already.
    There(SharedFile),
    /// Into the file of this stem: there is none, or it has, or should have, the very same bytes.
    Into(String, Novelty),
}

impl Pending {
    /// Keeps backups and the files they share from being removed while this backup relies on them.
    pub fn rely_on_shared(&mut self) -> Result<(), StoreError> {
        self.relies = Some(self.job.lock_shared(pending::BRIEF)?);
        Ok(())
    }

    /// Begins a file that later backups will share.
    pub fn begin_shared(&self, compression: Compression) -> Result<ArchiveWriter, StoreError> {
        let path = self.dir().join(format!("shared{}", compression.codec.suffix()));
        atomic::remove_if_there(&path).at("remove", &path)?;
        let file = File::create_new(&path).at("create", &path)?;
        owner::settle_file(&file, &path, owner::FILE_MODE).at("create", &path)?;
        ArchiveWriter::new(file, &path, compression, Arc::default())
            .map_err(|source| StoreError::Archive { path, source })
    }

    /// Reads a finished file back and publishes it for this and later backups. Where a good file of the same content
    /// is there already, that one stays, described anew. Where it is bad and would have the same bytes, this takes
    /// its place, which mends every backup that names it.
    pub fn publish_shared(
        &self,
        written: &StoredFile,
        draft: SharedDraft<'_>,
        progress: &StepGuard,
        cancel: &CancellationToken,
    ) -> Result<Published, StoreError> {
        let from = self.dir().join(&written.name);
        verify::read_back(&from, written, progress, cancel)?;
        let folder = self.job.folder.join(FOLDER);
        owner::create_folder(&folder, owner::FOLDER_MODE).at("create the folder", &folder)?;
        let _names = self.job.lock_names()?;
        let (stem, how) = match self.place_for(written, &draft, progress, cancel)? {
            Place::There(shared) => return self.describe_anew(&shared, draft),
            Place::Into(stem, how) => (stem, how),
        };
        let name = format!("{FOLDER}/{stem}{}", draft.compression.codec.suffix());
        let shared = SharedFile {
            file: StoredFile { name, ..written.clone() },
            content_sha256: draft.content_sha256,
            compression: draft.compression,
            created: self.now,
            about: draft.about,
        };
        let to = self.job.folder.join(&shared.file.name);
        let set_aside = set_folder_aside(&to)?;
        fs::rename(&from, &to).at("publish", &to)?;
        atomic::sync_folder(&folder).at("sync", &folder)?;
        if let Err(error) = self.describe(&shared) {
            // Without its description nobody would find it, and a disk that is full needs the room.
            if how == Novelty::New {
                let _ = fs::remove_file(&to);
            }
            return Err(error);
        }
        self.forget_what_was_wrong(&shared)?;
        Ok(Published { file: shared, how, set_aside })
    }

    /// A file of the name was there before, and what was found when that was read is still noted.
    fn forget_what_was_wrong(&self, shared: &SharedFile) -> Result<(), StoreError> {
        if !self.job.shared_checks().contains_key(&shared.file.name) {
            return Ok(());
        }
        let verified = Verified { when: self.now, how: How::Published, problem: None };
        self.job.rewrite_checks(|checks| drop(checks.insert(shared.file.name.clone(), verified)))
    }

    /// The content is there; what its source says of itself, as the times of its files, may have changed.
    fn describe_anew(&self, there: &SharedFile, draft: SharedDraft<'_>) -> Result<Published, StoreError> {
        let shared = SharedFile { about: draft.about, ..there.clone() };
        if shared != *there {
            self.describe(&shared)?;
        }
        Ok(Published { file: shared, how: Novelty::Known, set_aside: None })
    }

    fn describe(&self, shared: &SharedFile) -> Result<(), StoreError> {
        let stem = name::stem_of(&shared.file.name).unwrap_or_default();
        let path = description_path(&self.job.folder, stem);
        let bytes = sealed::seal(shared, SEAL).map_err(io::Error::from).at("write", &path)?;
        atomic::replace(&path, &bytes, owner::FILE_MODE).at("publish", &path)
    }

    /// Of all names that a content may have, the one that is right for it: that of a bad file that it mends, else that
    /// of a good one, else that of a file which lost its description, else a free one.
    fn place_for(
        &self,
        written: &StoredFile,
        draft: &SharedDraft<'_>,
        progress: &StepGuard,
        cancel: &CancellationToken,
    ) -> Result<Place, StoreError> {
        let folder = &self.job.folder;
        let content = draft.content_sha256.get(..8).unwrap_or("00000000");
        let base = format!("{}-{content}", draft.key);
        let (mut there, mut lost) = (None, None);
        for number in 1..MOST_TWINS {
            let stem = if number == 1 { base.clone() } else { format!("{base}-{number}") };
            match read_description(folder, &stem) {
                Ok(Some(other)) if other.content_sha256 != draft.content_sha256 => {}
                Ok(Some(same)) if !self.is_bad(&same) => drop(there.get_or_insert(same)),
                Ok(Some(bad)) if bad.file.sha256 == written.sha256 => {
                    return Ok(Place::Into(stem, Novelty::Mended));
                }
                Ok(Some(_)) => {}
                Ok(None) if !has_file(folder, &stem) => {
                    let free = || lost.unwrap_or(Place::Into(stem, Novelty::New));
                    return Ok(there.map_or_else(free, Place::There));
                }
                // Somebody lost its description, or a crash came before it.
                Ok(None) | Err(_) => {
                    let mine = folder.join(format!("{FOLDER}/{stem}{}", draft.compression.codec.suffix()));
                    if there.is_none() && lost.is_none() && is_the_same(&mine, written, progress, cancel)? {
                        lost = Some(Place::Into(stem, Novelty::Known));
                    }
                }
            }
        }
        let problem = "too many files of the same content are there already";
        let full = || StoreError::Unready { path: folder.join(FOLDER).join(base), problem };
        there.map(Place::There).or(lost).ok_or_else(full)
    }

    fn is_bad(&self, there: &SharedFile) -> bool {
        let is_whole = size_of(&self.job.folder.join(&there.file.name)) == Some(there.file.size);
        let checks = self.job.shared_checks();
        !is_whole || checks.get(&there.file.name).is_some_and(|check| check.problem.is_some())
    }
}

/// A folder where a file belongs is none of ours: it is moved aside with all that is in it, so that the file can be
/// there. Returns where it is then.
fn set_folder_aside(path: &Path) -> Result<Option<PathBuf>, StoreError> {
    if !fs::symlink_metadata(path).is_ok_and(|there| there.is_dir()) {
        return Ok(None);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = |number: u32| path.with_file_name(format!("{name}.set-aside-{number}"));
    let free = (1..MOST_TWINS).map(aside).find(|aside| aside.symlink_metadata().is_err());
    let problem = "a folder stands in its place, and too many were set aside already";
    let free = free.ok_or_else(|| StoreError::Unready { path: path.to_owned(), problem })?;
    fs::rename(path, &free).at("set aside", path)?;
    Ok(Some(free))
}

/// A file of this stem is there, whatever its codec.
fn has_file(folder: &Path, stem: &str) -> bool {
    Codec::ALL
        .iter()
        .any(|codec| folder.join(format!("{FOLDER}/{stem}{}", codec.suffix())).symlink_metadata().is_ok())
}

/// The file at `path` has the bytes that were written.
fn is_the_same(
    path: &Path,
    written: &StoredFile,
    progress: &StepGuard,
    cancel: &CancellationToken,
) -> Result<bool, StoreError> {
    if size_of(path) != Some(written.size) {
        return Ok(false);
    }
    match verify::read_back(path, written, progress, cancel) {
        Err(StoreError::Cancelled) => Err(StoreError::Cancelled),
        compared => Ok(compared.is_ok()),
    }
}
