//! Slots that are due and have not begun, as the daemon last said: for whoever asks, and for the next daemon.

use jiff::Timestamp;
use rusqlite::{TransactionBehavior, params};

use super::slots::time;
use super::{History, HistoryError};
use crate::config::values::JobName;

/// A slot that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The job.
    pub job: JobName,
    /// The slot.
    pub slot: Timestamp,
    /// What for: `its jitter of 52 m 00 s`.
    pub what: String,
}

impl History {
    /// Notes what waits, in place of what was noted before.
    pub fn set_waits(&self, waits: &[Wait]) -> Result<(), HistoryError> {
        let mut connection = self.lock();
        let mut write = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute("DELETE FROM wait", [])?;
            for wait in waits {
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO wait VALUES (?1, ?2, ?3)")?
                    .execute(params![wait.job.as_str(), wait.slot.as_millisecond(), wait.what])?;
            }
            transaction.commit()
        };
        write().map_err(|e| self.failed("write", e))
    }

    /// The slots of a job that waited when the daemon last said so and have no run since, the oldest first.
    pub fn waits(&self, job: &JobName) -> Result<Vec<Wait>, HistoryError> {
        let connection = self.lock();
        let read = || -> rusqlite::Result<Vec<Wait>> {
            let sql = "SELECT slot, what FROM wait WHERE job = ?1 AND NOT EXISTS \
                       (SELECT 1 FROM run WHERE run.job = wait.job AND run.slot = wait.slot) ORDER BY slot";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([job.as_str()], |row| {
                Ok(Wait { job: job.clone(), slot: time(row.get(0)?), what: row.get(1)? })
            })?;
            rows.collect()
        };
        read().map_err(|e| self.failed("read", e))
    }
}
