//! The last log lines of the runs that are under way, until history takes them.
//!
//! Bounded in lines and length, so that a job that talks without end costs no memory.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use ulid::Ulid;

use crate::history::LogLine;

/// Lines kept per run; older ones go.
const LINES: usize = 200;
/// Characters kept per line.
const CHARACTERS: usize = 1000;

/// Collects log lines by run. Telemetry writes into it, the runner empties it.
#[derive(Debug, Default)]
pub struct LogBook {
    runs: Mutex<HashMap<Ulid, VecDeque<LogLine>>>,
}

impl LogBook {
    /// Begins to collect for `run`, after the lines it has from before; lines of other runs are dropped.
    pub fn open(&self, run: Ulid, before: Vec<LogLine>) {
        self.lock().insert(run, before.into());
    }

    /// The lines of `run` so far.
    pub fn lines(&self, run: Ulid) -> Vec<LogLine> {
        self.lock().get(&run).cloned().unwrap_or_default().into()
    }

    /// Adds a line of `run`.
    pub fn push(&self, run: Ulid, mut line: LogLine) {
        let mut runs = self.lock();
        let Some(lines) = runs.get_mut(&run) else { return };
        if let Some((at, _)) = line.text.char_indices().nth(CHARACTERS) {
            line.text.truncate(at);
            line.text.push('…');
        }
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// Ends collecting for `run` and hands its lines over.
    pub fn close(&self, run: Ulid) -> Vec<LogLine> {
        self.lock().remove(&run).unwrap_or_default().into()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Ulid, VecDeque<LogLine>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> LogLine {
        LogLine { at: jiff::Timestamp::UNIX_EPOCH, level: "INFO".into(), text: text.into() }
    }

    #[test]
    fn the_last_lines_of_a_run_are_kept_and_long_ones_are_cut() {
        let (book, run) = (LogBook::default(), Ulid::from_parts(1, 1));
        book.push(run, line("before it is open"));
        book.open(run, Vec::new());
        for number in 0..LINES + 5 {
            book.push(run, line(&number.to_string()));
        }
        book.push(run, line(&"ä".repeat(CHARACTERS + 1)));
        let lines = book.close(run);
        assert_eq!(lines.len(), LINES);
        assert_eq!(lines[0].text, "6");
        assert_eq!(lines[LINES - 1].text.chars().count(), CHARACTERS + 1);
        assert!(book.close(run).is_empty());
    }
}
