//! The runs that this process has begun and that have not ended: a history that is made anew is told of them at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use ulid::Ulid;

use crate::history::{History, HistoryError, NewRun, WaitingRun};
use crate::words;

/// The runs that are under way here. Its clones are one.
#[derive(Debug, Clone, Default)]
pub struct Live {
    runs: Arc<Mutex<BTreeMap<Ulid, Way>>>,
    changes: watch::Sender<()>,
}

/// How a run is under way.
#[derive(Debug, Clone)]
enum Way {
    Runs(NewRun),
    /// For its next attempt.
    Waits(Box<WaitingRun>),
}

impl Live {
    /// Says each time when a run begins, waits, ends or is skipped.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Something else is there to be told.
    pub fn changed(&self) {
        self.changes.send_replace(());
    }

    /// A run waits for its next attempt.
    pub fn waits(&self, waiting: WaitingRun) {
        self.runs().insert(waiting.report.run, Way::Waits(Box::new(waiting)));
        self.changes.send_replace(());
    }

    /// A run begins, or an attempt of it.
    pub(super) fn begins(&self, new: NewRun) {
        self.runs().insert(new.run, Way::Runs(new));
        self.changes.send_replace(());
    }

    /// A run has ended, was skipped, or is left to the next process.
    pub(super) fn ends(&self, run: Ulid) {
        self.runs().remove(&run);
        self.changes.send_replace(());
    }

    /// Writes them into a history that is new. What cannot be written now is written when the run has ended.
    pub fn write(&self, history: &History) {
        let runs = self.runs().clone();
        for (run, way) in runs {
            let written = match way {
                Way::Runs(new) => history.start(&new),
                Way::Waits(waiting) => history.wait(&waiting),
            };
            match written {
                // It may have ended meanwhile.
                Ok(()) | Err(HistoryError::SlotTaken { .. }) => {}
                Err(error) => {
                    tracing::warn!(%run, error = words::chain(&error), "the new history does not know this run yet");
                }
            }
        }
    }

    fn runs(&self) -> MutexGuard<'_, BTreeMap<Ulid, Way>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
