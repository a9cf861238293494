//! Somebody changes a Grafana while it is restored: what no backup has is not written over, and it is told.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::grafana::{Builder, Fault, Grafana, Version, What};
use crate::support::grafana_keeper::{JOB, change_overview, export, keeper, restore, sample};

/// Just before the first write of this path, when all was kept, somebody else asks this.
fn before_the_first(grafana: &Grafana, written: &str, method: &'static str, target: &str, body: Value) {
    let what = What::Meanwhile { method, target: target.to_owned(), body };
    grafana.inject(Fault::new(what).on("POST", written).times(1));
}

#[test]
fn what_somebody_changes_after_it_was_kept_is_not_written_over_and_is_named() {
    for version in [Version::V7_5, Version::V9, Version::V11_2] {
        let grafana = sample(version);
        let keeper = keeper(&grafana);
        export(&keeper);
        // The folder is written first, and while it is, somebody edits what comes later.
        grafana.seed().ask("DELETE", "/api/folders/empty", &Value::Null);
        change_overview(&grafana, "Damaged");
        let mut prom = grafana.seed().ask("GET", "/api/datasources/uid/prom", &Value::Null).1;
        let edited = json!({ "dashboard": { "uid": "overview", "title": "Of a person" }, "overwrite": true });
        before_the_first(&grafana, "/api/folders", "POST", "/api/dashboards/db", edited);
        let failed = restore(&keeper, &[]).expect(4);
        let told = "dashboards/overview in Main Org.: somebody has changed it meanwhile";
        assert!(failed.stdout.contains(told), "{version:?} {failed:?}");
        assert!(failed.stdout.contains("run the restore again"), "{version:?} {failed:?}");
        let title = || {
            grafana.seed().ask("GET", "/api/dashboards/uid/overview", &Value::Null).1["dashboard"]["title"]
                .clone()
        };
        assert_eq!(title(), "Of a person", "{version:?}");
        // It is what is kept now, so a second restore is free to replace it.
        grafana.heal();
        let again = restore(&keeper, &[]);
        assert!(matches!(again.code, 0 | 3), "{again:?}");
        assert_eq!(title(), "Overview", "{version:?}");
        // One of a list, by its number on the old ones.
        prom["url"] = json!("http://damaged");
        let by_number = format!("/api/datasources/{}", prom["id"]);
        grafana.seed().ask("DELETE", "/api/folders/empty", &Value::Null);
        let put = |url: &str| {
            let mut body = prom.clone();
            body["url"] = json!(url);
            body["version"] = Value::Null;
            body
        };
        assert_eq!(grafana.seed().ask("PUT", &by_number, &put("http://damaged")).0, 200);
        let what =
            What::Meanwhile { method: "PUT", target: by_number.clone(), body: put("http://of-a-person") };
        // The plan lists them, what is kept lists them, and then it is their turn.
        grafana.inject(Fault::new(what).on("GET", "/api/datasources/uid/prom").after(2).times(1));
        let failed = restore(&keeper, &["--only", "data-sources"]).expect(1);
        assert!(failed.stdout.contains("data-sources/prom: somebody has changed it meanwhile"), "{failed:?}");
        let there = grafana.seed().ask("GET", "/api/datasources/uid/prom", &Value::Null).1;
        assert_eq!(there["url"], "http://of-a-person", "{version:?}");
    }
}

#[test]
fn what_somebody_makes_of_the_same_name_is_not_written_over_and_what_is_already_right_is_no_failure() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper(&grafana);
    export(&keeper);
    for uid in ["overview", "hosts"] {
        grafana.seed().ask("DELETE", &format!("/api/dashboards/uid/{uid}"), &Value::Null);
    }
    grafana.seed().ask("DELETE", "/api/folders/empty", &Value::Null);
    let mine = json!({ "dashboard": { "uid": "overview", "title": "Of a person" } });
    before_the_first(&grafana, "/api/folders", "POST", "/api/dashboards/db", mine);
    let failed = restore(&keeper, &[]).expect(4);
    assert!(
        failed.stdout.contains("dashboards/overview in Main Org.: somebody has changed it"),
        "{failed:?}"
    );
    assert!(failed.stdout.contains("1 object was not restored"), "{failed:?}");
    let there = grafana.seed().ask("GET", "/api/dashboards/uid/overview", &Value::Null).1;
    assert_eq!(there["dashboard"]["title"], "Of a person");
}

#[test]
fn what_looking_again_costs_with_thousands_of_dashboards_is_one_request_each() {
    let grafana = Builder::default().version(Version::V11_2).start();
    grafana.seed().dashboards(2500, None);
    let keeper = keeper(&grafana);
    export(&keeper);
    grafana.wipe();
    grafana.forget_requests();
    let began = Instant::now();
    let restored = restore(&keeper, &["--only", "dashboards"]);
    assert!(matches!(restored.code, 0 | 3), "{restored:?}");
    let took = began.elapsed();
    // Looked at again, looked at by who writes it, looked at when it was saved, and by the export that proves it.
    assert_eq!(grafana.count("POST", "/api/dashboards/db"), 2500);
    let requests = grafana.requests();
    let looked = requests.iter().filter(|r| {
        r.method == "GET"
            && r.target.starts_with("/api/dashboards/uid/bulk-")
            && !r.target.ends_with("/permissions")
    });
    assert_eq!(looked.count(), 4 * 2500);
    eprintln!("{took:?} for 2,500 dashboards");
    keeper.run(&["restore", JOB, "--only", "dashboards", "--dry-run"]).expect(0);
}
