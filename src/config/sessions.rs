//! Where an application keeps its sessions, and which of them are stale: pure values.

use std::time::Duration;

use jiff::tz::TimeZone;

/// Which sessions to close.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sessions {
    /// A session that is open for longer is closed. Never zero.
    pub older_than: Duration,
    /// The table and its columns.
    pub columns: Columns,
    /// How the table has the start.
    pub start_format: StartFormat,
    /// The zone of times without an offset.
    pub start_zone: TimeZone,
    /// More than this are never closed by one run. Never zero.
    pub max_rows: u32,
}

impl Default for Sessions {
    /// Those of the runbook.
    fn default() -> Self {
        let columns = Columns {
            table: "work_sessions".to_owned(),
            id: "id".to_owned(),
            label: "task".to_owned(),
            start: "start_time".to_owned(),
            end: "end_time".to_owned(),
        };
        Self {
            older_than: Duration::from_hours(8),
            columns,
            start_format: StartFormat::Iso,
            start_zone: TimeZone::UTC,
            max_rows: 100,
        }
    }
}

/// Where sessions are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// The table.
    pub table: String,
    /// What a session is called by.
    pub id: String,
    /// What it is about.
    pub label: String,
    /// When it began.
    pub start: String,
    /// When it ended; NULL while it is open.
    pub end: String,
}

/// How a table has the time at which a session began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartFormat {
    /// ISO 8601 date and time, as text.
    Iso,
    /// Seconds since 1970, as a number.
    Unix,
}
