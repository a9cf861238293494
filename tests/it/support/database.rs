//! A SQLite database with a writer that never rests, as an application has it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

/// Makes a database in WAL mode with a table of sessions and one of pairs that always sum up to nothing.
pub(crate) fn create(path: &Path) -> Connection {
    let database = Connection::open(path).unwrap();
    database
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA user_version = 7;
             CREATE TABLE work_sessions (id INTEGER PRIMARY KEY, task TEXT, start_time TEXT, end_time TEXT);
             CREATE TABLE pairs (a INTEGER NOT NULL, b INTEGER NOT NULL, filler BLOB);
             INSERT INTO work_sessions VALUES (1, 'done', '2026-01-01 09:00:00', '2026-01-01 10:00:00');",
        )
        .unwrap();
    database
}

/// Writes to a database from a thread until it is dropped: each transaction inserts two rows whose sum is nothing.
pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(path: &Path) -> Self {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = {
            let (stop, written, path): (_, _, PathBuf) =
                (Arc::clone(&stop), Arc::clone(&written), path.into());
            std::thread::spawn(move || {
                let mut database = Connection::open(path).unwrap();
                database.busy_timeout(Duration::from_secs(30)).unwrap();
                while !stop.load(Ordering::SeqCst) {
                    let transaction =
                        database.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
                    let value = written.load(Ordering::SeqCst).cast_signed();
                    let insert = "INSERT INTO pairs VALUES (?1, ?2, randomblob(2000))";
                    transaction.execute(insert, [value, 0]).unwrap();
                    transaction.execute(insert, [-value, 0]).unwrap();
                    transaction.commit().unwrap();
                    written.fetch_add(1, Ordering::SeqCst);
                }
            })
        };
        let this = Self { stop, written, thread: Some(thread) };
        super::wait_until("the writer writes", Duration::from_secs(20), || this.written() > 50);
        this
    }

    /// Transactions so far.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::SeqCst)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// One number of a database, read only.
pub(crate) fn number(path: &Path, sql: &str) -> i64 {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database = Connection::open_with_flags(path, flags).unwrap();
    database.busy_timeout(Duration::from_secs(30)).unwrap();
    database.query_row(sql, [], |row| row.get(0)).unwrap()
}
