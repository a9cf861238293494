//! Which sessions are stale: looked up without changing anything.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::form::{Form, Kind, Suffix, Unit};
use super::value::{SHOWN, Value, shortened, unhex};
use super::{Access, Doubt, Doubtful, EARLIEST, Session, SessionsError, Stale, hours};
use crate::config::sessions::{Columns, Sessions, StartFormat};
use crate::sqlite::SqliteError;
use crate::sqlite::open::quoted;

/// More open sessions than this are not looked at: something else is wrong then.
const MOST: usize = 200_000;
/// So many times are looked at to learn how the table writes them.
const SAMPLES: usize = 50;

/// White space as SQL, that of other alphabets too.
const BLANKS: &str = "char(9, 10, 11, 12, 13, 32, 133, 160, 8203, 12288)";

/// The open sessions of a table.
#[derive(Debug, Clone, Serialize)]
pub struct Survey {
    /// Those that are stale, oldest first.
    pub stale: Vec<Stale>,
    /// Those whose age cannot be told, or whether they are open.
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
        return Err(SessionsError::TooMany { found: rows.len(), most: MOST }.into());
    }
    let limit = SignedDuration::try_from(sessions.older_than).unwrap_or(SignedDuration::MAX);
    let mut survey =
        Survey { stale: Vec::new(), doubtful: Vec::new(), open: 0, end: end(access, sessions, now).await? };
    for row in &rows {
        let (session, start, end) = read(row)?;
        if end != Value::Null {
            survey.doubtful.push(Doubtful { session, doubt: Doubt::Open(end.literal()) });
            continue;
        }
        match judge(&start, sessions, now) {
            Ok(began) if now.duration_since(began) > limit => {
                let hours = hours(now.duration_since(began));
                survey.stale.push(Stale { session, began, hours });
            }
            Ok(_) => survey.open += 1,
            Err(problem) => survey.doubtful.push(Doubtful { session, doubt: Doubt::Age(problem) }),
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
        return Err(SessionsError::NoTable { table: table.clone(), known: tables.join(", ") }.into());
    }
    let known = access.read(&[format!("SELECT name FROM pragma_table_info({name})")]).await?;
    for column in [&columns.id, &columns.label, &columns.start, &columns.end] {
        if !known.iter().any(|known| known.eq_ignore_ascii_case(column)) {
            let (table, column, known) = (table.clone(), column.clone(), known.join(", "));
            return Err(SessionsError::NoColumn { table, column, known }.into());
        }
    }
    let numbered = access.read(&[format!("SELECT rowid FROM {} LIMIT 0", quoted(table))]).await;
    let shadowed = known.iter().any(|known| known.eq_ignore_ascii_case("rowid"));
    if shadowed || matches!(&numbered, Err(error) if crate::words::chain(error).contains("no such column")) {
        return Err(SessionsError::NoRowid { table: table.clone() }.into());
    }
    numbered.map(drop)
}

/// A condition: a column has a text with nothing in it. Some applications mean by that what others mean by NULL.
fn is_blank(column: &str) -> String {
    format!("(typeof({column}) IN ('text', 'blob') AND trim(CAST({column} AS TEXT), {BLANKS}) = '')")
}

/// One line for each session that is open, or may be: plain words whatever is in the columns.
fn select_open(columns: &Columns) -> String {
    let Columns { table, id, label, start, end } = columns;
    let text = |column: &str| shortened(&format!("coalesce({}, '')", quoted(column)));
    format!(
        "SELECT rowid || ' ' || {} || ' ' || {} || ' ' || {} || ' ' || {} || ' .' FROM {} WHERE {} IS NULL OR {} LIMIT {}",
        Value::select(&quoted(start)),
        text(id),
        text(label),
        Value::select(&quoted(end)),
        quoted(table),
        quoted(end),
        is_blank(&quoted(end)),
        MOST + 1
    )
}

/// A line as it was selected: the session, its start, and its end.
fn read(row: &str) -> Result<(Session, Value, Value), SqliteError> {
    let bad = || SqliteError::from(SessionsError::BadRow { row: row.chars().take(SHOWN).collect() });
    let words: Vec<&str> = row.split(' ').collect();
    let [rowid, kind, length, word, id, label, end_kind, end_length, end, "."] = words[..] else {
        return Err(bad());
    };
    let end = Value::read(end_kind, end_length, end).ok_or_else(bad)?;
    let text =
        |hex: &str| unhex(hex).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).ok_or_else(bad);
    let start = Value::read(kind, length, word).ok_or_else(bad)?;
    let quoted = if matches!(start, Value::Real(_)) { word.to_owned() } else { String::new() };
    let rowid = rowid.parse().map_err(|_| bad())?;
    let session = Session { rowid, id: text(id)?, label: text(label)?, start: start.literal(), quoted };
    Ok((session, start, end))
}

/// When a session began, or why that cannot be told.
fn judge(start: &Value, sessions: &Sessions, now: Timestamp) -> Result<Timestamp, String> {
    let shown = start.literal();
    let began = match (sessions.start_format, start) {
        (_, Value::Null) => return Err("it has no start".to_owned()),
        (StartFormat::Iso, Value::Text(text)) => super::start::iso(text, &sessions.start_zone)?,
        (StartFormat::Unix, Value::Integer(_) | Value::Real(_)) => super::start::unix(start)?,
        (StartFormat::Iso, other) => {
            return Err(format!("its start is no text, but {} {shown}", other.kind()));
        }
        (StartFormat::Unix, other) => {
            return Err(format!("its start is no number, but {} {shown}", other.kind()));
        }
    };
    if began > now {
        return Err(format!("{shown} is in the future"));
    }
    // A year, a Julian day, or nothing at all, read as a time.
    if began < EARLIEST {
        return Err(format!("{shown} would be before the year 2000, which nobody can mean"));
    }
    Ok(began)
}

/// Now, in the form of the ends that are there, else of the starts.
async fn end(access: &Access, sessions: &Sessions, now: Timestamp) -> Result<String, SqliteError> {
    let Columns { table, start, end, .. } = &sessions.columns;
    let ends = samples(access, table, end).await?;
    let form = match (Form::most(&ends), ends.first()) {
        (Some(form), _) => form,
        // Something else in between would be read by the application as it likes.
        (None, Some(seen)) => {
            return Err(SessionsError::NoForm { column: end.clone(), seen: seen.literal() }.into());
        }
        (None, None) => Form::most(&samples(access, table, start).await?).unwrap_or_else(|| usual(sessions)),
    };
    Ok(form.literal(now, &sessions.start_zone))
}

/// What a column has, of the newest rows that have something.
async fn samples(access: &Access, table: &str, column: &str) -> Result<Vec<Value>, SqliteError> {
    let (table, column) = (quoted(table), quoted(column));
    let lines = access
        .read(&[format!(
            "SELECT {} FROM {table} WHERE {column} IS NOT NULL AND NOT {} ORDER BY rowid DESC LIMIT {SAMPLES}",
            Value::select(&column),
            is_blank(&column)
        )])
        .await?;
    let value = |line: &String| {
        let mut words = line.splitn(3, ' ');
        Value::read(words.next()?, words.next()?, words.next()?)
    };
    Ok(lines.iter().filter_map(value).collect())
}

fn usual(sessions: &Sessions) -> Form {
    match sessions.start_format {
        StartFormat::Unix => Form::Number(Unit::Seconds, Kind::Integer),
        StartFormat::Iso => Form::Text { separator: ' ', fraction: Some(0), suffix: Suffix::None },
    }
}

/// A text as SQL has it.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
