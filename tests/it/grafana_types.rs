//! Every type of object is brought back by its own name, and alone.

use serde_json::{Value, json};

use crate::support::grafana::{Fault, Grafana, Version, What};
use crate::support::grafana_keeper::{
    JOB, SECRETS, actions, export, files, keeper, restore, sample, secrets,
};

/// Of 12: an object of each type that can be written.
const OF_12: [(&str, &str); 22] = [
    ("users", "ann"),
    ("organisations", "Second"),
    ("members", "ann"),
    ("teams", "ops"),
    ("service-accounts", "exporter"),
    ("data-sources", "prom"),
    ("correlations", "prom/loki/Logs"),
    ("folders", "databases"),
    ("library-panels", "shared"),
    ("dashboards", "hosts"),
    ("templates", "short"),
    ("mute-timings", "nights"),
    ("contact-points", "hook"),
    ("policies", "policies"),
    ("rule-groups", "infra/host/basic"),
    ("folder-permissions", "infra"),
    ("dashboard-permissions", "hosts"),
    ("playlists", "Wall"),
    ("preferences", "preferences"),
    ("public-dashboards", "overview"),
    ("annotations", ""),
    ("snapshots", "frozen"),
];
/// What 8 has in the place of some of them.
const OF_8: [(&str, &str); 3] = [
    ("alert-channels", "channel"),
    ("ruler-groups", "Infrastructure/host"),
    ("alertmanager-config", "alertmanager"),
];

/// Restores each of these types alone, and has the same export as before the loss then.
fn one_by_one(grafana: &Grafana, types: &[(&str, &str)]) {
    let keeper = keeper(grafana);
    export(&keeper);
    let wanted = files(&keeper);
    grafana.wipe();
    let file = secrets(&keeper, SECRETS);
    let restored = |more: &[&str]| {
        let restored = restore(&keeper, &[&["--secrets", &file], more].concat());
        assert!(matches!(restored.code, 0 | 3), "{more:?}: {restored:?}");
        format!("{}{}", restored.stderr, restored.stdout)
    };
    if types.len() < OF_12.len() {
        let others: Vec<&str> = types.iter().flat_map(|(kind, _)| ["--exclude", kind]).collect();
        restored(&others);
    }
    for (kind, key) in types {
        let said = restored(&["--only", kind]);
        let is_planned = |action: &str| said.contains(&format!("{action}   {kind}/{key}"));
        assert!(is_planned("create") || is_planned("update"), "{kind}/{key}: {said}");
    }
    export(&keeper);
    assert_eq!(files(&keeper), wanted);
    let again = actions(&keeper.run_json(&["restore", JOB, "--dry-run"]));
    for (kind, key) in types {
        let name = format!("{kind}/{key}");
        assert!(
            again.iter().any(|(action, id)| action == "same" && id.starts_with(&name)),
            "{name}: {again:?}"
        );
    }
}

#[test]
fn each_type_is_restored_alone_and_all_of_them_are_the_same_then() {
    one_by_one(&sample(Version::V12), &OF_12);
}

#[test]
fn each_type_that_only_older_versions_have_is_restored_alone() {
    let grafana = sample(Version::V8);
    let route = json!({ "receiver": "Ops" });
    let ops = json!({ "uid": "ops", "name": "Ops", "type": "email", "settings": { "addresses": "a@b.c" } });
    let receivers = json!([{ "name": "Ops", "grafana_managed_receiver_configs": [ops] }]);
    let config =
        json!({ "template_files": {}, "alertmanager_config": { "route": route, "receivers": receivers } });
    grafana.seed().make("/api/alertmanager/grafana/config/api/v1/alerts", &config);
    one_by_one(&grafana, &OF_8);
}

#[test]
fn annotations_are_not_added_twice() {
    let grafana = sample(Version::V12);
    let keeper = keeper(&grafana);
    export(&keeper);
    let annotations = || grafana.contents()["orgs"]["Main Org."]["annotations"].as_array().unwrap().len();
    for _ in 0..2 {
        restore(&keeper, &["--only", "annotations"]).expect(0);
        assert_eq!(annotations(), 1);
    }
}

#[test]
fn a_plugin_that_is_not_installed_is_told_and_nothing_is_installed() {
    let grafana = sample(Version::V12);
    let keeper = keeper(&grafana);
    export(&keeper);
    let mut plugins = grafana.seed().ask("GET", "/api/plugins", &Value::Null).1;
    plugins.as_array_mut().unwrap().retain(|plugin| plugin["id"] != json!("loki"));
    grafana.inject(Fault::new(What::answers(200, &plugins.to_string())).at("/api/plugins"));
    grafana.forget_requests();
    let told = restore(&keeper, &[]).expect(3);
    assert!(told.stdout.contains("plugins that are not installed here: loki"), "{told:?}");
    assert!(grafana.writes().is_empty(), "{:?}", grafana.writes());
}
