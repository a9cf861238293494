//! What lies on this host and belongs to others: databases, files, folders, users.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::support::database::{self, number};
use crate::support::watchkeeper::files_job;
use crate::support::{run, scratch};

const STUCK: &str = "INSERT INTO work_sessions VALUES (2, 'stuck', '2026-01-02 09:00:00', NULL)";

/// A folder that anybody may enter, with one of somebody else's in it.
fn others() -> (TempDir, PathBuf) {
    let folder = scratch::folder("others");
    mode(folder.path(), 0o755);
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    mode(&data, 0o755);
    (folder, data)
}

fn job(name: &str, kind: &str, database: &Path) -> String {
    format!(
        "[[job]]\nname = \"{name}\"\nkind = \"{kind}\"\nkeep = {{ last = 9 }}\ndatabase = \"{}\"\n",
        database.display()
    )
}

fn of_database(path: &Path) -> Option<Keeper> {
    let jobs = job("db", "sqlite-backup", path) + &job("stale", "close-stale-sessions", path);
    Keeper::new(&format!("{ONCE}{jobs}"))
}

fn backups_of(keeper: &Keeper, job: &str) -> usize {
    keeper.as_root(&["--json", "backups", job]).expect(0).json()["backups"].as_array().unwrap().len()
}

#[test]
fn a_database_that_may_not_be_read_is_told_with_what_gives_it() {
    let (_folder, data) = others();
    let path = data.join("memory.db");
    drop(database::create(&path));
    let Some(keeper) = of_database(&path) else { return };
    for closed in [&path, &data] {
        mode(closed, 0o700);
        keeper.lacks(&["run-now", "db"], &["Permission denied", "host.conf"]);
        keeper.lacks(&["run-now", "stale"], &["Permission denied", "host.conf"]);
        keeper.check_tells("db", "host.conf");
        keeper.check_tells("stale", "host.conf");
    }
}

#[test]
fn a_database_that_can_only_be_read_is_backed_up_and_neither_restored_nor_written_to() {
    let (_folder, data) = others();
    let path = data.join("memory.db");
    database::create(&path).execute_batch(STUCK).unwrap();
    mode(&path, 0o644);
    let Some(keeper) = of_database(&path) else { return };
    keeper.run(&["run-now", "db"]).expect(0);
    keeper.lacks(&["restore", "db", "--yes"], &["The restore cannot be done", "host.conf"]);

    keeper.check_tells("stale", "host.conf");
    keeper.lacks(&["run-now", "stale"], &["Could not write to", "host.conf"]);
    // The file, but not what must be made beside it.
    mode(&path, 0o666);
    keeper.lacks(&["run-now", "stale"], &["Could not write to the folder", "host.conf"]);
    assert_eq!(backups_of(&keeper, "stale"), 0, "a backup before what is never done");
    assert_eq!(number(&path, "SELECT count(*) FROM work_sessions WHERE end_time IS NULL"), 1);

    // Root does all of it beside the service.
    keeper.as_root(&["run-now", "stale"]).expect(0);
    keeper.as_root(&["restore", "db", "--yes"]).expect(0);
    assert_eq!(number(&path, "SELECT count(*) FROM work_sessions WHERE end_time IS NULL"), 1);
}

#[test]
fn a_database_that_the_user_may_write_to_is_served_in_full() {
    let (_folder, data) = others();
    let path = data.join("memory.db");
    database::create(&path).execute_batch(STUCK).unwrap();
    for path in [&data, &path] {
        chown(path, Some(USER), Some(USER)).unwrap();
    }
    let Some(keeper) = of_database(&path) else { return };
    keeper.run(&["run-now", "db"]).expect(0);
    keeper.run(&["run-now", "stale"]).expect(0);
    keeper.run(&["restore", "stale", "--undo", "--yes"]).expect(0);
    keeper.run(&["restore", "db", "--yes"]).expect(0);
    keeper.run(&["check", "--online"]).expect(0);
    let open = Connection::open(&path).unwrap();
    let stuck: i64 = open.query_row("SELECT count(*) FROM work_sessions", [], |row| row.get(0)).unwrap();
    assert_eq!(stuck, 2);
}

#[test]
fn files_that_may_not_be_read_are_told_and_nothing_is_restored_that_may_not_be_written() {
    let (_folder, data) = others();
    let (open, closed) = (data.join("open.yml"), data.join("closed.yml"));
    for file in [&open, &closed] {
        fs::write(file, "a: 1\n").unwrap();
    }
    mode(&closed, 0o600);
    let Some(keeper) = Keeper::new(&format!("{ONCE}{}", files_job(9, &[&open, &closed]))) else { return };
    keeper.check_tells("conf", "host.conf");
    let warned = keeper.run(&["run-now", "conf"]).expect(3);
    assert!(warned.stdout.contains("closed.yml: it cannot be read"), "{}", warned.stdout);
    assert!(warned.stdout.contains("host.conf"), "{}", warned.stdout);

    let shelf = keeper.watchkeeper.store_of("conf-before-restore");
    fs::write(&open, "a: 2\n").unwrap();
    let refused = ["nothing can be written to", "host.conf"];
    keeper.lacks(&["restore", "conf", "--yes"], &refused);
    fs::remove_file(&open).unwrap();
    keeper.lacks(&["restore", "conf", "--yes"], &refused);
    // The folder is not all: what is root's is given back to root.
    mode(&data, 0o777);
    keeper.lacks(&["restore", "conf", "--yes"], &["it belongs to 0:0", "host.conf"]);
    assert!(!open.exists() && !shelf.exists(), "something was begun");
    mode(&data, 0o755);
    keeper.as_root(&["restore", "conf", "--yes"]).expect(3);
    assert_eq!(fs::read_to_string(&open).unwrap(), "a: 1\n");

    mode(&data, 0o700);
    keeper.lacks(&["run-now", "conf"], &["Nothing to back up", "host.conf"]);
}

#[test]
fn with_the_capabilities_of_the_drop_in_what_is_others_is_backed_up_and_restored_with_its_owner() {
    let (_folder, data) = others();
    let (file, path) = (data.join("closed.yml"), data.join("memory.db"));
    fs::write(&file, "a: 1\n").unwrap();
    drop(database::create(&path));
    for (path, owner) in [(&file, 4711), (&path, 4712), (&data, 4713)] {
        chown(path, Some(owner), Some(owner)).unwrap();
        mode(path, 0o700);
    }
    let jobs = files_job(9, &[&file]) + &job("db", "sqlite-backup", &path);
    let Some(keeper) = Keeper::new(&format!("{ONCE}{jobs}")) else { return };
    let line = fs::read_to_string("systemd/drop-ins/host.conf").unwrap();
    let line = line.lines().find_map(|line| line.strip_prefix("AmbientCapabilities=")).unwrap();
    let given = line.split_whitespace().map(|name| format!("+{}", name[4..].to_lowercase()));
    let given = given.collect::<Vec<_>>().join(",");
    let as_service = |arguments: &[&str]| -> Output {
        let inner = keeper.watchkeeper.command(arguments);
        let mut outer = std::process::Command::new("setpriv");
        outer.args(["--reuid", &USER.to_string(), "--regid", &USER.to_string(), "--clear-groups"]);
        outer.args(["--inh-caps", &given, "--ambient-caps", &given]).arg(inner.get_program());
        outer.args(inner.get_args()).output().unwrap().into()
    };
    as_service(&["check", "--online"]).expect(0);
    for name in ["conf", "db"] {
        as_service(&["run-now", name]).expect(0);
    }
    fs::write(&file, "a: 2\n").unwrap();
    for name in ["conf", "db"] {
        as_service(&["restore", name, "--yes"]).expect(0);
    }
    let into = keeper.watchkeeper.state().join("into");
    as_service(&["restore", "conf", "--into", into.to_str().unwrap()]).expect(0);
    let unpacked = into.join(file.strip_prefix("/").unwrap());
    for (path, owner) in [(&file, 4711), (&path, 4712), (&unpacked, 4711)] {
        assert_eq!(fs::metadata(path).unwrap().uid(), owner, "{}", path.display());
    }
}

#[test]
fn a_program_runs_as_the_user_himself_and_as_no_other_and_in_no_closed_folder() {
    let (_folder, data) = others();
    mode(&data, 0o700);
    let program = data.with_file_name("program");
    fs::write(&program, "#!/bin/sh\n").unwrap();
    mode(&program, 0o700);
    let job = |name: &str, keys: &str| format!("[[job]]\nname = \"{name}\"\nkind = \"command\"\n{keys}\n");
    let config = [
        job("himself", &format!("command = [\"id\", \"-u\"]\nuser = \"{USER}:{USER}\"")),
        job("other", "command = [\"id\"]\nuser = \"nobody\""),
        job("folder", &format!("command = [\"id\"]\ndirectory = {data:?}")),
        job("program", &format!("command = [{program:?}]")),
    ];
    let Some(keeper) = Keeper::new(&format!("{ONCE}{}", config.concat())) else { return };
    let done = keeper.watchkeeper.run_by(USER, &[], &["--json", "run-now", "himself"]).expect(0).json();
    assert_eq!(done["runs"][0]["output"]["printed"][0], USER.to_string());
    keeper.lacks(&["run-now", "other"], &["Cannot run id as nobody: this is not root", "take \"user\" out"]);
    keeper.lacks(&["run-now", "folder"], &["this user may not enter that folder", "host.conf"]);
    keeper.lacks(&["run-now", "program"], &["is it executable?", "host.conf"]);
    keeper.check_tells("other", "only root may become");
    keeper.check_tells("folder", "host.conf");
    assert!(!keeper.run(&["check"]).stdout.contains("job himself"));
}

#[test]
fn the_daemon_says_at_its_start_what_its_jobs_lack() {
    let (_folder, data) = others();
    mode(&data, 0o700);
    let Some(keeper) = Keeper::new(&files_job(9, &[&data.join("a.yml")])) else { return };
    let daemon = keeper.watchkeeper.command_by(USER, &[], &["run"]).spawn().unwrap();
    let history = keeper.watchkeeper.state().join("history.db");
    crate::support::wait_until("the daemon has begun", std::time::Duration::from_secs(20), || {
        history.exists()
    });
    run(std::process::Command::new("kill").arg(daemon.id().to_string()));
    let ended = keeper.watchkeeper.wait(daemon, &["run"]).expect(0);
    assert!(
        ended.stderr.contains("job conf will fail") && ended.stderr.contains("host.conf"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_check_that_may_not_look_says_what_it_lacks() {
    let (_folder, data) = others();
    mode(&data, 0o700);
    let check = format!(
        "{ONCE}[[job]]\nname = \"v\"\nkind = \"verify-deployment\"\n[[job.check]]\ntype = \"disk\"\npath = \"{}\"\nfree = \"1%\"\n",
        data.join("below").display()
    );
    let Some(keeper) = Keeper::new(&check) else { return };
    keeper.lacks(&["run-now", "v"], &["Permission denied", "host.conf"]);
}

#[test]
fn what_holds_nothing_that_could_be_read_is_no_backup() {
    let (_folder, data) = others();
    let (closed, link, empty) = (data.join("closed"), data.join("link"), data.join("empty"));
    fs::create_dir(&closed).unwrap();
    fs::create_dir(&empty).unwrap();
    fs::write(closed.join("a.yml"), "a: 1\n").unwrap();
    std::os::unix::fs::symlink(closed.join("a.yml"), &link).unwrap();
    mode(&closed, 0o700);
    let Some(keeper) = Keeper::new(ONCE) else { return };
    let configure = |paths: &[&Path]| keeper.watchkeeper.configure(&format!("{ONCE}{}", files_job(9, paths)));
    for paths in [&[&closed as &Path][..], &[&link], &[&closed, &link]] {
        configure(paths);
        keeper.lacks(&["run-now", "conf"], &["Nothing to back up", "Permission denied", "host.conf"]);
        assert_eq!(backups_of(&keeper, "conf"), 0, "{paths:?}");
    }
    // A folder is whole where nothing is in it.
    configure(&[&closed, &empty]);
    keeper.run(&["run-now", "conf"]).expect(3);
    assert_eq!(backups_of(&keeper, "conf"), 1);
}

#[test]
fn the_owner_of_a_file_who_is_not_in_its_group_is_told_of_the_group() {
    let (_folder, data) = others();
    let file = data.join("a.yml");
    fs::write(&file, "a: 1\n").unwrap();
    chown(&file, Some(USER), Some(4711)).unwrap();
    mode(&data, 0o777);
    let Some(keeper) = Keeper::new(&format!("{ONCE}{}", files_job(9, &[&file]))) else { return };
    keeper.run(&["run-now", "conf"]).expect(0);
    fs::write(&file, "a: 2\n").unwrap();
    let lacks =
        ["belongs to the group 4711, which this user is not in", "a member of the group 4711", "host.conf"];
    keeper.lacks(&["restore", "conf", "--yes"], &lacks);
    let member = Keeper { groups: vec![4711], ..keeper };
    member.run(&["restore", "conf", "--yes"]).expect(0);
}
