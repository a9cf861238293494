//! The application of `make demo`: work sessions in a SQLite database that it writes to all the time, `/health`, which
//! asks the database, `/metrics`, and a log of JSON lines. One session in five fails. Never part of the program.
//!
//! It needs nothing but the standard library and the program `sqlite3`, so that `rustc` alone makes it in a second:
//!
//! ```console
//! $ rustc --edition 2024 -O examples/memory-server.rs && ./memory-server 127.0.0.1:8080 memory.db
//! ```
#![expect(clippy::print_stderr, reason = "a container's log is its stderr")]

use std::error::Error;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A database that is new holds sessions in every state: of the last but one nobody can say when it began.
const SCHEMA: &str = "
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, at TEXT NOT NULL, text BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS work_sessions (
  id INTEGER PRIMARY KEY, task TEXT NOT NULL, start_time TEXT NOT NULL, end_time TEXT,
  status TEXT NOT NULL DEFAULT 'success'
);
INSERT INTO work_sessions (task, start_time, end_time)
SELECT task, iif(start LIKE '-%', datetime('now', start), start), datetime('now', stop) FROM (
  SELECT 'fix the build' AS task, '-50 hours' AS start, '-47 hours' AS stop
  UNION ALL SELECT 'read the logs', '-30 hours', NULL
  UNION ALL SELECT 'rename the tables', '-12 hours', NULL
  UNION ALL SELECT 'write the report', '12:30', NULL
  UNION ALL SELECT 'answer the mail', '-1 hours', NULL
) WHERE NOT EXISTS (SELECT 1 FROM work_sessions);
";

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(path)) = (arguments.next(), arguments.next()) else {
        return Err("usage: memory-server ADDRESS DATABASE".into());
    };
    sqlite(&path, SCHEMA)?;
    let of_writer = path.clone();
    thread::spawn(move || work(&of_writer));
    for stream in TcpListener::bind(address)?.incoming() {
        // One caller that goes away is no reason to end.
        if let Err(error) = stream.map_err(Into::into).and_then(|stream| answer(&stream, &path)) {
            eprintln!("{error}");
        }
    }
    Ok(())
}

/// What the statements say; what they complain of is the error.
fn sqlite(path: &str, statements: &str) -> Outcome<String> {
    let said = Command::new("sqlite3").args(["-bail", "-cmd", ".timeout 5000", path, statements]).output()?;
    if said.status.success() {
        return Ok(String::from_utf8(said.stdout)?.trim().to_owned());
    }
    Err(String::from_utf8_lossy(&said.stderr).into())
}

/// Writes for ever, as an application does.
fn work(path: &str) {
    for turn in 1_u64.. {
        let note = "INSERT INTO notes (at, text) VALUES (datetime('now'), randomblob(200))";
        let session = if turn.is_multiple_of(10) { end_session(path, turn / 10) } else { Ok(()) };
        if let Err(error) = sqlite(path, note).map(drop).and(session) {
            eprintln!("{error}");
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// A session that was short, and which the model may have left without an answer.
fn end_session(path: &str, number: u64) -> Outcome<()> {
    let (status, line) = if number.is_multiple_of(5) {
        let error = r#""error_type":"TimeoutError","message":"the model did not answer within 3 s""#;
        ("failed", format!(r#""level":"ERROR","event":"session_end",{error}"#))
    } else {
        let seconds = if number.is_multiple_of(2) { 2.25 } else { 1.5 };
        let event = r#""event":"reflection_generated""#;
        ("success", format!(r#""level":"INFO",{event},"generation_time_seconds":{seconds}"#))
    };
    sqlite(
        path,
        &format!(
            "INSERT INTO work_sessions (task, start_time, end_time, status)
             VALUES ('answer a question', datetime('now', '-3 seconds'), datetime('now'), '{status}')"
        ),
    )?;
    eprintln!("{{{line}}}");
    Ok(())
}

fn answer(mut stream: &TcpStream, path: &str) -> Outcome<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().ok_or("no request")??;
    // All of the head is read: closing before that would take the answer away from who is still sending.
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let (status, body) = match request.split(' ').nth(1) {
        Some("/health") => match sqlite(path, "SELECT count(*) FROM work_sessions") {
            Ok(_) => ("200 OK", "well\n".to_owned()),
            Err(error) => ("500 Sick", error.to_string()),
        },
        Some("/metrics") => ("200 OK", metrics(path)?),
        _ => ("404 Not Found", "/health or /metrics\n".to_owned()),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {length}");
    write!(stream, "{head}\r\nConnection: close\r\n\r\n{body}")?;
    Ok(())
}

fn metrics(path: &str) -> Outcome<String> {
    let count = |which: &str| sqlite(path, &format!("SELECT count(*) FROM work_sessions WHERE {which}"));
    let (well, failed) = (count("status = 'success'")?, count("status = 'failed'")?);
    let (open, answered) =
        (count("end_time IS NULL")?, count("task = 'answer a question' AND status = 'success'")?);
    let reflections = "mcp_journal_reflection_generation_seconds";
    Ok(format!(
        "# TYPE mcp_journal_sessions_total counter\nmcp_journal_sessions_total{{status=\"success\"}} {well}\n\
         mcp_journal_sessions_total{{status=\"failed\"}} {failed}\n\
         # TYPE mcp_journal_sessions_active gauge\nmcp_journal_sessions_active {open}\n\
         # TYPE {reflections} histogram\n{reflections}_bucket{{le=\"1\"}} 0\n\
         {reflections}_bucket{{le=\"2.5\"}} {answered}\n{reflections}_bucket{{le=\"+Inf\"}} {answered}\n\
         {reflections}_sum {sum}\n{reflections}_count {answered}\n",
        sum = 1.875 * answered.parse::<f64>()?
    ))
}
