//! A database of somebody else, read by a user who may write to its folder: nothing is made beside it that its
//! application could not use.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::{names, unpacked, watchkeeper};
use crate::support::database::{Writer, create, number};
use crate::support::watchkeeper::Watchkeeper;
use crate::support::{run, scratch};

/// Whose the database is, and who reads it.
const OWNER: u32 = 1000;
const GUEST: u32 = 65534;

/// A folder of the owner's that the guest's group may write to.
fn shared() -> TempDir {
    let folder = scratch::folder("guest");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o2775)).unwrap();
    chown(folder.path(), Some(OWNER), Some(GUEST)).unwrap();
    folder
}

fn give(path: &Path) {
    chown(path, Some(OWNER), Some(OWNER)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}

/// The application writes, as the user who it is.
fn write(path: &Path) {
    let id = OWNER.to_string();
    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--reuid", &id, "--regid", &id, "--clear-groups", "sqlite3"]).arg(path);
    run(setpriv.args(["-cmd", ".timeout 9000", "INSERT INTO pairs VALUES (0, 0, NULL)"]));
}

#[track_caller]
fn nothing_is_the_guests(folder: &Path) {
    for name in names(folder) {
        // Its application may have removed it since.
        let meta = fs::metadata(folder.join(&name)).ok();
        assert_ne!(meta.map(|meta| meta.uid()), Some(GUEST), "{name}");
    }
}

/// Ends a loop also where a test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn run_now(watchkeeper: &Watchkeeper) {
    watchkeeper.run_as(GUEST, &["run-now", "db"]).expect(0);
}

#[test]
fn a_database_that_its_application_has_closed_is_read_without_a_file_beside_it() {
    let folder = shared();
    let path = folder.path().join("memory.db");
    create(&path).close().unwrap();
    give(&path);
    let watchkeeper = watchkeeper(&path);
    run_now(&watchkeeper);
    watchkeeper.run_as(GUEST, &["run-now", "db", "--dry-run"]).expect(0);
    watchkeeper.run_as(GUEST, &["restore", "db", "--dry-run"]).expect(0);
    assert_eq!(names(folder.path()), ["memory.db"]);
    write(&path);
    run_now(&watchkeeper);
    assert_eq!(number(&unpacked(&watchkeeper, "into"), "SELECT count(*) FROM pairs"), 1);
}

#[test]
fn a_database_that_its_application_has_open_is_read_with_its_log() {
    let folder = shared();
    let path = folder.path().join("memory.db");
    let database = create(&path);
    give(&path);
    for side in ["-wal", "-shm"] {
        give(&folder.path().join(format!("memory.db{side}")));
    }
    let watchkeeper = watchkeeper(&path);
    let writer = Writer::start(&path);
    run_now(&watchkeeper);
    assert!(writer.written() > 50);
    drop(writer);
    let copy = unpacked(&watchkeeper, "into");
    assert_eq!(number(&copy, "SELECT sum(a) + sum(b) FROM pairs"), 0);
    assert!(number(&copy, "SELECT count(*) FROM pairs") >= 100);
    database.close().unwrap();
    nothing_is_the_guests(folder.path());
    write(&path);
}

#[test]
fn a_log_that_a_crash_has_left_is_read_too() {
    let (before, folder) = (scratch::folder("guest"), shared());
    let database = create(&before.path().join("memory.db"));
    database
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO pairs VALUES (5, -5, NULL)")
        .unwrap();
    let path = folder.path().join("memory.db");
    for name in ["memory.db", "memory.db-wal", "memory.db-shm"] {
        fs::copy(before.path().join(name), folder.path().join(name)).unwrap();
        give(&folder.path().join(name));
    }
    let watchkeeper = watchkeeper(&path);
    run_now(&watchkeeper);
    assert_eq!(number(&unpacked(&watchkeeper, "into"), "SELECT sum(a) FROM pairs"), 5);
    nothing_is_the_guests(folder.path());
    write(&path);
}

#[test]
fn a_database_that_is_opened_and_closed_all_the_time_is_whole_and_stays_its_owners() {
    let folder = shared();
    let path = folder.path().join("memory.db");
    create(&path).close().unwrap();
    give(&path);
    let watchkeeper = watchkeeper(&path);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                let database = Connection::open(&path).unwrap();
                database.busy_timeout(Duration::from_secs(30)).unwrap();
                database
                    .execute_batch("BEGIN IMMEDIATE; INSERT INTO pairs VALUES (3, 0, randomblob(9000)); INSERT INTO pairs VALUES (-3, 0, NULL); COMMIT;")
                    .unwrap();
                database.close().unwrap();
            }
        });
        for time in 0..8 {
            run_now(&watchkeeper);
            nothing_is_the_guests(folder.path());
            let copy = unpacked(&watchkeeper, &format!("into{time}"));
            assert_eq!(number(&copy, "SELECT coalesce(sum(a), 0) FROM pairs"), 0);
        }
    });
    write(&path);
}

#[test]
fn a_database_with_a_rollback_journal_is_read_beside_a_writer() {
    let folder = shared();
    let path = folder.path().join("memory.db");
    create(&path).execute_batch("PRAGMA journal_mode = DELETE").unwrap();
    give(&path);
    let watchkeeper = watchkeeper(&path);
    let writer = Writer::start(&path);
    run_now(&watchkeeper);
    drop(writer);
    let copy = unpacked(&watchkeeper, "into");
    assert_eq!(number(&copy, "SELECT sum(a) + sum(b) FROM pairs"), 0);
    nothing_is_the_guests(folder.path());
}
