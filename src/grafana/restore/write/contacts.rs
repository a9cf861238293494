//! Contact points, mute timings, templates and the tree of policies.
//!
//! A contact point that is there keeps a secret for which `[REDACTED]` is sent; one that is new would be stored with that
//! text as its password. So a new one never gets it: what is not at hand is left out, and told.

use serde_json::{Value, json};

use crate::grafana::client::{Call, segment};
use crate::grafana::object::{ObjectType, put};
use crate::grafana::restore::compare::{REDACTED, same};
use crate::grafana::restore::door::{Door, WriteError, text, with_provenance};
use crate::grafana::restore::secrets::Fields;

const POINTS: &str = "/api/v1/provisioning/contact-points";
const TIMINGS: &str = "/api/v1/provisioning/mute-timings";
const POLICIES: &str = "/api/v1/provisioning/policies";

fn point_path(uid: &str) -> String {
    format!("{POINTS}/{}", segment(uid))
}

fn timing_path(name: &str) -> String {
    format!("{TIMINGS}/{}", segment(name))
}

fn template_path(name: &str) -> String {
    format!("/api/v1/provisioning/templates/{}", segment(name))
}

/// Sends it so that what was stored as changeable by people stays so, and what was not does not become a refusal.
fn keep(call: Call, there: Option<&Value>, wanted: &Value) -> Call {
    with_provenance(call, text(there.unwrap_or(wanted), "provenance"))
}

fn without_provenance(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("provenance");
    }
    object
}

pub(super) async fn write_point(
    door: &Door,
    uid: &str,
    wanted: &Value,
    secrets: &Fields,
) -> Result<(), WriteError> {
    let name = text(wanted, "name");
    let all = door.get("look at the contact points", &format!("{POINTS}?name={}", segment(name))).await?;
    let by_name = all.as_array().cloned().unwrap_or_default();
    // Its name may be another one by now.
    let mut there = by_name.iter().find(|point| text(point, "uid") == uid).cloned();
    if there.is_none() {
        let all = door.get("look at the contact points", POINTS).await?;
        there = all.as_array().into_iter().flatten().find(|point| text(point, "uid") == uid).cloned();
    }
    if uid.is_empty() {
        return by_name_alone(&by_name, wanted);
    }
    let mut body = without_provenance(wanted);
    let stored = there.as_ref().map(|there| &there["settings"]);
    body["settings"] = settings(&wanted["settings"], stored, secrets);
    let call = match &there {
        None => Call::post("create the contact point", POINTS, body),
        Some(_) => Call::put("change the contact point", &point_path(uid), body),
    };
    door.send(keep(call, there.as_ref(), wanted)).await?;
    Ok(())
}

/// The one that every organisation is born with has no UID: nothing can change it.
fn by_name_alone(there: &[Value], wanted: &Value) -> Result<(), WriteError> {
    let of = |point: &Value| {
        json!({ "type": point["type"], "settings": point["settings"],
            "disableResolveMessage": point["disableResolveMessage"] })
    };
    if there.iter().any(|point| same(ObjectType::ContactPoints, &of(wanted), &of(point))) {
        return Ok(());
    }
    Err(WriteError::Refused("it has no UID by which it could be changed".to_owned()))
}

/// The settings to send: secrets from the file; hidden ones only where the server has them, and keeps them.
fn settings(wanted: &Value, stored: Option<&Value>, secrets: &Fields) -> Value {
    let mut sent = wanted.as_object().cloned().unwrap_or_default();
    // What is said now counts more than what was in the backup.
    for (name, secret) in secrets {
        put(&mut sent, name, secret.expose());
    }
    let mut sent = Value::Object(sent);
    leave_out(&mut sent, stored);
    sent
}

/// Takes out what is hidden here and not stored there.
fn leave_out(sent: &mut Value, stored: Option<&Value>) {
    let is_kept = |stored: Option<&Value>| stored.is_some_and(|stored| !stored.is_null());
    match sent {
        Value::Object(fields) => {
            let of = |name: &str| stored.and_then(|stored| stored.get(name));
            fields.retain(|name, value| *value != REDACTED || is_kept(of(name)));
            for (name, value) in fields {
                leave_out(value, of(name));
            }
        }
        Value::Array(all) => {
            let of = |place: usize| stored.and_then(|stored| stored.get(place));
            for (place, value) in all.iter_mut().enumerate() {
                if *value == REDACTED && !is_kept(of(place)) {
                    *value = Value::Null;
                }
                leave_out(value, of(place));
            }
        }
        _ => {}
    }
}

pub(super) async fn write_timing(door: &Door, name: &str, wanted: &Value) -> Result<(), WriteError> {
    let there = door.find("look at the mute timing", &timing_path(name)).await?;
    let body = without_provenance(wanted);
    let call = match &there {
        None => Call::post("create the mute timing", TIMINGS, body),
        Some(_) => Call::put("change the mute timing", &timing_path(name), body),
    };
    door.send(keep(call, there.as_ref(), wanted)).await?;
    Ok(())
}

pub(super) async fn write_template(door: &Door, name: &str, wanted: &Value) -> Result<(), WriteError> {
    let there = door.find("look at the template", &template_path(name)).await?;
    let mut body = json!({ "name": name, "template": wanted["template"] });
    if let Some(version) = there.as_ref().and_then(|there| there.get("version")) {
        body["version"] = version.clone();
    }
    let call = Call::put("set the template", &template_path(name), body);
    door.send(keep(call, there.as_ref(), wanted)).await?;
    Ok(())
}

pub(super) async fn write_policies(door: &Door, wanted: &Value) -> Result<(), WriteError> {
    let there = door.find("look at the notification policies", POLICIES).await?;
    // A new organisation is born with some.
    let is_so =
        |there: &Value| same(ObjectType::Policies, &without_provenance(wanted), &without_provenance(there));
    if there.as_ref().is_some_and(is_so) {
        return Ok(());
    }
    let call = Call::put("set the notification policies", POLICIES, without_provenance(wanted));
    door.send(keep(call, there.as_ref(), wanted)).await?;
    Ok(())
}

/// Back to the tree that every organisation is born with.
pub(super) async fn reset_policies(door: &Door, made: &Value) -> Result<(), WriteError> {
    remove(door, "reset the notification policies", POLICIES, made).await
}

/// Removes what a restore has made.
async fn remove(door: &Door, action: &str, path: &str, there: &Value) -> Result<(), WriteError> {
    door.remove(with_provenance(Call::delete(action, path), text(there, "provenance"))).await
}

pub(super) async fn remove_point(door: &Door, uid: &str, made: &Value) -> Result<(), WriteError> {
    remove(door, "remove the contact point", &point_path(uid), made).await
}

pub(super) async fn remove_timing(door: &Door, name: &str, made: &Value) -> Result<(), WriteError> {
    remove(door, "remove the mute timing", &timing_path(name), made).await
}

pub(super) async fn remove_template(door: &Door, name: &str, made: &Value) -> Result<(), WriteError> {
    remove(door, "remove the template", &template_path(name), made).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::values::Secret;

    fn of(stored: Option<&Value>, secrets: &[(&str, &str)]) -> Value {
        let wanted = json!({ "url": "http://h", "password": REDACTED });
        let secrets =
            secrets.iter().map(|(name, secret)| ((*name).to_owned(), Secret::new(*secret))).collect();
        settings(&wanted, stored, &secrets)
    }

    #[test]
    fn a_hidden_secret_is_only_sent_to_who_has_it() {
        assert_eq!(of(None, &[]), json!({ "url": "http://h" }));
        assert_eq!(of(Some(&json!({ "url": "u" })), &[]), json!({ "url": "http://h" }));
        let kept = json!({ "url": "http://h", "password": REDACTED });
        assert_eq!(of(Some(&json!({ "password": REDACTED })), &[]), kept);
        let entered = json!({ "url": "http://h", "password": "new" });
        assert_eq!(of(None, &[("password", "new")]), entered);
        let nested = json!({ "tls": { "key": REDACTED, "ca": "c" } });
        let secrets = [("tls.key".to_owned(), Secret::new("new"))].into();
        assert_eq!(settings(&nested, None, &Fields::new()), json!({ "tls": { "ca": "c" } }));
        assert_eq!(settings(&nested, Some(&nested), &Fields::new()), nested);
        assert_eq!(settings(&nested, None, &secrets), json!({ "tls": { "key": "new", "ca": "c" } }));
    }
}
