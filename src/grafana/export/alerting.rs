//! Alerting: the provisioning API from 9 on, the ruler and the Alertmanager's configuration of 8, and the channels
//! of the alerting before them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::shape::{each, set, text, without};
use super::site::{Found, Shaped, Site};
use crate::grafana::GrafanaError;
use crate::grafana::client::{Call, List, segment};

type Gathered = Result<Option<Vec<Found>>, GrafanaError>;

const PROVISIONING: &str = "/api/v1/provisioning";
const RULER: &str = "/api/ruler/grafana/api/v1/rules";

/// A list of the provisioning API, each row of which is an object.
async fn named(site: &Site, action: &str, path: &str, key: &'static [&'static str]) -> Gathered {
    let list = List::whole(action, &format!("{PROVISIONING}/{path}")).by(key);
    let listed = match site.client.list(&list).await {
        // Before 11 an empty list of templates is a 404, and none that a route which is not there has.
        Err(GrafanaError::Refused { status: 404, .. }) if path == "templates" => return Ok(Some(Vec::new())),
        listed => listed?,
    };
    let found = |row: Value| {
        let name = key.iter().map(|name| text(&row, name)).find(|name| !name.is_empty());
        let (key, title) = (name.unwrap_or_default().to_owned(), text(&row, "name").to_owned());
        // A hash of the template, by which others notice a change.
        Found::ready(&key, &title, without(row, &["version"]))
    };
    Ok((!listed.absent).then(|| listed.rows.into_iter().map(found).collect()))
}

pub(super) async fn templates(site: &Site) -> Gathered {
    named(site, "list the notification templates", "templates", &["name"]).await
}

pub(super) async fn mute_timings(site: &Site) -> Gathered {
    named(site, "list the mute timings", "mute-timings", &["name"]).await
}

pub(super) async fn contact_points(site: &Site) -> Gathered {
    let points = named(site, "list the contact points", "contact-points", &["uid", "name"]).await?;
    let Some(mut points) = points else { return Ok(None) };
    if site.contact_point_secrets {
        let settings = decrypted(site).await?;
        for point in &mut points {
            if let (Some(settings), super::site::Take::Ready(body)) =
                (settings.get(&point.key), &mut point.take)
            {
                set(body, "settings", settings.clone());
            }
        }
    }
    Ok(Some(points))
}

/// The settings of contact points with their secrets, by uid. Before 10.1 nobody gets them: they stay redacted, and the
/// report says which have to be entered again.
async fn decrypted(site: &Site) -> Result<BTreeMap<String, Value>, GrafanaError> {
    let path = format!("{PROVISIONING}/contact-points/export?decrypt=true&format=json");
    let call = Call::get("read the secrets of the contact points", &path);
    let answer = site.client.exchange(&call).await?;
    if answer.route_is_absent() {
        return Ok(BTreeMap::new());
    }
    let json = site.client.expect_success(&call, answer)?;
    let points = json["contactPoints"].as_array().map(Vec::as_slice).unwrap_or_default();
    let receivers = points.iter().filter_map(|point| point["receivers"].as_array()).flatten();
    Ok(receivers.map(|one| (text(one, "uid").to_owned(), one["settings"].clone())).collect())
}

pub(super) async fn policies(site: &Site) -> Gathered {
    whole(site, "policies", "notification policies", &format!("{PROVISIONING}/policies"), same).await
}

/// The one object of its type.
async fn whole(
    site: &Site,
    key: &str,
    title: &str,
    path: &str,
    shape: fn(&Site, &Value, &mut Value) -> Shaped,
) -> Gathered {
    let answer = site.client.ask(&format!("look for the {title}"), path).await?;
    if answer.route_is_absent() {
        return Ok(None);
    }
    Ok(Some(vec![Found::read(key, title, path.to_owned(), Value::Null, shape)]))
}

fn same(_: &Site, _: &Value, json: &mut Value) -> Shaped {
    if json.is_object() { Ok(Some(json.take())) } else { Err("it is no object".into()) }
}

/// The groups that the rules name; a group itself knows its interval and the order of its rules.
pub(super) async fn rule_groups(site: &Site) -> Gathered {
    let list = List::whole("list the alert rules", &format!("{PROVISIONING}/alert-rules")).by(&["uid"]);
    let listed = site.client.list(&list).await?;
    if listed.absent {
        return Ok(None);
    }
    let place = |row: &Value| (text(row, "folderUID").to_owned(), text(row, "ruleGroup").to_owned());
    let groups: BTreeSet<_> = listed.rows.iter().map(place).collect();
    let found = |(folder, group): (String, String)| {
        let path = format!("{PROVISIONING}/folder/{}/rule-groups/{}", segment(&folder), segment(&group));
        Found::read(&format!("{folder}/{group}"), &group, path, json!(group), rule_group)
    };
    Ok(Some(groups.into_iter().map(found).collect()))
}

fn rule_group(_: &Site, group: &Value, json: &mut Value) -> Shaped {
    if json["title"] != *group || !json["rules"].is_array() {
        return Err(format!("{} in the place of the rules of {group}", json["title"]));
    }
    each(json, "rules", |rule| without(rule, &["id", "orgID", "updated"]));
    Ok(Some(json.take()))
}

/// Of 8: by the titles of folders.
pub(super) async fn ruler_groups(site: &Site) -> Gathered {
    let answer = site.client.ask("list the groups of alert rules", RULER).await?;
    if answer.status == 404 {
        return Ok(None);
    }
    let call = Call::get("list the groups of alert rules", RULER);
    let json = site.client.expect_success(&call, answer)?;
    let Value::Object(folders) = json else {
        return Err(site.client.not_grafana(&call, "no groups by folder"));
    };
    let mut found = Vec::new();
    for (folder, groups) in folders {
        for group in groups.as_array().into_iter().flatten() {
            let name = text(group, "name").to_owned();
            let body = json!({ "folder": folder, "group": ruler_group(group.clone()) });
            found.push(Found::ready(&format!("{folder}/{name}"), &name, body));
        }
    }
    Ok(Some(found))
}

/// Without the UIDs of rules, which nobody can choose.
fn ruler_group(mut group: Value) -> Value {
    each(&mut group, "rules", |mut rule| {
        if let Some(alert) = rule.get_mut("grafana_alert") {
            *alert = without(alert.take(), &["id", "uid", "orgId", "updated", "version", "namespace_id"]);
        }
        rule
    });
    group
}

pub(super) async fn alertmanager_config(site: &Site) -> Gathered {
    let path = "/api/alertmanager/grafana/config/api/v1/alerts";
    whole(site, "alertmanager", "configuration of the Alertmanager", path, same).await
}

pub(super) async fn alert_channels(site: &Site) -> Gathered {
    let list = List::whole("list the notification channels", "/api/alert-notifications").by(&["uid"]);
    let listed = site.client.list(&list).await?;
    let found = |row: Value| {
        let (uid, name) = (text(&row, "uid").to_owned(), text(&row, "name").to_owned());
        Found::ready(&uid, &name, without(row, &["id", "created", "updated"]))
    };
    Ok((!listed.absent).then(|| listed.rows.into_iter().map(found).collect()))
}
