//! The ways to a restore that are not the plain one: by time, into a folder, from an archive of the runbook's
//! own script, of a systemd unit; and what becomes of the data that were set aside.

use std::fs;
use std::process::Command;

use jiff::Timestamp;

use crate::support::prometheus::{self, Builder, Past, Prometheus};
use crate::support::run;
use crate::support::watchkeeper::{JOB, Watchkeeper};

/// What restores have left in the data folder.
fn work_folders(prometheus: &Prometheus) -> String {
    prometheus.in_data("ls -d .watchkeeper* 2>/dev/null || true")
}

#[test]
fn an_older_backup_is_found_by_its_time_unpacked_restored_and_the_newer_data_discarded() {
    let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
    let watchkeeper = Watchkeeper::for_prometheus(&prometheus);
    let past = Past::until_now();
    let before = prometheus.digest(past);
    let older = watchkeeper.back_up();
    let between = Timestamp::now().to_string();
    prometheus.wait_for_scrapes(2);
    let newer = watchkeeper.back_up();
    assert_ne!(older, newer);

    let folder = watchkeeper.folder().join("unpacked");
    let into = ["restore", JOB, "--at", &between, "--into", folder.to_str().unwrap()];
    let unpacked = watchkeeper.run(&into).expect(0);
    assert!(unpacked.stdout.contains(&older), "{unpacked:?}");
    assert_eq!(prometheus::on_blocks_of(&folder).unwrap().digest(past), before);
    assert_eq!(work_folders(&prometheus), "");
    watchkeeper.run(&into).expect(1);

    prometheus.lose_everything();
    let restored = watchkeeper.run_json(&["restore", JOB, "--at", &between, "--yes"]).expect(0).json();
    assert!(restored["runs"][0]["output"]["summary"].as_str().unwrap().contains(&older), "{restored}");
    assert_eq!(prometheus.digest(past), before);

    assert_ne!(work_folders(&prometheus), "");
    watchkeeper.run(&["restore", JOB, "--discard-old"]).expect(2);
    watchkeeper.run(&["restore", JOB, "--discard-old", "--yes"]).expect(0);
    assert_eq!(work_folders(&prometheus), "");
    let nothing = watchkeeper.run(&["restore", JOB, "--undo", "--yes"]).expect(1);
    assert!(nothing.stdout.contains("There is no restore to undo"), "{nothing:?}");
    assert_eq!(prometheus.digest(past), before);

    let early = ["restore", JOB, "--at", "2001-01-01T00:00:00Z", "--yes"];
    assert!(watchkeeper.run(&early).expect(1).stderr.contains(&older), "what there is was not named");
}

#[test]
fn an_archive_that_the_runbooks_own_script_made_is_restored_to_a_container() {
    let Some(prometheus) = Prometheus::container(Builder::default()) else { return };
    let watchkeeper = Watchkeeper::for_prometheus(&prometheus);
    let past = Past::until_now();
    let before = prometheus.digest(past);
    // Its lines, with the one snapshot that it should have taken.
    let script = "docker cp \"$1:/prometheus/snapshots/$2\" snapshot_20261123_020000 >/dev/null\n\
                  tar -czf snapshot_20261123_020000.tar.gz snapshot_20261123_020000";
    let snapshot = run(Command::new("curl")
        .args(["-fsS", "-X", "POST"])
        .arg(format!("{}/api/v1/admin/tsdb/snapshot", prometheus.url())));
    let snapshot: serde_json::Value = serde_json::from_str(&snapshot).unwrap();
    run(Command::new("sh")
        .args(["-euc", script, "sh", prometheus.container_name().unwrap()])
        .arg(snapshot["data"]["name"].as_str().unwrap())
        .current_dir(watchkeeper.folder()));
    prometheus.lose_everything();

    let archive = watchkeeper.folder().join("snapshot_20261123_020000.tar.gz");
    let from = ["restore", "--from", archive.to_str().unwrap(), "--prometheus", "main", "--yes"];
    watchkeeper.run(&from).expect(0);
    assert_eq!(prometheus.digest(past), before);
}

/// No systemd runs where the tests run. What stands in for it here starts and stops the real Prometheus and
/// answers as `systemctl` does, to the words that it is called with and to no others.
const SYSTEMCTL: &str = "#!/bin/sh\n\
    [ $# = 3 ] && [ \"$2\" = -- ] && [ \"$3\" = wk-prometheus.service ] || { echo \"bad words: $*\" >&2; exit 1; }\n\
    echo \"$1\" >>\"$0.log\"\n\
    case $1 in\n\
    stop|start) exec CONTROL \"$1\" ;;\n\
    is-active) if CONTROL status; then echo active; else echo inactive; exit 3; fi ;;\n\
    *) echo \"Unknown command verb $1.\" >&2; exit 1 ;;\n\
    esac\n";

#[test]
fn a_systemd_unit_is_stopped_and_started_for_a_restore() {
    let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
    let watchkeeper = Watchkeeper::with_config(&format!(
        "[prometheus.main]\nurl = \"{}\"\ndata_dir = \"{}\"\nservice = {{ unit = \"wk-prometheus.service\" }}\n\
         [[job]]\nname = \"{JOB}\"\nkind = \"prometheus-snapshot\"\nprometheus = \"main\"\nkeep = {{ last = 5 }}\n",
        prometheus.url(),
        prometheus.data_dir().display()
    ));
    fs::create_dir(watchkeeper.programs()).unwrap();
    let systemctl = watchkeeper.programs().join("systemctl");
    let control = prometheus.control_program().display().to_string();
    fs::write(&systemctl, SYSTEMCTL.replace("CONTROL", &control)).unwrap();
    run(Command::new("chmod").arg("755").arg(&systemctl));

    let past = Past::until_now();
    let before = prometheus.digest(past);
    watchkeeper.back_up();
    prometheus.lose_everything();
    watchkeeper.run(&["restore", JOB, "--yes"]).expect(0);
    assert_eq!(prometheus.digest(past), before);
    let said = fs::read_to_string(systemctl.with_extension("log")).unwrap();
    let verbs: Vec<&str> = said.lines().filter(|verb| *verb != "is-active").collect();
    assert_eq!(verbs, ["stop", "start"]);
}
