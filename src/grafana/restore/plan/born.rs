//! What an organisation has from its beginning, without anybody's doing.

use serde_json::Value;

use crate::grafana::object::{Object, ObjectType};
use crate::grafana::restore::compare::is_empty;
use crate::grafana::restore::door::text;

/// The address that Grafana writes where it does not know one.
const NOBODY: &str = "<example@email.com>";
/// What it calls whom it belongs to; the first one is the later name.
const NAMES: [&str; 2] = ["grafana-default-email", "email receiver"];

/// It is as every new organisation has it, made by whoever is called `maker`.
pub(in crate::grafana::restore) fn is_born(object: &Object, maker: Option<&str>) -> bool {
    let body = &object.body;
    match object.kind {
        // Whoever makes an organisation is in it.
        ObjectType::Members => maker == Some(object.key.as_str()),
        ObjectType::ContactPoints => body["settings"]["addresses"] == NOBODY,
        ObjectType::Policies => is_default_route(body),
        ObjectType::Preferences => is_empty(body),
        ObjectType::AlertmanagerConfig => is_default_config(body),
        ObjectType::Plugins => true,
        _ => false,
    }
}

fn is_default_route(route: &Value) -> bool {
    NAMES.contains(&text(route, "receiver")) && is_empty(&route["routes"])
}

fn is_default_config(body: &Value) -> bool {
    let config = &body["alertmanager_config"];
    let of = |receiver: &Value| {
        receiver["grafana_managed_receiver_configs"].as_array().cloned().unwrap_or_default()
    };
    let mut receivers = config["receivers"].as_array().into_iter().flatten().flat_map(of);
    is_default_route(&config["route"])
        && is_empty(&body["template_files"])
        && receivers.all(|one| one["settings"]["addresses"] == NOBODY)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::grafana::object::ObjectId;

    fn born(kind: ObjectType, key: &str, body: Value) -> bool {
        let id = ObjectId { organisation: Some("o".to_owned()), kind, key: key.to_owned() };
        is_born(&Object::new(id, key, body), Some("admin"))
    }

    #[test]
    fn only_what_nobody_made_is_born() {
        assert!(
            born(ObjectType::Members, "admin", json!({})) && !born(ObjectType::Members, "ann", json!({}))
        );
        let point = |to: &str| json!({ "uid": "", "settings": { "addresses": to } });
        assert!(born(ObjectType::ContactPoints, "p", point(NOBODY)));
        assert!(!born(ObjectType::ContactPoints, "p", point("ops@example.org")));
        let route = json!({ "receiver": "grafana-default-email", "group_by": ["alertname"] });
        assert!(born(ObjectType::Policies, "policies", route.clone()));
        let routes = json!({ "receiver": "grafana-default-email", "routes": [{ "receiver": "Hook" }] });
        assert!(!born(ObjectType::Policies, "policies", routes));
        assert!(born(ObjectType::Preferences, "preferences", json!({ "theme": "", "homeDashboardId": 0 })));
        assert!(!born(ObjectType::Preferences, "preferences", json!({ "theme": "dark" })));
        let config = |to: &str| {
            let configs = json!([{ "settings": { "addresses": to } }]);
            json!({ "template_files": null, "alertmanager_config": { "route": route,
                "receivers": [{ "name": "x", "grafana_managed_receiver_configs": configs }] } })
        };
        assert!(born(ObjectType::AlertmanagerConfig, "alertmanager", config(NOBODY)));
        assert!(!born(ObjectType::AlertmanagerConfig, "alertmanager", config("ops@example.org")));
    }
}
