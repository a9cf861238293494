//! The stand-in's rules beyond the record, which most tests of the export and the restore rely on: a trap that is lost
//! here unnoticed would make those tests easy. Which version has which one is in `grafana_versions.rs`.

use serde_json::{Value, json};

use crate::support::grafana::{Builder, Grafana, Role, SECRET, Version};

const GONE: Value = Value::Null;

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn get(grafana: &Grafana, target: &str) -> (u16, Value) {
    grafana.seed().ask("GET", target, &Value::Null)
}

fn uids(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| text(one, "uid")).collect()
}

fn rule(uid: &str, title: &str) -> Value {
    json!({ "uid": uid, "title": title, "condition": "A", "data": [], "folderUID": "f", "ruleGroup": "g/1" })
}

fn with_folder(version: Version) -> Grafana {
    let grafana = Grafana::start(version);
    grafana.seed().make("/api/folders", &json!({ "uid": "f", "title": "F" }));
    grafana
}

const GROUP: &str = "/api/v1/provisioning/folder/f/rule-groups/g%2F1";

#[test]
fn a_folder_moves_but_never_into_itself() {
    let grafana = Builder::default().version(Version::V10).nested_folders(true).start();
    for (uid, parent) in [("a", ""), ("b", "a"), ("c", "b"), ("d", "")] {
        grafana.seed().make("/api/folders", &json!({ "uid": uid, "title": uid, "parentUid": parent }));
    }
    let (status, _) = grafana.seed().ask("POST", "/api/folders/a/move", &json!({ "parentUid": "c" }));
    assert_eq!(status, 400);
    grafana.seed().make("/api/folders/b/move", &json!({ "parentUid": "d" }));
    let (_, folder) = get(&grafana, "/api/folders/c");
    assert_eq!(uids(&folder["parents"]), ["d", "b"]);
}

#[test]
fn a_group_replaces_its_rules_and_brings_new_uids_only_in_12() {
    for version in [Version::V9, Version::V11_3, Version::V12] {
        let grafana = with_folder(version);
        let group = json!({ "title": "g/1", "folderUid": "f", "interval": 30, "rules": [rule("b", "B"), rule("a", "A")] });
        let (status, _) = grafana.seed().ask("PUT", GROUP, &group);
        if version == Version::V12 {
            assert_eq!(status, 200);
        } else {
            assert_eq!(status, 400, "{version:?}");
            assert_eq!(get(&grafana, GROUP), (404, GONE));
            for (uid, title) in [("a", "A"), ("b", "B"), ("c", "C")] {
                grafana.seed().make("/api/v1/provisioning/alert-rules", &rule(uid, title));
            }
            assert_eq!(get(&grafana, GROUP).1["interval"], 60, "a rule brings no interval");
            assert_eq!(grafana.seed().ask("PUT", GROUP, &group).0, 200);
        }
        let (_, stored) = get(&grafana, GROUP);
        assert_eq!(
            (&stored["interval"], uids(&stored["rules"])),
            (&json!(30), vec!["b", "a"]),
            "{version:?}"
        );
        assert_eq!(get(&grafana, "/api/v1/provisioning/alert-rules/c"), (404, GONE), "{version:?}");
        let only_interval = json!({ "title": "g/1", "folderUid": "f", "interval": 120, "rules": null });
        assert_eq!(grafana.seed().ask("PUT", GROUP, &only_interval).0, 200);
        let (_, stored) = get(&grafana, GROUP);
        assert_eq!(
            (&stored["interval"], uids(&stored["rules"])),
            (&json!(120), vec!["b", "a"]),
            "{version:?}"
        );
    }
}

#[test]
fn what_was_written_without_the_header_never_becomes_editable_again() {
    let grafana = with_folder(Version::V10);
    grafana.seed().make("/api/v1/provisioning/alert-rules", &rule("r", "R"));
    assert_eq!(grafana.seed().rule_provenance("r"), "api");
    let change = |provenance: Option<&str>| {
        let headers: Vec<_> = provenance.map(|value| ("X-Disable-Provenance", value)).into_iter().collect();
        grafana.seed().ask_with("PUT", "/api/v1/provisioning/alert-rules/r", &headers, &rule("r", "R")).0
    };
    let delete = |headers: &[(&str, &str)]| {
        grafana.seed().ask_with("DELETE", "/api/v1/provisioning/alert-rules/r", headers, &Value::Null).0
    };
    // The header counts, and not what it says.
    assert_eq!((change(Some("false")), change(Some("true")), change(None)), (400, 400, 200));
    assert_eq!(delete(&[("X-Disable-Provenance", "true")]), 400);
    assert_eq!(delete(&[]), 204);
    let made = grafana.seed().ask_with(
        "POST",
        "/api/v1/provisioning/alert-rules",
        &[("X-Disable-Provenance", "")],
        &rule("r", "R"),
    );
    assert_eq!((made.0, grafana.seed().rule_provenance("r").as_str()), (201, ""));
    assert_eq!((change(Some("")), change(None), change(Some(""))), (200, 200, 400));
    grafana.seed().provisioned_rule("r");
    assert_eq!((change(Some("")), change(None), delete(&[])), (400, 400, 400));
}

#[test]
fn a_redacted_secret_is_kept_by_a_put_and_taken_at_its_word_by_a_post() {
    let grafana = Grafana::start(Version::V10);
    let point = |password: &str| {
        let settings = json!({ "url": "http://127.0.0.1:9/", "password": password });
        json!({ "uid": "p", "name": "hook", "type": "webhook", "settings": settings })
    };
    grafana.seed().make("/api/v1/provisioning/contact-points", &point("secret"));
    let (_, shown) = get(&grafana, "/api/v1/provisioning/contact-points?name=hook");
    assert_eq!(shown[0]["settings"]["password"], "[REDACTED]");
    let target = "/api/v1/provisioning/contact-points/p";
    assert_eq!(grafana.seed().ask("PUT", target, &point("[REDACTED]")).0, 202);
    assert_eq!(grafana.seed().contact_point_settings("p")["password"], "secret");
    let (_, export) = get(&grafana, "/api/v1/provisioning/contact-points/export?decrypt=true&format=json");
    let receivers = &export["contactPoints"][1]["receivers"];
    assert_eq!(receivers[0]["settings"]["password"], "secret");
    assert_eq!(grafana.seed().ask("DELETE", target, &Value::Null).0, 202);
    grafana.seed().make("/api/v1/provisioning/contact-points", &point("[REDACTED]"));
    assert_eq!(grafana.seed().contact_point_settings("p")["password"], "[REDACTED]");
}

#[test]
fn policies_and_rules_name_only_receivers_that_are_there() {
    let grafana = with_folder(Version::V11_3);
    let tree = json!({ "receiver": "grafana-default-email", "routes": [{ "receiver": "hook" }] });
    let mut named = rule("r", "R");
    named["notification_settings"] = json!({ "receiver": "hook" });
    let put = || grafana.seed().ask("PUT", "/api/v1/provisioning/policies", &tree).0;
    let post = || grafana.seed().ask("POST", "/api/v1/provisioning/alert-rules", &named).0;
    assert_eq!((put(), post()), (400, 400));
    let hook = json!({ "name": "hook", "type": "webhook", "settings": { "url": "http://127.0.0.1:9/" } });
    grafana.seed().make("/api/v1/provisioning/contact-points", &hook);
    assert_eq!((put(), post()), (202, 201));
}

#[test]
fn a_token_asks_its_own_organisation_whatever_its_header_says() {
    let grafana = Grafana::start(Version::V7_5);
    let org = grafana.seed().make("/api/orgs", &json!({ "name": "Second" }))["orgId"].as_i64().unwrap();
    let bearer = format!("Bearer {}", grafana.token(org, Role::Admin));
    let headers = [("Authorization", bearer.as_str()), ("X-Grafana-Org-Id", "1")];
    let (status, body) = grafana.seed().ask_with("GET", "/api/org", &headers, &Value::Null);
    assert_eq!((status, text(&body, "name")), (200, "Second"));
}

#[test]
fn what_an_editor_may_not_see_is_missing_without_a_word() {
    let grafana = Grafana::start(Version::V7_5);
    grafana.seed().one_of_everything();
    grafana.seed().make("/api/folders/databases/permissions", &json!({ "items": [] }));
    let bearer = format!("Bearer {}", grafana.token(1, Role::Editor));
    let ask = |method: &str, target: &str, body: &Value| {
        grafana.seed().ask_with(method, target, &[("Authorization", &bearer)], body)
    };
    let (_, hits) = ask("GET", "/api/search?type=dash-db", &Value::Null);
    assert_eq!(uids(&hits), ["hosts", "overview"]);
    assert_eq!(ask("GET", "/api/dashboards/uid/postgres", &Value::Null).0, 403);
    assert_eq!(ask("GET", "/api/folders/databases", &Value::Null).0, 403);
    let (_, folder) = ask("GET", "/api/folders/infra", &Value::Null);
    assert_eq!(
        (&folder["canSave"], &folder["canAdmin"]),
        (&json!(false), &json!(false)),
        "viewers only view"
    );
    assert_eq!(ask("GET", "/api/folders/infra/permissions", &Value::Null).0, 403);
    let body = json!({ "dashboard": { "uid": "hosts", "title": "Mine" }, "overwrite": true });
    assert_eq!(ask("POST", "/api/dashboards/db", &body).0, 403);
    assert_eq!(ask("POST", "/api/dashboards/db", &json!({ "dashboard": { "title": "New" } })).0, 200);
}

#[test]
fn rows_that_nobody_set_are_told_apart_by_has_acl_alone() {
    let grafana = Grafana::start(Version::V7_5);
    let folder = grafana.seed().make("/api/folders", &json!({ "uid": "f", "title": "F" }));
    assert_eq!(folder["hasAcl"], false);
    let (_, rows) = get(&grafana, "/api/folders/f/permissions");
    let owners = |rows: &Value, field: &str| -> Vec<Value> {
        rows.as_array().unwrap().iter().map(|row| row[field].clone()).collect()
    };
    assert_eq!(owners(&rows, "folderId"), [folder["id"].clone(), folder["id"].clone()], "and not -1");
    let body = json!({ "dashboard": { "uid": "d", "title": "D" }, "folderId": folder["id"] });
    let dashboard = grafana.seed().make("/api/dashboards/db", &body)["id"].clone();
    let target = format!("/api/dashboards/id/{dashboard}/permissions");
    assert_eq!(owners(&get(&grafana, &target).1, "dashboardId"), [-1, -1]);
    let own = json!({ "items": [{ "userId": 1, "permission": 4 }] });
    grafana.seed().make(&target, &own);
    assert_eq!(owners(&get(&grafana, &target).1, "dashboardId"), [dashboard, json!(-1), json!(-1)]);
    grafana.seed().make("/api/folders/f/permissions", &json!({ "items": [] }));
    assert_eq!(get(&grafana, "/api/folders/f/permissions").1, json!([]), "an empty list takes all away");
    assert_eq!(get(&grafana, "/api/folders/f").1["hasAcl"], true);
}

#[test]
fn who_comes_from_a_directory_is_told_apart() {
    let grafana = Grafana::start(Version::V9);
    grafana.seed().one_of_everything();
    grafana.seed().external_user("ann");
    let (_, user) = get(&grafana, "/api/users/lookup?loginOrEmail=ann");
    assert_eq!((&user["isExternal"], &user["authLabels"]), (&json!(true), &json!(["LDAP"])));
    let (_, teams) = get(&grafana, "/api/teams/search?name=ops");
    let (_, members) = get(&grafana, &format!("/api/teams/{}/members", teams["teams"][0]["id"]));
    assert_eq!((&members[0]["auth_module"], &members[0]["labels"]), (&json!("ldap"), &json!(["LDAP"])));
}

#[test]
fn another_server_has_other_numbers_and_a_wiped_one_never_the_old_ones() {
    let grafana = Builder::default().ids_from(700).start();
    let make = || {
        let user = json!({ "login": "ann", "password": "long enough" });
        let user = grafana.seed().make("/api/admin/users", &user)["id"].as_i64().unwrap();
        let team = grafana.seed().make("/api/teams", &json!({ "name": "ops" }))["teamId"].as_i64().unwrap();
        let folder = grafana.seed().make("/api/folders", &json!({ "title": "F" }))["id"].as_i64().unwrap();
        (user, team, folder)
    };
    assert_eq!(make(), (701, 701, 701));
    grafana.wipe();
    assert_eq!(get(&grafana, "/api/search"), (200, json!([])));
    assert_eq!(make(), (702, 702, 702));
}

#[test]
fn a_new_default_takes_the_flag_from_the_old_one() {
    let grafana = Grafana::start(Version::V7_5);
    for uid in ["a", "b"] {
        let source =
            json!({ "uid": uid, "name": uid, "type": "prometheus", "access": "proxy", "isDefault": true });
        grafana.seed().make("/api/datasources", &source);
    }
    assert_eq!(get(&grafana, "/api/datasources/uid/a").1["isDefault"], false);
    assert_eq!(get(&grafana, "/api/datasources/uid/b").1["isDefault"], true);
}

#[test]
fn the_sample_fits_every_version_and_its_contents_do_not_depend_on_numbers() {
    for version in Version::ALL {
        let here = Grafana::start(version);
        let there = Builder::default().version(version).ids_from(5000).start();
        here.seed().one_of_everything();
        there.seed().one_of_everything();
        assert_eq!(here.contents(), there.contents(), "{version:?}");
        let main = &here.contents()["orgs"]["Main Org."];
        assert_eq!(
            main["dashboards"]["hosts"]["acl"],
            json!([{ "to": "user ann", "level": 4 }]),
            "{version:?}"
        );
        assert_eq!(main["dashboards"]["hosts"]["folder"], "infra", "{version:?}");
        let secrets = &main["dataSources"]["prom"]["secrets"];
        assert_eq!(secrets["basicAuthPassword"], SECRET, "{version:?}");
        assert_eq!(main["preferences"]["homeDashboardId"], "overview", "{version:?}");
        assert_eq!(main["annotations"][0]["dashboard"], "overview", "{version:?}");
        crate::support::grafana_keeper::lose_hosts(&here);
        assert_ne!(here.contents(), there.contents(), "{version:?}");
    }
}

#[test]
fn what_comes_from_files_refuses_to_be_saved() {
    let grafana = Grafana::start(Version::V9);
    let dashboard = json!({ "dashboard": { "uid": "d", "title": "D" }, "overwrite": true });
    grafana.seed().make("/api/dashboards/db", &dashboard);
    let source = json!({ "uid": "s", "name": "s", "type": "prometheus", "access": "proxy",
        "secureJsonData": { "token": "secret" } });
    grafana.seed().make("/api/datasources", &source);
    grafana.seed().provisioned_dashboard("d");
    grafana.seed().provisioned_data_source("s");
    assert_eq!(grafana.seed().ask("POST", "/api/dashboards/db", &dashboard).0, 400);
    assert_eq!(grafana.seed().ask("PUT", "/api/datasources/uid/s", &source).0, 403);
    assert_eq!(grafana.seed().data_source_secrets("s")["token"], "secret");
}
