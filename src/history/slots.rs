//! What became of the slots of a job: those that ran are runs; here is how far they were watched, and which were missed.
//!
//! A job's slots are watched from the moment the daemon first saw its schedule: a history that is new, or was made anew,
//! knows of none before that.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{Filter, History, HistoryError, RunReport, Sort, rows};
use crate::config::values::JobName;
use crate::jobs::Outcome;

/// How far the slots of a schedule of a job were watched. One that was replaced stays until all its slots are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// The schedule, as it is written in the configuration.
    pub schedule: String,
    /// The name of its zone.
    pub zone: String,
    /// Since when it is watched: of a slot up to this time nothing is asked.
    pub born: Timestamp,
    /// What became of every slot up to this time is known.
    pub until: Timestamp,
    /// When another schedule took its place; its slots end there.
    pub ended: Option<Timestamp>,
}

/// Slots that follow each other and did not run.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MissedSlots {
    /// The first of them.
    pub first: Timestamp,
    /// The last of them.
    pub last: Timestamp,
    /// How many.
    pub count: usize,
    /// There were more: nobody counted on.
    pub at_least: bool,
    /// Why.
    pub reason: String,
}

impl MissedSlots {
    /// They came while the job was paused: somebody wanted it so.
    pub fn are_of_a_pause(&self) -> bool {
        self.reason.starts_with("paused ")
    }
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// When.
    pub at: Timestamp,
    /// How.
    pub outcome: Outcome,
    /// Why, where it was not done.
    pub reason: Option<String>,
}

impl History {
    /// How far the slots of each schedule of a job were watched, the oldest first; none where they never were.
    pub fn watched(&self, job: &JobName) -> Result<Vec<Watched>, HistoryError> {
        notes(&self.lock(), job).map_err(|e| self.failed("read", e))
    }

    /// Up to when every slot of every job is known; nothing where none was ever watched.
    pub fn known_until(&self) -> Result<Option<Timestamp>, HistoryError> {
        let sql = "SELECT min(until) FROM watched WHERE ended IS NULL";
        let until = self.lock().query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
        until.map(|until| until.map(time)).map_err(|e| self.failed("read", e))
    }

    /// Notes how far the slots of each schedule of a job are known now, in place of what was noted before, and those that
    /// were missed. A stretch with the same reason as the newest one goes on from that: slots of one pause are one stretch.
    pub fn watch(
        &self,
        job: &JobName,
        watched: &[Watched],
        missed: &[MissedSlots],
    ) -> Result<(), HistoryError> {
        let mut connection = self.lock();
        let write = |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for missed in missed {
                note_missed(&transaction, job, missed)?;
            }
            note(&transaction, job, watched)?;
            transaction.commit()
        };
        self.wrote(Sort::Rest, write(&mut connection))
    }

    /// Notes how far the slots of these jobs are known now, each from what was noted before: all of them at once, or none.
    pub fn watch_on<'a, F: FnOnce(Vec<Watched>) -> Vec<Watched>>(
        &self,
        jobs: impl Iterator<Item = (&'a JobName, F)>,
    ) -> Result<(), HistoryError> {
        let mut connection = self.lock();
        let write = |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for (job, further) in jobs {
                note(&transaction, job, &further(notes(&transaction, job)?))?;
            }
            transaction.commit()
        };
        self.wrote(Sort::Rest, write(&mut connection))
    }

    /// Takes notes of missed slots back, and writes others in their place.
    pub fn correct_missed(
        &self,
        job: &JobName,
        wrong: &[MissedSlots],
        right: &[MissedSlots],
    ) -> Result<(), HistoryError> {
        let mut connection = self.lock();
        let write = |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for wrong in wrong {
                transaction.execute(
                    "DELETE FROM missed WHERE job = ?1 AND first = ?2 AND last = ?3",
                    params![job.as_str(), wrong.first.as_millisecond(), wrong.last.as_millisecond()],
                )?;
            }
            for right in right {
                note_missed(&transaction, job, right)?;
            }
            transaction.commit()
        };
        self.wrote(Sort::Rest, write(&mut connection))
    }

    /// The jobs whose slots are watched.
    pub fn watched_jobs(&self) -> Result<Vec<JobName>, HistoryError> {
        self.names("SELECT DISTINCT job FROM watched")
    }

    /// The slots of a job after `since` that ran or were skipped.
    pub fn slots_after(&self, job: &JobName, since: Timestamp) -> Result<BTreeSet<Timestamp>, HistoryError> {
        let connection = self.lock();
        let read = || -> rusqlite::Result<_> {
            let mut statement =
                connection.prepare_cached("SELECT slot FROM run WHERE job = ?1 AND slot > ?2")?;
            let rows =
                statement.query_map(params![job.as_str(), since.as_millisecond()], |row| row.get(0))?;
            rows.map(|slot| slot.map(time)).collect()
        };
        read().map_err(|e| self.failed("read", e))
    }

    /// The newest stretches of missed slots with their jobs, the newest first, that reach into the time of the filter;
    /// outcomes are those of runs.
    pub fn recent_missed(&self, filter: &Filter) -> Result<Vec<(JobName, MissedSlots)>, HistoryError> {
        let names = match &filter.job {
            Some(job) => vec![job.clone()],
            None => self.jobs_with_missed()?,
        };
        let (since, until) = filter.times();
        let limit = filter.limit.map_or(-1, i64::from);
        let sql = "SELECT first, last, count, reason, at_least FROM missed WHERE job = ?1 AND last >= ?2 AND first < ?3 \
                   ORDER BY last DESC LIMIT ?4";
        let mut all = Vec::new();
        for name in names {
            let missed = self.stretches(sql, params![name.as_str(), since, until, limit])?;
            all.extend(missed.into_iter().map(|missed| (name.clone(), missed)));
        }
        all.sort_by_key(|(_, missed)| std::cmp::Reverse(missed.last));
        all.truncate(filter.limit.map_or(usize::MAX, |limit| limit as usize));
        Ok(all)
    }

    fn jobs_with_missed(&self) -> Result<Vec<JobName>, HistoryError> {
        self.names("SELECT DISTINCT job FROM missed")
    }

    pub(super) fn names(&self, sql: &str) -> Result<Vec<JobName>, HistoryError> {
        let connection = self.lock();
        let read = || -> rusqlite::Result<Vec<String>> {
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| row.get(0))?;
            rows.collect()
        };
        let names = read().map_err(|e| self.failed("read", e))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// The newest slot before this one of a job that runs after others.
    pub fn after_before(&self, job: &JobName, slot: Timestamp) -> Result<Option<Timestamp>, HistoryError> {
        let sql = "SELECT max(slot) FROM run WHERE job = ?1 AND cause = 'after' AND slot < ?2";
        let row = self
            .lock()
            .query_row(sql, params![job.as_str(), slot.as_millisecond()], |row| row.get::<_, Option<i64>>(0));
        row.map(|slot| slot.map(time)).map_err(|e| self.failed("read", e))
    }

    /// The newest stretches of slots of a job that were missed, the newest first.
    pub fn missed(&self, job: &JobName, limit: u32) -> Result<Vec<MissedSlots>, HistoryError> {
        let sql = "SELECT first, last, count, reason, at_least FROM missed WHERE job = ?1 ORDER BY last DESC LIMIT ?2";
        self.stretches(sql, params![job.as_str(), limit])
    }

    /// The newest stretch of slots of a job that were missed, and nobody had paused it.
    pub fn last_lost(&self, job: &JobName) -> Result<Option<MissedSlots>, HistoryError> {
        let sql = "SELECT first, last, count, reason, at_least FROM missed \
                   WHERE job = ?1 AND reason NOT LIKE 'paused %' ORDER BY last DESC LIMIT 1";
        Ok(self.stretches(sql, params![job.as_str()])?.pop())
    }

    /// How many slots of a job were missed, those of a pause left out.
    pub fn count_lost(&self, job: &JobName) -> Result<usize, HistoryError> {
        let sql = "SELECT coalesce(sum(count), 0) FROM missed WHERE job = ?1 AND reason NOT LIKE 'paused %'";
        let count = self.lock().query_row(sql, [job.as_str()], |row| row.get::<_, i64>(0));
        count.map(|count| usize::try_from(count).unwrap_or(0)).map_err(|e| self.failed("read", e))
    }

    /// The stretches of missed slots of a job that reach beyond `since`.
    pub fn missed_after(&self, job: &JobName, since: Timestamp) -> Result<Vec<MissedSlots>, HistoryError> {
        let sql = "SELECT first, last, count, reason, at_least FROM missed WHERE job = ?1 AND last > ?2 ORDER BY first";
        self.stretches(sql, params![job.as_str(), since.as_millisecond()])
    }

    /// The stretch of missed slots of a job around a slot.
    pub fn missed_at(&self, job: &JobName, slot: Timestamp) -> Result<Option<MissedSlots>, HistoryError> {
        let sql = "SELECT first, last, count, reason, at_least FROM missed WHERE job = ?1 AND first <= ?2 AND last >= ?2";
        Ok(self.stretches(sql, params![job.as_str(), slot.as_millisecond()])?.pop())
    }

    fn stretches(&self, sql: &str, params: impl rusqlite::Params) -> Result<Vec<MissedSlots>, HistoryError> {
        let connection = self.lock();
        let read = || -> rusqlite::Result<_> {
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(params, |row| {
                Ok(MissedSlots {
                    first: time(row.get(0)?),
                    last: time(row.get(1)?),
                    count: usize::try_from(row.get::<_, i64>(2)?).unwrap_or(usize::MAX),
                    reason: row.get(3)?,
                    at_least: row.get(4)?,
                })
            })?;
            rows.collect()
        };
        read().map_err(|e| self.failed("read", e))
    }

    /// The newest slots of a job that ran, were caught up or were skipped, the newest first.
    pub fn recent_slots(&self, job: &JobName, limit: u32) -> Result<Vec<RunReport>, HistoryError> {
        let sql = format!(
            "SELECT {} FROM run WHERE job = ?1 AND slot IS NOT NULL ORDER BY slot DESC LIMIT ?2",
            rows::COLUMNS
        );
        self.select(&sql, params![job.as_str(), limit])
    }

    /// The ends of runs of a job after `since`, up to and with `until`, restores left out, the oldest first and at most the
    /// newest thousand. A skip is an end, too, but not where it was skipped because another run of the job went on: that
    /// one ends itself. Of a run that was rebuilt nothing follows any more.
    pub fn ends(&self, job: &JobName, since: Timestamp, until: Timestamp) -> Result<Vec<End>, HistoryError> {
        // Two questions, each with an index.
        let ended = format!(
            "SELECT {} FROM run WHERE job = ?1 AND finished > ?2 AND kind NOT LIKE '%-restore' \
             AND cause <> 'rebuilt' ORDER BY finished DESC LIMIT 1000",
            rows::COLUMNS
        );
        let running = format!(
            "SELECT {} FROM run WHERE outcome = 'running' AND job = ?1 AND kind NOT LIKE '%-restore'",
            rows::COLUMNS
        );
        let mut runs = self.select(&ended, params![job.as_str(), since.as_millisecond()])?;
        runs.reverse();
        runs.extend(self.select(&running, [job.as_str()])?);
        let is_skip = |run: &RunReport| run.outcome == Some(Outcome::Skipped);
        let goes_on = |at: Timestamp| {
            let is_on = |run: &&RunReport| run.started <= at && run.finished.is_none_or(|end| end >= at);
            runs.iter().filter(|run| !is_skip(run)).any(|run| is_on(&run))
        };
        let end = |run: &RunReport| {
            let (at, outcome) = (run.finished.filter(|at| *at <= until)?, run.outcome?);
            let counts = !is_skip(run) || !goes_on(at);
            counts.then(|| End { at, outcome, reason: run.reason.clone() })
        };
        Ok(runs.iter().filter_map(end).collect())
    }

    /// The newest slot of a job that runs after others, run or skipped.
    pub fn last_after(&self, job: &JobName) -> Result<Option<Timestamp>, HistoryError> {
        let sql = "SELECT max(slot) FROM run WHERE job = ?1 AND cause = 'after'";
        let slot = self.lock().query_row(sql, [job.as_str()], |row| row.get::<_, Option<i64>>(0));
        slot.map(|slot| slot.map(time)).map_err(|e| self.failed("read", e))
    }
}

fn notes(connection: &Connection, job: &JobName) -> rusqlite::Result<Vec<Watched>> {
    let mut statement = connection.prepare_cached(
        "SELECT schedule, zone, born, until, ended FROM watched WHERE job = ?1 ORDER BY born, ended IS NULL",
    )?;
    let rows = statement.query_map([job.as_str()], |row| {
        Ok(Watched {
            schedule: row.get(0)?,
            zone: row.get(1)?,
            born: time(row.get(2)?),
            until: time(row.get(3)?),
            ended: row.get::<_, Option<i64>>(4)?.map(time),
        })
    })?;
    rows.collect()
}

/// Notes how far the slots of each schedule of a job are known, in place of what was noted before.
fn note(transaction: &Transaction<'_>, job: &JobName, watched: &[Watched]) -> rusqlite::Result<()> {
    transaction.prepare_cached("DELETE FROM watched WHERE job = ?1")?.execute([job.as_str()])?;
    for watched in watched {
        transaction
            .prepare_cached("INSERT OR REPLACE INTO watched VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![
                job.as_str(),
                watched.schedule,
                watched.zone,
                watched.born.as_millisecond(),
                watched.until.as_millisecond(),
                watched.ended.map(Timestamp::as_millisecond),
            ])?;
    }
    Ok(())
}

fn note_missed(transaction: &Transaction<'_>, job: &JobName, missed: &MissedSlots) -> rusqlite::Result<()> {
    let (first, last) = (missed.first.as_millisecond(), missed.last.as_millisecond());
    let count = i64::try_from(missed.count).unwrap_or(i64::MAX);
    let gone_on = transaction
        .prepare_cached(
            "UPDATE missed SET last = ?3, count = count + ?4, at_least = at_least OR ?6 WHERE job = ?1 AND last < ?2 AND reason = ?5 \
             AND last = (SELECT max(last) FROM missed WHERE job = ?1)",
        )?
        .execute(params![job.as_str(), first, last, count, missed.reason, missed.at_least])?;
    if gone_on == 0 {
        transaction
            .prepare_cached("INSERT OR REPLACE INTO missed VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![job.as_str(), first, last, count, missed.reason, missed.at_least])?;
    }
    Ok(())
}

pub(super) fn time(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or_default()
}
