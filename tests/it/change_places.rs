//! `change` of a Prometheus in a container: wherever its configuration lies, the container sees the new one.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use crate::support::docker::docker;
use crate::support::prometheus::{Builder, ConfigMount, Prometheus};
use crate::support::watchkeeper::Watchkeeper;

fn scene(builder: Builder) -> Option<(Prometheus, Watchkeeper)> {
    let prometheus = Prometheus::container(builder.without_blocks())?;
    let watchkeeper = Watchkeeper::with_config(&prometheus.target());
    Some((prometheus, watchkeeper))
}

/// A good change comes into force, and a bad one leaves what was there before.
#[track_caller]
fn changes(prometheus: &Prometheus, watchkeeper: &Watchkeeper, how: &str) {
    let done = watchkeeper.run(&["change", "scrape-interval", "2s", "--yes"]).expect(0);
    assert!(done.stderr.contains(how), "{done:?}");
    assert!(done.stdout.contains("promtool of the container"), "{done:?}");
    assert!(prometheus.loaded_config().contains("global:\n  scrape_interval: 2s"), "{done:?}");
    let before = prometheus.loaded_config();
    let name = prometheus.container_name().unwrap();
    let see = || docker(["exec", name, "cat", "/etc/prometheus/prometheus.yml"]);
    let seen = see();
    let bad = watchkeeper.folder().join("bad.yml");
    let twice = "\nremote_write:\n- url: http://127.0.0.1:1/w\n- url: http://127.0.0.1:1/w\n";
    fs::write(&bad, seen.clone() + twice).unwrap();
    let refused = watchkeeper.run(&["change", "prometheus-config", bad.to_str().unwrap(), "--yes"]).expect(1);
    assert!(refused.stdout.contains("the old configuration is back"), "{refused:?}");
    assert_eq!((see(), prometheus.loaded_config()), (seen, before));
    assert!(prometheus.last_reload_was_good());
    let there = docker(["exec", name, "ls", "-a", "/etc/prometheus"]);
    assert!(!there.contains(".watchkeeper-check.tmp"), "{there}");
}

#[test]
fn a_file_in_the_container_itself_is_changed_through_docker() {
    let Some((prometheus, watchkeeper)) = scene(Builder::default().reloadable()) else { return };
    changes(&prometheus, &watchkeeper, "into the container, through Docker");
    let there = docker(["exec", prometheus.container_name().unwrap(), "ls", "/etc/prometheus"]);
    assert!(there.contains(".bak"), "{there}");
}

#[test]
fn a_file_that_is_mounted_by_itself_keeps_its_inode() {
    let builder = Builder::default().reloadable().config_mounted(ConfigMount::File);
    let Some((prometheus, watchkeeper)) = scene(builder) else { return };
    let inode = || fs::metadata(prometheus.config_file()).unwrap().ino();
    let before = inode();
    changes(&prometheus, &watchkeeper, "into the file on this host that is mounted");
    assert_eq!(inode(), before);
    // An editor renames another file over it: the container goes on with the one that it had.
    let new = prometheus.config_file().with_extension("new");
    fs::write(&new, "global: {}\n").unwrap();
    fs::rename(&new, prometheus.config_file()).unwrap();
    let stale = watchkeeper.run(&["change", "scrape-interval", "3s", "--yes"]).expect(1);
    assert!(stale.stderr.contains("sees another") && stale.stderr.contains("docker restart"), "{stale:?}");
}

#[test]
fn a_file_in_a_mounted_folder_is_changed_by_a_rename() {
    let builder = Builder::default().reloadable().config_mounted(ConfigMount::Folder);
    let Some((prometheus, watchkeeper)) = scene(builder) else { return };
    changes(&prometheus, &watchkeeper, "by a rename on this host");
}

#[test]
fn where_reload_is_switched_off_a_container_gets_a_sighup() {
    let Some((prometheus, watchkeeper)) = scene(Builder::default()) else { return };
    changes(&prometheus, &watchkeeper, "into the container, through Docker");
    let done = watchkeeper.run(&["change", "scrape-interval", "3s", "--yes"]).expect(0);
    assert!(done.stdout.contains("by SIGHUP"), "{done:?}");
}
