//! Sessions that an application has begun and nobody has ended: found, listed, and closed.
//!
//! What is not surely older than the limit is left open and reported: SQLite itself takes `12:30`, `2025`, `now` and
//! 31 February for times, and closing a session that runs is worse than leaving one open. Nothing is written before
//! the undo file, which tells of every row what it was, is on disk; each row is found again by what was read of it,
//! so that one that has changed meanwhile is left alone.

mod access;
mod close;
mod error;
mod form;
mod reopen;
mod start;
mod survey;
mod undo_file;
mod value;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use access::Access;
pub use close::{Closed, close};
pub use error::SessionsError;
pub use reopen::{Reopened, undo};
pub use survey::{Survey, survey};
pub use undo_file::newest;

/// How the name of an undo file ends.
const SUFFIX: &str = ".sessions.jsonl";

/// No session is older: 2000-01-01, in UTC.
const EARLIEST: Timestamp = Timestamp::constant(946_684_800, 0);

/// A session that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// SQLite's own number of the row.
    pub rowid: i64,
    /// What it is called by.
    pub id: String,
    /// What it is about.
    pub label: String,
    /// When it began, as the table has it, as an SQL literal.
    pub start: String,
    /// Where that is a REAL: how the SQLite that was asked quotes it. Older ones read not every literal back exactly.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub quoted: String,
}

/// A session that is stale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stale {
    /// The session.
    #[serde(flatten)]
    pub session: Session,
    /// When it began.
    pub began: Timestamp,
    /// How long it has been open, in hours with one digit behind the point.
    pub hours: String,
}

/// A session that is left as it is, because something about it cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Doubtful {
    /// The session.
    #[serde(flatten)]
    pub session: Session,
    /// What cannot be told.
    #[serde(flatten)]
    pub doubt: Doubt,
}

/// What cannot be told of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doubt {
    /// How old it is: what is wrong with its start.
    Age(String),
    /// Whether it is open: its end, as an SQL literal, is neither NULL nor a time.
    Open(String),
}

impl std::fmt::Display for Doubtful {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Session { id, label, start, .. } = &self.session;
        match &self.doubt {
            Doubt::Age(problem) => write!(f, "session {id} ({label}) is left open: {problem}"),
            Doubt::Open(end) => write!(
                f,
                "open? session {id} ({label}), since {start}, is left as it is: its end is {end}, which is neither NULL \
                 nor a time"
            ),
        }
    }
}

/// `12.5`
fn hours(open: SignedDuration) -> String {
    let tenths = open.as_secs() / 360;
    format!("{}.{}", tenths / 10, tenths % 10)
}
