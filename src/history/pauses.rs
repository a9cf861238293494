//! Pauses: jobs that do not run on their schedule for a while. One that has ended is kept until the slots in it are known,
//! for no daemon may have run then.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::slots::time;
use super::{History, HistoryError};
use crate::config::values::JobName;
use crate::words;

/// A job that does not run on its schedule for a while.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Pause {
    /// Since when.
    pub since: Timestamp,
    /// Why, where somebody said so.
    pub reason: Option<String>,
}

impl Pause {
    /// `paused since 2026-11-24 02:00:00 +01:00: the disk is changed`
    pub fn words(&self, zone: &TimeZone) -> String {
        format!("paused since {}{}", words::time(self.since, zone), self.why())
    }

    fn why(&self) -> String {
        self.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default()
    }
}

/// A pause that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedPause {
    /// The pause.
    pub pause: Pause,
    /// Until when.
    pub ended: Timestamp,
}

impl EndedPause {
    /// `paused from 2026-11-24 02:00:00 +01:00 to 2026-11-24 04:00:00 +01:00: the disk is changed`
    pub fn words(&self, zone: &TimeZone) -> String {
        let (from, to) = (words::time(self.pause.since, zone), words::time(self.ended, zone));
        format!("paused from {from} to {to}{}", self.pause.why())
    }
}

impl History {
    /// Since when a job is paused, where it is.
    pub fn pause_of(&self, job: &JobName) -> Result<Option<Pause>, HistoryError> {
        of(&self.lock(), job).map_err(|e| self.failed("read", e))
    }

    /// Pauses a job; one that is paused stays as it is. Says whether it was not.
    pub fn pause(&self, job: &JobName, pause: &Pause) -> Result<bool, HistoryError> {
        let changed = self.lock().execute(
            "INSERT OR IGNORE INTO paused VALUES (?1, ?2, ?3)",
            params![job.as_str(), pause.since.as_millisecond(), pause.reason],
        );
        changed.map(|changed| changed > 0).map_err(|e| self.failed("write", e))
    }

    /// Ends the pause of a job. Says whether it was paused.
    pub fn resume(&self, job: &JobName, now: Timestamp) -> Result<bool, HistoryError> {
        let mut connection = self.lock();
        let mut write = || -> rusqlite::Result<bool> {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute(
                "INSERT OR REPLACE INTO ended_pause SELECT job, since, ?2, reason FROM paused WHERE job = ?1",
                params![job.as_str(), now.as_millisecond()],
            )?;
            let ended = transaction.execute("DELETE FROM paused WHERE job = ?1", [job.as_str()])?;
            transaction.commit()?;
            Ok(ended > 0)
        };
        write().map_err(|e| self.failed("write", e))
    }

    /// The pauses of a job that have ended, the oldest first.
    pub fn ended_pauses(&self, job: &JobName) -> Result<Vec<EndedPause>, HistoryError> {
        let connection = self.lock();
        let read = || -> rusqlite::Result<Vec<EndedPause>> {
            let sql = "SELECT since, ended, reason FROM ended_pause WHERE job = ?1 ORDER BY since";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([job.as_str()], |row| {
                let pause = Pause { since: time(row.get(0)?), reason: row.get(2)? };
                Ok(EndedPause { pause, ended: time(row.get(1)?) })
            })?;
            rows.collect()
        };
        read().map_err(|e| self.failed("read", e))
    }

    /// Forgets the pauses of a job that had ended by then: what became of the slots in them is known.
    pub fn forget_pauses(&self, job: &JobName, by: Timestamp) -> Result<(), HistoryError> {
        let sql = "DELETE FROM ended_pause WHERE job = ?1 AND ended <= ?2";
        let done = self.lock().execute(sql, params![job.as_str(), by.as_millisecond()]);
        done.map(drop).map_err(|e| self.failed("write", e))
    }
}

pub(super) fn of(connection: &Connection, job: &JobName) -> rusqlite::Result<Option<Pause>> {
    let mut statement = connection.prepare_cached("SELECT since, reason FROM paused WHERE job = ?1")?;
    let pause = statement
        .query_row([job.as_str()], |row| Ok(Pause { since: time(row.get(0)?), reason: row.get(1)? }));
    pause.optional()
}
