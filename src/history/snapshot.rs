//! The history as it is at one moment, for who asks it many questions that belong together: of a run that begins and fails
//! between two of them, one answer would know and the other not.

use rusqlite::{Connection, OpenFlags};

use super::{History, HistoryError, failure};

impl History {
    /// The history as it is now: what is written from now on is not seen in it, and it keeps nobody from writing. Nothing
    /// where this one is only in memory.
    pub fn snapshot(&self) -> Result<Option<Self>, HistoryError> {
        if let Some(why) = self.why_not_open() {
            return Err(HistoryError::NotOpen { why });
        }
        if self.files().is_none() {
            return Ok(None);
        }
        // One that is not there any more is not made anew.
        let flags = OpenFlags::default() & !OpenFlags::SQLITE_OPEN_CREATE;
        let begin = || {
            let connection = Connection::open_with_flags(&self.path, flags)?;
            connection.busy_timeout(self.patience.now())?;
            // A transaction sees what is there at its first read.
            connection.execute_batch("BEGIN; SELECT count(*) FROM chore;")?;
            Ok(connection)
        };
        super::open::must_be_files(&self.path)?;
        let connection = begin().map_err(|e| failure(&self.path, "read", e))?;
        Ok(Some(Self::on(self.path.clone(), connection, None)))
    }
}
