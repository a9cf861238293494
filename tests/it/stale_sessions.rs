//! The kind `close-stale-sessions`, with the program as a person runs it, against real databases.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use crate::support::application::{Application, Data};
use crate::support::database::{Writer, create, number};
use crate::support::docker::docker;
use crate::support::scratch;
use crate::support::watchkeeper::Watchkeeper;

/// Sessions of every sort; SQLite itself computes with all of these starts. Only 2 and 3 are stale.
const SESSIONS: &str = "INSERT INTO work_sessions VALUES
    (2, 'stuck', '2026-01-02 09:00:00', NULL),
    (3, 'it''s \"stuck\" ü', '2026-01-03T09:00:00+01:00', NULL),
    (4, 'clock', '12:30', NULL), (5, 'year', '2025', NULL), (6, 'now', 'now', NULL),
    (7, 'no such day', '2025-02-31 10:00:00', NULL), (8, 'future', '2999-01-01 00:00:00', NULL),
    (9, NULL, NULL, NULL), (10, 'number', 1736325000, NULL), (11, 'date', '2025-01-08', NULL),
    (12, 'young', strftime('%Y-%m-%d %H:%M:%S', 'now', '-1 hour'), NULL);";
const JOB: &str = "[[job]]\nname = \"stale\"\nkind = \"close-stale-sessions\"\nkeep = { last = 3 }\nretries = { max = 0 }\n";

fn on_host(path: &Path, keys: &str) -> Watchkeeper {
    Watchkeeper::with_config(&format!("{JOB}database = \"{}\"\n{keys}", path.display()))
}

/// The sessions that are open.
fn open(path: &Path) -> String {
    let database = Connection::open(path).unwrap();
    let open =
        "SELECT group_concat(id) FROM (SELECT id FROM work_sessions WHERE end_time IS NULL ORDER BY id)";
    database.query_row(open, [], |row| row.get(0)).unwrap()
}

const ALL: &str = "2,3,4,5,6,7,8,9,10,11,12";
const NOT_STALE: &str = "4,5,6,7,8,9,10,11,12";

#[test]
fn only_what_is_surely_stale_is_closed_under_a_live_writer_and_can_be_opened_again() {
    let folder = scratch::folder("stale");
    let path = folder.path().join("memory.db");
    create(&path).execute_batch(SESSIONS).unwrap();
    let watchkeeper = on_host(&path, "");
    let writer = Writer::start(&path);

    let listed = watchkeeper.run(&["run-now", "stale", "--dry-run"]).expect(0);
    assert!(listed.stdout.contains("would close 2 (stuck): open for "), "{}", listed.stdout);
    assert!(listed.stdout.contains("session 7 (no such day) is left open"), "{}", listed.stdout);
    assert_eq!(open(&path), ALL);

    let report = watchkeeper.run(&["run-now", "stale"]).expect(3);
    assert!(report.stdout.contains("2 stale sessions closed"), "{}", report.stdout);
    assert!(report.stdout.contains("closed 3 (it's \"stuck\" ü): open for "), "{}", report.stdout);
    for id in 4..=11 {
        assert!(report.stdout.contains(&format!("session {id} (")), "{id}: {}", report.stdout);
    }
    assert_eq!(open(&path), NOT_STALE);
    // As the table writes its ends.
    let formed = "SELECT count(*) FROM work_sessions WHERE id IN (2, 3) AND end_time GLOB '20[0-9][0-9]-[0-9][0-9]-[0-9][0-9] [0-9][0-9]:[0-9][0-9]:[0-9][0-9]'
         AND abs(julianday('now') - julianday(end_time)) < 0.01";
    assert_eq!(number(&path, formed), 2);
    // It was backed up before anything was written.
    let into = watchkeeper.folder().join("into");
    watchkeeper.run(&["restore", "stale", "--into", into.to_str().unwrap()]).expect(0);
    assert_eq!(open(&into.join("memory.db")), ALL);
    // Again: there is nothing to do, and no backup is made.
    watchkeeper.run(&["run-now", "stale"]).expect(3);
    assert_eq!(watchkeeper.run_json(&["backups"]).json()["backups"].as_array().unwrap().len(), 1);
    drop(writer);

    // Somebody has ended one of them otherwise meanwhile: that stays.
    Connection::open(&path)
        .unwrap()
        .execute("UPDATE work_sessions SET end_time = 'mine' WHERE id = 3", [])
        .unwrap();
    let undone = watchkeeper.run(&["restore", "stale", "--undo", "--yes"]).expect(3);
    assert!(undone.stdout.contains("1 session that had been closed are open again"), "{}", undone.stdout);
    assert_eq!(open(&path), format!("2,{NOT_STALE}"));
    watchkeeper.run(&["restore", "stale", "--undo", "--yes"]).expect(1);
}

#[test]
fn more_than_max_rows_are_not_closed_at_all() {
    let folder = scratch::folder("stale");
    let path = folder.path().join("memory.db");
    create(&path).execute_batch(SESSIONS).unwrap();
    let watchkeeper = on_host(&path, "max_rows = 1\n");
    let failed = watchkeeper.run(&["run-now", "stale"]).expect(1);
    assert!(failed.stdout.contains("2 sessions are stale, and max_rows allows 1"), "{}", failed.stdout);
    watchkeeper.run(&["run-now", "stale", "--dry-run"]).expect(1);
    assert_eq!(open(&path), ALL);
}

#[test]
fn a_table_or_column_that_is_not_there_is_told_with_those_that_are() {
    let folder = scratch::folder("stale");
    let path = folder.path().join("memory.db");
    create(&path).execute_batch(SESSIONS).unwrap();
    for (keys, reason, hint) in [
        ("table = \"sessions\"\n", "There is no table \"sessions\"", "pairs, work_sessions"),
        ("end = \"ended\"\n", "There is no column \"ended\"", "id, task, start_time, end_time"),
        ("start = \"x\\\" OR 1 --\"\n", "There is no column", "id, task"),
    ] {
        let failed = on_host(&path, keys).run(&["run-now", "stale"]).expect(1);
        assert!(failed.stdout.contains(reason) && failed.stdout.contains(hint), "{}", failed.stdout);
    }
    assert_eq!(open(&path), ALL);
}

#[test]
fn many_are_closed_in_batches_and_seconds_are_written_as_seconds() {
    let folder = scratch::folder("stale");
    let path = folder.path().join("memory.db");
    let database = create(&path);
    database
        .execute_batch(
            "CREATE TABLE t (n TEXT PRIMARY KEY, what TEXT, began REAL, ended INTEGER);
             WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 950)
             INSERT INTO t SELECT 's' || i, 'x', 1700000000 + i + 0.5, NULL FROM n;
             INSERT INTO t VALUES ('old', 'x', 1600000000, 1600000001), ('text', 'x', 'soon', NULL), ('nought', 'x', 0, NULL),
                 ('year', 'x', 2025, NULL), ('julian', 'x', 2460000.5, NULL), ('huge', 'x', 1e300, NULL);",
        )
        .unwrap();
    drop(database);
    let columns = "table = \"t\"\nid = \"n\"\nlabel = \"what\"\nstart = \"began\"\nend = \"ended\"\n";
    let watchkeeper = on_host(&path, &format!("{columns}start_format = \"unix\"\nmax_rows = 1000\n"));
    watchkeeper.run(&["run-now", "stale"]).expect(3);
    assert_eq!(
        number(&path, "SELECT count(*) FROM t WHERE typeof(ended) = 'integer' AND ended > 1700000000"),
        950
    );
    watchkeeper.run(&["restore", "stale", "--undo", "--yes"]).expect(0);
    assert_eq!(number(&path, "SELECT count(*) FROM t WHERE ended IS NULL"), 955);
}

#[test]
fn a_batch_that_fails_leaves_nothing_closed() {
    let folder = scratch::folder("stale");
    let path = folder.path().join("memory.db");
    let database = create(&path);
    database
        .execute_batch(
            "WITH RECURSIVE n(i) AS (VALUES(100) UNION ALL SELECT i + 1 FROM n WHERE i < 700)
             INSERT INTO work_sessions SELECT i, 'x', '2026-01-02 09:00:00', NULL FROM n;
             CREATE TRIGGER no BEFORE UPDATE ON work_sessions WHEN NEW.id = 600 BEGIN SELECT RAISE(ABORT, 'not this one'); END;",
        )
        .unwrap();
    drop(database);
    let failed = on_host(&path, "max_rows = 1000\n").run(&["run-now", "stale"]).expect(1);
    assert!(failed.stdout.contains("not this one"), "{}", failed.stdout);
    assert_eq!(number(&path, "SELECT count(*) FROM work_sessions WHERE end_time IS NULL"), 601);
}

fn in_a_container(data: Data) {
    let Some(application) = Application::container(data, &["sqlite3"]) else { return };
    application.wait_well();
    let script = fs::canonicalize(scratch::folder("sql").keep()).unwrap().join("sessions.sql");
    fs::write(&script, format!(".timeout 9000\n{SESSIONS}")).unwrap();
    docker(["cp", script.to_str().unwrap(), &format!("{}:/tmp/sessions.sql", application.container_name())]);
    let sql = |sql: &str| {
        docker([
            "exec",
            application.container_name(),
            "sqlite3",
            "-cmd",
            ".timeout 9000",
            "/app/data/memory.db",
            sql,
        ])
    };
    sql(".read /tmp/sessions.sql");
    let config = application.config().split("[[job]]").next().unwrap().to_owned();
    let watchkeeper = Watchkeeper::with_config(&format!("{config}{JOB}application = \"app\"\n"));
    let open = || sql("SELECT group_concat(id) FROM work_sessions WHERE end_time IS NULL");
    let listed = watchkeeper.run(&["run-now", "stale", "--dry-run"]).expect(0);
    assert!(listed.stdout.contains("would close 3 (it's \"stuck\" ü)"), "{}", listed.stdout);
    watchkeeper.run(&["run-now", "stale"]).expect(3);
    assert_eq!(open(), NOT_STALE);
    watchkeeper.run(&["restore", "stale", "--undo", "--yes"]).expect(0);
    assert_eq!(open(), ALL);
    fs::remove_dir_all(script.parent().unwrap()).unwrap();
}

#[test]
fn sessions_in_a_volume_are_closed_and_opened_again() {
    in_a_container(Data::Volume);
}

#[test]
fn sessions_in_the_layer_of_a_container_are_closed_by_its_own_sqlite3_and_opened_again() {
    in_a_container(Data::Layer);
}
