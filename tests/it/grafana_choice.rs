//! What of an export is restored: a plan says so of each object, and names say what is meant.

use serde_json::Value;

use crate::support::grafana::Version;
use crate::support::grafana_keeper::{
    JOB, actions, change_overview, export, keeper, lose_hosts, restore, sample,
};

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
