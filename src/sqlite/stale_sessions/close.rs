//! Closes what was found, in small transactions, and notes of each what it has changed.

use std::collections::BTreeSet;
use std::path::Path;

use ulid::Ulid;

use super::survey::literal;
use super::undo_file::{self, Header};
use super::value::begin;
use super::{Access, Session, SessionsError, Stale, Survey};
use crate::config::sessions::Sessions;
use crate::sqlite::SqliteError;
use crate::sqlite::open::quoted;
use crate::sqlite::restore::Notes;

/// What was closed.
#[derive(Debug)]
pub struct Closed {
    /// The sessions.
    pub sessions: Vec<Stale>,
    /// How many had changed since they were looked at, and were left alone.
    pub left: usize,
    /// Why not all were closed: a transaction failed, and those behind it were not begun.
    pub failed: Option<SqliteError>,
}

/// Closes the stale sessions of a survey. More than the limit are not closed at all.
pub async fn close(
    access: &Access,
    sessions: &Sessions,
    survey: &Survey,
    notes: &Notes,
    run: Ulid,
    backup: &str,
) -> Result<Closed, SqliteError> {
    let (found, most) = (survey.stale.len(), usize::try_from(sessions.max_rows).unwrap_or(usize::MAX));
    if found > most {
        return Err(SessionsError::TooManyStale { found, most }.into());
    }
    let header = Header::new(run, &sessions.columns, &survey.end, backup);
    let undo_file = undo_file::write(notes, &header, survey.stale.iter().map(|stale| &stale.session))?;
    let mut done = Done::default();
    for (number, batch) in survey.stale.chunks(header.batch).enumerate() {
        let rows: Vec<&Session> = batch.iter().map(|stale| &stale.session).collect();
        if let Err(error) = done.batch(access, &header, number, &rows, &undo_file).await {
            done.failed = Some(error);
            break;
        }
    }
    if done.is_nothing() {
        undo_file::discard(&undo_file)?;
    }
    let (closed, left) = (done.closed, done.left);
    let sessions =
        survey.stale.iter().filter(|stale| closed.contains(&stale.session.rowid)).cloned().collect();
    Ok(Closed { sessions, left, failed: done.failed })
}

/// What transactions have done so far.
#[derive(Default)]
struct Done {
    closed: BTreeSet<i64>,
    left: usize,
    /// Of one nobody knows what became of it.
    doubt: bool,
    failed: Option<SqliteError>,
}

impl Done {
    async fn batch(
        &mut self,
        access: &Access,
        header: &Header,
        number: usize,
        rows: &[&Session],
        undo_file: &Path,
    ) -> Result<(), SqliteError> {
        let earlier = self.closed.len();
        let failed = match change(access, header, rows, "NULL", &header.written).await {
            Ok(closed) => {
                undo_file::note(undo_file, number, &closed)?;
                self.left += rows.len() - closed.len();
                self.closed.extend(closed);
                return Ok(());
            }
            Err(error) => error,
        };
        // What ran in a container may have been done, though nobody heard of it.
        let there = holding(access, header, rows, &header.written).await;
        let rolled_back = there.is_ok_and(|there| there.is_empty());
        self.doubt |= !rolled_back;
        Err(SessionsError::Batch { rows: rows.len(), rolled_back, closed: earlier, source: Box::new(failed) }
            .into())
    }

    fn is_nothing(&self) -> bool {
        self.closed.is_empty() && !self.doubt
    }
}

/// Writes the end of these rows, where it and their start are what they were, and gives those that it was written to.
pub(super) async fn change(
    access: &Access,
    header: &Header,
    rows: &[&Session],
    from: &str,
    to: &str,
) -> Result<Vec<i64>, SqliteError> {
    let (table, end, which) = (quoted(&header.table), quoted(&header.end), which(header, rows, from));
    // Told before they are changed, and in the same transaction.
    let statements = [
        format!("SELECT rowid FROM {table} WHERE {which}"),
        format!("UPDATE {table} SET {end} = {to} WHERE {which}"),
    ];
    let lines = access.write(&statements, &format!("changes() <= {}", rows.len())).await?;
    Ok(lines.iter().filter_map(|line| line.parse().ok()).collect())
}

/// Those of these rows whose end is this.
pub(super) async fn holding(
    access: &Access,
    header: &Header,
    rows: &[&Session],
    end: &str,
) -> Result<Vec<i64>, SqliteError> {
    let (table, which) = (quoted(&header.table), which(header, rows, end));
    let lines = access.read(&[format!("SELECT rowid FROM {table} WHERE {which}")]).await?;
    Ok(lines.iter().filter_map(|line| line.parse().ok()).collect())
}

/// The id of a row, where it says which row that is: an empty one says nothing, and one that is no text was not kept as
/// it is.
pub(super) fn telling_id<'a>(header: &Header, row: &'a Session) -> Option<&'a str> {
    let is_text = !row.id.contains(['\u{FFFD}', '\0']);
    (!header.id.is_empty() && !row.id.is_empty() && is_text).then_some(row.id.as_str())
}

/// A condition for these rows: their id and start are what they were, and their end is this. The number alone says little:
/// VACUUM numbers the rows of a table anew that has no INTEGER PRIMARY KEY.
fn which(header: &Header, rows: &[&Session], is: &str) -> String {
    let (start, end) = (quoted(&header.start), quoted(&header.end));
    let began = |row: &Session| match row.quoted.as_str() {
        "" => format!("{start} IS {}", row.start),
        quoted => format!("({start} IS {} OR quote({start}) = '{quoted}')", row.start),
    };
    let called = |row: &Session| {
        let is = |id: &str| format!(" AND {} IS {}", begin(&quoted(&header.id)), literal(id));
        telling_id(header, row).map_or_else(String::new, is)
    };
    let same = |row: &&Session| format!("(rowid = {} AND {}{})", row.rowid, began(row), called(row));
    format!("{end} IS {is} AND ({})", rows.iter().map(same).collect::<Vec<_>>().join(" OR "))
}
