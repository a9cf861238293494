//! The restore of a real Prometheus and its undo: whoever starts Prometheus in between finds all the old or all the new
//! data, and both ways stay open.

use std::cell::Cell;

use super::sweep::{Kept, Scene, Stage, clean, kill_by_several};
use crate::support::loss::Loss;
use crate::support::prometheus::{Builder, Digest, Prometheus};
use crate::support::watchkeeper::{JOB, Watchkeeper};

pub(super) const RESTORE: [&str; 3] = ["restore", JOB, "--yes"];
const RESUME: [&str; 3] = ["restore", JOB, "--resume"];
const UNDO: [&str; 4] = ["restore", JOB, "--undo", "--yes"];
const DISCARD: [&str; 4] = ["restore", JOB, "--discard-old", "--yes"];
/// A restore waits a minute for Prometheus's first reload: only each so many cuts are brought to their end.
const WHOLE: usize = 12;

pub(super) struct Data {
    prometheus: Prometheus,
    watchkeeper: Watchkeeper,
    words: Vec<&'static str>,
    loss: Loss,
    before: Kept,
    disk: Kept,
    kills: Cell<usize>,
}

impl Data {
    pub(super) fn new(words: &[&'static str]) -> Option<Self> {
        let prometheus = Prometheus::host(Builder::default())?;
        let watchkeeper = Watchkeeper::with_keys(&prometheus, "retries = { max = 0 }\n");
        let loss = Loss::of(&prometheus, &watchkeeper);
        if words != RESTORE {
            watchkeeper.run(&RESTORE).expect(0);
        }
        let before = Kept::own(&watchkeeper, "before");
        prometheus.stop();
        let disk = Kept::new(&watchkeeper, "data", &[&prometheus.data_dir()]);
        prometheus.start();
        prometheus.wait_ready();
        let words = words.to_vec();
        Some(Self { prometheus, watchkeeper, words, loss, before, disk, kills: Cell::new(0) })
    }

    fn serves(&self) -> Digest {
        self.loss.all_old_or_all_new(&self.prometheus)
    }

    /// Discards what is aside, and nothing of it is left.
    fn ends(&self) {
        let discarded = self.watchkeeper.run(&DISCARD);
        assert!(matches!(discarded.code, 0 | 1), "{discarded:?}");
        let left = self.prometheus.in_data("ls -d .watchkeeper-restore-* .tmp-* 2>/dev/null || true");
        assert_eq!(left, "", "{discarded:?}");
        self.watchkeeper.run(&["run-now", JOB]).expect(0);
        assert!(self.prometheus.snapshots().is_empty(), "{:?}", self.prometheus.snapshots());
        clean(&self.watchkeeper);
    }
}

impl Scene for Data {
    fn stage(&self) -> Stage<'_> {
        Stage {
            watchkeeper: &self.watchkeeper,
            words: &self.words,
            data: (self.prometheus.data_dir(), "data"),
        }
    }

    fn reset(&self) {
        self.prometheus.stop();
        self.disk.put_back();
        self.prometheus.start();
        self.prometheus.wait_ready();
        self.before.put_back();
    }

    fn holds(&self) {
        let found = self.serves();
        self.watchkeeper.run(&["verify"]).expect(0);
        self.kills.set(self.kills.get() + 1);
        if self.words == DISCARD {
            assert!(found == self.loss.new);
            return self.ends();
        }
        if self.kills.get().is_multiple_of(WHOLE) {
            let resumed = self.watchkeeper.run(&RESUME);
            let (wanted, other) = if self.words == RESTORE {
                (&self.loss.new, &self.loss.old)
            } else {
                (&self.loss.old, &self.loss.new)
            };
            // Cut before it had touched the data, there is nothing to finish but the start of Prometheus.
            let not_begun =
                resumed.code == 1 || resumed.stdout.contains("Prometheus runs again, and is ready");
            let served = self.serves();
            assert!(&served == wanted || (not_begun && &served == other), "{resumed:?}");
        }
        let undone = self.watchkeeper.run(&UNDO);
        assert!(matches!(undone.code, 0 | 1), "{undone:?}");
        assert!(self.serves() == self.loss.old, "{undone:?}");
        self.ends();
    }
}

fn killed(name: &str, words: &[&'static str], many: usize) {
    kill_by_several(name, 3, many, || Data::new(words));
}

#[test]
fn a_restore_is_killed() {
    killed("restore of Prometheus", &RESTORE, 90);
}

#[test]
fn an_undo_is_killed() {
    killed("undo of a restore of Prometheus", &UNDO, 70);
}

#[test]
fn the_removal_of_what_is_aside_is_killed() {
    killed("removal of the old data of a restore", &DISCARD, 40);
}
