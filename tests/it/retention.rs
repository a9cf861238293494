//! What retention deletes, by the runs of a job.

use std::fs;

use rusqlite::Connection;

use crate::reliability::clocks;
use crate::support::watchkeeper::{Output, Watchkeeper, files_job};

#[test]
fn a_source_that_was_emptied_never_costs_the_backups_of_what_was_in_it_until_somebody_accepts() {
    let source = tempfile::tempdir().unwrap();
    let file = source.path().join("data");
    let watchkeeper = Watchkeeper::with_config(&files_job(2, &[&file]));
    let full = vec![b'x'; 1 << 20];
    for _ in 0..2 {
        fs::write(&file, &full).unwrap();
        watchkeeper.run(&["run-now", "conf"]).expect(0);
    }
    fs::write(&file, b"gone").unwrap();
    for _ in 0..8 {
        let output = watchkeeper.run(&["run-now", "conf"]).expect(3);
        assert!(output.stdout.contains("until `watchkeeper accept conf/"), "{output:?}");
    }
    let backups = watchkeeper.run_json(&["backups"]).expect(0).json();
    let backups = backups["backups"].as_array().unwrap();
    assert_eq!(backups.len(), 10, "{backups:?}");
    assert!(backups.iter().filter(|backup| backup["doubt"].is_object()).count() == 8, "{backups:?}");
    // Whoever names none must not get one that retention itself distrusts.
    let refused = watchkeeper.run(&["restore", "conf", "--yes"]).expect(2);
    assert!(
        refused.stderr.contains("is in doubt: it holds 0 % of what those before it usually do"),
        "{refused:?}"
    );
    let (good, newest) = (backups[1]["id"].as_str().unwrap(), backups[9]["id"].as_str().unwrap());
    assert!(
        refused.stderr.contains(&format!("`watchkeeper restore conf/{good}` restores the newest that")),
        "{refused:?}"
    );
    assert_eq!(fs::read(&file).unwrap(), b"gone");
    watchkeeper.run(&["restore", &format!("conf/{newest}"), "--yes"]).expect(0);

    let into = source.path().join("into");
    let oldest = backups.iter().map(|backup| backup["id"].as_str().unwrap()).min().unwrap();
    let oldest = format!("conf/{oldest}");
    watchkeeper.run(&["restore", &oldest, "--into", into.to_str().unwrap()]).expect(0);
    assert_eq!(fs::read(into.join(file.strip_prefix("/").unwrap())).unwrap(), full);

    watchkeeper.run(&["accept", "conf/latest"]).expect(0);
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    assert_eq!(watchkeeper.run_json(&["backups"]).expect(0).json()["backups"].as_array().unwrap().len(), 2);
}

#[test]
fn a_clock_that_leaps_ahead_costs_no_backup_until_somebody_says_that_it_was_right() {
    let Some(library) = clocks::library() else { return };
    let source = tempfile::tempdir().unwrap();
    let file = source.path().join("data");
    fs::write(&file, b"x").unwrap();
    let job = files_job(1, &[&file]).replace("last = 1", "within = \"14d\"");
    let watchkeeper = Watchkeeper::with_config(&job);
    let at = |time: &str, arguments: &[&str]| -> Output {
        let mut command = watchkeeper.command(arguments);
        command.env("LD_PRELOAD", &library).env("TZ", "UTC").env("FAKETIME", format!("@{time}"));
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
        watchkeeper.wait(command.spawn().unwrap(), arguments)
    };
    let count = || watchkeeper.run_json(&["backups"]).expect(0).json()["backups"].as_array().unwrap().len();
    for day in 10..14 {
        at(&format!("2026-11-{day} 02:00:00"), &["run-now", "conf"]).expect(0);
    }
    // However often, while the clock is ahead.
    for day in 1..3 {
        let output = at(&format!("2027-06-0{day} 02:00:00"), &["run-now", "conf"]).expect(3);
        let said =
            format!("is of 2027-06-0{day}T02:00:00Z, long after the one before it, of 2026-11-13T02:00:00Z");
        assert!(output.stdout.contains(&said), "{output:?}");
    }
    assert_eq!(count(), 6);
    // By the right clock it is in the future, and nothing counts from it.
    let output = at("2026-11-14 01:00:00", &["prune", "conf"]).expect(3);
    assert!(output.stdout.contains("Nothing is deleted: the newest backup is of 2027-06-02"), "{output:?}");
    let status = at("2026-11-14 01:00:00", &["status"]);
    assert!(status.stdout.contains("2027-06-02T02:00:00Z"), "{status:?}");
    at("2026-11-14 02:00:00", &["run-now", "conf"]).expect(0);
    at("2026-11-25 01:00:00", &["run-now", "conf"]).expect(3);
    assert_eq!(count(), 8);
    watchkeeper.run(&["accept", "conf/latest"]).expect(0);
    at("2026-11-25 03:00:00", &["prune", "conf"]).expect(0);
    assert_eq!(count(), 7, "that of the 10th is older");
}

#[test]
fn a_database_that_was_emptied_costs_no_backup_although_its_file_is_as_large_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("app.db");
    let sql = |sql: &str| Connection::open(&database).unwrap().execute_batch(sql).unwrap();
    sql("CREATE TABLE log (x); CREATE TABLE users (x); \
         WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5000) \
         INSERT INTO log SELECT hex(randomblob(100)) FROM n; INSERT INTO users SELECT x FROM log LIMIT 40;");
    let watchkeeper = Watchkeeper::with_config(&format!(
        "[[job]]\nname = \"db\"\nkind = \"sqlite-backup\"\nkeep = {{ last = 2 }}\ndatabase = {database:?}\n"
    ));
    for _ in 0..2 {
        watchkeeper.run(&["run-now", "db"]).expect(0);
    }
    let count = || watchkeeper.run_json(&["backups"]).expect(0).json()["backups"].as_array().unwrap().len();
    for (change, said) in [
        ("DELETE FROM users", "0 rows in users (40)"),
        ("DROP TABLE users", "0 rows in users (40)"),
        ("DELETE FROM log", "0 rows (5040), 0 rows in log (5000), 0 rows in users (40)"),
    ] {
        sql(change);
        let output = watchkeeper.run(&["run-now", "db"]).expect(3);
        let said = format!("has far fewer than those before it usually do: {said}");
        assert!(output.stdout.contains(&said), "{change}: {output:?}");
    }
    assert_eq!(count(), 5);
    watchkeeper.run(&["accept", "db/latest"]).expect(0);
    watchkeeper.run(&["run-now", "db"]).expect(0);
    assert_eq!(count(), 2);
}

#[test]
fn a_prune_names_what_cannot_be_used_and_does_not_say_that_there_is_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f");
    fs::write(&file, "one").unwrap();
    let watchkeeper = Watchkeeper::with_config(&files_job(3, &[&file]));
    for _ in 0..2 {
        watchkeeper.run(&["run-now", "conf"]).expect(0);
    }
    assert!(!watchkeeper.run(&["prune"]).expect(0).stdout.contains("broken"));
    let store = watchkeeper.backups_folder().join("conf");
    let archives = || {
        let entries = store.read_dir().unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|ending| ending == "gz")).collect::<Vec<_>>()
    };
    for (left, told) in [(1, "VERDICT"), (0, "conf: no backup can be used\n")] {
        fs::remove_file(&archives()[0]).unwrap();
        for arguments in [&["prune"][..], &["prune", "--dry-run"]] {
            let said = watchkeeper.run(arguments).expect(3).stdout;
            assert!(said.contains(told), "{said}");
            assert_eq!(said.matches("broken: ").count(), 2 - left, "{said}");
        }
    }
    let json = watchkeeper.run_json(&["prune"]).expect(3).json();
    assert_eq!(json["jobs"][0]["broken"].as_array().unwrap().len(), 2, "{json}");
}
