//! The kind `files-backup`, with the program as a person runs it: on this host, and in a container.

use std::fs;
use std::process::Command;

use crate::support::prometheus::{Builder, Prometheus};
use crate::support::run;
use crate::support::watchkeeper::{Watchkeeper, files_job};

/// One job called `conf`.
fn watchkeeper(keys: &str) -> Watchkeeper {
    let job = "[[job]]\nname = \"conf\"\nkind = \"files-backup\"\nkeep = { last = 3 }\n";
    Watchkeeper::with_config(&format!("{job}{keys}"))
}

#[test]
fn configuration_is_backed_up_compared_restored_and_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prometheus.yml");
    fs::write(&file, "a: 1\n").unwrap();
    let watchkeeper = watchkeeper(&format!("paths = [\"{}\"]\n", folder.path().display()));
    watchkeeper.run(&["run-now", "conf"]).expect(0);

    let same = watchkeeper.run(&["restore", "conf", "--dry-run"]).expect(0);
    assert!(same.stdout.contains("Nothing to do"), "{}", same.stdout);
    fs::write(&file, "a: 2\n").unwrap();
    let plan = watchkeeper.run(&["restore", "conf", "--dry-run"]).expect(0);
    assert!(plan.stdout.contains("-a: 2") && plan.stdout.contains("+a: 1"), "{}", plan.stdout);
    assert_eq!(fs::read_to_string(&file).unwrap(), "a: 2\n");

    // Nobody can be asked here.
    watchkeeper.run(&["restore", "conf"]).expect(2);
    watchkeeper.run(&["restore", "conf", "--yes"]).expect(0);
    assert_eq!(fs::read_to_string(&file).unwrap(), "a: 1\n");
    watchkeeper.run(&["restore", "conf", "--undo", "--yes"]).expect(0);
    assert_eq!(fs::read_to_string(&file).unwrap(), "a: 2\n");
    watchkeeper.run(&["restore", "conf", "--undo", "--yes"]).expect(1);
    watchkeeper.run(&["verify"]).expect(0);
    watchkeeper.run_json(&["explain", "conf"]).expect(0).json();
}

#[test]
fn a_path_that_is_not_there_is_a_warning_each_time_and_the_last_copy_of_it_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (there, gone) = (folder.path().join("there"), folder.path().join("gone"));
    fs::write(&there, "x").unwrap();
    fs::write(&gone, "the last copy").unwrap();
    let watchkeeper = watchkeeper(&format!("paths = [\"{}\", \"{}\"]\n", there.display(), gone.display()));
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    fs::remove_file(&gone).unwrap();
    // It keeps three.
    for _ in 0..5 {
        fs::write(&there, "the newest, and about as large").unwrap();
        let report = watchkeeper.run(&["run-now", "conf"]).expect(3);
        assert!(report.stdout.contains("gone: it is not there"), "{}", report.stdout);
    }
    let backups = watchkeeper.run_json(&["backups"]).expect(0).json();
    let backups = backups["backups"].as_array().unwrap();
    assert!(backups.iter().all(|backup| backup["good"] == true), "{backups:?}");
    let lacking: Vec<usize> =
        backups.iter().map(|backup| backup["lacks"].as_array().unwrap().len()).collect();
    assert_eq!(lacking, [0, 1, 1, 1]);

    // The newest is restored, which says what it lacks and who has that.
    fs::write(&there, "changed").unwrap();
    let oldest = format!("conf/{}", backups[0]["id"].as_str().unwrap());
    let plan = watchkeeper.run(&["restore", "conf", "--dry-run"]).expect(0);
    assert!(plan.stdout.contains("gone: it is not there"), "{}", plan.stdout);
    assert!(plan.stdout.contains(&format!("({oldest} has it)")), "{}", plan.stdout);
    watchkeeper.run(&["restore", "conf", "--yes"]).expect(3);
    assert_eq!(fs::read_to_string(&there).unwrap(), "the newest, and about as large");
    assert!(!gone.exists());
    watchkeeper.run(&["restore", &oldest, "--yes"]).expect(0);
    assert_eq!(fs::read_to_string(&gone).unwrap(), "the last copy");
}

#[test]
fn what_was_there_before_many_restores_stays() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yml");
    fs::write(&file, "as backed up").unwrap();
    let watchkeeper = watchkeeper(&format!("paths = [\"{}\"]\n", file.display()));
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    for edit in 0..8 {
        fs::write(&file, format!("edit {edit}")).unwrap();
        watchkeeper.run(&["restore", "conf", "--yes"]).expect(0);
    }
    for edit in (0..8).rev() {
        watchkeeper.run(&["restore", "conf", "--undo", "--yes"]).expect(0);
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("edit {edit}"));
    }
}

#[test]
fn a_prune_names_a_folder_where_a_file_belongs_deletes_the_rest_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "x").unwrap();
    let watchkeeper = watchkeeper(&format!("paths = [\"{}\"]\n", folder.path().display()));
    for _ in 0..3 {
        watchkeeper.run(&["run-now", "conf"]).expect(0);
    }
    let backups = watchkeeper.run_json(&["backups"]).expect(0).json();
    let ids: Vec<&str> =
        backups["backups"].as_array().unwrap().iter().map(|backup| backup["id"].as_str().unwrap()).collect();
    // A removal was cut, and somebody has put a folder where its archive was.
    let store = watchkeeper.folder().join("backups/conf");
    fs::rename(store.join(format!("{}.json", ids[0])), store.join(format!(".removed-{}.json", ids[0])))
        .unwrap();
    let odd = store.join(format!("files_{}.tar.gz", ids[0]));
    fs::remove_file(&odd).unwrap();
    fs::create_dir(&odd).unwrap();
    watchkeeper.configure(&files_job(1, &[folder.path()]));
    let pruned = watchkeeper.run(&["prune"]).expect(1);
    let told = format!("{} could not be removed: it is a folder where a file belongs", odd.display());
    assert!(pruned.stdout.contains("1 deleted") && pruned.stdout.contains(&told), "{}", pruned.stdout);
    // A run is warned of it, and does what it has to.
    let warned = watchkeeper.run(&["run-now", "conf"]).expect(3);
    assert!(warned.stdout.contains(&told), "{}", warned.stdout);
    fs::remove_dir(&odd).unwrap();
    watchkeeper.run(&["prune"]).expect(0);
    assert!(!store.join(format!(".removed-{}.json", ids[0])).exists());
}

#[test]
fn an_undo_neither_waits_for_a_fifo_nor_removes_a_link_in_place_of_what_was_restored() {
    let folder = tempfile::tempdir().unwrap();
    let conf = folder.path().join("conf");
    fs::create_dir(&conf).unwrap();
    let (fifo, link, same) = (conf.join("1.yml"), conf.join("2.yml"), conf.join("3.yml"));
    for file in [&fifo, &link, &same] {
        fs::write(file, "x").unwrap();
    }
    let watchkeeper = watchkeeper(&format!("paths = [\"{}\"]\n", conf.display()));
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    for file in [&fifo, &link, &same] {
        fs::remove_file(file).unwrap();
    }
    watchkeeper.run(&["restore", "conf", "--yes"]).expect(0);
    fs::remove_file(&fifo).unwrap();
    run(Command::new("mkfifo").arg(&fifo));
    let elsewhere = folder.path().join("elsewhere");
    fs::rename(&link, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
    watchkeeper.run(&["restore", "conf", "--undo", "--yes"]).expect(0);
    assert!(fs::symlink_metadata(&fifo).is_ok());
    assert_eq!(fs::read_link(&link).unwrap(), elsewhere);
    assert!(!same.exists());
}

#[test]
fn a_restore_that_failed_shows_in_the_status_until_one_works() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prometheus.yml");
    fs::write(&file, "a: 1\n").unwrap();
    let watchkeeper = watchkeeper(&format!("paths = [\"{}\"]\n", folder.path().display()));
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    let backups = watchkeeper.run_json(&["backups"]).expect(0).json();
    let id = backups["backups"][0]["id"].as_str().unwrap().to_owned();
    let archive = watchkeeper.folder().join(format!("backups/conf/files_{id}.tar.gz"));
    let flip = || {
        let mut bytes = fs::read(&archive).unwrap();
        bytes[30] ^= 1;
        fs::write(&archive, bytes).unwrap();
    };
    fs::remove_file(&file).unwrap();
    flip();
    watchkeeper.run(&["restore", "conf", "--yes"]).expect(1);
    assert!(!file.exists());
    flip();
    fs::write(&file, "a: 2\n").unwrap();
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    let status = watchkeeper.run(&["status"]).expect(1);
    assert!(status.stdout.contains("done, restore failed"), "{}", status.stdout);
    let status = watchkeeper.run_json(&["status"]).expect(1).json();
    assert_eq!(status["jobs"][0]["last"]["outcome"], "done");
    assert_eq!(status["jobs"][0]["restore"]["outcome"], "failed");
    watchkeeper.run(&["restore", &format!("conf/{id}"), "--yes"]).expect(0);
    assert_eq!(fs::read_to_string(&file).unwrap(), "a: 1\n");
    assert!(!watchkeeper.run(&["status"]).expect(0).stdout.contains("failed"));
}

#[test]
fn both_names_of_a_file_in_a_container_and_what_a_link_leads_to_come_back() {
    let Some(prometheus) = Prometheus::container(Builder::default().bind_mounted()) else { return };
    let name = prometheus.container_name().unwrap();
    let data = prometheus.data_dir();
    fs::create_dir(data.join("conf")).unwrap();
    fs::write(data.join("conf/one.yml"), "linked").unwrap();
    fs::hard_link(data.join("conf/one.yml"), data.join("conf/two.yml")).unwrap();
    std::os::unix::fs::symlink("conf", data.join("current")).unwrap();
    let watchkeeper = watchkeeper(&format!("container = \"{name}\"\npaths = [\"/prometheus/current\"]\n"));
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    fs::remove_dir_all(data.join("conf")).unwrap();
    fs::remove_file(data.join("current")).unwrap();
    watchkeeper.run(&["restore", "conf", "--yes"]).expect(0);
    for file in ["current/one.yml", "current/two.yml"] {
        assert_eq!(fs::read_to_string(data.join(file)).unwrap(), "linked");
    }
    fs::remove_dir_all(data.join("conf")).unwrap();
    fs::remove_file(data.join("current")).unwrap();
}

#[test]
fn configuration_in_a_container_without_a_shell_is_backed_up_and_comes_back_where_it_is_mounted() {
    let Some(prometheus) = Prometheus::container(Builder::default().without_shell().bind_mounted()) else {
        return;
    };
    let name = prometheus.container_name().unwrap();
    let mounted = prometheus.data_dir().join("own.yml");
    fs::write(&mounted, "mine: 1\n").unwrap();
    let watchkeeper = watchkeeper(&format!(
        "container = \"{name}\"\npaths = [\"/etc/prometheus\", \"/prometheus/own.yml\"]\n"
    ));
    watchkeeper.run(&["run-now", "conf"]).expect(0);

    let into = watchkeeper.folder().join("into");
    watchkeeper.run(&["restore", "conf", "--into", into.to_str().unwrap()]).expect(0);
    let copied = watchkeeper.folder().join("copied.yml");
    let source = format!("{name}:/etc/prometheus/prometheus.yml");
    run(Command::new("docker").args(["cp", &source]).arg(&copied));
    assert_eq!(fs::read(into.join("etc/prometheus/prometheus.yml")).unwrap(), fs::read(copied).unwrap());
    assert_eq!(fs::read_to_string(into.join("prometheus/own.yml")).unwrap(), "mine: 1\n");

    // What lies in the container's own layer goes with it: that is said, and nothing is written on this host.
    let refused = watchkeeper.run(&["restore", "conf", "--yes"]).expect(1);
    assert!(refused.stderr.contains("own layer"), "{}", refused.stderr);

    let only_mounted = format!("container = \"{name}\"\npaths = [\"/prometheus/own.yml\"]\n");
    let watchkeeper = self::watchkeeper(&only_mounted);
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    fs::write(&mounted, "mine: 2\n").unwrap();
    watchkeeper.run(&["restore", "conf", "--yes"]).expect(0);
    assert_eq!(fs::read_to_string(&mounted).unwrap(), "mine: 1\n");
    watchkeeper.run(&["restore", "conf", "--undo", "--yes"]).expect(0);
    assert_eq!(fs::read_to_string(&mounted).unwrap(), "mine: 2\n");
}
