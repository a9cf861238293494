//! All that a server holds, by names: what a restore has to bring back, looked at past the API. Two servers with equal
//! contents differ in nothing but what nobody can restore: numbers, times, versions, histories, made-up UIDs.

use serde_json::{Map, Value, json};

use super::json::{int, text};
use super::permissions::Grant;
use super::state::{Alerting, Dashboard, Org, State};

/// What differs from server to server, wherever it stands.
const OWN: [&str; 14] = [
    "id",
    "orgId",
    "orgID",
    "version",
    "created",
    "updated",
    "meta",
    "userId",
    "folderId",
    "dashboardId",
    "playlistid",
    "expires",
    "deleteKey",
    "login",
];

/// Everything, organisations by name.
pub(super) fn of(state: &State) -> Value {
    let users = state.users.values().map(|user| {
        let rights = json!({ "isAdmin": user.is_admin, "isDisabled": user.is_disabled });
        (user.login.clone(), json!({ "email": user.email, "name": user.name, "rights": rights }))
    });
    let orgs = state.orgs.values().map(|org| (org.name.clone(), of_org(state, org)));
    json!({ "users": users.collect::<Value>(), "orgs": orgs.collect::<Value>() })
}

fn of_org(state: &State, org: &Org) -> Value {
    let login = |id: &i64| state.users.get(id).map_or("nobody".to_owned(), |user| user.login.clone());
    let members: Value = org.members.iter().map(|(id, role)| (login(id), json!(role.name()))).collect();
    let teams = org.teams.values().map(|team| {
        let members: Value = team.members.iter().map(|(id, level)| (login(id), json!(level))).collect();
        (team.name.clone(), json!({ "email": team.email, "members": members }))
    });
    let dashboards = org.dashboards.values().map(|d| (d.uid.clone(), dashboard(state, org, d)));
    let data_sources = org.data_sources.values().map(|source| {
        (text(&source.body, "uid").to_owned(), json!({ "body": source.body, "secrets": source.secrets }))
    });
    let library = org.library.values().map(|element| {
        let mut kept = bare(element);
        kept["folder"] = json!(uid_of(org, int(element, "folderId")));
        (text(element, "uid").to_owned(), kept)
    });
    let mut preferences = Value::from(org.preferences.clone());
    let home = uid_of(org, int(&preferences, "homeDashboardId"));
    preferences["homeDashboardId"] = json!(home);
    json!({
        "members": members, "teams": teams.collect::<Value>(), "dashboards": dashboards.collect::<Value>(),
        "dataSources": data_sources.collect::<Value>(), "library": library.collect::<Value>(),
        "preferences": preferences, "alerting": alerting(org),
        "playlists": by(org.playlists.values(), "name", &["uid"]),
        "annotations": annotations(org),
        "snapshots": by(org.snapshots.values(), "key", &[]),
        "channels": by(org.channels.values(), "uid", &[]),
        "correlations": sorted(org.correlations.iter().map(|one| without(one, &["uid"])).collect()),
        "publicDashboards": by(org.public_dashboards.iter(), "dashboardUid", &[]),
        "serviceAccounts": by(org.service_accounts.values(), "name", &["tokens"]),
    })
}

fn uid_of(org: &Org, id: i64) -> &str {
    org.dashboards.get(&id).map_or("", |d| d.uid.as_str())
}

fn dashboard(state: &State, org: &Org, found: &Dashboard) -> Value {
    let grant = |grant: &Grant| json!({ "to": grant.holder(state, org), "level": grant.level });
    json!({
        "title": found.title, "isFolder": found.is_folder, "folder": uid_of(org, found.folder),
        // Of its own fields only: a panel has an `id` of its own that is nobody else's business.
        "data": without(&found.data, &["id", "version"]), "hasAcl": found.has_acl,
        "acl": sorted(found.acl.iter().map(grant).collect()),
    })
}

fn alerting(org: &Org) -> Value {
    let alerting = &org.alerting;
    let intervals = alerting.intervals.iter();
    let intervals = intervals.map(|((folder, group), seconds)| json!([folder, group, seconds]));
    let points = alerting.contact_points.iter();
    json!({
        "rules": by(alerting.rules.values(), "uid", &[]), "intervals": intervals.collect::<Value>(),
        "contactPoints": sorted(points.cloned().collect()), "policies": alerting.policies,
        "muteTimings": by(alerting.mute_timings.iter(), "name", &[]),
        "templates": by(alerting.templates.iter(), "name", &[]),
        "ruler": ruler(alerting), "alertmanager": alerting.alertmanager,
    })
}

/// Without the UIDs that the ruler has made up.
fn ruler(alerting: &Alerting) -> Value {
    let mut folders = alerting.ruler.clone();
    let groups = folders.values_mut().filter_map(Value::as_array_mut).flatten();
    for rule in groups.filter_map(|group| group["rules"].as_array_mut()).flatten() {
        rule["grafana_alert"] = without(&rule["grafana_alert"], &["uid"]);
    }
    folders.into()
}

/// Without numbers and sorted: the same annotation twice is two.
fn annotations(org: &Org) -> Value {
    let all = org.annotations.values().map(|annotation| {
        let mut kept = without(&bare(annotation), &["email", "dashboardUID"]);
        kept["dashboard"] = json!(uid_of(org, int(annotation, "dashboardId")));
        kept
    });
    sorted(all.collect())
}

fn by<'a>(all: impl Iterator<Item = &'a Value>, name: &str, but: &[&str]) -> Value {
    all.map(|one| (text(one, name).to_owned(), without(&bare(one), but))).collect::<Map<_, _>>().into()
}

fn bare(object: &Value) -> Value {
    let mut kept = without(object, &OWN);
    for item in kept.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
        *item = without(item, &OWN);
    }
    kept
}

fn without(object: &Value, fields: &[&str]) -> Value {
    let mut kept = object.clone();
    if let Some(all) = kept.as_object_mut() {
        all.retain(|name, _| !fields.contains(&name.as_str()));
    }
    kept
}

fn sorted(mut all: Vec<Value>) -> Value {
    all.sort_by_key(Value::to_string);
    json!(all)
}
