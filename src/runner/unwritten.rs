//! What the history could not be told.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::config::values::JobName;
use crate::history::{History, HistoryError, RunReport};
use crate::regular;
use crate::state_dir::{self, StateDirError, reserve};
use crate::words;

/// Where those are left that could not be written by the end of the program.
const FILE: &str = "unwritten.jsonl";
/// No more records than this are kept in memory.
const MOST: usize = 10_000;

/// Records of runs that could not be written, until they can. Its clones are one.
#[derive(Debug, Clone, Default)]
pub struct Unwritten {
    reports: Arc<Mutex<VecDeque<RunReport>>>,
}

impl Unwritten {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.reports().len()
    }

    /// The slots of a job among them.
    pub fn slots(&self, job: &JobName) -> BTreeSet<Timestamp> {
        let reports = self.reports();
        reports.iter().filter(|report| report.job == *job).filter_map(|report| report.cause.slot()).collect()
    }

    /// Takes over what an earlier process could not write. Its file stays until all of it is written.
    pub fn load(&self, state_dir: &Path) {
        let bytes = regular::read(&state_dir.join(FILE), regular::NOTE).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        // A line that was cut is no record.
        let known: Vec<RunReport> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        if !known.is_empty() {
            tracing::warn!(runs = known.len(), "runs that could not be written before are written now");
        }
        self.reports().extend(known);
    }

    /// Leaves what could not be written in a file, for the next start; none where there is nothing.
    pub fn save(&self, state_dir: &Path) {
        let reports = self.reports();
        let path = state_dir.join(FILE);
        if reports.is_empty() {
            // Mostly there is none.
            let _ = fs::remove_file(path);
            return;
        }
        let lines = reports.iter().filter_map(|report| serde_json::to_string(report).ok());
        let text: String = lines.map(|line| line + "\n").collect();
        let write = || -> io::Result<()> {
            let mut file = state_dir::file(&path).map_err(StateDirError::into_io)?;
            file.set_len(0)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        match reserve::with(state_dir, write) {
            Ok(()) => tracing::warn!(
                runs = reports.len(),
                path = %path.display(),
                "what the history could not be told is kept for the next start"
            ),
            Err(error) => tracing::error!(%error, "runs are lost that the history could not be told"),
        }
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
