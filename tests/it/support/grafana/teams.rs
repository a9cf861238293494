//! `/api/teams`: by number, and a name only once.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::auth::Role;
use super::http::{Answer, Call, Outcome};
use super::json::{int, page, text};
use super::people::labels;
use super::state::{AVATAR, State, Team};

pub(super) fn route(state: &mut State, call: &Call, path: &[&str]) -> Option<Outcome> {
    let ["api", "teams", rest @ ..] = path else { return None };
    if let Err(refusal) = call.caller.needs(Role::Admin) {
        return Some(Err(refusal));
    }
    let sets_all = state.version.sets_all_members();
    Some(match (call.method.as_str(), rest) {
        ("POST", []) => create(state, call),
        ("GET", ["search"]) => Ok(search(state, call)),
        ("GET", [id]) => found(state, call, id).map(|id| Answer::ok(&show(state, call, id))),
        ("PUT", [id]) => update(state, call, id),
        ("DELETE", [id]) => delete(state, call, id),
        ("GET", [id, "members"]) => members(state, call, id),
        ("POST", [id, "members"]) => add(state, call, id),
        ("PUT", [id, "members"]) if sets_all => set_all(state, call, id),
        ("PUT", [id, "members", user]) => set_permission(state, call, id, user),
        ("DELETE", [id, "members", user]) => remove(state, call, id, user),
        _ => return None,
    })
}

fn found(state: &mut State, call: &Call, id: &str) -> Result<i64, Answer> {
    let teams = &state.org(call.caller.org).teams;
    id.parse().ok().filter(|id| teams.contains_key(id)).ok_or_else(|| Answer::message(404, "Team not found"))
}

fn taken(state: &mut State, call: &Call, name: &str, but: i64) -> Result<(), Answer> {
    let teams = &state.org(call.caller.org).teams;
    if teams.iter().any(|(id, team)| *id != but && team.name == name) {
        return Err(Answer::message(409, "Team name taken")); // [R 030]
    }
    Ok(())
}

fn create(state: &mut State, call: &Call) -> Outcome {
    let body = call.json()?;
    let (name, email) = (text(&body, "name"), text(&body, "email"));
    if name.is_empty() {
        return Err(Answer::required("Name")); // [M]
    }
    taken(state, call, name, 0)?;
    let id = state.next("team");
    let team = Team { name: name.into(), email: email.into(), members: BTreeMap::new() };
    state.org(call.caller.org).teams.insert(id, team);
    let mut answer = json!({ "message": "Team created", "teamId": id });
    if state.version.sets_all_members() {
        answer["uid"] = json!(format!("team{id}")); // [M]
    }
    Ok(Answer::ok(&answer))
}

fn show(state: &mut State, call: &Call, id: i64) -> Value {
    let has_uid = state.version.sets_all_members();
    let team = &state.org(call.caller.org).teams[&id];
    let mut body = json!({
        "id": id, "orgId": call.caller.org, "name": team.name, "email": team.email, "avatarUrl": AVATAR,
        "memberCount": team.members.len(), "permission": 0,
    });
    if has_uid {
        body["uid"] = json!(format!("team{id}"));
    }
    body
}

fn search(state: &mut State, call: &Call) -> Answer {
    let (limit, number) = (call.number("perpage", 1000), call.number("page", 1));
    let query = call.param("query").unwrap_or_default().to_lowercase();
    let fits = |team: &Team| {
        call.param("name").is_none_or(|name| name == team.name) && team.name.to_lowercase().contains(&query)
    };
    let teams = &state.org(call.caller.org).teams;
    let mut all: Vec<_> =
        teams.iter().filter(|(_, team)| fits(team)).map(|(id, t)| (t.name.clone(), *id)).collect();
    all.sort();
    let total = all.len();
    let shown: Vec<_> = page(all, limit, number).into_iter().map(|(_, id)| show(state, call, id)).collect();
    Answer::ok(&json!({ "totalCount": total, "teams": shown, "page": number, "perPage": limit }))
}

fn update(state: &mut State, call: &Call, id: &str) -> Outcome {
    let (id, body) = (found(state, call, id)?, call.json()?);
    taken(state, call, text(&body, "name"), id)?;
    let team = state.org(call.caller.org).teams.get_mut(&id).expect("found");
    (team.name, team.email) = (text(&body, "name").into(), text(&body, "email").into());
    Ok(Answer::message(200, "Team updated")) // [M]
}

fn delete(state: &mut State, call: &Call, id: &str) -> Outcome {
    let id = found(state, call, id)?;
    state.org(call.caller.org).teams.remove(&id);
    Ok(Answer::message(200, "Team deleted")) // [M]
}

fn members(state: &mut State, call: &Call, id: &str) -> Outcome {
    let id = found(state, call, id)?;
    let members = state.org(call.caller.org).teams[&id].members.clone();
    let shown = members.iter().filter_map(|(user, permission)| {
        let known = state.users.get(user)?;
        Some(json!({
            "orgId": call.caller.org, "teamId": id, "userId": user, "auth_module": if known.is_external { "ldap" } else { "" }, "email": known.email,
            "name": known.name, "login": known.login, "avatarUrl": AVATAR, "labels": labels(known), "permission": permission,
        }))
    });
    Ok(Answer::ok(&shown.collect::<Value>()))
}

fn add(state: &mut State, call: &Call, id: &str) -> Outcome {
    let (id, user) = (found(state, call, id)?, int(&call.json()?, "userId"));
    if !state.users.contains_key(&user) {
        return Err(Answer::message(404, "user not found")); // [M]
    }
    let team = state.org(call.caller.org).teams.get_mut(&id).expect("found");
    if team.members.insert(user, 0).is_some() {
        return Err(Answer::message(400, "User is already added to this team")); // [R 041]
    }
    Ok(Answer::message(200, "Member added to Team"))
}

/// All members at once, by mail address [D].
fn set_all(state: &mut State, call: &Call, id: &str) -> Outcome {
    let (id, body) = (found(state, call, id)?, call.json()?);
    let mut members = BTreeMap::new();
    for (list, permission) in [("members", 0), ("admins", 4)] {
        for mail in body[list].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let user = state.users.iter().find(|(_, u)| u.email == mail);
            let (user, _) = user.ok_or_else(|| Answer::message(400, "user not found"))?; // [M]
            members.insert(*user, permission);
        }
    }
    state.org(call.caller.org).teams.get_mut(&id).expect("found").members = members;
    Ok(Answer::message(200, "Team memberships have been updated")) // [M]
}

fn set_permission(state: &mut State, call: &Call, id: &str, user: &str) -> Outcome {
    let (id, permission) = (found(state, call, id)?, int(&call.json()?, "permission"));
    let members = &mut state.org(call.caller.org).teams.get_mut(&id).expect("found").members;
    let known = user.parse().ok().and_then(|user: i64| members.get_mut(&user));
    *known.ok_or_else(|| Answer::message(404, "Team member not found."))? = permission; // [M]
    Ok(Answer::message(200, "Team member updated"))
}

fn remove(state: &mut State, call: &Call, id: &str, user: &str) -> Outcome {
    let id = found(state, call, id)?;
    let members = &mut state.org(call.caller.org).teams.get_mut(&id).expect("found").members;
    let gone = user.parse().ok().and_then(|user: i64| members.remove(&user));
    gone.ok_or_else(|| Answer::message(404, "Team member not found."))?; // [M]
    Ok(Answer::message(200, "Team Member removed"))
}
