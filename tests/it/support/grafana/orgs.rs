//! Organisations, and who is in them: `/api/org` is the caller's own, `/api/orgs` needs an administrator.

use serde_json::{Value, json};

use super::auth::Role;
use super::http::{Answer, Call, Outcome};
use super::json::{page, text};
use super::people::{by_name, seen};
use super::state::{AVATAR, Org, State};

pub(super) fn route(state: &mut State, call: &Call, path: &[&str]) -> Option<Outcome> {
    let method = call.method.as_str();
    let own = call.caller.org;
    if let ("GET", ["api", "org"]) = (method, path) {
        return Some(show(state, own));
    }
    let refusal = match path {
        ["api", "org" | "orgs", "preferences", ..] => return None,
        ["api", "org", ..] => call.caller.needs(Role::Admin),
        ["api", "orgs", ..] => call.caller.needs_server_admin(), // Never a token [R 010].
        _ => return None,
    };
    if let Err(refusal) = refusal {
        return Some(Err(refusal));
    }
    let given = match path {
        ["api", "orgs", id, ..] if *id != "name" => id.parse().ok().filter(|id| state.orgs.contains_key(id)),
        _ => Some(own),
    };
    let Some(org) = given else { return Some(Err(missing())) };
    Some(match (method, &path[1..]) {
        ("GET", ["orgs"]) => Ok(list(state, call)),
        ("POST", ["orgs"]) => create(state, call),
        ("GET", ["orgs", "name", name]) => {
            let found = state.orgs.iter().find(|(_, org)| org.name == *name).map(|(id, _)| *id);
            found.ok_or_else(missing).and_then(|id| show(state, id))
        }
        ("GET", ["orgs", _]) => show(state, org),
        ("PUT", ["org"] | ["orgs", _]) => rename(state, call, org),
        ("DELETE", ["orgs", _]) => {
            state.orgs.remove(&org);
            Ok(Answer::message(200, "Organization deleted")) // [M]
        }
        ("GET", ["org", "users"] | ["orgs", _, "users"]) => Ok(users(state, org)),
        ("POST", ["org", "users"] | ["orgs", _, "users"]) => add(state, call, org),
        ("PATCH", ["org", "users", user] | ["orgs", _, "users", user]) => set_role(state, call, org, user),
        ("DELETE", ["org", "users", user] | ["orgs", _, "users", user]) => remove(state, org, user),
        _ => return None,
    })
}

fn missing() -> Answer {
    Answer::message(404, "Organization not found") // [M]
}

fn show(state: &State, id: i64) -> Outcome {
    let org = state.orgs.get(&id).ok_or_else(missing)?;
    let address =
        json!({ "address1": "", "address2": "", "city": "", "zipCode": "", "state": "", "country": "" });
    Ok(Answer::ok(&json!({ "id": id, "name": org.name, "address": address })))
}

/// Here the first page is 0 [R 105, D]; who begins with 1 gets it, too [A].
fn list(state: &State, call: &Call) -> Answer {
    let mut all: Vec<_> = state.orgs.iter().collect();
    all.sort_by_key(|(id, _)| **id);
    let shown = page(all, call.number("perpage", 1000), call.number("page", 1));
    Answer::ok(&shown.into_iter().map(|(id, org)| json!({ "id": id, "name": org.name })).collect::<Value>())
}

fn taken(state: &State, name: &str) -> Result<(), Answer> {
    let taken = state.orgs.values().any(|org| org.name == name);
    if taken { Err(Answer::message(409, "Organization name taken")) } else { Ok(()) } // [R 104]
}

/// Who makes one administers it [M].
fn create(state: &mut State, call: &Call) -> Outcome {
    let body = call.json()?;
    let name = text(&body, "name");
    taken(state, name)?;
    let id = state.next("org");
    let mut org = Org { name: name.into(), ..Org::default() };
    org.members.insert(call.caller.user, Role::Admin);
    state.orgs.insert(id, org);
    Ok(Answer::ok(&json!({ "message": "Organization created", "orgId": id })))
}

fn rename(state: &mut State, call: &Call, org: i64) -> Outcome {
    let body = call.json()?;
    if state.org(org).name != text(&body, "name") {
        taken(state, text(&body, "name"))?;
    }
    state.org(org).name = text(&body, "name").into();
    Ok(Answer::message(200, "Organization updated")) // [M]
}

fn users(state: &State, org: i64) -> Answer {
    let rows = state.orgs[&org].members.iter().filter_map(|(id, role)| {
        let user = state.users.get(id)?;
        let (at, age) = seen(user);
        Some(json!({
            "orgId": org, "userId": id, "email": user.email, "name": user.name, "avatarUrl": AVATAR,
            "login": user.login, "role": role.name(), "lastSeenAt": at, "lastSeenAtAge": age,
        }))
    });
    Answer::ok(&rows.collect::<Value>())
}

fn role(body: &Value) -> Result<Role, Answer> {
    Role::named(text(body, "role")).ok_or_else(|| Answer::message(400, "Invalid role specified")) // [M]
}

fn add(state: &mut State, call: &Call, org: i64) -> Outcome {
    let body = call.json()?;
    let role = role(&body)?;
    let user = by_name(state, text(&body, "loginOrEmail"));
    let user = user.ok_or_else(|| Answer::message(404, "User not found"))?; // [M]
    let members = &mut state.org(org).members;
    if members.contains_key(&user) {
        let text = "User is already member of this organization";
        return Err(Answer::json(409, &json!({ "message": text, "userId": user }))); // [R 044]
    }
    members.insert(user, role);
    Ok(Answer::ok(&json!({ "message": "User added to organization", "userId": user }))) // [M]
}

/// The last administrator stays one.
fn is_last_admin(members: &std::collections::BTreeMap<i64, Role>, user: i64) -> bool {
    members.get(&user) == Some(&Role::Admin) && members.values().filter(|r| **r == Role::Admin).count() == 1
}

fn set_role(state: &mut State, call: &Call, org: i64, user: &str) -> Outcome {
    let role = role(&call.json()?)?;
    let members = &mut state.org(org).members;
    let user = user.parse().unwrap_or(0);
    if role != Role::Admin && is_last_admin(members, user) {
        return Err(Answer::message(400, "Cannot change role so that there is no organization admin left")); // [M]
    }
    let known = members.get_mut(&user).ok_or_else(|| Answer::message(404, "User not found"))?; // [M]
    *known = role;
    Ok(Answer::message(200, "Organization user updated")) // [R 043]
}

fn remove(state: &mut State, org: i64, user: &str) -> Outcome {
    let members = &mut state.org(org).members;
    let user = user.parse().unwrap_or(0);
    if is_last_admin(members, user) {
        return Err(Answer::message(400, "Cannot remove last organization admin")); // [M]
    }
    members.remove(&user);
    Ok(Answer::message(200, "User removed from organization")) // [M]
}
