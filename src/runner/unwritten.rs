//! What the history could not be told.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::config::values::JobName;
use crate::history::{History, HistoryError, RunReport};
use crate::words;

/// No more records than this are kept in memory.
const MOST: usize = 10_000;

/// Records of runs that could not be written, until they can. Its clones are one.
#[derive(Debug, Clone, Default)]
pub struct Unwritten {
    reports: Arc<Mutex<VecDeque<RunReport>>>,
}

impl Unwritten {
    /// The slots of a job among them.
    pub fn slots(&self, job: &JobName) -> BTreeSet<Timestamp> {
        let reports = self.reports();
        reports.iter().filter(|report| report.job == *job).filter_map(|report| report.cause.slot()).collect()
    }

    /// Writes them, the oldest first, as far as that works.
    pub fn write(&self, history: &History) {
        while let Some(report) = self.oldest() {
            match history.record(&report) {
                Ok(()) => {
                    tracing::info!(job = %report.job, run = %report.run, "this run is in the history now");
                }
                Err(HistoryError::SlotTaken { .. }) => {}
                Err(error) => {
                    let error = words::chain(&error);
                    tracing::warn!(job = %report.job, run = %report.run, error, "this run is not in the history yet");
                    return;
                }
            }
            self.reports().retain(|kept| kept.run != report.run);
        }
    }

    pub(super) fn keep(&self, mut report: RunReport) {
        // Its last lines are in the log; kept for many runs, they would fill the memory.
        report.log.clear();
        let mut reports = self.reports();
        reports.push_back(report);
        if reports.len() > MOST
            && let Some(lost) = reports.pop_front()
        {
            tracing::error!(job = %lost.job, run = %lost.run, "too many runs wait for the history: it will lack this one");
        }
    }

    fn oldest(&self) -> Option<RunReport> {
        self.reports().front().cloned()
    }

    fn reports(&self) -> MutexGuard<'_, VecDeque<RunReport>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
