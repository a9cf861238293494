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

/// 250 stale sessions from 100 on: two batches.
const MANY: &str = "WITH RECURSIVE n(i) AS (VALUES(100) UNION ALL SELECT i + 1 FROM n WHERE i < 349)
    INSERT INTO work_sessions SELECT i, 'x', '2026-01-02 09:00:00', NULL FROM n;";

fn open_ones(path: &Path) -> i64 {
    number(path, "SELECT count(*) FROM work_sessions WHERE end_time IS NULL")
}

#[test]
fn a_batch_that_fails_is_rolled_back_and_what_earlier_ones_closed_can_be_opened_again() {
    let folder = scratch::folder("stale");
    let path = folder.path().join("memory.db");
    let database = create(&path);
    database.execute_batch(MANY).unwrap();
    database
        .execute_batch(
            "CREATE TRIGGER no BEFORE UPDATE ON work_sessions WHEN NEW.id = 340 BEGIN SELECT RAISE(ABORT, 'not this one'); END;",
        )
        .unwrap();
    drop(database);
    let watchkeeper = on_host(&path, "max_rows = 1000\n");
    let failed = watchkeeper.run(&["run-now", "stale"]).expect(1);
    for told in [
        "Could not write the end of 50 sessions: this batch was rolled back",
        "200 sessions of earlier batches stay closed",
        "not this one",
        "closed 100 (x): open for",
        "restore stale --undo",
    ] {
        assert!(failed.stdout.contains(told), "{told}: {}", failed.stdout);
    }
    assert_eq!(open_ones(&path), 50);
    watchkeeper.run(&["restore", "stale", "--undo", "--yes"]).expect(0);
    assert_eq!(open_ones(&path), 250);
}

#[test]
fn a_session_that_the_application_closed_in_the_same_second_is_not_opened_again() {
    let folder = scratch::folder("stale");
    let path = folder.path().join("memory.db");
    let database = create(&path);
    database.execute_batch(MANY).unwrap();
    // Between the two batches, and with the very text that is written here.
    database
        .execute_batch(
            "CREATE TRIGGER mine AFTER UPDATE OF end_time ON work_sessions WHEN NEW.id = 100 AND NEW.end_time IS NOT NULL
             BEGIN UPDATE work_sessions SET end_time = NEW.end_time WHERE id = 340; END;",
        )
        .unwrap();
    drop(database);
    let watchkeeper = on_host(&path, "max_rows = 1000\n");
    let report = watchkeeper.run(&["run-now", "stale"]).expect(3);
    assert!(report.stdout.contains("249 stale sessions closed"), "{}", report.stdout);
    let undone = watchkeeper.run(&["restore", "stale", "--undo", "--yes"]).expect(0);
    assert!(undone.stdout.contains("249 sessions that had been closed are open again"), "{}", undone.stdout);
    assert_eq!(number(&path, "SELECT id FROM work_sessions WHERE end_time IS NOT NULL AND id >= 100"), 340);
}

#[test]
fn sessions_are_found_again_where_vacuum_has_numbered_their_rows_anew() {
    let folder = scratch::folder("stale");
    let path = folder.path().join("memory.db");
    create(&path)
        .execute_batch(
            "CREATE TABLE t (n TEXT, what TEXT, began TEXT, ended TEXT);
             INSERT INTO t VALUES ('gone', 'x', '2026-01-01 09:00:00', '2026-01-01 10:00:00');
             INSERT INTO t VALUES ('it''s a', 'x', '2026-01-02 09:00:00', NULL), ('b', 'x', '2026-01-02 09:00:00', NULL),
                 ('c', 'x', '2026-01-02 09:00:00', NULL), ('twin', 'x', '2026-01-02 10:00:00', NULL),
                 ('twin', 'x', '2026-01-02 11:00:00', NULL), ('d', 'x', '2026-01-02 09:00:00', NULL);",
        )
        .unwrap();
    let columns = "table = \"t\"\nid = \"n\"\nlabel = \"what\"\nstart = \"began\"\nend = \"ended\"\n";
    let watchkeeper = on_host(&path, columns);
    watchkeeper.run(&["run-now", "stale"]).expect(0);
    // All have moved by one, and another row has come to have the number of b, with its very times.
    let database = Connection::open(&path).unwrap();
    database
        .execute_batch(
            "DELETE FROM t WHERE n = 'gone'; VACUUM; UPDATE t SET ended = 'mine' WHERE n = 'd';
             CREATE TABLE moved AS SELECT rowid AS r FROM t WHERE n = 'b';",
        )
        .unwrap();
    drop(database);
    assert_eq!(number(&path, "SELECT r FROM moved"), 2, "VACUUM has not moved it");
    let undone = watchkeeper.run(&["restore", "stale", "--undo", "--yes"]).expect(3);
    for told in [
        "3 sessions that had been closed are open again",
        "3 had changed or gone since they were closed, and were left as they are: d, twin, twin",
        ".sessions.jsonl.undone",
    ] {
        assert!(undone.stdout.contains(told), "{told}: {}", undone.stdout);
    }
    assert_eq!(number(&path, "SELECT count(*) FROM t WHERE ended IS NULL AND n IN ('it''s a', 'b', 'c')"), 3);
    assert_eq!(number(&path, "SELECT count(*) FROM t WHERE ended IS NULL"), 3);
}

/// The program was killed after it had closed the last batch and before it noted that.
fn forget_the_last_batch(watchkeeper: &Watchkeeper) {
    let notes = watchkeeper.state().join("undo/stale");
    let file = fs::read_dir(notes).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&file).unwrap();
    let (kept, last) = text.trim_end().rsplit_once('\n').unwrap();
    assert!(last.contains("\"closed\""), "{last}");
    // And while it did.
    fs::write(&file, format!("{kept}\n{}", &last[..last.len() / 2])).unwrap();
}

#[test]
fn a_batch_of_which_nothing_was_noted_is_opened_again_as_a_whole_or_not_at_all() {
    for (changed, opened, left_closed) in [(0, 250, 0), (1, 200, 49)] {
        let folder = scratch::folder("stale");
        let path = folder.path().join("memory.db");
        create(&path).execute_batch(MANY).unwrap();
        let watchkeeper = on_host(&path, "max_rows = 1000\n");
        watchkeeper.run(&["run-now", "stale"]).expect(0);
        forget_the_last_batch(&watchkeeper);
        let reopen = "UPDATE work_sessions SET end_time = NULL WHERE id = 340 AND ?1 = 1";
        Connection::open(&path).unwrap().execute(reopen, [changed]).unwrap();
        let undone = watchkeeper.run(&["restore", "stale", "--undo", "--yes"]).expect(if changed == 0 {
            0
        } else {
            3
        });
        assert!(
            undone.stdout.contains(&format!("{opened} sessions that had been closed")),
            "{}",
            undone.stdout
        );
        assert_eq!(open_ones(&path), 250 - left_closed);
        assert_eq!(
            undone.stdout.contains("who has closed these is not known"),
            changed == 1,
            "{}",
            undone.stdout
        );
    }
}

#[test]
fn an_end_is_written_as_the_table_has_its_ends_and_not_at_all_where_they_are_no_times() {
    let near = |unit: &str| format!("abs(strftime('%s', 'now') - ended / {unit}) < 600");
    for (ends, is) in [
        ("1600000000123", format!("typeof(ended) = 'integer' AND {}", near("1000"))),
        ("1600000000.25", format!("typeof(ended) = 'real' AND {}", near("1.0"))),
        ("1600000000123456", format!("typeof(ended) = 'integer' AND {}", near("1000000"))),
        ("'1600000000123'", format!("typeof(ended) = 'text' AND {}", near("1000"))),
        ("'2026-01-01T10:00:00.123Z'", "ended GLOB '20??-??-??T??:??:??.???Z'".to_owned()),
        ("'2026-01-01 10:00:00+00:00'", "ended GLOB '20??-??-?? ??:??:??+00:00'".to_owned()),
        ("'yesterday'", "ended IS NULL".to_owned()),
    ] {
        let folder = scratch::folder("stale");
        let path = folder.path().join("memory.db");
        create(&path)
            .execute_batch(&format!(
                "CREATE TABLE t (n INTEGER PRIMARY KEY, what TEXT, began TEXT, ended);
                 INSERT INTO t VALUES (1, 'done', '2026-01-01 09:00:00', {ends}), (2, 'stuck', '2026-01-02 09:00:00', NULL);"
            ))
            .unwrap();
        let columns = "table = \"t\"\nid = \"n\"\nlabel = \"what\"\nstart = \"began\"\nend = \"ended\"\n";
        let watchkeeper = on_host(&path, columns);
        let known = !ends.contains("yesterday");
        let report = watchkeeper.run(&["run-now", "stale"]).expect(i32::from(!known));
        assert_eq!(
            number(&path, &format!("SELECT count(*) FROM t WHERE n = 2 AND {is}")),
            1,
            "{ends}: {}",
            report.stdout
        );
        if known {
            watchkeeper.run(&["restore", "stale", "--undo", "--yes"]).expect(0);
            assert_eq!(number(&path, "SELECT count(*) FROM t WHERE ended IS NULL"), 1, "{ends}");
        } else {
            assert!(
                report.stdout.contains("no form that is known here, such as 'yesterday'"),
                "{}",
                report.stdout
            );
        }
    }
}

/// Starts with all digits that a REAL has, in a table without ends.
const FRACTIONS: &str = "CREATE TABLE t (n INTEGER PRIMARY KEY, what TEXT, began REAL, ended REAL);
    WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 400)
    INSERT INTO t SELECT i, 'x', 1700000000 + i * 1000 + abs(random() % 1000000000) / 999999937.0, NULL FROM n;
    UPDATE t SET began = 1700000000.1234567 WHERE n = 1;";

fn with_fractions_in_a_container(program: &str) {
    let Some(application) = Application::container(Data::Layer, &[program]) else { return };
    let folder = scratch::folder("stale");
    let path = folder.path().join("memory.db");
    let database = create(&path);
    database.execute_batch(FRACTIONS).unwrap();
    database.execute_batch("PRAGMA journal_mode = DELETE").unwrap();
    database.close().unwrap();
    docker(["exec", application.container_name(), "sh", "-c", "rm -f /app/data/memory.db*"]);
    application.put(&path, "/app/data/memory.db");
    // Whatever somebody likes to see on his terminal.
    let taste = folder.path().join("sqliterc");
    fs::write(&taste, ".headers on\n.mode box\n.nullvalue NIX\n.echo on\n").unwrap();
    application.put(&taste, "/.sqliterc");
    let count = || {
        let copy = folder.path().join("seen.db");
        docker([
            "cp",
            &format!("{}:/app/data/memory.db", application.container_name()),
            copy.to_str().unwrap(),
        ]);
        number(&copy, "SELECT count(*) FROM t WHERE ended IS NULL")
    };
    assert_eq!(count(), 400);
    let config = application.config().split("[[job]]").next().unwrap().to_owned();
    let columns = "table = \"t\"\nid = \"n\"\nlabel = \"what\"\nstart = \"began\"\nend = \"ended\"\n";
    let watchkeeper = Watchkeeper::with_config(&format!(
        "{config}{JOB}application = \"app\"\n{columns}start_format = \"unix\"\nmax_rows = 1000\n"
    ));
    let report = watchkeeper.run(&["run-now", "stale"]).expect(0);
    assert!(report.stdout.contains("400 stale sessions closed"), "{}", report.stdout);
    assert_eq!(count(), 0);
    watchkeeper.run(&["restore", "stale", "--undo", "--yes"]).expect(0);
    assert_eq!(count(), 400);
}

#[test]
fn starts_with_a_fraction_are_closed_by_the_sqlite3_of_a_container_whatever_its_sqliterc_says() {
    with_fractions_in_a_container("sqlite3");
}

#[test]
fn starts_with_a_fraction_are_closed_by_the_python3_of_a_container() {
    with_fractions_in_a_container("python3");
}

#[test]
fn starts_with_a_fraction_are_closed_on_this_host() {
    let folder = scratch::folder("stale");
    let path = folder.path().join("memory.db");
    create(&path).execute_batch(FRACTIONS).unwrap();
    let columns = "table = \"t\"\nid = \"n\"\nlabel = \"what\"\nstart = \"began\"\nend = \"ended\"\n";
    let watchkeeper = on_host(&path, &format!("{columns}start_format = \"unix\"\nmax_rows = 1000\n"));
    watchkeeper.run(&["run-now", "stale"]).expect(0);
    assert_eq!(number(&path, "SELECT count(*) FROM t WHERE ended IS NULL"), 0);
    watchkeeper.run(&["restore", "stale", "--undo", "--yes"]).expect(0);
    assert_eq!(number(&path, "SELECT count(*) FROM t WHERE ended IS NULL"), 400);
}

/// Ends that are neither NULL nor a time; those of 3 and 4 are all that the table has beside them.
const BLANK_ENDS: &str = "CREATE TABLE t (n INTEGER PRIMARY KEY, what TEXT, began TEXT, ended TEXT);
    INSERT INTO t VALUES (1, 'stuck', '2026-01-02 09:00:00', NULL), (2, 'empty', '2026-01-02 10:00:00', ''),
        (3, 'blank', '2026-01-02 11:00:00', ' ' || char(9, 160)), (4, 'nothing', '2026-01-02 12:00:00', x'');";
const BLANK_COLUMNS: &str =
    "table = \"t\"\nid = \"n\"\nlabel = \"what\"\nstart = \"began\"\nend = \"ended\"\n";

/// What is told of them by a run that closes the one that is surely open.
fn blank_ends_are_told(watchkeeper: &Watchkeeper) {
    let listed = watchkeeper.run(&["run-now", "stale", "--dry-run"]).expect(0);
    let report = watchkeeper.run(&["run-now", "stale"]).expect(3);
    for told in [
        "open? session 2 (empty), since '2026-01-02 10:00:00', is left as it is: its end is '', which is neither",
        "open? session 3 (blank), since '2026-01-02 11:00:00', is left as it is: its end is ' ",
        "open? session 4 (nothing), since '2026-01-02 12:00:00', is left as it is: its end is '', which",
        "3 of which nobody knows whether they are open",
    ] {
        assert!(listed.stdout.contains(told), "{told:?}: {}", listed.stdout);
        assert!(report.stdout.contains(told), "{told:?}: {}", report.stdout);
    }
    assert!(report.stdout.contains("1 stale session closed"), "{}", report.stdout);
}

fn only_the_blank_ends_are_as_they_were(path: &Path) {
    let as_they_were = "SELECT count(*) FROM t WHERE ended IN ('', ' ' || char(9, 160), x'')";
    assert_eq!(number(path, as_they_were), 3);
    assert_eq!(number(path, "SELECT count(*) FROM t WHERE n = 1 AND ended GLOB '20??-??-?? ??:??:??'"), 1);
}

#[test]
fn an_end_without_a_character_is_told_and_left_on_this_host() {
    let folder = scratch::folder("stale");
    let path = folder.path().join("memory.db");
    create(&path).execute_batch(BLANK_ENDS).unwrap();
    blank_ends_are_told(&on_host(&path, BLANK_COLUMNS));
    only_the_blank_ends_are_as_they_were(&path);
}

fn blank_ends_in_a_container(program: &str) {
    let Some(application) = Application::container(Data::Layer, &[program]) else { return };
    let folder = scratch::folder("stale");
    let path = folder.path().join("memory.db");
    let database = create(&path);
    database.execute_batch(BLANK_ENDS).unwrap();
    database.execute_batch("PRAGMA journal_mode = DELETE").unwrap();
    database.close().unwrap();
    docker(["exec", application.container_name(), "sh", "-c", "rm -f /app/data/memory.db*"]);
    application.put(&path, "/app/data/memory.db");
    let config = application.config().split("[[job]]").next().unwrap().to_owned();
    let watchkeeper =
        Watchkeeper::with_config(&format!("{config}{JOB}application = \"app\"\n{BLANK_COLUMNS}"));
    blank_ends_are_told(&watchkeeper);
    let copy = folder.path().join("seen.db");
    docker(["cp", &format!("{}:/app/data/memory.db", application.container_name()), copy.to_str().unwrap()]);
    only_the_blank_ends_are_as_they_were(&copy);
}

#[test]
fn an_end_without_a_character_is_told_and_left_by_the_sqlite3_of_a_container() {
    blank_ends_in_a_container("sqlite3");
}

#[test]
fn an_end_without_a_character_is_told_and_left_by_the_python3_of_a_container() {
    blank_ends_in_a_container("python3");
}

fn in_a_container(data: Data) {
    let Some(application) = Application::container(data, &["sqlite3"]) else { return };
    application.wait_well();
    let script = fs::canonicalize(scratch::folder("sql").keep()).unwrap().join("sessions.sql");
    fs::write(&script, format!(".timeout 9000\n{SESSIONS}")).unwrap();
    docker(["cp", script.to_str().unwrap(), &format!("{}:/tmp/sessions.sql", application.container_name())]);
    let sql = |sql: &str| application.sqlite(sql);
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
