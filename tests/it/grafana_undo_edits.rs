//! What people have done since a restore outlives its undo: it stays, or it is kept and told how it comes back.

use serde_json::{Value, json};

use crate::support::grafana::{Builder, Fault, Grafana, Version, What};
use crate::support::grafana_keeper::{
    ADMIN, JOB, actions, dashboards_of, export, keeper, keeper_of, lose_hosts, restore, sample, secrets,
};
use crate::support::watchkeeper::{Output, Watchkeeper};

/// A Grafana that was empty and has got all of the sample's, and the program.
fn restored() -> (Grafana, Watchkeeper) {
    let (here, there) =
        (sample(Version::V11_2), Builder::default().version(Version::V11_2).ids_from(300).start());
    let keeper = keeper_of(&[("main", here.url(), ADMIN), ("other", there.url(), ADMIN)], "");
    export(&keeper);
    restore(&keeper, &["--grafana", "other"]).expect(3);
    (there, keeper)
}

fn undo(keeper: &Watchkeeper) -> Output {
    keeper.run(&["restore", JOB, "--grafana", "other", "--undo", "--yes"])
}

#[track_caller]
fn is_there(grafana: &Grafana, path: &str) -> bool {
    match grafana.seed().ask("GET", path, &Value::Null).0 {
        200 => true,
        404 => false,
        status => panic!("{path}: {status}"),
    }
}

#[track_caller]
fn assert_stays(said: &Output, because: &str, kept: &[&str]) {
    for kept in kept {
        let says = format!("{kept}: it stays, because of {because}");
        assert!(said.stdout.contains(&says), "{says}\n{}", said.stdout);
    }
}

#[test]
fn a_rule_that_people_have_added_to_a_restored_group_keeps_the_group_and_what_it_needs() {
    let (there, keeper) = restored();
    let rule = json!({ "uid": "people", "title": "Of people", "condition": "A", "folderUID": "infra",
        "ruleGroup": "host/basic", "for": "1m", "data": [{ "refId": "A", "datasourceUid": "loki" }] });
    let path = "/api/v1/provisioning/alert-rules";
    let (status, said) = there.seed().ask_with("POST", path, &[("X-Disable-Provenance", "true")], &rule);
    assert!((200..300).contains(&status), "{status} {said}");
    let undone = undo(&keeper).expect(3);
    let says = "rule-groups/infra/host/basic: people have changed it since, and it stays";
    assert!(undone.stdout.contains(says), "{}", undone.stdout);
    assert_stays(
        &undone,
        "rule-groups/infra/host/basic",
        &["folders/infra", "data-sources/loki", "data-sources/prom"],
    );
    for path in [&format!("{path}/people"), "/api/datasources/uid/loki", "/api/folders/infra"] {
        assert!(is_there(&there, path), "{path}\n{}", undone.stdout);
    }
    assert_eq!(dashboards_of(&there), [""; 0], "{}", undone.stdout);
}

fn title(grafana: &Grafana, uid: &str) -> Value {
    grafana.seed().ask("GET", &format!("/api/dashboards/uid/{uid}"), &Value::Null).1["dashboard"]["title"]
        .clone()
}

/// A dashboard with this title, whatever was there.
fn overwrite(grafana: &Grafana, uid: &str, title: &str) {
    let body = json!({ "dashboard": { "uid": uid, "title": title }, "overwrite": true });
    grafana.seed().make("/api/dashboards/db", &body);
}

#[test]
fn what_people_have_edited_since_stays_where_the_restore_made_it_and_is_kept_where_it_was_there_before() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper(&grafana);
    export(&keeper);
    let set = |uid: &str, title: &str| overwrite(&grafana, uid, title);
    lose_hosts(&grafana);
    set("overview", "Of old");
    set("postgres", "Of old, too");
    restore(&keeper, &["--only", "dashboards"]).expect(0);
    set("hosts", "A day of work");
    set("overview", "A week of work");
    let dry = ["restore", JOB, "--undo", "--dry-run"];
    // As the undo itself ends: something stays.
    let planned = keeper.run_json(&dry).expect(3);
    let expected =
        [("update", "dashboards/overview"), ("update", "dashboards/postgres"), ("skip", "dashboards/hosts")];
    assert_eq!(actions(&planned), expected.map(|(action, id)| (action.to_owned(), id.to_owned())));
    assert_eq!(planned.json()["plan"]["edited"][0]["key"], "overview");
    let text = keeper.run(&dry).expect(3).stdout;
    let told = text
        .lines()
        .filter(|line| line.ends_with("people have changed it since the restore: that is kept before"));
    let told: Vec<&str> = told.collect();
    assert!(told.len() == 1 && told[0].contains("dashboards/overview"), "{text}");
    let undone = keeper.run(&["restore", JOB, "--undo", "--yes"]).expect(3);
    assert!(
        undone.stdout.contains("dashboards/hosts: people have changed it since, and it stays"),
        "{undone:?}"
    );
    assert_eq!(
        (title(&grafana, "overview"), title(&grafana, "hosts")),
        (json!("Of old"), json!("A day of work"))
    );
    assert_eq!(title(&grafana, "postgres"), "Of old, too");
    let line = undone
        .stdout
        .lines()
        .find(|line| line.ends_with("brings back what people had changed since the restore"));
    let command = line.unwrap_or_else(|| panic!("{}", undone.stdout)).split('`').nth(1).unwrap();
    assert!(command.starts_with("watchkeeper restore grafana-before-restore/2"), "{command}");
    let words: Vec<&str> =
        command.split(' ').skip(1).map(|word| word.trim_matches('\'')).chain(["--yes"]).collect();
    keeper.run(&words).expect(0);
    assert_eq!(
        (title(&grafana, "overview"), title(&grafana, "postgres")),
        (json!("A week of work"), json!("Of old, too"))
    );
}

#[test]
fn nothing_is_taken_for_edited_where_nobody_has_edited_anything() {
    for version in Version::ALL {
        let grafana = sample(version);
        let keeper = keeper(&grafana);
        export(&keeper);
        grafana.wipe();
        let file = secrets(&keeper, crate::support::grafana_keeper::SECRETS);
        let restored = restore(&keeper, &["--secrets", &file]);
        assert!(matches!(restored.code, 0 | 3), "{restored:?}");
        let planned = keeper.run_json(&["restore", JOB, "--undo", "--dry-run"]);
        let text = planned.stdout;
        assert!(!text.contains("changed it since"), "{version:?}\n{text}");
        assert!(!text.contains("it stays, because"), "{version:?}\n{text}");
    }
}

#[test]
fn what_grafana_itself_has_changed_of_a_dashboard_is_no_edit_of_people() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper(&grafana);
    export(&keeper);
    lose_hosts(&grafana);
    // As if a later version had written it anew before it is read again.
    let body = json!({ "dashboard": { "uid": "hosts", "title": "Hosts", "schemaVersion": 42 }, "folderUid": "infra", "overwrite": true });
    let anew = What::Meanwhile { method: "POST", target: "/api/dashboards/db".to_owned(), body };
    grafana.inject(Fault::new(anew).on("GET", "/api/dashboards/uid/hosts").after(2).times(1));
    let restored = restore(&keeper, &["--only", "dashboards"]).expect(3);
    assert!(
        restored.stdout.contains(
            "dashboards/hosts in Main Org.: it is there, but Grafana, or somebody, has changed it since"
        ),
        "{restored:?}"
    );
    grafana.heal();
    let undone = keeper.run(&["restore", JOB, "--undo", "--yes"]).expect(0);
    assert!(!is_there(&grafana, "/api/dashboards/uid/hosts"), "{undone:?}");
}

#[test]
fn what_a_dashboard_or_a_link_of_people_needs_stays() {
    let (there, keeper) = restored();
    let by_uid = json!({ "id": 1, "type": "logs", "datasource": { "type": "loki", "uid": "loki" } });
    let own = json!({ "uid": "own", "title": "Own", "panels": [by_uid] });
    there.seed().make("/api/dashboards/db", &json!({ "dashboard": own }));
    let made = json!({ "uid": "mine", "name": "Mine", "type": "loki", "access": "proxy" });
    there.seed().make("/api/datasources", &made);
    let config = json!({ "type": "query", "field": "f", "target": {} });
    let link = json!({ "targetUID": "prom", "label": "Of people", "config": config });
    there.seed().make("/api/datasources/uid/mine/correlations", &link);
    let undone = undo(&keeper).expect(3);
    assert_stays(&undone, "dashboards/own", &["data-sources/loki"]);
    assert_stays(&undone, "correlations/mine/prom/Of people", &["data-sources/prom"]);
    for path in ["/api/datasources/uid/loki", "/api/datasources/uid/prom", "/api/dashboards/uid/own"] {
        assert!(is_there(&there, path), "{path}");
    }
}

#[test]
fn a_data_source_that_an_older_dashboard_names_stays() {
    let (there, keeper) = restored();
    let panels =
        json!([{ "id": 1, "type": "row", "panels": [{ "id": 2, "type": "graph", "datasource": "Loki" }] }]);
    let own = json!({ "uid": "own", "title": "Own", "panels": panels });
    there.seed().make("/api/dashboards/db", &json!({ "dashboard": own }));
    let undone = undo(&keeper).expect(3);
    assert_stays(&undone, "dashboards/own", &["data-sources/loki"]);
    assert!(!is_there(&there, "/api/datasources/uid/prom"));
}

#[test]
fn whom_people_have_given_permissions_stays_with_them() {
    let (there, keeper) = restored();
    let find = |path: &str| there.seed().ask("GET", path, &Value::Null).1;
    let team = find("/api/teams/search?name=ops")["teams"][0]["id"].clone();
    let bob = find("/api/users/lookup?loginOrEmail=bob")["id"].clone();
    there.seed().make("/api/folders", &json!({ "uid": "people", "title": "Of people" }));
    let rows = json!({ "items": [{ "teamId": team, "permission": 2 }, { "userId": bob, "permission": 4 }] });
    there.seed().make("/api/folders/people/permissions", &rows);
    let before = there.contents()["orgs"]["Main Org."]["dashboards"]["people"]["acl"].clone();
    let undone = undo(&keeper).expect(3);
    assert_stays(&undone, "folder-permissions/people", &["teams/ops", "users/bob"]);
    assert_eq!(there.contents()["orgs"]["Main Org."]["dashboards"]["people"]["acl"], before);
    assert!(!is_there(&there, "/api/users/lookup?loginOrEmail=ann"));
}

#[test]
fn secrets_that_the_restore_has_entered_over_others_are_told_by_its_undo() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper(&grafana);
    export(&keeper);
    let file = secrets(
        &keeper,
        "[data-sources.prom]\nbasicAuthPassword = \"rotated\"\n[data-sources.loki]\ntoken = \"more\"\n",
    );
    restore(&keeper, &["--secrets", &file]);
    for undo in [["--undo", "--dry-run"], ["--undo", "--yes"]] {
        let undone = keeper.run(&[&["restore", JOB], &undo[..]].concat()).expect(3);
        for says in [
            "data-sources/prom in Main Org.: it keeps the basicAuthPassword that the restore had entered",
            "data-sources/loki in Main Org.: it keeps the token that the restore had entered",
        ] {
            assert!(undone.stdout.contains(says), "{says}\n{}", undone.stdout);
        }
        assert!(!undone.stdout.contains("as it was before the restore:"), "{}", undone.stdout);
    }
}

#[test]
fn snapshots_that_a_restore_has_made_go_with_it_and_annotations_are_said_to_stay() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper(&grafana);
    export(&keeper);
    grafana.wipe();
    restore(&keeper, &[]).expect(3);
    let snapshots = || grafana.seed().ask("GET", "/api/dashboard/snapshots", &Value::Null).1.to_string();
    assert!(snapshots().contains("frozen"), "{}", snapshots());
    let undone = keeper.run(&["restore", JOB, "--undo", "--yes"]).expect(3);
    assert!(!snapshots().contains("frozen"), "{}", snapshots());
    let says = "no Grafana can remove it: it stays as the restore has written it";
    let told = undone.stdout.lines().any(|line| line.contains("annotations/") && line.contains(says));
    assert!(told, "{}", undone.stdout);
}

#[test]
fn what_a_restore_was_cut_in_is_no_edit_of_people() {
    let here = sample(Version::V12);
    // What is made in several steps, each cut after the first.
    for (method, path) in
        [("PATCH", "/users/"), ("POST", "/members"), ("POST", "/alert-rules"), ("POST", "/permissions")]
    {
        let there = Builder::default().version(Version::V12).ids_from(50).start();
        let keeper = keeper_of(&[("main", here.url(), ADMIN), ("other", there.url(), ADMIN)], "");
        export(&keeper);
        there.inject(Fault::new(What::CutBefore).on(method, path));
        restore(&keeper, &["--grafana", "other"]).expect(4);
        there.heal();
        let undone = keeper.run(&["restore", JOB, "--grafana", "other", "--undo", "--yes"]).expect(0);
        let said = format!("{}{}", undone.stdout, undone.stderr);
        assert!(!said.contains("people"), "{method} {path}: {said}");
        let contents = there.contents();
        assert_eq!(contents["orgs"].as_object().unwrap().len(), 1, "{method} {path}: {contents}");
        assert_eq!(dashboards_of(&there), Vec::<String>::new(), "{method} {path}");
    }
}

#[test]
fn what_the_restore_has_refused_to_write_over_its_undo_leaves_and_names() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper(&grafana);
    export(&keeper);
    let set = |uid: &str, title: &str| overwrite(&grafana, uid, title);
    lose_hosts(&grafana);
    set("overview", "Damaged");
    set("postgres", "Damaged, too");
    grafana.seed().ask("DELETE", "/api/folders/empty", &Value::Null);
    // When all was kept, and before their turn: one makes what is to be created, and edits what is to be changed.
    grafana.seed().ask("DELETE", "/api/datasources/uid/loki", &Value::Null);
    for (path, uid, title) in [
        ("/api/datasources", "hosts", "Hosts of a person"),
        ("/api/folders", "overview", "Overview of a person"),
    ] {
        let body = json!({ "dashboard": { "uid": uid, "title": title }, "overwrite": true });
        let what = What::Meanwhile { method: "POST", target: "/api/dashboards/db".to_owned(), body };
        grafana.inject(Fault::new(what).on("POST", path).times(1));
    }
    // Grafana itself turns one away, and a person edits it later.
    let prom = "/api/datasources/uid/prom";
    let mut source = grafana.seed().ask("GET", prom, &Value::Null).1;
    let mut set_url = |url: &str| {
        source["url"] = json!(url);
        source["version"] = Value::Null;
        assert_eq!(grafana.seed().ask("PUT", prom, &source).0, 200);
    };
    set_url("http://damaged");
    let conflict = What::answers(412, "{\"message\":\"it is another one now\"}");
    grafana.inject(Fault::new(conflict).on("PUT", prom));
    let failed = restore(&keeper, &[]).expect(4);
    for uid in ["hosts", "overview"] {
        let told = format!("dashboards/{uid} in Main Org.: somebody has changed it meanwhile");
        assert!(failed.stdout.contains(&told), "{failed:?}");
    }
    assert_eq!(title(&grafana, "postgres"), "Postgres");
    grafana.heal();
    set_url("http://of-a-person");
    let undone = keeper.run(&["restore", JOB, "--undo", "--yes"]).expect(3);
    let of_people = json!(["Hosts of a person", "Overview of a person"]);
    assert_eq!(json!([title(&grafana, "hosts"), title(&grafana, "overview")]), of_people, "{undone:?}");
    assert_eq!(grafana.seed().ask("GET", prom, &Value::Null).1["url"], "http://of-a-person", "{undone:?}");
    let says = "the restore had not written data-sources/prom in Main Org., dashboards/hosts in Main Org., dashboards/overview in Main Org.: what is there now stays";
    assert!(undone.stdout.contains(says), "{undone:?}");
    // What was written is as it was before.
    assert_eq!(title(&grafana, "postgres"), "Damaged, too");
    assert!(!is_there(&grafana, "/api/folders/empty") && !is_there(&grafana, "/api/datasources/uid/loki"));
}
