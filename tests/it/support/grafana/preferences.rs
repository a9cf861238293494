//! `/api/org/preferences`.

use serde_json::{Map, Value, json};

use super::auth::Role;
use super::http::{Answer, Call, Outcome};
use super::json::{int, text};
use super::state::State;

pub(super) fn route(state: &mut State, call: &Call, path: &[&str]) -> Option<Outcome> {
    let patches = state.version.home_by_uid();
    if path != ["api", "org", "preferences"] {
        return None;
    }
    if let Err(refusal) = call.caller.needs(Role::Admin) {
        return Some(Err(refusal));
    }
    Some(match call.method.as_str() {
        "GET" => Ok(show(state, call)),
        "PUT" => change(state, call, true),
        "PATCH" if patches => change(state, call, false),
        _ => return None,
    })
}

fn show(state: &mut State, call: &Call) -> Answer {
    let later = state.version.home_by_uid();
    let org = state.org(call.caller.org);
    let set = Value::from(org.preferences.clone());
    let mut shown = json!({ "theme": text(&set, "theme"), "timezone": text(&set, "timezone") });
    let home = org.dashboards.get(&int(&set, "homeDashboardId"));
    if !later {
        shown["homeDashboardId"] = json!(int(&set, "homeDashboardId")); // [R 101]
        return Answer::ok(&shown);
    }
    shown["weekStart"] = json!(text(&set, "weekStart"));
    if let Some(home) = home {
        (shown["homeDashboardUID"], shown["homeDashboardId"]) = (json!(home.uid), json!(home.id)); // [A]
    }
    Answer::ok(&shown)
}

/// PUT forgets what it does not name, PATCH does not [A].
fn change(state: &mut State, call: &Call, forget: bool) -> Outcome {
    let sent = call.json()?.as_object().cloned().unwrap_or_default();
    let later = state.version.home_by_uid();
    let org = state.org(call.caller.org);
    let mut new = if forget { Map::new() } else { org.preferences.clone() };
    for field in ["theme", "timezone", "weekStart", "homeDashboardId"] {
        if let Some(value) = sent.get(field) {
            new.insert(field.into(), value.clone());
        }
    }
    // Where only the number is known a UID is a field like any that nobody knows.
    if let Some(uid) = sent.get("homeDashboardUID").and_then(Value::as_str).filter(|_| later) {
        let home = org.by_uid(uid).map(|d| d.id);
        let home = home.filter(|_| !uid.is_empty()).unwrap_or(0);
        new.insert("homeDashboardId".into(), json!(home));
    }
    org.preferences = new;
    Ok(Answer::message(200, "Preferences updated")) // [R 102]
}
