//! What was told to whom, and what is still to be told: shared by the daemon and every other process, and there again after
//! each of them ended. What a note or a message says only who tells knows.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Row, ToSql, Transaction, TransactionBehavior, params};

use super::slots::time;
use super::{History, HistoryError, Sort, incidents};
use crate::config::values::{JobName, Name};
use crate::incident::{Entry, EntryKind, Number};
use crate::words;

/// A note or a message of a notifier is about a job.
pub type About = (Name, JobName);

/// What is noted of all notifiers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// Since when each is known: what was before it does not tell.
    pub born: BTreeMap<Name, Timestamp>,
    /// What each told of a job.
    pub notes: BTreeMap<About, String>,
    /// What is still to be told; one message for each notifier and job.
    pub posts: BTreeMap<About, Post>,
}

/// A message that is still to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// No other post ever has it.
    pub id: i64,
    /// The message.
    pub message: String,
    /// Since when this notifier has something to tell of this job that was not delivered.
    pub since: Timestamp,
    /// How often that was tried.
    pub tries: u32,
    /// When it is tried again.
    pub due: Timestamp,
    /// Why it was not delivered.
    pub error: Option<String>,
}

/// Why a message is not delivered any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostEnd {
    /// It was.
    Delivered,
    /// It could not be for too long.
    GivenUp,
    /// Another version has written it, and it cannot be read.
    Unreadable,
    /// Its notifier is no more.
    NoNotifier,
}

/// What changes in the notes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotesChange {
    /// Notifiers that are new.
    pub born: Vec<(Name, Timestamp)>,
    /// Notifiers that are no more, with all that was noted of them.
    pub gone: Vec<Name>,
    /// New notes; nothing: a note is forgotten.
    pub notes: Vec<(About, Option<String>)>,
    /// New messages, each in place of one that was not delivered yet.
    pub posts: Vec<(About, String)>,
    /// When.
    pub at: Timestamp,
}

/// A notifier that did not deliver.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct NotifierTrouble {
    /// Which.
    pub notifier: Name,
    /// Since when.
    pub since: Timestamp,
    /// How many messages wait.
    pub waiting: usize,
    /// Why.
    pub reason: String,
}

impl History {
    /// All that is noted.
    pub fn notes(&self) -> Result<Notes, HistoryError> {
        let connection = self.lock();
        let read = || -> rusqlite::Result<Notes> {
            let mut all = Notes::default();
            let mut statement = connection.prepare_cached("SELECT name, born FROM notifier")?;
            for row in statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))? {
                let (name, born) = row?;
                if let Ok(name) = name.parse() {
                    all.born.insert(name, time(born));
                }
            }
            let mut statement = connection.prepare_cached("SELECT notifier, job, note FROM note")?;
            for row in statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))? {
                let (notifier, job, note): (String, String, String) = row?;
                if let Some(about) = about(&notifier, &job) {
                    all.notes.insert(about, note);
                }
            }
            let sql = "SELECT notifier, job, id, message, since, tries, due, error FROM post";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| {
                let post = Post {
                    id: row.get(2)?,
                    message: row.get(3)?,
                    since: time(row.get(4)?),
                    tries: row.get(5)?,
                    due: time(row.get(6)?),
                    error: row.get(7)?,
                };
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, post))
            })?;
            for row in rows {
                let (notifier, job, post) = row?;
                all.posts.extend(about(&notifier, &job).map(|about| (about, post)));
            }
            Ok(all)
        };
        read().map_err(|e| self.failed("read", e))
    }

    /// Writes what has changed, all of it or nothing: what was told is noted exactly when the message is there.
    pub fn note(&self, change: &NotesChange) -> Result<(), HistoryError> {
        let mut connection = self.lock();
        let mut write = || -> rusqlite::Result<()> {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            write_change(&transaction, change)?;
            transaction.commit()
        };
        self.wrote(Sort::Rest, write())
    }

    /// A message is not delivered any more. One that has taken its place stays. Where it is of an incident, that is in its
    /// timeline.
    pub fn post_ends(&self, id: i64, end: PostEnd, now: Timestamp) -> Result<(), HistoryError> {
        let mut connection = self.lock();
        let mut write = || -> rusqlite::Result<()> {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            end_posts(&transaction, ("id = ?1", &id), end, now)?;
            transaction.commit()
        };
        write().map_err(|e| self.failed("write", e))
    }

    /// A message was not delivered. `tried`: when that was tried, where it was.
    pub fn post_waits(
        &self,
        id: i64,
        due: Timestamp,
        error: &str,
        tried: Option<Timestamp>,
    ) -> Result<(), HistoryError> {
        let sql = "UPDATE post SET tries = tries + (?4 IS NOT NULL), due = ?2, error = ?3, tried = coalesce(?4, tried) \
                   WHERE id = ?1";
        let tried = tried.map(Timestamp::as_millisecond);
        let done = self.lock().execute(sql, params![id, due.as_millisecond(), error, tried]);
        done.map(drop).map_err(|e| self.failed("write", e))
    }

    /// The notifiers that did not deliver.
    pub fn notifier_troubles(&self) -> Result<Vec<NotifierTrouble>, HistoryError> {
        let connection = self.lock();
        let read = || -> rusqlite::Result<Vec<NotifierTrouble>> {
            // SQLite takes the error from the row with the least time.
            let sql = "SELECT notifier, min(since), count(*), error FROM post WHERE error IS NOT NULL GROUP BY notifier";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| {
                Ok((row.get::<_, String>(0)?, row.get(1)?, row.get::<_, u32>(2)?, row.get(3)?))
            })?;
            let mut all = Vec::new();
            for row in rows {
                let (name, since, waiting, reason) = row?;
                if let Ok(notifier) = name.parse() {
                    let (since, waiting) = (time(since), waiting as usize);
                    all.push(NotifierTrouble { notifier, since, waiting, reason });
                }
            }
            Ok(all)
        };
        read().map_err(|e| self.failed("read", e))
    }
}

/// Names that are none were written by nobody.
fn about(notifier: &str, job: &str) -> Option<About> {
    Some((notifier.parse().ok()?, job.parse().ok()?))
}

fn write_change(transaction: &Transaction<'_>, change: &NotesChange) -> rusqlite::Result<()> {
    for (name, born) in &change.born {
        let sql = "INSERT OR IGNORE INTO notifier VALUES (?1, ?2)";
        transaction.prepare_cached(sql)?.execute(params![name.as_str(), born.as_millisecond()])?;
    }
    for name in &change.gone {
        for sql in ["DELETE FROM notifier WHERE name = ?1", "DELETE FROM note WHERE notifier = ?1"] {
            transaction.prepare_cached(sql)?.execute([name.as_str()])?;
        }
        end_posts(transaction, ("notifier = ?1", &name.as_str()), PostEnd::NoNotifier, change.at)?;
    }
    for ((notifier, job), note) in &change.notes {
        let (notifier, job) = (notifier.as_str(), job.as_str());
        match note {
            Some(note) => transaction
                .prepare_cached("INSERT OR REPLACE INTO note VALUES (?1, ?2, ?3)")?
                .execute(params![notifier, job, note])?,
            None => transaction
                .prepare_cached("DELETE FROM note WHERE notifier = ?1 AND job = ?2")?
                .execute(params![notifier, job])?,
        };
    }
    for (about, message) in &change.posts {
        write_post(transaction, about, message, change.at)?;
    }
    Ok(())
}

/// Removes messages, and says in the timeline of its incident what became of each that is of one.
fn end_posts(
    transaction: &Transaction<'_>,
    (which, of): (&str, &dyn ToSql),
    end: PostEnd,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let sql =
        format!("SELECT incident, notifier, tries, error FROM post WHERE incident IS NOT NULL AND {which}");
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get::<_, u32>(2)?, row.get(3)?));
    let of_incidents =
        transaction.prepare_cached(&sql)?.query_map([of], read)?.collect::<rusqlite::Result<Vec<_>>>()?;
    for (incident, notifier, tries, error) in of_incidents {
        let tried = Tried { notifier, tries: tries as usize, error };
        if let Some(number) = incidents::number(incident) {
            incidents::add_where_known(transaction, number, &tried.entry(end, now))?;
        }
    }
    transaction.prepare_cached(&format!("DELETE FROM post WHERE {which}"))?.execute([of])?;
    Ok(())
}

/// How a message of an incident was tried.
struct Tried {
    notifier: String,
    /// Those that failed.
    tries: usize,
    error: Option<String>,
}

impl Tried {
    /// What became of it.
    fn entry(&self, end: PostEnd, now: Timestamp) -> Entry {
        let (notifier, tries) = (&self.notifier, words::counted(self.tries, "try", "tries"));
        let why = self.error.as_ref().map(|error| format!("; the last one: {error}")).unwrap_or_default();
        let never = |because: &str| {
            let text = format!("NEVER told by {notifier}: {because} ({tries}{why})");
            Entry::new(now, EntryKind::Undelivered, text)
        };
        match end {
            PostEnd::Delivered if self.tries == 0 => {
                Entry::new(now, EntryKind::Delivered, format!("told by {notifier}"))
            }
            PostEnd::Delivered => {
                let text = format!("told by {notifier}, after {tries} that failed{why}");
                Entry::new(now, EntryKind::Delivered, text)
            }
            PostEnd::GivenUp => never("given up"),
            PostEnd::Unreadable => never("the message is of another version of this program"),
            PostEnd::NoNotifier => never("the configuration has it no more"),
        }
    }
}

/// Writes a message that is to be delivered, in the place of one about the same that was not.
fn write_post(
    transaction: &Transaction<'_>,
    about: &About,
    message: &str,
    at: Timestamp,
) -> rusqlite::Result<()> {
    put_post(transaction, (about, message), None, at)
}

/// The same of one of an incident.
pub(super) fn write_post_of(
    transaction: &Transaction<'_>,
    incident: Number,
    post: (&About, &str),
    at: Timestamp,
) -> rusqlite::Result<()> {
    put_post(transaction, post, Some(incident), at)
}

fn put_post(
    transaction: &Transaction<'_>,
    ((notifier, job), message): (&About, &str),
    incident: Option<Number>,
    at: Timestamp,
) -> rusqlite::Result<()> {
    // Another number, and the same trouble: who delivers the old one now must not end the new one, and a notifier that
    // does not answer is not asked more often for it.
    let sql = "INSERT OR REPLACE INTO post (notifier, job, message, since, tries, due, error, tried, incident) \
               SELECT ?1, ?2, ?3, coalesce(max(since), ?4), coalesce(max(tries), 0), coalesce(max(due), ?4), max(error), \
               max(tried), ?5 FROM post WHERE notifier = ?1 AND job = ?2";
    let (at, incident) = (at.as_millisecond(), incident.map(incidents::signed));
    let mut statement = transaction.prepare_cached(sql)?;
    statement.execute(params![notifier.as_str(), job.as_str(), message, at, incident])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn about(job: &str) -> About {
        ("ops".parse().unwrap(), job.parse().unwrap())
    }

    fn history() -> (tempfile::TempDir, History) {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path()).unwrap();
        (folder, history)
    }

    fn change(second: i64) -> NotesChange {
        NotesChange { at: at(second), ..NotesChange::default() }
    }

    #[test]
    fn a_message_that_takes_the_place_of_one_keeps_its_trouble_and_is_not_ended_with_it() {
        let (_folder, history) = history();
        let post = |text: &str, second| {
            let posts = vec![(about("a"), text.to_owned())];
            history.note(&NotesChange { posts, ..change(second) }).unwrap();
            history.notes().unwrap().posts[&about("a")].clone()
        };
        let first = post("one", 0);
        history.post_waits(first.id, at(10), "it is down", Some(at(3))).unwrap();
        let second = post("two", 5);
        assert_eq!((second.since, second.tries, second.due), (at(0), 1, at(10)));
        history.post_ends(first.id, PostEnd::Delivered, at(9)).unwrap();
        assert_eq!(history.notes().unwrap().posts[&about("a")].message, "two");
        let trouble = history.notifier_troubles().unwrap();
        assert_eq!((trouble[0].waiting, trouble[0].reason.as_str()), (1, "it is down"));
        history.post_ends(second.id, PostEnd::Delivered, at(9)).unwrap();
        assert!(history.notifier_troubles().unwrap().is_empty());
    }

    #[test]
    fn a_notifier_that_is_no_more_takes_its_notes_and_messages_with_it() {
        let (_folder, history) = history();
        let born = vec![("ops".parse().unwrap(), at(0))];
        let notes = vec![(about("a"), Some("note".to_owned()))];
        let posts = vec![(about("a"), "one".to_owned())];
        history.note(&NotesChange { born: born.clone(), notes, posts, ..change(0) }).unwrap();
        let again = NotesChange { born: vec![("ops".parse().unwrap(), at(9))], ..change(9) };
        history.note(&again).unwrap();
        let known = history.notes().unwrap();
        assert_eq!((known.born.into_iter().collect::<Vec<_>>(), known.notes.len()), (born, 1));
        let gone = vec!["ops".parse().unwrap()];
        history.note(&NotesChange { gone, ..change(10) }).unwrap();
        assert_eq!(history.notes().unwrap(), Notes::default());
    }
}
