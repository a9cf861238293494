//! What only a panel or a plugin understands is compared to the letter: 0, false and nothing are three things there.

use serde_json::{Value, json};

use crate::support::grafana::{Builder, Grafana, Version};
use crate::support::grafana_keeper::{assert_same, export, keeper, restore};

fn dashboard(defaults: &Value, legend: &Value, editable: Option<bool>) -> Value {
    let panel = json!({ "id": 1, "type": "timeseries", "title": "Load", "fieldConfig": { "defaults": defaults },
        "options": { "legend": legend } });
    let mut dashboard = json!({ "uid": "load", "title": "Load", "panels": [panel] });
    if let Some(editable) = editable {
        dashboard["editable"] = json!(editable);
    }
    json!({ "dashboard": dashboard, "overwrite": true })
}

fn steps(value: &Value) -> Value {
    json!({ "min": 0, "decimals": 0, "thresholds": { "steps": [{ "color": "green", "value": value }] } })
}

/// What a restore says, and that it has brought everything back.
fn mends(grafana: &Grafana, damage: impl Fn(), named: &str) {
    let keeper = keeper(grafana);
    export(&keeper);
    let before = grafana.contents();
    damage();
    let planned = keeper.run(&["restore", "grafana", "--dry-run"]);
    assert!(planned.stdout.contains(named), "{named}\n{}", planned.stdout);
    let restored = restore(&keeper, &[]);
    assert!(matches!(restored.code, 0 | 3), "{restored:?}");
    assert_same(&grafana.contents(), &before, &restored.stdout);
    assert!(restore(&keeper, &[]).stdout.contains("Nothing to do"));
}

#[test]
fn a_dashboard_that_lost_a_zero_a_false_or_the_value_of_a_threshold_is_restored() {
    let full = dashboard(&steps(&json!(0)), &json!({ "showLegend": false }), Some(false));
    let cases = [
        (dashboard(&steps(&json!(null)), &json!({ "showLegend": false }), Some(false)), "steps.0.value"),
        (
            dashboard(&json!({ "min": 0 }), &json!({ "showLegend": false }), Some(false)),
            "fieldConfig.defaults",
        ),
        (dashboard(&steps(&json!(0)), &json!({}), Some(false)), "options.legend.showLegend"),
        (
            dashboard(&steps(&json!(0)), &json!({ "showLegend": false }), None),
            "differs in dashboard.editable",
        ),
    ];
    for (damaged, named) in cases {
        let grafana = Builder::default().version(Version::V10).start();
        grafana.seed().make("/api/dashboards/db", &full);
        let version = |body: &Value| {
            let mut body = body.clone();
            body["dashboard"]["version"] = Value::Null;
            body
        };
        let keeper = keeper(&grafana);
        export(&keeper);
        grafana.seed().make("/api/dashboards/db", &version(&damaged));
        let planned = keeper.run(&["restore", "grafana", "--dry-run"]).expect(0);
        assert!(planned.stdout.contains(named), "{named}\n{}", planned.stdout);
        restore(&keeper, &[]).expect(0);
        let there = grafana.seed().ask("GET", "/api/dashboards/uid/load", &Value::Null).1;
        for field in ["panels", "editable"] {
            assert_eq!(there["dashboard"][field], full["dashboard"][field], "{named}");
        }
    }
}

#[test]
fn a_data_source_that_lost_a_false_and_a_contact_point_that_lost_an_empty_text_are_restored() {
    let grafana = Builder::default().version(Version::V11_2).start();
    let source = json!({ "uid": "prom", "name": "Prometheus", "type": "prometheus", "access": "proxy",
        "jsonData": { "manageAlerts": false } });
    grafana.seed().make("/api/datasources", &source);
    let mut damaged = source.clone();
    damaged["jsonData"] = json!({});
    mends(
        &grafana,
        || {
            assert_eq!(grafana.seed().ask("PUT", "/api/datasources/uid/prom", &damaged).0, 200);
        },
        "differs in jsonData.manageAlerts",
    );
    let point = json!({ "uid": "hook", "name": "Hook", "type": "webhook",
        "settings": { "url": "http://127.0.0.1:9/", "maxAlerts": 0 } });
    grafana.seed().make("/api/v1/provisioning/contact-points", &point);
    let mut damaged = point.clone();
    damaged["settings"] = json!({ "url": "http://127.0.0.1:9/" });
    mends(
        &grafana,
        || {
            let changed = grafana.seed().ask("PUT", "/api/v1/provisioning/contact-points/hook", &damaged);
            assert_eq!(changed.0, 202, "{changed:?}");
        },
        "differs in settings.maxAlerts",
    );
}

#[test]
fn a_text_that_looks_like_a_hidden_secret_is_none_in_a_dashboard_and_all_that_differs_is_named() {
    let grafana = Builder::default().version(Version::V10).start();
    let text = |content: &str, title: &str| json!({ "overwrite": true, "dashboard": { "uid": "notes", "title": title, "tags": [content], "refresh": content } });
    grafana.seed().make("/api/dashboards/db", &text("[REDACTED]", "Notes"));
    let keeper = keeper(&grafana);
    export(&keeper);
    grafana.seed().make("/api/dashboards/db", &text("other", "Other notes"));
    let planned = keeper.run(&["restore", "grafana", "--dry-run"]).expect(0);
    for field in ["dashboard.refresh", "dashboard.tags.0", "dashboard.title"] {
        assert!(planned.stdout.contains(field), "{field}\n{}", planned.stdout);
    }
    restore(&keeper, &[]).expect(0);
    let there = grafana.seed().ask("GET", "/api/dashboards/uid/notes", &Value::Null).1;
    assert_eq!(there["dashboard"]["tags"], json!(["[REDACTED]"]));
}
