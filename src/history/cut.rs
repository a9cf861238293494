//! Runs that were cut off: what they had begun may be there still, and is to be ended before their job runs again.

use rusqlite::{Connection, Row, params};
use ulid::Ulid;

use super::{History, HistoryError};
use crate::config::values::JobName;

/// Two questions, each word for word with the condition of an index: a job has many runs, and few of them were cut off.
pub(super) const OF_JOB: &str = "SELECT id, is_over FROM (\
    SELECT id, started, TRUE AS is_over FROM run WHERE job = ?1 AND outcome = 'interrupted' UNION ALL \
    SELECT id, started, FALSE FROM run WHERE job = ?1 AND outcome = 'running') \
    WHERE id <> ?2 ORDER BY started DESC LIMIT 50";

/// With what could not be ended, as `command::End::Lost` says it. Since it was last done by the order in which they were noted:
/// one that was done by a clock that was ahead hides nothing.
pub(super) const SINCE_DONE: &str = "SELECT id FROM run WHERE job = ?1 AND id <> ?2 AND (outcome IN ('interrupted', 'running') \
     OR outcome = 'failed' AND output LIKE '%but may still run%') \
     AND rowid > coalesce((SELECT rowid FROM run WHERE job = ?1 \
     AND outcome <> 'skipped' AND kind NOT LIKE '%-restore' AND outcome IN ('done', 'warned') \
     ORDER BY rowid DESC LIMIT 1), 0) ORDER BY rowid DESC LIMIT 50";

/// A run that was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutRun {
    /// The run.
    pub run: Ulid,
    /// That it is over is noted, and it stays so; one that is noted as running still may wait for its next attempt.
    pub is_over: bool,
}

impl History {
    /// The newest runs of all jobs that were cut off.
    pub fn cut_off(&self) -> Result<Vec<Ulid>, HistoryError> {
        let sql = "SELECT id FROM run WHERE outcome = 'interrupted' ORDER BY started DESC LIMIT 50";
        ids(&self.lock(), sql, []).map_err(|e| self.failed("read", e))
    }

    /// The newest runs of a job that were cut off, or are noted as running, but for this one. For who has the job's lock.
    pub fn cut_off_of(&self, job: &JobName, but: Ulid) -> Result<Vec<CutRun>, HistoryError> {
        of_job(&self.lock(), job, but).map_err(|e| self.failed("read", e))
    }

    /// The newest runs of a job that were cut off, or are noted as running, since it was last done, but for this one; with
    /// those that could not be ended at their timeout. For who has the job's lock.
    pub fn cut_off_since_done(&self, job: &JobName, but: Ulid) -> Result<Vec<Ulid>, HistoryError> {
        since_done(&self.lock(), job, but).map_err(|e| self.failed("read", e))
    }
}

pub(super) fn of_job(connection: &Connection, job: &JobName, but: Ulid) -> rusqlite::Result<Vec<CutRun>> {
    let cut = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get(1)?));
    let mut statement = connection.prepare_cached(OF_JOB)?;
    let rows = statement.query_map(params![job.as_str(), but.to_string()], cut)?;
    let rows: Vec<(String, bool)> = rows.collect::<rusqlite::Result<_>>()?;
    let understood =
        rows.into_iter().filter_map(|(id, is_over)| Some((Ulid::from_string(&id).ok()?, is_over)));
    Ok(understood.map(|(run, is_over)| CutRun { run, is_over }).collect())
}

pub(super) fn since_done(connection: &Connection, job: &JobName, but: Ulid) -> rusqlite::Result<Vec<Ulid>> {
    ids(connection, SINCE_DONE, params![job.as_str(), but.to_string()])
}

fn ids(connection: &Connection, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<Vec<Ulid>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, |row| row.get(0))?;
    let ids: Vec<String> = rows.collect::<rusqlite::Result<_>>()?;
    Ok(ids.iter().filter_map(|id| Ulid::from_string(id).ok()).collect())
}
