//! `/api/annotations`: without a UID, and each POST adds one.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::auth::Role;
use super::http::{Answer, Call, Outcome};
use super::json::{int, or, text};
use super::state::State;

pub(super) fn route(state: &mut State, call: &Call, path: &[&str]) -> Option<Outcome> {
    Some(match (call.method.as_str(), path) {
        ("GET", ["api", "annotations"]) => Ok(list(state, call)),
        ("POST", ["api", "annotations"]) => create(state, call),
        ("DELETE", ["api", "annotations", id]) => delete(state, call, id),
        _ => return None,
    })
}

/// The latest first, and never more than `limit`, which is 100 if nothing is said: no pages.
fn list(state: &mut State, call: &Call) -> Answer {
    let org = state.org(call.caller.org);
    let edge = |name: &str| call.param(name).and_then(|at| at.parse::<i64>().ok());
    let (from, to) = (edge("from"), edge("to"));
    let mut found: Vec<_> = org.annotations.values().collect();
    found.retain(|a| {
        let inside =
            from.is_none_or(|from| int(a, "timeEnd") >= from) && to.is_none_or(|to| int(a, "time") <= to);
        let kind = if int(a, "alertId") > 0 { "alert" } else { "annotation" };
        inside && call.param("type").is_none_or(|wanted| wanted == kind)
    });
    found.sort_by_key(|a| std::cmp::Reverse((int(a, "timeEnd"), int(a, "id"))));
    Answer::ok(&found.into_iter().take(call.number("limit", 100)).cloned().collect::<Value>())
}

fn create(state: &mut State, call: &Call) -> Outcome {
    call.caller.needs(Role::Editor)?;
    let body = call.json()?;
    if text(&body, "text").is_empty() {
        return Err(Answer::message(400, "Failed to save annotation")); // [R 096]
    }
    let id = state.next("annotation");
    let by_uid = state.version.home_by_uid();
    let (login, email) = state.users.get(&call.caller.user).map_or(("", ""), |u| (&u.login, &u.email));
    let (login, email) = (login.to_owned(), email.to_owned());
    let org = state.org(call.caller.org);
    let named = org.by_uid(text(&body, "dashboardUID")).filter(|_| by_uid).map(|d| d.id);
    let dashboard = named.unwrap_or(int(&body, "dashboardId"));
    let at = Timestamp::now().as_millisecond();
    let time = Some(int(&body, "time")).filter(|time| *time != 0).unwrap_or(at);
    let end = Some(int(&body, "timeEnd")).filter(|end| *end != 0).unwrap_or(time);
    let mut kept = json!({
        "id": id, "alertId": 0, "alertName": "", "dashboardId": dashboard, "panelId": int(&body, "panelId"),
        "userId": call.caller.user, "newState": "", "prevState": "", "created": at, "updated": at,
        "time": time, "timeEnd": end, "text": text(&body, "text"), "tags": or(&body, "tags", json!([])),
        "login": login, "email": email, "avatarUrl": "", "data": or(&body, "data", json!({})),
    });
    if by_uid && let Some(found) = org.dashboards.get(&dashboard) {
        kept["dashboardUID"] = json!(found.uid); // [A]
    }
    org.annotations.insert(id, kept);
    Ok(Answer::ok(&json!({ "id": id, "message": "Annotation added" })))
}

fn delete(state: &mut State, call: &Call, id: &str) -> Outcome {
    call.caller.needs(Role::Editor)?;
    let gone = id.parse().ok().and_then(|id: i64| state.org(call.caller.org).annotations.remove(&id));
    gone.ok_or_else(|| Answer::message(404, "Annotation not found"))?; // [M]
    Ok(Answer::message(200, "Annotation deleted"))
}
