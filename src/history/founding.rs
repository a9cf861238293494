//! The founding of a history: one that is new may stand in the place of one that was lost, and then the runs are written into
//! it that are known from elsewhere. That is done once for each file, all of it or nothing, whoever does it and whenever it is
//! killed.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use serde::Serialize;
use ulid::Ulid;

use super::slots::time;
use super::{History, HistoryError, RunReport, rows};
use crate::words;

/// How a history began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Founded {
    /// When.
    pub at: Timestamp,
    /// So many runs were written into it that are older than itself: it stands in the place of one that was lost.
    pub runs: usize,
    /// So many backups in the folders of its jobs are of another host or source: of their runs it knows nothing.
    pub others: usize,
    /// It lasts: it is not made for one command only, where there is no other one or that is damaged.
    pub lasts: bool,
    /// Somebody was told of that.
    #[serde(skip)]
    pub told: bool,
}

impl Founded {
    /// `the history was lost, and a new one was begun at … with the runs that the manifests of 3 backups tell of: …`
    pub fn words(&self, zone: &TimeZone) -> String {
        let backups = words::count(self.runs, "backup");
        let runs = format!("the runs that the manifests of {backups} tell of");
        let others = match self.others {
            0 => String::new(),
            others => format!("; {} of another host or source are left out", words::count(others, "backup")),
        };
        let known = if self.lasts {
            let at = words::time(self.at, zone);
            format!("the history was lost, and a new one was begun at {at} with {runs}")
        } else {
            format!(
                "the history is lost: what is known are {runs}, and the next run begins a new one with them"
            )
        };
        format!(
            "{known}. Other runs, slots and pauses from before are forgotten, and nothing from before is made up for{others}"
        )
    }
}

impl History {
    /// Nobody has looked yet whether it stands in the place of one that was lost.
    pub fn is_to_be_founded(&self) -> Result<bool, HistoryError> {
        self.founded().map(|founded| founded.is_none())
    }

    /// How it began; nothing where it is to be founded.
    pub fn founded(&self) -> Result<Option<Founded>, HistoryError> {
        let lasts = self.files().is_some();
        let read = founded(&self.lock()).map_err(|e| self.failed("read", e))?;
        Ok(read.map(|founded| Founded { lasts, ..founded }))
    }

    /// Writes these runs into it, of each job the oldest first, before all that it knows itself. What it knows stays as it
    /// is. Gives nothing, and writes nothing, where it is founded already.
    pub fn found(
        &self,
        runs: &[RunReport],
        others: usize,
        now: Timestamp,
    ) -> Result<Option<Founded>, HistoryError> {
        let lasts = self.files().is_some();
        let mut connection = self.lock();
        let mut write = || -> rusqlite::Result<Option<Founded>> {
            // Immediate: of two processes that open a new file at once, the second finds what the first has written.
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if founded(&transaction)?.is_some() {
                return Ok(None);
            }
            let runs = insert(&transaction, runs)?;
            transaction.execute(
                "INSERT INTO founding (at, runs, others, told) VALUES (?1, ?2, ?3, ?2 = 0)",
                params![now.as_millisecond(), signed(runs), signed(others)],
            )?;
            transaction.commit()?;
            Ok(Some(Founded { at: now, runs, others, lasts, told: runs == 0 }))
        };
        write().map_err(|e| self.failed("write", e))
    }

    /// Somebody was told that it stands in the place of one that was lost.
    pub fn founding_is_told(&self) -> Result<(), HistoryError> {
        let done = self.lock().execute("UPDATE founding SET told = 1 WHERE NOT told", []);
        done.map(drop).map_err(|e| self.failed("write", e))
    }
}

/// What is known of a run by its backup gives way to the run itself.
pub(super) fn forget(connection: &Connection, run: Ulid) -> rusqlite::Result<()> {
    let sql = "DELETE FROM run WHERE id = ?1 AND cause = 'rebuilt'";
    connection.prepare_cached(sql)?.execute([run.to_string()]).map(drop)
}

/// It lasts, as far as is known here.
pub(super) fn founded(connection: &Connection) -> rusqlite::Result<Option<Founded>> {
    let mut statement = connection.prepare_cached("SELECT at, runs, others, told FROM founding LIMIT 1")?;
    let row = statement.query_row([], |row| {
        let count = |column| row.get::<_, i64>(column).map(|count| usize::try_from(count).unwrap_or(0));
        let (runs, others) = (count(1)?, count(2)?);
        Ok(Founded { at: time(row.get(0)?), runs, others, lasts: true, told: row.get(3)? })
    });
    row.optional()
}

/// Writes the runs that are not known, and says how many those were.
fn insert(transaction: &Transaction<'_>, runs: &[RunReport]) -> rusqlite::Result<usize> {
    // A daemon does not wait with its jobs until a history that was lost under it is founded: the newest run is the one that
    // was noted last, and these are older.
    let first =
        transaction.query_row("SELECT min(rowid) FROM run", [], |row| row.get::<_, Option<i64>>(0))?;
    let lowest = first.map(|first| first - signed(runs.len()));
    let mut count = 0;
    for (nth, run) in (0_i64..).zip(runs) {
        let id = run.run.to_string();
        let known = transaction.prepare_cached("SELECT 1 FROM run WHERE id = ?1")?.exists([&id])?;
        if known {
            continue;
        }
        rows::insert(transaction, &run.new_run())?;
        rows::update(transaction, run)?;
        if let Some(lowest) = lowest {
            let sql = "UPDATE run SET rowid = ?2 WHERE id = ?1";
            transaction.prepare_cached(sql)?.execute(params![id, lowest + nth])?;
        }
        count += 1;
    }
    Ok(count)
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::values::JobName;
    use crate::history::{Cause, NewRun};
    use crate::jobs::Outcome;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minute * 60).unwrap()
    }

    fn job() -> JobName {
        "j".parse().unwrap()
    }

    fn new(id: u128, minute: i64, cause: Cause) -> NewRun {
        NewRun { run: Ulid(id), job: job(), kind: "files-backup".into(), cause, started: at(minute) }
    }

    fn rebuilt(id: u128, minute: i64) -> RunReport {
        let begun = RunReport::begun(&new(id, minute, Cause::Rebuilt));
        RunReport { finished: Some(at(minute + 1)), outcome: Some(Outcome::Done), ..begun }
    }

    fn newest(history: &History) -> Vec<u128> {
        history.newest_that_ran(&job(), 9).unwrap().into_iter().map(|run| run.run.0).collect()
    }

    #[test]
    fn it_is_founded_once_and_what_was_noted_before_that_is_newer_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path()).unwrap();
        assert!(history.is_to_be_founded().unwrap());
        // The daemon ran on.
        history.start(&new(5, -90, Cause::Scheduled(at(-90)))).unwrap();
        let runs = [rebuilt(1, 0), rebuilt(2, 10), rebuilt(5, -90)];
        let founded = history.found(&runs, 7, at(20)).unwrap().unwrap();
        assert_eq!((founded.runs, founded.others, founded.told), (2, 7, false));
        assert_eq!(history.found(&[rebuilt(9, 0)], 0, at(30)).unwrap(), None);
        assert_eq!(newest(&history), [5, 2, 1]);
        assert_eq!(history.founded().unwrap(), Some(founded));
        history.founding_is_told().unwrap();
        assert!(History::open(folder.path()).unwrap().founded().unwrap().unwrap().told);
    }

    #[test]
    fn what_is_known_of_a_run_itself_takes_the_place_of_what_its_backup_tells() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path()).unwrap();
        history.found(&[rebuilt(1, 0), rebuilt(2, 10)], 0, at(20)).unwrap();
        let begun = new(1, 0, Cause::Scheduled(at(0)));
        history.start(&begun).unwrap();
        assert!(history.is_running(Ulid(1)).unwrap());
        let ended = RunReport { cause: Cause::Manual, ..rebuilt(2, 10) };
        history.record(&ended).unwrap();
        assert_eq!(history.show(&Ulid(2).to_string()).unwrap().cause, Cause::Manual);
        assert_eq!(newest(&history), [2, 1]);
    }

    #[test]
    fn nothing_follows_a_run_that_was_rebuilt_and_how_long_it_took_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path()).unwrap();
        history.found(&[rebuilt(1, 0)], 0, at(20)).unwrap();
        assert!(history.ends(&job(), at(-9), Timestamp::MAX).unwrap().is_empty());
        assert!(history.usual(&job(), None).unwrap().is_empty());
        assert!(history.slots_after(&job(), at(-9)).unwrap().is_empty());
    }

    #[test]
    fn a_founding_that_fails_in_the_middle_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path()).unwrap();
        let stop = "CREATE TRIGGER t BEFORE INSERT ON run WHEN new.started > 1800000000000 BEGIN SELECT RAISE(ABORT, 'no'); END";
        history.lock().execute_batch(stop).unwrap();
        history.found(&[rebuilt(1, 0), rebuilt(2, 10)], 0, at(20)).unwrap_err();
        assert!(newest(&history).is_empty() && history.is_to_be_founded().unwrap());
    }
}
