//! `change alert-rule` against a real Prometheus: rules come into force, and mistakes do not, also those that promtool
//! lets pass.

use std::fs;
use std::path::PathBuf;

use crate::support::prometheus::{Builder, Prometheus};
use crate::support::watchkeeper::{Output, Watchkeeper};

/// A server whose `rule_files` is this, with a folder `rules` beside its configuration.
pub(crate) fn scene(patterns: &str) -> Option<(Prometheus, Watchkeeper)> {
    let prometheus = Prometheus::host(Builder::default().without_blocks().reloadable())?;
    let watchkeeper = Watchkeeper::with_config(&prometheus.target());
    let config = prometheus.config_file();
    fs::create_dir(rules(&prometheus)).unwrap();
    let new = watchkeeper.folder().join("new.yml");
    fs::write(&new, format!("rule_files: [{patterns}]\n{}", fs::read_to_string(config).unwrap())).unwrap();
    watchkeeper.run(&["change", "prometheus-config", new.to_str().unwrap(), "--yes"]).expect(0);
    Some((prometheus, watchkeeper))
}

pub(crate) fn rules(prometheus: &Prometheus) -> PathBuf {
    prometheus.config_file().with_file_name("rules")
}

pub(crate) fn group(name: &str, alert: &str, severity: &str) -> String {
    format!(
        "- name: {name}\n  rules:\n  - alert: {alert}\n    expr: up == 0\n    labels: {{severity: {severity}}}\n"
    )
}

pub(crate) fn put(watchkeeper: &Watchkeeper, name: &str, text: &str) -> Output {
    let file = watchkeeper.folder().join(name);
    fs::write(&file, text).unwrap();
    watchkeeper.run(&["change", "alert-rule", file.to_str().unwrap(), "--yes"])
}

pub(crate) fn loaded(prometheus: &Prometheus) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let groups = prometheus.rule_groups();
    groups.iter().map(|group| (text(&group["name"]), text(&group["rules"][0]["name"]))).collect()
}

pub(crate) fn pair(group: &str, rule: &str) -> (String, String) {
    (group.to_owned(), rule.to_owned())
}

#[test]
fn rules_are_added_and_replaced_where_the_configuration_loads_them() {
    let Some((prometheus, watchkeeper)) = scene("'rules/*.yml'") else { return };
    let done = put(&watchkeeper, "a.yml", &format!("groups:\n{}", group("a", "Down", "page"))).expect(0);
    assert!(done.stdout.contains("it has loaded 1 rule of 1 group from "), "{done:?}");
    assert_eq!(loaded(&prometheus), [pair("a", "Down")]);
    put(&watchkeeper, "a.yml", &format!("groups:\n{}", group("a", "Gone", "page"))).expect(0);
    assert_eq!(loaded(&prometheus), [pair("a", "Gone")]);
    let kept = fs::read_dir(rules(&prometheus)).unwrap().count();
    assert_eq!(kept, 2, "the rules, and those of before");
    let nowhere = put(&watchkeeper, "a.rules", &format!("groups:\n{}", group("b", "X", "page"))).expect(1);
    assert!(nowhere.stderr.contains("rules/*.yml") && nowhere.stderr.contains("--name"), "{nowhere:?}");
    let file = watchkeeper.folder().join("a.rules");
    watchkeeper.run(&["change", "alert-rule", file.to_str().unwrap(), "--name", "b.yml", "--yes"]).expect(0);
    assert_eq!(loaded(&prometheus), [pair("a", "Gone"), pair("b", "X")]);
}

#[test]
fn broken_rules_and_those_that_there_are_already_change_nothing() {
    let Some((prometheus, watchkeeper)) = scene("'rules/*.yml'") else { return };
    let good = group("a", "Down", "page");
    put(&watchkeeper, "a.yml", &format!("groups:\n{good}")).expect(0);
    let broken =
        put(&watchkeeper, "b.yml", "groups:\n- name: b\n  rules:\n  - alert: B\n    expr: up ==\n").expect(1);
    assert!(broken.stdout.contains("promtool refuses it"), "{broken:?}");
    let group_twice = put(&watchkeeper, "b.yml", &format!("groups:\n{good}{good}")).expect(1);
    assert!(group_twice.stderr.contains("the group \"a\" is in it 2 times"), "{group_twice:?}");
    let twice = format!("groups:\n{}{}", group("b", "B", "page"), group("c", "B", "page"));
    let twice = put(&watchkeeper, "b.yml", &twice).expect(1);
    assert!(twice.stderr.contains("B{severity=\"page\"} is in the groups \"b\" and \"c\""), "{twice:?}");
    let elsewhere = put(&watchkeeper, "b.yml", &format!("groups:\n{}", group("b", "Down", "page"))).expect(1);
    assert!(elsewhere.stderr.contains("rules/a.yml, too"), "{elsewhere:?}");
    put(&watchkeeper, "b.yml", "# nothing\n").expect(1);
    put(&watchkeeper, "b.yml", "groups: [\n").expect(1);
    assert_eq!(loaded(&prometheus), [pair("a", "Down")]);
    assert!(!rules(&prometheus).join("b.yml").exists());
    // Another severity is another alert.
    put(&watchkeeper, "b.yml", &format!("groups:\n{}", group("b", "Down", "info"))).expect(0);
    assert_eq!(loaded(&prometheus).len(), 2);
}

#[test]
fn a_new_file_of_rules_goes_again_where_the_server_does_not_load_it() {
    let Some((prometheus, watchkeeper)) = scene("'./rules/*'") else { return };
    put(&watchkeeper, "a.yml", &format!("groups:\n{}", group("a", "Down", "page"))).expect(0);
    // Since then somebody has broken the configuration, which the server has not loaded yet, and there is no promtool.
    let config = prometheus.config_file();
    let good = fs::read_to_string(&config).unwrap();
    let loaded_before = prometheus.loaded_config();
    fs::write(&config, format!("{good}bogus: 1\n")).unwrap();
    let file = watchkeeper.folder().join("b.yml");
    fs::write(&file, format!("groups:\n{}", group("b", "B", "page"))).unwrap();
    let mut command = watchkeeper.command(&["change", "alert-rule", file.to_str().unwrap(), "--yes"]);
    let failed = Output::from(command.env("PATH", watchkeeper.programs()).output().unwrap()).expect(1);
    assert!(failed.stdout.contains("refuses to load it") && failed.stdout.contains("bogus"), "{failed:?}");
    assert!(failed.stdout.contains("no promtool"), "{failed:?}");
    let told = "is back: Prometheus goes on with what it had loaded before; its last reload failed";
    assert!(failed.stdout.contains(told), "{failed:?}");
    assert!(!rules(&prometheus).join("b.yml").exists(), "{failed:?}");
    assert_eq!((loaded(&prometheus), prometheus.loaded_config()), (vec![pair("a", "Down")], loaded_before));
    fs::write(&config, good).unwrap();
    // Where the folder is loaded as a whole, the old file is kept elsewhere.
    let done = put(&watchkeeper, "a.yml", &format!("groups:\n{}", group("a", "Gone", "page"))).expect(0);
    assert_eq!(fs::read_dir(rules(&prometheus)).unwrap().count(), 1, "{done:?}");
    assert!(done.stdout.contains(watchkeeper.state().join("changes").to_str().unwrap()), "{done:?}");
    assert_eq!(loaded(&prometheus), [pair("a", "Gone")]);
}
