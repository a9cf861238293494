//! Contact points, policies, mute timings and templates in `/api/v1/provisioning` [D][S][A][I]: 7.5.5 has none.

use serde_json::{Value, json};

use super::alerting::{check_provenance, provenance};
use super::auth::Role;
use super::http::{Answer, Call, Outcome};
use super::json::{flag, or, text};
use super::state::{Alerting, State, default_policies};
use super::version::Version;

/// What stands in the place of a secret.
const REDACTED: &str = "[REDACTED]";
/// Which settings are secrets, whatever the type [M].
const SECRETS: [&str; 8] = [
    "password",
    "token",
    "integrationKey",
    "apiKey",
    "bottoken",
    "authorization_credentials",
    "client_secret",
    "api_token",
];

/// A secret of `tlsConfig` in the settings of a webhook [S].
const CLIENT_KEY: &str = "clientKey";

pub(super) fn route(state: &mut State, call: &Call, path: &[&str]) -> Option<Outcome> {
    let ["api", "v1", "provisioning", rest @ ..] = path else { return None };
    if !state.version.provisioning() || matches!(rest, ["alert-rules" | "folder", ..] | []) {
        return None;
    }
    let needed = if call.method == "GET" { Role::Viewer } else { Role::Editor };
    if let Err(refusal) = call.caller.needs(needed) {
        return Some(Err(refusal));
    }
    let version = state.version;
    let org = call.caller.org;
    let alerting = &mut state.org(org).alerting;
    Some(match (call.method.as_str(), rest) {
        ("GET", ["contact-points"]) => Ok(points(alerting, call)),
        ("GET", ["contact-points", "export"]) => export(alerting, call, version),
        ("POST", ["contact-points"]) => create_point(state, call),
        ("PUT", ["contact-points", uid]) => update_point(alerting, call, version, uid),
        ("DELETE", ["contact-points", uid]) => delete_point(alerting, uid),
        ("GET", ["policies"]) => Ok(Answer::ok(&visible(&alerting.policies))),
        ("PUT", ["policies"]) => set_policies(alerting, call, version),
        ("DELETE", ["policies"]) => {
            alerting.policies = default_policies();
            Ok(Answer::message(202, "policies reset")) // [S]
        }
        ("GET", ["mute-timings"]) => {
            Ok(Answer::ok(&alerting.mute_timings.iter().map(visible).collect::<Value>()))
        }
        ("GET", ["mute-timings", name]) => one(&alerting.mute_timings, name),
        ("POST", ["mute-timings"]) => create_timing(alerting, call),
        ("PUT", ["mute-timings", name]) => update_timing(alerting, call, version, name),
        ("DELETE", ["mute-timings", name]) => delete_timing(alerting, name),
        ("GET", ["templates"]) => templates(alerting, version),
        ("GET", ["templates", name]) => one(&alerting.templates, name),
        ("PUT", ["templates", name]) => set_template(alerting, call, version, name),
        ("DELETE", ["templates", name]) => {
            alerting.templates.retain(|template| text(template, "name") != *name);
            Ok(Answer::text(204, "application/json", ""))
        }
        _ => return None,
    })
}

/// Without an origin that is empty.
fn visible(object: &Value) -> Value {
    let mut shown = object.clone();
    shown.as_object_mut().expect("an object").retain(|name, value| name != "provenance" || value != "");
    shown
}

fn missing() -> Answer {
    Answer::text(404, "application/json", "") // [S]
}

fn one(all: &[Value], name: &str) -> Outcome {
    all.iter().find(|o| text(o, "name") == name).map(|o| Answer::ok(&visible(o))).ok_or_else(missing)
}

fn redacted(point: &Value) -> Value {
    let mut shown = visible(point);
    for field in SECRETS {
        if !text(&shown["settings"], field).is_empty() {
            shown["settings"][field] = json!(REDACTED);
        }
    }
    if !text(&shown["settings"]["tlsConfig"], CLIENT_KEY).is_empty() {
        shown["settings"]["tlsConfig"][CLIENT_KEY] = json!(REDACTED);
    }
    shown
}

fn points(alerting: &Alerting, call: &Call) -> Answer {
    let named = |point: &&Value| call.param("name").is_none_or(|name| text(point, "name") == name);
    Answer::ok(&alerting.contact_points.iter().filter(named).map(redacted).collect::<Value>())
}

/// In the shape of files, which cannot be sent back [D]; in the clear only for administrators [I grafana#71990].
fn export(alerting: &Alerting, call: &Call, version: Version) -> Outcome {
    if !version.decrypts_contact_points() {
        return Err(Answer::front(404, "Not found"));
    }
    let decrypt = call.param("decrypt") == Some("true");
    if decrypt {
        call.caller.needs(Role::Admin)?;
    }
    let mut by_name: Vec<(String, Vec<Value>)> = Vec::new();
    for point in &alerting.contact_points {
        let shown = if decrypt { point.clone() } else { redacted(point) };
        let receiver = json!({
            "uid": shown["uid"], "type": shown["type"], "settings": shown["settings"],
            "disableResolveMessage": shown["disableResolveMessage"],
        });
        let name = text(point, "name");
        match by_name.iter_mut().find(|(other, _)| other == name) {
            Some((_, receivers)) => receivers.push(receiver),
            None => by_name.push((name.into(), vec![receiver])),
        }
    }
    let points = by_name
        .into_iter()
        .map(|(name, receivers)| json!({ "orgId": call.caller.org, "name": name, "receivers": receivers }));
    Ok(Answer::ok(&json!({ "apiVersion": 1, "contactPoints": points.collect::<Value>() })))
}

fn point(body: &Value, uid: &str, call: &Call) -> Result<Value, Answer> {
    if text(body, "name").is_empty() || text(body, "type").is_empty() || !body["settings"].is_object() {
        return Err(Answer::message(400, "invalid object specification: name, type and settings")); // [M]
    }
    Ok(json!({
        "uid": uid, "name": body["name"], "type": body["type"], "settings": body["settings"],
        "disableResolveMessage": flag(body, "disableResolveMessage"), "provenance": provenance(call),
    }))
}

/// The trap: a redacted value is stored as it stands here, with 202 [S].
fn create_point(state: &mut State, call: &Call) -> Outcome {
    let body = call.json()?;
    let made = state.new_uid();
    let uid = Some(text(&body, "uid")).filter(|uid| !uid.is_empty()).unwrap_or(&made);
    let point = point(&body, uid, call)?;
    let all = &mut state.org(call.caller.org).alerting.contact_points;
    if all.iter().any(|other| text(other, "uid") == uid) {
        return Err(Answer::message(400, "receiver configuration with this UID already exists")); // [M]
    }
    all.push(point.clone());
    Ok(Answer::json(202, &redacted(&point)))
}

/// Here a redacted value keeps the secret that is stored [S].
fn update_point(alerting: &mut Alerting, call: &Call, version: Version, uid: &str) -> Outcome {
    let body = call.json()?;
    let mut new = point(&body, uid, call)?;
    let stored = alerting.contact_points.iter_mut().find(|point| text(point, "uid") == uid);
    let stored = stored.ok_or_else(missing)?;
    check_provenance(version, stored, call)?;
    for field in SECRETS {
        if text(&new["settings"], field) == REDACTED {
            new["settings"][field] = stored["settings"][field].clone();
        }
    }
    if text(&new["settings"]["tlsConfig"], CLIENT_KEY) == REDACTED {
        new["settings"]["tlsConfig"][CLIENT_KEY] = stored["settings"]["tlsConfig"][CLIENT_KEY].clone();
    }
    *stored = new;
    Ok(Answer::message(202, "contactpoint updated")) // [M]
}

/// All names under a key in a tree of policies.
fn named<'a>(policy: &'a Value, names: &mut Vec<&'a str>, field: &str) {
    match &policy[field] {
        Value::String(name) => names.push(name),
        Value::Array(all) => names.extend(all.iter().filter_map(Value::as_str)),
        _ => {}
    }
    for child in policy["routes"].as_array().into_iter().flatten() {
        named(child, names, field);
    }
}

fn uses(policies: &Value, field: &str, name: &str) -> bool {
    let mut names = Vec::new();
    named(policies, &mut names, field);
    names.contains(&name)
}

fn delete_point(alerting: &mut Alerting, uid: &str) -> Outcome {
    let found = alerting.contact_points.iter().find(|point| text(point, "uid") == uid);
    let name = text(found.ok_or_else(missing)?, "name");
    let alone = alerting.contact_points.iter().filter(|point| text(point, "name") == name).count() == 1;
    if alone && uses(&alerting.policies, "receiver", name) {
        return Err(Answer::message(409, "contact point is used by a notification policy")); // [M]
    }
    alerting.contact_points.retain(|point| text(point, "uid") != uid);
    Ok(Answer::message(202, "contactpoint deleted"))
}

/// The whole tree; all that it names must be there [S].
fn set_policies(alerting: &mut Alerting, call: &Call, version: Version) -> Outcome {
    let mut tree = call.json()?;
    check_provenance(version, &alerting.policies, call)?;
    for (field, there) in
        [("receiver", &alerting.contact_points), ("mute_time_intervals", &alerting.mute_timings)]
    {
        let mut names = Vec::new();
        named(&tree, &mut names, field);
        if let Some(name) = names.into_iter().find(|name| !there.iter().any(|o| text(o, "name") == *name)) {
            let says = format!("invalid object specification: {field} '{name}' does not exist");
            return Err(Answer::message(400, &says));
        }
    }
    if text(&tree, "receiver").is_empty() {
        return Err(Answer::message(400, "invalid object specification: root policy without receiver")); // [M]
    }
    tree["provenance"] = json!(provenance(call));
    alerting.policies = tree;
    Ok(Answer::message(202, "policies updated"))
}

fn create_timing(alerting: &mut Alerting, call: &Call) -> Outcome {
    let body = call.json()?;
    if alerting.mute_timings.iter().any(|other| other["name"] == body["name"]) {
        return Err(Answer::message(409, "mute timing with this name already exists")); // [M]
    }
    let timing = timing(&body, text(&body, "name"), call);
    alerting.mute_timings.push(timing.clone());
    Ok(Answer::json(201, &visible(&timing)))
}

fn timing(body: &Value, name: &str, call: &Call) -> Value {
    let intervals = or(body, "time_intervals", json!([]));
    json!({ "name": name, "time_intervals": intervals, "provenance": provenance(call) })
}

fn update_timing(alerting: &mut Alerting, call: &Call, version: Version, name: &str) -> Outcome {
    let new = timing(&call.json()?, name, call);
    let stored = alerting.mute_timings.iter_mut().find(|timing| text(timing, "name") == name);
    let stored = stored.ok_or_else(missing)?;
    check_provenance(version, stored, call)?;
    *stored = new;
    Ok(Answer::json(202, &visible(stored)))
}

fn delete_timing(alerting: &mut Alerting, name: &str) -> Outcome {
    if uses(&alerting.policies, "mute_time_intervals", name) {
        return Err(Answer::message(409, "mute timing is used by a notification policy")); // [M]
    }
    alerting.mute_timings.retain(|timing| text(timing, "name") != name);
    Ok(Answer::text(204, "application/json", ""))
}

/// An empty list is a miss [A]; that later ones say `[]` is [M].
fn templates(alerting: &Alerting, version: Version) -> Outcome {
    if alerting.templates.is_empty() && version < Version::V11_2 {
        return Err(missing());
    }
    Ok(Answer::ok(&alerting.templates.iter().map(visible).collect::<Value>()))
}

/// A hash in the place of a number, as far as others can tell [M].
fn hash(template: &str) -> String {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", template.bytes().fold(0xcbf2_9ce4_8422_2325, mix))
}

/// Makes one or changes it; a version that is sent must be that of what is stored [M].
fn set_template(alerting: &mut Alerting, call: &Call, version: Version, name: &str) -> Outcome {
    let body = call.json()?;
    let mut new =
        json!({ "name": name, "template": text(&body, "template"), "provenance": provenance(call) });
    if version >= Version::V11_2 {
        new["version"] = json!(hash(text(&body, "template")));
    }
    match alerting.templates.iter_mut().find(|template| text(template, "name") == name) {
        Some(stored) => {
            check_provenance(version, stored, call)?;
            if !text(&body, "version").is_empty() && body["version"] != stored["version"] {
                return Err(Answer::message(409, "provided version does not match that of the template"));
            }
            *stored = new.clone();
        }
        None => alerting.templates.push(new.clone()),
    }
    Ok(Answer::json(202, &visible(&new)))
}
