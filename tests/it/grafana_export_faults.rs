//! Exports of a Grafana that answers wrongly, late, or not at all: the export is whole, or it fails and leaves nothing.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use watchkeeper::grafana::object::{Object, ObjectType};

use crate::support::grafana::{Builder, Fault, Version, What};
use crate::support::grafana_export::{JOB, PASSWORD, export, fails, objects, sample, watchkeeper};
use crate::support::{run, wait_until};

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

#[test]
fn what_does_not_pass_by_itself_is_asked_once() {
    let grafana = sample(Version::V10);
    for status in [400, 403, 404, 500, 501] {
        grafana.forget_requests();
        grafana.inject(Fault::new(What::answers(status, r#"{"message":"boom"}"#)).at("/api/playlists"));
        fails(&watchkeeper(&grafana, PASSWORD, ""), &["boom", &status.to_string()]);
        assert_eq!(grafana.count("GET", "/api/playlists"), 1, "{status}");
        grafana.heal();
    }
}
