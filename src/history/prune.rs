//! What is forgotten of runs that are long over, or of which there are too many, so that the file does not grow for ever.
//!
//! Forgotten is never what somebody still asks for: a run that goes on, the newest of each job and its newest good, failed
//! and restoring ones, those that may have left something running or that a notifier tells of, and no slot of which the
//! account is not closed. The newest slot that is forgotten of a job is noted: up to it nothing of the job runs again,
//! whatever the clock shows.
//!
//! It goes in small steps, each of which lets others write as long as it took itself, and ends after a while: what is left
//! is for the next time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use ulid::Ulid;

use super::slots::time;
use super::{BAD, History, HistoryError, RAN, cut};
use crate::config::values::{JobName, Remembered};

/// Log lines are kept for so long.
const LOG_LINES: SignedDuration = SignedDuration::from_hours(30 * 24);
/// So many of the newest runs, and of the newest stretches of missed slots, of each job are kept, however old.
const NEWEST: u32 = 100;
/// So much is deleted at once: others write meanwhile.
const AT_ONCE: u32 = 500;
/// It is done so often; a little less than an hour, for who looks each hour.
const EVERY: SignedDuration = SignedDuration::from_mins(55);

/// What was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Runs, with all that belongs to them.
    pub runs: usize,
    /// Stretches of missed slots.
    pub missed: usize,
    /// Log lines of runs that are kept.
    pub log_lines: usize,
    /// Incidents that were closed, with their timelines.
    pub incidents: usize,
}

/// How long one pruning may take.
#[derive(Debug, Clone, Copy)]
struct Budget {
    since: Instant,
    limit: Duration,
}

impl Budget {
    fn is_spent(self) -> bool {
        self.since.elapsed() >= self.limit
    }
}

impl History {
    /// Forgets runs that are kept long enough or of which there are too many, and log lines of more than 30 days; nothing
    /// where that was done within the last hour. What takes longer than `limit` is left for the next call.
    pub fn prune(
        &self,
        keep: Remembered,
        now: Timestamp,
        limit: Duration,
    ) -> Result<Option<Pruned>, HistoryError> {
        let budget = Budget { since: Instant::now(), limit };
        let last = self.ask("SELECT done FROM chore WHERE name = 'prune'", params![])?;
        if last.is_some_and(|last| last <= now && now.duration_since(last) < EVERY) {
            return Ok(None);
        }
        let age = SignedDuration::try_from(keep.age).unwrap_or(SignedDuration::MAX);
        let before = |age: SignedDuration| now.checked_sub(age).unwrap_or(Timestamp::MIN);
        let mut pruned =
            Pruned { log_lines: self.prune_log(before(LOG_LINES.min(age)), budget)?, ..Pruned::default() };
        pruned.incidents = self.prune_incidents(before(age), budget)?;
        // From one job to the next in the index: DISTINCT would read every run.
        let jobs = "WITH RECURSIVE name (job) AS (SELECT min(job) FROM run UNION ALL \
                    SELECT (SELECT min(job) FROM run WHERE run.job > name.job) FROM name WHERE name.job IS NOT NULL) \
                    SELECT job FROM name WHERE job IS NOT NULL UNION SELECT job FROM missed";
        for job in self.names(jobs)? {
            let keeps = self.keeps(&job, keep.runs)?;
            let before = |rank: Option<Timestamp>| rank.unwrap_or(Timestamp::MIN).max(before(age));
            let (of_runs, of_missed) = (before(keeps.runs), before(keeps.missed));
            pruned.runs += self.repeat(&job, budget, &|t, job| runs(t, job, of_runs, &keeps.named))?;
            pruned.missed += self.repeat(&job, budget, &|t, job| missed(t, job, of_missed))?;
        }
        if !budget.is_spent() {
            let sql = "INSERT OR REPLACE INTO chore VALUES ('prune', ?1)";
            let done = self.lock().execute(sql, [now.as_millisecond()]);
            done.map_err(|e| self.failed("write", e))?;
        }
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

    /// What of a job is kept by its number and by its name.
    fn keeps(&self, job: &JobName, runs: u32) -> Result<Keeps, HistoryError> {
        let newest = i64::from(runs.max(NEWEST)) - 1;
        let sql = "SELECT started FROM run WHERE job = ?1 ORDER BY started DESC LIMIT 1 OFFSET ?2";
        let runs = self.ask(sql, params![job.as_str(), newest])?;
        let sql = "SELECT last FROM missed WHERE job = ?1 ORDER BY last DESC LIMIT 1 OFFSET ?2";
        let missed = self.ask(sql, params![job.as_str(), newest])?;
        let named = named(&self.lock(), job).map_err(|e| self.failed("read", e))?;
        Ok(Keeps { runs, missed, named })
    }

    fn prune_log(&self, before: Timestamp, budget: Budget) -> Result<usize, HistoryError> {
        // The name of a run begins with its time, and sorts by it.
        let first_kept = Ulid::from_parts(u64::try_from(before.as_millisecond()).unwrap_or(0), 0).to_string();
        let sql = "DELETE FROM log_line WHERE run IN \
                   (SELECT DISTINCT run FROM log_line WHERE run < ?1 ORDER BY run LIMIT ?2)";
        self.in_steps(budget, &|connection| connection.execute(sql, params![first_kept, AT_ONCE]))
    }

    fn prune_incidents(&self, before: Timestamp, budget: Budget) -> Result<usize, HistoryError> {
        let sql = "DELETE FROM incident WHERE number IN \
                   (SELECT number FROM incident WHERE closed < ?1 ORDER BY closed LIMIT ?2)";
        self.in_steps(budget, &|connection| {
            connection.execute(sql, params![before.as_millisecond(), AT_ONCE])
        })
    }

    fn repeat(&self, job: &JobName, budget: Budget, work: &Work<'_>) -> Result<usize, HistoryError> {
        self.in_steps(budget, &|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let gone = work(&transaction, job.as_str())?;
            transaction.commit()?;
            Ok(gone)
        })
    }

    /// Does it until there is nothing left to do, or no time.
    fn in_steps(&self, budget: Budget, step: &Step<'_>) -> Result<usize, HistoryError> {
        let mut all = 0;
        while !budget.is_spent() {
            let since = Instant::now();
            match step(&mut self.lock()).map_err(|e| self.failed("write", e))? {
                0 => break,
                some => all += some,
            }
            // Whoever waits for the lock would not get it else: it goes to whom asks first.
            std::thread::sleep(since.elapsed());
        }
        Ok(all)
    }
}

/// Deletes some of what a job has, and says how many.
type Work<'w> = dyn Fn(&Transaction<'_>, &str) -> rusqlite::Result<usize> + 'w;
/// Deletes something, and says how many.
type Step<'s> = dyn Fn(&mut Connection) -> rusqlite::Result<usize> + 's;

/// What is kept of a job, however old.
struct Keeps {
    /// The oldest of its newest runs; all are among them where there is none.
    runs: Option<Timestamp>,
    /// The oldest of its newest stretches of missed slots.
    missed: Option<Timestamp>,
    /// Runs that somebody still asks for, as an array of JSON.
    named: String,
}

/// The runs of a job that a notifier tells of, and those that may have left something running.
fn named(connection: &Connection, job: &JobName) -> rusqlite::Result<String> {
    let sql = "SELECT note FROM note WHERE job = ?1 UNION ALL SELECT message FROM post WHERE job = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let texts = statement.query_map([job.as_str()], |row| row.get(0))?;
    let texts: Vec<String> = texts.collect::<rusqlite::Result<_>>()?;
    let words = texts.iter().flat_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric()));
    let told = words.filter_map(|word| Ulid::from_string(word).ok());
    let cut = cut::of_job(connection, job, Ulid::nil())?.into_iter().map(|cut| cut.run);
    let lost = cut::since_done(connection, job, Ulid::nil())?;
    let all: BTreeSet<Ulid> = told.chain(cut).chain(lost).collect();
    let all: Vec<String> = all.iter().map(|run| format!("\"{run}\"")).collect();
    Ok(format!("[{}]", all.join(",")))
}

/// Up to where the account of every schedule of the job is closed.
const CLOSED: &str = "coalesce((SELECT min(until) FROM watched WHERE job = ?1), 1 << 62)";

fn runs(transaction: &Transaction<'_>, job: &str, before: Timestamp, named: &str) -> rusqlite::Result<usize> {
    // By the order in which they were noted, as they are asked for. Each in the words of an index.
    let newest = |which: &str, most: u32| {
        format!("id NOT IN (SELECT id FROM run WHERE job = ?1 AND {which} ORDER BY rowid DESC LIMIT {most})")
    };
    // What a listing shows first.
    let order = "ORDER BY started DESC, id DESC";
    let listed = format!("id NOT IN (SELECT id FROM run WHERE job = ?1 {order} LIMIT {NEWEST})");
    let sql = format!(
        "SELECT id, slot FROM run WHERE job = ?1 AND started < ?2 AND outcome <> 'running' \
         AND (slot IS NULL OR slot <= {CLOSED}) AND id NOT IN (SELECT value FROM json_each(?3)) \
         AND {} AND {} AND {} AND {} AND {} ORDER BY started LIMIT {AT_ONCE}",
        listed,
        newest(RAN, NEWEST),
        newest(&format!("{RAN} AND outcome IN ('done', 'warned')"), 1),
        newest(&format!("{BAD} AND outcome IN ('failed', 'interrupted')"), 1),
        newest("kind LIKE '%-restore'", 1),
    );
    let mut statement = transaction.prepare_cached(&sql)?;
    let before = before.as_millisecond();
    let rows = statement.query_map(params![job, before, named], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let old: Vec<(String, Option<i64>)> = rows.collect::<rusqlite::Result<_>>()?;
    forget(transaction, job, old.iter().filter_map(|run| run.1).max())?;
    for (id, _) in &old {
        transaction.prepare_cached("DELETE FROM run WHERE id = ?1")?.execute([id])?;
    }
    Ok(old.len())
}

fn missed(transaction: &Transaction<'_>, job: &str, before: Timestamp) -> rusqlite::Result<usize> {
    let sql = format!(
        "SELECT first, last FROM missed WHERE job = ?1 AND last < ?2 AND last <= {CLOSED} AND last NOT IN \
         (SELECT last FROM missed WHERE job = ?1 ORDER BY last DESC LIMIT {NEWEST}) ORDER BY last LIMIT {AT_ONCE}"
    );
    let mut statement = transaction.prepare_cached(&sql)?;
    let before = before.as_millisecond();
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
