//! The dashboard: of a form that Grafana takes, and a real Prometheus has data for every query in it.

use serde_json::Value;

use super::*;
use crate::support::prometheus::{Builder, Prometheus};

fn panels(dashboard: &Value) -> &Vec<Value> {
    dashboard["panels"].as_array().unwrap()
}

#[test]
fn its_panels_have_a_number_and_a_place_of_their_own() {
    let watchkeeper = Watchkeeper::with_config("");
    let dashboard = watchkeeper.run(&["dashboard"]).expect(0).json();
    assert_eq!((&dashboard["uid"], &dashboard["schemaVersion"]), (&"watchkeeper".into(), &27.into()));
    assert!(dashboard["id"].is_null() && dashboard["title"] == "Watchkeeper");
    let place = |panel: &Value| ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
    let panels = panels(&dashboard);
    for (at, panel) in panels.iter().enumerate() {
        let [x, y, w, h] = place(panel);
        assert!(w > 0 && h > 0 && x + w <= 24, "{panel}");
        assert_eq!(panel["datasource"], "${datasource}");
        assert!(["stat", "table", "timeseries"].contains(&panel["type"].as_str().unwrap()));
        for other in &panels[..at] {
            let [x2, y2, w2, h2] = place(other);
            assert_ne!(panel["id"], other["id"]);
            assert!(x + w <= x2 || x2 + w2 <= x || y + h <= y2 || y2 + h2 <= y, "{panel} lies on {other}");
        }
        let targets = panel["targets"].as_array().unwrap();
        let mut letters: Vec<&str> = targets.iter().map(|target| target["refId"].as_str().unwrap()).collect();
        letters.dedup();
        assert!(!letters.is_empty() && letters.len() == targets.len(), "{panel}");
    }
    let names: Vec<&Value> =
        dashboard["templating"]["list"].as_array().unwrap().iter().map(|v| &v["name"]).collect();
    assert_eq!(names, ["datasource", "job"]);
    let file = watchkeeper.folder().join("dashboard.json");
    watchkeeper.run(&["dashboard", "--file", file.to_str().unwrap()]).expect(0);
    assert_eq!(serde_json::from_str::<Value>(&fs::read_to_string(file).unwrap()).unwrap(), dashboard);
}

#[test]
fn every_query_has_data_in_a_real_prometheus_that_scrapes_a_daemon() {
    let Some(prometheus) = Prometheus::host(Builder::default().without_blocks()) else { return };
    let port = free_port();
    let watchkeeper = Watchkeeper::with_config("");
    let job = backup(&watchkeeper, "conf", "schedule = \"@every 90d\"");
    watchkeeper.configure(&(listening(port) + &job));
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    let daemon = start(&watchkeeper);
    prometheus.scrape_also("watchkeeper", port);
    prometheus.stop();
    prometheus.start();
    prometheus.wait_ready();
    wait_until("the daemon is scraped", SOON, || !prometheus.query("watchkeeper_job_backups").is_null());
    let dashboard = watchkeeper.run(&["dashboard"]).expect(0).json();
    let mut asked = 0;
    for panel in panels(&dashboard) {
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap().replace("$job", ".*");
            assert!(!query.contains('$'), "{query}");
            assert!(!prometheus.query(&query).is_null(), "{}: no data for {query}", panel["title"]);
            asked += 1;
        }
    }
    assert!(asked > 20, "{asked}");
    stop(&watchkeeper, daemon);
}
