//! The alerting of old: notification channels up to 10, and what 8 has in the place of the provisioning API.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::grafana::client::segment;
use crate::grafana::restore::door::{Door, WriteError, text};
use crate::grafana::restore::secrets::Fields;

const CHANNELS: &str = "/api/alert-notifications";
const RULER: &str = "/api/ruler/grafana/api/v1/rules";
const ALERTMANAGER: &str = "/api/alertmanager/grafana/config/api/v1/alerts";

fn channel_path(uid: &str) -> String {
    format!("{CHANNELS}/uid/{}", segment(uid))
}

pub(super) async fn write_channel(
    door: &Door,
    uid: &str,
    wanted: &Value,
    secrets: &Fields,
) -> Result<(), WriteError> {
    let mut body = wanted.clone();
    body["uid"] = json!(uid);
    if let Some(fields) = body.as_object_mut() {
        fields.remove("secureFields");
    }
    if !secrets.is_empty() {
        body["secureSettings"] =
            secrets.iter().map(|(name, secret)| (name.clone(), json!(secret.expose()))).collect();
    }
    match door.find("look at the notification channel", &channel_path(uid)).await? {
        None => door.post("create the notification channel", CHANNELS, body).await?,
        Some(_) => door.put("change the notification channel", &channel_path(uid), body).await?,
    };
    Ok(())
}

pub(super) async fn remove_channel(door: &Door, uid: &str) -> Result<(), WriteError> {
    door.delete("remove the notification channel", &channel_path(uid)).await
}

/// A group takes the place of the one of its name, in a folder that is known by its title. The ruler makes the UIDs of
/// rules, and refuses a group that brings one of its own: a rule of the same title keeps the one that it has.
pub(super) async fn write_group(door: &Door, wanted: &Value) -> Result<(), WriteError> {
    let folder = text(wanted, "folder");
    let there = door.find("look at the groups of alert rules", RULER).await?.unwrap_or_default();
    let known = uids_by_title(&there[folder]);
    let mut group = wanted["group"].clone();
    for rule in group.get_mut("rules").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(alert) = rule.get_mut("grafana_alert").and_then(Value::as_object_mut) else { continue };
        let uid = alert.get("title").and_then(Value::as_str).and_then(|title| known.get(title));
        match uid {
            Some(uid) => alert.insert("uid".to_owned(), json!(uid)),
            None => alert.remove("uid"),
        };
    }
    door.post("set the rule group", &format!("{RULER}/{}", segment(folder)), group).await?;
    Ok(())
}

/// The rules of a folder, of which no two have the same title.
fn uids_by_title(groups: &Value) -> BTreeMap<&str, &str> {
    let groups = groups.as_array().into_iter().flatten();
    let rules = groups.filter_map(|group| group["rules"].as_array()).flatten();
    rules.map(|rule| (text(&rule["grafana_alert"], "title"), text(&rule["grafana_alert"], "uid"))).collect()
}

pub(super) async fn remove_group(door: &Door, made: &Value) -> Result<(), WriteError> {
    let group = text(&made["group"], "name");
    let path = format!("{RULER}/{}/{}", segment(text(made, "folder")), segment(group));
    door.delete("remove the rule group", &path).await
}

pub(super) async fn write_alertmanager(door: &Door, wanted: &Value) -> Result<(), WriteError> {
    door.post("set the Alertmanager's configuration", ALERTMANAGER, wanted.clone()).await?;
    Ok(())
}
