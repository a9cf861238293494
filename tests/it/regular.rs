//! Pipes, devices and links in place of files: no command waits for one, and none leads root elsewhere.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::database::create;
use crate::support::prometheus::{Builder, Prometheus};
use crate::support::watchkeeper::{JOB, Output, Watchkeeper, files_job};
use crate::support::{run, scratch, wait_until};

/// Much longer than any of these commands takes, and much shorter than for ever.
const LIMIT: Duration = Duration::from_mins(1);
const NOBODY: u32 = 65534;

/// Puts a pipe, that nobody writes to, in place of whatever is there.
fn pipe(path: &Path) {
    let _ = fs::remove_file(path);
    run(Command::new("mkfifo").arg(path));
}

/// Runs it to its end, which must come.
#[track_caller]
fn ended(watchkeeper: &Watchkeeper, words: &[&str]) -> Output {
    let mut child = watchkeeper.spawn(words);
    wait_until(&format!("{words:?} ends"), LIMIT, || child.try_wait().unwrap().is_some());
    watchkeeper.wait(child, words)
}

/// One job called `conf` with two backups.
fn two_backups(folder: &Path) -> Watchkeeper {
    let source = folder.join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("a.yml"), "a").unwrap();
    let watchkeeper = Watchkeeper::with_config(&files_job(9, &[&source]));
    for _ in 0..2 {
        watchkeeper.run(&["run-now", "conf"]).expect(0);
    }
    watchkeeper
}

/// The files in a folder whose names end so, the oldest first.
fn ending(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.to_str().unwrap().ends_with(end));
    found.sort();
    found
}

#[test]
fn a_pipe_in_the_store_keeps_no_command_from_its_end() {
    let folder = scratch::folder("regular");
    let watchkeeper = two_backups(folder.path());
    let store = watchkeeper.store_of("conf");
    let manifest = ending(&store, "Z.json").remove(0);
    let state = ending(&store, ".state.json").remove(0);
    let partial = store.join(".partial-01ARZ3NDEKTSV4RRFFQ69G5FAV");
    let (removed, lock) = (store.join(".removed-20200101T000000Z.json"), store.join(".lock"));
    for path in [manifest, state, removed, partial.join(".lock"), partial.join("publishing.json"), lock] {
        fs::create_dir_all(&partial).unwrap();
        let before = fs::read(&path).ok();
        pipe(&path);
        for words in [&["verify"][..], &["backups"], &["status"], &["prune", "conf"], &["run-now", "conf"]] {
            ended(&watchkeeper, words);
        }
        let _ = fs::remove_file(&path);
        if let Some(before) = before {
            fs::write(&path, before).unwrap();
        }
    }
    ended(&watchkeeper, &["run-now", "conf"]).expect(0);
}

#[test]
fn a_pipe_beside_a_database_fails_its_run_at_once() {
    let folder = scratch::folder("regular");
    let path = folder.path().join("app.db");
    create(&path).close().unwrap();
    let watchkeeper = Watchkeeper::with_config(&format!(
        "[[job]]\nname = \"db\"\nkind = \"sqlite-backup\"\nkeep = {{ last = 3 }}\nretries = {{ max = 0 }}\n\
         database = {path:?}\n"
    ));
    for side in ["-journal", "-wal", "-shm"] {
        let side = folder.path().join(format!("app.db{side}"));
        pipe(&side);
        let failed = ended(&watchkeeper, &["run-now", "db"]).expect(1);
        let told = format!("{}: it is a pipe", side.display());
        assert!(format!("{}{}", failed.stdout, failed.stderr).contains(&told), "{failed:?}");
        fs::remove_file(&side).unwrap();
    }
    ended(&watchkeeper, &["run-now", "db"]).expect(0);
}

#[test]
fn a_pipe_in_a_prometheus_data_folder_keeps_no_command_from_its_end() {
    let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
    let watchkeeper = Watchkeeper::for_prometheus(&prometheus);
    watchkeeper.back_up();
    let data = prometheus.data_dir();
    let work = data.join(".watchkeeper-restore-01ARZ3NDEKTSV4RRFFQ69G5FAV");
    fs::create_dir(&work).unwrap();
    for path in [work.join("journal.json"), data.join(".watchkeeper-restored.json")] {
        pipe(&path);
        for words in [&["restore", JOB, "--dry-run"][..], &["run-now", JOB]] {
            ended(&watchkeeper, words);
        }
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_pipe_that_is_named_as_a_file_is_refused() {
    let folder = scratch::folder("regular");
    let at = |name: &str| folder.path().join(name);
    pipe(&at("pipe.tar.gz"));
    fs::create_dir(at("store")).unwrap();
    pipe(&at("store/20200101T000000Z.json"));
    let grafana = |keys: &str| {
        Watchkeeper::with_config(&format!(
            "[prometheus.main]\nurl = \"http://127.0.0.1:9\"\n[grafana.main]\nurl = \"https://127.0.0.1:9\"\n\
             user = \"a\"\n{keys}\n[[job]]\nname = \"g\"\nkind = \"grafana-export\"\ngrafana = \"main\"\n\
             keep = {{ last = 1 }}\nretries = {{ max = 0 }}\n"
        ))
    };
    let secret = grafana(&format!("password = {{ file = {:?} }}", at("pipe.tar.gz")));
    assert_ne!(ended(&secret, &["check"]).code, 0);
    let ca_file = grafana(&format!("password = {{ plain = \"x\" }}\nca_file = {:?}", at("pipe.tar.gz")));
    for watchkeeper in [&secret, &ca_file] {
        let failed = ended(watchkeeper, &["run-now", "g"]);
        assert_ne!(failed.code, 0, "{failed:?}");
        assert!(format!("{}{}", failed.stdout, failed.stderr).contains("it is a pipe"), "{failed:?}");
    }
    for from in [at("pipe.tar.gz"), at("store")] {
        let from = from.display().to_string();
        let words = ["restore", "--from", &from, "--prometheus", "main", "--dry-run"];
        let failed = ended(&ca_file, &words);
        assert!(failed.code != 0 && failed.stderr.contains("it is a pipe"), "{failed:?}");
    }
    pipe(&ca_file.config());
    let failed = ended(&ca_file, &["check"]);
    assert!(failed.code != 0 && failed.stderr.contains("it is a pipe"), "{failed:?}");
}

#[test]
fn links_of_the_services_user_lead_root_nowhere() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = scratch::folder("regular");
    let at = |name: &str| folder.path().join(name);
    let watchkeeper = two_backups(folder.path());
    fs::write(at("precious"), "precious").unwrap();
    fs::create_dir(at("of-root")).unwrap();
    let (locks, store) = (watchkeeper.state().join("locks"), watchkeeper.store_of("conf"));
    for folder in [watchkeeper.state(), locks.clone(), watchkeeper.backups_folder(), store.clone()] {
        lchown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    for (path, to) in [
        (locks.join("job-conf.lock"), at("precious")),
        (store.join(".lock"), at("new")),
        (locks, at("of-root")),
        (store, at("of-root")),
    ] {
        let aside = path.with_extension("aside");
        fs::rename(&path, &aside).unwrap();
        symlink(&to, &path).unwrap();
        lchown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        let failed = ended(&watchkeeper, &["run-now", "conf"]);
        assert_ne!(failed.code, 0, "{}: {failed:?}", path.display());
        assert!(format!("{}{}", failed.stdout, failed.stderr).contains("symbolic link"), "{failed:?}");
        fs::remove_file(&path).unwrap();
        fs::rename(&aside, &path).unwrap();
        assert_eq!(fs::read_to_string(at("precious")).unwrap(), "precious");
        assert!(!at("new").exists());
        assert_eq!(fs::read_dir(at("of-root")).unwrap().count(), 0);
    }
    ended(&watchkeeper, &["run-now", "conf"]).expect(0);
}

#[test]
fn a_device_in_place_of_a_database_is_not_replaced_by_a_restore() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = scratch::folder("regular");
    let (path, device) = (folder.path().join("app.db"), folder.path().join("device"));
    create(&path).close().unwrap();
    let watchkeeper = Watchkeeper::with_config(&format!(
        "[[job]]\nname = \"db\"\nkind = \"sqlite-backup\"\nkeep = {{ last = 3 }}\ndatabase = {path:?}\n"
    ));
    watchkeeper.run(&["run-now", "db"]).expect(0);
    fs::remove_file(&path).unwrap();
    // A node of its own, as `zero` is one.
    run(Command::new("mknod").arg(&device).args(["c", "1", "5"]));
    symlink(&device, &path).unwrap();
    let before = scratch::files_below(folder.path());
    for how in ["--dry-run", "--yes"] {
        let refused = ended(&watchkeeper, &["restore", "db", how]);
        assert_ne!(refused.code, 0, "{refused:?}");
        assert!(format!("{}{}", refused.stdout, refused.stderr).contains("it is a device"), "{refused:?}");
    }
    assert!(fs::symlink_metadata(&device).unwrap().file_type().is_char_device());
    assert_eq!(scratch::files_below(folder.path()), before);
}

#[test]
fn a_device_that_came_in_place_of_a_restored_database_is_neither_moved_nor_removed() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = scratch::folder("regular");
    let path = folder.path().join("app.db");
    create(&path).close().unwrap();
    let watchkeeper = Watchkeeper::with_config(&format!(
        "[[job]]\nname = \"db\"\nkind = \"sqlite-backup\"\nkeep = {{ last = 3 }}\ndatabase = {path:?}\n"
    ));
    watchkeeper.run(&["run-now", "db"]).expect(0);
    watchkeeper.run(&["restore", "db", "--yes"]).expect(0);
    let names = scratch::files_below(folder.path());
    let aside = names.iter().find(|name| name.to_str().unwrap().starts_with("app.db.before-")).unwrap();
    let aside = folder.path().join(aside);
    let put_device = |path: &Path| {
        fs::remove_file(path).unwrap();
        run(Command::new("mknod").arg(path).args(["c", "1", "5"]));
    };
    let is_device = |path: &Path| fs::symlink_metadata(path).unwrap().file_type().is_char_device();
    let refuses = |words: &[&str]| {
        let refused = ended(&watchkeeper, words);
        assert_ne!(refused.code, 0, "{refused:?}");
        assert!(format!("{}{}", refused.stdout, refused.stderr).contains("it is a device"), "{refused:?}");
    };
    put_device(&path);
    refuses(&["restore", "db", "--undo", "--yes"]);
    refuses(&["restore", "db", "--yes"]);
    assert!(is_device(&path));
    assert!(fs::symlink_metadata(&aside).unwrap().is_file());
    put_device(&aside);
    refuses(&["restore", "db", "--undo", "--yes"]);
    refuses(&["restore", "db", "--discard-old", "--yes"]);
    assert!(is_device(&path) && is_device(&aside));
}
