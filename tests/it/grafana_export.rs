//! The kind `grafana-export`, with the program as a person runs it, against the stand-in for Grafana. What the stand-in
//! does as 7.5.5 was recorded; what it does as a later version was read, see its `version.rs`.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use watchkeeper::grafana::object::{Object, ObjectType};

use crate::support::grafana::{Builder, Fault, Grafana, SECRET, Version, What};
use crate::support::grafana_export::{JOB, PASSWORD, archives, export, find, objects, sample, watchkeeper};

#[test]
fn every_version_is_exported_and_a_second_export_is_the_same_bytes() {
    for version in Version::ALL {
        let grafana = sample(version);
        let watchkeeper = watchkeeper(&grafana, PASSWORD, "include = [\"annotations\", \"snapshots\"]");
        for _ in 0..2 {
            watchkeeper.run(&["run-now", JOB]).expect(0);
        }
        assert!(grafana.writes().is_empty(), "{version:?}: an export changes nothing");
        let all = archives(&watchkeeper);
        assert_eq!(all.len(), 2);
        assert!(fs::read(&all[0]).unwrap() == fs::read(&all[1]).unwrap(), "{version:?}: other bytes");
        let objects = objects(&watchkeeper);
        for (kind, keys) in [
            (ObjectType::Organisations, vec!["Main Org.", "Second"]),
            (ObjectType::Users, vec!["admin", "ann", "bob"]),
            (ObjectType::Folders, vec!["infra", "databases", "empty", "second-folder"]),
            (ObjectType::Dashboards, vec!["overview", "hosts", "postgres", "second"]),
            (ObjectType::DataSources, vec!["prom", "loki"]),
            (ObjectType::Teams, vec!["ops"]),
            (ObjectType::LibraryPanels, vec!["shared"]),
            (ObjectType::Playlists, vec!["Wall"]),
            (ObjectType::Snapshots, vec!["frozen"]),
            (ObjectType::FolderPermissions, vec!["infra"]),
            (ObjectType::DashboardPermissions, vec!["hosts"]),
        ] {
            for key in keys {
                find(&objects, kind, key);
            }
        }
        assert_eq!(objects.iter().filter(|object| object.kind == ObjectType::Annotations).count(), 1);
        watchkeeper.run(&["verify", "--deep"]).expect(0);
    }
}

#[test]
fn two_servers_that_differ_in_their_numbers_give_the_same_bytes() {
    for version in [Version::V7_5, Version::V12] {
        let export = |first_id| {
            let grafana = Builder::default().version(version).ids_from(first_id).start();
            grafana.seed().one_of_everything();
            let watchkeeper = watchkeeper(&grafana, PASSWORD, "");
            watchkeeper.run(&["run-now", JOB]).expect(0);
            fs::read(&archives(&watchkeeper)[0]).unwrap()
        };
        assert!(export(0) == export(5000), "{version:?}: other bytes");
    }
}

#[test]
fn what_is_known_by_a_number_is_told_by_name() {
    for version in [Version::V7_5, Version::V8, Version::V12] {
        let all = export(&sample(version), "");
        assert_eq!(find(&all, ObjectType::Dashboards, "hosts")["folderUid"], "infra", "{version:?}");
        assert_eq!(find(&all, ObjectType::Dashboards, "overview")["folderUid"], "", "{version:?}");
        assert_eq!(find(&all, ObjectType::LibraryPanels, "shared")["folderUid"], "infra", "{version:?}");
        assert_eq!(find(&all, ObjectType::Preferences, "preferences")["homeDashboardUID"], "overview");
        assert_eq!(find(&all, ObjectType::Teams, "ops")["members"][0]["login"], "ann");
        let rows = find(&all, ObjectType::FolderPermissions, "infra")["items"].to_string();
        assert!(rows.contains("\"team\":\"ops\"") && !rows.contains("teamId"), "{version:?}: {rows}");
        let rows = &find(&all, ObjectType::DashboardPermissions, "hosts")["items"];
        assert_eq!(
            (rows.as_array().unwrap().len(), &rows[0]["userLogin"]),
            (1, &json!("ann")),
            "{version:?}"
        );
        let parent = &find(&all, ObjectType::Folders, "databases")["parentUid"];
        let nested = if version == Version::V12 { json!("infra") } else { Value::Null };
        assert_eq!(*parent, nested, "{version:?}");
    }
}

#[test]
fn alerting_is_exported_as_the_version_has_it() {
    for version in [Version::V9, Version::V10, Version::V12] {
        let all = export(&sample(version), "");
        let group = find(&all, ObjectType::RuleGroups, "infra/host/basic");
        assert_eq!(
            (&group["interval"], group["rules"].as_array().unwrap().len()),
            (&json!(30), 2),
            "{version:?}"
        );
        assert_eq!(find(&all, ObjectType::Policies, "policies")["routes"][0]["receiver"], "Hook");
        assert_eq!(find(&all, ObjectType::ContactPoints, "hook")["settings"]["password"], "[REDACTED]");
        assert_eq!(find(&all, ObjectType::ContactPoints, "mail")["provenance"], "api");
        find(&all, ObjectType::MuteTimings, "nights");
        find(&all, ObjectType::Templates, "short");
        find(&all, ObjectType::Correlations, "prom/loki/Logs");
        find(&all, ObjectType::ServiceAccounts, "exporter");
        assert!(all.iter().all(|object| object.kind != ObjectType::RulerGroups), "{version:?}");
    }
    let all = export(&sample(Version::V8), "");
    find(&all, ObjectType::RulerGroups, "Infrastructure/host");
    find(&all, ObjectType::AlertmanagerConfig, "alertmanager");
    find(&export(&sample(Version::V7_5), ""), ObjectType::AlertChannels, "channel");
}

#[test]
fn the_report_and_the_manifest_tell_what_is_skipped_and_which_secrets_have_to_be_entered_again() {
    let grafana = sample(Version::V7_5);
    let watchkeeper = watchkeeper(&grafana, PASSWORD, "exclude = [\"playlists\", \"dashboards/post*\"]");
    let report = watchkeeper.run(&["run-now", JOB]).expect(0).stdout;
    for words in [
        "from Grafana 7.5.5",
        "3 dashboards",
        "rule-groups",
        "this version of Grafana does not have them",
        "dashboards/postgres",
        "excluded by the configuration",
        "to enter again after a restore: basicAuthPassword of data-sources \"Prometheus\"",
        "the passwords of 3 users",
    ] {
        assert!(report.contains(words), "{words:?} is not in:\n{report}");
    }
    let manifest = archives(&watchkeeper)[0].with_file_name(
        archives(&watchkeeper)[0].file_name().unwrap().to_str().unwrap()["grafana_".len()..]
            .replace(".tar.gz", ".json"),
    );
    let text = fs::read_to_string(manifest).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    let contents = &manifest["contents"];
    assert_eq!(contents["version"], "7.5.5");
    assert_eq!(contents["organisations"][0], json!({ "name": "Main Org.", "id": 1 }));
    assert!(contents["secrets"].as_array().unwrap().iter().any(|secret| secret["key"] == "prom"));
    assert!(!text.contains(SECRET) && !text.contains("admin:admin"));
    let all = objects(&watchkeeper);
    let there = |kind, key: &str| all.iter().any(|object| object.kind == kind && object.key == key);
    assert!(there(ObjectType::Dashboards, "hosts") && !there(ObjectType::Dashboards, "postgres"));
    assert!(all.iter().all(|object| object.kind != ObjectType::Playlists));
}

#[test]
fn secrets_of_contact_points_are_in_it_only_where_they_were_asked_for() {
    let grafana = sample(Version::V10);
    let all = export(&grafana, "include = [\"contact-point-secrets\"]");
    assert_eq!(find(&all, ObjectType::ContactPoints, "hook")["settings"]["password"], SECRET);
    let all = export(&grafana, "");
    assert!(all.iter().all(|object| !object.body.to_string().contains(SECRET)));
}

#[test]
fn thousands_of_dashboards_over_several_pages_are_all_there_with_eight_requests_side_by_side() {
    let grafana = Builder::default().version(Version::V7_5).delay(Duration::from_millis(2)).start();
    grafana.seed().folders(1200, None);
    grafana.seed().dashboards(2500, Some("folder-00003"));
    let watchkeeper = watchkeeper(&grafana, PASSWORD, "");
    watchkeeper.run(&["run-now", JOB]).expect(0);
    let all = objects(&watchkeeper);
    let count = |kind| all.iter().filter(|object| object.kind == kind).count();
    assert_eq!((count(ObjectType::Dashboards), count(ObjectType::Folders)), (2500, 1200));
    assert_eq!(find(&all, ObjectType::Dashboards, "bulk-02499")["folderUid"], "folder-00003");
    let most = grafana.most_at_once();
    assert!((3..=8).contains(&most), "{most} at once");
}

#[test]
fn nested_folders_are_found_at_every_depth() {
    let grafana = Grafana::start(Version::V12);
    for (uid, parent) in [("a", ""), ("b", "a"), ("c", "b")] {
        grafana.seed().make("/api/folders", &json!({ "uid": uid, "title": uid, "parentUid": parent }));
    }
    let all = export(&grafana, "");
    assert_eq!(find(&all, ObjectType::Folders, "c")["parentUid"], "b");
    // A search that hides what lies in others, as some versions are said to have.
    let top = What::answers(200, r#"[{"uid":"a","title":"a","type":"dash-folder"}]"#);
    grafana.inject(Fault::new(top).at("/api/search?type=dash-folder"));
    assert_eq!(export(&grafana, ""), all);
}

#[test]
fn a_grafana_below_a_path_and_one_that_hides_its_version_are_exported() {
    let grafana = Builder::default().version(Version::V11_2).hides_version().below("/grafana").start();
    grafana.seed().one_of_everything();
    let all = export(&grafana, "");
    find(&all, ObjectType::Dashboards, "postgres");
}

#[test]
fn annotations_and_snapshots_are_exported_only_where_they_are_asked_for() {
    let grafana = sample(Version::V10);
    let watchkeeper = watchkeeper(&grafana, PASSWORD, "");
    let report = watchkeeper.run(&["run-now", JOB]).expect(0).stdout;
    assert!(report.contains("annotations") && report.contains("exported only where"), "{report}");
    let opt_in = |object: &Object| matches!(object.kind, ObjectType::Annotations | ObjectType::Snapshots);
    assert!(!objects(&watchkeeper).iter().any(opt_in));
    let one = export(&grafana, "include = [\"snapshots\"]");
    assert_eq!(one.iter().filter(|object| opt_in(object)).count(), 1);
    find(&one, ObjectType::Snapshots, "frozen");
}

#[test]
fn plugins_are_an_inventory_with_their_versions() {
    let all = export(&sample(Version::V7_5), "");
    let plugins: Vec<&Object> = all.iter().filter(|object| object.kind == ObjectType::Plugins).collect();
    assert!(plugins.len() > 30, "{}", plugins.len());
    for plugin in plugins {
        assert!(plugin.body["version"].is_string() && plugin.body["type"].is_string(), "{plugin:?}");
    }
}

#[test]
fn tokens_of_service_accounts_have_to_be_made_again_and_are_counted() {
    let grafana = sample(Version::V10);
    let found = grafana.seed().ask("GET", "/api/serviceaccounts/search", &Value::Null).1;
    let id = &found["serviceAccounts"][0]["id"];
    let made = grafana.seed().make(&format!("/api/serviceaccounts/{id}/tokens"), &json!({ "name": "t" }));
    let watchkeeper = watchkeeper(&grafana, PASSWORD, "");
    let report = watchkeeper.run(&["run-now", JOB]).expect(0).stdout;
    assert!(report.contains("to enter again after a restore: 1 token of service-accounts"), "{report}");
    let all = objects(&watchkeeper);
    assert_eq!(find(&all, ObjectType::ServiceAccounts, "exporter")["tokens"], 1);
    let key = made["key"].as_str().unwrap();
    assert!(all.iter().all(|object| !object.body.to_string().contains(key)));
}
