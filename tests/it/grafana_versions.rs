//! What the stand-in does from which version on. Of 7.5.5 it was seen, see `grafana_stand_in.rs`; what later versions do
//! was read or heard of, and these tests say only that the stand-in keeps to it: see the marks in its `version.rs`.

use serde_json::{Value, json};

use crate::support::grafana::{Builder, Grafana, Role, Version};

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn get(grafana: &Grafana, target: &str) -> (u16, Value) {
    grafana.seed().ask("GET", target, &Value::Null)
}

fn uids(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| text(one, "uid")).collect()
}

#[test]
fn a_parent_is_heeded_from_11_on_and_silently_ignored_before() {
    for version in Version::ALL {
        let grafana = Grafana::start(version);
        grafana.seed().make("/api/folders", &json!({ "uid": "top", "title": "Top" }));
        let child = json!({ "uid": "child", "title": "Child", "parentUid": "top" });
        let made = grafana.seed().make("/api/folders", &child);
        let nests = version >= Version::V11_2;
        assert_eq!(text(&made, "parentUid"), if nests { "top" } else { "" }, "{version:?}");
        let (_, root) = get(&grafana, "/api/folders");
        assert_eq!(uids(&root), if nests { vec!["top"] } else { vec!["child", "top"] }, "{version:?}");
        // Who follows `parentUid` down where nobody knows it goes round in a circle.
        let (_, below) = get(&grafana, "/api/folders?parentUid=top");
        assert_eq!(uids(&below), if nests { vec!["child"] } else { vec!["child", "top"] }, "{version:?}");
    }
}

#[test]
fn the_second_page_of_folders_is_the_first_one_on_7_5() {
    for (version, second) in [(Version::V7_5, "folder-00000"), (Version::V8, "folder-00001")] {
        let grafana = Grafana::start(version);
        grafana.seed().folders(2, None);
        let (_, page) = get(&grafana, "/api/folders?limit=1&page=2");
        assert_eq!(uids(&page), [second], "{version:?}");
    }
}

#[test]
fn a_dashboard_gets_into_its_folder_by_uid_from_8_on() {
    for version in Version::ALL {
        let grafana = Grafana::start(version);
        grafana.seed().make("/api/folders", &json!({ "uid": "f", "title": "F" }));
        let body = json!({ "dashboard": { "uid": "d", "title": "D" }, "folderUid": "f", "overwrite": true });
        grafana.seed().make("/api/dashboards/db", &body);
        let (_, saved) = get(&grafana, "/api/dashboards/uid/d");
        let title = if version == Version::V7_5 { "General" } else { "F" };
        assert_eq!(text(&saved["meta"], "folderTitle"), title, "{version:?}");
        let missing = json!({ "dashboard": { "title": "E" }, "folderUid": "nowhere" });
        let (status, _) = grafana.seed().ask("POST", "/api/dashboards/db", &missing);
        assert_eq!(status, if version == Version::V7_5 { 200 } else { 400 }, "{version:?}");
    }
}

#[test]
fn an_equal_title_costs_the_other_dashboard_its_content_until_11_2() {
    for version in Version::ALL {
        let grafana = Grafana::start(version);
        for uid in ["one", "two"] {
            let body = json!({ "dashboard": { "uid": uid, "title": "Same" }, "overwrite": true });
            grafana.seed().make("/api/dashboards/db", &body);
        }
        let (status, _) = get(&grafana, "/api/dashboards/uid/two");
        assert_eq!(status, if version >= Version::V11_3 { 200 } else { 404 }, "{version:?}");
    }
}

#[test]
fn each_version_has_the_routes_of_its_time() {
    use Version::{V7_5, V8, V9, V10, V11_2, V12};
    const END: Option<Version> = None;
    // From this version on, and not any more in that one.
    let routes = [
        ("/api/search", V7_5, END),
        ("/api/library-panels", V7_5, Some(V8)),
        ("/api/library-elements", V8, END),
        ("/api/alert-notifications", V7_5, Some(V11_2)),
        ("/api/ruler/grafana/api/v1/rules", V8, Some(V9)),
        ("/api/v1/provisioning/alert-rules", V9, END),
        ("/api/v1/provisioning/policies", V9, END),
        ("/api/v1/provisioning/contact-points/export", V10, END),
        ("/api/dashboards/uid/d/permissions", V9, END),
        ("/api/datasources/correlations", V9, END),
        ("/api/serviceaccounts/search", V9, END),
        ("/api/dashboards/public-dashboards", V10, END),
        ("/api/auth/keys", V7_5, Some(V12)),
    ];
    for version in Version::ALL {
        let grafana = Grafana::start(version);
        grafana.seed().make("/api/dashboards/db", &json!({ "dashboard": { "uid": "d", "title": "D" } }));
        for (route, from, until) in routes {
            let (status, body) = get(&grafana, route);
            let there = version >= from && until.is_none_or(|until| version < until);
            let is = (status, text(&body, "message"));
            assert_eq!(is != (404, "Not found"), there, "{version:?} {route}: {status} {body}");
            assert_eq!(status == 200, there, "{version:?} {route}: {status} {body}");
        }
    }
}

#[test]
fn an_existing_folder_is_a_failed_condition_until_9_and_a_conflict_from_10_on() {
    for version in Version::ALL {
        let grafana = Grafana::start(version);
        grafana.seed().make("/api/folders", &json!({ "uid": "f", "title": "F" }));
        let (status, _) = grafana.seed().ask("POST", "/api/folders", &json!({ "uid": "f", "title": "F" }));
        assert_eq!(status, if version >= Version::V10 { 409 } else { 412 }, "{version:?}");
        let (status, _) = grafana.seed().ask("POST", "/api/folders", &json!({ "uid": "g", "title": "F" }));
        let same_title = match version {
            Version::V11_3 | Version::V12 => 200,
            Version::V10 | Version::V11_2 => 409,
            _ => 400,
        };
        assert_eq!(status, same_title, "{version:?}");
    }
}

#[test]
fn a_library_element_gets_into_its_folder_by_uid_from_9_on() {
    for version in Version::ALL.into_iter().filter(|version| *version >= Version::V8) {
        let grafana = Grafana::start(version);
        grafana.seed().make("/api/folders", &json!({ "uid": "f", "title": "F" }));
        let element =
            json!({ "uid": "e", "name": "E", "kind": 1, "model": { "type": "text" }, "folderUid": "f" });
        let made = grafana.seed().make("/api/library-elements", &element);
        assert_eq!(made["result"]["folderUid"] == "f", version >= Version::V9, "{version:?}");
        assert_eq!(made["result"]["folderId"] != 0, version >= Version::V9, "{version:?}");
    }
}

#[test]
fn a_dashboard_whose_library_panel_is_not_there_is_saved_in_spite_of_its_500() {
    let grafana = Grafana::start(Version::V10);
    let panels = json!([{ "id": 1, "libraryPanel": { "uid": "nowhere" } }]);
    let body = json!({ "dashboard": { "uid": "d", "title": "D", "panels": panels } });
    assert_eq!(grafana.seed().ask("POST", "/api/dashboards/db", &body).0, 500);
    assert_eq!(get(&grafana, "/api/dashboards/uid/d").0, 200);
}

#[test]
fn a_playlist_has_a_uid_from_9_on_and_nobody_can_choose_it() {
    for version in Version::ALL {
        let grafana = Grafana::start(version);
        let made =
            grafana.seed().make("/api/playlists", &json!({ "uid": "mine", "name": "P", "interval": "1m" }));
        let key = if version >= Version::V9 { text(&made, "uid").to_owned() } else { made["id"].to_string() };
        assert_ne!(key, "mine");
        assert_eq!(made["uid"].is_string(), version >= Version::V9, "{version:?}");
        assert_eq!(get(&grafana, &format!("/api/playlists/{key}")).0, 200, "{version:?}");
    }
}

#[test]
fn misses_and_refusals_are_told_in_the_way_of_the_version() {
    for version in Version::ALL {
        let grafana = Grafana::start(version);
        let (status, _) = get(&grafana, "/api/snapshots/none");
        assert_eq!(status, if version >= Version::V10 { 404 } else { 500 }, "{version:?}");
        let viewer = format!("Bearer {}", grafana.token(1, Role::Viewer));
        let ask = |authorization: &str| {
            let headers = [("Authorization", authorization)];
            grafana.seed().ask_with("GET", "/api/datasources", &headers, &Value::Null)
        };
        let (status, refusal) = ask(&viewer);
        assert_eq!(
            (status, refusal["accessErrorId"].is_string()),
            (403, version >= Version::V9),
            "{version:?}"
        );
        let (status, denial) = ask("Bearer nobodys");
        assert_eq!((status, denial["messageId"].is_string()), (401, version >= Version::V10), "{version:?}");
    }
}

#[test]
fn all_members_of_a_team_are_set_at_once_from_11_on() {
    for version in Version::ALL {
        let grafana = Grafana::start(version);
        let ann = json!({ "login": "ann", "email": "ann@example.org", "password": "long enough" });
        grafana.seed().make("/api/admin/users", &ann);
        let team = grafana.seed().make("/api/teams", &json!({ "name": "ops" }))["teamId"].clone();
        let target = format!("/api/teams/{team}/members");
        let members = json!({ "members": [], "admins": ["ann@example.org"] });
        let (status, _) = grafana.seed().ask("PUT", &target, &members);
        assert_eq!(status, if version >= Version::V11_2 { 200 } else { 404 }, "{version:?}");
        if status == 200 {
            assert_eq!(get(&grafana, &target).1[0]["permission"], 4);
        }
    }
}

#[test]
fn the_version_may_be_hidden_and_may_have_a_suffix() {
    let number = |builder: Builder| get(&builder.start(), "/api/health").1["version"].clone();
    assert_eq!(number(Builder::default()), "7.5.5");
    assert_eq!(number(Builder::default().version(Version::V12)), "12.1.0-16426244399");
    assert_eq!(number(Builder::default().hides_version()), Value::Null);
}
