//! Runs as rows: the one place that knows how a [`RunReport`] lies in the tables.

use jiff::Timestamp;
use rusqlite::{Connection, Row, Transaction, params};
use ulid::Ulid;

use super::record::{Attempt, Cause, HookRun, LogLine, NewRun, RunReport};
use crate::config::values::Moment;
use crate::incident::Number;
use crate::jobs::{JobOutput, Outcome};
use crate::progress::Step;

/// The columns of a run, in the order in which [`Raw::read`] reads them.
pub(super) const COLUMNS: &str = "id, job, kind, cause, slot, started, finished, outcome, reason, hint, data_not_back, \
                                  output, incident";

/// Where what belongs to a run lies.
const DETAILS: [&str; 6] = ["waiting", "step", "warning", "attempt", "hook", "log_line"];

/// A row as it lies there, not yet understood.
pub(super) struct Raw {
    pub(super) id: String,
    job: String,
    kind: String,
    cause: String,
    slot: Option<i64>,
    started: i64,
    finished: Option<i64>,
    outcome: String,
    reason: Option<String>,
    hint: Option<String>,
    data_not_back: bool,
    output: Option<String>,
    incident: Option<i64>,
}

impl Raw {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            job: row.get(1)?,
            kind: row.get(2)?,
            cause: row.get(3)?,
            slot: row.get(4)?,
            started: row.get(5)?,
            finished: row.get(6)?,
            outcome: row.get(7)?,
            reason: row.get(8)?,
            hint: row.get(9)?,
            data_not_back: row.get(10)?,
            output: row.get(11)?,
            incident: row.get(12)?,
        })
    }

    /// The run without its steps; an error says which column is not as this program writes it.
    pub(super) fn understand(self) -> Result<RunReport, String> {
        let slot = self.slot.map(time).transpose()?;
        let incident = self.incident.and_then(|number| Number::new(number.try_into().ok()?));
        let cause = Cause::from_parts(&self.cause, slot, incident);
        Ok(RunReport {
            run: Ulid::from_string(&self.id).map_err(|e| format!("id: {e}"))?,
            job: self.job.parse().map_err(|e| format!("job: {e}"))?,
            kind: self.kind,
            cause: cause.ok_or_else(|| format!("cause: {}", self.cause))?,
            started: time(self.started)?,
            finished: self.finished.map(time).transpose()?,
            outcome: outcome(&self.outcome)?,
            reason: self.reason,
            hint: self.hint,
            data_not_back: self.data_not_back,
            output: self.output.map(|text| output(&text)).transpose()?,
            steps: Vec::new(),
            warnings: Vec::new(),
            attempts: Vec::new(),
            hooks: Vec::new(),
            log: Vec::new(),
        })
    }
}

/// Writes the row of a run that begins.
pub(super) fn insert(connection: &Connection, new: &NewRun) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "INSERT INTO run (id, job, kind, cause, slot, started, incident, outcome) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'running')",
        )?
        .execute(params![
            new.run.to_string(),
            new.job.as_str(),
            new.kind,
            new.cause.word(),
            new.cause.slot().map(Timestamp::as_millisecond),
            new.started.as_millisecond(),
            new.cause.incident().map(|number| signed(number.get())),
        ])
}

/// Writes all that is known of a run, in place of what was written of it before. It does not wait then.
pub(super) fn update(transaction: &Transaction<'_>, report: &RunReport) -> rusqlite::Result<usize> {
    let id = report.run.to_string();
    let output = report.output.as_ref();
    let changed = transaction
        .prepare_cached(
            "UPDATE run SET finished = ?2, outcome = ?3, reason = ?4, hint = ?5, data_not_back = ?6, output = ?7, \
             backup = ?8, bytes = ?9, attempts = ?10 WHERE id = ?1",
        )?
        .execute(params![
            id,
            report.finished.map(Timestamp::as_millisecond),
            word(report.outcome),
            report.reason,
            report.hint,
            report.data_not_back,
            output.and_then(|output| serde_json::to_string(output).ok()),
            output.and_then(|output| output.backup.as_ref()).map(ToString::to_string),
            output.and_then(|output| output.bytes).map(signed),
            signed(report.attempts.len() as u64),
        ])?;
    if has_details(transaction, &id)? {
        for table in DETAILS {
            transaction.prepare_cached(&format!("DELETE FROM {table} WHERE run = ?1"))?.execute([&id])?;
        }
    }
    for (position, step) in (0_i64..).zip(&report.steps) {
        transaction.prepare_cached("INSERT INTO step VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
            id,
            position,
            step.name,
            signed(step.millis),
            signed(step.bytes),
            step.detail
        ])?;
    }
    for (position, text) in (0_i64..).zip(&report.warnings) {
        transaction
            .prepare_cached("INSERT INTO warning VALUES (?1, ?2, ?3)")?
            .execute(params![id, position, text])?;
    }
    for attempt in &report.attempts {
        transaction.prepare_cached("INSERT INTO attempt VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
            id,
            attempt.number,
            signed(attempt.millis),
            attempt.error,
            attempt.resumed.map(Timestamp::as_millisecond)
        ])?;
    }
    for (position, hook) in (0_i64..).zip(&report.hooks) {
        transaction.prepare_cached("INSERT INTO hook VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(
            params![
                id,
                position,
                hook.hook.word(),
                hook.program,
                signed(hook.millis),
                hook.error,
                serde_json::to_string(&hook.printed).unwrap_or_default(),
            ],
        )?;
    }
    for (position, line) in (0_i64..).zip(&report.log) {
        transaction.prepare_cached("INSERT INTO log_line VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
            id,
            position,
            line.at.as_millisecond(),
            line.level,
            line.text
        ])?;
    }
    Ok(changed)
}

/// Whether there is anything that belongs to a run. Mostly it is written once, when the run has ended.
fn has_details(transaction: &Transaction<'_>, id: &str) -> rusqlite::Result<bool> {
    let has = DETAILS.map(|table| format!("EXISTS (SELECT 1 FROM {table} WHERE run = ?1)"));
    let sql = format!("SELECT {}", has.join(" OR "));
    transaction.prepare_cached(&sql)?.query_row([id], |row| row.get(0))
}

/// Fills in the steps, warnings, attempts and log lines of a run.
pub(super) fn details(connection: &Connection, report: &mut RunReport) -> rusqlite::Result<()> {
    let id = report.run.to_string();
    report.steps = all(
        connection,
        "SELECT name, millis, bytes, detail FROM step WHERE run = ?1 ORDER BY position",
        &id,
        |row| {
            Ok(Step {
                name: row.get(0)?,
                millis: unsigned(row.get(1)?),
                bytes: unsigned(row.get(2)?),
                detail: row.get(3)?,
            })
        },
    )?;
    report.warnings = warnings(connection, &id)?;
    report.attempts = all(
        connection,
        "SELECT number, millis, error, resumed FROM attempt WHERE run = ?1 ORDER BY number",
        &id,
        |row| {
            let resumed = row.get::<_, Option<i64>>(3)?.and_then(|at| time(at).ok());
            Ok(Attempt { number: row.get(0)?, millis: unsigned(row.get(1)?), error: row.get(2)?, resumed })
        },
    )?;
    report.hooks = all(
        connection,
        "SELECT hook, program, millis, error, printed FROM hook WHERE run = ?1 ORDER BY position",
        &id,
        |row| {
            Ok(HookRun {
                hook: Moment::from_word(&row.get::<_, String>(0)?).unwrap_or(Moment::Finally),
                program: row.get(1)?,
                millis: unsigned(row.get(2)?),
                error: row.get(3)?,
                printed: serde_json::from_str(&row.get::<_, String>(4)?).unwrap_or_default(),
            })
        },
    )?;
    report.log = all(
        connection,
        "SELECT at, level, text FROM log_line WHERE run = ?1 ORDER BY position",
        &id,
        |row| {
            let at = Timestamp::from_millisecond(row.get(0)?).unwrap_or_default();
            Ok(LogLine { at, level: row.get(1)?, text: row.get(2)? })
        },
    )?;
    Ok(())
}

/// The warnings of a run.
pub(super) fn warnings(connection: &Connection, id: &str) -> rusqlite::Result<Vec<String>> {
    all(connection, "SELECT text FROM warning WHERE run = ?1 ORDER BY position", id, |row| row.get(0))
}

fn all<T>(
    connection: &Connection,
    sql: &str,
    id: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map([id], read)?.collect()
}

pub(super) fn word(outcome: Option<Outcome>) -> &'static str {
    outcome.map_or("running", Outcome::word)
}

fn outcome(word: &str) -> Result<Option<Outcome>, String> {
    match word {
        "running" => Ok(None),
        _ => Outcome::from_word(word).map(Some).ok_or_else(|| format!("outcome: {word}")),
    }
}

fn output(text: &str) -> Result<JobOutput, String> {
    serde_json::from_str(text).map_err(|e| format!("output: {e}"))
}

fn time(millis: i64) -> Result<Timestamp, String> {
    Timestamp::from_millisecond(millis).map_err(|e| e.to_string())
}

// SQLite's integers are signed; a size or duration beyond 2^63 does not exist.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
