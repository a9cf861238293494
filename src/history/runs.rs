//! What is asked of the runs.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::{BAD, History, HistoryError, RAN, RunReport, rows};
use crate::config::values::JobName;
use crate::jobs::Outcome;
use crate::store::BackupId;

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
    pub(super) fn times(&self) -> (i64, i64) {
        let millis = |at: Option<Timestamp>, otherwise| at.map_or(otherwise, Timestamp::as_millisecond);
        (millis(self.since, i64::MIN), millis(self.until, i64::MAX))
    }
}

impl History {
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

    pub(super) fn select(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
    ) -> Result<Vec<RunReport>, HistoryError> {
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
}
