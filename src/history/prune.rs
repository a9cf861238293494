//! What is forgotten of runs that are long over, so that the file does not grow for ever.
//!
//! Forgotten is never what somebody still asks for: a run that goes on, the newest of each job and its newest good, failed
//! and restoring ones, and no slot of which the account is not closed. The newest slot that is forgotten of a job is
//! noted: up to it nothing of the job runs again, whatever the clock shows.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};
use ulid::Ulid;

use super::slots::time;
use super::{BAD, History, HistoryError, RAN};
use crate::config::values::JobName;

/// Log lines are kept for so long.
const LOG_LINES: SignedDuration = SignedDuration::from_hours(30 * 24);
/// So many of the newest runs, and of the newest stretches of missed slots, of each job are kept, however old.
const NEWEST: u32 = 100;
/// So much is deleted at once: others write meanwhile.
const AT_ONCE: u32 = 500;
/// It is done so often.
const EVERY: SignedDuration = SignedDuration::from_hours(24);

/// What was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Runs, with all that belongs to them.
    pub runs: usize,
    /// Stretches of missed slots.
    pub missed: usize,
    /// Log lines of runs that are kept.
    pub log_lines: usize,
}

impl History {
    /// Forgets runs that began longer ago than `keep`, and log lines of more than 30 days; nothing where that was done
    /// within the last day.
    pub fn prune(&self, keep: Duration, now: Timestamp) -> Result<Option<Pruned>, HistoryError> {
        let last = self.ask("SELECT done FROM chore WHERE name = 'prune'", params![])?;
        if last.is_some_and(|last| last <= now && now.duration_since(last) < EVERY) {
            return Ok(None);
        }
        let age = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
        let before = |age: SignedDuration| now.checked_sub(age).unwrap_or(Timestamp::MIN);
        let mut pruned =
            Pruned { log_lines: self.prune_log(before(LOG_LINES.min(age)))?, ..Pruned::default() };
        for job in self.names("SELECT DISTINCT job FROM run UNION SELECT job FROM missed")? {
            pruned.runs += self.repeat(&job, before(age), runs)?;
            pruned.missed += self.repeat(&job, before(age), missed)?;
        }
        let sql = "INSERT OR REPLACE INTO chore VALUES ('prune', ?1)";
        let done = self.lock().execute(sql, [now.as_millisecond()]);
        done.map_err(|e| self.failed("write", e))?;
        Ok(Some(pruned))
    }

    /// The newest slot of a job that was forgotten: up to it every slot is known.
    pub fn forgotten(&self, job: &JobName) -> Result<Option<Timestamp>, HistoryError> {
        self.ask("SELECT slot FROM forgotten WHERE job = ?1", params![job.as_str()])
    }

    fn ask(&self, sql: &str, params: impl rusqlite::Params) -> Result<Option<Timestamp>, HistoryError> {
        let found = self.lock().query_row(sql, params, |row| row.get::<_, i64>(0)).optional();
        found.map(|found| found.map(time)).map_err(|e| self.failed("read", e))
    }

    fn prune_log(&self, before: Timestamp) -> Result<usize, HistoryError> {
        // The name of a run begins with its time, and sorts by it.
        let first_kept = Ulid::from_parts(u64::try_from(before.as_millisecond()).unwrap_or(0), 0).to_string();
        let sql = "DELETE FROM log_line WHERE run IN \
                   (SELECT DISTINCT run FROM log_line WHERE run < ?1 ORDER BY run LIMIT ?2)";
        let mut all = 0;
        loop {
            let gone = self.lock().execute(sql, params![first_kept, AT_ONCE]);
            match gone.map_err(|e| self.failed("write", e))? {
                0 => return Ok(all),
                some => all += some,
            }
        }
    }

    fn repeat(&self, job: &JobName, before: Timestamp, work: Work) -> Result<usize, HistoryError> {
        let mut all = 0;
        loop {
            let mut connection = self.lock();
            let mut once = || {
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let gone = work(&transaction, job.as_str(), before.as_millisecond())?;
                transaction.commit()?;
                Ok(gone)
            };
            match once().map_err(|e| self.failed("write", e))? {
                0 => return Ok(all),
                some => all += some,
            }
        }
    }
}

/// Deletes some of what a job has from before a time, and says how many.
type Work = fn(&Transaction<'_>, &str, i64) -> rusqlite::Result<usize>;

/// Up to where the account of every schedule of the job is closed.
const CLOSED: &str = "coalesce((SELECT min(until) FROM watched WHERE job = ?1), 1 << 62)";

fn runs(transaction: &Transaction<'_>, job: &str, before: i64) -> rusqlite::Result<usize> {
    // By the order in which they were noted, as they are asked for.
    let newest = |which: &str, most: u32| {
        format!("id NOT IN (SELECT id FROM run WHERE job = ?1 AND {which} ORDER BY rowid DESC LIMIT {most})")
    };
    // What a listing shows first.
    let order = "ORDER BY started DESC, id DESC";
    let listed = format!("id NOT IN (SELECT id FROM run WHERE job = ?1 {order} LIMIT {NEWEST})");
    let sql = format!(
        "SELECT id, slot FROM run WHERE job = ?1 AND started < ?2 AND outcome <> 'running' \
         AND (slot IS NULL OR slot <= {CLOSED}) AND {} AND {} AND {} AND {} AND {} ORDER BY started LIMIT {AT_ONCE}",
        listed,
        newest(RAN, NEWEST),
        newest(&format!("{RAN} AND outcome IN ('done', 'warned')"), 1),
        newest(&format!("{BAD} AND outcome <> 'warned'"), 1),
        newest("kind LIKE '%-restore'", 1),
    );
    let mut statement = transaction.prepare_cached(&sql)?;
    let rows = statement.query_map(params![job, before], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let old: Vec<(String, Option<i64>)> = rows.collect::<rusqlite::Result<_>>()?;
    forget(transaction, job, old.iter().filter_map(|run| run.1).max())?;
    for (id, _) in &old {
        transaction.prepare_cached("DELETE FROM run WHERE id = ?1")?.execute([id])?;
    }
    Ok(old.len())
}

fn missed(transaction: &Transaction<'_>, job: &str, before: i64) -> rusqlite::Result<usize> {
    let sql = format!(
        "SELECT first, last FROM missed WHERE job = ?1 AND last < ?2 AND last <= {CLOSED} AND last NOT IN \
         (SELECT last FROM missed WHERE job = ?1 ORDER BY last DESC LIMIT {NEWEST}) ORDER BY last LIMIT {AT_ONCE}"
    );
    let mut statement = transaction.prepare_cached(&sql)?;
    let rows = statement.query_map(params![job, before], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let old: Vec<(i64, i64)> = rows.collect::<rusqlite::Result<_>>()?;
    forget(transaction, job, old.iter().map(|stretch| stretch.1).max())?;
    for (first, last) in &old {
        let sql = "DELETE FROM missed WHERE job = ?1 AND first = ?2 AND last = ?3";
        transaction.prepare_cached(sql)?.execute(params![job, first, last])?;
    }
    Ok(old.len())
}

fn forget(transaction: &Transaction<'_>, job: &str, slot: Option<i64>) -> rusqlite::Result<()> {
    if let Some(slot) = slot {
        transaction.execute(
            "INSERT INTO forgotten VALUES (?1, ?2) ON CONFLICT (job) DO UPDATE SET slot = max(slot, excluded.slot)",
            params![job, slot],
        )?;
    }
    Ok(())
}
