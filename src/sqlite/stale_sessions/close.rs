//! Closes what was found, in small transactions, and takes that back.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ulid::Ulid;

use super::undo_file::{self, Header};
use super::{Access, Session, Stale, Survey};
use crate::config::sessions::Sessions;
use crate::sqlite::SqliteError;
use crate::sqlite::open::quoted;
use crate::sqlite::restore::Notes;

/// Rows of one transaction: it is over before anybody waits for it.
const BATCH: usize = 200;

/// What was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The sessions.
    pub sessions: Vec<Stale>,
    /// How many had changed since they were looked at, and were left alone.
    pub left: usize,
    /// How it is taken back.
    pub undo_file: PathBuf,
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
        return Err(SqliteError::TooManyStale { found, most });
    }
    let header = Header::new(run, &sessions.columns, &survey.end, backup);
    let undo_file = undo_file::write(notes, &header, survey.stale.iter().map(|stale| &stale.session))?;
    let mut closed = BTreeSet::new();
    for batch in survey.stale.chunks(BATCH) {
        let rows: Vec<&Session> = batch.iter().map(|stale| &stale.session).collect();
        match change(access, &header, &rows, "NULL", &header.written).await {
            Ok(rows) => closed.extend(rows),
            Err(error) => {
                // What the earlier transactions have closed is opened again.
                undo(access, &undo_file).await?;
                return Err(error);
            }
        }
    }
    let left = found - closed.len();
    let sessions =
        survey.stale.iter().filter(|stale| closed.contains(&stale.session.rowid)).cloned().collect();
    Ok(Closed { sessions, left, undo_file })
}

/// Opens again what was closed, where nobody has changed it since. Says how many were, and how many were left alone.
pub async fn undo(access: &Access, undo_file: &Path) -> Result<(usize, usize), SqliteError> {
    let (header, sessions) = undo_file::read(undo_file)?;
    let mut opened = 0;
    for batch in sessions.chunks(BATCH) {
        let rows: Vec<&Session> = batch.iter().collect();
        opened += change(access, &header, &rows, &header.written, "NULL").await?.len();
    }
    undo_file::retire(undo_file)?;
    Ok((opened, sessions.len() - opened))
}

/// Writes the end of these rows, where it and their start are what they were, and gives those that it was written to.
async fn change(
    access: &Access,
    header: &Header,
    rows: &[&Session],
    from: &str,
    to: &str,
) -> Result<Vec<i64>, SqliteError> {
    let (table, start, end) = (quoted(&header.table), quoted(&header.start), quoted(&header.end));
    let same = |row: &&Session| format!("(rowid = {} AND {start} = {})", row.rowid, row.start);
    let which = format!("{end} IS {from} AND ({})", rows.iter().map(same).collect::<Vec<_>>().join(" OR "));
    // Told before they are changed, and in the same transaction.
    let statements = [
        format!("SELECT rowid FROM {table} WHERE {which}"),
        format!("UPDATE {table} SET {end} = {to} WHERE {which}"),
    ];
    let lines = access.write(&statements, &format!("changes() <= {}", rows.len())).await?;
    Ok(lines.iter().filter_map(|line| line.parse().ok()).collect())
}
