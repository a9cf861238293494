//! `change` of a Prometheus whose container has nothing but Prometheus: nothing in it removes a file, and nothing of ours stays
//! there that the next start would trip over.

use std::fs;

use crate::change_rules::{group, put};
use crate::support::docker::docker;
use crate::support::prometheus::{Builder, Prometheus};
use crate::support::watchkeeper::Watchkeeper;

/// A server with an empty folder of rules, and its configuration.
fn scene() -> Option<(Prometheus, Watchkeeper, String)> {
    let builder = Builder::default().without_blocks().reloadable().without_shell();
    let prometheus = Prometheus::container(builder)?;
    let watchkeeper = Watchkeeper::with_config(&prometheus.target());
    let folder = watchkeeper.folder().join("rules");
    fs::create_dir(&folder).unwrap();
    let name = prometheus.container_name().unwrap();
    docker(["cp", folder.to_str().unwrap(), &format!("{name}:/etc/prometheus/rules")]);
    let text = format!("rule_files: ['rules/*']\n{}", fs::read_to_string(prometheus.config_file()).unwrap());
    Some((prometheus, watchkeeper, text))
}

fn copied(prometheus: &Prometheus, watchkeeper: &Watchkeeper, text: &str) {
    let file = watchkeeper.folder().join("copy.yml");
    fs::write(&file, text).unwrap();
    let target = format!("{}:/etc/prometheus/prometheus.yml", prometheus.container_name().unwrap());
    docker(["cp", file.to_str().unwrap(), &target]);
}

#[test]
fn where_nothing_removes_a_file_none_is_left_that_does_harm() {
    let Some((prometheus, watchkeeper, text)) = scene() else { return };
    let new = watchkeeper.folder().join("new.yml");
    fs::write(&new, &text).unwrap();
    let done = watchkeeper.run(&["change", "prometheus-config", new.to_str().unwrap(), "--yes"]).expect(0);
    assert!(done.stdout.contains("promtool of this host") && done.stdout.contains("syntax only"), "{done:?}");
    let broken =
        put(&watchkeeper, "b.yml", "groups:\n- name: b\n  rules:\n  - {alert: B, expr: up ==}\n").expect(1);
    assert!(broken.stdout.contains("promtool refuses it"), "{broken:?}");
    let name = prometheus.container_name().unwrap();
    let left = docker(["diff", name]);
    assert!(!left.contains("watchkeeper-check") && !left.contains("b.yml"), "{left}");

    // What is wrong is only found by the server: its configuration was broken by hand.
    copied(&prometheus, &watchkeeper, &format!("{text}bogus: 1\n"));
    let good = format!("groups:\n{}", group("b", "B", "page"));
    let failed = put(&watchkeeper, "b.yml", &good).expect(1);
    assert!(failed.stderr.contains("has no `rm`"), "{failed:?}");
    assert!(
        failed.stdout.contains("stays without any rules") && failed.stdout.contains("is back: "),
        "{failed:?}"
    );
    assert!(!watchkeeper.state().join("changes/prometheus-main.json").exists());
    copied(&prometheus, &watchkeeper, &text);
    docker(["restart", name]);
    prometheus.wait_ready();
    assert!(prometheus.rule_groups().is_empty());
    put(&watchkeeper, "b.yml", &good).expect(0);
    assert_eq!(prometheus.rule_groups().len(), 1);
}
