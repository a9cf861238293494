//! A Prometheus: in a container, through Docker; on this host, where its data belong to another user.

use super::*;
use crate::support::prometheus::{Builder, Prometheus};
use crate::support::run;

fn config(prometheus: &Prometheus, keys: &str) -> String {
    format!(
        "{}{ONCE}[[job]]\nname = \"p\"\nkind = \"prometheus-snapshot\"\nprometheus = \"main\"\nschedule = \"@daily\"\n\
         keep = {{ last = 5 }}\n{keys}[[job]]\nname = \"c\"\nkind = \"block-cleanup\"\nprometheus = \"main\"\nolder_than = \"9h\"\n",
        prometheus.target()
    )
}

#[test]
fn one_in_a_container_is_backed_up_cleaned_up_and_restored_through_docker() {
    let Some(prometheus) = Prometheus::container(Builder::default()) else { return };
    let Some(keeper) = Keeper::new(&config(&prometheus, "")) else { return };
    for job in ["p", "c"] {
        keeper.lacks(&["run-now", job], &["was denied", "docker.conf"]);
        keeper.check_tells(job, "docker.conf");
    }
    let keeper = keeper.with_docker();
    keeper.run(&["check", "--online"]).expect(0);
    keeper.run(&["run-now", "p"]).expect(0);
    keeper.run(&["run-now", "c"]).expect(0);
    keeper.run(&["restore", "p", "--yes"]).expect(0);
    keeper.run(&["restore", "p", "--undo", "--yes"]).expect(0);
    keeper.run(&["restore", "p", "--discard-old", "--yes"]).expect(0);
    assert!(prometheus.snapshots().is_empty());

    keeper.watchkeeper.configure(&config(&prometheus, "access = \"host\"\n"));
    keeper.lacks(&["run-now", "p"], &["access = \"docker\"", "host.conf"]);
}

#[test]
fn of_one_on_this_host_no_snapshot_is_taken_that_could_not_be_removed_and_no_block_touched() {
    let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
    let Some(keeper) = Keeper::new(&config(&prometheus, "")) else { return };
    let data = prometheus.data_dir();
    mode(&data, 0o700);
    keeper.lacks(&["run-now", "p"], &["cannot be used directly", "host.conf"]);
    keeper.check_tells("p", "host.conf");

    // Readable by a group, which lets it be read and no more.
    mode(data.parent().unwrap(), 0o755);
    let share = format!("chgrp -R {USER} {0}; chmod -R g+rX,o= {0}", data.display());
    run(std::process::Command::new("sh").args(["-ec", &share]));
    keeper.check_tells("p", "host.conf");
    keeper.check_tells("c", "host.conf");
    keeper.lacks(
        &["run-now", "p"],
        &["No snapshot was taken, because it could not be removed again", "host.conf"],
    );
    assert!(prometheus.snapshots().is_empty(), "a snapshot is left on the server");

    keeper.as_root(&["run-now", "p"]).expect(0);
    let blocks = || prometheus.in_data("ls");
    let before = blocks();
    keeper.lacks(&["run-now", "c"], &["Nothing was deleted", "host.conf"]);
    keeper.lacks(&["restore", "p", "--yes"], &["Cannot prepare the restore", "host.conf"]);
    assert_eq!(blocks(), before);
}

#[test]
fn one_on_this_host_that_runs_as_the_same_user_is_served_in_full() {
    let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
    let Some(keeper) = Keeper::new(&config(&prometheus, "")) else { return };
    let data = prometheus.data_dir();
    prometheus.stop();
    mode(data.parent().unwrap(), 0o777);
    run(std::process::Command::new("chown")
        .args(["-R", &format!("{USER}:{USER}")])
        .arg(data.parent().unwrap()));
    // Started by the user, it is his.
    let start = format!(
        "setpriv --reuid {USER} --regid {USER} --clear-groups {} start",
        prometheus.control_program().display()
    );
    run(std::process::Command::new("sh").args(["-ec", &start]));
    prometheus.wait_ready();
    keeper.run(&["run-now", "p"]).expect(0);
    keeper.run(&["run-now", "c"]).expect(0);
    keeper.run(&["restore", "p", "--yes"]).expect(0);
    assert!(prometheus.snapshots().is_empty());
}
