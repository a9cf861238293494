//! Dashboards that anyone may see [A][M].

use serde_json::{Value, json};

use super::auth::Role;
use super::dashboards;
use super::http::{Answer, Call, Outcome};
use super::json::{flag, or, page, slug, text};
use super::state::State;

pub(super) fn route(state: &mut State, call: &Call, path: &[&str]) -> Option<Outcome> {
    if !state.version.public_dashboards() {
        return None;
    }
    Some(match (call.method.as_str(), path) {
        ("GET", ["api", "dashboards", "public-dashboards"]) => Ok(list(state, call)),
        ("GET", ["api", "dashboards", "uid", uid, "public-dashboards"]) => get(state, call, uid),
        ("POST", ["api", "dashboards", "uid", uid, "public-dashboards"]) => create(state, call, uid),
        ("PATCH", ["api", "dashboards", "uid", uid, "public-dashboards", _]) => update(state, call, uid),
        ("DELETE", ["api", "dashboards", "uid", uid, "public-dashboards", _]) => {
            state
                .org(call.caller.org)
                .public_dashboards
                .retain(|public| text(public, "dashboardUid") != *uid);
            Ok(Answer::ok(&json!({})))
        }
        _ => return None,
    })
}

fn list(state: &mut State, call: &Call) -> Answer {
    let (limit, number) = (call.number("perpage", 1000), call.number("page", 1));
    let org = state.org(call.caller.org);
    let all = org.public_dashboards.iter().map(|public| {
        let title = org.by_uid(text(public, "dashboardUid")).map_or("", |d| d.title.as_str());
        json!({
            "uid": public["uid"], "accessToken": public["accessToken"], "dashboardUid": public["dashboardUid"],
            "isEnabled": public["isEnabled"], "title": title, "slug": slug(title),
        })
    });
    let all: Vec<_> = all.collect();
    let total = all.len();
    let shown = page(all, limit, number);
    Answer::ok(&json!({ "publicDashboards": shown, "totalCount": total, "page": number, "perPage": limit }))
}

fn missing() -> Answer {
    Answer::message(404, "Public dashboard not found")
}

fn get(state: &mut State, call: &Call, uid: &str) -> Outcome {
    let mut all = state.org(call.caller.org).public_dashboards.iter();
    all.find(|public| text(public, "dashboardUid") == uid).map(Answer::ok).ok_or_else(missing)
}

fn create(state: &mut State, call: &Call, uid: &str) -> Outcome {
    call.caller.needs(Role::Admin)?;
    let body = call.json()?;
    state.org(call.caller.org).by_uid(uid).filter(|d| !d.is_folder).ok_or_else(dashboards::missing)?;
    let (made, token) = (state.new_uid(), state.new_uid());
    let org = state.org(call.caller.org);
    if org.public_dashboards.iter().any(|public| text(public, "dashboardUid") == uid) {
        return Err(Answer::message(400, "Dashboard is already public"));
    }
    let public: Value = json!({
        "uid": or(&body, "uid", json!(made)), "accessToken": or(&body, "accessToken", json!(token)),
        "dashboardUid": uid, "isEnabled": flag(&body, "isEnabled"),
        "annotationsEnabled": flag(&body, "annotationsEnabled"),
        "timeSelectionEnabled": flag(&body, "timeSelectionEnabled"),
        "share": or(&body, "share", json!("public")),
    });
    org.public_dashboards.push(public.clone());
    Ok(Answer::ok(&public))
}

fn update(state: &mut State, call: &Call, uid: &str) -> Outcome {
    call.caller.needs(Role::Admin)?;
    let body = call.json()?;
    let mut all = state.org(call.caller.org).public_dashboards.iter_mut();
    let found = all.find(|public| text(public, "dashboardUid") == uid).ok_or_else(missing)?;
    for field in ["isEnabled", "annotationsEnabled", "timeSelectionEnabled", "share"] {
        found[field] = or(&body, field, found[field].clone());
    }
    Ok(Answer::ok(found))
}
