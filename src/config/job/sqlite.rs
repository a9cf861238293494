//! The options of the jobs on a SQLite database: `sqlite-backup` and `close-stale-sessions`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;

use super::{Context, DAY, choice, keep, time_zone};
use crate::config::read::{Item, Section, nearest};
use crate::config::sessions::{Columns, Sessions, StartFormat};
use crate::config::values::{Compression, Keep, TargetName};

/// Which database a job is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseRef {
    /// The one of an application; the configuration has both.
    Application(TargetName),
    /// A file of this host that belongs to nobody who has to be stopped for a restore.
    Host(PathBuf),
}

impl DatabaseRef {
    /// The application that it is one of, where it is.
    pub fn application(&self) -> Option<&TargetName> {
        match self {
            Self::Application(name) => Some(name),
            Self::Host(_) => None,
        }
    }

    /// Its path, where it is a file of this host that belongs to no application.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Application(_) => None,
            Self::Host(path) => Some(path),
        }
    }
}

/// The options of a `sqlite-backup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteConfig {
    /// The database.
    pub database: DatabaseRef,
    /// What backups to keep.
    pub keep: Keep,
    /// How they are compressed.
    pub compression: Compression,
    /// Every backup is verified again within this time. Never zero.
    pub verify_within: Duration,
}

/// The options of a `close-stale-sessions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleConfig {
    /// The database, and how it is backed up before anything is written.
    pub backup: SqliteConfig,
    /// Which sessions.
    pub sessions: Sessions,
}

pub(super) fn backup(mut section: Section<'_, '_>, context: &Context<'_>) -> Option<SqliteConfig> {
    let config = common(&mut section, context);
    section.finish(&[]);
    config
}

pub(super) fn stale(mut section: Section<'_, '_>, context: &Context<'_>) -> Option<StaleConfig> {
    let backup = common(&mut section, context);
    let usual = Sessions::default();
    let max_rows = section.get("max_rows").map_or(Some(usual.max_rows), |item| item.number(1..100_001));
    let sessions = session_keys(&mut section, &usual);
    section.finish(&[]);
    Some(StaleConfig { backup: backup?, sessions: Sessions { max_rows: max_rows?, ..sessions? } })
}

/// Which sessions are stale, with what is `usual` where nothing is said.
pub(in crate::config) fn session_keys(section: &mut Section<'_, '_>, usual: &Sessions) -> Option<Sessions> {
    let older_than = section.get("older_than").and_then(|item| item.some_duration());
    let mut name = |key, otherwise: &str| match section.get(key) {
        Some(item) => item.text().map(str::to_owned),
        None => Some(otherwise.to_owned()),
    };
    let Columns { table, id, label, start, end } = &usual.columns;
    let (table, id, label) = (name("table", table), name("id", id), name("label", label));
    let (start, end) = (name("start", start), name("end", end));
    let formats = [("iso", StartFormat::Iso), ("unix", StartFormat::Unix)];
    let start_format =
        section.get("start_format").map_or(Some(usual.start_format), |item| choice(&item, &formats));
    let start_zone = section.get("start_zone").map_or(Some(usual.start_zone.clone()), |item| zone(&item));
    Some(Sessions {
        older_than: older_than.unwrap_or(usual.older_than),
        columns: Columns { table: table?, id: id?, label: label?, start: start?, end: end? },
        start_format: start_format?,
        start_zone: start_zone?,
        max_rows: usual.max_rows,
    })
}

/// `utc` is understood as it is written in the documentation.
fn zone(item: &Item<'_, '_>) -> Option<TimeZone> {
    if item.any_text() == Some("utc") { Some(TimeZone::UTC) } else { time_zone(item) }
}

/// The keys that both kinds have.
fn common(section: &mut Section<'_, '_>, context: &Context<'_>) -> Option<SqliteConfig> {
    let database = database(section, context);
    let keep = section.require("keep", "{ last = 7 }").and_then(|item| keep(&item));
    let compression = super::compression(section);
    let verify_within = section.get("verify_within").and_then(|item| item.some_duration());
    Some(SqliteConfig {
        database: database?,
        keep: keep?,
        compression,
        verify_within: verify_within.unwrap_or(30 * DAY),
    })
}

fn database(section: &mut Section<'_, '_>, context: &Context<'_>) -> Option<DatabaseRef> {
    let (application, path) = (section.get("application"), section.get("database"));
    let hint = || Some("write application = \"NAME\", or database = \"/path/on/this/host\"".to_owned());
    match (application, path) {
        (Some(item), None) => application_with_database(&item, context).map(DatabaseRef::Application),
        (None, Some(item)) => item.path().map(DatabaseRef::Host),
        (Some(_), Some(_)) => {
            section.error(format!("{} names more than one database", section.name), hint());
            None
        }
        (None, None) => {
            section.error(format!("{} does not say which database", section.name), hint());
            None
        }
    }
}

fn application_with_database(item: &Item<'_, '_>, context: &Context<'_>) -> Option<TargetName> {
    let text = item.text()?;
    let names = &context.names.application;
    if !names.iter().any(|name| name == text) {
        let hint = match nearest(text, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if names.is_empty() => {
                "add a [application.main] with its url and its database, or write database = \"/path\""
                    .to_owned()
            }
            None => format!("there is {}", names.join(", ")),
        };
        item.error(format!("there is no [application.{text}]"), Some(hint));
        return None;
    }
    let name: TargetName = text.parse().ok()?;
    // One that is wrong itself has been reported.
    let target = context.applications.get(&name)?;
    if target.database.is_none() {
        let hint = "add database = \"/path/to/it\" there: a path inside its container, or on this host";
        item.error(format!("[application.{text}] has no \"database\""), Some(hint.to_owned()));
        return None;
    }
    Some(name)
}
