//! Which secrets an object has that Grafana does not give away.

use serde_json::Value;

use super::shape::{number, text};
use crate::grafana::contents::Secret;
use crate::grafana::object::{Object, ObjectType, PASSWORDS, redacted};

/// What has to be entered again after a restore of this object into an empty Grafana.
pub(super) fn of(object: &Object) -> Option<Secret> {
    let body = &object.body;
    let mut fields = match object.kind {
        // Who comes from a directory has no password of his own.
        ObjectType::Users if body.get("authLabels").is_none() => vec!["password".to_owned()],
        ObjectType::ServiceAccounts if number(body, "tokens") > 0 => {
            vec![crate::words::count(usize::try_from(number(body, "tokens")).unwrap_or_default(), "token")]
        }
        ObjectType::DataSources => marked(&body["secureJsonFields"]),
        ObjectType::AlertChannels => marked(&body["secureFields"]),
        ObjectType::ContactPoints => redacted(&body["settings"], ""),
        ObjectType::AlertmanagerConfig => receivers(body),
        _ => Vec::new(),
    };
    fields.sort();
    let Object { organisation, kind, key, title, .. } = object;
    let (organisation, key, title) = (organisation.clone(), key.clone(), title.clone());
    (!fields.is_empty()).then_some(Secret { organisation, kind: *kind, key, title, fields })
}

/// It has a secret that everybody can read: a password of a data source as it was kept before there were encrypted
/// ones.
pub(super) fn in_the_clear(object: &Object) -> bool {
    let filled = |name: &&str| !text(&object.body, name).is_empty();
    object.kind == ObjectType::DataSources && PASSWORDS.iter().any(filled)
}

/// The names that are marked as having one.
fn marked(fields: &Value) -> Vec<String> {
    let all = fields.as_object().into_iter().flatten();
    all.filter(|(_, there)| **there == true).map(|(name, _)| name.clone()).collect()
}

/// Of 8: `NAME.FIELD` of each receiver.
fn receivers(config: &Value) -> Vec<String> {
    let receivers = config["alertmanager_config"]["receivers"].as_array().into_iter().flatten();
    let configs = receivers.filter_map(|one| one["grafana_managed_receiver_configs"].as_array()).flatten();
    let named = |one: &Value| {
        let name = text(one, "name").to_owned();
        marked(&one["secureFields"]).into_iter().map(move |field| format!("{name}.{field}"))
    };
    configs.flat_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grafana::object::ObjectId;
    use serde_json::json;

    fn fields(kind: ObjectType, body: Value) -> Vec<String> {
        let id = ObjectId { organisation: None, kind, key: "k".to_owned() };
        of(&Object::new(id, "K", body)).map(|secret| secret.fields).unwrap_or_default()
    }

    #[test]
    fn each_kind_of_secret_is_named_and_no_secret_is_none() {
        assert_eq!(fields(ObjectType::Users, json!({ "login": "a" })), ["password"]);
        assert!(fields(ObjectType::Users, json!({ "authLabels": ["LDAP"] })).is_empty());
        assert_eq!(fields(ObjectType::ServiceAccounts, json!({ "tokens": 2 })), ["2 tokens"]);
        let source = json!({ "secureJsonFields": { "b": true, "a": true, "c": false } });
        assert_eq!(fields(ObjectType::DataSources, source), ["a", "b"]);
        let point =
            json!({ "settings": { "url": "x", "password": "[REDACTED]", "tls": { "key": "[REDACTED]" } } });
        assert_eq!(fields(ObjectType::ContactPoints, point), ["password", "tls.key"]);
        let receiver = json!({ "name": "Hook", "secureFields": { "password": true } });
        let config = json!({ "alertmanager_config": { "receivers": [{ "grafana_managed_receiver_configs": [receiver] }] } });
        assert_eq!(fields(ObjectType::AlertmanagerConfig, config), ["Hook.password"]);
        assert!(fields(ObjectType::Dashboards, json!({})).is_empty());
    }
}
