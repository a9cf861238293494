//! What an object needs: where it is not there, the object is told as blocked, and no server is asked to take it.

use serde_json::{Value, json};

use crate::support::grafana::{Builder, Version};
use crate::support::grafana_keeper::{
    ADMIN, JOB, actions, dashboards_of, export, keeper, keeper_of, lose_hosts, restore, sample,
    with_one_in_the_way,
};

#[test]
fn a_dashboard_without_its_library_panel_is_blocked_and_not_half_stored() {
    for version in [Version::V9, Version::V12] {
        let grafana = sample(version);
        let keeper = keeper(&grafana);
        export(&keeper);
        grafana.wipe();
        grafana.forget_requests();
        let without = ["--only", "folders", "--only", "dashboards", "--only", "dashboard-permissions"];
        for _ in 0..2 {
            let failed = restore(&keeper, &without);
            assert!(matches!(failed.code, 1 | 4), "{version:?}: {failed:?}");
            let says = "dashboards/hosts in Main Org.: its library panel shared is not there, and not among what is restored";
            assert!(failed.stdout.contains(says), "{version:?}: {failed:?}");
            assert!(failed.stdout.contains(
                "dashboard-permissions/hosts in Main Org.: its dashboard hosts cannot be restored either"
            ));
        }
        assert!(grafana.requests().iter().all(|request| request.status != Some(500)), "{version:?}");
        assert_eq!(dashboards_of(&grafana), ["overview", "postgres"], "{version:?}");
        // One that is there, and has lost it, is told.
        let restored = restore(&keeper, &[&without[..], &["--only", "library-panels"]].concat());
        assert!(matches!(restored.code, 0 | 3), "{version:?}: {restored:?}");
        let stored =
            grafana.seed().ask("GET", "/api/dashboards/uid/hosts", &Value::Null).1["dashboard"].clone();
        lose_hosts(&grafana);
        grafana.seed().ask("DELETE", "/api/library-elements/shared", &Value::Null);
        let mut lost = stored.clone();
        (lost["id"], lost["version"]) = (Value::Null, Value::Null);
        let body = json!({ "dashboard": lost, "folderUid": "infra" });
        assert_eq!(grafana.seed().ask("POST", "/api/dashboards/db", &body).0, 500);
        let told = restore(&keeper, &["--only", "dashboards/hosts"]).expect(3);
        assert!(told.stdout.contains("dashboards/hosts: its library panel shared is not there"), "{told:?}");
    }
}

#[test]
fn what_hangs_on_something_that_is_blocked_is_blocked_with_it() {
    let (_here, there, keeper) = with_one_in_the_way();
    let planned = keeper.run_json(&["restore", JOB, "--grafana", "other", "--dry-run"]).expect(1);
    let link = ("blocked".to_owned(), "correlations/prom/loki/Logs".to_owned());
    assert!(actions(&planned).contains(&link), "{planned:?}");
    there.forget_requests();
    let failed = restore(&keeper, &["--grafana", "other"]).expect(4);
    let says = "correlations/prom/loki/Logs in Main Org.: its data source loki cannot be restored either";
    assert!(failed.stdout.contains(says), "{failed:?}");
    let refused =
        there.requests().into_iter().filter(|r| r.method != "GET" && r.status.is_some_and(|s| s >= 400));
    assert_eq!(refused.map(|request| request.target).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn policies_without_what_they_name_are_blocked_and_all_of_it_is_named() {
    let here = sample(Version::V11_2);
    let there = Builder::default().version(Version::V11_2).ids_from(300).start();
    let keeper = keeper_of(&[("main", here.url(), ADMIN), ("other", there.url(), ADMIN)], "");
    export(&keeper);
    let only = |more: &[&str]| {
        restore(
            &keeper,
            &[&["--grafana", "other", "--only", "policies", "--exclude", "preferences"], more].concat(),
        )
    };
    let failed = only(&["--only", "organisations"]).expect(4);
    let says = "policies/policies in Main Org.: its contact point hook, mute timing nights are not there, and not among what is restored";
    assert!(failed.stdout.contains(says), "{failed:?}");
    assert_eq!(there.writes().iter().filter(|write| write.target.contains("policies")).count(), 0);
    // With them it is written, and so is that of an organisation that is new.
    let restored = only(&["--only", "contact-points", "--only", "mute-timings"]);
    assert!(matches!(restored.code, 0 | 3), "{restored:?}");
    assert!(!restored.stdout.contains("blocked"), "{restored:?}");
}

#[test]
fn a_rule_group_without_the_contact_point_that_it_names_is_blocked() {
    let here = sample(Version::V11_2);
    let there = Builder::default().version(Version::V11_2).ids_from(300).start();
    let keeper = keeper_of(&[("main", here.url(), ADMIN), ("other", there.url(), ADMIN)], "");
    export(&keeper);
    let base = ["--grafana", "other", "--only", "rule-groups", "--only", "folders"];
    let failed = restore(&keeper, &base).expect(4);
    let says = "rule-groups/infra/host/basic in Main Org.: its contact point hook is not there, and not among what is restored";
    assert!(failed.stdout.contains(says), "{failed:?}");
    assert_eq!(there.writes().iter().filter(|write| write.target.contains("alert-rules")).count(), 0);
    let restored = restore(&keeper, &[&base[..], &["--only", "contact-points"]].concat());
    assert!(matches!(restored.code, 0 | 3), "{restored:?}");
    assert!(!restored.stdout.contains("blocked"), "{restored:?}");
    assert_eq!(there.seed().rule_provenance("rule-a"), "");
}
