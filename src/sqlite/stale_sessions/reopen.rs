//! Opens again what was closed here, and nothing that the application has closed itself.

mod locate;

use std::path::{Path, PathBuf};

use super::close::{change, holding};
use super::undo_file::{self, Header};
use super::{Access, Session};
use crate::sqlite::SqliteError;
use locate::located;

/// What became of sessions that had been closed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reopened {
    /// How many are open again.
    pub opened: usize,
    /// Those that have changed since, and were left as they are, by what they are called.
    pub left: Vec<String>,
    /// Those that were left as they are because nobody knows who has closed them, by what they are called.
    pub doubtful: Vec<String>,
    /// Where the undo file is now, which tells of all of them.
    pub undo_file: PathBuf,
}

/// Opens again what was closed, where nobody has changed it since.
pub async fn undo(access: &Access, undo_file: &Path) -> Result<Reopened, SqliteError> {
    let (header, noted) = undo_file::read(undo_file)?;
    let mut reopened = Reopened::default();
    for (number, batch) in noted.sessions.chunks(header.batch).enumerate() {
        let now = located(access, &header, batch).await?;
        if let Some(closed) = noted.closed.get(&number) {
            let was_closed = |(then, _): &(&Session, &Session)| closed.contains(&then.rowid);
            let rows: Vec<&Session> = batch.iter().zip(&now).filter(was_closed).map(|(_, now)| now).collect();
            reopened.batch(access, &header, &rows).await?;
            continue;
        }
        // It was never begun, or it was cut between its end and the note of it. A transaction does all or nothing: where
        // some alone have the end that was written, it was not this transaction that wrote it.
        let all: Vec<&Session> = now.iter().collect();
        let holding = holding(access, &header, &all, &header.written).await?;
        let there: Vec<&Session> = now.iter().filter(|session| holding.contains(&session.rowid)).collect();
        if there.len() == all.len() {
            reopened.batch(access, &header, &all).await?;
        } else {
            reopened.doubtful.extend(there.iter().map(|session| session.id.clone()));
        }
    }
    reopened.undo_file = undo_file::retire(undo_file)?;
    Ok(reopened)
}

impl Reopened {
    async fn batch(
        &mut self,
        access: &Access,
        header: &Header,
        rows: &[&Session],
    ) -> Result<(), SqliteError> {
        if rows.is_empty() {
            return Ok(());
        }
        let opened = change(access, header, rows, &header.written, "NULL").await?;
        self.opened += opened.len();
        let left = rows.iter().filter(|row| !opened.contains(&row.rowid));
        self.left.extend(left.map(|row| row.id.clone()));
        Ok(())
    }
}
