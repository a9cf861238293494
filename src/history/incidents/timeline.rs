//! The lines of a timeline. Those of messages that are still to be delivered are made of what is known of these: how often
//! that was tried, and why it failed last.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::signed;
use crate::history::slots::time;
use crate::history::{History, HistoryError, Sort};
use crate::incident::{Entry, EntryKind, Number};
use crate::words;

/// A timeline has no more lines than this, but for its end and what became of messages.
const MOST_ENTRIES: i64 = 1_000;
/// Characters of a line.
const LONGEST: usize = 1_000;
/// Characters of what belongs to a line.
const LONGEST_DETAIL: usize = 16_000;

impl History {
    /// Adds a line to a timeline. False where there is no such incident.
    pub fn add_to_incident(&self, number: Number, entry: &Entry) -> Result<bool, HistoryError> {
        let written = self.in_transaction(|transaction| add_where_known(transaction, number, entry));
        self.wrote(Sort::Rest, written)
    }
}

/// Adds a line, where there is such an incident; false where there is none.
pub(in crate::history) fn add_where_known(
    transaction: &Transaction<'_>,
    number: Number,
    entry: &Entry,
) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM incident WHERE number = ?1";
    let is_known = transaction.query_row(sql, [signed(number)], |_| Ok(())).optional()?.is_some();
    if is_known {
        add(transaction, number, entry)?;
    }
    Ok(is_known)
}

pub(super) fn add(transaction: &Transaction<'_>, number: Number, entry: &Entry) -> rusqlite::Result<()> {
    let is_rare = matches!(entry.kind, EntryKind::Closed | EntryKind::Delivered | EntryKind::Undelivered);
    let most = if is_rare { i64::MAX } else { MOST_ENTRIES };
    let sql = "INSERT INTO incident_entry SELECT ?1, coalesce(max(position), 0) + 1, ?2, ?3, ?4, ?5, ?6 \
               FROM incident_entry WHERE incident = ?1 HAVING count(*) < ?7";
    transaction.prepare_cached(sql)?.execute(params![
        signed(number),
        entry.at.as_millisecond(),
        entry.kind.word(),
        words::clipped(&entry.text, LONGEST),
        entry.detail.as_deref().map(|detail| words::clipped(detail, LONGEST_DETAIL)),
        entry.run,
        most,
    ])?;
    Ok(())
}

/// All lines.
pub(super) fn of(connection: &Connection, number: Number) -> rusqlite::Result<Vec<Entry>> {
    let mut all = written(connection, number)?;
    all.extend(undelivered(connection, number)?);
    Ok(all)
}

fn written(connection: &Connection, number: Number) -> rusqlite::Result<Vec<Entry>> {
    let sql = "SELECT at, kind, text, detail, run FROM incident_entry WHERE incident = ?1 ORDER BY position";
    let read = |row: &Row<'_>| {
        let kind: String = row.get(1)?;
        let kind = EntryKind::from_word(&kind).unwrap_or(EntryKind::Note);
        Ok(Entry { at: time(row.get(0)?), kind, text: row.get(2)?, detail: row.get(3)?, run: row.get(4)? })
    };
    connection.prepare_cached(sql)?.query_map([signed(number)], read)?.collect()
}

/// A line for each message that could not be delivered yet.
fn undelivered(connection: &Connection, number: Number) -> rusqlite::Result<Vec<Entry>> {
    let sql = "SELECT notifier, tries, coalesce(tried, since), error FROM post \
               WHERE incident = ?1 AND error IS NOT NULL ORDER BY id";
    let read = |row: &Row<'_>| {
        let (notifier, tries, error): (String, u32, String) = (row.get(0)?, row.get(1)?, row.get(3)?);
        let tries = words::counted(tries as usize, "try", "tries");
        let text = format!("NOT told yet by {notifier} ({tries}), and tried again: {error}");
        Ok(Entry::new(time(row.get(2)?), EntryKind::Undelivered, text))
    };
    connection.prepare_cached(sql)?.query_map([signed(number)], read)?.collect()
}
