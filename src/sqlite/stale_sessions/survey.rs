//! Which sessions are stale: looked up without changing anything.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::form::Form;
use super::{Access, Doubtful, Session, Stale, hours, start};
use crate::config::sessions::{Columns, Sessions, StartFormat};
use crate::sqlite::SqliteError;
use crate::sqlite::open::quoted;

/// More open sessions than this are not looked at: something else is wrong then.
const MOST: usize = 200_000;
/// So many times are looked at to learn how the table writes them.
const SAMPLES: usize = 50;
/// So much of an ID or a label is shown.
const SHOWN: usize = 80;

/// The open sessions of a table.
#[derive(Debug, Clone, Serialize)]
pub struct Survey {
    /// Those that are stale, oldest first.
    pub stale: Vec<Stale>,
    /// Those whose age cannot be told.
    pub doubtful: Vec<Doubtful>,
    /// How many are open and not stale.
    pub open: usize,
    /// The end that is written, as an SQL literal.
    pub end: String,
}

/// Looks at the sessions.
pub async fn survey(access: &Access, sessions: &Sessions, now: Timestamp) -> Result<Survey, SqliteError> {
    check(access, &sessions.columns).await?;
    let rows = access.read(&[select_open(&sessions.columns)]).await?;
    if rows.len() > MOST {
        return Err(SqliteError::TooMany { found: rows.len(), most: MOST });
    }
    let limit = SignedDuration::try_from(sessions.older_than).unwrap_or(SignedDuration::MAX);
    let mut survey =
        Survey { stale: Vec::new(), doubtful: Vec::new(), open: 0, end: end(access, sessions, now).await? };
    for row in &rows {
        let (session, kind, text) = read(row)?;
        match judge(&kind, &text, sessions, now) {
            Ok(began) if now.duration_since(began) > limit => {
                let hours = hours(now.duration_since(began));
                survey.stale.push(Stale { session, began, hours });
            }
            Ok(_) => survey.open += 1,
            Err(problem) => survey.doubtful.push(Doubtful { session, problem }),
        }
    }
    survey.stale.sort_by_key(|stale| (stale.began, stale.session.rowid));
    Ok(survey)
}

/// SQLite takes a name in double quotes that it does not know for a text: so what is named must be there.
async fn check(access: &Access, columns: &Columns) -> Result<(), SqliteError> {
    let Columns { table, .. } = columns;
    let name = literal(table);
    let kind = access
        .read(&[format!(
            "SELECT type FROM sqlite_master WHERE name = {name} COLLATE NOCASE AND type IN ('table', 'view')"
        )])
        .await?;
    if kind.first().is_none_or(|kind| kind != "table") {
        let tables = access
            .read(&["SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name".to_owned()])
            .await?;
        return Err(SqliteError::NoTable { table: table.clone(), known: tables.join(", ") });
    }
    let known = access.read(&[format!("SELECT name FROM pragma_table_info({name})")]).await?;
    for column in [&columns.id, &columns.label, &columns.start, &columns.end] {
        if !known.iter().any(|known| known.eq_ignore_ascii_case(column)) {
            let (table, column, known) = (table.clone(), column.clone(), known.join(", "));
            return Err(SqliteError::NoColumn { table, column, known });
        }
    }
    let numbered = access.read(&[format!("SELECT rowid FROM {} LIMIT 0", quoted(table))]).await;
    let shadowed = known.iter().any(|known| known.eq_ignore_ascii_case("rowid"));
    if shadowed || matches!(&numbered, Err(error) if crate::words::chain(error).contains("no such column")) {
        return Err(SqliteError::NoRowid { table: table.clone() });
    }
    numbered.map(drop)
}

/// One line for each open session: plain words whatever is in the columns.
fn select_open(columns: &Columns) -> String {
    let Columns { table, id, label, start, end } = columns;
    let (table, id, label, start, end) =
        (quoted(table), quoted(id), quoted(label), quoted(start), quoted(end));
    let short = |column: &str| format!("hex(CAST(substr(CAST({column} AS TEXT), 1, {SHOWN}) AS BLOB))");
    format!(
        "SELECT rowid || ' ' || typeof({start}) || ' ' || length(CAST({start} AS BLOB)) || ' ' || {} || ' ' || {} || ' ' || {} || ' .' \
         FROM {table} WHERE {end} IS NULL AND {start} IS NOT NULL UNION ALL \
         SELECT rowid || ' null 0  ' || {} || ' ' || {} || ' .' FROM {table} WHERE {end} IS NULL AND {start} IS NULL LIMIT {}",
        short(&start),
        short(&format!("coalesce({id}, '')")),
        short(&format!("coalesce({label}, '')")),
        short(&format!("coalesce({id}, '')")),
        short(&format!("coalesce({label}, '')")),
        MOST + 1
    )
}

/// A line as it was selected: the session, the type of its start, and the text of that.
fn read(row: &str) -> Result<(Session, String, String), SqliteError> {
    let bad = || SqliteError::BadRow { row: row.chars().take(SHOWN).collect() };
    let words: Vec<&str> = row.split(' ').collect();
    let [rowid, kind, length, start, id, label, "."] = words[..] else { return Err(bad()) };
    let text =
        |hex: &str| unhex(hex).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).ok_or_else(bad);
    let (rowid, length): (i64, usize) =
        (rowid.parse().map_err(|_| bad())?, length.parse().map_err(|_| bad())?);
    let start = text(start)?;
    // One that is longer than what was read of it is no time.
    let kind = if kind == "text" && length > start.len() { "long text" } else { kind };
    let literal = match kind {
        "integer" | "real" => start.clone(),
        _ => literal(&start),
    };
    let session = Session { rowid, id: text(id)?, label: text(label)?, start: literal };
    Ok((session, kind.to_owned(), start))
}

/// No session is older: 2000-01-01, in UTC.
const EARLIEST: Timestamp = Timestamp::constant(946_684_800, 0);

/// When a session began, or why that cannot be told.
fn judge(kind: &str, text: &str, sessions: &Sessions, now: Timestamp) -> Result<Timestamp, String> {
    let began = match (sessions.start_format, kind) {
        (_, "null") => return Err("it has no start".to_owned()),
        (StartFormat::Iso, "text") => start::iso(text, &sessions.start_zone)?,
        (StartFormat::Unix, "integer" | "real") => start::unix(text)?,
        (StartFormat::Iso, _) => return Err(format!("its start is no text, but {kind} {text:?}")),
        (StartFormat::Unix, _) => return Err(format!("its start is no number, but {kind} {text:?}")),
    };
    if began > now {
        return Err(format!("{text:?} is in the future"));
    }
    // A year, a Julian day, or nothing at all, read as a time.
    if began < EARLIEST {
        return Err(format!("{text:?} would be before the year 2000, which nobody can mean"));
    }
    Ok(began)
}

/// Now, in the form of the ends that are there, else of the starts.
async fn end(access: &Access, sessions: &Sessions, now: Timestamp) -> Result<String, SqliteError> {
    let Columns { table, start, end, .. } = &sessions.columns;
    for column in [end, start] {
        let (table, column) = (quoted(table), quoted(column));
        let sample = access
            .read(&[format!(
                "SELECT typeof({column}) || ' ' || hex(CAST(substr(CAST({column} AS TEXT), 1, 40) AS BLOB)) \
                 FROM {table} WHERE {column} IS NOT NULL ORDER BY rowid DESC LIMIT {SAMPLES}"
            )])
            .await?;
        let times: Vec<(String, String)> = sample
            .iter()
            .filter_map(|line| line.split_once(' '))
            .filter_map(|(kind, hex)| Some((kind.to_owned(), String::from_utf8(unhex(hex)?).ok()?)))
            .collect();
        if let Some(form) = Form::most(times.iter().map(|(kind, text)| (kind.as_str(), text.as_str()))) {
            return Ok(form.literal(now, &sessions.start_zone));
        }
    }
    let usual = match sessions.start_format {
        StartFormat::Unix => Form::Seconds,
        StartFormat::Iso => {
            Form::Text { separator: ' ', fraction: Some(0), suffix: super::form::Suffix::None }
        }
    };
    Ok(usual.literal(now, &sessions.start_zone))
}

/// A text as SQL has it.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pair = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}
