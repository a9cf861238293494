//! What backups there are. Nothing that looks like one is dropped silently: what cannot be used is listed as
//! broken, with the problem.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::error::{At as _, StoreError};
use super::shared::{self, Checks, Unclaimed};
use super::{BackupId, BackupState, JobStore, Manifest, StoredFile, Verified};
use crate::config::values::Codec;

/// All backups of a job.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    /// Those that can be used, oldest first. Not all of them need be good.
    pub backups: Vec<Backup>,
    /// Those that cannot.
    pub broken: Vec<Broken>,
    /// What else is not as it should be.
    pub warnings: Vec<String>,
    /// Files that no backup names.
    pub unclaimed: Unclaimed,
}

/// A backup whose manifest is right and whose files are there with the right sizes.
#[derive(Debug, Clone, PartialEq)]
pub struct Backup {
    /// What it is.
    pub manifest: Manifest,
    /// What changed since.
    pub state: BackupState,
    /// The folder that it lies in.
    pub folder: PathBuf,
    /// Where its manifest is.
    pub(super) path: PathBuf,
    /// When the files were read back that it shares with others.
    pub(super) shared: Arc<Checks>,
}

/// The files that were looked at, with their sizes: many backups name the same ones.
#[derive(Default)]
pub(super) struct Sizes(HashMap<PathBuf, Option<Size>>);

/// What backups of one job have in common.
struct Seen {
    shared: Arc<Checks>,
    sizes: Sizes,
    /// The files that manifests name, those of broken backups too.
    claimed: BTreeSet<String>,
    /// Some manifest cannot be read.
    in_doubt: bool,
}

impl Seen {
    fn new(checks: Checks) -> Self {
        let (sizes, claimed) = (Sizes::default(), BTreeSet::new());
        Self { shared: Arc::new(checks), sizes, claimed, in_doubt: false }
    }
}

#[derive(Clone, Copy)]
enum Size {
    File(u64),
    NoFile,
}

/// Something that should be a backup.
#[derive(Debug, Clone, PartialEq)]
pub struct Broken {
    /// Its manifest, or a file that no manifest names.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: String,
    /// The backup, where its manifest is right, and only files that it names are not there as it says.
    pub backup: Option<Box<Backup>>,
}

/// A manifest, and when its file was written.
#[derive(Debug, Clone, PartialEq)]
pub struct DatedManifest {
    /// What it says.
    pub manifest: Manifest,
    /// When the file was last written: at the end of its run, unless it was copied since. Nothing where that is not known.
    pub written: Option<Timestamp>,
}

fn written(path: &Path) -> Option<Timestamp> {
    let modified = fs::symlink_metadata(path).and_then(|file| file.modified()).ok()?;
    Timestamp::try_from(modified).ok()
}

impl Backup {
    /// Nothing was damaged at the source, and no file is known to be bad.
    pub fn is_good(&self) -> bool {
        !self.manifest.damaged && self.problems().next().is_none()
    }

    /// What is inside, as its kind describes it; read from its manifest.
    pub fn contents<T: serde::de::DeserializeOwned>(&self) -> Result<T, StoreError> {
        Manifest::read_contents(&self.path)
    }

    /// Its ID.
    pub fn id(&self) -> &BackupId {
        &self.manifest.id
    }

    /// Bytes on disk.
    pub fn size(&self) -> u64 {
        self.manifest.size()
    }

    /// Where one of its files is.
    pub fn path_of(&self, file: &StoredFile) -> PathBuf {
        self.folder.join(&file.name)
    }

    /// The files that were bad when they were last read, and how.
    pub fn problems(&self) -> impl Iterator<Item = (&StoredFile, &str)> {
        let files = self.manifest.files.iter();
        files.filter_map(|file| Some((file, self.check_of(file)?.problem.as_deref()?)))
    }

    /// When one of its files was last read back, and what came of it.
    pub fn check_of(&self, file: &StoredFile) -> Option<&Verified> {
        let checks = if shared::is_shared(&file.name) { &*self.shared } else { &self.state.verified };
        checks.get(&file.name)
    }

    /// When all of it was last read back: that of the file for which this is longest ago. `None` if one never was.
    pub fn verified(&self) -> Option<Timestamp> {
        let when = |file: &StoredFile| self.check_of(file).map(|verified| verified.when);
        self.manifest.files.iter().map(when).min().flatten()
    }

    /// The first file that is not there as the manifest says.
    pub(super) fn missing(&self, sizes: &mut Sizes) -> Result<Option<String>, StoreError> {
        for file in &self.manifest.files {
            let problem = match sizes.of(self.path_of(file))? {
                None => "is missing".to_owned(),
                Some(Size::NoFile) => "is no regular file".to_owned(),
                Some(Size::File(is)) if is != file.size => {
                    format!("has {is} bytes instead of {}", file.size)
                }
                Some(Size::File(_)) => continue,
            };
            return Ok(Some(format!("its file {} {problem}", file.name)));
        }
        Ok(None)
    }
}

impl Sizes {
    fn of(&mut self, path: PathBuf) -> Result<Option<Size>, StoreError> {
        if let Some(size) = self.0.get(&path) {
            return Ok(*size);
        }
        let size = match fs::symlink_metadata(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            found => Some(found.at("look at", &path)?),
        };
        let size = size.map(|meta| if meta.is_file() { Size::File(meta.len()) } else { Size::NoFile });
        self.0.insert(path, size);
        Ok(size)
    }
}

impl Broken {
    /// The ID in its name.
    pub fn id(&self) -> Option<BackupId> {
        let name = self.path.file_name()?.to_str()?;
        manifest_id(name).or_else(|| archive_id(name))
    }
}

impl JobStore {
    /// Reads all manifests and looks at all files. Reads no archive.
    pub fn list(&self) -> Result<Listing, StoreError> {
        let names = self.names()?;
        let mut listing = Listing::default();
        let (checks, warning) = self.read_checks();
        listing.warnings.extend(warning);
        let mut seen = Seen::new(checks);
        for name in &names {
            if let Some(id) = manifest_id(name) {
                self.list_one(&id, &mut seen, &mut listing)?;
            }
        }
        listing.warnings.extend(self.missing_checks(&seen.claimed));
        let in_doubt = self.list_orphans(&names, &mut listing) || seen.in_doubt;
        listing.unclaimed = Unclaimed { files: self.unclaimed(&seen.claimed)?, in_doubt };
        listing.backups.sort_by(|a, b| a.id().cmp(b.id()));
        Ok(listing)
    }

    /// The manifests of all backups that can be read and are of this job, in the order of their IDs. No other file is looked
    /// at, and nothing of where one is wrong: [`JobStore::list`] tells that.
    pub fn manifests(&self) -> Result<Vec<DatedManifest>, StoreError> {
        let mut ids: Vec<BackupId> = self.names()?.iter().filter_map(|name| manifest_id(name)).collect();
        ids.sort();
        let read = |id: BackupId| {
            let path = self.manifest_path(&id);
            let manifest = Manifest::read(&path).ok()?;
            let is_own = manifest.id == id && manifest.job == self.job;
            is_own.then(|| DatedManifest { written: written(&path), manifest })
        };
        Ok(ids.into_iter().filter_map(read).collect())
    }

    /// The newest backup that can be used. No other one is looked at.
    pub fn newest(&self) -> Result<Option<Backup>, StoreError> {
        let mut ids: Vec<BackupId> = self.names()?.iter().filter_map(|name| manifest_id(name)).collect();
        ids.sort();
        Ok(ids.iter().rev().find_map(|id| self.get(id).ok()))
    }

    /// The backup with this ID.
    pub fn get(&self, id: &BackupId) -> Result<Backup, StoreError> {
        self.look_up(id)?.map_err(|Broken { path, problem, .. }| StoreError::Broken { path, problem })
    }

    /// The same, also one of whose files some are missing or have another size: who uses it looks at each.
    pub fn get_damaged(&self, id: &BackupId) -> Result<Backup, StoreError> {
        match self.look_up(id)? {
            Ok(backup) => Ok(backup),
            Err(Broken { backup: Some(backup), .. }) => Ok(*backup),
            Err(Broken { path, problem, .. }) => Err(StoreError::Broken { path, problem }),
        }
    }

    fn look_up(&self, id: &BackupId) -> Result<Result<Backup, Broken>, StoreError> {
        let mut listing = Listing::default();
        if self.manifest_path(id).exists() {
            self.list_one(id, &mut Seen::new(self.shared_checks()), &mut listing)?;
        }
        match (listing.backups.pop(), listing.broken.pop()) {
            (Some(backup), _) => Ok(Ok(backup)),
            (None, Some(broken)) => Ok(Err(broken)),
            (None, None) => Err(StoreError::NotFound { what: id.to_string(), path: self.folder.clone() }),
        }
    }

    /// Every file that has the ID of a backup in its name: its manifest, its archive, and what was noted of it since.
    pub fn files_of(&self, id: &BackupId) -> Result<Vec<PathBuf>, StoreError> {
        let its = |name: &&String| any_id(name).as_ref() == Some(id) && !name.starts_with('.');
        Ok(self.names()?.iter().filter(its).map(|name| self.folder.join(name)).collect())
    }

    fn list_one(&self, id: &BackupId, seen: &mut Seen, listing: &mut Listing) -> Result<(), StoreError> {
        let path = self.manifest_path(id);
        let mut damaged = None;
        let broken = match Manifest::read(&path) {
            Ok(manifest) if manifest.id != *id => {
                seen.in_doubt = true;
                format!("it is the manifest of {}", manifest.id)
            }
            Ok(manifest) if manifest.job != self.job => {
                seen.in_doubt = true;
                format!("it is of another job: {}", manifest.job)
            }
            Ok(manifest) => {
                seen.claimed.extend(manifest.files.iter().map(|file| file.name.clone()));
                let (state, warning) = self.read_state(id);
                let (folder, shared) = (self.folder.clone(), Arc::clone(&seen.shared));
                let backup = Backup { manifest, state, folder, path: path.clone(), shared };
                match backup.missing(&mut seen.sizes)? {
                    None => {
                        listing.backups.push(backup);
                        // Gone now, it is being removed: its state is not lost.
                        listing.warnings.extend(warning.filter(|_| path.exists()));
                        return Ok(());
                    }
                    Some(problem) => {
                        damaged = Some(Box::new(backup));
                        problem
                    }
                }
            }
            Err(error) => {
                seen.in_doubt |= path.exists();
                with_source(&error)
            }
        };
        // A manifest goes before its files: when it is gone now, somebody is removing this backup.
        if path.exists() {
            listing.broken.push(Broken { path, problem: broken, backup: damaged });
        }
        Ok(())
    }

    /// Archives that look like ours and that no manifest claims. Somebody may have lost the manifest: only what is
    /// known to be left from a crash is ever removed, so these are shown. Returns whether there
    /// may be any.
    fn list_orphans(&self, names: &[String], listing: &mut Listing) -> bool {
        let busy = names.iter().any(|name| name.starts_with(super::pending::PREFIX));
        if busy {
            return true; // an archive has its final name just before its manifest has
        }
        let claimed: BTreeSet<&str> =
            listing.backups.iter().flat_map(|b| b.manifest.files.iter().map(|f| f.name.as_str())).collect();
        let before = listing.broken.len();
        for name in names.iter().filter(|name| !claimed.contains(name.as_str())) {
            let Some(id) = archive_id(name) else { continue };
            let path = self.folder.join(name);
            if !self.manifest_path(&id).exists() && !self.tombstone_path(&id).exists() && path.exists() {
                let problem = "its manifest is missing: no backup names this archive".to_owned();
                listing.broken.push(Broken { path, problem, backup: None });
            }
        }
        listing.broken.len() > before
    }
}

impl Listing {
    /// For each backup the bytes of the files that no other one names: what deleting it alone would free.
    pub fn alone(&self) -> BTreeMap<BackupId, u64> {
        let mut named: HashMap<&str, u32> = HashMap::new();
        for file in self.backups.iter().flat_map(|backup| &backup.manifest.files) {
            *named.entry(file.name.as_str()).or_default() += 1;
        }
        let alone = |backup: &Backup| {
            let files = backup.manifest.files.iter();
            files.filter(|file| named[file.name.as_str()] == 1).map(|file| file.size).sum()
        };
        self.backups.iter().map(|backup| (backup.id().clone(), alone(backup))).collect()
    }

    /// Bytes of the files that only these backups name: what deleting them together would free.
    pub fn freed_by(&self, ids: &[BackupId]) -> u64 {
        let (gone, stays): (Vec<&Backup>, Vec<&Backup>) =
            self.backups.iter().partition(|backup| ids.contains(backup.id()));
        let files = |backups: Vec<&Backup>| -> BTreeMap<String, u64> {
            let files = backups.iter().flat_map(|backup| &backup.manifest.files);
            files.map(|file| (file.name.clone(), file.size)).collect()
        };
        let (gone, stays) = (files(gone), files(stays));
        gone.iter().filter(|(name, _)| !stays.contains_key(*name)).map(|(_, size)| size).sum()
    }

    /// Bytes of all files that the backups name, each counted once.
    pub fn stored_bytes(&self) -> u64 {
        let files = self.backups.iter().flat_map(|backup| &backup.manifest.files);
        files.map(|file| (file.name.as_str(), file.size)).collect::<HashMap<_, _>>().values().sum()
    }

    /// The newest backup that is good.
    pub fn newest_good(&self) -> Option<&Backup> {
        self.backups.iter().rev().find(|backup| backup.is_good())
    }
}

/// The ID of the backup whose manifest has this name.
pub(super) fn manifest_id(name: &str) -> Option<BackupId> {
    name.strip_suffix(".json")?.parse().ok()
}

/// The ID of the backup whose archive has this name: `snapshot_<ID>.tar.gz`, or with another codec's ending.
pub(super) fn archive_id(name: &str) -> Option<BackupId> {
    let (prefix, id) = Codec::split_name(name)?.0.split_once('_')?;
    let ours = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_lowercase());
    id.parse().ok().filter(|_| ours)
}

/// The ID of the backup to which a name of any kind belongs.
pub(super) fn any_id(name: &str) -> Option<BackupId> {
    let tombstone = || name.strip_prefix(".removed-").and_then(manifest_id);
    let state = || name.strip_suffix(".state.json")?.parse().ok();
    manifest_id(name).or_else(|| archive_id(name)).or_else(state).or_else(tombstone)
}

fn with_source(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::{atomic, testing};
    use tokio_util::sync::CancellationToken;

    #[test]
    fn backups_come_oldest_first_and_a_job_without_a_folder_has_none() {
        let (_dir, job) = testing::job();
        assert_eq!(job.list().unwrap(), Listing::default());
        let ids: Vec<BackupId> = [0, -7, 5, 5].map(|s| testing::backup(&job, s).manifest.id).to_vec();
        let listed: Vec<BackupId> = job.list().unwrap().backups.iter().map(|b| b.id().clone()).collect();
        assert_eq!(listed, ids);
    }

    #[test]
    fn a_backup_with_a_missing_or_short_file_is_listed_as_broken() {
        let (_dir, job) = testing::job();
        let one = testing::backup(&job, 0);
        let two = testing::backup(&job, 1);
        testing::backup(&job, 2);
        fs::remove_file(one.path_of(&one.manifest.files[0])).unwrap();
        atomic::replace(&two.path_of(&two.manifest.files[0]), b"short", 0o640).unwrap();
        let listing = job.list().unwrap();
        assert_eq!((listing.backups.len(), listing.broken.len()), (1, 2));
        assert_eq!(listing.broken[0].id().as_ref(), Some(one.id()));
        assert!(listing.broken[0].problem.ends_with("is missing"), "{:?}", listing.broken);
        assert!(listing.broken[1].problem.contains("has 5 bytes instead of"), "{:?}", listing.broken);
        assert!(matches!(job.get(one.id()), Err(StoreError::Broken { .. })));
    }

    #[test]
    fn a_damaged_a_renamed_and_a_lost_manifest_are_listed_as_broken() {
        let (_dir, job) = testing::job();
        let ids = [0, 1, 2].map(|s| testing::backup(&job, s).manifest.id);
        let path = job.manifest_path(&ids[0]);
        let text = fs::read_to_string(&path).unwrap().replace("\"damaged\": false", "\"damaged\": true");
        atomic::replace(&path, text.as_bytes(), 0o640).unwrap();
        fs::rename(job.manifest_path(&ids[1]), job.folder().join("20300101T000000Z.json")).unwrap();
        fs::remove_file(job.manifest_path(&ids[2])).unwrap();
        let listing = job.list().unwrap();
        assert_eq!(listing.backups, []);
        let problems: Vec<&str> = listing.broken.iter().map(|b| b.problem.as_str()).collect();
        assert_eq!(problems.len(), 4, "{problems:?}"); // the renamed one left its archive behind
        assert!(problems[0].contains("do not match its manifest_sha256"), "{problems:?}");
        assert!(problems[1].contains("it is the manifest of"), "{problems:?}");
        assert!(problems[3].contains("no backup names this archive"), "{problems:?}");
    }

    #[test]
    fn a_backup_of_another_job_is_none_of_this_one_and_no_file_of_its_folder_is_known_to_be_unclaimed() {
        let (_dir, store) = testing::store();
        let [mine, other] = ["prom", "other"].map(|name| store.job(&name.parse().unwrap()));
        let (own, theirs) = (testing::backup(&mine, 0), testing::backup(&other, 5));
        for file in other.files_of(theirs.id()).unwrap() {
            fs::copy(&file, mine.folder().join(file.file_name().unwrap())).unwrap();
        }
        let listing = mine.list().unwrap();
        assert_eq!(listing.newest_good().unwrap().id(), own.id());
        assert_eq!(listing.broken.len(), 1, "{listing:?}");
        assert!(listing.broken[0].problem.contains("it is of another job: other"), "{listing:?}");
        assert!(listing.unclaimed.in_doubt);
    }

    #[test]
    fn only_good_backups_are_the_newest_good_one() {
        let (_dir, job) = testing::job();
        let made = [0, 10, 20].map(|s| testing::backup(&job, s));
        let bad = Verified { when: testing::now(), how: crate::store::How::Hash, problem: Some("x".into()) };
        job.note_verified(made[2].id(), [(made[2].manifest.files[0].name.clone(), bad)].into()).unwrap();
        let listing = job.list().unwrap();
        assert_eq!(listing.newest_good().unwrap().id(), made[1].id());
    }

    /// A store as the first release wrote it. It is never written again: what it holds must stay readable.
    #[test]
    fn backups_of_format_1_stay_readable() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1");
        let job = crate::store::Store::open_to_read(&root).unwrap().job(&"prom".parse().unwrap());
        let listing = job.list().unwrap();
        assert_eq!((listing.backups.len(), listing.broken, listing.warnings), (1, vec![], vec![]));
        let backup = &listing.backups[0];
        assert!(backup.is_good() && backup.state.pinned);
        assert_eq!(backup.verified(), Some(testing::now()));
        let (step, cancel) =
            (crate::progress::Progress::silent().step("check", None), CancellationToken::new());
        assert_eq!(backup.check_file(&backup.manifest.files[0], &step, &cancel).unwrap(), None);
        let mut paths = Vec::new();
        let path = backup.path_of(&backup.manifest.files[0]);
        crate::store::archive::open_archive(&path, &cancel, &mut |entry, _| {
            paths.push(entry.path.clone());
            Ok(())
        })
        .unwrap();
        assert_eq!(paths, ["block/meta.json", "block/index"]);
    }
}
