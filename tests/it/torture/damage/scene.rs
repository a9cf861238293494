//! A store with backups of both layouts, made by the program from a real Prometheus, and what is done to its files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;
use watchkeeper::config::values::{Keep, KeepRules};
use watchkeeper::progress::Progress;
use watchkeeper::prometheus::restore::into::into;
use watchkeeper::prometheus::restore::{Reading, RestoreSource};
use watchkeeper::store::{JobStore, Listing, Store, Verifier};
use watchkeeper::upkeep::{Plan, Policy};

use crate::support::prometheus::{Builder, Prometheus};
use crate::support::scratch::files_below;
use crate::support::watchkeeper::{JOB, Watchkeeper};

/// What the files of a store are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Archive,
    Meta,
    Block,
    Manifest,
    State,
    Description,
    BlockState,
}

/// What happens to a file.
pub(super) enum Harm {
    Flip { at: u64, bit: u8 },
    Cut { length: u64 },
    Loss,
}

impl Kind {
    pub(super) const ALL: [Self; 7] = [
        Self::Archive,
        Self::Meta,
        Self::Block,
        Self::Manifest,
        Self::State,
        Self::Description,
        Self::BlockState,
    ];

    fn of(file: &Path) -> Option<Self> {
        let name = file.to_str()?;
        let is_json = file.extension().is_some_and(|ending| ending == "json");
        Some(match name {
            _ if name.starts_with("snapshot_") => Self::Archive,
            _ if name.starts_with("meta_") => Self::Meta,
            "blocks/state.json" => Self::BlockState,
            _ if name.starts_with("blocks/") && is_json => Self::Description,
            _ if name.starts_with("blocks/") => Self::Block,
            _ if name.ends_with(".state.json") => Self::State,
            _ if is_json => Self::Manifest,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Archive => "archive of a whole backup",
            Self::Meta => "archive of the small files of blocks",
            Self::Block => "shared block",
            Self::Manifest => "manifest",
            Self::State => "state of a backup",
            Self::Description => "description of a block",
            Self::BlockState => "state of the blocks",
        }
    }

    /// A backup cannot be restored without it as it was.
    pub(super) fn costs_backups(self) -> bool {
        matches!(self, Self::Archive | Self::Meta | Self::Block | Self::Manifest)
    }

    pub(super) fn consequence(self) -> &'static str {
        if self.costs_backups() {
            "never restored from, nothing good deleted"
        } else {
            "told with a warning, nothing good deleted"
        }
    }
}

impl Harm {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Flip { at, bit } => format!("flip of bit {bit} of byte {at}"),
            Self::Cut { length } => format!("cut to {length} bytes"),
            Self::Loss => "loss".to_owned(),
        }
    }
}

/// The store and what it was before anything happened to it.
pub(super) struct Scene {
    pub(super) watchkeeper: Watchkeeper,
    pub(super) seed: u64,
    /// The backups, oldest first; the oldest is pinned.
    pub(super) ids: Vec<String>,
    job: JobStore,
    random: u64,
    before: BTreeMap<PathBuf, Vec<u8>>,
    /// The files of each backup.
    named: BTreeMap<String, BTreeSet<PathBuf>>,
    deletions: BTreeSet<String>,
    now: Timestamp,
    _prometheus: Prometheus,
}

impl Scene {
    pub(super) fn new() -> Option<Self> {
        let prometheus = Prometheus::host(Builder::default())?;
        let watchkeeper = Watchkeeper::with_keys(&prometheus, "layout = \"archive\"\n");
        let mut ids = vec![watchkeeper.back_up()];
        watchkeeper.change_keys(&prometheus, "layout = \"blocks\"\n");
        ids.extend([(); 2].map(|()| watchkeeper.back_up()));
        watchkeeper.change_keys(&prometheus, "layout = \"archive\"\n");
        ids.push(watchkeeper.back_up());
        watchkeeper.change_keys(&prometheus, "layout = \"blocks\"\n");
        watchkeeper.run(&["pin", &format!("{JOB}/{}", ids[0])]).expect(0);
        watchkeeper.run(&["verify"]).expect(0);

        let job = Store::open(&watchkeeper.backups_folder()).unwrap().job(&JOB.parse().unwrap());
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
        let seed =
            std::env::var("WATCHKEEPER_SEED").ok().map_or(u64::from(nanos), |seed| seed.parse().unwrap());
        let listing = job.list().unwrap();
        let files = |backup: &watchkeeper::store::Backup| {
            backup.manifest.files.iter().map(|file| PathBuf::from(&file.name)).collect()
        };
        let named = listing.backups.iter().map(|backup| (backup.id().to_string(), files(backup))).collect();
        let (before, deletions) = (read(job.folder()), deletions(&listing));
        assert_eq!(deletions.len(), 1, "one is pinned, and two of three are kept: {deletions:?}");
        Some(Self {
            watchkeeper,
            seed,
            ids,
            job,
            random: seed | 1,
            before,
            named,
            deletions,
            now: Timestamp::now(),
            _prometheus: prometheus,
        })
    }

    /// The positive control: all of it verifies, nothing is warned of, and a backup is restored from it.
    pub(super) fn is_whole(&self, then: &str) {
        let listing = self.job.list().unwrap();
        assert_eq!((&listing.broken, &listing.warnings), (&Vec::new(), &Vec::new()), "before {then}");
        assert_eq!(self.job.description_problems(&listing), Vec::<String>::new(), "before {then}");
        assert_eq!(listing.backups.len(), self.ids.len());
        let mut verifier = Verifier::new(&self.job, self.now);
        for backup in &listing.backups {
            let report = verifier.backup(backup, &silent().step("", None), &CancellationToken::new());
            assert!(report.unwrap().is_good(), "before {then}");
            let out = tempfile::tempdir().unwrap();
            into(&RestoreSource::of_backup(backup).unwrap(), out.path(), &reading()).unwrap();
        }
        self.as_before();
    }

    /// The files of a kind.
    pub(super) fn files(&self, kind: Kind) -> Vec<PathBuf> {
        let files: Vec<PathBuf> =
            self.before.keys().filter(|file| Kind::of(file) == Some(kind)).cloned().collect();
        assert!(!files.is_empty(), "there is no {}", kind.name());
        files
    }

    pub(super) fn size(&self, file: &Path) -> u64 {
        self.before[file].len() as u64
    }

    fn next(&mut self, below: u64) -> u64 {
        // xorshift64*
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % below
    }

    /// Any bit of any file of a kind.
    pub(super) fn random_bit(&mut self, kind: Kind) -> (PathBuf, u64, u8) {
        let files = self.files(kind);
        let file = files[usize::try_from(self.next(files.len() as u64)).unwrap()].clone();
        let at = self.next(self.size(&file));
        let bit = u8::try_from(self.next(8)).unwrap();
        (file, at, bit)
    }

    /// The backups that a file belongs to, and that are lost with it.
    pub(super) fn naming(&self, file: &Path, kind: Kind) -> Vec<String> {
        if kind == Kind::Manifest {
            return vec![file.file_stem().unwrap().to_str().unwrap().to_owned()];
        }
        let names = self.named.iter().filter(|(_, files)| files.contains(file));
        names.map(|(id, _)| id.clone()).collect()
    }

    /// Does it, and sees that it was done.
    pub(super) fn harm(&self, file: &Path, harm: &Harm) {
        let (path, before) = (self.job.folder().join(file), &self.before[file]);
        match harm {
            Harm::Flip { at, bit } => {
                let at = usize::try_from(*at).unwrap();
                let mut bytes = before.clone();
                bytes[at] ^= 1 << bit;
                fs::write(&path, &bytes).unwrap();
                let found = fs::read(&path).unwrap();
                let differs = found.iter().zip(before).filter(|(found, before)| found != before).count();
                assert_eq!((found.len(), differs), (before.len(), 1));
            }
            Harm::Cut { length } => {
                fs::write(&path, &before[..usize::try_from(*length).unwrap()]).unwrap();
                assert_eq!(path.metadata().unwrap().len(), *length);
            }
            Harm::Loss => fs::remove_file(&path).unwrap(),
        }
    }

    /// Harms a file, looks at what comes of it, and makes it good again.
    pub(super) fn meets(&mut self, file: &Path, kind: Kind, harm: &Harm) {
        let what = format!("{} of {} (seed {})", harm.name(), file.display(), self.seed);
        self.harm(file, harm);
        let hurt = self.naming(file, kind);
        // Before anybody has found it, and after.
        self.deletes_nothing_more(&what);
        let found = self.verify(file);
        if kind.costs_backups() {
            assert!(found.bad, "{what}: not found");
            for id in &hurt {
                self.is_not_restored(id, &what);
            }
        } else {
            assert!(found.warned && !found.bad, "{what}: {found:?}");
        }
        self.deletes_nothing_more(&what);
        self.as_before_but(file);
    }

    fn verify(&self, file: &Path) -> Found {
        let listing = self.job.list().unwrap();
        let warned = !listing.warnings.is_empty() || !self.job.description_problems(&listing).is_empty();
        let is_its = |backup: &&watchkeeper::store::Backup| {
            backup.manifest.files.iter().any(|stored| Path::new(&stored.name) == file)
        };
        let backup = listing.backups.iter().find(is_its);
        let verified = backup.map(|backup| {
            let step = silent().step("", None);
            Verifier::new(&self.job, self.now).backup(backup, &step, &CancellationToken::new()).unwrap()
        });
        Found { bad: !listing.broken.is_empty() || verified.is_some_and(|report| !report.is_good()), warned }
    }

    fn is_not_restored(&self, id: &str, what: &str) {
        let Ok(backup) = self.job.get(&id.parse().unwrap()) else { return };
        let Ok(source) = RestoreSource::of_backup(&backup) else { return };
        let out = tempfile::tempdir().unwrap();
        assert!(into(&source, out.path(), &reading()).is_err(), "{what}: {id} was restored");
        assert_eq!(out.path().read_dir().unwrap().count(), 0, "{what}: {id} was restored in part");
    }

    fn deletes_nothing_more(&self, what: &str) {
        let now = deletions(&self.job.list().unwrap());
        assert!(now.is_subset(&self.deletions), "{what}: {now:?} instead of {:?}", self.deletions);
    }

    /// Everything is as it was, but what was only read.
    fn as_before_but(&self, file: &Path) {
        let changes = |file: &Path| matches!(Kind::of(file), Some(Kind::State | Kind::BlockState));
        for (path, bytes) in self.before.iter().filter(|(path, _)| *path == file || changes(path)) {
            fs::write(self.job.folder().join(path), bytes).unwrap();
        }
    }

    /// Everything is as it was.
    pub(super) fn as_before(&self) {
        for file in files_below(self.job.folder()).iter().filter(|file| !self.before.contains_key(*file)) {
            fs::remove_file(self.job.folder().join(file)).unwrap();
        }
        for (path, bytes) in &self.before {
            fs::write(self.job.folder().join(path), bytes).unwrap();
        }
    }
}

#[derive(Debug)]
struct Found {
    bad: bool,
    warned: bool,
}

fn read(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = files_below(folder).into_iter();
    files.map(|file| (file.clone(), fs::read(folder.join(file)).unwrap())).collect()
}

/// What retention would delete if it kept the last two.
fn deletions(listing: &Listing) -> BTreeSet<String> {
    let keep = Keep::new(KeepRules { last: NonZeroU32::new(2), ..KeepRules::default() }).unwrap();
    let subject = listing.backups[0].manifest.subject();
    let policy =
        Policy { subject, keep, zone: TimeZone::UTC, verify_within: Duration::from_hours(720), smaller: 50 };
    Plan::of(listing, &policy, Timestamp::now()).deletions().iter().map(ToString::to_string).collect()
}

fn silent() -> Progress {
    Progress::silent()
}

fn reading() -> Reading {
    let cancel = CancellationToken::new();
    Reading { spool: std::env::temp_dir(), progress: silent(), cancel }
}
