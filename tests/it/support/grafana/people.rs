//! Users of the whole server: `/api/users`, `/api/admin/users`, `/api/user`.

use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};

use super::auth::Role;
use super::http::{Answer, Call, Outcome};
use super::json::{flag, int, page, text};
use super::state::{AVATAR, State, User, now};

pub(super) fn route(state: &mut State, call: &Call, path: &[&str]) -> Option<Outcome> {
    let method = call.method.as_str();
    if let ("GET", ["api", "user"]) = (method, path) {
        return Some(myself(state, call));
    }
    if let ("GET", ["api", "user", "orgs"]) = (method, path) {
        return Some(orgs(state, &call.caller.user.to_string())); // [D]; not recorded
    }
    if !matches!(path, ["api", "users", ..] | ["api", "admin", "users", ..]) {
        return None;
    }
    if let Err(refusal) = call.caller.needs_server_admin() {
        return Some(Err(refusal)); // A token never is one [R 009, 034].
    }
    Some(match (method, &path[1..]) {
        ("GET", ["users"]) => Ok(list(state, call)),
        ("GET", ["users", "search"]) => Ok(search(state, call)),
        ("GET", ["users", "lookup"]) => lookup(state, call),
        ("GET", ["users", id]) => found(state, id).map(|id| Answer::ok(&profile(state, id))),
        ("PUT", ["users", id]) => update(state, call, id),
        ("GET", ["users", id, "orgs"]) => orgs(state, id),
        ("POST", ["admin", "users"]) => create(state, call),
        ("DELETE", ["admin", "users", id]) => delete(state, id),
        ("PUT", ["admin", "users", id, "permissions"]) => {
            let is_admin = call.json().map(|body| flag(&body, "isGrafanaAdmin"));
            is_admin.and_then(|is| change(state, id, "User permissions updated", |user| user.is_admin = is))
        }
        // [A]
        ("PUT", ["admin", "users", id, "password"]) => {
            let password = call.json().map(|body| text(&body, "password").to_owned());
            password.and_then(|new| change(state, id, "User password updated", |user| user.password = new))
        }
        ("POST", ["admin", "users", id, "disable"]) => {
            change(state, id, "User disabled", |user| user.is_disabled = true)
        }
        ("POST", ["admin", "users", id, "enable"]) => {
            change(state, id, "User enabled", |user| user.is_disabled = false)
        }
        _ => return None,
    })
}

fn found(state: &State, id: &str) -> Result<i64, Answer> {
    id.parse().ok().filter(|id| state.users.contains_key(id)).ok_or_else(missing)
}

fn missing() -> Answer {
    Answer::message(404, "user not found") // [R 039]
}

/// When a user was last there: who never was, ten years ago [R 036].
pub(super) fn seen(user: &User) -> (String, &'static str) {
    let never = || Timestamp::now() - (24 * 3652).hours();
    let age = if user.last_seen.is_some() { "< 1m" } else { "10y" };
    (user.last_seen.unwrap_or_else(never).strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), age)
}

/// Where somebody comes from who is not the server's own [M].
pub(super) fn labels(user: &User) -> &'static [&'static str] {
    if user.is_external { &["LDAP"] } else { &[] }
}

fn rows(state: &State, limit: usize, number: usize) -> Vec<Value> {
    let mut all: Vec<_> = state.users.iter().collect();
    all.sort_by_key(|(id, _)| **id);
    let shown = page(all, limit, number).into_iter().map(|(id, user)| {
        let (at, age) = seen(user);
        json!({
            "id": id, "name": user.name, "login": user.login, "email": user.email, "avatarUrl": AVATAR,
            "isAdmin": user.is_admin, "isDisabled": user.is_disabled, "lastSeenAt": at, "lastSeenAtAge": age,
            "authLabels": labels(user),
        })
    });
    shown.collect()
}

fn list(state: &State, call: &Call) -> Answer {
    Answer::ok(&rows(state, call.number("perpage", 1000), call.number("page", 1)).into())
}

fn search(state: &State, call: &Call) -> Answer {
    let (limit, number) = (call.number("perpage", 1000), call.number("page", 1));
    let users = rows(state, limit, number);
    Answer::ok(&json!({ "totalCount": state.users.len(), "users": users, "page": number, "perPage": limit }))
}

fn profile(state: &State, id: i64) -> Value {
    let user = &state.users[&id];
    json!({
        "id": id, "email": user.email, "name": user.name, "login": user.login, "theme": "", "orgId": user.org,
        "isGrafanaAdmin": user.is_admin, "isDisabled": user.is_disabled, "isExternal": user.is_external,
        "authLabels": if user.is_external { json!(labels(user)) } else { Value::Null }, "updatedAt": user.created, "createdAt": user.created, "avatarUrl": "",
    })
}

fn myself(state: &State, call: &Call) -> Outcome {
    if call.caller.user == 0 {
        return Err(missing()); // A token is nobody [M].
    }
    Ok(Answer::ok(&profile(state, call.caller.user)))
}

fn lookup(state: &State, call: &Call) -> Outcome {
    let wanted = call.param("loginOrEmail").unwrap_or_default();
    let user = by_name(state, wanted).ok_or_else(missing)?;
    Ok(Answer::ok(&profile(state, user)))
}

/// The ID of who has this login or mail address.
pub(super) fn by_name(state: &State, wanted: &str) -> Option<i64> {
    state.users.iter().find(|(_, u)| u.login == wanted || u.email == wanted).map(|(id, _)| *id)
}

fn orgs(state: &State, id: &str) -> Outcome {
    let id = found(state, id)?;
    let of = state.orgs.iter().filter_map(|(org, o)| Some((org, o, o.members.get(&id)?)));
    let rows = of.map(|(org, o, role)| json!({ "orgId": org, "name": o.name, "role": role.name() }));
    Ok(Answer::ok(&rows.collect::<Value>()))
}

fn create(state: &mut State, call: &Call) -> Outcome {
    let body = call.json_with(&["Password"])?;
    let (name, email, login) = (text(&body, "name"), text(&body, "email"), text(&body, "login"));
    let password = text(&body, "password");
    if password.is_empty() {
        return Err(Answer::required("Password")); // [R 035]
    }
    let (login, email) =
        (if login.is_empty() { email } else { login }, if email.is_empty() { login } else { email });
    if by_name(state, login).is_some() || by_name(state, email).is_some() {
        let text = format!("User with email '{email}' or username '{login}' already exists");
        return Err(Answer::message(412, &text)); // [R 033]
    }
    let org = Some(int(&body, "OrgId")).filter(|org| *org != 0).unwrap_or(1);
    if !state.orgs.contains_key(&org) {
        return Err(Answer::message(400, "Organization not found")); // [M]
    }
    let id = state.next("user");
    let user = User {
        login: login.into(),
        email: email.into(),
        name: name.into(),
        password: password.into(),
        is_admin: false,
        is_disabled: false,
        is_external: false,
        created: now(),
        last_seen: None,
        org,
    };
    state.users.insert(id, user);
    state.org(org).members.insert(id, Role::Viewer);
    Ok(Answer::ok(&json!({ "id": id, "message": "User created" })))
}

/// The password is none of what this changes: it is set at the creation and can never be read.
fn update(state: &mut State, call: &Call, id: &str) -> Outcome {
    let body = call.json()?;
    change(state, id, "User updated", |user| {
        let fields = [("name", &mut user.name), ("email", &mut user.email), ("login", &mut user.login)];
        for (field, kept) in fields {
            if !text(&body, field).is_empty() {
                *kept = text(&body, field).into();
            }
        }
    })
}

fn change(state: &mut State, id: &str, message: &str, how: impl FnOnce(&mut User)) -> Outcome {
    let id = found(state, id)?;
    how(state.users.get_mut(&id).expect("found"));
    Ok(Answer::message(200, message)) // [M]
}

fn delete(state: &mut State, id: &str) -> Outcome {
    let id = found(state, id)?;
    state.users.remove(&id);
    for org in state.orgs.values_mut() {
        org.members.remove(&id);
        org.teams.values_mut().for_each(|team| _ = team.members.remove(&id));
    }
    Ok(Answer::message(200, "User deleted")) // [M]
}
