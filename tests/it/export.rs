//! `export`: of each kind, what the program says can be done with the archive can be done with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::grafana::{Grafana, Version};
use crate::support::grafana_keeper::{ADMIN, target};
use crate::support::prometheus::{Builder, Prometheus};
use crate::support::watchkeeper::{JOB, Watchkeeper, files_job};
use crate::support::{database, run, scratch};

/// Exports the newest backup of a job, and the commands that it names.
fn export(watchkeeper: &Watchkeeper, job: &str) -> Vec<Vec<String>> {
    let file = watchkeeper.folder().join(format!("{job}.tar.gz"));
    let told = watchkeeper.run(&["export", &format!("{job}/latest"), file.to_str().unwrap()]).expect(0);
    let commands = told.stdout.split('`').skip(1).step_by(2);
    commands.map(|command| command.split_whitespace().map(str::to_owned).collect()).collect()
}

/// Does what the command says.
fn follow(watchkeeper: &Watchkeeper, command: &[String]) {
    let arguments: Vec<&str> = command.iter().map(String::as_str).collect();
    assert_eq!(arguments[..2], ["watchkeeper", "restore"], "{command:?}");
    watchkeeper.run(&[&arguments[1..], &["--yes"]].concat()).expect(0);
}

/// Unpacks as the command says, with a folder for its `DIR`.
fn unpack(command: &[String], into: &Path) {
    fs::create_dir(into).unwrap();
    assert_eq!(command.last().map(String::as_str), Some("DIR"), "{command:?}");
    run(Command::new(&command[0]).args(&command[1..command.len() - 1]).arg(into));
}

#[test]
fn one_of_files_or_of_a_database_is_unpacked_and_restored_from_its_backup() {
    let data = scratch::folder("exported");
    let (file, path) = (data.path().join("a.yml"), data.path().join("memory.db"));
    fs::write(&file, "a: 1\n").unwrap();
    drop(database::create(&path));
    let watchkeeper = Watchkeeper::with_config(&format!(
        "{}[[job]]\nname = \"db\"\nkind = \"sqlite-backup\"\nkeep = {{ last = 3 }}\ndatabase = {path:?}\n",
        files_job(3, &[&file])
    ));
    watchkeeper.run(&["run-now", "conf", "db"]).expect(0);

    let of_files = export(&watchkeeper, "conf");
    let into = data.path().join("files");
    unpack(&of_files[0], &into);
    assert_eq!(fs::read_to_string(into.join(file.strip_prefix("/").unwrap())).unwrap(), "a: 1\n");
    fs::write(&file, "a: 2\n").unwrap();
    follow(&watchkeeper, &of_files[1]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "a: 1\n");

    let of_database = export(&watchkeeper, "db");
    let into = data.path().join("database");
    unpack(&of_database[0], &into);
    let unpacked: Vec<PathBuf> = scratch::files_below(&into);
    assert_eq!(unpacked.len(), 1, "{unpacked:?}");
    database::number(&into.join(&unpacked[0]), "SELECT count(*) FROM work_sessions");
    follow(&watchkeeper, &of_database[1]);

    // Several are verified at once, each once.
    let verified = watchkeeper.run_json(&["verify", "db", "conf", "db/latest"]).expect(0).json();
    assert_eq!(verified["backups"].as_array().unwrap().len(), 2, "{verified}");
    watchkeeper.run(&["verify", "db", "no-such-job"]).expect(2);
}

#[test]
fn one_of_a_prometheus_is_restored_to_it() {
    let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
    let watchkeeper = Watchkeeper::for_prometheus(&prometheus);
    watchkeeper.back_up();
    follow(&watchkeeper, &export(&watchkeeper, JOB)[0]);
}

#[test]
fn one_of_a_grafana_is_restored_to_it() {
    let grafana = Grafana::start(Version::V7_5);
    let watchkeeper = Watchkeeper::with_config(&format!(
        "{}[[job]]\nname = \"g\"\nkind = \"grafana-export\"\ngrafana = \"main\"\nkeep = {{ last = 3 }}\n",
        target("main", &grafana.url(), ADMIN)
    ));
    watchkeeper.run(&["run-now", "g"]).expect(0);
    follow(&watchkeeper, &export(&watchkeeper, "g")[0]);
}
