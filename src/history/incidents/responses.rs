//! How far the response to an incident has come, and what it has run.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

use super::timeline::add;
use super::{COLUMNS, number, signed};
use crate::config::values::JobName;
use crate::history::slots::time;
use crate::history::{History, HistoryError, Sort};
use crate::incident::{Entry, Incident, Number, Response};

impl History {
    /// Those that are to be responded to, or whose response was begun and not ended; the oldest first.
    pub fn incidents_to_respond(&self) -> Result<Vec<Incident>, HistoryError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM incident WHERE response IN ('due', 'runs', 'acts') ORDER BY number"
        );
        self.ask_incidents(&sql, params![])
    }

    /// When a response was last begun, and for which incident; for another one than this.
    pub fn last_response(
        &self,
        responder: &str,
        other_than: Number,
    ) -> Result<Option<(Number, Timestamp)>, HistoryError> {
        let sql = "SELECT number, responded FROM incident WHERE responder = ?1 AND number <> ?2 \
                   ORDER BY responded DESC LIMIT 1";
        let read = |row: &Row<'_>| Ok((number(row.get(0)?), time(row.get(1)?)));
        let found = self.lock().query_row(sql, params![responder, signed(other_than)], read).optional();
        let found = found.map_err(|e| self.failed("read", e))?;
        Ok(found.and_then(|(number, at)| Some((number?, at))))
    }

    /// Notes how far the response to an incident has come, and what is to be said of that. `begins`: what is begun, and when.
    pub fn note_response(
        &self,
        number: Number,
        response: Response,
        begins: Option<(&str, Timestamp)>,
        entries: &[Entry],
    ) -> Result<(), HistoryError> {
        let (responder, at) = begins.unzip();
        let written = self.in_transaction(|transaction| {
            transaction.execute(
                "UPDATE incident SET response = ?2, responder = coalesce(?3, responder), \
                 responded = coalesce(?4, responded) WHERE number = ?1",
                params![signed(number), response.word(), responder, at.map(Timestamp::as_millisecond)],
            )?;
            entries.iter().try_for_each(|entry| add(transaction, number, entry))
        });
        self.wrote(Sort::Rest, written)
    }

    /// How many runs of a job responses have begun since then; those that were skipped are none.
    pub fn runs_of_incidents(&self, job: &JobName, since: Timestamp) -> Result<usize, HistoryError> {
        let sql = "SELECT count(*) FROM run WHERE job = ?1 AND started > ?2 AND cause = 'incident' \
                   AND outcome <> 'skipped'";
        self.count(sql, params![job.as_str(), since.as_millisecond()])
    }
}
