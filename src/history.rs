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
mod patience;
mod pauses;
mod posts;
mod prune;
mod record;
mod renew;
mod rows;
mod schema;
mod slots;
mod snapshot;
mod standing;
#[cfg(test)]
mod tests;
mod waiting;
mod waits;
mod whose;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};

pub use begin::{Begins, Terms};
pub use cut::CutRun;
pub use error::HistoryError;
pub use founding::Founded;
pub use incidents::{ClosedByHand, Noted, WatchedIncident};
use patience::{BUSY, Patience};
pub use pauses::{EndedPause, Pause};
pub use posts::{About, Notes, NotesChange, NotifierTrouble, Post, PostEnd};
pub use prune::Pruned;
pub use record::{Attempt, Cause, HookRun, LogLine, NewRun, RunReport};
use renew::Files;
pub use renew::{Renewed, set_aside_at};
pub use slots::{End, MissedSlots, Watched};
pub use standing::{SlotFate, Standing};
pub use waiting::WaitingRun;
pub use waits::Wait;
use whose::{Whose, whose};

use crate::config::values::JobName;
use crate::jobs::Outcome;
use crate::regular;
use crate::state_dir::{self, StateDirError, reserve};
use crate::store::BackupId;
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

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// It is under way.
    Running,
    /// It ended so.
    Ended(Outcome),
}

impl RunState {
    fn word(self) -> &'static str {
        match self {
            Self::Running => rows::word(None),
            Self::Ended(outcome) => outcome.word(),
        }
    }
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only this job's.
    pub job: Option<JobName>,
    /// Only those that are so. All, where it is empty.
    pub states: Vec<RunState>,
    /// Only those that began then or later.
    pub since: Option<Timestamp>,
    /// Only those that began before.
    pub until: Option<Timestamp>,
    /// At most so many, the newest first.
    pub limit: Option<u32>,
}

impl Filter {
    /// From (with) and until (without), in milliseconds.
    fn times(&self) -> (i64, i64) {
        let millis = |at: Option<Timestamp>, otherwise| at.map_or(otherwise, Timestamp::as_millisecond);
        (millis(self.since, i64::MIN), millis(self.until, i64::MAX))
    }
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
        must_be_files(&path)?;
        not_foreign(&path)
    }

    /// A history that is forgotten with the process, for work that must go on where the real one cannot be used.
    pub fn forgetful(state_dir: &Path) -> Result<Self, HistoryError> {
        let path = state_dir.join(FILE);
        let mut connection = Connection::open_in_memory().map_err(|e| failure(&path, "replace", e))?;
        ready(&path, &mut connection)?;
        Ok(Self::on(path, connection, None))
    }

    fn connect(path: PathBuf) -> Result<Self, HistoryError> {
        let (connection, files) = opened(&path)?;
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

    /// The newest runs, without their steps and log lines.
    pub fn recent(&self, filter: &Filter) -> Result<Vec<RunReport>, HistoryError> {
        // `?1 IS NULL OR job = ?1` would hide the job from the index, and read all runs for one that ran rarely.
        let of_job = if filter.job.is_some() { "job = ?1" } else { "?1 IS NULL" };
        let words = filter.states.iter().map(|state| format!("'{}'", state.word()));
        let words = words.collect::<Vec<_>>().join(", ");
        let ended = if words.is_empty() { String::new() } else { format!("AND outcome IN ({words})") };
        let sql = format!(
            "SELECT {} FROM run WHERE {of_job} {ended} AND started >= ?2 AND started < ?3 \
             ORDER BY started DESC, id DESC LIMIT ?4",
            rows::COLUMNS
        );
        let job = filter.job.as_ref().map(JobName::as_str);
        let (since, until) = filter.times();
        self.select(&sql, params![job, since, until, filter.limit.map_or(-1, i64::from)])
    }

    /// The newest runs of a job that were not skipped, restores left out: however many were skipped since, for a slot that comes
    /// during a long run is.
    pub fn newest_that_ran(&self, job: &JobName, limit: u32) -> Result<Vec<RunReport>, HistoryError> {
        self.newest_of(RAN, job, limit)
    }

    /// The newest runs of a job that failed, were interrupted or had warnings, restores left out: however many were good since.
    pub fn newest_bad(&self, job: &JobName, limit: u32) -> Result<Vec<RunReport>, HistoryError> {
        self.newest_of(BAD, job, limit)
    }

    /// The newest backup that a run of a job has made, as far back as the history reaches.
    pub fn newest_backup(&self, job: &JobName) -> Result<Option<BackupId>, HistoryError> {
        let made = format!("{RAN} AND json_extract(output, '$.backup') IS NOT NULL");
        let newest = self.newest_of(&made, job, 1)?.pop();
        Ok(newest.and_then(|run| run.output?.backup))
    }

    fn newest_of(&self, which: &str, job: &JobName, limit: u32) -> Result<Vec<RunReport>, HistoryError> {
        let sql = format!(
            "SELECT {} FROM run WHERE job = ?1 AND {which} ORDER BY rowid DESC LIMIT ?2",
            rows::COLUMNS
        );
        self.select(&sql, params![job.as_str(), limit])
    }

    /// The newest run of a job, skipped ones and restores too.
    pub fn newest_run(&self, job: &JobName) -> Result<Option<RunReport>, HistoryError> {
        let sql = format!(
            "SELECT {} FROM run WHERE rowid = (SELECT max(rowid) FROM run WHERE job = ?1)",
            rows::COLUMNS
        );
        Ok(self.select(&sql, params![job.as_str()])?.pop())
    }

    /// One run with all its details, by its ID or the beginning of it.
    pub fn show(&self, text: &str) -> Result<RunReport, HistoryError> {
        // A range of the primary key, which a function of the ID would not use. An ID has no character above `Z`.
        const BEGINS_SO: &str = "id >= ?1 AND id < ?1 || '~'";
        let prefix = text.to_ascii_uppercase();
        let unknown = || HistoryError::UnknownRun { text: text.into() };
        if prefix.is_empty() {
            return Err(unknown());
        }
        let sql = format!("SELECT {} FROM run WHERE {BEGINS_SO} LIMIT 2", rows::COLUMNS);
        let mut found = self.select(&sql, params![prefix])?;
        if found.len() > 1 {
            let sql = format!("SELECT count(*) FROM run WHERE {BEGINS_SO}");
            let count = self.lock().query_row(&sql, [prefix], |row| row.get::<_, i64>(0));
            let count = count.map_err(|e| self.failed("read", e))?;
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            return Err(HistoryError::AmbiguousRun { text: text.into(), count });
        }
        let mut report = found.pop().ok_or_else(unknown)?;
        rows::details(&self.lock(), &mut report).map_err(|e| self.failed("read", e))?;
        Ok(report)
    }

    /// The newest run of each job that was not skipped, restores left out.
    pub fn last_per_job(&self) -> Result<BTreeMap<JobName, RunReport>, HistoryError> {
        self.newest(RAN)
    }

    /// When a job last ended well, and how many of its runs have failed or were interrupted since; restores left out.
    pub fn last_success(&self, job: &JobName) -> Result<(Option<Timestamp>, usize), HistoryError> {
        let sql = format!(
            "WITH success AS (SELECT rowid AS number, finished FROM run WHERE job = ?1 AND {RAN} \
             AND outcome IN ('done', 'warned') ORDER BY rowid DESC LIMIT 1) \
             SELECT (SELECT finished FROM success), (SELECT count(*) FROM run WHERE job = ?1 AND {BAD} \
             AND outcome <> 'warned' AND rowid > coalesce((SELECT number FROM success), 0))"
        );
        let connection = self.lock();
        let read = || -> rusqlite::Result<(Option<i64>, i64)> {
            connection.prepare_cached(&sql)?.query_row([job.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        };
        let (finished, failures) = read().map_err(|e| self.failed("read", e))?;
        let finished = finished.and_then(|at| Timestamp::from_millisecond(at).ok());
        Ok((finished, usize::try_from(failures).unwrap_or(0)))
    }

    /// What a run has warned of.
    pub fn warnings(&self, run: ulid::Ulid) -> Result<Vec<String>, HistoryError> {
        rows::warnings(&self.lock(), &run.to_string()).map_err(|e| self.failed("read", e))
    }

    /// How long the newest runs of a job took that were done at the first attempt, in milliseconds, but for this one;
    /// restores left out.
    pub fn usual(&self, job: &JobName, but: Option<ulid::Ulid>) -> Result<Vec<u64>, HistoryError> {
        let sql = "SELECT max(finished - started, 0) FROM run WHERE job = ?1 AND id IS NOT ?2 \
                   AND outcome IN ('done', 'warned') AND attempts <= 1 AND kind NOT LIKE '%-restore' \
                   AND cause <> 'rebuilt' ORDER BY started DESC LIMIT 20";
        let connection = self.lock();
        let read = || -> rusqlite::Result<Vec<i64>> {
            let mut statement = connection.prepare_cached(sql)?;
            let but = but.map(|run| run.to_string());
            statement.query_map(params![job.as_str(), but], |row| row.get(0))?.collect()
        };
        let millis = read().map_err(|e| self.failed("read", e))?;
        Ok(millis.into_iter().map(|millis| u64::try_from(millis).unwrap_or(0)).collect())
    }

    /// The newest restore of each job's backups that was not skipped, or what was done with one after it.
    pub fn last_restore_per_job(&self) -> Result<BTreeMap<JobName, RunReport>, HistoryError> {
        // Word for word the condition of an index: most jobs have many runs, and never a restore.
        self.newest("outcome <> 'skipped' AND kind LIKE '%-restore'")
    }

    fn newest(&self, which: &str) -> Result<BTreeMap<JobName, RunReport>, HistoryError> {
        // From one job to the next in the index, and in each from its newest run backwards: as many steps as there are
        // jobs, where a window over the table would read every run.
        let sql = format!(
            "WITH RECURSIVE name (job) AS (SELECT min(job) FROM run UNION ALL \
             SELECT (SELECT min(job) FROM run WHERE run.job > name.job) FROM name WHERE name.job IS NOT NULL) \
             SELECT {} FROM run WHERE id IN (SELECT (SELECT id FROM run WHERE run.job = name.job \
             AND {which} ORDER BY rowid DESC LIMIT 1) FROM name)",
            rows::COLUMNS
        );
        Ok(self.select(&sql, [])?.into_iter().map(|report| (report.job.clone(), report)).collect())
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

    /// Whether a run is noted as running: a partial folder of one that is not was left behind.
    pub fn is_running(&self, run: ulid::Ulid) -> Result<bool, HistoryError> {
        self.lock()
            .query_row("SELECT outcome = 'running' FROM run WHERE id = ?1", [run.to_string()], |row| {
                row.get(0)
            })
            .optional()
            .map(|running| running.unwrap_or(false))
            .map_err(|e| self.failed("read", e))
    }

    fn select(&self, sql: &str, params: impl rusqlite::Params) -> Result<Vec<RunReport>, HistoryError> {
        let raw = {
            let connection = self.lock();
            let mut statement = connection.prepare_cached(sql).map_err(|e| self.failed("read", e))?;
            let rows = statement.query_map(params, rows::Raw::read).and_then(Iterator::collect);
            rows.map_err(|e| self.failed("read", e))?
        };
        let understand = |raw: rows::Raw| {
            let run = raw.id.clone();
            raw.understand().map_err(|problem| HistoryError::Row { path: self.path.clone(), run, problem })
        };
        Vec::into_iter(raw).map(understand).collect()
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

/// Opens the file, and says which ones that are.
fn opened(path: &Path) -> Result<(Connection, Option<Files>), HistoryError> {
    must_be_files(path)?;
    not_foreign(path)?;
    let mut connection = Connection::open(path).map_err(|e| failure(path, "open", e))?;
    ready(path, &mut connection)?;
    whose::read_a_little(&connection).map_err(|e| failure(path, "read", e))?;
    Ok((connection, Files::found(path)))
}

/// Looks at the file alone, and changes nothing: where the log of a history that was there before is still beside another
/// program's database, SQLite would write the one into the other.
fn not_foreign(path: &Path) -> Result<(), HistoryError> {
    match whose::of_file(path) {
        Ok(Whose::Foreign) => Err(HistoryError::Foreign { path: path.to_owned() }),
        // What else is wrong with it, or only seems so while somebody writes, is found when it is opened.
        _ => Ok(()),
    }
}

/// SQLite opens the file and those beside it as they are: a pipe would be waited for, and a link be followed.
fn must_be_files(path: &Path) -> Result<(), HistoryError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let path = PathBuf::from(name);
        match path.symlink_metadata().and_then(|found| regular::must_be(&found)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            looked => looked.map_err(|source| StateDirError::File { path, source })?,
        }
    }
    Ok(())
}

/// Makes a connection ready for use. What is not ours, or not whole, is only looked at.
fn ready(path: &Path, connection: &mut Connection) -> Result<(), HistoryError> {
    let looked = connection.busy_timeout(BUSY).and_then(|()| whose(connection));
    match looked.map_err(|e| failure(path, "open", e))? {
        // Before the log is there, in which the ID would be for a while only.
        Whose::Nobodys => whose::sign(connection).map_err(|e| failure(path, "open", e))?,
        Whose::Ours => {}
        Whose::Foreign => return Err(HistoryError::Foreign { path: path.to_owned() }),
        Whose::Lacking(table) => return Err(failure(path, "open", whose::lacks(table))),
    }
    let version = prepare(connection).map_err(|e| failure(path, "open", e))?;
    if version > schema::current() {
        return Err(HistoryError::Newer { path: path.to_owned(), found: version, known: schema::current() });
    }
    Ok(())
}

fn prepare(connection: &mut Connection) -> rusqlite::Result<u32> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Else each value that is bound may change the plan, and the statement is prepared anew for it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > schema::current() {
        return Ok(version);
    }
    use_wal(connection, BUSY)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // SQLite's own default here is on.
    connection.pragma_update(None, "foreign_keys", false)?;
    let version = schema::migrate(connection)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(version)
}

/// Switches the file to WAL. SQLite does not always wait for its busy timeout here, so two first opens at once would make
/// one of them fail; and where it does wait, a try may take all of it.
fn use_wal(connection: &Connection, limit: Duration) -> rusqlite::Result<()> {
    let since = Instant::now();
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())) {
            Err(e) if e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && since.elapsed() < limit => {
                std::thread::sleep(Duration::from_millis(50));
            }
            result => return result,
        }
    }
}

fn failure(path: &Path, doing: &'static str, source: rusqlite::Error) -> HistoryError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => HistoryError::Damaged { path, source },
        _ if whose::has_lost_a_table(&source) => HistoryError::Damaged { path, source },
        _ => HistoryError::Sqlite { doing, path, source },
    }
}
