//! What is known of slots that come.

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{History, HistoryError, Pause, pauses};
use crate::config::values::JobName;

/// Whether a slot has a run, is noted as missed, or had one or was so long ago that this is forgotten.
pub(super) const FATE: &str = "SELECT EXISTS (SELECT 1 FROM run WHERE job = ?1 AND slot = ?2), \
    EXISTS (SELECT 1 FROM missed WHERE job = ?1 AND first <= ?2 AND last >= ?2), \
    EXISTS (SELECT 1 FROM forgotten WHERE job = ?1 AND slot >= ?2)";

/// What is known of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SlotFate {
    /// Nothing.
    #[default]
    Unknown,
    /// It has a run: it ran, runs, or was skipped.
    Ran,
    /// It is noted as missed.
    Missed,
}

/// What is known of a slot that comes, and of its job.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// The job is paused.
    pub pause: Option<Pause>,
    /// The slot.
    pub fate: SlotFate,
}

impl History {
    /// What is known of each of these slots, in their order, all at one moment.
    pub fn standing(&self, slots: &[(JobName, Timestamp)]) -> Result<Vec<Standing>, HistoryError> {
        let connection = self.lock();
        let read = || -> rusqlite::Result<Vec<Standing>> {
            let transaction = Transaction::new_unchecked(&connection, TransactionBehavior::Deferred)?;
            let of = |(job, slot): &(JobName, Timestamp)| {
                Ok(Standing { pause: pauses::of(&transaction, job)?, fate: fate(&transaction, job, *slot)? })
            };
            slots.iter().map(of).collect()
        };
        read().map_err(|e| self.failed("read", e))
    }
}

fn fate(connection: &Connection, job: &JobName, slot: Timestamp) -> rusqlite::Result<SlotFate> {
    let mut statement = connection.prepare_cached(FATE)?;
    statement.query_row(params![job.as_str(), slot.as_millisecond()], |row| {
        Ok(match (row.get(0)?, row.get(1)?, row.get(2)?) {
            (true, _, _) | (false, false, true) => SlotFate::Ran,
            (false, true, _) => SlotFate::Missed,
            (false, false, false) => SlotFate::Unknown,
        })
    })
}
