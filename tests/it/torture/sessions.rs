//! The closing of stale sessions, in batches, and its undo.

use std::path::PathBuf;

use tempfile::TempDir;

use super::sweep::{Kept, Scene, Stage, clean, kill};
use crate::support::database::{create, number};
use crate::support::scratch;
use crate::support::watchkeeper::Watchkeeper;

const CLOSE: [&str; 2] = ["run-now", "stale"];
const UNDO: [&str; 4] = ["restore", "stale", "--undo", "--yes"];
/// Two batches of 200 and one of 50.
const STALE: i64 = 450;
const BATCH: i64 = 200;

struct Sessions {
    folder: TempDir,
    watchkeeper: Watchkeeper,
    words: Vec<&'static str>,
    before: Kept,
}

impl Sessions {
    fn new(words: &[&'static str]) -> Self {
        let folder = scratch::folder("stale");
        let path = folder.path().join("data/memory.db");
        std::fs::create_dir(folder.path().join("data")).unwrap();
        create(&path)
            .execute_batch(&format!(
                "WITH RECURSIVE n(i) AS (VALUES(100) UNION ALL SELECT i + 1 FROM n WHERE i < {})
                 INSERT INTO work_sessions SELECT i, 'x', '2026-01-02 09:00:00', NULL FROM n;",
                99 + STALE
            ))
            .unwrap();
        let watchkeeper = Watchkeeper::with_config(&format!(
            "[[job]]\nname = \"stale\"\nkind = \"close-stale-sessions\"\nkeep = {{ last = 2 }}\nmax_rows = 1000\n\
             retries = {{ max = 0 }}\ndatabase = \"{}\"\n",
            path.display()
        ));
        if words == UNDO {
            watchkeeper.run(&CLOSE).expect(0);
        }
        let before = Kept::new(
            &watchkeeper,
            "before",
            &[&watchkeeper.state(), &watchkeeper.backups_folder(), &folder.path().join("data")],
        );
        Self { folder, watchkeeper, words: words.to_vec(), before }
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("data/memory.db")
    }

    fn open(&self) -> i64 {
        number(&self.database(), "SELECT count(*) FROM work_sessions WHERE end_time IS NULL")
    }
}

impl Scene for Sessions {
    fn stage(&self) -> Stage<'_> {
        Stage {
            watchkeeper: &self.watchkeeper,
            words: &self.words,
            data: (self.folder.path().join("data"), "data"),
        }
    }

    fn reset(&self) {
        self.before.put_back();
    }

    fn holds(&self) {
        let open = self.open();
        let whole = [0, STALE - 2 * BATCH, STALE - BATCH, STALE, BATCH, 2 * BATCH];
        assert!(whole.contains(&open), "a batch is half closed: {open} are open");
        self.watchkeeper.run(&["verify"]).expect(0);
        if self.words == UNDO {
            let undone = self.watchkeeper.run(&UNDO);
            // What the killed one has opened already is told.
            assert!(matches!(undone.code, 0 | 3) || open == STALE, "{undone:?}");
            assert_eq!(self.open(), STALE, "{undone:?}");
        }
        self.watchkeeper.run(&CLOSE).expect(0);
        assert_eq!(self.open(), 0);
        // What the killed run has closed is opened by an undo of its own.
        let undone: Vec<_> = (0..2).map(|_| self.watchkeeper.run(&UNDO)).collect();
        assert_eq!(self.open(), STALE, "{undone:?}");
        self.watchkeeper.run(&CLOSE).expect(0);
        clean(&self.watchkeeper);
    }
}

#[test]
fn a_closing_of_sessions_is_killed() {
    kill("sessions: closing", &Sessions::new(&CLOSE), 6, 80);
}

#[test]
fn an_undo_of_a_closing_is_killed() {
    kill("sessions: undo", &Sessions::new(&UNDO), 4, 60);
}
