//! Which secrets an object has that Grafana does not give away.

use serde_json::Value;
use url::Url;

use super::shape::{number, text};
use crate::grafana::contents::Secret;
use crate::grafana::object::{Object, ObjectType, PASSWORDS, places, redacted};

/// What has to be entered again after a restore of this object into an empty Grafana.
pub(super) fn of(object: &Object) -> Option<Secret> {
    let body = &object.body;
    let fields = match object.kind {
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
    named(object, fields)
}

/// What of an object is a secret that Grafana itself shows: passwords of data sources as they were kept before there were
/// encrypted ones, those that stand in a URL, and the links of public dashboards. `decrypted` is said where the secrets of
/// contact points were asked for.
pub(super) fn in_the_clear(object: &Object, decrypted: bool) -> Option<Secret> {
    let body = &object.body;
    let mut fields = match object.kind {
        ObjectType::DataSources => {
            let filled = PASSWORDS.iter().filter(|name| !text(body, name).is_empty());
            filled.map(|name| (*name).to_owned()).collect()
        }
        ObjectType::PublicDashboards if !text(body, "accessToken").is_empty() => {
            vec!["accessToken".to_owned()]
        }
        ObjectType::ContactPoints if decrypted => vec!["settings".to_owned()],
        _ => Vec::new(),
    };
    let has_urls = matches!(
        object.kind,
        ObjectType::DataSources
            | ObjectType::ContactPoints
            | ObjectType::AlertChannels
            | ObjectType::AlertmanagerConfig
    );
    if has_urls {
        let found =
            places(body, "").into_iter().filter(|(_, value)| value.as_str().is_some_and(has_password));
        fields.extend(found.map(|(path, _)| path));
    }
    named(object, fields)
}

/// `https://user:password@host/`
fn has_password(text: &str) -> bool {
    text.contains('@') && Url::parse(text).is_ok_and(|url| url.password().is_some())
}

fn named(object: &Object, mut fields: Vec<String>) -> Option<Secret> {
    fields.sort();
    let Object { organisation, kind, key, title, .. } = object;
    let (organisation, key, title) = (organisation.clone(), key.clone(), title.clone());
    (!fields.is_empty()).then_some(Secret { organisation, kind: *kind, key, title, fields })
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
    fn what_grafana_shows_of_secrets_is_named() {
        let clear = |kind, body: Value| {
            let id = ObjectId { organisation: None, kind, key: "k".to_owned() };
            in_the_clear(&Object::new(id, "K", body), false).map(|secret| secret.fields).unwrap_or_default()
        };
        let source = json!({ "url": "http://u:hunter2@i", "password": "p", "jsonData": { "alt": ["https://u:p@h/"] } });
        assert_eq!(clear(ObjectType::DataSources, source), ["jsonData.alt.0", "password", "url"]);
        assert!(clear(ObjectType::DataSources, json!({ "url": "http://u@i", "user": "a:b@c" })).is_empty());
        assert_eq!(clear(ObjectType::PublicDashboards, json!({ "accessToken": "x" })), ["accessToken"]);
        assert_eq!(
            clear(ObjectType::ContactPoints, json!({ "settings": { "url": "http://u:p@h" } })),
            ["settings.url"]
        );
        assert!(clear(ObjectType::Dashboards, json!({ "dashboard": { "link": "http://u:p@h" } })).is_empty());
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
