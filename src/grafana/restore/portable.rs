//! What of an object a restore can bring to a certain server: the same of a backup and of what is there is the same
//! object, whatever else the two versions say about it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::compare::REDACTED;
use super::door::{flag, number, text};
use super::secrets::Fields;
use super::write::is_synced;
use crate::grafana::object::{Object, ObjectType, PASSWORDS, places, put, redacted};

/// What is known of the server that is restored to.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Target {
    /// Major and minor; what is unknown is taken for new.
    pub(super) version: (u32, u32),
    /// Who is in which organisation, or will be: logins.
    pub(super) users: BTreeSet<(Option<String>, String)>,
    /// Which teams an organisation has, or will have: names.
    pub(super) teams: BTreeSet<(Option<String>, String)>,
}

impl Target {
    /// Folders lie in folders from 10 on, there behind a toggle.
    pub(super) fn may_nest_folders(&self) -> bool {
        self.version >= (10, 0)
    }

    /// Two dashboards of a folder, or two folders of one, may have the same title.
    pub(super) fn titles_may_repeat(&self) -> bool {
        self.version >= (11, 3)
    }

    /// Passwords of data sources may be kept in the clear, and are shown.
    pub(super) fn shows_passwords(&self) -> bool {
        self.version < (9, 0)
    }

    fn has_user(&self, organisation: Option<&String>, login: &str) -> bool {
        self.users.contains(&(organisation.cloned(), login.to_owned()))
    }

    fn knows(&self, organisation: Option<&String>, row: &Value) -> bool {
        let (role, team, login) = (text(row, "role"), text(row, "team"), text(row, "userLogin"));
        !role.is_empty()
            || self.teams.contains(&(organisation.cloned(), team.to_owned()))
            || self.has_user(organisation, login)
    }
}

/// What a version of a server sets itself, or says about an object besides.
const OWN: [&str; 14] = [
    "accessControl",
    "created",
    "id",
    "orgId",
    "orgID",
    "provenance",
    "provisioned",
    "readOnly",
    "secureFields",
    "typeLogoUrl",
    "typeName",
    "updated",
    "updatedBy",
    "version",
];

/// The part of a body that counts.
pub(super) fn portable(
    kind: ObjectType,
    organisation: Option<&String>,
    body: &Value,
    target: &Target,
) -> Value {
    match kind {
        ObjectType::Organisations | ObjectType::Annotations | ObjectType::Snapshots | ObjectType::Plugins => {
            json!({})
        }
        ObjectType::Users => only(body, &["email", "name", "isAdmin", "isDisabled"]),
        ObjectType::Members => only(body, &["role"]),
        ObjectType::Teams => {
            json!({ "email": text(body, "email"), "members": members(organisation, body, target) })
        }
        ObjectType::ServiceAccounts => only(body, &["role", "isDisabled"]),
        // Later ones keep no password in the clear.
        ObjectType::DataSources if target.shows_passwords() => {
            let mut kept = data_source(body);
            for name in PASSWORDS {
                kept[name] = json!(text(body, name));
            }
            kept
        }
        ObjectType::DataSources => data_source(body),
        ObjectType::Folders if target.may_nest_folders() => only(body, &["title", "parentUid"]),
        ObjectType::Folders => only(body, &["title"]),
        ObjectType::LibraryPanels => {
            let kind = Some(number(body, "kind")).filter(|kind| *kind != 0).unwrap_or(1);
            json!({ "name": text(body, "name"), "kind": kind, "model": body["model"], "folderUid": text(body, "folderUid") })
        }
        ObjectType::Dashboards => {
            json!({ "folderUid": text(body, "folderUid"), "dashboard": dashboard(body) })
        }
        ObjectType::RuleGroups => {
            let rules: Vec<Value> = body["rules"].as_array().into_iter().flatten().map(rule).collect();
            json!({ "interval": body["interval"], "rules": rules })
        }
        ObjectType::FolderPermissions | ObjectType::DashboardPermissions => {
            permissions(organisation, body, target)
        }
        ObjectType::RulerGroups => ruler_group(body),
        ObjectType::Playlists => playlist(body),
        ObjectType::Preferences if target.version < (9, 0) => {
            only(body, &["theme", "timezone", "homeDashboardUID"])
        }
        ObjectType::PublicDashboards => {
            only(body, &["accessToken", "isEnabled", "annotationsEnabled", "timeSelectionEnabled", "share"])
        }
        ObjectType::Correlations
        | ObjectType::AlertChannels
        | ObjectType::Templates
        | ObjectType::MuteTimings
        | ObjectType::ContactPoints
        | ObjectType::Policies
        | ObjectType::Preferences
        | ObjectType::AlertmanagerConfig => without(body, &OWN),
    }
}

fn data_source(body: &Value) -> Value {
    let names = [
        "name",
        "type",
        "access",
        "url",
        "user",
        "database",
        "basicAuth",
        "basicAuthUser",
        "withCredentials",
        "isDefault",
        "jsonData",
    ];
    only(body, &names)
}

fn only(body: &Value, names: &[&str]) -> Value {
    let kept = names.iter().filter_map(|name| Some(((*name).to_owned(), body.get(*name)?.clone())));
    Value::Object(kept.collect())
}

fn without(body: &Value, names: &[&str]) -> Value {
    let fields = body.as_object().into_iter().flatten();
    let kept = fields.filter(|(name, _)| !names.contains(&name.as_str()));
    Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>())
}

fn dashboard(body: &Value) -> Value {
    without(&body["dashboard"], &["id", "version"])
}

/// Its folder and its group are those of the group that it is in.
fn rule(rule: &Value) -> Value {
    without(&without(rule, &OWN), &["folderUID", "ruleGroup"])
}

/// Rules without their UIDs, which earlier exports have.
fn ruler_group(body: &Value) -> Value {
    let mut kept = without(body, &OWN);
    let rules = kept.get_mut("group").and_then(|group| group.get_mut("rules"));
    for rule in rules.and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(alert) = rule.get_mut("grafana_alert").and_then(Value::as_object_mut) {
            alert.remove("uid");
        }
    }
    kept
}

/// Who is in a team and may do what there. Those that a directory has put there are its own business.
fn members(organisation: Option<&String>, body: &Value, target: &Target) -> Value {
    let all = body["members"].as_array().into_iter().flatten();
    let own = all.filter(|member| !is_synced(member) && target.has_user(organisation, text(member, "login")));
    let rows = own.map(|member| (text(member, "login").to_owned(), json!(number(member, "permission"))));
    // `{}` and no member are the same, 0 and no member are not.
    Value::Array(sorted(rows.map(|(login, level)| json!([login, level])).collect()))
}

fn permissions(organisation: Option<&String>, body: &Value, target: &Target) -> Value {
    let all = body["items"].as_array().into_iter().flatten();
    let rows = all.filter(|row| target.knows(organisation, row)).map(|row| {
        json!([text(row, "role"), text(row, "team"), text(row, "userLogin"), number(row, "permission")])
    });
    json!({ "items": sorted(rows.collect()) })
}

fn playlist(body: &Value) -> Value {
    let items = body["items"].as_array().into_iter().flatten();
    let items: Vec<Value> = items.map(|item| only(item, &["type", "value", "title"])).collect();
    json!({ "interval": text(body, "interval"), "items": items })
}

fn sorted(mut rows: Vec<Value>) -> Vec<Value> {
    rows.sort_by_key(Value::to_string);
    rows
}

/// The body as it is written: without those of whom this server knows nothing. Says who they are.
pub(super) fn without_strangers(
    kind: ObjectType,
    organisation: Option<&String>,
    body: &Value,
    target: &Target,
) -> (Value, Vec<String>) {
    let list = match kind {
        ObjectType::Teams => "members",
        ObjectType::FolderPermissions | ObjectType::DashboardPermissions => "items",
        _ => return (body.clone(), Vec::new()),
    };
    let mut strangers = Vec::new();
    let mut kept = body.clone();
    if let Some(rows) = kept.get_mut(list).and_then(Value::as_array_mut) {
        rows.retain(|row| {
            let login = if list == "members" { text(row, "login") } else { text(row, "userLogin") };
            let known = if list == "members" {
                target.has_user(organisation, login)
            } else {
                target.knows(organisation, row)
            };
            if !known {
                strangers.push(if login.is_empty() {
                    format!("team {}", text(row, "team"))
                } else {
                    login.to_owned()
                });
            }
            known && !is_synced(row)
        });
    }
    (kept, strangers)
}

/// A body has secrets that nobody can read: their names.
pub(super) fn hidden(kind: ObjectType, body: &Value) -> Vec<String> {
    let named = |field: &str| -> Vec<String> {
        let all = body.get(field).and_then(Value::as_object).into_iter().flatten();
        all.filter(|(_, there)| there.as_bool().unwrap_or(true)).map(|(name, _)| name.clone()).collect()
    };
    match kind {
        ObjectType::DataSources => named("secureJsonFields"),
        ObjectType::AlertChannels => named("secureFields"),
        ObjectType::ContactPoints => redacted(&body["settings"], ""),
        _ => Vec::new(),
    }
}

/// The secrets that an object here has already.
pub(super) fn present(kind: ObjectType, body: &Value) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = hidden(kind, body).into_iter().collect();
    if kind == ObjectType::ContactPoints {
        let settings = places(&body["settings"], "").into_iter();
        names.extend(settings.filter(|(_, value)| !value.is_null()).map(|(name, _)| name));
    }
    names
}

/// What is entered makes no difference of an object: it is neither the backup's nor, where it is hidden, to be seen.
pub(super) fn hide(object: &mut Object, entered: &Fields) {
    if object.kind == ObjectType::ContactPoints
        && let Some(settings) = object.body.get_mut("settings").and_then(Value::as_object_mut)
    {
        for name in entered.keys() {
            put(settings, name, REDACTED);
        }
    }
}

/// Not one of a restore's to write: a file on the server is its source.
pub(super) fn is_provisioned(kind: ObjectType, there: &Value) -> bool {
    match kind {
        ObjectType::DataSources => flag(there, "readOnly"),
        ObjectType::Dashboards => flag(there, "provisioned"),
        ObjectType::RuleGroups => {
            let mut rules = there["rules"].as_array().into_iter().flatten();
            rules.any(|rule| is_foreign(text(rule, "provenance")))
        }
        _ => is_foreign(text(there, "provenance")),
    }
}

/// Neither people nor this API made it.
fn is_foreign(provenance: &str) -> bool {
    !matches!(provenance, "" | "api")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grafana::restore::compare::same;

    fn target(version: (u32, u32)) -> Target {
        let users = [(Some("o".to_owned()), "ann".to_owned())].into();
        let teams = [(Some("o".to_owned()), "ops".to_owned())].into();
        Target { version, users, teams }
    }

    fn is_same(kind: ObjectType, version: (u32, u32), a: &Value, b: &Value) -> bool {
        let of = |body| portable(kind, Some(&"o".to_owned()), body, &target(version));
        same(kind, &of(a), &of(b))
    }

    #[test]
    fn a_parent_counts_where_folders_nest() {
        let (a, b) = (json!({ "title": "A", "parentUid": "p" }), json!({ "title": "A" }));
        assert!(is_same(ObjectType::Folders, (7, 5), &a, &b));
        assert!(!is_same(ObjectType::Folders, (11, 2), &a, &b));
    }

    #[test]
    fn a_row_for_somebody_who_is_not_here_does_not_count_but_every_other_one_does() {
        let rows = |rows: Value| json!({ "items": rows });
        let ann = json!({ "userLogin": "ann", "permission": 4 });
        let (a, b) = (rows(json!([ann, { "userLogin": "bob", "permission": 1 }])), rows(json!([ann])));
        assert!(is_same(ObjectType::FolderPermissions, (9, 0), &a, &b));
        assert!(!is_same(ObjectType::FolderPermissions, (9, 0), &rows(json!([])), &b));
        let ops = rows(json!([{ "team": "ops", "permission": 1 }, ann]));
        assert!(!is_same(ObjectType::FolderPermissions, (9, 0), &ops, &b));
        let (kept, strangers) =
            without_strangers(ObjectType::FolderPermissions, Some(&"o".to_owned()), &a, &target((9, 0)));
        assert_eq!((kept, strangers), (b, vec!["bob".to_owned()]));
    }

    #[test]
    fn somebody_in_a_team_with_no_rights_of_his_own_is_not_nobody() {
        let with = json!({ "members": [{ "login": "ann", "permission": 0 }] });
        assert!(!is_same(ObjectType::Teams, (9, 0), &with, &json!({ "members": [] })));
        let synced = json!({ "members": [{ "login": "ann", "permission": 0, "labels": ["LDAP"] }] });
        assert!(is_same(ObjectType::Teams, (9, 0), &synced, &json!({ "members": [] })));
    }

    #[test]
    fn a_field_that_only_one_version_has_is_no_difference_of_a_data_source() {
        let old = json!({ "name": "p", "password": "", "typeLogoUrl": "x", "version": 3, "jsonData": {} });
        let new = json!({ "name": "p", "readOnly": false });
        assert!(is_same(ObjectType::DataSources, (12, 0), &old, &new));
        assert!(!is_same(ObjectType::DataSources, (12, 0), &old, &json!({ "name": "q" })));
    }

    #[test]
    fn what_comes_from_a_file_is_told_apart() {
        assert!(is_provisioned(ObjectType::DataSources, &json!({ "readOnly": true })));
        assert!(is_provisioned(ObjectType::RuleGroups, &json!({ "rules": [{ "provenance": "file" }] })));
        assert!(!is_provisioned(ObjectType::RuleGroups, &json!({ "rules": [{ "provenance": "api" }] })));
        assert!(!is_provisioned(ObjectType::ContactPoints, &json!({})));
    }
}
