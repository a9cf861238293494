//! What a server knows.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use jiff::{Timestamp, ToSpan as _};
use serde_json::{Map, Value, json};

use super::auth::{Role, Token};
use super::permissions::Grant;
use super::version::Version;

/// How Grafana writes "never".
pub(super) const NEVER: &str = "0001-01-01T00:00:00Z";
/// Where avatars are when Gravatar is off.
pub(super) const AVATAR: &str = "/public/img/user_profile.png";

#[derive(Clone)]
pub(super) struct State {
    pub(super) version: Version,
    pub(super) nested: bool,
    pub(super) hide_version: bool,
    first_id: i64,
    ids: HashMap<&'static str, i64>,
    pub(super) orgs: BTreeMap<i64, Org>,
    pub(super) users: BTreeMap<i64, User>,
    pub(super) tokens: Vec<Token>,
    pub(super) failed_logins: HashMap<String, Vec<Instant>>,
}

#[derive(Clone, Default)]
pub(super) struct Org {
    pub(super) name: String,
    pub(super) members: BTreeMap<i64, Role>,
    /// Folders, too: one table, and one row of IDs [R 014, 064].
    pub(super) dashboards: BTreeMap<i64, Dashboard>,
    pub(super) data_sources: BTreeMap<i64, DataSource>,
    pub(super) teams: BTreeMap<i64, Team>,
    pub(super) library: BTreeMap<i64, Value>,
    pub(super) playlists: BTreeMap<i64, Value>,
    pub(super) annotations: BTreeMap<i64, Value>,
    pub(super) snapshots: BTreeMap<i64, Value>,
    pub(super) channels: BTreeMap<i64, Value>,
    pub(super) correlations: Vec<Value>,
    pub(super) public_dashboards: Vec<Value>,
    pub(super) service_accounts: BTreeMap<i64, Value>,
    pub(super) preferences: Map<String, Value>,
    pub(super) alerting: Alerting,
}

#[derive(Clone)]
pub(super) struct User {
    pub(super) login: String,
    pub(super) email: String,
    pub(super) name: String,
    pub(super) password: String,
    pub(super) is_admin: bool,
    pub(super) is_disabled: bool,
    /// Comes from a directory, which also says in which teams it is.
    pub(super) is_external: bool,
    pub(super) created: String,
    pub(super) last_seen: Option<Timestamp>,
    /// The organisation without a header.
    pub(super) org: i64,
}

/// A dashboard or a folder.
#[derive(Clone, Default)]
pub(super) struct Dashboard {
    pub(super) id: i64,
    pub(super) uid: String,
    pub(super) title: String,
    pub(super) slug: String,
    pub(super) is_folder: bool,
    /// 0 is General, or the root.
    pub(super) folder: i64,
    pub(super) data: Value,
    pub(super) version: i64,
    pub(super) created: String,
    pub(super) created_by: String,
    pub(super) updated: String,
    pub(super) updated_by: String,
    pub(super) has_acl: bool,
    pub(super) acl: Vec<Grant>,
    pub(super) history: Vec<Value>,
    pub(super) provisioned: bool,
}

#[derive(Clone)]
pub(super) struct DataSource {
    /// All that can be read, without `id`, `orgId`, `version` and `secureJsonFields`.
    pub(super) body: Value,
    pub(super) version: i64,
    pub(super) secrets: Map<String, Value>,
}

#[derive(Clone)]
pub(super) struct Team {
    pub(super) name: String,
    pub(super) email: String,
    /// User and permission: 0 member, 4 admin.
    pub(super) members: BTreeMap<i64, i64>,
}

/// What the provisioning API shows, and the ruler of 8.
#[derive(Clone)]
pub(super) struct Alerting {
    pub(super) rules: BTreeMap<i64, Value>,
    /// Seconds by folder UID and group.
    pub(super) intervals: BTreeMap<(String, String), i64>,
    pub(super) contact_points: Vec<Value>,
    pub(super) policies: Value,
    pub(super) mute_timings: Vec<Value>,
    pub(super) templates: Vec<Value>,
    /// The ruler's groups by folder title, and the Alertmanager's configuration, both of 8 only.
    pub(super) ruler: Map<String, Value>,
    pub(super) alertmanager: Value,
}

impl Default for Alerting {
    /// As installed: one contact point that sends mail to nobody, and the policy that uses it [M].
    fn default() -> Self {
        Self {
            rules: BTreeMap::new(),
            intervals: BTreeMap::new(),
            contact_points: vec![json!({
                "uid": "", "name": "grafana-default-email", "type": "email",
                "settings": { "addresses": "<example@email.com>" }, "disableResolveMessage": false,
            })],
            policies: default_policies(),
            mute_timings: Vec::new(),
            templates: Vec::new(),
            ruler: Map::new(),
            alertmanager: json!({ "template_files": {}, "alertmanager_config": {} }),
        }
    }
}

/// The tree to which DELETE goes back [S].
pub(super) fn default_policies() -> Value {
    json!({ "receiver": "grafana-default-email", "group_by": ["grafana_folder", "alertname"] })
}

impl State {
    pub(super) fn new(version: Version, first_id: i64, nested: bool, hide_version: bool) -> Self {
        let mut state = Self {
            version,
            nested,
            hide_version,
            first_id,
            ids: HashMap::new(),
            orgs: BTreeMap::new(),
            users: BTreeMap::new(),
            tokens: Vec::new(),
            failed_logins: HashMap::new(),
        };
        state.wipe();
        state
    }

    /// A new database: but an ID is never given twice, so that tests see who relied on one.
    pub(super) fn wipe(&mut self) {
        let (login, password) = super::ADMIN;
        let admin = User {
            login: login.into(),
            email: "admin@localhost".into(),
            name: String::new(),
            password: password.into(),
            is_admin: true,
            is_disabled: false,
            is_external: false,
            created: now(),
            last_seen: None,
            org: 1,
        };
        self.users = BTreeMap::from([(1, admin)]);
        let members = BTreeMap::from([(1, Role::Admin)]);
        self.orgs = BTreeMap::from([(1, Org { name: "Main Org.".into(), members, ..Org::default() })]);
        self.tokens.clear();
        self.failed_logins.clear();
        for (table, first) in [("user", 1), ("org", 1)] {
            let last = self.ids.entry(table).or_insert(self.first_id);
            *last = (*last).max(first);
        }
    }

    /// The next ID of a table.
    pub(super) fn next(&mut self, table: &'static str) -> i64 {
        let last = self.ids.entry(table).or_insert(self.first_id);
        *last += 1;
        *last
    }

    /// A UID that Grafana makes up.
    pub(super) fn new_uid(&mut self) -> String {
        format!("made{:05}", self.next("uid"))
    }

    /// An organisation that is there: the caller's is.
    pub(super) fn org(&mut self, id: i64) -> &mut Org {
        self.orgs.entry(id).or_default()
    }
}

impl Org {
    pub(super) fn by_uid(&self, uid: &str) -> Option<&Dashboard> {
        self.dashboards.values().find(|d| d.uid == uid)
    }

    pub(super) fn folder(&self, uid: &str) -> Option<&Dashboard> {
        self.by_uid(uid).filter(|d| d.is_folder)
    }

    /// From the folder that something is in up to the root.
    pub(super) fn above(&self, dashboard: &Dashboard) -> Vec<&Dashboard> {
        let next = |d: &&Dashboard| self.dashboards.get(&d.folder);
        std::iter::successors(self.dashboards.get(&dashboard.folder), next).collect()
    }
}

/// Seconds, as most answers have them.
pub(super) fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// As answers to a POST have it that give back what is still in memory [R 061, 111].
pub(super) fn precisely_now() -> String {
    format!("{:.9}", Timestamp::now())
}

/// Seconds from now.
pub(super) fn in_seconds(seconds: i64) -> String {
    let then = Timestamp::now() + seconds.seconds();
    then.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
