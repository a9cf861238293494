//! The round trip against a real server, where one is named.

use serde_json::{Value, json};

use crate::support::grafana_keeper::{export, keeper_of, restore};

#[test]
fn a_real_grafana_gets_back_what_it_had() {
    let Ok(url) = std::env::var("WATCHKEEPER_TEST_GRAFANA_URL") else {
        eprintln!("skipped: WATCHKEEPER_TEST_GRAFANA_URL names no Grafana that may be written to");
        return;
    };
    let variable = |name: &str, otherwise: &str| std::env::var(name).unwrap_or_else(|_| otherwise.to_owned());
    let user = variable("WATCHKEEPER_TEST_GRAFANA_USER", "admin");
    let password = variable("WATCHKEEPER_TEST_GRAFANA_PASSWORD", "admin");
    let credentials = format!("user = \"{user}\"\npassword = {{ plain = \"{password}\" }}");
    let keeper = keeper_of(&[("main", url.clone(), &credentials)], "");
    let ask = |method: &str, path: &str, body: &Value| {
        let mut curl = std::process::Command::new("curl");
        curl.args([
            "-sS",
            "-u",
            &format!("{user}:{password}"),
            "-X",
            method,
            "-H",
            "Content-Type: application/json",
        ]);
        if !body.is_null() {
            curl.args(["-d", &body.to_string()]);
        }
        let answered = curl.arg(format!("{url}{path}")).output().unwrap();
        serde_json::from_slice::<Value>(&answered.stdout).unwrap_or_default()
    };
    ask("POST", "/api/folders", &json!({ "uid": "watchkeeper-test", "title": "Watchkeeper test" }));
    let folder = ask("GET", "/api/folders/watchkeeper-test", &Value::Null);
    let dashboard = json!({ "uid": "watchkeeper-test-1", "title": "Watchkeeper test 1", "panels": [] });
    let body = json!({ "dashboard": dashboard, "folderUid": "watchkeeper-test", "folderId": folder["id"] });
    ask("POST", "/api/dashboards/db", &body);
    export(&keeper);
    ask("DELETE", "/api/folders/watchkeeper-test?forceDeleteRules=true", &Value::Null);
    let only = ["--only", "folders/watchkeeper-test", "--only", "dashboards/watchkeeper-test-1"];
    restore(&keeper, &only).expect(0);
    let again = ask("GET", "/api/dashboards/uid/watchkeeper-test-1", &Value::Null);
    assert_eq!(again["meta"]["folderTitle"], "Watchkeeper test", "{again}");
    let same = restore(&keeper, &only).expect(0);
    assert!(same.stdout.contains("Nothing to do"), "{same:?}");
    ask("DELETE", "/api/folders/watchkeeper-test?forceDeleteRules=true", &Value::Null);
}
