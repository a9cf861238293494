//! What an Alertmanager was told to be taken is on the disk when the call returns, all of one payload or nothing of it.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::timeline::add;
use super::{number, signed};
use crate::history::slots::time;
use crate::history::{History, HistoryError, Sort};
use crate::incident::{Change, End, Ending, Entry, EntryKind, Known, Notice, Number, change};

/// What became of notices.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Noted {
    /// Incidents that were opened.
    pub opened: Vec<Number>,
    /// Incidents that were closed, also those that were over before anybody heard of them.
    pub closed: Vec<Number>,
    /// Incidents that were closed although nobody has heard of their end: their alert fires anew.
    pub unheard: Vec<Number>,
    /// How many notices told that an open one goes on.
    pub go_on: usize,
    /// How many told nothing new, or came too late.
    pub nothing: usize,
}

/// What became of an incident that a person says is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClosedByHand {
    /// It is closed.
    Now,
    /// It was before, since then and so.
    Before(Timestamp, Ending),
    /// There is none of that number.
    Unknown,
}

impl History {
    /// Notes what an Alertmanager says, all of it or nothing.
    pub fn note_notices(&self, notices: &[Notice], now: Timestamp) -> Result<Noted, HistoryError> {
        let noted = self.in_transaction(|transaction| {
            let mut noted = Noted::default();
            for notice in notices {
                note_one(transaction, notice, now, &mut noted)?;
            }
            Ok(noted)
        });
        self.wrote(Sort::Rest, noted)
    }

    /// Closes an incident because a person says that it is over; `entry` says so in its timeline.
    pub fn close_incident(&self, number: Number, entry: &Entry) -> Result<ClosedByHand, HistoryError> {
        let written = self.in_transaction(|transaction| {
            let sql = "SELECT closed, ending FROM incident WHERE number = ?1";
            let read = |row: &Row<'_>| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<String>>(1)?));
            let Some((closed, ending)) = transaction.query_row(sql, [signed(number)], read).optional()?
            else {
                return Ok(ClosedByHand::Unknown);
            };
            if let Some(closed) = closed {
                let ending = ending.as_deref().and_then(Ending::from_word).unwrap_or(Ending::Told);
                return Ok(ClosedByHand::Before(time(closed), ending));
            }
            close(transaction, number, (entry.at, Ending::ByHand), entry)?;
            Ok(ClosedByHand::Now)
        });
        self.wrote(Sort::Rest, written)
    }
}

fn note_one(
    transaction: &Transaction<'_>,
    notice: &Notice,
    now: Timestamp,
    noted: &mut Noted,
) -> rusqlite::Result<()> {
    match change(known(transaction, &notice.fingerprint)?.as_ref(), notice, now) {
        Change::Opens => noted.opened.push(open(transaction, notice, now)?),
        Change::WasOver(ended) => was_over(transaction, notice, (ended, now), noted)?,
        Change::GoesOn(number) => {
            goes_on(transaction, number, notice, now)?;
            noted.go_on += 1;
        }
        Change::Closes(number, ended) => {
            goes_on(transaction, number, notice, now)?;
            let entry = Entry::new(now, EntryKind::Closed, "the alert has ended");
            close(transaction, number, (ended, Ending::Told), &entry)?;
            noted.closed.push(number);
        }
        Change::Anew(before, over) => {
            // First: no two of an alert are open.
            close_unheard(transaction, before, now)?;
            noted.unheard.push(before);
            match over {
                None => noted.opened.push(open(transaction, notice, now)?),
                Some(ended) => was_over(transaction, notice, (ended, now), noted)?,
            }
        }
        Change::Nothing => noted.nothing += 1,
    }
    Ok(())
}

fn was_over(
    transaction: &Transaction<'_>,
    notice: &Notice,
    (ended, now): (Timestamp, Timestamp),
    noted: &mut Noted,
) -> rusqlite::Result<()> {
    let number = open(transaction, notice, now)?;
    let entry = Entry::new(now, EntryKind::Closed, "it was over before anybody heard of it");
    close(transaction, number, (ended, Ending::Told), &entry)?;
    noted.closed.push(number);
    Ok(())
}

/// The newest incident of an alert.
fn known(connection: &Connection, fingerprint: &str) -> rusqlite::Result<Option<Known>> {
    let sql = "SELECT number, starts, last_notice, ended, closed, ending FROM incident WHERE fingerprint = ?1 \
               ORDER BY number DESC LIMIT 1";
    let read = |row: &Row<'_>| {
        let (at, noted): (Option<i64>, Option<i64>) = (row.get(3)?, row.get(4)?);
        let ending: Option<String> = row.get(5)?;
        let ending = ending.as_deref().and_then(Ending::from_word).unwrap_or(Ending::Told);
        let end = at.zip(noted).map(|(at, noted)| End { at: time(at), noted: time(noted), ending });
        Ok((number(row.get(0)?), time(row.get(1)?), time(row.get(2)?), end))
    };
    let found = connection.prepare_cached(sql)?.query_row([fingerprint], read).optional()?;
    Ok(found.and_then(|(number, starts, last_notice, end)| {
        Some(Known { number: number?, starts, last_notice, end })
    }))
}

fn open(transaction: &Transaction<'_>, notice: &Notice, now: Timestamp) -> rusqlite::Result<Number> {
    let json = |all| serde_json::to_string(all).unwrap_or_default();
    let sql = "INSERT INTO incident (fingerprint, alert, severity, labels, annotations, began, starts, opened, last_notice, \
               response) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?7, 'due')";
    transaction.prepare_cached(sql)?.execute(params![
        notice.fingerprint,
        notice.alert,
        notice.severity,
        json(&notice.labels),
        json(&notice.annotations),
        notice.starts.as_millisecond(),
        now.as_millisecond(),
    ])?;
    // The key of the table begins with 1.
    let number = number(transaction.last_insert_rowid()).ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let entry = Entry::new(now, EntryKind::Opened, format!("{} fires", notice.alert));
    add(transaction, number, &entry)?;
    Ok(number)
}

fn goes_on(
    transaction: &Transaction<'_>,
    number: Number,
    notice: &Notice,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let sql = "UPDATE incident SET last_notice = ?2, notices = notices + 1, starts = max(starts, ?3) WHERE number = ?1";
    let starts = notice.starts.as_millisecond();
    transaction.prepare_cached(sql)?.execute(params![signed(number), now.as_millisecond(), starts])?;
    Ok(())
}

fn close(
    transaction: &Transaction<'_>,
    number: Number,
    (ended, ending): (Timestamp, Ending),
    entry: &Entry,
) -> rusqlite::Result<()> {
    let sql = "UPDATE incident SET ended = ?2, closed = ?3, ending = ?4 WHERE number = ?1";
    let (ended, noted) = (ended.as_millisecond(), entry.at.as_millisecond());
    transaction.prepare_cached(sql)?.execute(params![signed(number), ended, noted, ending.word()])?;
    add(transaction, number, entry)
}

/// Closes one whose alert has ended at some time after it was last told of.
fn close_unheard(transaction: &Transaction<'_>, number: Number, now: Timestamp) -> rusqlite::Result<()> {
    let sql = "SELECT last_notice FROM incident WHERE number = ?1";
    let last: i64 = transaction.prepare_cached(sql)?.query_row([signed(number)], |row| row.get(0))?;
    let text = "its end was not heard: the alert has begun to fire anew since, which is another incident";
    let entry = Entry::new(now, EntryKind::Closed, text);
    close(transaction, number, (time(last).min(now), Ending::Unheard), &entry)
}
