//! Alert rules, a group at a time.
//!
//! Putting a group deletes the rules that it does not name, sets the order and the interval, which the rules alone do
//! not have; but before 11.5 it refuses rules that are new and have a UID. So each rule is written by itself first.

use serde_json::{Value, json};

use crate::grafana::client::{Call, segment};
use crate::grafana::object::ObjectType;
use crate::grafana::restore::compare::same;
use crate::grafana::restore::door::{Door, WriteError, text, with_provenance};

const RULES: &str = "/api/v1/provisioning/alert-rules";

fn rule_path(uid: &str) -> String {
    format!("{RULES}/{}", segment(uid))
}

fn group_path(folder: &str, group: &str) -> String {
    format!("/api/v1/provisioning/folder/{}/rule-groups/{}", segment(folder), segment(group))
}

/// Writes a group and its rules: `{title, folderUid, interval, rules}`.
pub(super) async fn write(door: &Door, wanted: &Value) -> Result<(), WriteError> {
    let (folder, title) = (text(wanted, "folderUid"), text(wanted, "title"));
    let rules: Vec<Value> =
        wanted["rules"].as_array().into_iter().flatten().map(|rule| placed(rule, wanted)).collect();
    for rule in &rules {
        write_rule(door, rule).await?;
    }
    let provenance = rules.first().map(|rule| text(rule, "provenance")).unwrap_or_default().to_owned();
    let stored = door.find("look at the rule group", &group_path(folder, title)).await?.unwrap_or_default();
    // What it was stored with cannot be taken back.
    let first = |group: &Value| group["rules"].get(0).map(|rule| text(rule, "provenance").to_owned());
    let provenance = first(&stored).unwrap_or(provenance);
    let sent: Vec<Value> = rules.iter().map(bare).collect();
    let body = json!({ "title": title, "folderUid": folder, "interval": wanted["interval"], "rules": sent });
    door.send(with_provenance(
        Call::put("set the rule group", &group_path(folder, title), body),
        &provenance,
    ))
    .await?;
    Ok(())
}

/// A rule with the folder and the group that it is in.
fn placed(rule: &Value, group: &Value) -> Value {
    let mut rule = rule.clone();
    (rule["folderUID"], rule["ruleGroup"]) = (group["folderUid"].clone(), group["title"].clone());
    rule
}

/// Without what the server sets itself.
fn bare(rule: &Value) -> Value {
    let mut rule = rule.clone();
    if let Some(fields) = rule.as_object_mut() {
        fields.retain(|name, _| !matches!(name.as_str(), "id" | "updated" | "provenance" | "orgID"));
    }
    rule
}

async fn write_rule(door: &Door, rule: &Value) -> Result<(), WriteError> {
    let (uid, body) = (text(rule, "uid"), bare(rule));
    match door.find("look at the alert rule", &rule_path(uid)).await? {
        None => {
            let call = Call::post("create the alert rule", RULES, body);
            door.send(with_provenance(call, text(rule, "provenance"))).await?;
        }
        Some(there) if same(ObjectType::RuleGroups, &body, &bare(&there)) => {}
        Some(there) => {
            let call = Call::put("change the alert rule", &rule_path(uid), body);
            door.send(with_provenance(call, text(&there, "provenance"))).await?;
        }
    }
    Ok(())
}

/// Removes a group's rules, and with the last one the group.
pub(super) async fn remove(door: &Door, wanted: &Value) -> Result<(), WriteError> {
    for rule in wanted["rules"].as_array().into_iter().flatten() {
        let uid = text(rule, "uid");
        let Some(there) = door.find("look at the alert rule", &rule_path(uid)).await? else { continue };
        let call = Call::delete("remove the alert rule", &rule_path(uid));
        door.remove(with_provenance(call, text(&there, "provenance"))).await?;
    }
    Ok(())
}
