//! A real Alertmanager tells of an alert that begins, goes on, ends and begins anew, by itself and after a real Prometheus.

use super::*;
use crate::support::alertmanager::Alertmanager;
use crate::support::exporter::Exporter;
use crate::support::prometheus::{Builder, Prometheus};

/// Tells the daemon of everything at once.
pub(super) fn routed_to(port: u16) -> String {
    format!(
        "route: {{ receiver: keeper, group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 1s }}\n\
         receivers:\n- name: keeper\n  webhook_configs:\n  - url: http://127.0.0.1:{port}{PATH}\n    send_resolved: true\n    \
         http_config: {{ authorization: {{ credentials: {TOKEN} }} }}\n"
    )
}

pub(super) fn fire(server: &Alertmanager, alert: &Value) {
    let body = json!([alert]).to_string();
    let answer =
        http::send(server.port, "POST", "/api/v2/alerts", &[("Content-Type", "application/json")], &body);
    assert_eq!(answer.unwrap().status, 200);
}

#[test]
fn an_alert_of_a_real_alertmanager_opens_an_incident_which_its_end_closes() {
    let mut keeper = Keeper::start("");
    let Some(server) = Alertmanager::start_with(&routed_to(keeper.port)) else { return };
    wait_until("the Alertmanager is up", SOON, || server.is_up());
    let mut alert = json!({
        "labels": { "alertname": "AppDown", "severity": "critical", "instance": "app:8080" },
        "annotations": { "summary": "the app is down" }, "startsAt": now(),
    });
    fire(&server, &alert);
    wait_until("an incident opens", SOON, || keeper.incidents().len() == 1);
    // It is repeated, and still one.
    wait_until("it is told again", SOON, || keeper.show(1)["notices"].as_u64() > Some(2));
    let incident = keeper.show(1);
    assert_eq!((incident["alert"].as_str(), incident["open"].as_bool()), (Some("AppDown"), Some(true)));
    assert_eq!(incident["labels"]["instance"], "app:8080");
    assert_eq!(incident["annotations"]["summary"], "the app is down");
    keeper.watchkeeper.run(&["incident", "note", "1", "looked at the log"]).expect(0);
    alert["endsAt"] = json!(now());
    fire(&server, &alert);
    wait_until("it is closed", SOON, || keeper.show(1)["open"] == false);
    assert_eq!(keeper.kinds(1), ["opened", "note", "closed"]);
    // What it was not told while nobody listened, it tells again.
    keeper.kill();
    let mut again = alert.clone();
    (again["startsAt"], again["endsAt"]) = (json!(now()), Value::Null);
    again.as_object_mut().unwrap().remove("endsAt");
    fire(&server, &again);
    keeper.begin();
    wait_until("another one opens", SOON, || keeper.incidents().len() == 2);
    let open = keeper.watchkeeper.run_json(&["incidents", "--open"]).expect(0).json();
    assert_eq!(open["incidents"][0]["number"], 2);
    keeper.stop();
}

const RULES: &str = r#"
groups:
- name: application
  rules:
  - alert: ServiceDown
    expr: up{job="app"} == 0
    labels: { severity: critical }
    annotations: { summary: "{{ $labels.instance }} does not answer" }
"#;

/// All of the runbook's way, from a target that does not answer to the report and back.
#[test]
fn a_service_that_is_down_is_found_looked_at_and_closed_through_prometheus_and_alertmanager() {
    let Some(prometheus) = Prometheus::host(Builder::default().without_blocks()) else { return };
    let app = scratch::free_port();
    let mut keeper = Keeper::start(&format!("[application.app]\nurl = \"http://127.0.0.1:{app}\"\n"));
    let Some(server) = Alertmanager::start_with(&routed_to(keeper.port)) else { return };
    wait_until("the Alertmanager is up", SOON, || server.is_up());
    prometheus.scrape_also("app", app);
    prometheus.alert_to(server.port);
    prometheus.load_rules(RULES);
    wait_until("an incident opens", SOON, || !keeper.incidents().is_empty());
    let incident = keeper.show(1);
    assert_eq!(
        (&incident["alert"], &incident["labels"]["severity"]),
        (&json!("ServiceDown"), &json!("critical"))
    );
    assert_eq!(incident["annotations"]["summary"], json!(format!("127.0.0.1:{app} does not answer")));
    wait_until("it was looked at", SOON, || keeper.show(1)["response"] == "done");
    let told = keeper.watchkeeper.run(&["incident", "show", "1"]).expect(0).stdout;
    assert!(told.contains(&format!("127.0.0.1:{app}")) && told.contains("refused"), "{told}");
    let up = Exporter::at(app);
    wait_until("it is closed", SOON, || keeper.show(1)["open"] == false);
    let kinds = keeper.kinds(1);
    assert_eq!((kinds[0].as_str(), kinds.last().unwrap().as_str()), ("opened", "closed"), "{kinds:?}");
    assert!(
        kinds.iter().any(|kind| kind == "step") && kinds.iter().any(|kind| kind == "response"),
        "{kinds:?}"
    );
    assert_eq!(keeper.incidents().len(), 1, "one alert, one incident");
    drop(up);
    keeper.stop();
}
