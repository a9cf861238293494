//! The restore of a Grafana: export, lose everything, restore, and have the same again; into another version with other
//! numbers; cut in the middle; taken back; and against a server that says 200 and does something else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::grafana::{Builder, Fault, Role, SECRET, Version, What};
use crate::support::grafana_keeper::{
    ADMIN, JOB, SECRETS, actions, assert_same, change_overview, export, files, keeper, keeper_of, lose_hosts,
    newest, restore, sample, secrets, target, without,
};
use crate::support::watchkeeper::Watchkeeper;

#[test]
fn what_was_lost_is_there_again_in_every_version_and_its_export_is_the_same_bytes() {
    for version in Version::ALL {
        let grafana = sample(version);
        let keeper = keeper(&grafana);
        export(&keeper);
        let (before, bytes) = (grafana.contents(), files(&keeper));
        grafana.wipe();
        let file = secrets(&keeper, SECRETS);
        let restored = restore(&keeper, &["--secrets", &file]);
        assert!(matches!(restored.code, 0 | 3), "{version:?}: {restored:?}");
        assert_same(&grafana.contents(), &before, &format!("{version:?}\n{}", restored.stdout));
        export(&keeper);
        assert_eq!(files(&keeper), bytes, "{version:?}: another export");
        grafana.forget_requests();
        let again = restore(&keeper, &[]);
        assert!(matches!(again.code, 0 | 3), "{version:?}: {again:?}");
        assert!(again.stdout.contains("Nothing to do"), "{version:?}: {again:?}");
        let writes = grafana.writes();
        assert!(writes.is_empty(), "{version:?}: {writes:?}");
    }
}

#[test]
fn a_restore_into_another_version_with_other_numbers_brings_what_that_version_knows() {
    use Version::{V7_5, V9, V11_3, V12};
    for (from, to) in [(V7_5, V12), (V9, V11_3), (V12, V7_5)] {
        let (here, there) = (sample(from), Builder::default().version(to).ids_from(7000).start());
        let keeper = keeper_of(&[("main", here.url(), ADMIN), ("other", there.url(), ADMIN)], "");
        export(&keeper);
        let file = secrets(&keeper, SECRETS);
        let restored = restore(&keeper, &["--grafana", "other", "--secrets", &file]);
        assert!(matches!(restored.code, 0 | 3), "{from:?} {to:?}: {restored:?}");
        let (old, new) = (here.contents(), there.contents());
        let orgs = |contents: &Value| contents["orgs"].clone();
        for org in ["Main Org.", "Second"] {
            for part in ["members", "teams", "playlists"] {
                // Only 7.5 numbers what is in a playlist.
                let of = |contents: &Value| without(&orgs(contents)[org][part], &["order"]);
                assert_eq!(of(&new), of(&old), "{from:?} {to:?} {org} {part}");
            }
            let dashboards = |contents: &Value| {
                let mut all = orgs(contents)[org]["dashboards"].clone();
                if from == V12 {
                    // 7.5 knows no folders in folders: it is told, and they lie side by side.
                    all["databases"].as_object_mut().map(|fields| fields.remove("folder"));
                }
                all
            };
            assert_eq!(dashboards(&new), dashboards(&old), "{from:?} {to:?} {org}");
        }
        there.forget_requests();
        let again = restore(&keeper, &["--grafana", "other"]);
        assert!(again.stdout.contains("Nothing to do"), "{from:?} {to:?}: {again:?}");
        assert!(there.writes().is_empty(), "{from:?} {to:?}: {:?}", there.writes());
    }
}

#[test]
fn a_plan_says_of_each_object_what_becomes_of_it_and_writes_nothing() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper(&grafana);
    export(&keeper);
    lose_hosts(&grafana);
    change_overview(&grafana, "Another");
    grafana.forget_requests();
    let planned = keeper.run_json(&["restore", JOB, "--dry-run"]).expect(0);
    assert_eq!(grafana.writes().len(), 0);
    let actions = actions(&planned);
    let of = |id: &str| actions.iter().find(|(_, other)| other == id).map(|(action, _)| action.as_str());
    assert_eq!(of("dashboards/hosts"), Some("create"));
    assert_eq!(of("dashboards/overview"), Some("update"));
    assert_eq!(of("dashboards/postgres"), Some("same"));
    assert_eq!(of("rule-groups/infra/host/basic"), Some("same"));
    assert_eq!(of("dashboard-permissions/hosts"), Some("create"));
    assert!(!keeper.store_of("grafana-before-restore").exists(), "nothing is kept either");
    let text = keeper.run(&["restore", JOB, "--dry-run"]).expect(0).stdout;
    assert!(text.contains("create   dashboards/hosts (Hosts) in Main Org."), "{text}");
    assert!(text.contains("differs in dashboard."), "{text}");
}

#[test]
fn only_what_is_named_is_restored_and_not_what_is_excluded() {
    let grafana = sample(Version::V9);
    let keeper = keeper(&grafana);
    export(&keeper);
    for uid in ["hosts", "overview", "postgres"] {
        grafana.seed().ask("DELETE", &format!("/api/dashboards/uid/{uid}"), &Value::Null);
    }
    restore(&keeper, &["--only", "dashboards", "--exclude", "dashboards/overview"]).expect(0);
    let there = |uid: &str| grafana.contents()["orgs"]["Main Org."]["dashboards"][uid].is_object();
    assert!(there("hosts") && there("postgres") && !there("overview"));
    restore(&keeper, &["--only", "dashboards/overview"]).expect(0);
    assert!(there("overview"));
    let wrong = restore(&keeper, &["--only", "dashboard"]).expect(2);
    assert!(wrong.stderr.contains("no type of object") && wrong.stderr.contains("rule-groups"), "{wrong:?}");
    let none = restore(&keeper, &["--only", "dashboards", "--exclude", "dashboards"]).expect(1);
    assert!(none.stderr.contains("nothing that is in the backup is meant"), "{none:?}");
}

#[test]
fn a_name_that_fits_nothing_is_an_error_before_anything_is_written() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper(&grafana);
    export(&keeper);
    change_overview(&grafana, "Mine");
    grafana.forget_requests();
    let wrong = |more: &[&str]| {
        let failed = restore(&keeper, more).expect(2).stderr;
        assert!(
            failed.contains("fits nothing in grafana/") && failed.contains("nothing was written"),
            "{failed}"
        );
        failed
    };
    let typo = wrong(&["--exclude", "dashboards/overveiw"]);
    assert!(typo.contains("--exclude dashboards/overveiw"), "{typo}");
    assert!(typo.contains("did you mean dashboards/overview (Overview)?"), "{typo}");
    assert!(
        wrong(&["--only", "dashboards", "--only", "dashboards/infra"])
            .contains("folders/infra (Infrastructure)")
    );
    assert!(wrong(&["--only", "dashboards/none-*"]).contains("`--dry-run` without it lists all"));
    assert!(wrong(&["--dry-run", "--exclude", "folders/none"]).contains("--exclude folders/none"));
    assert!(grafana.writes().is_empty(), "{:?}", grafana.writes());
    assert!(!keeper.store_of("grafana-before-restore").exists());
    // A type of which there is nothing is no slip, and permissions that nobody has set can be named.
    let rights = [
        "--exclude",
        "alert-channels",
        "--only",
        "folder-permissions/empty",
        "--only",
        "dashboards/overview",
    ];
    restore(&keeper, &rights).expect(0);
    assert_eq!(grafana.contents()["orgs"]["Main Org."]["dashboards"]["overview"]["title"], "Overview");
    let same = restore(&keeper, &["--only", "folder-permissions/empty"]).expect(0);
    assert!(same.stdout.contains("Nothing to do"), "{same:?}");
}

#[test]
fn secrets_are_listed_or_taken_from_a_file_and_a_hidden_one_is_never_sent() {
    let grafana = sample(Version::V10);
    let keeper = keeper(&grafana);
    export(&keeper);
    grafana.wipe();
    grafana.forget_requests();
    let restored = restore(&keeper, &[]).expect(3);
    for line in [
        "enter again: basicAuthPassword of data-sources/prom (Prometheus) in Main Org.",
        "enter again: password of contact-points/hook (Hook) in Main Org.",
        "enter again: password of users/ann",
    ] {
        assert!(restored.stdout.contains(line), "{line}\n{}", restored.stdout);
    }
    let sent = grafana.writes();
    assert!(sent.iter().all(|request| !request.body.contains("[REDACTED]")), "{sent:?}");
    assert!(grafana.seed().data_source_secrets("prom").is_empty());
    // What others may read is refused, and nothing is done.
    let file = secrets(&keeper, SECRETS);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let open = restore(&keeper, &["--secrets", &file]).expect(1);
    assert!(open.stderr.contains("Others than its owner") && open.stderr.contains("chmod 600"), "{open:?}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let entered = restore(&keeper, &["--secrets", &file]);
    assert!(matches!(entered.code, 0 | 3), "{entered:?}");
    assert_eq!(grafana.seed().data_source_secrets("prom")["basicAuthPassword"], SECRET);
    assert_eq!(grafana.seed().contact_point_settings("hook")["password"], SECRET);
    assert!(!format!("{entered:?}").contains(SECRET));
    // What is stored stays when something else of it is changed.
    let (_, mut source) = grafana.seed().ask("GET", "/api/datasources/uid/prom", &Value::Null);
    source["url"] = json!("http://elsewhere");
    grafana.seed().ask("PUT", "/api/datasources/uid/prom", &source);
    restore(&keeper, &[]);
    assert_eq!(grafana.seed().data_source_secrets("prom")["basicAuthPassword"], SECRET);
    let (_, source) = grafana.seed().ask("GET", "/api/datasources/uid/prom", &Value::Null);
    assert_eq!(source["url"], "http://127.0.0.1:9090");
}

#[test]
fn what_people_may_change_stays_so_and_what_only_requests_may_stays_so_too() {
    let grafana = sample(Version::V12);
    let keeper = keeper(&grafana);
    export(&keeper);
    let before = grafana.contents();
    grafana.wipe();
    restore(&keeper, &[]).expect(3);
    assert_eq!(grafana.seed().rule_provenance("rule-a"), "");
    let points = |contents: &Value| contents["orgs"]["Main Org."]["alerting"]["contactPoints"].clone();
    let provenance = |contents: &Value, uid: &str| {
        let all = points(contents);
        let found = all.as_array().unwrap().iter().find(|point| point["uid"] == uid);
        found.unwrap()["provenance"].clone()
    };
    for uid in ["hook", "mail"] {
        assert_eq!(provenance(&grafana.contents(), uid), provenance(&before, uid), "{uid}");
    }
}

#[test]
fn a_token_of_another_organisation_is_noticed_before_anything_is_written() {
    let here = sample(Version::V9);
    let second = here.contents()["orgs"]["Second"].is_object();
    assert!(second);
    let (_, org) = here.seed().ask("GET", "/api/orgs/name/Second", &Value::Null);
    let of_second =
        format!("token = {{ plain = \"{}\" }}", here.token(org["id"].as_i64().unwrap(), Role::Admin));
    let of_main = format!("token = {{ plain = \"{}\" }}", here.token(1, Role::Admin));
    let keeper = keeper_of(&[("main", here.url(), &of_second), ("other", here.url(), &of_main)], "");
    export(&keeper);
    here.seed().org(org["id"].as_i64().unwrap()).ask("DELETE", "/api/dashboards/uid/second", &Value::Null);
    here.forget_requests();
    let refused = restore(&keeper, &["--grafana", "other"]).expect(1);
    assert!(
        refused
            .stderr
            .contains("the token belongs to the organisation \"Main Org.\", and the backup is of \"Second\""),
        "{refused:?}"
    );
    assert!(here.writes().is_empty(), "{:?}", here.writes());
    // The right one does it.
    let restored = restore(&keeper, &[]);
    assert!(matches!(restored.code, 0 | 3), "{restored:?}");
    assert!(here.contents()["orgs"]["Second"]["dashboards"]["second"].is_object());
}

#[test]
fn a_200_that_did_something_else_ends_the_restore_and_is_no_success() {
    // It says that it has saved it as another one.
    let grafana = sample(Version::V9);
    let keeper = keeper(&grafana);
    export(&keeper);
    lose_hosts(&grafana);
    let other =
        r#"{"id":1,"slug":"x","status":"success","uid":"overview","url":"/d/overview/x","version":2}"#;
    grafana.inject(Fault::new(What::answers(200, other)).on("POST", "/api/dashboards/db"));
    let failed = restore(&keeper, &["--only", "dashboards"]).expect(4);
    assert!(failed.stdout.contains("has saved it as \"overview\""), "{failed:?}");
    // It says that it has saved it, and has not.
    grafana.heal();
    let right = r#"{"id":1,"slug":"x","status":"success","uid":"hosts","url":"/d/hosts/x","version":2}"#;
    grafana.inject(Fault::new(What::answers(200, right)).on("POST", "/api/dashboards/db"));
    let failed = restore(&keeper, &["--only", "dashboards"]).expect(4);
    assert!(failed.stdout.contains("and does not have it"), "{failed:?}");
    // It takes a playlist, and loses it.
    grafana.heal();
    restore(&keeper, &["--only", "dashboards"]).expect(0);
    let (_, all) = grafana.seed().ask("GET", "/api/playlists", &Value::Null);
    let uid = all[0]["uid"].as_str().unwrap();
    grafana.seed().ask("DELETE", &format!("/api/playlists/{uid}"), &Value::Null);
    grafana.inject(Fault::new(What::answers(200, "{}")).on("POST", "/api/playlists"));
    let failed = restore(&keeper, &["--only", "playlists"]);
    assert_ne!(failed.code, 0);
    assert!(
        failed.stdout.contains("playlists/Wall: Grafana says that it is written, but it is not there"),
        "{failed:?}"
    );
}

#[test]
fn folders_that_a_server_puts_side_by_side_are_told_as_not_restored() {
    let here = sample(Version::V11_2);
    let there = Builder::default().version(Version::V10).nested_folders(false).start();
    let keeper = keeper_of(&[("main", here.url(), ADMIN), ("other", there.url(), ADMIN)], "");
    export(&keeper);
    let failed = restore(&keeper, &["--grafana", "other"]).expect(4);
    assert!(
        failed.stdout.contains("folders/databases in Main Org.: Grafana says 200, and has put it at the top"),
        "{failed:?}"
    );
    let dashboards = &there.contents()["orgs"]["Main Org."]["dashboards"];
    assert_eq!(dashboards["postgres"]["folder"], "databases", "the others are restored");
}

#[test]
fn a_dashboard_that_only_has_the_same_title_is_not_overwritten() {
    for version in [Version::V7_5, Version::V11_2] {
        let grafana = sample(version);
        let keeper = keeper(&grafana);
        export(&keeper);
        grafana.seed().ask("DELETE", "/api/dashboards/uid/overview", &Value::Null);
        grafana
            .seed()
            .make("/api/dashboards/db", &json!({ "dashboard": { "uid": "other", "title": "Overview" } }));
        let planned = keeper.run_json(&["restore", JOB, "--dry-run"]).expect(1);
        assert!(actions(&planned).contains(&("blocked".into(), "dashboards/overview".into())), "{planned:?}");
        let failed = restore(&keeper, &["--only", "dashboards"]);
        assert!(matches!(failed.code, 1 | 4), "{failed:?}");
        assert!(
            failed.stdout.contains("another one that is called \"Overview\" there: dashboards/other"),
            "{failed:?}"
        );
        let there = grafana.contents()["orgs"]["Main Org."]["dashboards"]["other"].clone();
        assert_eq!(there["title"], "Overview");
        assert_eq!(there["data"]["tags"], Value::Null, "it is as it was");
    }
}

#[test]
fn what_a_file_on_the_server_decides_is_left_to_it_and_told() {
    let grafana = sample(Version::V10);
    let keeper = keeper(&grafana);
    export(&keeper);
    change_overview(&grafana, "Of the file");
    grafana.seed().provisioned_dashboard("overview");
    let restored = restore(&keeper, &["--only", "dashboards"]).expect(3);
    assert!(format!("{restored:?}").contains("it comes from a file on the server"), "{restored:?}");
    assert_eq!(grafana.contents()["orgs"]["Main Org."]["dashboards"]["overview"]["title"], "Of the file");
}

#[test]
fn bad_credentials_and_other_servers_are_told_before_anything_is_written() {
    let here = sample(Version::V9);
    let viewer = format!("token = {{ plain = \"{}\" }}", here.token(1, Role::Viewer));
    let keeper = keeper_of(
        &[
            ("main", here.url(), ADMIN),
            ("wrong", here.url(), "user = \"admin\"\npassword = { plain = \"wrong\" }"),
            ("viewer", here.url(), &viewer),
        ],
        "",
    );
    export(&keeper);
    here.forget_requests();
    let denied = restore(&keeper, &["--grafana", "wrong"]).expect(1);
    assert!(denied.stderr.contains("401") && denied.stderr.contains("lock"), "{denied:?}");
    assert_eq!(here.requests().iter().filter(|request| request.status == Some(401)).count(), 1, "asked once");
    let denied = restore(&keeper, &["--grafana", "viewer"]).expect(1);
    assert!(denied.stderr.contains("403") && denied.stderr.contains("the role Admin"), "{denied:?}");
    for (fault, says) in [
        (What::html(200, "<!DOCTYPE html><html>Welcome</html>"), "an HTML page came back"),
        (What::redirect_to_login(), "log-in page"),
    ] {
        here.inject(Fault::new(fault).at("/api/"));
        let failed = restore(&keeper, &[]).expect(1);
        assert!(failed.stderr.contains(says), "{failed:?}");
        here.heal();
    }
    assert!(here.writes().is_empty(), "{:?}", here.writes());
}

#[test]
fn a_server_that_goes_away_in_the_middle_is_told_with_what_was_done() {
    let grafana = sample(Version::V9);
    let keeper = keeper(&grafana);
    export(&keeper);
    for uid in ["hosts", "overview", "postgres"] {
        grafana.seed().ask("DELETE", &format!("/api/dashboards/uid/{uid}"), &Value::Null);
    }
    grafana.inject(
        Fault::new(What::html(502, "<html>Bad gateway</html>")).on("POST", "/api/dashboards/db").after(1),
    );
    let failed = restore(&keeper, &["--only", "dashboards"]).expect(4);
    assert!(failed.stdout.contains("The restore stopped in the middle"), "{failed:?}");
    assert!(failed.stdout.contains("run the restore again"), "{failed:?}");
    grafana.heal();
    restore(&keeper, &["--only", "dashboards"]).expect(0);
    assert!(grafana.contents()["orgs"]["Main Org."]["dashboards"]["postgres"].is_object());
}

#[test]
fn an_answer_that_is_lost_is_no_failure_where_it_was_done() {
    let grafana = sample(Version::V9);
    let keeper = keeper(&grafana);
    export(&keeper);
    grafana.wipe();
    for (method, path) in [
        ("POST", "/api/dashboards/db"),
        ("POST", "/api/folders"),
        ("POST", "/api/teams"),
        ("POST", "/api/playlists"),
    ] {
        grafana.inject(Fault::new(What::CutAfter).on(method, path).times(1));
    }
    let file = secrets(&keeper, SECRETS);
    let restored = restore(&keeper, &["--secrets", &file]);
    assert!(matches!(restored.code, 0 | 3), "{restored:?}");
    let again = restore(&keeper, &[]);
    assert!(again.stdout.contains("Nothing to do"), "{again:?}");
}

#[test]
fn an_archive_alone_a_folder_or_a_manifest_is_restored_on_a_fresh_host() {
    let here = sample(Version::V9);
    let keeper = keeper(&here);
    export(&keeper);
    let folder = keeper.store_of(JOB);
    let (archive, manifest) = (newest(&folder, ".tar.gz"), newest(&folder, ".json"));
    for from in [&archive, &manifest, &folder] {
        let there = Builder::default().version(Version::V9).ids_from(50).start();
        let fresh = Watchkeeper::with_config(&target("new", &there.url(), ADMIN));
        let from = from.to_str().unwrap();
        let restored = fresh.run(&["restore", "--from", from, "--grafana", "new", "--yes"]);
        assert_eq!(restored.code, 3, "secrets have to be entered: {restored:?}");
        assert_eq!(
            there.contents()["orgs"]["Second"]["dashboards"],
            here.contents()["orgs"]["Second"]["dashboards"]
        );
    }
    let into = keeper.folder().join("unpacked");
    keeper.run(&["restore", JOB, "--into", into.to_str().unwrap()]).expect(0);
    assert!(into.join("organisations/Second/dashboards/second.json").is_file());
}

#[test]
fn what_is_asked_for_and_what_is_suggested_is_of_a_grafana() {
    let here = sample(Version::V9);
    let keeper = keeper(&here);
    export(&keeper);
    let folder = keeper.store_of(JOB);
    let archive = newest(&folder, ".tar.gz");
    let alone = keeper.folder().join("copy.tar.gz");
    fs::copy(&archive, &alone).unwrap();
    let from = |path: &Path| keeper.run(&["restore", "--from", path.to_str().unwrap(), "--dry-run"]);
    // A manifest tells of what kind it is, and of which Grafana; an archive alone tells nothing.
    for path in [&folder, &archive] {
        assert!(from(path).expect(0).stdout.contains("Nothing to do"), "{}", path.display());
    }
    let asked = from(&alone).expect(2);
    assert!(asked.stderr.contains("Which Grafana?") && asked.stderr.contains("--grafana: main"), "{asked:?}");
    // Where every backup is bad, no run mends the one archive that an export is.
    let bytes = fs::read(&archive).unwrap();
    fs::set_permissions(&archive, fs::Permissions::from_mode(0o640)).unwrap();
    let mut damaged = bytes.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let says =
        "`watchkeeper verify grafana` says what is bad; `watchkeeper run-now grafana` makes a new backup";
    for bad in [&damaged[..], b"short"] {
        fs::write(&archive, bad).unwrap();
        let verified = keeper.run(&["verify", JOB]).expect(1);
        assert!(verified.stdout.contains("a run of its job makes a new backup"), "{verified:?}");
        let failed = restore(&keeper, &[]).expect(1);
        assert!(failed.stderr.contains(says) && !failed.stderr.contains("backup_dir"), "{failed:?}");
    }
}

#[test]
fn what_is_no_export_of_ours_is_refused_with_what_to_do() {
    let here = sample(Version::V9);
    let keeper = keeper(&here);
    export(&keeper);
    let folder = keeper.folder().join("foreign");
    fs::create_dir(&folder).unwrap();
    fs::create_dir(folder.join("dashboards")).unwrap();
    fs::write(folder.join("dashboards/a.json"), "{\"dashboard\": {}}").unwrap();
    let foreign = keeper.folder().join("grafana-backup.tar.gz");
    let tar =
        std::process::Command::new("tar").arg("-czf").arg(&foreign).arg("-C").arg(&folder).arg(".").status();
    assert!(tar.unwrap().success());
    here.forget_requests();
    let from = |path: &Path| {
        keeper.run(&["restore", "--from", path.to_str().unwrap(), "--grafana", "main", "--yes"])
    };
    let refused = from(&foreign).expect(1);
    assert!(refused.stderr.contains("is no export of a Grafana that watchkeeper made"), "{refused:?}");
    // A manifest of a newer program.
    let newer = keeper.folder().join("20300101T000000Z.json");
    fs::write(&newer, "{\"format\": 9, \"kind\": \"grafana-export\"}").unwrap();
    let refused = from(&newer).expect(1);
    assert!(refused.stderr.contains("newer watchkeeper"), "{refused:?}");
    // A bit of the archive is another one.
    let archive = newest(&keeper.store_of(JOB), ".tar.gz");
    let mut bytes = fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::set_permissions(&archive, fs::Permissions::from_mode(0o640)).unwrap();
    fs::write(&archive, bytes).unwrap();
    let refused = restore(&keeper, &[]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(here.writes().is_empty());
}

#[test]
fn a_real_grafana_gets_back_what_it_had() {
    let Ok(url) = std::env::var("WATCHKEEPER_TEST_GRAFANA_URL") else {
        eprintln!("skipped: WATCHKEEPER_TEST_GRAFANA_URL names no Grafana that may be written to");
        return;
    };
    let variable = |name: &str, otherwise: &str| std::env::var(name).unwrap_or_else(|_| otherwise.to_owned());
    let user = variable("WATCHKEEPER_TEST_GRAFANA_USER", "admin");
    let password = variable("WATCHKEEPER_TEST_GRAFANA_PASSWORD", "admin");
    let credentials = format!("user = \"{user}\"\npassword = {{ plain = \"{password}\" }}");
    let keeper = keeper_of(&[("main", url.clone(), &credentials)], "");
    let ask = |method: &str, path: &str, body: &Value| {
        let mut curl = std::process::Command::new("curl");
        curl.args([
            "-sS",
            "-u",
            &format!("{user}:{password}"),
            "-X",
            method,
            "-H",
            "Content-Type: application/json",
        ]);
        if !body.is_null() {
            curl.args(["-d", &body.to_string()]);
        }
        let answered = curl.arg(format!("{url}{path}")).output().unwrap();
        serde_json::from_slice::<Value>(&answered.stdout).unwrap_or_default()
    };
    ask("POST", "/api/folders", &json!({ "uid": "watchkeeper-test", "title": "Watchkeeper test" }));
    let folder = ask("GET", "/api/folders/watchkeeper-test", &Value::Null);
    let dashboard = json!({ "uid": "watchkeeper-test-1", "title": "Watchkeeper test 1", "panels": [] });
    let body = json!({ "dashboard": dashboard, "folderUid": "watchkeeper-test", "folderId": folder["id"] });
    ask("POST", "/api/dashboards/db", &body);
    export(&keeper);
    ask("DELETE", "/api/folders/watchkeeper-test?forceDeleteRules=true", &Value::Null);
    let only = ["--only", "folders/watchkeeper-test", "--only", "dashboards/watchkeeper-test-1"];
    restore(&keeper, &only).expect(0);
    let again = ask("GET", "/api/dashboards/uid/watchkeeper-test-1", &Value::Null);
    assert_eq!(again["meta"]["folderTitle"], "Watchkeeper test", "{again}");
    let same = restore(&keeper, &only).expect(0);
    assert!(same.stdout.contains("Nothing to do"), "{same:?}");
    ask("DELETE", "/api/folders/watchkeeper-test?forceDeleteRules=true", &Value::Null);
}
