//! SQLite databases of applications: how they are backed up under a live writer, how they come back, and how sessions
//! that nobody has closed are closed in them.
//!
//! The files of a live database are never copied: what they hold together is known to SQLite alone. A copy is made by
//! its online backup, in one step, because a stepped one begins anew whenever another process writes. Beside history
//! the only room that knows `rusqlite`.

pub mod backup;
mod contents;
mod copy;
mod error;
mod inside;
mod ledger;
mod open;
pub mod place;
pub mod restore;
pub mod stale_sessions;

use crate::blocking::blocking;
pub use contents::{SqliteContents, TableRows};
pub use error::SqliteError;

/// The kind of the backups made here.
pub const KIND: &str = "sqlite-backup";

/// How many tables there are, where that can be seen without a run.
pub async fn look(database: &place::Database) -> Result<Option<usize>, SqliteError> {
    let place::Place::Host { path } = &database.place else { return Ok(None) };
    let path = path.clone();
    blocking(move || contents::tables_of(&path).map(|tables| Some(tables.len()))).await
}
