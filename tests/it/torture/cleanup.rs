//! The cleanup of old blocks of a real Prometheus.

use std::cell::Cell;

use super::sweep::{Kept, Scene, Stage, clean, kill_by_several};
use crate::support::blocks::{BLOCKS, range};
use crate::support::prometheus::{Builder, Digest, Past, Prometheus};
use crate::support::watchkeeper::{JOB, Watchkeeper};

const CLEANUP: &str = "block-cleanup";
/// A cleanup waits for Prometheus's next reload, which may be a minute: only after each so many cuts it is run again.
const WHOLE: usize = 4;

struct Blocks {
    prometheus: Prometheus,
    watchkeeper: Watchkeeper,
    past: Past,
    all: Digest,
    before: Kept,
    data: Kept,
    kills: Cell<usize>,
}

fn of(digest: &Digest, counts: impl Fn(&(String, String)) -> bool) -> Digest {
    digest
        .iter()
        .filter(|(hour, _)| counts(hour))
        .map(|(hour, value)| (hour.clone(), value.clone()))
        .collect()
}

impl Blocks {
    fn new() -> Option<Self> {
        let prometheus = Prometheus::host(Builder::default())?;
        let watchkeeper = Watchkeeper::with_keys(
            &prometheus,
            &format!(
                "[[job]]\nname = \"{CLEANUP}\"\nkind = \"block-cleanup\"\nprometheus = \"main\"\nolder_than = \"9h\"\n\
                 retries = {{ max = 0 }}\n"
            ),
        );
        watchkeeper.back_up();
        let past = Past::until_now();
        let all = prometheus.digest(past);
        let before = Kept::own(&watchkeeper, "before");
        prometheus.stop();
        let data = Kept::new(&watchkeeper, "data", &[&prometheus.data_dir()]);
        prometheus.start();
        prometheus.wait_ready();
        Some(Self { prometheus, watchkeeper, past, all, before, data, kills: Cell::new(0) })
    }

    fn blocks(&self) -> u64 {
        self.prometheus.in_data("ls -d 01????????????????????????").lines().count() as u64
    }
}

impl Scene for Blocks {
    fn stage(&self) -> Stage<'_> {
        Stage {
            watchkeeper: &self.watchkeeper,
            words: &["run-now", CLEANUP],
            data: (self.prometheus.data_dir(), "data"),
        }
    }

    fn reset(&self) {
        self.prometheus.stop();
        self.data.put_back();
        self.prometheus.start();
        self.prometheus.wait_ready();
        self.before.put_back();
    }

    fn holds(&self) {
        assert!((BLOCKS - 4..=BLOCKS).contains(&self.blocks()), "{}", self.blocks());
        // Whoever restarts it finds it well.
        self.prometheus.stop();
        self.prometheus.start();
        self.prometheus.wait_ready();
        let left = self.prometheus.digest(self.past);
        let stays = |(_, hour): &(String, String)| hour.parse::<u64>().unwrap() > range().0 + 4 * 7200 + 3600;
        let (left, all) = (of(&left, stays), of(&self.all, stays));
        assert!(!left.is_empty() && left == all, "it serves something else");
        self.kills.set(self.kills.get() + 1);
        if self.kills.get().is_multiple_of(WHOLE) {
            self.watchkeeper.run(&["run-now", CLEANUP]).expect(0);
            assert_eq!(self.blocks(), BLOCKS - 4);
        } else {
            self.watchkeeper.run(&["run-now", CLEANUP, "--dry-run"]).expect(0);
        }
        self.watchkeeper.run(&["run-now", JOB]).expect(0);
        assert!(self.prometheus.snapshots().is_empty(), "{:?}", self.prometheus.snapshots());
        // A block that Prometheus is about to write is its own.
        let ours = "ls -d *.tmp-* .watchkeeper-* 2>/dev/null | grep -v tmp-for-creation || true";
        assert_eq!(self.prometheus.in_data(ours), "");
        clean(&self.watchkeeper);
    }
}

#[test]
fn a_cleanup_is_killed() {
    kill_by_several("cleanup of blocks", 4, 80, Blocks::new);
}
