//! Changes what the program remembers, so that no test has to wait for hours.

use std::fs;
use std::time::Duration;

use rusqlite::Connection;

use super::watchkeeper::Watchkeeper;

/// Its history, for a test that changes what is in it.
pub(crate) fn history(watchkeeper: &Watchkeeper) -> Connection {
    let history = Connection::open(watchkeeper.state().join("history.db")).unwrap();
    history.busy_timeout(Duration::from_mins(1)).unwrap();
    history
}

/// As if everything that the history knows had been so many hours earlier.
pub(crate) fn set_back(watchkeeper: &Watchkeeper, hours: i64) {
    let (history, by) = (history(watchkeeper), hours * 3_600_000);
    for sql in [
        "UPDATE watched SET born = born - ?1, until = until - ?1",
        "UPDATE run SET started = started - ?1, finished = finished - ?1, slot = slot - ?1",
    ] {
        history.execute(sql, [by]).unwrap();
    }
    let alive = watchkeeper.state().join("daemon-alive");
    if let Ok(text) = fs::read_to_string(&alive) {
        let time: i64 = text.trim().parse().unwrap();
        fs::write(alive, format!("{:>20}\n", time - by)).unwrap();
    }
}
