//! The kind `files-backup`, with the program as a person runs it: on this host, and in a container.

use std::fs;
use std::process::Command;

use crate::support::prometheus::{Builder, Prometheus};
use crate::support::run;
use crate::support::watchkeeper::Watchkeeper;

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
fn a_path_that_is_not_there_is_a_warning_and_the_backup_no_good_one() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("there"), "x").unwrap();
    let (there, gone) = (folder.path().join("there"), folder.path().join("gone"));
    let watchkeeper = watchkeeper(&format!("paths = [\"{}\", \"{}\"]\n", there.display(), gone.display()));
    let report = watchkeeper.run(&["run-now", "conf"]).expect(3);
    assert!(report.stdout.contains("gone: it is not there"), "{}", report.stdout);
    let backups = watchkeeper.run_json(&["backups"]).expect(0).json();
    assert_eq!(backups["backups"][0]["good"], false, "{backups}");
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
