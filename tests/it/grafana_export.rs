//! The kind `grafana-export`, with the program as a person runs it, against the stand-in for Grafana. What the stand-in
//! does as 7.5.5 was recorded; what it does as a later version was read, see its `version.rs`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use watchkeeper::grafana::bundle::Bundle;
use watchkeeper::grafana::object::{Object, ObjectType};

use crate::support::grafana::{Builder, Fault, Grafana, Role, SECRET, Version, What};
use crate::support::watchkeeper::{Output, Watchkeeper};
use crate::support::{run, wait_until};

const JOB: &str = "grafana";
const PASSWORD: &str = "user = \"admin\"\npassword = { plain = \"admin\" }";

/// One job on this server, with what its target says of the credentials, and further keys.
fn watchkeeper(grafana: &Grafana, credentials: &str, keys: &str) -> Watchkeeper {
    with_retries(grafana, credentials, 0, keys)
}

fn with_retries(grafana: &Grafana, credentials: &str, retries: u32, keys: &str) -> Watchkeeper {
    Watchkeeper::with_config(&format!(
        "[grafana.main]\nurl = \"{}\"\n{credentials}\n[[job]]\nname = \"{JOB}\"\nkind = \"grafana-export\"\n\
         grafana = \"main\"\nkeep = {{ last = 5 }}\nretries = {{ max = {retries}, backoff = \"1s\" }}\n{keys}\n",
        grafana.url()
    ))
}

fn by_token(token: &str) -> String {
    format!("token = {{ plain = \"{token}\" }}")
}

fn sample(version: Version) -> Grafana {
    let grafana = Grafana::start(version);
    grafana.seed().one_of_everything();
    grafana.forget_requests();
    grafana
}

/// The archives, oldest first.
fn archives(watchkeeper: &Watchkeeper) -> Vec<PathBuf> {
    let files = fs::read_dir(watchkeeper.store_of(JOB)).into_iter().flatten();
    let files = files.map(|file| file.unwrap().path());
    let mut all: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "gz")).collect();
    all.sort();
    all
}

fn objects(watchkeeper: &Watchkeeper) -> Vec<Object> {
    let archive = archives(watchkeeper).pop().expect("a backup");
    let bundle = Bundle::open(&archive, watchkeeper.folder(), &CancellationToken::new()).unwrap();
    bundle.entries().iter().map(|entry| bundle.load(entry).unwrap()).collect()
}

fn export(grafana: &Grafana, keys: &str) -> Vec<Object> {
    let watchkeeper = watchkeeper(grafana, PASSWORD, keys);
    watchkeeper.run(&["run-now", JOB]).expect(0);
    objects(&watchkeeper)
}

fn find<'a>(all: &'a [Object], kind: ObjectType, key: &str) -> &'a Value {
    let found = all.iter().find(|object| object.kind == kind && object.key == key);
    let keys =
        || all.iter().filter(|object| object.kind == kind).map(|object| &object.key).collect::<Vec<_>>();
    &found.unwrap_or_else(|| panic!("no {kind}/{key}: {:?}", keys())).body
}

/// A run that failed: what it said, and that nothing was left in the store.
#[track_caller]
fn fails(watchkeeper: &Watchkeeper, words: &[&str]) -> Output {
    let output = watchkeeper.run(&["run-now", JOB]).expect(1);
    let said = format!("{}{}", output.stdout, output.stderr);
    for word in words {
        assert!(said.contains(word), "{word:?} is not in:\n{said}");
    }
    assert!(archives(watchkeeper).is_empty(), "a failed export left an archive");
    output
}

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
fn wrong_credentials_are_sent_once() {
    let grafana = sample(Version::V10);
    for credentials in ["user = \"admin\"\npassword = { plain = \"wrong\" }".to_owned(), by_token("nobodys")]
    {
        grafana.forget_requests();
        let watchkeeper = with_retries(&grafana, &credentials, 3, "");
        fails(&watchkeeper, &["401", "five bad log-ins"]);
        let sent = grafana.requests().iter().filter(|request| request.authorization.is_some()).count();
        assert_eq!(sent, 1, "{credentials}");
    }
}

#[test]
fn a_password_that_is_changed_in_the_middle_is_not_tried_again() {
    let grafana = sample(Version::V10);
    let denied = What::answers(401, r#"{"message":"invalid username or password"}"#);
    grafana.inject(Fault::new(denied).at("/api/").after(30));
    let watchkeeper = watchkeeper(&grafana, PASSWORD, "");
    fails(&watchkeeper, &["401", "invalid username or password", "lock"]);
    let bad = grafana.requests().iter().filter(|request| request.status == Some(401)).count();
    assert!(bad <= 8, "{bad}: only those that were on their way");
}

#[test]
fn a_viewer_is_told_what_is_missing() {
    let grafana = sample(Version::V9);
    let token = by_token(&grafana.token(1, Role::Viewer));
    fails(&watchkeeper(&grafana, &token, ""), &["403", "role Admin"]);
}

#[test]
fn a_token_exports_its_own_organisation_and_says_what_it_never_sees() {
    let grafana = sample(Version::V9);
    let second = grafana.seed().ask("GET", "/api/orgs/name/Second", &Value::Null).1["id"].as_i64().unwrap();
    let token = by_token(&grafana.token(second, Role::Admin));
    let watchkeeper = watchkeeper(&grafana, &token, "");
    let report = watchkeeper.run(&["run-now", JOB]).expect(0).stdout;
    assert!(report.contains("only a server administrator with user and password sees them"), "{report}");
    let all = objects(&watchkeeper);
    find(&all, ObjectType::Dashboards, "second");
    assert!(all.iter().all(|object| object.organisation.as_deref().is_none_or(|name| name == "Second")));
}

#[test]
fn a_list_or_an_object_that_cannot_be_read_fails_the_export() {
    let html = "<!DOCTYPE html><html><body>Log in</body></html>";
    let cases = [
        ("/api/search?type=dash-db", What::answers(500, r#"{"message":"boom"}"#), "boom"),
        ("/api/search?type=dash-db", What::answers(200, "{}"), "an object in the place of a list"),
        ("/api/search?type=dash-db", What::answers(200, "null"), "null in the place of a list"),
        ("/api/search?type=dash-db", What::answers(200, "[{\"id\":"), "no JSON"),
        ("/api/teams/search", What::answers(200, r#"{"teams":[],"totalCount":5}"#), "it says there are 5"),
        ("/api/datasources", What::html(200, html), "an HTML page came back"),
        ("/api/dashboards/uid/hosts", What::redirect_to_login(), "points to \"/login\""),
        ("/api/org", What::redirect_to_login(), "log-in page"),
        (
            "/api/dashboards/uid/hosts",
            What::answers(200, r#"{"meta":{},"dashboard":{"uid":"x"}}"#),
            "in the place of",
        ),
        // It is in its list: somebody hides it.
        ("/api/dashboards/uid/hosts", What::answers(404, r#"{"message":"Dashboard not found"}"#), "404"),
        ("/api/dashboards/uid/hosts", What::html(404, html), "an HTML page came back"),
        (
            "/api/search?type=dash-folder",
            What::answers(404, r#"{"message":"Not found"}"#),
            "every Grafana has it",
        ),
    ];
    let grafana = sample(Version::V10);
    for (target, what, words) in cases {
        grafana.inject(Fault::new(what).at(target));
        let watchkeeper = watchkeeper(&grafana, PASSWORD, "");
        fails(&watchkeeper, &[words]);
        grafana.heal();
    }
}

#[test]
fn what_passes_is_tried_again_and_the_export_is_whole() {
    let grafana = sample(Version::V10);
    let before = export(&grafana, "");
    for (target, what) in [
        ("/api/search", What::unavailable()),
        ("/api/dashboards/uid", What::answers(502, "bad gateway")),
        ("/api/folders", What::too_many(1)),
        ("/api/datasources", What::CutBefore),
        ("/api/dashboards/uid", What::CutHalfway),
        ("/api/teams", What::Slow(Duration::from_millis(700))),
    ] {
        grafana.inject(Fault::new(what).at(target).times(2));
    }
    assert_eq!(export(&grafana, ""), before);
}

#[test]
fn a_server_that_stays_away_fails_the_export_after_some_tries() {
    let grafana = sample(Version::V10);
    grafana.inject(Fault::new(What::unavailable()).at("/api/playlists"));
    fails(&watchkeeper(&grafana, PASSWORD, ""), &["503", "again and again"]);
    assert_eq!(grafana.count("GET", "/api/playlists"), 5);
}

#[test]
fn what_is_deleted_while_the_export_runs_is_told() {
    let grafana = sample(Version::V10);
    let target = "/api/dashboards/uid/postgres";
    let meanwhile = What::Meanwhile { method: "DELETE", target: target.into(), body: Value::Null };
    grafana.inject(Fault::new(meanwhile).on("GET", target).times(1));
    // Its permissions are asked for at the same time.
    let watchkeeper = watchkeeper(&grafana, PASSWORD, "exclude = [\"dashboard-permissions\"]");
    let report = watchkeeper.run(&["run-now", JOB]).expect(0).stdout;
    assert!(report.contains("deleted while the export ran"), "{report}");
    // There is a plugin of that name.
    let is_it = |object: &Object| object.kind == ObjectType::Dashboards && object.key == "postgres";
    assert!(!objects(&watchkeeper).iter().any(is_it));
}

#[test]
fn a_dry_run_and_check_online_say_what_the_credentials_reach_and_write_nothing() {
    let grafana = sample(Version::V10);
    let watchkeeper = watchkeeper(&grafana, PASSWORD, "");
    for command in [&["run-now", JOB, "--dry-run"][..], &["check", "--online"]] {
        let output = watchkeeper.run(command);
        let said = format!("{}{}", output.stdout, output.stderr);
        assert!(said.contains("Grafana 10.4.19 answers") && said.contains("\"Second\""), "{said}");
    }
    assert!(archives(&watchkeeper).is_empty());
    watchkeeper.run(&["run-now", JOB]).expect(0);
    watchkeeper.run(&["explain", JOB]).expect(0);
    assert_eq!(watchkeeper.run_json(&["backups"]).expect(0).json()["backups"].as_array().unwrap().len(), 1);
}

#[test]
fn an_organisation_that_the_user_is_no_member_of_is_warned_about() {
    let grafana = sample(Version::V10);
    let seed = grafana.seed();
    let closed = seed.make("/api/orgs", &json!({ "name": "Closed" }))["orgId"].as_i64().unwrap();
    let users = format!("/api/orgs/{closed}/users");
    seed.make(&users, &json!({ "loginOrEmail": "bob", "role": "Admin" }));
    assert_eq!(seed.ask("DELETE", &format!("{users}/1"), &Value::Null).0, 200);
    let watchkeeper = watchkeeper(&grafana, PASSWORD, "");
    let report = watchkeeper.run(&["run-now", JOB]).expect(3).stdout;
    assert!(report.contains("organisation \"Closed\"") && report.contains("no member"), "{report}");
    let of_it = |object: &Object| object.organisation.as_deref() == Some("Closed");
    assert!(!objects(&watchkeeper).iter().any(of_it));
}

#[test]
fn who_administers_an_organisation_and_not_the_server_exports_it_without_users() {
    let grafana = sample(Version::V10);
    let ann = grafana.seed().ask("GET", "/api/users/lookup?loginOrEmail=ann", &Value::Null).1["id"].clone();
    let role = json!({ "role": "Admin" });
    assert_eq!(grafana.seed().ask("PATCH", &format!("/api/org/users/{ann}"), &role).0, 200);
    let ann = "user = \"ann\"\npassword = { plain = \"long enough\" }";
    let watchkeeper = watchkeeper(&grafana, ann, "");
    watchkeeper.run(&["run-now", JOB]).expect(0);
    let all = objects(&watchkeeper);
    find(&all, ObjectType::Members, "bob");
    find(&all, ObjectType::Dashboards, "hosts");
    assert!(all.iter().all(|object| object.kind != ObjectType::Users));
}

#[test]
fn a_grafana_below_a_path_and_one_that_hides_its_version_are_exported() {
    let grafana = Builder::default().version(Version::V11_2).hides_version().below("/grafana").start();
    grafana.seed().one_of_everything();
    let all = export(&grafana, "");
    find(&all, ObjectType::Dashboards, "postgres");
}

#[test]
fn an_export_that_is_stopped_leaves_nothing() {
    let grafana = Builder::default().delay(Duration::from_millis(30)).start();
    grafana.seed().dashboards(300, None);
    let watchkeeper = watchkeeper(&grafana, PASSWORD, "");
    let child = watchkeeper.spawn(&["run-now", JOB]);
    wait_until("some dashboards are read", Duration::from_secs(20), || {
        grafana.count("GET", "/api/dashboards/uid/bulk") > 20
    });
    run(Command::new("kill").args(["-INT", &child.id().to_string()]));
    watchkeeper.wait(child, &["run-now", JOB]).expect(130);
    let left: Vec<_> =
        fs::read_dir(watchkeeper.store_of(JOB)).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, [".lock"]);
}
