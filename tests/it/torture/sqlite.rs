//! The database of a running application: its backup, its restore, and the undo.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::sweep::{Kept, Scene, Stage, clean, kill};
use crate::support::application::Application;
use crate::support::database::number;
use crate::support::watchkeeper::Watchkeeper;
use crate::support::{scratch, wait_until};

pub(super) const BACKUP: [&str; 2] = ["run-now", "db"];
const RESTORE: [&str; 3] = ["restore", "db", "--yes"];
const UNDO: [&str; 4] = ["restore", "db", "--undo", "--yes"];

/// An application whose database says whether it is what was backed up, or what there was before the restore.
pub(super) struct Database {
    application: Application,
    watchkeeper: Watchkeeper,
    words: Vec<&'static str>,
    before: Kept,
    /// The database as it was backed up.
    first: Kept,
}

impl Database {
    pub(super) fn new(words: &[&'static str]) -> Option<Self> {
        let application = Application::host()?;
        let watchkeeper = Watchkeeper::with_config(&application.config());
        watchkeeper.run(&BACKUP).expect(0);
        mark(&application.database());
        if words == UNDO {
            watchkeeper.run(&RESTORE).expect(0);
        }
        application.halted(true);
        let first = Kept::new(&watchkeeper, "first", &[&application.data()]);
        application.halted(false);
        let before = Kept::own(&watchkeeper, "before");
        Some(Self { application, watchkeeper, words: words.to_vec(), before, first })
    }

    fn is_marked(&self) -> bool {
        let marks = "SELECT count(*) FROM sqlite_schema WHERE name = 'mark'";
        number(&self.application.database(), marks) == 1
    }

    /// What lies beside the database.
    fn beside(&self) -> Vec<String> {
        let names = scratch::files_below(&self.application.data());
        let names = names.into_iter().map(|name| name.display().to_string());
        names
            .filter(|name| !["memory.db", "memory.db-wal", "memory.db-shm"].contains(&name.as_str()))
            .collect()
    }
}

/// From now on it is another one than what was backed up.
fn mark(path: &Path) {
    let database = Connection::open(path).unwrap();
    database.busy_timeout(Duration::from_secs(30)).unwrap();
    database.execute_batch("CREATE TABLE mark (x)").unwrap();
}

impl Scene for Database {
    fn stage(&self) -> Stage<'_> {
        Stage { watchkeeper: &self.watchkeeper, words: &self.words, data: (self.application.data(), "data") }
    }

    fn reset(&self) {
        self.application.halted(true);
        self.first.put_back();
        self.application.halted(false);
        self.application.wait_well();
        self.before.put_back();
    }

    fn holds(&self) {
        self.watchkeeper.run(&["verify"]).expect(0);
        if self.words == BACKUP {
            self.watchkeeper.run(&BACKUP).expect(0);
            return clean(&self.watchkeeper);
        }
        // Whoever starts the application finds one of the two, whole.
        self.application.halted(false);
        wait_until("the database is there", Duration::from_secs(20), || self.application.database().exists());
        let found = Connection::open(self.application.database()).unwrap();
        found.busy_timeout(Duration::from_secs(30)).unwrap();
        let well: String = found.query_row("PRAGMA quick_check", [], |row| row.get(0)).unwrap();
        assert_eq!(well, "ok");
        drop(found);
        // Unfinished, it is said so; finished, an undo of it would be one too many.
        let asked = self.watchkeeper.run(&["run-now", "db", "--dry-run"]);
        assert!(asked.code == 0 || format!("{asked:?}").contains("is unfinished"), "{asked:?}");
        let undone = (asked.code != 0 || !self.is_marked()).then(|| self.watchkeeper.run(&UNDO).expect(0));
        assert!(self.is_marked(), "{asked:?} {undone:?}");
        self.application.wait_well();
        let discarded = self.watchkeeper.run(&["restore", "db", "--discard-old", "--yes"]);
        self.watchkeeper.run(&RESTORE).expect(0);
        assert!(!self.is_marked());
        self.watchkeeper.run(&["restore", "db", "--discard-old", "--yes"]).expect(0);
        self.watchkeeper.run(&BACKUP).expect(0);
        assert!(self.beside().is_empty(), "{:?}\n{undone:?}\n{discarded:?}", self.beside());
        clean(&self.watchkeeper);
    }
}

fn killed(name: &str, words: &[&'static str], few: usize, many: usize) {
    let Some(database) = Database::new(words) else { return };
    kill(name, &database, few, many);
}

#[test]
fn a_backup_of_a_database_is_killed() {
    killed("SQLite: backup", &BACKUP, 4, 60);
}

#[test]
fn a_restore_of_a_database_is_killed() {
    killed("SQLite: restore", &RESTORE, 4, 70);
}

#[test]
fn an_undo_of_a_database_is_killed() {
    killed("SQLite: undo", &UNDO, 4, 70);
}
