//! Correlations of data sources [A][M]: 7.5.5 has none.

use serde_json::{Value, json};

use super::auth::Role;
use super::http::{Answer, Call, Outcome};
use super::json::{or, page, text};
use super::state::State;

pub(super) fn route(state: &mut State, call: &Call, path: &[&str]) -> Option<Outcome> {
    if !state.version.correlations() {
        return None;
    }
    let source = match path {
        ["api", "datasources", "correlations"] => None,
        ["api", "datasources", "uid", source, "correlations", ..] => Some(*source),
        _ => return None,
    };
    if let Err(refusal) = call.caller.needs(Role::Admin) {
        return Some(Err(refusal));
    }
    if let Some(source) = source
        && !state.org(call.caller.org).data_sources.values().any(|d| text(&d.body, "uid") == source)
    {
        return Some(Err(Answer::message(404, "Source data source not found")));
    }
    Some(match (call.method.as_str(), source, path.get(5)) {
        ("GET", None, None) => Ok(list(state, call)),
        ("GET", Some(source), None) => Ok(of_source(state, call, source)),
        ("POST", Some(source), None) => create(state, call, source),
        ("PATCH", Some(_), Some(uid)) => update(state, call, uid),
        ("DELETE", Some(_), Some(uid)) => {
            state.org(call.caller.org).correlations.retain(|c| text(c, "uid") != *uid);
            Ok(Answer::message(200, "Correlation deleted"))
        }
        _ => return None,
    })
}

/// All of the organisation.
fn list(state: &mut State, call: &Call) -> Answer {
    let (limit, number) = (call.number("limit", 100), call.number("page", 1));
    let all = state.org(call.caller.org).correlations.clone();
    let total = all.len();
    let shown = page(all, limit, number);
    Answer::ok(&json!({ "correlations": shown, "page": number, "limit": limit, "totalCount": total }))
}

fn of_source(state: &mut State, call: &Call, source: &str) -> Answer {
    let all = state.org(call.caller.org).correlations.iter();
    Answer::ok(&all.filter(|c| text(c, "sourceUID") == source).cloned().collect::<Value>())
}

fn create(state: &mut State, call: &Call, source: &str) -> Outcome {
    let body = call.json()?;
    let uid = state.new_uid(); // One that is sent is ignored [A].
    let org = state.org(call.caller.org);
    let target = text(&body, "targetUID");
    if !target.is_empty() && !org.data_sources.values().any(|d| text(&d.body, "uid") == target) {
        return Err(Answer::message(404, "Target data source not found"));
    }
    let made = json!({
        "uid": uid, "sourceUID": source, "targetUID": target, "label": text(&body, "label"),
        "description": text(&body, "description"), "config": or(&body, "config", json!({})),
        "orgId": call.caller.org, "provisioned": false,
    });
    org.correlations.push(made.clone());
    Ok(Answer::ok(&json!({ "message": "Correlation created", "result": made })))
}

fn update(state: &mut State, call: &Call, uid: &str) -> Outcome {
    let body = call.json()?;
    let found = state.org(call.caller.org).correlations.iter_mut().find(|c| text(c, "uid") == uid);
    let found = found.ok_or_else(|| Answer::message(404, "Correlation not found"))?;
    for field in ["label", "description", "config"] {
        found[field] = or(&body, field, found[field].clone());
    }
    Ok(Answer::ok(&json!({ "message": "Correlation updated", "result": found })))
}
