//! The figures of docs/RELIABILITY.md. `make test` takes them in short, to see that what they say holds; `make
//! reliability` in full, with the release build, and writes them down.

pub(crate) mod clocks;
mod crowd;
mod idle;
mod soak;
mod year;

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rusqlite::{Connection, Params, Row};

use crate::support::run;
use crate::support::watchkeeper::Watchkeeper;

const SOON: Duration = Duration::from_mins(2);

/// Are the figures wanted that are written down?
pub(crate) fn in_full() -> bool {
    std::env::var_os("WATCHKEEPER_FIGURES").is_some()
}

/// A figure, as scripts/reliability.sh finds it.
pub(crate) fn figure(what: &str, value: &str) {
    // On a line of its own: the name of the test stands there already.
    eprintln!("\nfigure | {what} | {value} |");
}

fn signal(name: &str, child: &Child) {
    run(Command::new("kill").args([name, &child.id().to_string()]));
}

/// Starts the daemon, whose log goes to a file: nobody reads a pipe meanwhile, and it would fill.
fn start(watchkeeper: &Watchkeeper, mut command: Command) -> Child {
    let log = File::create(watchkeeper.folder().join("daemon.log")).unwrap();
    command.stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

fn stop(watchkeeper: &Watchkeeper, mut daemon: Child) {
    signal("-TERM", &daemon);
    let log = || std::fs::read_to_string(watchkeeper.folder().join("daemon.log")).unwrap();
    assert!(daemon.wait().unwrap().success(), "{}", log());
}

/// What a query of the history gives; nothing while there is no history.
fn ask<T>(
    watchkeeper: &Watchkeeper,
    sql: &str,
    params: impl Params,
    row: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Vec<T> {
    let file = watchkeeper.state().join("history.db");
    if !file.exists() {
        return Vec::new();
    }
    let history = Connection::open(file).unwrap();
    history.busy_timeout(SOON).unwrap();
    // It may be there, and its tables not yet.
    let Ok(mut statement) = history.prepare(sql) else { return Vec::new() };
    let rows = statement.query_map(params, |found| row(found)).unwrap();
    rows.map(Result::unwrap).collect()
}

fn count(watchkeeper: &Watchkeeper, sql: &str) -> i64 {
    ask(watchkeeper, sql, [], |row| row.get::<_, Option<i64>>(0)).pop().flatten().unwrap_or(0)
}

/// The value that this share of all is not above.
fn percentile(sorted: &[i64], share: usize) -> i64 {
    sorted[(sorted.len() * share).div_ceil(100).saturating_sub(1)]
}
