//! A server that has lost some of its blocks since its backup: old and new data can be told apart, and so can any mixture
//! of them.

use super::prometheus::{Digest, Past, Prometheus};
use super::watchkeeper::{JOB, Watchkeeper};

/// What is served with and without the blocks that were lost.
#[derive(Debug)]
pub(crate) struct Loss {
    /// The backup of the new data: `JOB/ID`.
    pub(crate) backup: String,
    /// What a restore brings.
    pub(crate) new: Digest,
    /// What the server has without one: its four oldest blocks are gone.
    pub(crate) old: Digest,
    past: Past,
}

impl Loss {
    /// Backs the server up, and takes its four oldest blocks.
    pub(crate) fn of(prometheus: &Prometheus, watchkeeper: &Watchkeeper) -> Self {
        let past = Past::until_now();
        let new = prometheus.digest(past);
        let backup = format!("{JOB}/{}", watchkeeper.back_up());
        prometheus.stop();
        prometheus.in_data("n=0; for block in 01*; do n=$((n + 1)); [ $n -gt 4 ] || rm -r $block; done");
        prometheus.start();
        prometheus.wait_ready();
        let old = prometheus.digest(past);
        assert_ne!(old, new);
        Self { backup, new, old, past }
    }

    /// What is served now.
    pub(crate) fn served(&self, prometheus: &Prometheus) -> Digest {
        prometheus.digest(self.past)
    }

    /// Starts Prometheus over what is there: it serves one of the two, whole. Gives back which.
    #[track_caller]
    pub(crate) fn all_old_or_all_new(&self, prometheus: &Prometheus) -> Digest {
        prometheus.start();
        prometheus.wait_ready();
        let found = self.served(prometheus);
        assert!(found == self.old || found == self.new, "a mixture: {found:?}");
        found
    }
}
