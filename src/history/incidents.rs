//! Incidents: what is read of them. What an Alertmanager tells (`notices`), what is done about it (`responses`), who is told
//! (`escalations`) and the lines of a timeline (`timeline`) are written each by themselves.

mod escalations;
mod notices;
mod responses;
#[cfg(test)]
mod tests;
mod timeline;

use jiff::Timestamp;
use rusqlite::{Row, Transaction, TransactionBehavior, params};

pub use escalations::WatchedIncident;
pub use notices::{ClosedByHand, Noted};
pub(super) use timeline::add_where_known;

use super::slots::time;
use super::{History, HistoryError};
use crate::incident::{Ending, Entry, Incident, Number, Response};

const COLUMNS: &str = "number, fingerprint, alert, severity, labels, annotations, began, opened, last_notice, notices, ended, \
                       closed, ending, response";

impl History {
    /// The newest incidents, the newest first; all open ones count among them or, where asked, they alone.
    pub fn incidents(&self, only_open: bool, limit: u32) -> Result<Vec<Incident>, HistoryError> {
        let which = if only_open { "WHERE closed IS NULL" } else { "" };
        let sql = format!("SELECT {COLUMNS} FROM incident {which} ORDER BY number DESC LIMIT ?1");
        self.ask_incidents(&sql, params![limit])
    }

    /// An incident with its timeline, where there is one of that number.
    pub fn incident(&self, number: Number) -> Result<Option<(Incident, Vec<Entry>)>, HistoryError> {
        let sql = format!("SELECT {COLUMNS} FROM incident WHERE number = ?1");
        let Some(incident) = self.ask_incidents(&sql, params![signed(number)])?.pop() else {
            return Ok(None);
        };
        let timeline = timeline::of(&self.lock(), number).map_err(|e| self.failed("read", e))?;
        Ok(Some((incident, timeline)))
    }

    /// The open ones that nobody has told of since then, the oldest first.
    pub fn silent_incidents(&self, since: Timestamp) -> Result<Vec<Incident>, HistoryError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM incident WHERE closed IS NULL AND last_notice <= ?1 ORDER BY number"
        );
        self.ask_incidents(&sql, params![since.as_millisecond()])
    }

    /// How many incidents are open.
    pub fn open_incidents(&self) -> Result<usize, HistoryError> {
        let sql = "SELECT count(*) FROM incident WHERE closed IS NULL";
        self.count(sql, params![])
    }

    fn in_transaction<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }

    fn ask_incidents(&self, sql: &str, params: impl rusqlite::Params) -> Result<Vec<Incident>, HistoryError> {
        let connection = self.lock();
        let read = || -> rusqlite::Result<Vec<Incident>> {
            connection.prepare_cached(sql)?.query_map(params, understand)?.collect()
        };
        read().map_err(|e| self.failed("read", e))
    }

    fn count(&self, sql: &str, params: impl rusqlite::Params) -> Result<usize, HistoryError> {
        let count = self.lock().query_row(sql, params, |row| row.get::<_, i64>(0));
        let count = count.map_err(|e| self.failed("read", e))?;
        Ok(usize::try_from(count).unwrap_or(0))
    }
}

fn understand(row: &Row<'_>) -> rusqlite::Result<Incident> {
    let (labels, annotations): (String, String) = (row.get(4)?, row.get(5)?);
    let (ending, response): (Option<String>, String) = (row.get(12)?, row.get(13)?);
    let at = |index| Ok::<_, rusqlite::Error>(time(row.get(index)?));
    let at_or_none = |index| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(index)?.map(time));
    Ok(Incident {
        // The key of the table begins with 1.
        number: number(row.get(0)?).ok_or(rusqlite::Error::QueryReturnedNoRows)?,
        fingerprint: row.get(1)?,
        alert: row.get(2)?,
        severity: row.get(3)?,
        labels: serde_json::from_str(&labels).unwrap_or_default(),
        annotations: serde_json::from_str(&annotations).unwrap_or_default(),
        began: at(6)?,
        opened: at(7)?,
        last_notice: at(8)?,
        notices: u64::try_from(row.get::<_, i64>(9)?).unwrap_or(0),
        ended: at_or_none(10)?,
        closed: at_or_none(11)?,
        ending: ending.as_deref().and_then(Ending::from_word),
        response: Response::from_word(&response).unwrap_or(Response::None),
    })
}

pub(super) fn number(row: i64) -> Option<Number> {
    Number::new(u64::try_from(row).ok()?)
}

pub(super) fn signed(number: Number) -> i64 {
    i64::try_from(number.get()).unwrap_or(i64::MAX)
}
