//! Publishing: what was written is read back, then it gets its name, and the manifest comes last.
//!
//! Before the first rename the intent is noted in the folder of the run. So a crash between the renames leaves
//! nothing that could not be told from somebody's lost manifest.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::error::{At as _, StoreError};
use super::list::any_id;
use super::manifest::{Contents, FORMAT, this_host};
use super::pending::Pending;
use super::{
    Backup, BackupId, BackupState, How, JobStore, Layout, Manifest, SharedFile, Source, StoredFile, Verified,
};
use super::{atomic, owner, shared, verify};
use crate::config::values::Codec;
use crate::progress::StepGuard;
use crate::regular;

/// The intent, in the folder of the run.
const INTENT: &str = "publishing.json";
/// How long a prune is waited for before a finished backup is given up.
const PATIENCE: Duration = Duration::from_mins(10);

/// What the maker of a backup says about it.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The job's kind: `prometheus-snapshot`.
    pub kind: String,
    /// When it was made.
    pub created: Timestamp,
    /// `watchkeeper 0.1.0`
    pub tool: String,
    /// Where the data came from.
    pub source: Source,
    /// Bytes of the data before compression.
    pub content_bytes: u64,
    /// Some of the data were damaged at the source.
    pub damaged: bool,
    /// Paths of what it should hold and does not hold whole.
    pub lacks: Vec<String>,
    /// How many there are of each sort of what is inside, where that is counted.
    pub counts: BTreeMap<String, u64>,
    /// What earlier backups have and the source does not show any more, by name.
    pub missing: Vec<String>,
    /// What is inside.
    pub contents: Contents,
    /// How it is laid out.
    pub layout: Layout,
    /// The files of this and other backups that it consists of beside its own.
    pub shared: Vec<SharedFile>,
}

impl Draft {
    /// A whole one of this program, in an archive of its own, that holds no bytes yet.
    pub fn new(kind: &str, created: Timestamp, source: Source, contents: Contents) -> Self {
        let source = Source { host: Some(this_host()), ..source };
        Self {
            kind: kind.to_owned(),
            created,
            tool: concat!("watchkeeper ", env!("CARGO_PKG_VERSION")).to_owned(),
            source,
            content_bytes: 0,
            damaged: false,
            lacks: Vec::new(),
            counts: BTreeMap::new(),
            missing: Vec::new(),
            contents,
            layout: Layout::Archive,
            shared: Vec::new(),
        }
    }
}

/// Which names a publication is about to create.
#[derive(Serialize, Deserialize)]
struct Intent {
    id: BackupId,
    archive: String,
}

/// A manifest that is about to be written.
struct Publication {
    manifest: Manifest,
    contents: Contents,
}

type Step = fn(&Pending, &Publication) -> Result<(), StoreError>;

/// The steps, in order; a crash may come between any two. The last one makes the backup exist.
const STEPS: [Step; 4] =
    [Pending::note_intent, Pending::place_archive, Pending::place_state, Pending::place_manifest];

impl Pending {
    /// Reads the archive back and publishes it. All of it, or nothing, is there afterwards.
    pub fn publish(
        self,
        draft: Draft,
        step: &StepGuard,
        cancel: &CancellationToken,
    ) -> Result<Backup, StoreError> {
        let archive = self.finished()?;
        // Each piece was unpacked again before it was written: the same bytes are the same data.
        verify::read_back(&self.archive_path()?, &archive, step, cancel)?;
        let _unpruned = self.job.lock_shared(PATIENCE)?;
        self.note_new_shared(&draft.shared)?;
        let _names = self.job.lock_names()?;
        let publication = self.publication(draft, archive)?;
        self.must_be_whole(&publication.manifest)?;
        for step in STEPS {
            step(&self, &publication)?;
        }
        let manifest = publication.manifest;
        let (state, path) = (self.state(&manifest), self.job.manifest_path(&manifest.id));
        let shared = Arc::new(self.job.shared_checks());
        Ok(Backup { manifest, state, folder: self.job.folder.clone(), path, shared })
    }

    fn publication(&self, draft: Draft, archive: StoredFile) -> Result<Publication, StoreError> {
        // Every name that holds an ID counts, also of what is broken: nothing is ever written over.
        let newest = self.job.names()?.iter().filter_map(|name| any_id(name)).max();
        let id = BackupId::after(newest.as_ref(), self.now);
        let codec = Codec::of_name(&archive.name).unwrap_or_default();
        let name = format!("{}_{id}{}", archive_prefix(&draft.kind, draft.layout), codec.suffix());
        let mut files = vec![StoredFile { name, ..archive }];
        files.extend(draft.shared.into_iter().map(|shared| shared.file));
        let manifest = Manifest {
            format: FORMAT,
            id,
            job: self.job.job.clone(),
            kind: draft.kind,
            run: self.run,
            created: draft.created,
            tool: draft.tool,
            layout: draft.layout,
            source: draft.source,
            files,
            content_bytes: draft.content_bytes,
            damaged: draft.damaged,
            lacks: draft.lacks,
            counts: draft.counts,
            missing: draft.missing,
        };
        Ok(Publication { manifest, contents: draft.contents })
    }

    /// What it shares with others is there: nobody may have removed any of it since it was looked up.
    fn must_be_whole(&self, manifest: &Manifest) -> Result<(), StoreError> {
        for file in manifest.files.iter().filter(|file| shared::is_shared(&file.name)) {
            let path = self.job.folder.join(&file.name);
            let size = fs::symlink_metadata(&path).at("look at", &path)?.len();
            if size != file.size {
                let problem = format!("it has {size} bytes instead of {}", file.size);
                return Err(StoreError::Broken { path, problem });
            }
        }
        Ok(())
    }

    /// Of the shared files of which nobody has noted yet that they were read: they were when they were stored.
    fn note_new_shared(&self, files: &[SharedFile]) -> Result<(), StoreError> {
        let known = self.job.shared_checks();
        let new = files.iter().filter(|shared| !known.contains_key(&shared.file.name));
        let stored = |shared: &SharedFile| {
            let verified = Verified { when: shared.created, how: How::Published, problem: None };
            (shared.file.name.clone(), verified)
        };
        self.job.note_shared(new.map(stored).collect())
    }

    fn note_intent(&self, publication: &Publication) -> Result<(), StoreError> {
        let path = self.dir().join(INTENT);
        let intent = Intent {
            id: publication.manifest.id.clone(),
            archive: publication.manifest.files[0].name.clone(),
        };
        let bytes = serde_json::to_vec(&intent).map_err(io::Error::from).at("write", &path)?;
        atomic::replace(&path, &bytes, owner::FILE_MODE).at("write", &path)?;
        atomic::sync_folder(&self.job.folder).at("sync", &self.job.folder)
    }

    fn place_archive(&self, publication: &Publication) -> Result<(), StoreError> {
        let to = self.job.folder.join(&publication.manifest.files[0].name);
        atomic::rename_new(&self.archive_path()?, &to).at("publish", &to)
    }

    fn place_state(&self, publication: &Publication) -> Result<(), StoreError> {
        self.job.write_state(&publication.manifest.id, &self.state(&publication.manifest))
    }

    fn place_manifest(&self, publication: &Publication) -> Result<(), StoreError> {
        let Publication { manifest, contents } = publication;
        let path = self.job.manifest_path(&manifest.id);
        let bytes = manifest.sealed(contents).map_err(io::Error::from).at("write", &path)?;
        // It could be written, and nobody would read it again.
        if bytes.len() as u64 > super::manifest::LARGEST {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge)).at("publish", &path);
        }
        atomic::create(&path, &bytes, owner::FILE_MODE).at("publish", &path)
    }

    fn state(&self, manifest: &Manifest) -> BackupState {
        let verified = Verified { when: self.now, how: How::Published, problem: None };
        let own = manifest.files.iter().filter(|file| !shared::is_shared(&file.name));
        let verified = own.map(|f| (f.name.clone(), verified.clone())).collect();
        BackupState { verified, ..BackupState::default() }
    }
}

impl JobStore {
    /// Takes back what an unfinished publication of the run in `dir` has placed. Leaves a finished one alone.
    pub(super) fn settle(&self, dir: &Path) -> Result<(), StoreError> {
        let Ok(bytes) = regular::read(&dir.join(INTENT), regular::NOTE) else { return Ok(()) };
        let Ok(intent) = serde_json::from_slice::<Intent>(&bytes) else { return Ok(()) };
        // Until we hold this, somebody else may be publishing under the name that we did not get to use.
        let _names = self.lock_names()?;
        self.settle_locked(&intent)
    }

    fn settle_locked(&self, intent: &Intent) -> Result<(), StoreError> {
        if self.manifest_path(&intent.id).exists() || super::list::archive_id(&intent.archive).is_none() {
            return Ok(());
        }
        for path in [self.folder.join(&intent.archive), self.state_path(&intent.id)] {
            atomic::remove_if_there(&path).at("remove", &path)?;
        }
        atomic::sync_folder(&self.folder).at("sync", &self.folder)
    }
}

/// `prometheus-snapshot` is in `snapshot_….tar.gz`; other kinds are in files of their first word. What is only a part
/// of the backup must not be taken for all of it: `meta_….tar.gz`.
fn archive_prefix(kind: &str, layout: Layout) -> &str {
    match kind.split('-').next().unwrap_or_default() {
        _ if layout == Layout::Blocks => "meta",
        "prometheus" => "snapshot",
        first if !first.is_empty() && first.bytes().all(|b| b.is_ascii_lowercase()) => first,
        _ => "backup",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Progress;
    use crate::store::testing;
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;
    use ulid::Ulid;

    #[test]
    fn a_published_backup_is_listed_as_it_was_returned_and_counts_as_verified() {
        let (_dir, job) = testing::job();
        let backup = testing::backup(&job, 0);
        assert_eq!(job.list().unwrap().backups, std::slice::from_ref(&backup));
        assert_eq!(backup.manifest.files[0].name, "snapshot_20261123T020000Z.tar.gz");
        assert_eq!(backup.verified(), Some(testing::now()));
        let names = job.names().unwrap();
        assert_eq!(names.len(), 4, "{names:?}"); // lock, manifest, state, archive
    }

    #[test]
    fn ids_increase_when_the_clock_stands_or_goes_back() {
        let (_dir, job) = testing::job();
        let ids = [0, 0, -60, 1].map(|s| testing::backup(&job, s).id().to_string());
        assert_eq!(ids, ["20261123T020000Z", "20261123T020000Z-2", "20261123T020000Z-3", "20261123T020001Z"]);
    }

    #[test]
    fn a_crash_before_any_step_leaves_the_listing_consistent_and_the_next_run_cleans_up() {
        for done in 0..=STEPS.len() {
            let (_dir, job) = testing::job();
            let old = testing::backup(&job, 0);
            let pending = testing::written(&job, 1);
            let publication = pending.publication(testing::draft(1), pending.finished().unwrap()).unwrap();
            for step in STEPS.iter().take(done) {
                step(&pending, &publication).unwrap();
            }
            pending.crash();
            let published = usize::from(done == STEPS.len());
            let listing = job.list().unwrap();
            assert_eq!((listing.backups.len(), listing.broken), (1 + published, vec![]), "{done} steps");
            let next = testing::backup(&job, 1);
            let listing = job.list().unwrap();
            assert_eq!((listing.backups.len(), listing.broken), (2 + published, vec![]), "{done} steps");
            assert_eq!(job.names().unwrap().len(), 1 + 3 * (2 + published), "{done} steps");
            assert!(old.id() < next.id());
        }
    }

    #[test]
    fn a_failed_publication_takes_itself_back() {
        for done in 0..STEPS.len() {
            let (_dir, job) = testing::job();
            let pending = testing::written(&job, 1);
            let publication = pending.publication(testing::draft(1), pending.finished().unwrap()).unwrap();
            for step in STEPS.iter().take(done) {
                step(&pending, &publication).unwrap();
            }
            drop(pending);
            assert_eq!(job.names().unwrap(), [".lock"], "{done} steps");
        }
    }

    #[test]
    fn an_archive_that_reads_back_differently_is_not_published() {
        let (_dir, job) = testing::job();
        let size = testing::written(&job, 0).finished().unwrap().size;
        for at in (0..size).step_by(97) {
            let pending = testing::written(&job, 0);
            let path = pending.archive_path().unwrap();
            let byte = fs::read(&path).unwrap()[usize::try_from(at).unwrap()];
            File::options().write(true).open(&path).unwrap().write_at(&[byte ^ 4], at).unwrap();
            assert!(testing::publish(pending, 0).is_err(), "byte {at}");
        }
        assert_eq!(job.names().unwrap(), [".lock"]);
    }

    #[test]
    fn a_cancelled_publication_publishes_nothing() {
        let (_dir, job) = testing::job();
        let cancel = CancellationToken::new();
        cancel.cancel();
        let step = Progress::silent().step("publish", None);
        let published = testing::written(&job, 0).publish(testing::draft(0), &step, &cancel);
        assert!(matches!(published, Err(StoreError::Cancelled)));
        assert_eq!(job.names().unwrap(), [".lock"]);
    }

    #[test]
    fn concurrent_publications_get_different_ids() {
        let (_dir, job) = testing::job();
        std::thread::scope(|scope| {
            for n in 0..6 {
                let job = &job;
                scope.spawn(move || {
                    let pending = testing::written_by(job, Ulid::from_parts(9, n), 0);
                    testing::publish(pending, 0).unwrap();
                });
            }
        });
        let listing = job.list().unwrap();
        assert_eq!((listing.backups.len(), listing.broken), (6, vec![]));
    }

    #[test]
    fn archives_are_named_after_their_kind() {
        let names = ["prometheus-snapshot", "grafana-export", "sqlite-backup", "../x"]
            .map(|kind| archive_prefix(kind, Layout::Archive));
        assert_eq!(names, ["snapshot", "grafana", "sqlite", "backup"]);
    }

    /// The block of docs/FORMAT.md that restores a backup without this program.
    fn by_hand(job: &JobStore, backup: &Backup, target: &Path) -> std::process::Output {
        let text = include_str!("../../docs/FORMAT.md");
        let block = text.split("```sh restore-by-hand\n").nth(1).unwrap().split("\n```").next().unwrap();
        std::process::Command::new("sh")
            .args(["-c", block])
            .env("MANIFEST", job.manifest_path(backup.id()))
            .env("TARGET", target)
            .output()
            .unwrap()
    }

    #[test]
    fn the_documented_restore_by_hand_restores_a_backup_and_refuses_a_damaged_one() {
        let (dir, job) = testing::job();
        let backup = testing::backup(&job, 0);
        let target = dir.path().join("target");
        let output = by_hand(&job, &backup, &target);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(fs::read(target.join("block/meta.json")).unwrap(), b"abc");

        let archive = backup.path_of(&backup.manifest.files[0]);
        let good = fs::read(&archive).unwrap();
        let mut bad = good.clone();
        bad[30] ^= 1;
        atomic::replace(&archive, &bad, 0o640).unwrap();
        assert!(!by_hand(&job, &backup, &dir.path().join("bad file")).status.success());
        atomic::replace(&archive, &good, 0o640).unwrap();
        let manifest = fs::read_to_string(job.manifest_path(backup.id())).unwrap();
        let changed = manifest.replace("\"main\"", "\"main2\"");
        atomic::replace(&job.manifest_path(backup.id()), changed.as_bytes(), 0o640).unwrap();
        assert!(!by_hand(&job, &backup, &dir.path().join("bad manifest")).status.success());
        assert!(!dir.path().join("bad file").exists() && !dir.path().join("bad manifest").exists());
    }
}
