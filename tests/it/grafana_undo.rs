//! A restore of a Grafana is taken back: as far as it went, as far as it belongs together, and no further.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::grafana::{Builder, Fault, Grafana, Version, What};
use crate::support::grafana_keeper::{
    ADMIN, COMING, JOB, SECRETS, actions, assert_same, change_overview, dashboards_of, export, keeper,
    keeper_of, lose_hosts, restore, sample, secrets, with_one_in_the_way,
};

#[test]
fn a_restore_is_taken_back_with_all_that_it_created_and_nothing_else() {
    let (here, there) =
        (sample(Version::V11_2), Builder::default().version(Version::V11_2).ids_from(300).start());
    let keeper = keeper_of(&[("main", here.url(), ADMIN), ("other", there.url(), ADMIN)], "");
    export(&keeper);
    // Something of its own, something that differs, and something that is there already.
    there.seed().make("/api/folders", &json!({ "uid": "infra", "title": "Of old" }));
    let own = json!({ "dashboard": { "uid": "mine", "title": "Mine" }, "folderUid": "infra" });
    there.seed().make("/api/dashboards/db", &own);
    let hosts = json!({ "dashboard": { "uid": "hosts", "title": "Hosts of old" }, "folderUid": "" });
    there.seed().make("/api/dashboards/db", &hosts);
    let before = there.contents();
    let restored = restore(&keeper, &["--grafana", "other"]).expect(3);
    assert!(
        restored.stdout.contains("`watchkeeper restore grafana --grafana other --undo` brings back"),
        "{restored:?}"
    );
    assert_ne!(there.contents(), before);
    // What another Grafana had is not brought to this one.
    let other = keeper.run(&["restore", JOB, "--undo", "--yes"]).expect(1);
    assert!(other.stderr.contains("There is no restore of grafana to take back"), "{other:?}");
    // Edited since, and nothing that the restore had to do with.
    let edited = json!({ "dashboard": { "uid": "mine", "title": "Mine, edited" }, "folderUid": "infra", "overwrite": true });
    there.seed().make("/api/dashboards/db", &edited);
    let undone = keeper.run(&["restore", JOB, "--grafana", "other", "--undo", "--yes"]);
    assert!(matches!(undone.code, 0 | 3), "{undone:?}");
    let (mut after, mut expected) = (there.contents(), before);
    for contents in [&mut after, &mut expected] {
        contents["orgs"]["Main Org."]["dashboards"]["mine"]["data"] = Value::Null;
        contents["orgs"]["Main Org."]["dashboards"]["mine"]["title"] = Value::Null;
        // What nobody has ever set cannot be said again: theme and time zone are as before.
        contents["orgs"]["Main Org."]["preferences"] = Value::Null;
        contents["orgs"]["Main Org."]["alerting"]["intervals"] = Value::Null;
        contents["orgs"]["Main Org."]["alerting"]["policies"]["provenance"] = Value::Null;
        // Rows that nobody has set are the same rows now, and somebody has set them.
        contents["orgs"]["Main Org."]["dashboards"]["infra"]["acl"] = Value::Null;
        contents["orgs"]["Main Org."]["dashboards"]["infra"]["hasAcl"] = Value::Null;
        contents["orgs"]["Main Org."]["dashboards"]["hosts"]["acl"] = Value::Null;
        contents["orgs"]["Main Org."]["dashboards"]["hosts"]["hasAcl"] = Value::Null;
    }
    assert_same(&after, &expected, &undone.stdout);
    for uid in ["infra", "hosts"] {
        let acl = there.contents()["orgs"]["Main Org."]["dashboards"][uid]["acl"].clone();
        let rows = json!([{ "to": "role Viewer", "level": 1 }, { "to": "role Editor", "level": 2 }]);
        assert_eq!(acl, rows, "{uid}");
    }
    let title = |uid: &str| there.contents()["orgs"]["Main Org."]["dashboards"][uid]["title"].clone();
    assert_eq!(title("mine"), "Mine, edited");
    let nothing = keeper.run(&["restore", JOB, "--grafana", "other", "--undo", "--yes"]).expect(1);
    assert!(nothing.stderr.contains("There is no restore of grafana to take back"), "{nothing:?}");
}

#[test]
fn what_can_be_restored_being_there_ends_a_restore_and_a_later_one_is_taken_back_alone() {
    let (_here, there, keeper) = with_one_in_the_way();
    let other = |more: &[&str]| restore(&keeper, &[&["--grafana", "other"], more].concat());
    other(&[]).expect(4);
    let left = other(&["--exclude", "data-sources/loki", "--exclude", "correlations"]);
    assert!(left.stdout.contains("Nothing to do"), "{left:?}");
    let all = dashboards_of(&there);
    let broken = json!({ "dashboard": { "uid": "postgres", "title": "Broken" }, "folderUid": "databases", "overwrite": true });
    there.seed().make("/api/dashboards/db", &broken);
    other(&["--only", "dashboards/postgres"]).expect(0);
    let undone = keeper.run(&["restore", JOB, "--grafana", "other", "--undo", "--yes"]).expect(0);
    assert_eq!(dashboards_of(&there), all, "{}", undone.stdout);
    // What would choose is for a restore, and not passed over here.
    keeper.run(&["restore", JOB, "--grafana", "other", "--undo", "--only", "dashboards", "--yes"]).expect(2);
}

#[test]
fn a_restore_that_took_many_tries_is_taken_back_to_what_was_before_the_first() {
    let (_here, there, keeper) = with_one_in_the_way();
    for _ in 0..7 {
        restore(&keeper, &["--grafana", "other"]).expect(4);
        // What is missing again is written by the next one.
        lose_hosts(&there);
    }
    let kept = || fs::read_dir(keeper.store_of("other-before-restore")).unwrap().flatten();
    let first = kept().map(|entry| entry.path()).filter(|path| {
        path.extension().is_some_and(|e| e == "json") && !path.to_string_lossy().ends_with(".state.json")
    });
    let first = first.min().unwrap();
    assert!(!dashboards_of(&there).is_empty());
    let hidden = first.with_extension("hidden");
    fs::rename(&first, &hidden).unwrap();
    let refused = keeper.run(&["restore", JOB, "--grafana", "other", "--undo", "--yes"]).expect(1);
    assert!(refused.stderr.contains("is not there any more: nothing was taken back"), "{refused:?}");
    fs::rename(&hidden, &first).unwrap();
    let undone = keeper.run(&["restore", JOB, "--grafana", "other", "--undo", "--yes"]);
    assert!(matches!(undone.code, 0 | 3), "{undone:?}");
    assert_eq!(dashboards_of(&there), [""; 0]);
}

#[test]
fn a_restore_that_is_killed_is_finished_by_the_next_one_and_both_are_taken_back_together() {
    let grafana = sample(Version::V10);
    grafana.seed().dashboards(60, Some("infra"));
    let keeper = keeper(&grafana);
    export(&keeper);
    let full = grafana.contents();
    grafana.wipe();
    let empty = grafana.contents();
    grafana.forget_requests();
    grafana.inject(Fault::new(What::Slow(Duration::from_millis(60))).on("POST", "/api/dashboards/db"));
    let mut cut = keeper.spawn(&["restore", JOB, "--yes"]);
    let since = Instant::now();
    while grafana.count("POST", "/api/dashboards/db") < 20 {
        assert!(since.elapsed() < COMING, "it never came so far: {:?}", grafana.requests().len());
        std::thread::sleep(Duration::from_millis(5));
    }
    cut.kill().unwrap();
    cut.wait().unwrap();
    grafana.heal();
    let dashboards =
        |contents: &Value| contents["orgs"]["Main Org."]["dashboards"].as_object().unwrap().len();
    // What had been sent before it was killed is still done.
    let mut seen = Value::Null;
    while seen != grafana.contents() {
        seen = grafana.contents();
        std::thread::sleep(Duration::from_millis(200));
    }
    let half = dashboards(&grafana.contents());
    assert!(half > 10 && half < dashboards(&full), "killed in the middle: {half}");
    let file = secrets(&keeper, SECRETS);
    let restored = restore(&keeper, &["--secrets", &file]);
    assert!(matches!(restored.code, 0 | 3), "{restored:?}");
    assert_eq!(
        grafana.contents()["orgs"]["Main Org."]["dashboards"],
        full["orgs"]["Main Org."]["dashboards"]
    );
    let undone = keeper.run(&["restore", JOB, "--undo", "--yes"]);
    assert!(matches!(undone.code, 0 | 3), "{undone:?}");
    assert_eq!(
        grafana.contents()["orgs"]["Main Org."]["dashboards"],
        empty["orgs"]["Main Org."]["dashboards"],
        "as before the one that was killed"
    );
    assert_eq!(grafana.contents()["users"], empty["users"]);
    assert!(grafana.contents()["orgs"]["Second"].is_null());
}

#[test]
fn only_the_same_restore_goes_on_from_one_that_was_not_finished() {
    let (_here, there, keeper) = with_one_in_the_way();
    let other = |more: &[&str]| restore(&keeper, &[&["--grafana", "other"], more].concat());
    let undo = || keeper.run(&["restore", JOB, "--grafana", "other", "--undo", "--yes"]);
    let lose = || lose_hosts(&there);
    other(&[]).expect(4);
    let all = dashboards_of(&there);
    lose();
    // A part of it is a restore of its own.
    other(&["--only", "dashboards/hosts"]).expect(0);
    let undone = undo().expect(0);
    assert_eq!(
        dashboards_of(&there),
        ["overview", "postgres", "second"].map(str::to_owned)[..2],
        "{undone:?}"
    );
    // So is the same one, days later.
    other(&[]).expect(4);
    assert_eq!(dashboards_of(&there), all);
    let note = keeper.state().join("grafana-restore.other.json");
    let mut noted: Value = serde_json::from_slice(&fs::read(&note).unwrap()).unwrap();
    noted[0]["begun"] = json!("2020-01-01T00:00:00Z");
    fs::write(&note, noted.to_string()).unwrap();
    lose();
    other(&[]).expect(4);
    undo();
    assert_eq!(dashboards_of(&there).len(), all.len() - 1);
    // And the same one to another server.
    lose();
    other(&[]).expect(4);
    let mut noted: Value = serde_json::from_slice(&fs::read(&note).unwrap()).unwrap();
    noted[0]["attempt"]["url"] = json!("http://elsewhere:3000");
    fs::write(&note, noted.to_string()).unwrap();
    lose();
    other(&[]).expect(4);
    undo();
    assert_eq!(dashboards_of(&there).len(), all.len() - 1);
}

#[test]
fn an_undo_says_what_it_takes_back_and_a_dry_run_of_it_only_says_so() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper(&grafana);
    export(&keeper);
    lose_hosts(&grafana);
    change_overview(&grafana, "Another");
    restore(&keeper, &["--only", "dashboards"]).expect(0);
    grafana.forget_requests();
    let undo = ["restore", JOB, "--undo", "--dry-run"];
    let planned = keeper.run_json(&undo).expect(0);
    let expected = [("update", "dashboards/overview"), ("remove", "dashboards/hosts")];
    assert_eq!(actions(&planned), expected.map(|(action, id)| (action.to_owned(), id.to_owned())));
    let text = keeper.run(&undo).expect(0).stdout;
    for line in [
        "Take back the restore of grafana/",
        "update   dashboards/overview (Another) in Main Org.: differs in dashboard.",
        "remove   dashboards/hosts (Hosts) in Main Org.",
        "dashboards: 1 update, 1 remove",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(grafana.writes().is_empty(), "{:?}", grafana.writes());
    let undone = keeper.run(&["restore", JOB, "--undo", "--yes"]).expect(0);
    assert!(format!("{undone:?}").contains("remove   dashboards/hosts (Hosts)"), "{undone:?}");
    assert!(!dashboards_of(&grafana).contains(&"hosts".to_owned()));
}

#[test]
fn a_restore_of_which_nothing_is_left_is_taken_back_without_a_write() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper(&grafana);
    export(&keeper);
    lose_hosts(&grafana);
    restore(&keeper, &["--only", "dashboards"]).expect(0);
    lose_hosts(&grafana);
    grafana.forget_requests();
    let undone = keeper.run(&["restore", JOB, "--undo", "--yes"]).expect(0);
    assert!(undone.stdout.contains("0 removed"), "{undone:?}");
    assert!(grafana.writes().is_empty(), "{:?}", grafana.writes());
    keeper.run(&["restore", JOB, "--undo", "--yes"]).expect(1);
}

#[test]
fn what_other_grafanas_had_does_not_push_out_what_is_kept_of_one() {
    let (here, there) = (sample(Version::V11_2), sample(Version::V11_2));
    let keeper = keeper_of(&[("main", here.url(), ADMIN), ("other", there.url(), ADMIN)], "");
    export(&keeper);
    let hosts = "/api/dashboards/uid/hosts";
    here.seed().ask("DELETE", hosts, &Value::Null);
    restore(&keeper, &["--only", "dashboards"]).expect(0);
    for _ in 0..6 {
        there.seed().ask("DELETE", hosts, &Value::Null);
        restore(&keeper, &["--grafana", "other", "--only", "dashboards"]).expect(0);
    }
    keeper.run(&["restore", JOB, "--undo", "--yes"]).expect(0);
    assert!(!dashboards_of(&here).contains(&"hosts".to_owned()));
}

#[test]
fn where_nothing_can_be_written_nothing_is_kept() {
    let (_here, there, keeper) = with_one_in_the_way();
    there.forget_requests();
    let blocked = restore(&keeper, &["--grafana", "other", "--only", "data-sources/loki"]).expect(1);
    assert!(blocked.stdout.contains("there is another one that is called \"Loki\" there"), "{blocked:?}");
    assert!(blocked.stdout.contains("nothing was written"), "{blocked:?}");
    assert!(!keeper.store_of("other-before-restore").exists());
    assert!(there.writes().is_empty(), "{:?}", there.writes());
}

/// The number of the organisation "Second".
fn second(grafana: &Grafana) -> i64 {
    grafana.seed().ask("GET", "/api/orgs/name/Second", &Value::Null).1["id"].as_i64().unwrap()
}

#[test]
fn an_organisation_stays_for_what_people_have_made_in_it_since_and_the_undo_ends() {
    let here = sample(Version::V11_2);
    let hook = json!({ "uid": "own", "name": "Own", "type": "webhook", "settings": { "url": "http://127.0.0.1:9/" } });
    // One of theirs that a restored tree of policies would need, too.
    let tree =
        json!({ "receiver": "grafana-default-email", "routes": [{ "receiver": "grafana-default-email" }] });
    let ann = json!({ "loginOrEmail": "ann", "role": "Viewer" });
    for (method, path, body, because) in [
        ("POST", "/api/v1/provisioning/contact-points", hook, "contact-points/own"),
        ("PUT", "/api/v1/provisioning/policies", tree, "policies/policies"),
        ("POST", "/api/org/users", ann, "members/ann"),
    ] {
        let there = Builder::default().version(Version::V11_2).ids_from(300).start();
        let keeper = keeper_of(&[("main", here.url(), ADMIN), ("other", there.url(), ADMIN)], "");
        export(&keeper);
        restore(&keeper, &["--grafana", "other"]).expect(3);
        let (status, said) = there.seed().org(second(&there)).ask(method, path, &body);
        assert!((200..300).contains(&status), "{path}: {status} {said}");
        let undone = keeper.run(&["restore", JOB, "--grafana", "other", "--undo", "--yes"]).expect(3);
        let says =
            format!("organisations/Second: it stays, because of {because}, which is not from the restore");
        assert!(undone.stdout.contains(&says), "{says}\n{}", undone.stdout);
        let contents = there.contents();
        let second = &contents["orgs"]["Second"];
        assert!(second.is_object() && second["members"]["admin"].is_string(), "{because}: {second}");
        assert!(second["dashboards"]["second"].is_null(), "what the restore had made goes: {because}");
        match because {
            "policies/policies" => {
                assert_eq!(second["alerting"]["policies"]["routes"][0]["receiver"], "grafana-default-email");
            }
            "members/ann" => assert_eq!(second["members"]["ann"], "Viewer"),
            _ => assert!(second["alerting"]["contactPoints"].to_string().contains("\"own\""), "{second}"),
        }
        keeper.run(&["restore", JOB, "--grafana", "other", "--undo", "--yes"]).expect(1);
    }
}

/// A Grafana that was restored, with a dashboard "own" that somebody has made in it since, and what an undo says.
fn undone_around(own: &Value, folder: &str) -> (Value, Value, String) {
    let (here, there) = (sample(Version::V11_2), Builder::default().version(Version::V11_2).start());
    let keeper = keeper_of(&[("main", here.url(), ADMIN), ("other", there.url(), ADMIN)], "");
    export(&keeper);
    restore(&keeper, &["--grafana", "other"]).expect(3);
    there.seed().make("/api/dashboards/db", &json!({ "dashboard": own, "folderUid": folder }));
    let before = there.contents();
    let undo = ["restore", JOB, "--grafana", "other", "--undo", "--yes"];
    let undone = keeper.run(&undo).expect(3);
    keeper.run(&undo).expect(1);
    (before, there.contents(), undone.stdout)
}

#[track_caller]
fn assert_kept_for_own(kept: &[&str], said: &str) {
    for kept in kept {
        let says = format!("{kept}: it stays, because of dashboards/own");
        assert!(said.contains(&says), "{says}\n{said}");
    }
}

#[test]
fn a_folder_that_stays_keeps_those_it_lies_in_and_who_may_see_it() {
    let own = json!({ "uid": "own", "title": "Own" });
    let (before, after, said) = undone_around(&own, "databases");
    assert_kept_for_own(&["folders/databases", "folders/infra", "folder-permissions/infra"], &said);
    let dashboards = |contents: &Value| contents["orgs"]["Main Org."]["dashboards"].clone();
    let (before, after) = (dashboards(&before), dashboards(&after));
    assert_eq!(
        (&after["own"]["folder"], &after["databases"]["folder"]),
        (&json!("databases"), &json!("infra"))
    );
    // The team is from the restore, and goes; what is left of its row is nobody's.
    let roles = |dashboards: &Value| -> Vec<String> {
        let rows = dashboards["infra"]["acl"].as_array().unwrap().iter();
        rows.map(|row| row["to"].to_string()).filter(|to| to.contains("role")).collect()
    };
    assert_eq!(roles(&after), roles(&before));
    assert!(after["hosts"].is_null() && after["empty"].is_null(), "{after}");
}

#[test]
fn a_library_panel_that_somebody_shows_stays_with_its_folder() {
    let panel = json!({ "id": 1, "libraryPanel": { "uid": "shared", "name": "Shared" } });
    let own = json!({ "uid": "own", "title": "Own", "panels": [panel] });
    let (_, after, said) = undone_around(&own, "");
    assert_kept_for_own(&["library-panels/shared", "folders/infra"], &said);
    let dashboards = &after["orgs"]["Main Org."]["dashboards"];
    assert!(dashboards["infra"].is_object() && dashboards["databases"].is_null(), "{dashboards}");
}

#[test]
fn rule_groups_of_8_are_changed_created_and_taken_back() {
    let grafana = sample(Version::V8);
    let keeper = keeper(&grafana);
    let rules = "/api/ruler/grafana/api/v1/rules";
    let group = |name: &str, interval: &str, titles: &[&str]| {
        let rules: Vec<Value> = titles
            .iter()
            .map(|title| json!({ "grafana_alert": { "title": title, "condition": "A" } }))
            .collect();
        grafana.seed().make(
            "/api/ruler/grafana/api/v1/rules/Infrastructure",
            &json!({ "name": name, "interval": interval, "rules": rules }),
        );
    };
    group("new", "1m", &["Disk"]);
    export(&keeper);
    let full = grafana.contents();
    grafana.seed().ask("DELETE", &format!("{rules}/Infrastructure/new"), &Value::Null);
    group("host", "5m", &["CPU", "Own"]);
    let before = grafana.contents();
    restore(&keeper, &["--only", "ruler-groups"]).expect(0);
    assert_same(&grafana.contents(), &full, "restored");
    let same = restore(&keeper, &["--only", "ruler-groups"]).expect(0);
    assert!(same.stdout.contains("Nothing to do"), "{same:?}");
    keeper.run(&["restore", JOB, "--undo", "--yes"]).expect(0);
    assert_same(&grafana.contents(), &before, "taken back");
}
