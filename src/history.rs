//! What happened: every run with its steps, warnings, attempts and last log lines, in `<state_dir>/history.db`.
//!
//! A run's row is there, as *running*, before its work begins, and is closed when it ends; both are on the disk when
//! the call returns (`synchronous=FULL`). So a run that was cut off is never lost: it is found as a running row
//! whose job lock is free, and becomes *interrupted*. A row's age says nothing and is never asked.
//!
//! A slot is unique per job: it cannot be run twice, whatever the clock or a second process does.
//!
//! The newest run of a job is the one that was noted last, by the row's number, and not the one that began last by its
//! clock: one good run whose clock was ahead would hide every failure until that time has come.
//!
//! One that is new is founded before anything is noted in it: the runs that the manifests of backups tell of are written into
//! it, once and all together, for it may stand in the place of one that was lost.
//!
//! The calls block. Async callers use `spawn_blocking`.

mod begin;
mod cut;
mod error;
mod founding;
mod incidents;
mod open;
mod patience;
mod pauses;
mod posts;
mod prune;
mod record;
mod renew;
mod rows;
mod runs;
mod schema;
mod slots;
mod snapshot;
mod standing;
#[cfg(test)]
mod tests;
mod waiting;
mod waits;
mod whose;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};

pub use begin::{Begins, Terms};
pub use cut::CutRun;
pub use error::HistoryError;
pub use founding::Founded;
pub use incidents::{ClosedByHand, Noted, WatchedIncident};
use patience::Patience;
pub use pauses::{EndedPause, Pause};
pub use posts::{About, Notes, NotesChange, NotifierTrouble, Post, PostEnd};
pub use prune::Pruned;
pub use record::{Attempt, Cause, HookRun, LogLine, NewRun, RunReport};
use renew::Files;
pub use renew::{Renewed, set_aside_at};
pub use runs::{Filter, RunState};
pub use slots::{End, MissedSlots, Watched};
pub use standing::{SlotFate, Standing};
pub use waiting::WaitingRun;
pub use waits::Wait;

use crate::config::values::JobName;
use crate::jobs::Outcome;
use crate::state_dir::{self, StateDirError, reserve};
use crate::words;

/// The file's name in the `state_dir`.
pub const FILE: &str = "history.db";

/// So many statements are kept prepared: more than there are, for to prepare one takes longer than to execute it.
const STATEMENTS: usize = 128;

/// The condition of a run that does not wait for its next attempt.
const NOT_WAITING: &str = "id NOT IN (SELECT run FROM waiting)";

/// The condition of a run that was not skipped and is no restore, word for word that of an index.
const RAN: &str = "outcome <> 'skipped' AND kind NOT LIKE '%-restore'";
/// Runs that were not good; in the words of their index.
const BAD: &str = "outcome IN ('failed', 'interrupted', 'warned') AND kind NOT LIKE '%-restore'";

/// The history of one `state_dir`. Shared by threads and, as the file is, by processes.
pub struct History {
    path: PathBuf,
    connection: Mutex<Connection>,
    patience: Patience,
    /// The files that are open; nothing where it is in memory.
    files: Mutex<Option<Files>>,
    is_damaged: AtomicBool,
    /// Why it could not be opened, where it is to be renewed.
    not_open: Mutex<Option<String>>,
    troubles: Mutex<Troubles>,
    /// The damaged one that was set aside last.
    set_aside: Mutex<Option<PathBuf>>,
}

/// Why what was to be written last of each sort could not be.
#[derive(Debug, Default)]
struct Troubles {
    runs: Option<String>,
    rest: Option<String>,
}

/// What is written.
#[derive(Debug, Clone, Copy)]
enum Sort {
    /// That a run begins or ends.
    Runs,
    /// What is known of slots, and what is told.
    Rest,
}

impl History {
    /// Opens the history, made where it is missing. Where the disk is full, the reserve of `state_dir` is freed for it.
    pub fn open(state_dir: &Path) -> Result<Self, HistoryError> {
        match Self::open_now(state_dir) {
            Err(error) if error.is_of_a_full_disk() && reserve::free(state_dir) => Self::open_now(state_dir),
            opened => opened,
        }
    }

    fn open_now(state_dir: &Path) -> Result<Self, HistoryError> {
        state_dir::folder(state_dir)?;
        let path = state_dir.join(FILE);
        // Made here and not by SQLite, so that it has the right owner before SQLite copies that to -wal and -shm.
        drop(state_dir::file(&path)?);
        Self::connect(path)
    }

    /// Opens the history if there is one: for commands that only look, and should leave nothing behind.
    pub fn open_existing(state_dir: &Path) -> Result<Option<Self>, HistoryError> {
        let path = state_dir.join(FILE);
        // One that may not be looked for is not one that is not there.
        let is_there =
            path.try_exists().map_err(|source| StateDirError::File { path: path.clone(), source })?;
        if is_there { Self::connect(path).map(Some) } else { Ok(None) }
    }

    /// Looks whether another program's database stands in the place of the history, and changes nothing.
    pub fn must_not_be_foreign(state_dir: &Path) -> Result<(), HistoryError> {
        let path = state_dir.join(FILE);
        open::must_be_files(&path)?;
        open::not_foreign(&path)
    }

    /// A history that is forgotten with the process, for work that must go on where the real one cannot be used.
    pub fn forgetful(state_dir: &Path) -> Result<Self, HistoryError> {
        let path = state_dir.join(FILE);
        let mut connection = Connection::open_in_memory().map_err(|e| failure(&path, "replace", e))?;
        open::ready(&path, &mut connection)?;
        Ok(Self::on(path, connection, None))
    }

    fn connect(path: PathBuf) -> Result<Self, HistoryError> {
        let (connection, files) = open::opened(&path)?;
        Ok(Self::on(path, connection, files))
    }

    fn on(path: PathBuf, connection: Connection, files: Option<Files>) -> Self {
        let (connection, files, not_open) = (Mutex::new(connection), Mutex::new(files), Mutex::default());
        let (patience, is_damaged) = (Patience::default(), AtomicBool::new(false));
        let (troubles, set_aside) = (Mutex::default(), Mutex::default());
        Self { path, connection, patience, files, is_damaged, not_open, troubles, set_aside }
    }

    fn files(&self) -> Option<Files> {
        *self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn not_open(&self) -> MutexGuard<'_, Option<String>> {
        self.not_open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why what this process had to write last could not be written; nothing where it could, or somebody else just had the lock.
    pub fn write_trouble(&self) -> Option<String> {
        let troubles = || {
            let troubles = self.troubles();
            troubles.runs.clone().or_else(|| troubles.rest.clone())
        };
        self.why_not_open().or_else(troubles)
    }

    /// The damaged history in whose place this process has begun a new one, where it has.
    pub fn set_aside(&self) -> Option<PathBuf> {
        self.set_aside.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn troubles(&self) -> MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What came of writing.
    fn wrote<T>(&self, sort: Sort, result: rusqlite::Result<T>) -> Result<T, HistoryError> {
        let result = result.map_err(|error| self.failed("write", error));
        self.remember(sort, result.as_ref().err());
        result
    }

    fn remember(&self, sort: Sort, error: Option<&HistoryError>) {
        if error.is_some_and(|error| error.is_transient() || matches!(error, HistoryError::SlotTaken { .. }))
        {
            return;
        }
        let mut troubles = self.troubles();
        let trouble = match sort {
            Sort::Runs => &mut troubles.runs,
            Sort::Rest => &mut troubles.rest,
        };
        *trouble = error.map(|error| words::chain(error));
    }

    /// From now on it does not keep anybody waiting for long: what cannot be written fails, to be written later.
    pub fn be_brief(&self) {
        self.patience.be_brief();
    }

    /// Notes that a run begins.
    pub fn start(&self, new: &NewRun) -> Result<(), HistoryError> {
        let begun = self.with_reserve(|| {
            let connection = self.lock();
            let inserted =
                founding::forget(&connection, new.run).and_then(|()| rows::insert(&connection, new));
            inserted.map(drop).map_err(|e| self.not_begun(new, e))
        });
        self.remember(Sort::Runs, begun.as_ref().err());
        begun
    }

    /// Writes, and once more where the disk is full and the reserve could be freed for it.
    fn with_reserve(&self, write: impl Fn() -> Result<(), HistoryError>) -> Result<(), HistoryError> {
        match write() {
            Err(error) if self.has_freed_for(&error) => write(),
            done => done,
        }
    }

    /// The disk is full, and the reserve was freed for what could not be written.
    fn has_freed_for(&self, error: &HistoryError) -> bool {
        error.is_of_a_full_disk() && self.path.parent().is_some_and(reserve::free)
    }

    /// Why the beginning of a run could not be noted.
    fn not_begun(&self, new: &NewRun, error: rusqlite::Error) -> HistoryError {
        match new.cause.slot() {
            Some(slot) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                HistoryError::SlotTaken { job: new.job.to_string(), slot }
            }
            _ => self.failed("write", error),
        }
    }

    /// Notes how a run ended, with everything it told.
    pub fn finish(&self, report: &RunReport) -> Result<(), HistoryError> {
        let closed =
            self.with_reserve(|| close(&mut self.lock(), report).map_err(|e| self.failed("write", e)));
        self.remember(Sort::Runs, closed.as_ref().err());
        closed
    }

    /// Writes a run that has ended and of which the beginning, the end or both could not be written.
    pub fn record(&self, report: &RunReport) -> Result<(), HistoryError> {
        if !self.knows(report.run)? {
            self.start(&report.new_run())?;
        }
        self.finish(report)
    }

    /// The run is noted, and not only by what its backup tells.
    fn knows(&self, run: ulid::Ulid) -> Result<bool, HistoryError> {
        let sql = "SELECT 1 FROM run WHERE id = ?1 AND cause <> 'rebuilt'";
        let known = self.lock().query_row(sql, [run.to_string()], |_| Ok(()));
        known.optional().map(|known| known.is_some()).map_err(|e| self.failed("read", e))
    }

    /// Turns every running row into an interrupted one unless `is_live` says that its job is being run right now, or it
    /// waits for its next attempt. Returns what was turned.
    pub fn mark_interrupted(
        &self,
        now: Timestamp,
        is_live: &dyn Fn(&JobName) -> bool,
    ) -> Result<Vec<RunReport>, HistoryError> {
        let sql = format!(
            "SELECT {} FROM run WHERE outcome = 'running' AND {NOT_WAITING} ORDER BY started",
            rows::COLUMNS
        );
        let mut cut = self.select(&sql, [])?;
        cut.retain(|report| !is_live(&report.job));
        let mut turned = Vec::new();
        for mut report in cut {
            report.finished = Some(now.max(report.started));
            report.outcome = Some(Outcome::Interrupted);
            report.reason = Some("the program ended while it ran".into());
            // Only where it is running still: its process may have finished it since it was read.
            let sql = format!(
                "UPDATE run SET outcome = 'interrupted', finished = ?2, reason = ?3 \
                 WHERE id = ?1 AND outcome = 'running' AND {NOT_WAITING}"
            );
            let result = self.lock().execute(
                &sql,
                params![
                    report.run.to_string(),
                    report.finished.map(Timestamp::as_millisecond),
                    report.reason
                ],
            );
            if result.map_err(|e| self.failed("write", e))? > 0 {
                turned.push(report);
            }
        }
        Ok(turned)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        // It only sets a number.
        let _ = connection.busy_timeout(self.patience.now());
        connection
    }

    fn failed(&self, doing: &'static str, source: rusqlite::Error) -> HistoryError {
        if let Some(why) = self.why_not_open() {
            return HistoryError::NotOpen { why };
        }
        if matches!(source.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) {
            self.patience.was_in_vain();
        }
        let error = failure(&self.path, doing, source);
        if matches!(error, HistoryError::Damaged { .. }) {
            self.is_damaged.store(true, Ordering::Relaxed);
        }
        error
    }
}

fn close(connection: &mut Connection, report: &RunReport) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if rows::update(&transaction, report)? == 0 {
        return Err(rusqlite::Error::QueryReturnedNoRows);
    }
    transaction.commit()
}

fn failure(path: &Path, doing: &'static str, source: rusqlite::Error) -> HistoryError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => HistoryError::Damaged { path, source },
        _ if whose::has_lost_a_table(&source) => HistoryError::Damaged { path, source },
        _ => HistoryError::Sqlite { doing, path, source },
    }
}
