//! Incidents with their timelines. What an Alertmanager was told to be taken is on the disk when the call returns, all of one
//! payload or nothing of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::posts::write_post;
use super::slots::time;
use super::{About, History, HistoryError, Sort};
use crate::config::values::JobName;
use crate::incident::{Change, End, Entry, EntryKind, Incident, Known, Notice, Number, Response, change};
use crate::words;

/// A timeline has no more lines than this, but for its end.
const MOST_ENTRIES: i64 = 1_000;
/// Characters of a line.
const LONGEST: usize = 1_000;
/// Characters of what belongs to a line.
const LONGEST_DETAIL: usize = 16_000;

const COLUMNS: &str = "number, fingerprint, alert, severity, labels, annotations, began, opened, last_notice, notices, ended, \
                       closed, response";

/// What became of notices.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Noted {
    /// Incidents that were opened.
    pub opened: Vec<Number>,
    /// Incidents that were closed, also those that were over before anybody heard of them.
    pub closed: Vec<Number>,
    /// How many notices told that an open one goes on.
    pub go_on: usize,
    /// How many told nothing new, or came too late.
    pub nothing: usize,
}

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
        let timeline = timeline(&self.lock(), number).map_err(|e| self.failed("read", e))?;
        Ok(Some((incident, timeline)))
    }

    /// How many incidents are open.
    pub fn open_incidents(&self) -> Result<usize, HistoryError> {
        let sql = "SELECT count(*) FROM incident WHERE closed IS NULL";
        self.count(sql, params![])
    }

    /// Those that are to be responded to, or whose response was begun and not ended; the oldest first.
    pub fn incidents_to_respond(&self) -> Result<Vec<Incident>, HistoryError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM incident WHERE response IN ('due', 'runs', 'acts') ORDER BY number"
        );
        self.ask_incidents(&sql, params![])
    }

    /// When a response was last begun, and for which incident.
    pub fn last_response(&self, responder: &str) -> Result<Option<(Number, Timestamp)>, HistoryError> {
        let sql =
            "SELECT number, responded FROM incident WHERE responder = ?1 ORDER BY responded DESC LIMIT 1";
        let read = |row: &Row<'_>| Ok((number(row.get(0)?), time(row.get(1)?)));
        let found = self.lock().query_row(sql, [responder], read).optional();
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

    /// Adds a line to a timeline. False where there is no such incident.
    pub fn add_to_incident(&self, number: Number, entry: &Entry) -> Result<bool, HistoryError> {
        let written = self.in_transaction(|transaction| {
            let sql = "SELECT 1 FROM incident WHERE number = ?1";
            let known = transaction.query_row(sql, [signed(number)], |_| Ok(())).optional()?.is_some();
            if known {
                add(transaction, number, entry)?;
            }
            Ok(known)
        });
        self.wrote(Sort::Rest, written)
    }

    /// How many runs of a job responses have begun since then; those that were skipped are none.
    pub fn runs_of_incidents(&self, job: &JobName, since: Timestamp) -> Result<usize, HistoryError> {
        let sql = "SELECT count(*) FROM run WHERE job = ?1 AND started > ?2 AND cause = 'incident' \
                   AND outcome <> 'skipped'";
        self.count(sql, params![job.as_str(), since.as_millisecond()])
    }

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

    /// Notes that a step of the escalation is told, with its messages. False where it was told before.
    pub fn escalate(
        &self,
        number: Number,
        step: &str,
        posts: &[(About, String)],
        entry: &Entry,
    ) -> Result<bool, HistoryError> {
        let written = self.in_transaction(|transaction| {
            let sql = "INSERT OR IGNORE INTO escalated VALUES (?1, ?2, ?3)";
            let new = transaction.execute(sql, params![signed(number), step, entry.at.as_millisecond()])? > 0;
            if new {
                posts
                    .iter()
                    .try_for_each(|(about, message)| write_post(transaction, about, message, entry.at))?;
                add(transaction, number, entry)?;
            }
            Ok(new)
        });
        self.wrote(Sort::Rest, written)
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

fn note_one(
    transaction: &Transaction<'_>,
    notice: &Notice,
    now: Timestamp,
    noted: &mut Noted,
) -> rusqlite::Result<()> {
    match change(known(transaction, &notice.fingerprint)?.as_ref(), notice, now) {
        Change::Opens => noted.opened.extend(open(transaction, notice, now)?),
        Change::WasOver(ended) => {
            if let Some(number) = open(transaction, notice, now)? {
                close(transaction, number, (ended, now), "it was over before anybody heard of it")?;
                noted.closed.push(number);
            }
        }
        Change::GoesOn(number) => {
            goes_on(transaction, number, notice, now)?;
            noted.go_on += 1;
        }
        Change::Closes(number, ended) => {
            goes_on(transaction, number, notice, now)?;
            close(transaction, number, (ended, now), "the alert has ended")?;
            noted.closed.push(number);
        }
        Change::Nothing => noted.nothing += 1,
    }
    Ok(())
}

/// The newest incident of an alert.
fn known(connection: &Connection, fingerprint: &str) -> rusqlite::Result<Option<Known>> {
    let sql = "SELECT number, starts, ended, closed FROM incident WHERE fingerprint = ?1 ORDER BY number DESC LIMIT 1";
    let read = |row: &Row<'_>| {
        let (ended, closed): (Option<i64>, Option<i64>) = (row.get(2)?, row.get(3)?);
        let end = ended.zip(closed).map(|(at, noted)| End { at: time(at), noted: time(noted) });
        Ok((number(row.get(0)?), time(row.get(1)?), end))
    };
    let found = connection.prepare_cached(sql)?.query_row([fingerprint], read).optional()?;
    Ok(found.and_then(|(number, starts, end)| Some(Known { number: number?, starts, end })))
}

fn open(transaction: &Transaction<'_>, notice: &Notice, now: Timestamp) -> rusqlite::Result<Option<Number>> {
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
    let Some(number) = number(transaction.last_insert_rowid()) else { return Ok(None) };
    let entry = Entry::new(now, EntryKind::Opened, format!("{} fires", notice.alert));
    add(transaction, number, &entry)?;
    Ok(Some(number))
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
    (ended, now): (Timestamp, Timestamp),
    why: &str,
) -> rusqlite::Result<()> {
    let sql = "UPDATE incident SET ended = ?2, closed = ?3 WHERE number = ?1";
    let (at, noted) = (ended.as_millisecond(), now.as_millisecond());
    transaction.prepare_cached(sql)?.execute(params![signed(number), at, noted])?;
    add(transaction, number, &Entry::new(now, EntryKind::Closed, why))
}

fn add(transaction: &Transaction<'_>, number: Number, entry: &Entry) -> rusqlite::Result<()> {
    let most = if entry.kind == EntryKind::Closed { i64::MAX } else { MOST_ENTRIES };
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

fn timeline(connection: &Connection, number: Number) -> rusqlite::Result<Vec<Entry>> {
    let sql = "SELECT at, kind, text, detail, run FROM incident_entry WHERE incident = ?1 ORDER BY position";
    let read = |row: &Row<'_>| {
        let kind: String = row.get(1)?;
        let kind = EntryKind::from_word(&kind).unwrap_or(EntryKind::Note);
        Ok(Entry { at: time(row.get(0)?), kind, text: row.get(2)?, detail: row.get(3)?, run: row.get(4)? })
    };
    connection.prepare_cached(sql)?.query_map([signed(number)], read)?.collect()
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

fn understand(row: &Row<'_>) -> rusqlite::Result<Incident> {
    let (labels, annotations): (String, String) = (row.get(4)?, row.get(5)?);
    let response: String = row.get(12)?;
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
        response: Response::from_word(&response).unwrap_or(Response::None),
    })
}

fn number(row: i64) -> Option<Number> {
    Number::new(u64::try_from(row).ok()?)
}

fn signed(number: Number) -> i64 {
    i64::try_from(number.get()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::values::Remembered;
    use crate::incident::Labels;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn notice(fingerprint: &str, starts: i64, ended: Option<i64>) -> Notice {
        Notice {
            fingerprint: fingerprint.into(),
            alert: "Down".into(),
            severity: Some("critical".into()),
            labels: Labels::from([("alertname".into(), "Down".into())]),
            annotations: Labels::new(),
            starts: at(starts),
            ended: ended.map(at),
        }
    }

    fn history() -> (tempfile::TempDir, History) {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path()).unwrap();
        (folder, history)
    }

    fn texts(history: &History, number: Number) -> Vec<String> {
        let timeline = history.incident(number).unwrap().unwrap().1;
        timeline.into_iter().map(|entry| entry.text).collect()
    }

    #[test]
    fn a_notice_opens_one_incident_that_goes_on_and_is_closed() {
        let (_folder, history) = history();
        let first = history.note_notices(&[notice("ab", 0, None), notice("cd", 0, None)], at(5)).unwrap();
        assert_eq!(first.opened.len(), 2);
        for nth in 0..100 {
            let again = history.note_notices(&[notice("ab", 0, None)], at(6 + nth)).unwrap();
            assert_eq!((again.opened.len(), again.go_on), (0, 1));
        }
        assert_eq!(history.open_incidents().unwrap(), 2);
        let closed = history.note_notices(&[notice("ab", 0, Some(200))], at(205)).unwrap();
        assert_eq!(closed.closed, [first.opened[0]]);
        let (incident, _) = history.incident(first.opened[0]).unwrap().unwrap();
        assert_eq!((incident.notices, incident.ended, incident.closed), (102, Some(at(200)), Some(at(205))));
        assert_eq!(incident.labels["alertname"], "Down");
        assert_eq!(texts(&history, incident.number), ["Down fires", "the alert has ended"]);
        let open = history.incidents(true, 10).unwrap();
        assert_eq!((open.len(), history.incidents(false, 10).unwrap().len()), (1, 2));
        let over = history.note_notices(&[notice("ef", 0, Some(3))], at(206)).unwrap();
        assert_eq!((over.opened.len(), over.closed.len()), (0, 1));
    }

    #[test]
    fn a_step_of_the_escalation_is_told_once_with_its_messages() {
        let (_folder, history) = history();
        let number = history.note_notices(&[notice("ab", 0, None)], at(5)).unwrap().opened[0];
        let posts = vec![(("ops".parse().unwrap(), "incident-1-1".parse().unwrap()), "message".to_owned())];
        let entry = Entry::new(at(900), EntryKind::Escalated, "told");
        assert!(history.escalate(number, "after 900", &posts, &entry).unwrap());
        assert!(!history.escalate(number, "after 900", &posts, &entry).unwrap());
        assert_eq!(history.notes().unwrap().posts.len(), 1);
        let watched = history.watched_incidents(at(0)).unwrap();
        assert_eq!(watched[0].told, ["after 900"]);
        assert_eq!((watched[0].openings.clone(), watched[0].last["after 900"]), (vec![at(5)], at(900)));
        assert_eq!(texts(&history, number), ["Down fires", "told"]);
    }

    #[test]
    fn what_was_begun_is_found_again_and_nobody_writes_into_an_incident_that_is_none() {
        let (_folder, history) = history();
        let number = history.note_notices(&[notice("ab", 0, None)], at(5)).unwrap().opened[0];
        assert_eq!(history.last_response("Down").unwrap(), None);
        history.note_response(number, Response::Runs, Some(("Down", at(6))), &[]).unwrap();
        assert_eq!(history.incidents_to_respond().unwrap()[0].response, Response::Runs);
        assert_eq!(history.last_response("Down").unwrap(), Some((number, at(6))));
        history.note_response(number, Response::Done, None, &[]).unwrap();
        assert!(history.incidents_to_respond().unwrap().is_empty());
        assert_eq!(history.last_response("Down").unwrap(), Some((number, at(6))));
        let note = Entry::new(at(9), EntryKind::Note, "x".repeat(5_000));
        assert!(history.add_to_incident(number, &note).unwrap());
        assert!(!history.add_to_incident(Number::new(99).unwrap(), &note).unwrap());
        assert!(texts(&history, number)[1].chars().count() == LONGEST);
    }

    #[test]
    fn closed_incidents_are_forgotten_by_age_and_open_ones_never() {
        let (_folder, history) = history();
        history.note_notices(&[notice("ab", 0, None), notice("cd", 0, Some(1))], at(5)).unwrap();
        let later = at(5) + jiff::SignedDuration::from_hours(100 * 24);
        let keep = Remembered { age: Duration::from_hours(99 * 24), runs: 100 };
        let pruned = history.prune(keep, later, Duration::from_mins(1)).unwrap().unwrap();
        assert_eq!(pruned.incidents, 1);
        let left = history.incidents(false, 10).unwrap();
        assert_eq!((left.len(), left[0].fingerprint.as_str()), (1, "ab"));
        // Its number is never another one's.
        let new = history.note_notices(&[notice("ef", 0, None)], later).unwrap();
        assert_eq!(new.opened[0].get(), 3);
    }

    #[test]
    fn a_timeline_has_an_end_and_the_end_of_the_incident_is_always_in_it() {
        let (_folder, history) = history();
        let number = history.note_notices(&[notice("ab", 0, None)], at(5)).unwrap().opened[0];
        let lines = vec![Entry::new(at(6), EntryKind::Step, "step"); 1_200];
        history.note_response(number, Response::Done, None, &lines).unwrap();
        history.note_notices(&[notice("ab", 0, Some(10))], at(11)).unwrap();
        let texts = texts(&history, number);
        assert_eq!((texts.len(), texts.last().unwrap().as_str()), (1_001, "the alert has ended"));
    }
}
