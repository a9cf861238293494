//! Alerting before the provisioning API: notification channels up to 10 [R 111, D], and the ruler of 8 [S][M].

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::auth::Role;
use super::http::{Answer, Call, Outcome};
use super::json::{flag, names_only, or, text};
use super::state::{Org, State, now, precisely_now};

pub(super) fn route(state: &mut State, call: &Call, path: &[&str]) -> Option<Outcome> {
    let (channels, ruler) = (state.version.legacy_channels(), state.version.ruler_only());
    let mine = match path {
        ["api", "alert-notifications", ..] => channels,
        ["api", "ruler" | "alertmanager", "grafana", ..] => ruler,
        _ => false,
    };
    if !mine {
        return None;
    }
    if let Err(refusal) = call.caller.needs(Role::Editor) {
        return Some(Err(refusal));
    }
    Some(match (call.method.as_str(), &path[1..]) {
        ("GET", ["alert-notifications"]) => Ok(list(state, call)),
        ("POST", ["alert-notifications"]) => create(state, call),
        ("GET", ["alert-notifications", "uid", uid]) => {
            id_of(state, call, uid).map(|id| Answer::ok(&show(&state.org(call.caller.org).channels[&id])))
        }
        ("PUT", ["alert-notifications", "uid", uid]) => update(state, call, uid),
        ("DELETE", ["alert-notifications", "uid", uid]) => delete(state, call, uid),
        ("GET", ["ruler", "grafana", "api", "v1", "rules"]) => {
            Ok(Answer::ok(&state.org(call.caller.org).alerting.ruler.clone().into()))
        }
        ("POST", ["ruler", "grafana", "api", "v1", "rules", folder]) => set_group(state, call, folder),
        ("DELETE", ["ruler", "grafana", "api", "v1", "rules", folder, group]) => {
            delete_group(state, call, folder, group)
        }
        ("GET", ["alertmanager", "grafana", "config", "api", "v1", "alerts"]) => {
            Ok(Answer::ok(&state.org(call.caller.org).alerting.alertmanager))
        }
        ("POST", ["alertmanager", "grafana", "config", "api", "v1", "alerts"]) => call.json().map(|body| {
            state.org(call.caller.org).alerting.alertmanager = body;
            Answer::message(202, "configuration created") // [M]
        }),
        _ => return None,
    })
}

fn id_of(state: &mut State, call: &Call, uid: &str) -> Result<i64, Answer> {
    let channels = &state.org(call.caller.org).channels;
    let found = channels.iter().find(|(_, channel)| text(channel, "uid") == uid).map(|(id, _)| *id);
    found.ok_or_else(|| Answer::message(404, "Alert notification not found")) // [M]
}

/// Of secrets only the names [R 112].
fn show(channel: &Value) -> Value {
    let mut shown = channel.clone();
    shown["secureFields"] = names_only(channel["secureSettings"].as_object().unwrap_or(&Map::new()));
    shown.as_object_mut().expect("an object").remove("secureSettings");
    shown
}

fn list(state: &mut State, call: &Call) -> Answer {
    Answer::ok(&state.org(call.caller.org).channels.values().map(show).collect::<Value>())
}

fn fields(body: &Value) -> Value {
    json!({
        "name": text(body, "name"), "type": text(body, "type"), "isDefault": flag(body, "isDefault"),
        "sendReminder": flag(body, "sendReminder"), "frequency": text(body, "frequency"),
        "disableResolveMessage": flag(body, "disableResolveMessage"),
        "settings": or(body, "settings", json!({})),
        "secureSettings": or(body, "secureSettings", json!({})),
    })
}

fn create(state: &mut State, call: &Call) -> Outcome {
    let body = call.json()?;
    let uid = if text(&body, "uid").is_empty() { state.new_uid() } else { text(&body, "uid").into() };
    let channels = &state.org(call.caller.org).channels;
    if channels.values().any(|other| text(other, "uid") == uid || other["name"] == body["name"]) {
        return Err(Answer::message(409, "Failed to create alert notification")); // [M]
    }
    let id = state.next("channel");
    let mut channel = fields(&body);
    (channel["id"], channel["uid"]) = (json!(id), json!(uid));
    (channel["created"], channel["updated"]) = (json!(now()), json!(now()));
    let mut shown = show(&channel);
    (shown["created"], shown["updated"]) = (json!(precisely_now()), json!(precisely_now())); // [R 111]
    state.org(call.caller.org).channels.insert(id, channel);
    Ok(Answer::ok(&shown))
}

fn update(state: &mut State, call: &Call, uid: &str) -> Outcome {
    let (id, body) = (id_of(state, call, uid)?, call.json()?);
    let channel = state.org(call.caller.org).channels.get_mut(&id).expect("found");
    let mut new = fields(&body);
    if new["secureSettings"].as_object().is_none_or(Map::is_empty) {
        new["secureSettings"] = channel["secureSettings"].clone(); // [M]
    }
    (new["id"], new["uid"], new["updated"]) = (json!(id), json!(uid), json!(now()));
    new["created"] = channel["created"].clone();
    *channel = new;
    Ok(Answer::ok(&show(channel)))
}

fn delete(state: &mut State, call: &Call, uid: &str) -> Outcome {
    let id = id_of(state, call, uid)?;
    state.org(call.caller.org).channels.remove(&id);
    Ok(Answer::message(200, "Notification deleted")) // [M]
}

/// Groups are known by the title of their folder, and one takes the place of that of its name. A rule that brings no UID
/// gets one, and one that brings an unknown UID refuses the whole group [S].
fn set_group(state: &mut State, call: &Call, folder: &str) -> Outcome {
    let mut body = call.json()?;
    let known = uids_of_alerts(&state.org(call.caller.org).alerting.ruler);
    for rule in body["rules"].as_array_mut().into_iter().flatten() {
        let uid = text(&rule["grafana_alert"], "uid").to_owned();
        if uid.is_empty() {
            rule["grafana_alert"]["uid"] = json!(state.new_uid());
        } else if !known.contains(&uid) {
            return Err(Answer::message(404, "failed to update rule group"));
        }
    }
    let org = state.org(call.caller.org);
    has_folder(org, folder)?;
    let groups = org.alerting.ruler.entry(folder).or_insert(json!([]));
    let groups = groups.as_array_mut().expect("made as a list");
    groups.retain(|group| group["name"] != body["name"]);
    groups.push(body);
    Ok(Answer::message(202, "rule group updated successfully"))
}

/// A folder without groups is none of the ruler's any more [S].
fn delete_group(state: &mut State, call: &Call, folder: &str, name: &str) -> Outcome {
    let org = state.org(call.caller.org);
    has_folder(org, folder)?;
    let groups = org.alerting.ruler.get_mut(folder).and_then(Value::as_array_mut);
    let Some(groups) = groups.filter(|groups| groups.iter().any(|group| group["name"] == name)) else {
        return Err(Answer::message(404, "failed to delete rule group"));
    };
    groups.retain(|group| group["name"] != name);
    if groups.is_empty() {
        org.alerting.ruler.remove(folder);
    }
    Ok(Answer::message(202, "rule group deleted"))
}

fn has_folder(org: &Org, title: &str) -> Result<(), Answer> {
    let there = org.dashboards.values().any(|d| d.is_folder && d.title == title);
    if there { Ok(()) } else { Err(Answer::message(404, "folder not found")) } // [M]
}

fn uids_of_alerts(ruler: &Map<String, Value>) -> BTreeSet<String> {
    let groups = ruler.values().filter_map(Value::as_array).flatten();
    let alerts = groups.filter_map(|group| group["rules"].as_array()).flatten();
    alerts.map(|rule| text(&rule["grafana_alert"], "uid").to_owned()).collect()
}
