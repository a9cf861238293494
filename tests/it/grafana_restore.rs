//! The restore of a Grafana: export, lose everything, restore, and have the same again; into another version with other
//! numbers; and what stays as it is.

use serde_json::{Value, json};

use crate::support::grafana::{Builder, Version};
use crate::support::grafana_keeper::{
    ADMIN, JOB, SECRETS, actions, assert_same, change_overview, export, files, keeper, keeper_of, restore,
    sample, secrets, without,
};

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
