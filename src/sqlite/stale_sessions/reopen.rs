//! Opens again what was closed here, and nothing that the application has closed itself.

use std::path::Path;

use super::close::{change, holding};
use super::undo_file::{self, Header};
use super::{Access, Session};
use crate::sqlite::SqliteError;

/// What became of sessions that had been closed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reopened {
    /// How many are open again.
    pub opened: usize,
    /// How many have changed since, and were left as they are.
    pub left: usize,
    /// Those that were left as they are because nobody knows who has closed them, by what they are called.
    pub doubtful: Vec<String>,
}

/// Opens again what was closed, where nobody has changed it since.
pub async fn undo(access: &Access, undo_file: &Path) -> Result<Reopened, SqliteError> {
    let (header, noted) = undo_file::read(undo_file)?;
    let mut reopened = Reopened::default();
    for (number, batch) in noted.sessions.chunks(header.batch).enumerate() {
        let of_these = |rowids: &[i64]| -> Vec<&Session> {
            batch.iter().filter(|session| rowids.contains(&session.rowid)).collect()
        };
        if let Some(closed) = noted.closed.get(&number) {
            reopened.batch(access, &header, &of_these(closed)).await?;
            continue;
        }
        // It was never begun, or it was cut between its end and the note of it. A transaction does all or nothing: where
        // some alone have the end that was written, it was not this transaction that wrote it.
        let all: Vec<&Session> = batch.iter().collect();
        let there = of_these(&holding(access, &header, &all, &header.written).await?);
        if there.len() == all.len() {
            reopened.batch(access, &header, &all).await?;
        } else {
            reopened.doubtful.extend(there.iter().map(|session| session.id.clone()));
        }
    }
    undo_file::retire(undo_file)?;
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
        let opened = change(access, header, rows, &header.written, "NULL").await?.len();
        self.opened += opened;
        self.left += rows.len() - opened;
        Ok(())
    }
}
