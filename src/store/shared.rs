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

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::archive::ArchiveWriter;
use super::error::{At as _, StoreError};
use super::{
    ExclusiveLock, How, JobStore, Listing, Pending, StoredFile, Verified, atomic, owner, sealed, verify,
};
use crate::config::values::{Codec, Compression};
use crate::progress::StepGuard;

/// The folder of the shared files, in the job's.
pub(super) const FOLDER: &str = "blocks";
/// The last field of a description.
const SEAL: &str = "description_sha256";
/// The last field of the state of all shared files.
const STATE_SEAL: &str = "state_sha256";
/// How long a file that no backup names is spared: a first backup that was cut is to find it again.
const SPARED: SignedDuration = SignedDuration::from_hours(7 * 24);
/// So many files may have the same key and content and yet other bytes, before something must be wrong.
const MOST_TWINS: u32 = 100;

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

/// When shared files were read back, by name, and what came of it.
pub(super) type Checks = BTreeMap<String, Verified>;

#[derive(Default, Serialize, Deserialize)]
struct SharedState {
    #[serde(default)]
    verified: Checks,
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

    /// When each shared file was read back. Nothing where that was lost.
    pub(super) fn shared_checks(&self) -> Checks {
        let Ok(bytes) = fs::read(self.shared_state_path()) else { return Checks::new() };
        let state = sealed::check(&bytes, STATE_SEAL).ok().and_then(|()| serde_json::from_slice(&bytes).ok());
        state.map_or_else(Checks::new, |state: SharedState| state.verified)
    }

    /// Notes what came of reading shared files back.
    pub(super) fn note_shared(&self, checked: &Checks) -> Result<(), StoreError> {
        if checked.is_empty() {
            return Ok(());
        }
        self.change_shared_state(|checks| checks.extend(checked.iter().map(|(k, v)| (k.clone(), v.clone()))))
    }

    pub(super) fn change_shared_state(&self, change: impl FnOnce(&mut Checks)) -> Result<(), StoreError> {
        let _names = self.lock_names()?;
        let mut state = SharedState { verified: self.shared_checks() };
        change(&mut state.verified);
        let path = self.shared_state_path();
        let bytes = sealed::seal(&state, STATE_SEAL).map_err(io::Error::from).at("write", &path)?;
        atomic::replace(&path, &bytes, owner::FILE_MODE).at("write", &path)
    }

    fn shared_state_path(&self) -> PathBuf {
        self.folder.join(FOLDER).join("state.json")
    }

    /// Removes one shared file and its description. Returns the bytes of the file, if it was there.
    pub(super) fn remove_shared(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let path = self.folder.join(name);
        let size = size_of(&path);
        if let Some(stem) = stem_of(name) {
            let description = description_path(&self.folder, stem);
            atomic::remove_if_there(&description).at("remove", &description)?;
        }
        let removed = atomic::remove_if_there(&path).at("remove", &path)?;
        Ok(size.filter(|_| removed))
    }

    /// Removes what no backup in `listing`, which is all there are, names and nobody will look for any more.
    pub fn sweep_shared(
        &self,
        guard: &ExclusiveLock,
        listing: &Listing,
        now: Timestamp,
    ) -> Result<Vec<PathBuf>, StoreError> {
        guard.must_cover(self)?;
        let mut swept = Vec::new();
        // What a broken backup names is not known.
        if !listing.broken.is_empty() {
            return Ok(swept);
        }
        let files = listing.backups.iter().flat_map(|backup| &backup.manifest.files);
        let claimed: BTreeSet<&str> = files.map(|file| file.name.as_str()).collect();
        for name in shared_names(&self.folder)? {
            let relative = format!("{FOLDER}/{name}");
            let path = self.folder.join(&relative);
            let is_temporary = name.starts_with(atomic::TEMP_PREFIX);
            let is_unclaimed = stem_of(&relative).is_some() && !claimed.contains(relative.as_str());
            if (is_temporary || is_unclaimed) && is_older(&path, now) {
                self.remove_shared(&relative)?;
                swept.push(path);
            }
        }
        if !swept.is_empty() {
            let folder = self.folder.join(FOLDER);
            atomic::sync_folder(&folder).at("sync", &folder)?;
        }
        Ok(swept)
    }
}

impl Pending {
    /// Keeps backups and the files they share from being removed while this backup relies on them.
    pub fn rely_on_shared(&mut self) -> Result<(), StoreError> {
        self.relies = Some(self.job.lock_shared(super::pending::BRIEF)?);
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

    /// Reads a finished file back and publishes it for this and later backups. Where a file of the same bytes is there
    /// already, this takes its place, which mends it if it was bad.
    pub fn publish_shared(
        &self,
        written: &StoredFile,
        draft: SharedDraft<'_>,
        step: &StepGuard,
        cancel: &CancellationToken,
    ) -> Result<SharedFile, StoreError> {
        let from = self.dir().join(&written.name);
        verify::read_back(&from, written, step, cancel)?;
        let folder = self.job.folder.join(FOLDER);
        owner::create_folder(&folder, owner::FOLDER_MODE).at("create the folder", &folder)?;
        let names = self.job.lock_names()?;
        let free = self.free_stem(written, &draft)?;
        let name = format!("{FOLDER}/{free}{}", draft.compression.codec.suffix());
        let shared = SharedFile {
            file: StoredFile { name, ..written.clone() },
            content_sha256: draft.content_sha256,
            compression: draft.compression,
            created: self.now,
            about: draft.about,
        };
        let to = self.job.folder.join(&shared.file.name);
        let mended = to.exists();
        fs::rename(&from, &to).at("publish", &to)?;
        atomic::sync_folder(&folder).at("sync", &folder)?;
        let path = description_path(&self.job.folder, &free);
        let bytes = sealed::seal(&shared, SEAL).map_err(io::Error::from).at("write", &path)?;
        if let Err(error) = atomic::replace(&path, &bytes, owner::FILE_MODE) {
            // Without its description nobody would find it, and a disk that is full needs the room.
            if !mended {
                let _ = fs::remove_file(&to);
            }
            return Err(error).at("publish", &path);
        }
        drop(names);
        if mended {
            let verified = Verified { when: self.now, how: How::Published, problem: None };
            self.job.note_shared(&[(shared.file.name.clone(), verified)].into())?;
        }
        Ok(shared)
    }

    /// A name under which nothing is, or the same bytes.
    fn free_stem(&self, written: &StoredFile, draft: &SharedDraft<'_>) -> Result<String, StoreError> {
        let content = draft.content_sha256.get(..8).unwrap_or("00000000");
        let base = format!("{}-{content}", draft.key);
        for number in 1..MOST_TWINS {
            let stem = if number == 1 { base.clone() } else { format!("{base}-{number}") };
            let file = self.job.folder.join(format!("{FOLDER}/{stem}{}", draft.compression.codec.suffix()));
            match read_description(&self.job.folder, &stem) {
                Ok(Some(there)) if there.file.sha256 == written.sha256 => return Ok(stem),
                Ok(None) if !file.exists() => return Ok(stem),
                _ => {}
            }
        }
        let problem = "too many files of the same content are there already";
        Err(StoreError::Unready { path: self.job.folder.join(FOLDER).join(base), problem })
    }
}

/// Whether a stored file is shared.
pub(super) fn is_shared(name: &str) -> bool {
    name.starts_with("blocks/")
}

/// The key of a shared file's name: `blocks/<KEY>-….tar.gz`.
pub fn key_of(name: &str) -> Option<&str> {
    stem_of(name)?.split('-').next()
}

fn stem_of(name: &str) -> Option<&str> {
    let name = name.strip_prefix("blocks/")?;
    let stem = name.strip_suffix(Codec::of_name(name)?.suffix())?;
    is_stem(stem).then_some(stem)
}

/// `<KEY>-<8 hex>`, or that and a number.
fn is_stem(stem: &str) -> bool {
    let mut parts = stem.split('-');
    let (key, content, number, rest) = (parts.next(), parts.next(), parts.next(), parts.next());
    key.is_some_and(|key| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric()))
        && content.is_some_and(|hex| hex.len() == 8 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
        && number.is_none_or(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
        && rest.is_none()
}

fn description_path(folder: &Path, stem: &str) -> PathBuf {
    folder.join(FOLDER).join(format!("{stem}.json"))
}

/// The description of this stem; nothing where there is none.
fn read_description(folder: &Path, stem: &str) -> Result<Option<SharedFile>, StoreError> {
    let path = description_path(folder, stem);
    let bytes = match fs::read(&path) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Progress;
    use crate::store::{Backup, Layout, testing};
    use std::time::Duration as Wait;
    use ulid::Ulid;

    const GZIP: Compression = Compression { codec: Codec::Gzip, level: 6 };

    /// Stores `content` under `key` in a backup that is being made.
    fn store(pending: &Pending, key: &str, content: &[u8], compression: Compression) -> SharedFile {
        let mut writer = pending.begin_shared(compression).unwrap();
        writer.file("b/index", 0o644, 0, content.len() as u64, &mut &content[..]).unwrap();
        let written = writer.finish().unwrap();
        let draft = SharedDraft {
            key,
            content_sha256: crate::store::digest::sha256(content),
            compression,
            about: serde_json::json!({ "of": key }),
        };
        let (step, cancel) = (Progress::silent().step("store", None), CancellationToken::new());
        pending.publish_shared(&written, draft, &step, &cancel).unwrap()
    }

    /// A backup some seconds after the first that consists of these blocks, each of its own name as content.
    fn backup(job: &JobStore, seconds: i64, keys: &[&str]) -> Backup {
        let mut pending = testing::written(job, seconds);
        pending.rely_on_shared().unwrap();
        let index = job.shared().unwrap();
        let file = |key: &&str| {
            let known = index.good(key).pop();
            known.unwrap_or_else(|| store(&pending, key, key.as_bytes(), GZIP)).file
        };
        let shared = keys.iter().map(file).collect();
        let draft = super::super::Draft { layout: Layout::Blocks, shared, ..testing::draft(seconds) };
        let step = Progress::silent().step("publish", None);
        pending.publish(draft, &step, &CancellationToken::new()).unwrap()
    }

    fn lock(job: &JobStore) -> ExclusiveLock {
        job.lock_exclusive(Wait::ZERO).unwrap()
    }

    fn files(job: &JobStore) -> Vec<String> {
        let names = shared_names(job.folder()).unwrap();
        names.into_iter().filter(|name| Codec::of_name(name).is_some()).collect()
    }

    fn damage(job: &JobStore, file: &SharedFile) {
        let path = job.folder().join(&file.file.name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[20] ^= 1;
        atomic::replace(&path, &bytes, 0o640).unwrap();
    }

    fn verify(job: &JobStore, backup: &Backup) -> bool {
        let (step, cancel) = (Progress::silent().step("verify", None), CancellationToken::new());
        job.verify(backup, testing::at(50), &step, &cancel).unwrap().is_good()
    }

    #[test]
    fn what_two_backups_share_is_stored_once_and_goes_with_the_last_of_them() {
        let (_dir, job) = testing::job();
        let one = backup(&job, 0, &["A", "B"]);
        let two = backup(&job, 1, &["B", "C"]);
        assert_eq!(files(&job).len(), 3);
        job.remove(&lock(&job), &[one.id().clone()]).unwrap();
        assert_eq!(files(&job).iter().map(|name| &name[..1]).collect::<Vec<_>>(), ["B", "C"]);
        let left: Vec<_> = job.list().unwrap().backups.iter().map(|backup| backup.id().clone()).collect();
        assert_eq!((left, job.list().unwrap().broken), (vec![two.id().clone()], vec![]));
        let removed = job.remove(&lock(&job), &[two.id().clone()]).unwrap();
        assert_eq!((removed.files, removed.bytes), (3, two.size()));
        assert_eq!(shared_names(job.folder()).unwrap(), ["state.json"]);
        assert_eq!(job.shared_checks(), Checks::new());
    }

    #[test]
    fn what_a_cut_backup_has_stored_is_found_by_the_next_and_swept_after_days() {
        let (_dir, job) = testing::job();
        let pending = job.begin(Ulid::from_parts(1, 1), testing::now()).unwrap();
        let stored = store(&pending, "A", b"A", GZIP);
        pending.crash();
        assert_eq!(job.shared().unwrap().good("A"), [stored]);
        let soon = Timestamp::now();
        let sweep = |now| job.sweep_shared(&lock(&job), &job.list().unwrap(), now).unwrap();
        sweep(soon);
        assert_eq!(files(&job).len(), 1);
        let kept = backup(&job, 1, &["B"]);
        sweep(soon + SPARED + SignedDuration::from_mins(1));
        assert_eq!(files(&job).iter().map(|name| &name[..1]).collect::<Vec<_>>(), ["B"]);
        assert_eq!(job.list().unwrap().backups, [kept]);
    }

    #[test]
    fn nothing_is_swept_while_a_manifest_cannot_be_read() {
        let (_dir, job) = testing::job();
        let one = backup(&job, 0, &["A"]);
        atomic::replace(&job.manifest_path(one.id()), b"{", 0o640).unwrap();
        job.sweep_shared(&lock(&job), &job.list().unwrap(), Timestamp::now() + SPARED * 2).unwrap();
        assert_eq!(files(&job).len(), 1);
    }

    #[test]
    fn a_bad_file_makes_every_backup_bad_that_shares_it_and_storing_it_anew_makes_them_good() {
        let (_dir, job) = testing::job();
        let made = [0, 1].map(|second| backup(&job, second, &["A", "B"]));
        let file = job.shared().unwrap().good("A").remove(0);
        damage(&job, &file);
        assert!(!verify(&job, &made[1]));
        assert!(job.list().unwrap().backups.iter().all(|backup| !backup.is_good()));
        assert_eq!((job.shared().unwrap().good("A"), job.shared().unwrap().bad("A").len()), (vec![], 1));

        let again = backup(&job, 2, &["A", "B"]);
        assert!(job.list().unwrap().backups.iter().all(Backup::is_good));
        assert!(made.iter().chain([&again]).all(|backup| verify(&job, backup)));
        assert_eq!(files(&job).len(), 2);
    }

    #[test]
    fn other_bytes_of_the_same_content_get_another_name_and_older_backups_keep_theirs() {
        let (_dir, job) = testing::job();
        let one = backup(&job, 0, &["A"]);
        let pending = job.begin(Ulid::from_parts(7, 7), testing::at(7)).unwrap();
        let other = store(&pending, "A", b"A", Compression { codec: Codec::None, level: 0 });
        assert!(other.file.name.ends_with("-2.tar"), "{}", other.file.name);
        drop(pending);
        assert!(verify(&job, &one));
        assert_eq!(job.shared().unwrap().good("A").len(), 2);
    }

    #[test]
    fn a_lost_description_costs_only_that_the_block_is_stored_again() {
        let (_dir, job) = testing::job();
        let one = backup(&job, 0, &["A"]);
        let stem = stem_of(&one.manifest.files[1].name).unwrap().to_owned();
        fs::remove_file(description_path(job.folder(), &stem)).unwrap();
        let two = backup(&job, 1, &["A"]);
        assert_ne!(one.manifest.files[1].name, two.manifest.files[1].name);
        assert!(verify(&job, &one) && verify(&job, &two));
        job.remove(&lock(&job), &[one.id().clone()]).unwrap();
        assert!(verify(&job, &two));
    }

    #[test]
    fn a_file_that_goes_while_a_backup_is_made_keeps_that_from_being_published() {
        let (_dir, job) = testing::job();
        let pending = testing::written(&job, 0);
        let stored = store(&pending, "A", b"A", GZIP);
        fs::remove_file(job.folder().join(&stored.file.name)).unwrap();
        let shared = vec![stored.file];
        let draft = super::super::Draft { layout: Layout::Blocks, shared, ..testing::draft(0) };
        let step = Progress::silent().step("publish", None);
        assert!(pending.publish(draft, &step, &CancellationToken::new()).is_err());
        assert_eq!(job.list().unwrap(), Listing::default());
    }

    #[test]
    fn backups_that_are_relied_on_are_not_removed_meanwhile() {
        let (_dir, job) = testing::job();
        backup(&job, 0, &["A"]);
        let mut pending = job.begin(Ulid::from_parts(7, 7), testing::at(7)).unwrap();
        pending.rely_on_shared().unwrap();
        assert!(matches!(job.lock_exclusive(Wait::ZERO), Err(StoreError::Busy { .. })));
        drop(pending);
        drop(lock(&job));
    }

    #[test]
    fn every_flipped_bit_of_a_description_is_noticed_and_a_lost_state_costs_dates() {
        let (_dir, job) = testing::job();
        let one = backup(&job, 0, &["A"]);
        let path = description_path(job.folder(), stem_of(&one.manifest.files[1].name).unwrap());
        let good = fs::read(&path).unwrap();
        for i in 0..good.len() {
            let mut bad = good.clone();
            bad[i] ^= 1 << (i % 8);
            atomic::replace(&path, &bad, 0o640).unwrap();
            assert_eq!(job.shared().unwrap().good("A"), [], "byte {i}");
        }
        fs::remove_file(job.shared_state_path()).unwrap();
        let listed = &job.list().unwrap().backups[0];
        assert_eq!((listed.is_good(), listed.verified()), (true, None));
    }

    #[test]
    fn only_our_names_are_names_of_shared_files() {
        let name = "blocks/01ARZ3NDEKTSV4RRFFQ69G5FAV-0123abcd.tar.gz";
        assert_eq!(key_of(name), Some("01ARZ3NDEKTSV4RRFFQ69G5FAV"));
        assert_eq!(key_of(&name.replace(".tar.gz", "-2.tar.zst")), Some("01ARZ3NDEKTSV4RRFFQ69G5FAV"));
        for other in [
            "blocks/state.json",
            "blocks/a-0123abcd.json",
            "x-0123abcd.tar.gz",
            "blocks/../a-0123abcd.tar",
            "blocks/a-0123abc.tar",
        ] {
            assert_eq!(key_of(other), None, "{other}");
        }
    }
}
