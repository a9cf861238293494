//! A history that is lost: it is known again as far as backups tell, everybody is told, and nothing from before is made up for.

mod foreign;
mod inodes;
mod notified;
mod rebuilt;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;

use crate::support::past::history;
use crate::support::run;
use crate::support::watchkeeper::Watchkeeper;

const SOON: Duration = Duration::from_mins(1);

/// The file of the history.
fn file(watchkeeper: &Watchkeeper) -> PathBuf {
    watchkeeper.state().join("history.db")
}

/// Takes the history away.
fn lose(watchkeeper: &Watchkeeper) {
    for beside in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(watchkeeper.state().join(format!("history.db{beside}")));
    }
}

/// The runs that `history` lists, the newest first.
fn runs(watchkeeper: &Watchkeeper) -> Vec<Value> {
    let output = watchkeeper.run_json(&["history"]);
    output.json()["runs"].as_array().unwrap().clone()
}

/// Their causes.
fn causes(runs: &[Value]) -> Vec<&str> {
    runs.iter().map(|run| run["cause"].as_str().unwrap()).collect()
}

/// What is set aside.
fn aside(watchkeeper: &Watchkeeper) -> usize {
    let names = fs::read_dir(watchkeeper.state()).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with("history.db.damaged-")).count()
}

fn stop(watchkeeper: &Watchkeeper, daemon: Child) -> String {
    run(Command::new("kill").args(["-TERM", &daemon.id().to_string()]));
    watchkeeper.wait(daemon, &["run"]).expect(0).stderr
}

fn count(watchkeeper: &Watchkeeper, sql: &str) -> i64 {
    if !file(watchkeeper).exists() {
        return 0;
    }
    history(watchkeeper).query_row(sql, [], |row| row.get(0)).unwrap_or(0)
}

/// Another program's database in the place of the history.
fn precious(watchkeeper: &Watchkeeper) {
    lose(watchkeeper);
    let other = Connection::open(file(watchkeeper)).unwrap();
    other.execute_batch("CREATE TABLE precious (a); INSERT INTO precious VALUES (1)").unwrap();
}
