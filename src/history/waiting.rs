//! Runs that wait between two attempts, and go on after a restart of the daemon.
//!
//! While a run waits, its row is a running one with an entry here: nobody works for it, and whoever finds its job's lock
//! free does not take it for one that was cut off. When its next attempt begins the entry goes: from then on it is as any
//! other run.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, TransactionBehavior, params};
use ulid::Ulid;

use super::slots::time;
use super::{History, HistoryError, RunReport, rows};

/// A run that waits for its next attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingRun {
    /// The run with everything it has told so far; its reason says what it waits for.
    pub report: RunReport,
    /// When its next attempt is due.
    pub due: Timestamp,
    /// The hook `finally` has run since its last attempt: its process was stopped in order, and not killed.
    pub is_tidy: bool,
}

impl History {
    /// Notes that a run waits for its next attempt, with all that it has told so far.
    pub fn wait(&self, waiting: &WaitingRun) -> Result<(), HistoryError> {
        let WaitingRun { report, due, is_tidy } = waiting;
        // Its beginning may not have been written.
        if !self.knows(report.run)? {
            self.start(&report.new_run())?;
        }
        let mut connection = self.lock();
        let mut write = || -> rusqlite::Result<()> {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            rows::update(&transaction, report)?;
            transaction.execute(
                "INSERT INTO waiting (run, due, is_tidy) VALUES (?1, ?2, ?3)",
                params![report.run.to_string(), due.as_millisecond(), is_tidy],
            )?;
            transaction.commit()
        };
        write().map_err(|e| self.failed("write", e))
    }

    /// Notes that the next attempt of a run begins. False where it does not wait any more.
    pub fn go_on(&self, run: Ulid) -> Result<bool, HistoryError> {
        let id = run.to_string();
        let mut connection = self.lock();
        let mut write = || -> rusqlite::Result<bool> {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let waited = transaction.execute("DELETE FROM waiting WHERE run = ?1", [&id])?;
            transaction.execute(
                "UPDATE run SET reason = NULL, hint = NULL WHERE id = ?1 AND outcome = 'running'",
                [&id],
            )?;
            transaction.commit()?;
            Ok(waited > 0)
        };
        write().map_err(|e| self.failed("write", e))
    }

    /// The runs that wait, the oldest first.
    pub fn waiting(&self) -> Result<Vec<WaitingRun>, HistoryError> {
        let sql = format!(
            "SELECT {} FROM run WHERE id IN (SELECT run FROM waiting) AND outcome = 'running' ORDER BY started, id",
            rows::COLUMNS
        );
        let mut waiting = Vec::new();
        for mut report in self.select(&sql, [])? {
            let connection = self.lock();
            rows::details(&connection, &mut report).map_err(|e| self.failed("read", e))?;
            let wait = connection.query_row(
                "SELECT due, is_tidy FROM waiting WHERE run = ?1",
                [report.run.to_string()],
                |row| Ok((time(row.get(0)?), row.get(1)?)),
            );
            // It may have gone on meanwhile.
            if let Some((due, is_tidy)) = wait.optional().map_err(|e| self.failed("read", e))? {
                waiting.push(WaitingRun { report, due, is_tidy });
            }
        }
        Ok(waiting)
    }

    /// When an attempt of a run was last begun by another process than the one before it.
    pub fn resumed(&self, run: Ulid) -> Result<Option<Timestamp>, HistoryError> {
        let sql = "SELECT max(resumed) FROM attempt WHERE run = ?1";
        let at = self.lock().query_row(sql, [run.to_string()], |row| row.get::<_, Option<i64>>(0));
        at.map(|at| at.map(time)).map_err(|e| self.failed("read", e))
    }
}
