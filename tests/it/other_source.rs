//! Two hosts, or two sources one after the other, under one job name in one `backup_dir`.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use crate::support::scratch;
use crate::support::watchkeeper::{Watchkeeper, files_job};

/// A host with a database of its own, whose rows say which it is.
fn host(name: &str, shared: &Path, last: u32) -> (Watchkeeper, std::path::PathBuf) {
    let watchkeeper = Watchkeeper::with_config("");
    let path = watchkeeper.folder().join("app.db");
    let database = Connection::open(&path).unwrap();
    database.execute_batch(&format!("create table t(host); insert into t values('{name}')")).unwrap();
    fs::write(
        watchkeeper.config(),
        format!(
            "state_dir = \"{}\"\nbackup_dir = \"{}\"\n[[job]]\nname = \"db\"\nkind = \"sqlite-backup\"\n\
             database = \"{}\"\nkeep = {{ last = {last} }}\n",
            watchkeeper.state().display(),
            shared.display(),
            path.display()
        ),
    )
    .unwrap();
    (watchkeeper, path)
}

fn whose(path: &Path) -> String {
    Connection::open(path).unwrap().query_row("select host from t", [], |row| row.get(0)).unwrap()
}

fn reason(plan: &serde_json::Value, at: usize) -> String {
    plan["jobs"][0]["plan"]["decisions"][at]["reasons"][0]["other-source"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn the_backups_of_another_host_under_the_same_job_name_are_neither_deleted_nor_restored_unasked() {
    let shared = scratch::folder("shared");
    let (one, database) = host("one", shared.path(), 1);
    let (two, other) = host("two", shared.path(), 1);
    one.run(&["run-now", "db"]).expect(0);
    two.run(&["run-now", "db"]).expect(0);
    let run = two.run(&["run-now", "db"]).expect(0);
    assert!(run.stdout.contains("1 backup of another source stay, and no rule counts them"), "{run:?}");
    assert!(run.stdout.contains("1 deleted") || run.stdout.contains("2 kept"), "{run:?}");
    // Its own is there, and is what a restore takes, although another one is newer.
    let plan = one.run_json(&["prune", "--dry-run"]).expect(0).json();
    let of_two = format!("sqlite-backup of {}", other.display());
    assert!(reason(&plan, 1).starts_with(&of_two), "{plan}");
    let dry = one.run(&["restore", "db", "--dry-run"]).expect(0);
    let from = format!("sqlite-backup of {} on host ", database.display());
    assert!(dry.stdout.contains(&from) && dry.stderr.contains("passed over db/"), "{dry:?}");
    let restored = one.run(&["restore", "db", "--yes"]).expect(0);
    assert!(restored.stdout.contains(&format!("made from {from}")), "{restored:?}");
    assert_eq!(whose(&database), "one");
    // The other one needs a word.
    let backups = one.run_json(&["backups"]).expect(0).json();
    let newest = backups["backups"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    let named = format!("db/{newest}");
    let refused = one.run(&["restore", &named, "--yes"]).expect(2);
    assert!(
        refused.stderr.contains(&format!("{named} was made from another source, {of_two}")),
        "{refused:?}"
    );
    assert_eq!(whose(&database), "one");
    one.run(&["restore", &named, "--yes", "--other-source"]).expect(0);
    assert_eq!(whose(&database), "two");
}

#[test]
fn a_job_that_backs_up_something_else_now_keeps_what_it_had_and_does_not_restore_it_unasked() {
    let watchkeeper = Watchkeeper::with_config("");
    let (one, two) = (watchkeeper.folder().join("one"), watchkeeper.folder().join("two"));
    for folder in [&one, &two] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("f"), folder.display().to_string()).unwrap();
    }
    watchkeeper.configure(&files_job(1, &[&one]));
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    watchkeeper.configure(&files_job(1, &[&two]));
    let refused = watchkeeper.run(&["restore", "conf", "--dry-run"]).expect(2);
    assert!(refused.stderr.contains("--other-source"), "{refused:?}");
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    let backups = watchkeeper.run_json(&["backups"]).expect(0).json();
    assert_eq!(backups["backups"].as_array().unwrap().len(), 2, "{backups}");
    the_oldest_is_named_and_not_counted(&watchkeeper);
    // Another kind, and back: a longer list of paths is still the same source.
    let path = watchkeeper.folder().join("x.db");
    Connection::open(&path).unwrap().execute_batch("create table t(host)").unwrap();
    watchkeeper.configure(&format!(
        "[[job]]\nname = \"conf\"\nkind = \"sqlite-backup\"\ndatabase = {path:?}\nkeep = {{ last = 1 }}\n"
    ));
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    let oldest = backups["backups"][0]["id"].as_str().unwrap();
    fs::remove_file(one.join("f")).unwrap();
    watchkeeper.run(&["restore", "conf", oldest, "--yes"]).expect(2);
    watchkeeper.run(&["restore", "conf", oldest, "--yes", "--other-source"]).expect(0);
    assert_eq!(fs::read_to_string(one.join("f")).unwrap(), one.display().to_string());
    watchkeeper.configure(&files_job(1, &[&one, &two]));
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    let backups = watchkeeper.run_json(&["backups", "conf"]).expect(0).json();
    assert_eq!(backups["backups"].as_array().unwrap().len(), 2, "{backups}");
}

/// Of the two backups of `conf` the older one is of another source.
#[track_caller]
fn the_oldest_is_named_and_not_counted(watchkeeper: &Watchkeeper) {
    let backups = watchkeeper.run_json(&["backups"]).expect(0).json();
    let other = |at: usize| backups["backups"][at]["other_source"].as_str();
    assert!(other(0).is_some_and(|other| other.contains("it was made from another source")), "{backups}");
    assert_eq!(other(1), None, "{backups}");
    let id = backups["backups"][0]["id"].as_str().unwrap();
    let listed = watchkeeper.run(&["backups"]).expect(0).stdout;
    assert_eq!(listed.matches(", of another source").count(), 1, "{listed}");
    let verified = watchkeeper.run(&["verify"]).expect(0).stdout;
    assert!(
        verified.contains(&format!("OTHER    conf/{id}: it was made from another source, ")),
        "{verified}"
    );
    let status = watchkeeper.run_json(&["status"]).expect(0).json();
    assert_eq!(status["jobs"][0]["backups"], 1, "{status}");
}

#[test]
fn what_is_newest_and_old_enough_of_another_kind_counts_for_nothing() {
    let watchkeeper = Watchkeeper::with_config("");
    let folder = watchkeeper.folder().join("one");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("f"), "f").unwrap();
    let path = watchkeeper.folder().join("x.db");
    Connection::open(&path).unwrap().execute_batch("create table t(host)").unwrap();
    let database = format!(
        "[[job]]\nname = \"conf\"\nkind = \"sqlite-backup\"\ndatabase = {path:?}\nkeep = {{ last = 1 }}\n"
    );
    let check = "[[job]]\nname = \"v\"\nkind = \"verify-deployment\"\nretries = { max = 0 }\n\
                 [[job.check]]\ntype = \"backup\"\njob = \"conf\"\nmax_age = \"1h\"\n";
    watchkeeper.configure(&(database.clone() + check));
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    watchkeeper.run(&["run-now", "v"]).expect(0);
    // From now on the job is about files, and there is none of theirs.
    watchkeeper.configure(&(files_job(1, &[&folder]) + check));
    let failed = watchkeeper.run(&["run-now", "v"]).expect(1);
    assert!(failed.stdout.contains("there is no backup but of another source"), "{failed:?}");
    let status = watchkeeper.run_json(&["status"]).json();
    assert_eq!(status["jobs"][0]["backups"], 0, "{status}");
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    let own = watchkeeper.run_json(&["backups"]).expect(0).json();
    let own = own["backups"][1]["id"].as_str().unwrap().to_owned();
    // It is of the job, and older than what is put there.
    watchkeeper.configure(&database);
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    watchkeeper.configure(&files_job(1, &[&folder]));
    let pinned = watchkeeper.run(&["pin", "conf/latest"]).expect(0).stdout;
    assert!(pinned.starts_with(&format!("conf/{own} is kept")), "{pinned}");
}
