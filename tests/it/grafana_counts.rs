//! What a restore says that it has written: also where the server made something else of it, and in which organisation.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::grafana::{Builder, Fault, Grafana, Version, What};
use crate::support::grafana_keeper::{ADMIN, JOB, export, keeper, keeper_of, restore};

fn loki(grafana: &Grafana, organisation: i64, uid: &str) {
    let body = json!({ "uid": uid, "name": format!("Logs {uid}"), "type": "loki", "access": "proxy",
        "url": "http://127.0.0.1:3100" });
    grafana.seed().org(organisation).make("/api/datasources", &body);
}

#[test]
fn what_was_sent_counts_as_written_although_it_is_found_to_be_another_one() {
    let grafana = Builder::default().version(Version::V11_2).start();
    let keeper = keeper(&grafana);
    loki(&grafana, 1, "one");
    export(&keeper);
    // No request empties this field of this server.
    let changed = json!({ "uid": "one", "name": "Logs one", "type": "loki", "access": "proxy",
        "url": "http://127.0.0.1:9", "database": "people" });
    assert_eq!(grafana.seed().ask("PUT", "/api/datasources/uid/one", &changed).0, 200);
    let failed = restore(&keeper, &[]).expect(4);
    assert!(failed.stdout.contains("differs there in database"), "{failed:?}");
    assert!(failed.stdout.contains("0 of the others were written"), "{failed:?}");
    assert!(failed.stdout.contains("`watchkeeper restore grafana --undo` takes it back"), "{failed:?}");
    assert!(!failed.stdout.contains("nothing was written"), "{failed:?}");
    keeper.run(&["restore", JOB, "--undo", "--yes"]).expect(0);
    let there = grafana.seed().ask("GET", "/api/datasources/uid/one", &Value::Null).1;
    assert_eq!(there["url"], "http://127.0.0.1:9");
}

#[test]
fn what_is_turned_away_was_not_written() {
    let grafana = Builder::default().version(Version::V11_2).start();
    let keeper = keeper(&grafana);
    loki(&grafana, 1, "one");
    export(&keeper);
    grafana.seed().ask("DELETE", "/api/datasources/uid/one", &Value::Null);
    grafana.inject(Fault::new(What::answers(422, "{\"message\":\"no\"}")).on("POST", "/api/datasources"));
    let failed = restore(&keeper, &[]).expect(1);
    assert!(failed.stdout.contains("nothing was written"), "{failed:?}");
}

#[test]
fn a_failure_in_one_organisation_does_not_hide_a_loss_in_another() {
    let (here, there) =
        (Builder::default().version(Version::V11_2), Builder::default().version(Version::V11_2));
    let (here, there) = (here.start(), there.ids_from(300).start());
    let second = |grafana: &Grafana| {
        grafana.seed().make("/api/orgs", &json!({ "name": "Second" }))["orgId"].as_i64().unwrap()
    };
    let (second, _) = (second(&here), second(&there));
    for organisation in [1, second] {
        loki(&here, organisation, "one");
        loki(&here, organisation, "two");
    }
    let keeper = keeper_of(&[("main", here.url(), ADMIN), ("other", there.url(), ADMIN)], "");
    export(&keeper);
    let refused = What::answers(500, "{\"message\":\"database is locked\"}");
    let of_sources = |what| Fault::new(what).on("POST", "/api/datasources").times(1);
    there.inject(of_sources(refused));
    // The third: it says so, and does nothing.
    there.inject(of_sources(What::answers(200, "{}")).after(1));
    let failed = restore(&keeper, &["--grafana", "other"]).expect(4);
    for says in [
        "2 objects were not restored",
        "data-sources/one in Main Org.: Cannot create the data source: it answers 500",
        "data-sources/one in Second: Grafana says that it is written, but it is not there",
        "2 of the others were written",
    ] {
        assert!(failed.stdout.contains(says), "{says}\n{failed:?}");
    }
}

#[test]
fn a_restore_sends_as_many_requests_side_by_side_as_its_job_has() {
    let version = || Builder::default().version(Version::V11_2);
    let here = version().start();
    here.seed().dashboards(12, None);
    for requests in [1, 3] {
        let there = version().ids_from(300).delay(Duration::from_millis(5)).start();
        let keeper = keeper_of(
            &[("main", here.url(), ADMIN), ("other", there.url(), ADMIN)],
            &format!("requests = {requests}"),
        );
        export(&keeper);
        restore(&keeper, &["--grafana", "other", "--only", "dashboards"]).expect(0);
        assert_eq!(there.most_at_once(), requests);
        keeper.run(&["restore", JOB, "--grafana", "other", "--undo", "--yes"]).expect(0);
        assert_eq!(there.most_at_once(), requests);
    }
}

#[test]
fn an_organisation_whose_answer_is_lost_is_not_made_twice_and_did_not_fail() {
    let version = || Builder::default().version(Version::V11_2);
    let (here, there) = (version().start(), version().ids_from(300).start());
    let second = here.seed().make("/api/orgs", &json!({ "name": "Second" }))["orgId"].as_i64().unwrap();
    loki(&here, second, "one");
    let keeper = keeper_of(&[("main", here.url(), ADMIN), ("other", there.url(), ADMIN)], "");
    export(&keeper);
    there.inject(Fault::new(What::CutAfter).on("POST", "/api/orgs").times(1));
    let restored = restore(&keeper, &["--grafana", "other"]);
    assert!(matches!(restored.code, 0 | 3), "{restored:?}");
    assert_eq!(there.count("POST", "/api/orgs"), 1);
    assert!(there.contents()["orgs"]["Second"]["dataSources"]["one"].is_object(), "{}", there.contents());
}
