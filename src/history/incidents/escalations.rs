//! Who is told of an incident, each step once: that it is due and its messages are noted together.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::timeline::add;
use super::{COLUMNS, signed};
use crate::history::posts::write_post_of;
use crate::history::slots::time;
use crate::history::{About, History, HistoryError, Sort};
use crate::incident::{Entry, Incident, Number};

/// An incident, and what was told of its alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedIncident {
    /// The incident.
    pub incident: Incident,
    /// The steps of the escalation that were told of it.
    pub told: Vec<String>,
    /// When incidents of the same alert were opened, as far as was asked.
    pub openings: Vec<Timestamp>,
    /// When a step was last told of one of them.
    pub last: BTreeMap<String, Timestamp>,
}

impl History {
    /// The open incidents and those that were opened since then, with what was told of each; `since` is also how far back
    /// openings of the same alert are looked for.
    pub fn watched_incidents(&self, since: Timestamp) -> Result<Vec<WatchedIncident>, HistoryError> {
        let sql =
            format!("SELECT {COLUMNS} FROM incident WHERE closed IS NULL OR opened > ?1 ORDER BY number");
        let incidents = self.ask_incidents(&sql, params![since.as_millisecond()])?;
        let connection = self.lock();
        let watched = incidents.into_iter().map(|incident| watched(&connection, incident, since));
        watched.collect::<rusqlite::Result<_>>().map_err(|e| self.failed("read", e))
    }

    /// Notes that a step of the escalation is to be told of these incidents, with the messages about them all, which belong to
    /// the first. False, and nothing is noted, where it was told of any of them before.
    pub fn escalate(
        &self,
        step: &str,
        told: &[(Number, Entry)],
        posts: &[(About, String)],
    ) -> Result<bool, HistoryError> {
        let Some((first, entry)) = told.first() else { return Ok(false) };
        let written = self.in_transaction(|transaction| {
            let sql = "SELECT 1 FROM escalated WHERE incident = ?1 AND step = ?2";
            for (number, _) in told {
                if transaction.prepare_cached(sql)?.exists(params![signed(*number), step])? {
                    return Ok(false);
                }
            }
            for (number, entry) in told {
                let sql = "INSERT INTO escalated VALUES (?1, ?2, ?3)";
                let row = params![signed(*number), step, entry.at.as_millisecond()];
                transaction.prepare_cached(sql)?.execute(row)?;
                add(transaction, *number, entry)?;
            }
            for (about, message) in posts {
                write_post_of(transaction, *first, (about, message), entry.at)?;
            }
            Ok(true)
        });
        self.wrote(Sort::Rest, written)
    }

    /// When a step was told of incidents of an alert since then, the newest first; several in one message count once.
    pub fn escalated_at(
        &self,
        alert: &str,
        step: &str,
        since: Timestamp,
    ) -> Result<Vec<Timestamp>, HistoryError> {
        let connection = self.lock();
        let read = || -> rusqlite::Result<Vec<Timestamp>> {
            let sql = "SELECT DISTINCT at FROM escalated JOIN incident ON number = incident \
                       WHERE step = ?1 AND alert = ?2 AND at > ?3 ORDER BY at DESC";
            let params = params![step, alert, since.as_millisecond()];
            connection.prepare_cached(sql)?.query_map(params, |row| Ok(time(row.get(0)?)))?.collect()
        };
        read().map_err(|e| self.failed("read", e))
    }
}

fn watched(
    connection: &Connection,
    incident: Incident,
    since: Timestamp,
) -> rusqlite::Result<WatchedIncident> {
    let mut statement = connection.prepare_cached("SELECT step FROM escalated WHERE incident = ?1")?;
    let told = statement.query_map([signed(incident.number)], |row| row.get(0))?;
    let told = told.collect::<rusqlite::Result<_>>()?;
    let sql = "SELECT opened FROM incident WHERE fingerprint = ?1 AND opened > ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let openings = statement
        .query_map(params![incident.fingerprint, since.as_millisecond()], |row| Ok(time(row.get(0)?)))?;
    let openings = openings.collect::<rusqlite::Result<_>>()?;
    let sql = "SELECT step, max(at) FROM escalated JOIN incident ON number = incident WHERE fingerprint = ?1 GROUP BY step";
    let mut statement = connection.prepare_cached(sql)?;
    let last = statement.query_map([&incident.fingerprint], |row| Ok((row.get(0)?, time(row.get(1)?))))?;
    let last = last.collect::<rusqlite::Result<_>>()?;
    Ok(WatchedIncident { incident, told, openings, last })
}
