//! `/api/serviceaccounts` [A][M]: their tokens can be made, and never be read again.

use serde_json::{Value, json};

use super::auth::{self, Role};
use super::http::{Answer, Call, Outcome};
use super::json::{flag, page, text};
use super::state::{AVATAR, State};

pub(super) fn route(state: &mut State, call: &Call, path: &[&str]) -> Option<Outcome> {
    let ["api", "serviceaccounts", rest @ ..] = path else { return None };
    if !state.version.service_accounts() {
        return None;
    }
    if let Err(refusal) = call.caller.needs(Role::Admin) {
        return Some(Err(refusal));
    }
    Some(match (call.method.as_str(), rest) {
        ("GET", ["search"]) => Ok(search(state, call)),
        ("POST", []) => create(state, call),
        ("GET", [id]) => {
            found(state, call, id).map(|id| Answer::ok(&state.org(call.caller.org).service_accounts[&id]))
        }
        ("PATCH", [id]) => update(state, call, id),
        ("DELETE", [id]) => delete(state, call, id),
        ("GET", [id, "tokens"]) => found(state, call, id).map(|id| {
            let mine = state.tokens.iter().filter(|token| token.service_account == Some(id));
            Answer::ok(&mine.map(auth::Token::shown).collect::<Value>())
        }),
        ("POST", [id, "tokens"]) => create_token(state, call, id),
        _ => return None,
    })
}

fn found(state: &mut State, call: &Call, id: &str) -> Result<i64, Answer> {
    let accounts = &state.org(call.caller.org).service_accounts;
    let id = id.parse().ok().filter(|id| accounts.contains_key(id));
    id.ok_or_else(|| Answer::message(404, "service account not found"))
}

fn search(state: &mut State, call: &Call) -> Answer {
    let (limit, number) = (call.number("perpage", 1000), call.number("page", 1));
    let query = call.param("query").unwrap_or_default().to_lowercase();
    let accounts = state.org(call.caller.org).service_accounts.values();
    let all: Vec<_> = accounts.filter(|a| text(a, "name").to_lowercase().contains(&query)).cloned().collect();
    let total = all.len();
    let shown = page(all, limit, number);
    Answer::ok(&json!({ "totalCount": total, "serviceAccounts": shown, "page": number, "perPage": limit }))
}

fn create(state: &mut State, call: &Call) -> Outcome {
    let body = call.json()?;
    let (name, role) = (text(&body, "name"), Role::named(text(&body, "role")).unwrap_or(Role::Viewer));
    let accounts = &state.org(call.caller.org).service_accounts;
    if accounts.values().any(|other| text(other, "name") == name) {
        return Err(Answer::message(400, "service account already exists"));
    }
    let id = state.next("user");
    let made = json!({
        "id": id, "name": name, "login": format!("sa-{name}"), "orgId": call.caller.org, "role": role.name(),
        "isDisabled": flag(&body, "isDisabled"), "tokens": 0, "avatarUrl": AVATAR,
    });
    state.org(call.caller.org).service_accounts.insert(id, made.clone());
    Ok(Answer::json(201, &made))
}

fn update(state: &mut State, call: &Call, id: &str) -> Outcome {
    let (id, body) = (found(state, call, id)?, call.json()?);
    let account = state.org(call.caller.org).service_accounts.get_mut(&id).expect("found");
    for field in ["name", "role", "isDisabled"] {
        if !body[field].is_null() {
            account[field] = body[field].clone();
        }
    }
    let message = "Service account updated";
    Ok(Answer::ok(&json!({ "id": id, "message": message, "serviceaccount": account })))
}

fn delete(state: &mut State, call: &Call, id: &str) -> Outcome {
    let id = found(state, call, id)?;
    state.org(call.caller.org).service_accounts.remove(&id);
    state.tokens.retain(|token| token.service_account != Some(id));
    Ok(Answer::message(200, "Service account deleted"))
}

fn create_token(state: &mut State, call: &Call, id: &str) -> Outcome {
    let (id, body) = (found(state, call, id)?, call.json()?);
    let account = state.org(call.caller.org).service_accounts.get_mut(&id).expect("found");
    account["tokens"] = json!(account["tokens"].as_i64().unwrap_or(0) + 1);
    let role = Role::named(text(account, "role")).unwrap_or_default();
    let name = text(&body, "name");
    let key = auth::make_token(state, call.caller.org, role, name);
    let token = state.tokens.last_mut().expect("just made");
    token.service_account = Some(id);
    let mut answer = token.shown();
    answer["key"] = json!(key);
    Ok(Answer::ok(&answer))
}
