//! What gets into a server, or is looked up in it, past the API: many objects at once, what only files and
//! other tools can make, and secrets, which no request shows.

use serde_json::{Map, Value, json};

use super::auth::{Caller, basic};
use super::http::Call;
use super::json::text;
use super::save::{self, Wanted};
use super::state::State;
use super::version::Version;
use super::{Grafana, router};

/// Puts things into one organisation: the first one unless [`Self::org`] says another.
pub(crate) struct Seeder<'a> {
    server: &'a Grafana,
    org: i64,
}

impl<'a> Seeder<'a> {
    pub(super) fn new(server: &'a Grafana) -> Self {
        Self { server, org: 1 }
    }

    /// In this organisation, which is there.
    pub(crate) fn org(self, org: i64) -> Self {
        Self { org, ..self }
    }

    pub(super) fn server(&self) -> &'a Grafana {
        self.server
    }

    pub(super) fn version(&self) -> Version {
        self.server.state().version
    }

    /// What a request of the administrator is answered: by the same rules, but past the wire, the faults and the log.
    pub(crate) fn ask(&self, method: &str, target: &str, body: &Value) -> (u16, Value) {
        self.ask_with(method, target, &[], body)
    }

    /// The same with headers, which may be somebody else's, too.
    pub(crate) fn ask_with(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> (u16, Value) {
        let (login, password) = super::ADMIN;
        let (who, org) = (basic(login, password), self.org.to_string());
        // The first of a name counts.
        let own = [("Authorization", who.as_str()), ("X-Grafana-Org-Id", org.as_str())];
        let headers = [headers, &own].concat();
        let mut call = Call::new(method, target, &headers, body.to_string().as_bytes());
        let answer = router::answer(&mut self.server.state(), &mut call);
        (answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::Null))
    }

    /// POSTs, and insists on it.
    pub(crate) fn make(&self, target: &str, body: &Value) -> Value {
        let (status, answer) = self.ask("POST", target, body);
        assert!((200..300).contains(&status), "POST {target} {body}: {status} {answer}");
        answer
    }

    /// `bulk-00000`, `bulk-00001`, … with titles `Bulk 00000` …, in a folder or in General: through the same rules
    /// as a request, without its way. 2,500 take a moment.
    pub(crate) fn dashboards(&self, count: usize, folder: Option<&str>) {
        let mut state = self.server.state();
        let folder =
            folder.map_or(0, |uid| state.org(self.org).folder(uid).expect("a folder of this UID").id);
        for number in 0..count {
            let (uid, title) = (format!("bulk-{number:05}"), format!("Bulk {number:05}"));
            let panel = json!({ "id": 1, "type": "text", "title": format!("panel of {number}") });
            let data = json!({ "uid": uid, "title": title, "tags": ["bulk"], "schemaVersion": 27, "panels": [panel] });
            self.save(&mut state, Wanted { uid, title, folder, data, ..Wanted::default() });
        }
    }

    /// `folder-00000` … with titles `Folder 00000` …, at the root or in a folder.
    pub(crate) fn folders(&self, count: usize, parent: Option<&str>) {
        let mut state = self.server.state();
        let folder =
            parent.map_or(0, |uid| state.org(self.org).folder(uid).expect("a folder of this UID").id);
        for number in 0..count {
            let (uid, title) = (format!("folder-{number:05}"), format!("Folder {number:05}"));
            self.save(&mut state, Wanted { uid, title, folder, is_folder: true, ..Wanted::default() });
        }
    }

    fn save(&self, state: &mut State, wanted: Wanted) {
        let caller = Caller { org: self.org, user: 1, name: "admin".into(), ..Caller::default() };
        save::save(state, &caller, wanted).expect("nothing is in the way");
    }

    /// From a file on the server: it cannot be saved by a request [S][D].
    pub(crate) fn provisioned_dashboard(&self, uid: &str) {
        let mut state = self.server.state();
        let mut all = state.org(self.org).dashboards.values_mut();
        all.find(|d| d.uid == uid).expect("a dashboard of this UID").provisioned = true;
    }

    /// From a file on the server: it can neither be changed nor deleted by a request [S].
    pub(crate) fn provisioned_data_source(&self, uid: &str) {
        let mut state = self.server.state();
        let mut all = state.org(self.org).data_sources.values_mut();
        let found = all.find(|d| text(&d.body, "uid") == uid).expect("a data source of this UID");
        found.body["readOnly"] = json!(true);
    }

    /// From a file on the server: no request changes it, with or without the header [S].
    pub(crate) fn provisioned_rule(&self, uid: &str) {
        let mut state = self.server.state();
        let mut all = state.org(self.org).alerting.rules.values_mut();
        all.find(|rule| text(rule, "uid") == uid).expect("a rule of this UID")["provenance"] = json!("file");
    }

    /// From a directory: the server's teams follow it, and not the other way round.
    pub(crate) fn external_user(&self, login: &str) {
        let mut state = self.server.state();
        state.users.values_mut().find(|user| user.login == login).expect("a user").is_external = true;
    }

    /// Somebody was made at this time.
    pub(crate) fn user_made(&self, login: &str, created: &str) {
        let mut state = self.server.state();
        let user = state.users.values_mut().find(|user| user.login == login).expect("a user");
        created.clone_into(&mut user.created);
    }

    /// The secrets of a data source, as they are stored.
    pub(crate) fn data_source_secrets(&self, uid: &str) -> Map<String, Value> {
        let mut state = self.server.state();
        let mut all = state.org(self.org).data_sources.values();
        all.find(|d| text(&d.body, "uid") == uid).expect("a data source of this UID").secrets.clone()
    }

    /// The settings of a contact point, secrets included, as they are stored.
    pub(crate) fn contact_point_settings(&self, uid: &str) -> Value {
        let mut state = self.server.state();
        let mut all = state.org(self.org).alerting.contact_points.iter();
        all.find(|point| text(point, "uid") == uid).expect("a contact point of this UID")["settings"].clone()
    }

    /// `provenance` of an alert rule as it is stored: empty where people may change it.
    pub(crate) fn rule_provenance(&self, uid: &str) -> String {
        let mut state = self.server.state();
        let mut all = state.org(self.org).alerting.rules.values();
        text(all.find(|rule| text(rule, "uid") == uid).expect("a rule of this UID"), "provenance").to_owned()
    }
}
