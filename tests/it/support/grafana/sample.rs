//! One of everything that a version knows, two where order or an owner matters: for export, restore and the demo.

use serde_json::{Value, json};

use super::seed::Seeder;
use super::version::Version;

/// The password of a data source in the sample.
pub(crate) const SECRET: &str = "sample-secret";

impl Seeder<'_> {
    /// Puts it into an empty server, and a second organisation, "Second", beside it.
    pub(crate) fn one_of_everything(&self) {
        self.people();
        self.data();
        self.folders_and_dashboards();
        if self.version() >= Version::V9 {
            self.alerting();
        }
        self.old_alerting();
        self.the_rest();
        let second =
            self.make("/api/orgs", &json!({ "name": "Second" }))["orgId"].as_i64().expect("a number");
        let member = json!({ "loginOrEmail": "bob", "role": "Editor" });
        self.make(&format!("/api/orgs/{second}/users"), &member);
        let second = self.server().seed().org(second);
        second.make("/api/folders", &json!({ "uid": "second-folder", "title": "Of the second" }));
        second.dashboard("second", "Of the second organisation", "second-folder", &[]);
    }

    fn change(&self, method: &str, target: &str, body: &Value) {
        let (status, answer) = self.ask_with(method, target, &[("X-Disable-Provenance", "true")], body);
        assert!((200..300).contains(&status), "{method} {target} {body}: {status} {answer}");
    }

    fn people(&self) {
        for (login, name, role) in [("ann", "Ann", "Editor"), ("bob", "Bob", "Viewer")] {
            let mail = format!("{login}@example.org");
            let user = json!({ "login": login, "name": name, "email": mail, "password": "long enough" });
            let id = &self.make("/api/admin/users", &user)["id"];
            self.change("PATCH", &format!("/api/org/users/{id}"), &json!({ "role": role }));
        }
        let team = &self.make("/api/teams", &json!({ "name": "ops", "email": "ops@example.org" }))["teamId"];
        let ann = self.id_of_user("ann");
        self.make(&format!("/api/teams/{team}/members"), &json!({ "userId": ann }));
    }

    fn id_of_user(&self, login: &str) -> Value {
        self.ask("GET", &format!("/api/users/lookup?loginOrEmail={login}"), &Value::Null).1["id"].clone()
    }

    fn data(&self) {
        let prometheus = json!({
            "uid": "prom", "name": "Prometheus", "type": "prometheus", "access": "proxy", "isDefault": true,
            "url": "http://127.0.0.1:9090", "basicAuth": true, "basicAuthUser": "reader",
            "jsonData": { "httpMethod": "POST" }, "secureJsonData": { "basicAuthPassword": SECRET },
        });
        let loki = json!({ "uid": "loki", "name": "Loki", "type": "loki", "access": "proxy",
            "url": "http://127.0.0.1:3100", "jsonData": { "maxLines": 100 } });
        self.make("/api/datasources", &prometheus);
        self.make("/api/datasources", &loki);
        if self.version() >= Version::V9 {
            let config = json!({ "type": "query", "field": "job", "target": {} });
            let link = json!({ "targetUID": "loki", "label": "Logs", "description": "to the logs", "config": config });
            self.make("/api/datasources/uid/prom/correlations", &link);
        }
    }

    /// In a folder, named in both ways, so that every version heeds it.
    fn dashboard(&self, uid: &str, title: &str, folder: &str, panels: &[Value]) {
        let (_, found) = self.ask("GET", &format!("/api/folders/{folder}"), &Value::Null);
        let dashboard =
            json!({ "uid": uid, "title": title, "tags": ["sample"], "schemaVersion": 27, "panels": panels });
        let body = json!({ "dashboard": dashboard, "folderUid": folder, "folderId": found["id"] });
        self.make("/api/dashboards/db", &body);
    }

    fn folders_and_dashboards(&self) {
        let folders =
            [("infra", "Infrastructure", ""), ("databases", "Databases", "infra"), ("empty", "Empty", "")];
        for (uid, title, parent) in folders {
            self.make("/api/folders", &json!({ "uid": uid, "title": title, "parentUid": parent }));
        }
        let text_panel = json!({ "id": 1, "type": "text", "title": "Notes", "gridPos": { "h": 4, "w": 4 } });
        let (_, infra) = self.ask("GET", "/api/folders/infra", &Value::Null);
        let element = json!({ "uid": "shared", "name": "Shared", "kind": 1, "folderUid": "infra",
            "folderId": infra["id"], "model": { "type": "text", "description": "d" } });
        let noun = if self.version() == Version::V7_5 { "panels" } else { "elements" };
        self.make(&format!("/api/library-{noun}"), &element);
        let shared = json!({ "id": 2, "libraryPanel": { "uid": "shared", "name": "Shared" } });
        self.dashboard("overview", "Overview", "", std::slice::from_ref(&text_panel));
        self.dashboard("hosts", "Hosts", "infra", &[text_panel, shared]);
        self.dashboard("postgres", "Postgres", "databases", &[]);
        let team = &self.ask("GET", "/api/teams/search?name=ops", &Value::Null).1["teams"][0]["id"];
        let of_folder = json!({ "items": [
            { "role": "Viewer", "permission": 1 }, { "teamId": team, "permission": 2 },
        ] });
        self.make("/api/folders/infra/permissions", &of_folder);
        let (_, hosts) = self.ask("GET", "/api/dashboards/uid/hosts", &Value::Null);
        let target = format!("/api/dashboards/id/{}/permissions", hosts["dashboard"]["id"]);
        let ann = self.id_of_user("ann");
        self.make(&target, &json!({ "items": [{ "userId": ann, "permission": 4 }] }));
    }

    fn alerting(&self) {
        let settings = json!({ "url": "http://127.0.0.1:9/", "username": "u", "password": SECRET });
        let hook = json!({ "uid": "hook", "name": "Hook", "type": "webhook", "settings": settings });
        self.change("POST", "/api/v1/provisioning/contact-points", &hook);
        // Written without the header, as other tools do: read-only for people, and it has to stay so.
        let mail =
            json!({ "uid": "mail", "name": "Mail", "type": "email", "settings": { "addresses": "a@b.c" } });
        self.make("/api/v1/provisioning/contact-points", &mail);
        let nights = json!({ "name": "nights", "time_intervals": [{ "times": [
            { "start_time": "22:00", "end_time": "06:00" } ] }] });
        self.change("POST", "/api/v1/provisioning/mute-timings", &nights);
        let template = json!({ "template": "{{ define \"short\" }}{{ .Status }}{{ end }}" });
        self.change("PUT", "/api/v1/provisioning/templates/short", &template);
        let route = json!({ "receiver": "Hook", "object_matchers": [["team", "=", "ops"]],
            "mute_time_intervals": ["nights"] });
        let tree =
            json!({ "receiver": "grafana-default-email", "group_by": ["alertname"], "routes": [route] });
        self.change("PUT", "/api/v1/provisioning/policies", &tree);
        for (uid, title) in [("rule-b", "Disk full"), ("rule-a", "CPU busy")] {
            let mut rule = json!({ "uid": uid, "title": title, "condition": "A", "folderUID": "infra",
                "ruleGroup": "host/basic", "for": "5m", "data": [{ "refId": "A", "datasourceUid": "prom" }],
                "labels": { "team": "ops" }, "annotations": { "summary": title } });
            if uid == "rule-a" && self.version() >= Version::V10 {
                rule["notification_settings"] = json!({ "receiver": "Hook" });
            }
            self.change("POST", "/api/v1/provisioning/alert-rules", &rule);
        }
        let interval = json!({ "title": "host/basic", "folderUid": "infra", "interval": 30, "rules": null });
        self.change("PUT", "/api/v1/provisioning/folder/infra/rule-groups/host%2Fbasic", &interval);
    }

    /// Channels up to 10, and the ruler of 8.
    fn old_alerting(&self) {
        if self.version() <= Version::V10 {
            let channel = json!({ "uid": "channel", "name": "Channel", "type": "webhook", "isDefault": true,
                "settings": { "url": "http://127.0.0.1:9/" }, "secureSettings": { "password": SECRET } });
            self.make("/api/alert-notifications", &channel);
        }
        if self.version() == Version::V8 {
            let group = json!({ "name": "host", "interval": "1m", "rules": [{ "grafana_alert": { "title": "CPU" } }] });
            self.make("/api/ruler/grafana/api/v1/rules/Infrastructure", &group);
        }
    }

    fn the_rest(&self) {
        if self.version() >= Version::V9 {
            self.make(
                "/api/serviceaccounts",
                &json!({ "name": "exporter", "role": "Viewer", "isDisabled": false }),
            );
        }
        let items = json!([{ "type": "dashboard_by_tag", "value": "sample", "order": 1, "title": "sample" }]);
        self.make("/api/playlists", &json!({ "name": "Wall", "interval": "5m", "items": items }));
        let (_, home) = self.ask("GET", "/api/dashboards/uid/overview", &Value::Null);
        let mut preferences = json!({ "theme": "dark", "timezone": "utc" });
        if self.version() >= Version::V9 {
            preferences["homeDashboardUID"] = json!("overview");
        } else {
            preferences["homeDashboardId"] = home["dashboard"]["id"].clone();
        }
        self.change("PUT", "/api/org/preferences", &preferences);
        let moment = json!({ "dashboardId": home["dashboard"]["id"], "panelId": 1, "time": 1_600_000_000_000_i64,
            "timeEnd": 1_600_000_060_000_i64, "tags": ["deploy"], "text": "released" });
        self.make("/api/annotations", &moment);
        let snapshot = json!({ "dashboard": { "title": "Frozen", "panels": [] }, "name": "Frozen", "key": "frozen",
            "deleteKey": "thaw" });
        self.make("/api/snapshots", &snapshot);
        if self.version() >= Version::V10 {
            let public = json!({ "uid": "open", "accessToken": "0123456789abcdef0123456789abcdef", "isEnabled": true });
            self.make("/api/dashboards/uid/overview/public-dashboards", &public);
        }
    }
}
