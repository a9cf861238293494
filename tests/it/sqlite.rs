//! The kind `sqlite-backup` and its restore, with the program as a person runs it, against real databases.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rusqlite::Connection;

use crate::support::application::{Application, Data};
use crate::support::database::{Writer, create, number};
use crate::support::docker::docker;
use crate::support::watchkeeper::{Output, Watchkeeper};
use crate::support::{scratch, wait_until};

mod cut;
mod guest;
mod inside;
mod place;
mod taken_back;

/// One job called `db` on a database of this host.
fn watchkeeper(database: &Path) -> Watchkeeper {
    Watchkeeper::with_config(&format!(
        "[[job]]\nname = \"db\"\nkind = \"sqlite-backup\"\nkeep = {{ last = 3 }}\ndatabase = \"{}\"\n\
         retries = {{ max = 0 }}\n",
        database.display()
    ))
}

/// A database that was backed up and restored once, and what has done so.
fn restored(path: &Path) -> Watchkeeper {
    create(path).close().unwrap();
    let watchkeeper = watchkeeper(path);
    watchkeeper.run(&["run-now", "db"]).expect(0);
    watchkeeper.run(&["restore", "db", "--yes"]).expect(0);
    watchkeeper
}

/// Unpacks the newest backup into a new folder of the program's and gives the database in it.
fn unpacked(watchkeeper: &Watchkeeper, name: &str) -> std::path::PathBuf {
    let into = watchkeeper.folder().join(name);
    watchkeeper.run(&["restore", "db", "--into", into.to_str().unwrap()]).expect(0);
    into.join("memory.db")
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_backup_under_a_live_writer_holds_one_moment_of_the_database() {
    let folder = scratch::folder("sqlite");
    let path = folder.path().join("memory.db");
    let _keeps_the_log = create(&path);
    let watchkeeper = watchkeeper(&path);
    let writer = Writer::start(&path);
    let (before, report) = (writer.written(), watchkeeper.run_json(&["run-now", "db"]).expect(0).json());
    let after = writer.written();
    assert!(after > before, "nobody wrote meanwhile");
    drop(writer);

    let copy = unpacked(&watchkeeper, "into");
    let (rows, sum) = (
        number(&copy, "SELECT count(*) FROM pairs").unsigned_abs(),
        number(&copy, "SELECT coalesce(sum(a), 0) FROM pairs"),
    );
    assert_eq!((rows % 2, sum), (0, 0));
    assert!(rows >= 2 * before && rows <= 2 * after + 2, "{before} <= {rows}/2 <= {after}");
    assert_eq!(number(&copy, "PRAGMA user_version"), 7);
    let facts = report["runs"][0]["output"]["facts"].to_string();
    assert!(facts.contains("journal mode wal, user_version 7"), "{facts}");

    let backup = report["runs"][0]["output"]["backup"].as_str().unwrap();
    let manifest = fs::read_to_string(watchkeeper.store_of("db").join(format!("{backup}.json"))).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let contents = &manifest["contents"];
    assert_eq!(contents["tables"][0]["name"], "pairs");
    assert_eq!(contents["tables"][0]["rows"], rows);
    assert_eq!(contents["schema"].as_array().unwrap().len(), 2);
    assert_eq!(contents["page_count"].as_u64().unwrap() * 4096, contents["bytes"].as_u64().unwrap());
    watchkeeper.run(&["verify"]).expect(0);
    watchkeeper.run(&["explain", "db"]).expect(0);
    watchkeeper.run(&["backups"]).expect(0);
}

#[test]
fn a_backup_leaves_the_database_as_it_is() {
    let folder = scratch::folder("sqlite");
    let path = folder.path().join("memory.db");
    create(&path).close().unwrap();
    let before = fs::read(&path).unwrap();
    let watchkeeper = watchkeeper(&path);
    watchkeeper.run(&["run-now", "db", "--dry-run"]).expect(0);
    watchkeeper.run(&["run-now", "db"]).expect(0);
    assert_eq!(fs::read(&path).unwrap(), before);
    for name in names(folder.path()) {
        assert!(
            name == "memory.db"
                || fs::metadata(folder.path().join(&name)).unwrap().len() == 0
                || name.ends_with("-shm"),
            "{name}"
        );
    }
}

/// What is wrong with a database is told, and no backup comes of it.
#[track_caller]
fn fails(watchkeeper: &Watchkeeper, reason: &str) -> Output {
    let failed = watchkeeper.run(&["run-now", "db"]).expect(1);
    assert!(failed.stdout.contains(reason), "{}", failed.stdout);
    let left = scratch::files_below(&watchkeeper.store_of("db"));
    assert!(left.iter().all(|file| file == Path::new(".lock")), "{left:?}");
    watchkeeper.run(&["run-now", "db", "--dry-run"]).expect(1);
    failed
}

#[test]
fn what_is_missing_empty_or_no_database_is_told_apart() {
    let folder = scratch::folder("sqlite");
    let path = folder.path().join("memory.db");
    let watchkeeper = watchkeeper(&path);
    fails(&watchkeeper, "There is no database");
    for (content, reason) in [("", "it is empty"), ("<html>not found</html>", "no SQLite header")] {
        fs::write(&path, content).unwrap();
        fails(&watchkeeper, reason);
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    // A header is not enough.
    let mut bytes = b"SQLite format 3\0".to_vec();
    bytes.extend([0x55; 8192]);
    fs::write(&path, bytes).unwrap();
    fails(&watchkeeper, "is not a SQLite database");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    fails(&watchkeeper, "no regular file");
    fs::remove_dir(&path).unwrap();
    std::os::unix::fs::symlink("/nowhere/else.db", &path).unwrap();
    fails(&watchkeeper, "There is no database");
}

#[test]
fn a_database_that_is_locked_is_waited_for_and_then_told() {
    let folder = scratch::folder("sqlite");
    let path = folder.path().join("memory.db");
    let database = create(&path);
    database.execute_batch("PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE;").unwrap();
    let failed = fails(&watchkeeper(&path), "is locked");
    assert!(failed.stdout.contains("fuser"), "{}", failed.stdout);
}

#[test]
fn a_damaged_database_is_kept_as_damaged_and_its_last_good_backup_too() {
    let folder = scratch::folder("sqlite");
    let path = folder.path().join("memory.db");
    let database = create(&path);
    database
        .execute_batch("WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO pairs SELECT i, -i, randomblob(100) FROM n;")
        .unwrap();
    database.execute_batch("CREATE INDEX pairs_a ON pairs(a); PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
    database.close().unwrap();
    let watchkeeper = watchkeeper(&path);
    watchkeeper.run(&["run-now", "db"]).expect(0);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0xAA);
    fs::write(&path, bytes).unwrap();
    let warned = watchkeeper.run(&["run-now", "db"]).expect(3);
    assert!(warned.stdout.contains("the database is damaged"), "{}", warned.stdout);
    assert_eq!(watchkeeper.goods(), [true, false]);
}

#[test]
fn foreign_keys_that_lead_nowhere_are_told() {
    let folder = scratch::folder("sqlite");
    let path = folder.path().join("memory.db");
    let database = Connection::open(&path).unwrap();
    database
        .execute_batch("PRAGMA foreign_keys = OFF; CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (a REFERENCES a(id)); INSERT INTO b VALUES (9);")
        .unwrap();
    let warned = watchkeeper(&path).run(&["run-now", "db"]).expect(3);
    assert!(warned.stdout.contains("row 1 of b refers to a row of a that is not there"), "{}", warned.stdout);
}

/// What the application has lost: the sessions.
fn lose_sessions(application: &Application) {
    let database = Connection::open(application.database()).unwrap();
    database.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
    database.execute_batch("DROP TABLE work_sessions").unwrap();
}

/// Backed up, lost, restored, and taken back, as its application sees it.
fn comes_back_and_can_be_taken_back(application: &Application) {
    let watchkeeper = Watchkeeper::with_config(&application.config());
    watchkeeper.run(&["run-now", "db"]).expect(0);
    std::os::unix::fs::chown(application.database(), Some(4321), Some(4322)).unwrap();
    lose_sessions(application);
    assert_eq!(application.health().unwrap().0, 500);

    let plan = watchkeeper.run(&["restore", "db", "--dry-run"]).expect(0);
    assert!(plan.stdout.contains("work_sessions: 1 rows (now: none)"), "{}", plan.stdout);
    assert_eq!(application.health().unwrap().0, 500);
    watchkeeper.run(&["restore", "db"]).expect(2);

    let report = watchkeeper.run(&["restore", "db", "--yes"]).expect(0);
    assert!(report.stdout.contains("/cgi-bin/health answers with 200"), "{}", report.stdout);
    assert_eq!(application.health().unwrap(), (200, "1".to_owned()));
    let meta = fs::metadata(application.database()).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (4321, 4322));
    // It goes on writing into the restored one.
    let rows = || number(&application.database(), "SELECT count(*) FROM pairs");
    let since = rows();
    wait_until("it writes on", std::time::Duration::from_secs(10), || rows() > since);

    watchkeeper.run(&["restore", "db", "--undo", "--yes"]).expect(3);
    assert_eq!(application.health().unwrap().0, 500, "the sessions are lost again");
    watchkeeper.run(&["restore", "db", "--undo", "--yes"]).expect(0);
    assert_eq!(application.health().unwrap(), (200, "1".to_owned()), "taking back was taken back");
    assert!(names(&application.data()).iter().any(|name| name.contains(".before-")));
    watchkeeper.run(&["restore", "db", "--discard-old", "--yes"]).expect(0);
    let left = names(&application.data());
    assert!(left.iter().all(|name| name.starts_with("memory.db") && !name.contains("before")), "{left:?}");
    watchkeeper.run(&["restore", "db", "--undo", "--yes"]).expect(1);
}

#[test]
fn a_database_of_this_host_comes_back_and_can_be_taken_back() {
    let Some(application) = Application::host() else { return };
    comes_back_and_can_be_taken_back(&application);
}

#[test]
fn a_database_in_a_volume_comes_back_and_can_be_taken_back() {
    let Some(application) = Application::container(Data::Volume, &["sqlite3"]) else { return };
    application.wait_well();
    comes_back_and_can_be_taken_back(&application);
}

#[test]
fn a_restore_with_which_the_application_is_not_well_is_taken_back() {
    let Some(application) = Application::host() else { return };
    let watchkeeper = Watchkeeper::with_config(&application.config());
    watchkeeper.run(&["run-now", "db"]).expect(0);
    let database = Connection::open(application.database()).unwrap();
    database.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
    database.execute_batch("INSERT INTO work_sessions VALUES (2, 'new', 'x', NULL)").unwrap();
    drop(database);
    fs::write(application.data().join("sick"), "").unwrap();
    let failed = watchkeeper.run(&["restore", "db", "--yes"]).expect(1);
    assert!(failed.stdout.contains("The restore was taken back"), "{}", failed.stdout);
    fs::remove_file(application.data().join("sick")).unwrap();
    application.wait_well();
    assert_eq!(application.health().unwrap().1, "2", "what was written after the backup is there");
    let left = names(&application.data());
    assert!(left.iter().all(|name| name.starts_with("memory.db") && !name.contains("before")), "{left:?}");
}

#[test]
fn a_database_that_somebody_has_open_is_not_replaced() {
    let folder = scratch::folder("sqlite");
    let path = folder.path().join("memory.db");
    let database = create(&path);
    let watchkeeper = watchkeeper(&path);
    watchkeeper.run(&["run-now", "db"]).expect(0);
    let failed = watchkeeper.run(&["restore", "db", "--yes"]).expect(1);
    assert!(failed.stdout.contains(&format!("(pid {})", std::process::id())), "{}", failed.stdout);
    database.close().unwrap();
    watchkeeper.run(&["restore", "db", "--yes"]).expect(0);
    assert_eq!(number(&path, "SELECT count(*) FROM work_sessions"), 1);
}

#[test]
fn a_database_in_the_layer_of_a_container_is_read_by_its_own_sqlite3_and_not_replaced() {
    let Some(application) = Application::container(Data::Layer, &["sqlite3"]) else { return };
    application.wait_well();
    let watchkeeper = Watchkeeper::with_config(&application.config());
    let report = watchkeeper.run(&["run-now", "db"]).expect(0);
    assert!(
        report.stdout.contains(&format!("sqlite3 in container {}", application.container_name())),
        "{}",
        report.stdout
    );
    let copy = unpacked(&watchkeeper, "into");
    assert_eq!(number(&copy, "SELECT count(*) FROM work_sessions"), 1);
    let left = docker(["exec", application.container_name(), "ls", "-a", "/app/data"]);
    assert!(!left.contains("watchkeeper"), "{left}");
    let refused = watchkeeper.run(&["restore", "db", "--yes"]).expect(1);
    assert!(refused.stderr.contains("cannot be replaced there"), "{}", refused.stderr);
    docker(["kill", application.container_name()]);
    let failed = watchkeeper.run(&["run-now", "db"]).expect(1);
    assert!(failed.stdout.contains("the container does not run"), "{}", failed.stdout);
}

#[test]
fn a_database_that_nothing_in_its_container_can_read_is_told() {
    let Some(application) = Application::container(Data::Layer, &[]) else { return };
    let failed = Watchkeeper::with_config(&application.config()).run(&["run-now", "db"]).expect(1);
    assert!(failed.stdout.contains("neither sqlite3 nor python3"), "{}", failed.stdout);
}
