//! What is cut, held, full, or broken: nothing is lost, the application runs on, and the truth is told.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rusqlite::Connection;

use super::{names, restored, unpacked, watchkeeper};
use crate::bad_input::with_mount;
use crate::support::application::{Application, Data};
use crate::support::database::{create, number};
use crate::support::docker::docker;
use crate::support::watchkeeper::Watchkeeper;
use crate::support::{run, scratch, wait_until};

const LONG: Duration = Duration::from_mins(1);

pub(super) fn send(signal: &str, child: &Child) {
    run(Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()));
}

/// What restores leave beside a database while they are at work.
fn marks(application: &Application) -> Vec<String> {
    let names = names(&application.data());
    names.into_iter().filter(|name| name.contains("before") || name.contains("watchkeeper")).collect()
}

/// A restore that waits for the health of an application that is sick.
pub(super) fn waits_for_health(application: &Application) -> (Watchkeeper, Child) {
    let stale = "[[job]]\nname = \"stale\"\nkind = \"close-stale-sessions\"\nkeep = { last = 3 }\nretries = { max = 0 }\n";
    let raw =
        "[[job]]\nname = \"raw\"\nkind = \"sqlite-backup\"\nkeep = { last = 3 }\nretries = { max = 0 }\n";
    let watchkeeper = Watchkeeper::with_config(&format!(
        "{}{stale}application = \"app\"\n{raw}database = \"{}\"\n",
        application.config(),
        application.database().display()
    ));
    watchkeeper.run(&["run-now", "db"]).expect(0);
    fs::write(application.data().join("sick"), "").unwrap();
    let child = watchkeeper.spawn(&["restore", "db", "--yes"]);
    wait_until("the new database is in place", LONG, || {
        let marks = marks(application);
        marks.iter().any(|name| name.contains("before"))
            && !marks.iter().any(|name| name.contains("watchkeeper"))
    });
    wait_until("the application is up", LONG, || application.health().is_some());
    (watchkeeper, child)
}

#[test]
fn an_unfinished_restore_keeps_everybody_else_off_the_database_until_it_is_taken_back() {
    let Some(application) = Application::host() else { return };
    let (watchkeeper, mut child) = waits_for_health(&application);
    send("KILL", &child);
    child.wait().unwrap();
    fs::remove_file(application.data().join("sick")).unwrap();
    for job in ["db", "raw", "stale"] {
        let failed = watchkeeper.run(&["run-now", job]).expect(1);
        for told in ["is unfinished", "by job db", "`watchkeeper restore db --undo` takes it back"] {
            assert!(failed.stdout.contains(told), "{told}: {}", failed.stdout);
        }
        watchkeeper.run(&["run-now", job, "--dry-run"]).expect(1);
    }
    let refused = watchkeeper.run(&["restore", "db", "--yes"]).expect(1);
    assert!(refused.stderr.contains("is unfinished"), "{}", refused.stderr);
    watchkeeper.run(&["restore", "db", "--undo", "--yes"]).expect(0);
    application.wait_well();
    for job in ["db", "raw", "stale"] {
        watchkeeper.run(&["run-now", job]).expect(0);
    }
}

#[test]
fn a_restore_that_is_interrupted_while_it_waits_for_health_is_taken_back_at_once() {
    let Some(application) = Application::host() else { return };
    let (watchkeeper, child) = waits_for_health(&application);
    let rows = || number(&application.database(), "SELECT count(*) FROM pairs");
    send("INT", &child);
    let ended = watchkeeper.wait(child, &["restore"]).expect(130);
    assert!(ended.stdout.contains("The restore was taken back"), "{}", ended.stdout);
    assert!(marks(&application).is_empty(), "{:?}", marks(&application));
    fs::remove_file(application.data().join("sick")).unwrap();
    application.wait_well();
    let since = rows();
    wait_until("it writes on", LONG, || rows() > since);
    watchkeeper.run(&["run-now", "raw"]).expect(0);
}

#[test]
fn an_application_that_does_not_stop_keeps_its_database_and_that_is_told() {
    let Some(application) = Application::host() else { return };
    let watchkeeper = Watchkeeper::with_config(&application.config());
    watchkeeper.run(&["run-now", "db"]).expect(0);
    application.refuse_to_stop(true);
    let failed = watchkeeper.run(&["restore", "db", "--yes"]).expect(1);
    for told in ["Nothing was changed", "it does not stop"] {
        assert!(failed.stdout.contains(told), "{told}: {}", failed.stdout);
    }
    for lie in ["NOT back", "--resume", "--undo"] {
        assert!(!failed.stdout.contains(lie), "{lie}: {}", failed.stdout);
    }
    assert!(marks(&application).is_empty(), "{:?}", marks(&application));
    assert!(names(&watchkeeper.state().join("undo/db")).is_empty());
    application.wait_well();
    application.refuse_to_stop(false);
    watchkeeper.run(&["restore", "db", "--yes"]).expect(0);
    application.refuse_to_stop(true);
    let failed = watchkeeper.run(&["restore", "db", "--undo", "--yes"]).expect(1);
    assert!(failed.stdout.contains("Nothing was changed"), "{}", failed.stdout);
    application.refuse_to_stop(false);
    watchkeeper.run(&["restore", "db", "--undo", "--yes"]).expect(0);
}

#[test]
fn a_database_that_somebody_else_has_open_is_not_taken_back_and_its_application_runs_on() {
    let Some(application) = Application::host() else { return };
    let watchkeeper = Watchkeeper::with_config(&application.config());
    watchkeeper.run(&["run-now", "db"]).expect(0);
    watchkeeper.run(&["restore", "db", "--yes"]).expect(0);
    let holder = Connection::open(application.database()).unwrap();
    holder.query_row("SELECT count(*) FROM pairs", [], |_| Ok(())).unwrap();
    let failed = watchkeeper.run(&["restore", "db", "--undo", "--yes"]).expect(1);
    let pid = format!("(pid {})", std::process::id());
    assert!(
        failed.stdout.contains("Nothing was changed") && failed.stdout.contains(&pid),
        "{}",
        failed.stdout
    );
    application.wait_well();
    let rows = || number(&application.database(), "SELECT count(*) FROM pairs");
    let since = rows();
    wait_until("it writes on", LONG, || rows() > since);
    drop(holder);
    watchkeeper.run(&["restore", "db", "--undo", "--yes"]).expect(0);
}

#[test]
fn a_database_has_one_lock_whatever_it_is_called() {
    let folder = scratch::folder("sqlite");
    let path = folder.path().join("memory.db");
    let database = create(&path);
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let job = |name: &str, of: &str| {
        format!(
            "[[job]]\nname = \"{name}\"\nkind = \"sqlite-backup\"\nkeep = {{ last = 3 }}\nretries = {{ max = 0 }}\n{of}\n"
        )
    };
    let watchkeeper = Watchkeeper::with_config(&format!(
        "[application.app]\nurl = \"http://127.0.0.1:9\"\ndatabase = \"{}\"\n{}{}",
        link.display(),
        job("named", "application = \"app\""),
        job("raw", &format!("database = \"{}\"", path.display())),
    ));
    database.execute_batch("PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE;").unwrap();
    let waits = watchkeeper.spawn(&["run-now", "named"]);
    let locks = watchkeeper.state().join("locks");
    let is_locked =
        || locks.is_dir() && names(&locks).iter().any(|name| name.starts_with("target-database-"));
    wait_until("it has its lock", LONG, is_locked);
    let busy = watchkeeper.run(&["run-now", "raw"]).expect(75);
    assert!(busy.stdout.contains("job named"), "{}", busy.stdout);
    database.execute_batch("COMMIT").unwrap();
    watchkeeper.wait(waits, &["run-now"]).expect(0);
    watchkeeper.run(&["run-now", "raw"]).expect(0);
}

/// A writer that was killed while its transaction was half on disk.
fn crash_a_writer(path: &Path) {
    let mut sqlite = Command::new("sqlite3")
        .args(["-init", "/dev/null", "-batch"])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let script = "PRAGMA cache_size = 5; BEGIN IMMEDIATE; UPDATE pairs SET a = 77; SELECT 'written';\n";
    sqlite.stdin.as_mut().unwrap().write_all(script.as_bytes()).unwrap();
    let said = BufReader::new(sqlite.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.into_iter().any(|line| line == "written"));
    sqlite.kill().unwrap();
    sqlite.wait().unwrap();
    let journal = PathBuf::from(format!("{}-journal", path.display()));
    assert!(fs::metadata(journal).unwrap().len() > 512, "nothing was half written");
}

#[test]
fn a_transaction_that_a_crash_has_cut_is_rolled_back_and_the_database_backed_up() {
    let folder = scratch::folder("sqlite");
    let path = folder.path().join("memory.db");
    let database = create(&path);
    database
        .execute_batch(
            "PRAGMA journal_mode = DELETE;
             WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO pairs SELECT i, -i, randomblob(200) FROM n;",
        )
        .unwrap();
    database.close().unwrap();
    crash_a_writer(&path);
    let watchkeeper = watchkeeper(&path);
    watchkeeper.run(&["run-now", "db"]).expect(0);
    let copy = unpacked(&watchkeeper, "into");
    for database in [copy, path] {
        assert_eq!(number(&database, "SELECT sum(a + b) FROM pairs"), 0, "{}", database.display());
    }
}

#[test]
fn a_disk_that_is_full_leaves_no_cut_database_where_one_is_unpacked() {
    let folder = scratch::folder("sqlite");
    let path = folder.path().join("memory.db");
    let database = create(&path);
    database.execute_batch("INSERT INTO pairs VALUES (1, -1, randomblob(400000))").unwrap();
    let watchkeeper = watchkeeper(&path);
    watchkeeper.run(&["run-now", "db"]).expect(0);
    fs::create_dir(watchkeeper.folder().join("small")).unwrap();
    let script = "code=0; $WATCHKEEPER restore db --into $FOLDER/out || code=$?; find $FOLDER -mindepth 1 -printf 'LEFT %p\\n'; exit $code";
    let failed = with_mount(&watchkeeper, "size=100k", "small", script);
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.stderr.contains("disk is full") || failed.stderr.contains("No space left"), "{failed:?}");
    assert!(!failed.stdout.contains("LEFT"), "{failed:?}");
}

#[test]
fn the_copy_that_a_killed_run_has_left_in_a_container_is_removed_by_the_next_one() {
    let Some(application) = Application::container(Data::Layer, &["sqlite3"]) else { return };
    application.wait_well();
    application.sqlite("INSERT INTO pairs VALUES (1, -1, randomblob(90000000))");
    let data = application.root().join("app/data");
    let copies = || names(&data).into_iter().filter(|name| name.contains("watchkeeper")).collect::<Vec<_>>();
    // Of somebody else.
    let other = data.join(".watchkeeper-01K00000000000000000000000.db");
    File::create(&other).unwrap();
    let watchkeeper = Watchkeeper::with_config(&application.config());
    let left = (0..10).any(|_| {
        let mut child = watchkeeper.spawn(&["run-now", "db"]);
        while copies().len() < 2 && child.try_wait().unwrap().is_none() {}
        child.kill().unwrap();
        child.wait().unwrap();
        copies().len() >= 2
    });
    assert!(left, "it was never killed in time");
    // A warning, where the program that made the copy still ran and had to be ended.
    let next = watchkeeper.run(&["run-now", "db"]);
    assert!(next.code == 0 || next.stdout.contains("had left running"), "{next:?}");
    assert_eq!(copies(), [other.file_name().unwrap().to_str().unwrap()]);
    assert!(names(&watchkeeper.state().join("copies")).is_empty());
}

#[test]
fn an_undo_without_what_was_set_aside_says_so_and_changes_nothing() {
    let folder = scratch::folder("sqlite");
    let path = folder.path().join("memory.db");
    let watchkeeper = restored(&path);
    let aside = names(folder.path()).into_iter().find(|name| name.contains(".before-")).unwrap();
    let (aside, elsewhere) = (folder.path().join(aside), folder.path().join("elsewhere"));
    fs::rename(&aside, &elsewhere).unwrap();
    let live = fs::read(&path).unwrap();
    let failed = watchkeeper.run(&["restore", "db", "--undo", "--yes"]).expect(1);
    assert!(failed.stdout.contains("any more: nothing was changed"), "{}", failed.stdout);
    assert_eq!(fs::read(&path).unwrap(), live);
    // And it can still be taken back when that is there again.
    fs::rename(&elsewhere, &aside).unwrap();
    watchkeeper.run(&["restore", "db", "--undo", "--yes"]).expect(0);
}

#[test]
fn a_database_that_was_cut_short_is_kept_as_damaged_and_nothing_older_is_deleted() {
    let folder = scratch::folder("sqlite");
    let path = folder.path().join("memory.db");
    let database = create(&path);
    database
        .execute_batch("WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO pairs SELECT i, -i, randomblob(100) FROM n; PRAGMA wal_checkpoint(TRUNCATE);")
        .unwrap();
    database.close().unwrap();
    let watchkeeper = watchkeeper(&path);
    watchkeeper.run(&["run-now", "db"]).expect(0);
    let whole = fs::metadata(&path).unwrap().len();
    for (length, all) in [(whole / 2 / 4096 * 4096, 2), (whole / 3, 3), (5000, 4), (4096, 5)] {
        File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
        let warned = watchkeeper.run(&["run-now", "db"]).expect(3);
        assert!(warned.stdout.contains("the database is damaged"), "{}", warned.stdout);
        let backups = watchkeeper.run_json(&["backups"]).expect(0).json();
        let good = watchkeeper.goods();
        assert_eq!(good.len(), all);
        assert!(good[0] && good[1..].iter().all(|good| !good), "{good:?}");
        let id = backups["backups"][all - 1]["id"].as_str().unwrap().to_owned();
        let copy = unpacked_anyway(&watchkeeper, &id);
        assert_eq!(fs::metadata(copy).unwrap().len(), length.div_ceil(4096) * 4096);
    }
}

/// In the layer of a container, where only a program in there can read it.
fn cut_short_in_a_container(program: &str) {
    let Some(application) = Application::container(Data::Layer, &[program]) else { return };
    let folder = scratch::folder("sqlite");
    let path = folder.path().join("memory.db");
    // The application finds no table of its own in it, and writes nothing.
    let database = Connection::open(&path).unwrap();
    database
        .execute_batch("CREATE TABLE filler (i, x); WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO filler SELECT i, randomblob(100) FROM n;")
        .unwrap();
    database.close().unwrap();
    let put = || {
        docker(["exec", application.container_name(), "sh", "-c", "rm -f /app/data/memory.db*"]);
        application.put(&path, "/app/data/memory.db");
    };
    put();
    let watchkeeper = Watchkeeper::with_config(&application.config());
    watchkeeper.run(&["run-now", "db"]).expect(0);
    let whole = fs::metadata(&path).unwrap().len();
    for (length, all) in [(whole / 2 / 4096 * 4096, 2), (whole / 3, 3), (4096, 4)] {
        File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
        put();
        let warned = watchkeeper.run(&["run-now", "db"]).expect(3);
        assert!(warned.stdout.contains("the database is damaged"), "{}", warned.stdout);
        let good = watchkeeper.goods();
        assert!(good.len() == all && good[0] && good[1..].iter().all(|good| !good), "{good:?}");
        let backups = watchkeeper.run_json(&["backups"]).expect(0).json();
        let copy = unpacked_anyway(&watchkeeper, backups["backups"][all - 1]["id"].as_str().unwrap());
        assert_eq!(fs::metadata(copy).unwrap().len(), length.div_ceil(4096) * 4096);
    }
    // What cannot be copied at all is told with what to do.
    fs::write(&path, [&fs::read(&path).unwrap()[..100], &[0xff; 3996]].concat()).unwrap();
    put();
    let stale = format!(
        "{}[[job]]\nname = \"stale\"\nkind = \"close-stale-sessions\"\nkeep = {{ last = 3 }}\napplication = \"app\"\n\
         retries = {{ max = 0 }}\n",
        application.config()
    );
    let failed = Watchkeeper::with_config(&stale).run(&["run-now", "stale"]).expect(1);
    for told in ["memory.db is corrupt", "malformed", "brings the newest good backup back"] {
        assert!(failed.stdout.contains(told), "{told}: {}", failed.stdout);
    }
}

#[test]
fn a_database_that_was_cut_short_is_kept_as_damaged_by_the_sqlite3_of_its_container() {
    cut_short_in_a_container("sqlite3");
}

#[test]
fn a_database_that_was_cut_short_is_kept_as_damaged_by_the_python3_of_its_container() {
    cut_short_in_a_container("python3");
}

/// Unpacks a backup that is not good.
fn unpacked_anyway(watchkeeper: &Watchkeeper, id: &str) -> PathBuf {
    let into = watchkeeper.folder().join(id);
    watchkeeper.run(&["restore", &format!("db/{id}"), "--into", into.to_str().unwrap()]).expect(0);
    into.join("memory.db")
}
