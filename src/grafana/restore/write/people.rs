//! Users of the server, who is what in an organisation, and teams: by login and name, since numbers are other ones on
//! every server.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::grafana::GrafanaError;
use crate::grafana::client::{List, segment};
use crate::grafana::restore::door::{Door, WriteError, flag, number, text};
use crate::grafana::restore::secrets::Fields;

/// The numbers of users and teams here.
#[derive(Debug, Clone, Default)]
pub(in crate::grafana::restore) struct Numbers {
    pub(in crate::grafana::restore) users: BTreeMap<String, i64>,
    pub(in crate::grafana::restore) teams: BTreeMap<String, i64>,
}

impl Numbers {
    /// Of one organisation.
    pub(in crate::grafana::restore) async fn read(door: &Door) -> Result<Self, GrafanaError> {
        let numbers = |rows: Vec<Value>, name: &str, id: &str| {
            rows.iter().map(|row| (text(row, name).to_owned(), number(row, id))).collect()
        };
        let users = List::whole("list the users of the organisation", "/api/org/users").by(&["userId"]);
        let teams = List::whole("list the teams", "/api/teams/search").in_pages("perpage", 1000).at("/teams");
        Ok(Self {
            users: numbers(door.client.list(&users).await?.rows, "login", "userId"),
            teams: numbers(door.client.list(&teams).await?.rows, "name", "id"),
        })
    }

    fn user(&self, login: &str) -> Result<i64, WriteError> {
        let known = self.users.get(login).copied();
        known.ok_or_else(|| WriteError::Refused(format!("there is no user {login:?} in this organisation")))
    }
}

async fn lookup(door: &Door, login: &str) -> Result<Option<Value>, WriteError> {
    door.find("look for the user", &format!("/api/users/lookup?loginOrEmail={}", segment(login))).await
}

/// A user of the server. The password of the file is set for who is new; for who is there it is only at hand where a
/// restore has made him, and nobody knows the one that he has.
pub(super) async fn write_user(
    door: &Door,
    login: &str,
    wanted: &Value,
    secrets: &Fields,
    organisation: i64,
) -> Result<(), WriteError> {
    let fields = json!({ "login": login, "email": text(wanted, "email"), "name": text(wanted, "name") });
    let mut there = lookup(door, login).await?;
    if there.is_none() {
        let mut body = fields.clone();
        (body["password"], body["OrgId"]) = (json!(password(secrets)), json!(organisation));
        door.post("create the user", "/api/admin/users", body).await?;
        there = lookup(door, login).await?;
    } else if let (Some(there), Some(password)) = (&there, secrets.get("password")) {
        let path = format!("/api/admin/users/{}/password", number(there, "id"));
        door.put("set the password of the user", &path, json!({ "password": password.expose() })).await?;
    }
    let there = there.unwrap_or_default();
    let id = number(&there, "id");
    if ["email", "name"].iter().any(|field| text(&there, field) != text(wanted, field)) {
        door.put("change the user", &format!("/api/users/{id}"), fields).await?;
    }
    let admin = flag(wanted, "isAdmin") || flag(wanted, "isGrafanaAdmin");
    if flag(&there, "isGrafanaAdmin") != admin {
        let path = format!("/api/admin/users/{id}/permissions");
        door.put("set what the user may", &path, json!({ "isGrafanaAdmin": admin })).await?;
    }
    if flag(&there, "isDisabled") != flag(wanted, "isDisabled") {
        let to = if flag(wanted, "isDisabled") { "disable" } else { "enable" };
        door.post("enable or disable the user", &format!("/api/admin/users/{id}/{to}"), json!({})).await?;
    }
    Ok(())
}

/// The password of a user that is made: from the file, else one that nobody will ever know.
fn password(secrets: &Fields) -> String {
    // 160 random bits; whoever wants to log in has it set anew.
    let unknown =
        || format!("{:020x}{:020x}", ulid::Ulid::generate().random(), ulid::Ulid::generate().random());
    secrets.get("password").map_or_else(unknown, |password| password.expose().to_owned())
}

pub(super) async fn remove_user(door: &Door, login: &str) -> Result<(), WriteError> {
    let Some(there) = lookup(door, login).await? else { return Ok(()) };
    door.delete("remove the user", &format!("/api/admin/users/{}", number(&there, "id"))).await
}

/// Somebody's role in an organisation.
pub(super) async fn write_member(
    door: &Door,
    numbers: &Numbers,
    login: &str,
    role: &str,
) -> Result<(), WriteError> {
    if let Some(id) = numbers.users.get(login) {
        let path = format!("/api/org/users/{id}");
        door.patch("set the role", &path, json!({ "role": role })).await?;
    } else {
        let body = json!({ "loginOrEmail": login, "role": role });
        door.post("add to the organisation", "/api/org/users", body).await?;
    }
    Ok(())
}

pub(super) async fn remove_member(door: &Door, numbers: &Numbers, login: &str) -> Result<(), WriteError> {
    let Some(id) = numbers.users.get(login) else { return Ok(()) };
    door.delete("take out of the organisation", &format!("/api/org/users/{id}")).await
}

/// A team, and who is in it. Members that a directory has put there stay and are not made.
pub(super) async fn write_team(
    door: &Door,
    numbers: &Numbers,
    name: &str,
    wanted: &Value,
) -> Result<(), WriteError> {
    let body = json!({ "name": name, "email": text(wanted, "email") });
    let id = match numbers.teams.get(name) {
        None => number(&door.post("create the team", "/api/teams", body).await?, "teamId"),
        Some(id) => {
            let path = format!("/api/teams/{id}");
            if text(&door.get("look at the team", &path).await?, "email") != text(wanted, "email") {
                door.put("change the team", &path, body).await?;
            }
            *id
        }
    };
    let path = format!("/api/teams/{id}/members");
    let there = door.get("look at the members of the team", &path).await?;
    let there: Vec<&Value> = there.as_array().into_iter().flatten().collect();
    for member in wanted["members"].as_array().into_iter().flatten() {
        let (login, level) = (text(member, "login"), number(member, "permission"));
        let id = numbers.user(login)?;
        let found = there.iter().find(|row| text(row, "login") == login);
        if found.is_none() {
            door.post("add a member to the team", &path, json!({ "userId": id })).await?;
        }
        if found.map_or(0, |row| number(row, "permission")) != level {
            let body = json!({ "permission": level });
            door.put("set what a member of the team may", &format!("{path}/{id}"), body).await?;
        }
    }
    let is_wanted = |row: &Value| {
        let mut wanted = wanted["members"].as_array().into_iter().flatten();
        wanted.any(|member| text(member, "login") == text(row, "login"))
    };
    for row in there.iter().filter(|row| !is_wanted(row) && !is_synced(row)) {
        let member = format!("{path}/{}", number(row, "userId"));
        door.delete("take a member out of the team", &member).await?;
    }
    Ok(())
}

/// Somebody whom a directory has put there.
pub(in crate::grafana::restore) fn is_synced(member: &Value) -> bool {
    let labels = member.get("labels").and_then(Value::as_array).is_some_and(|labels| !labels.is_empty());
    labels || !text(member, "auth_module").is_empty()
}

pub(super) async fn remove_team(door: &Door, numbers: &Numbers, name: &str) -> Result<(), WriteError> {
    let Some(id) = numbers.teams.get(name) else { return Ok(()) };
    door.delete("remove the team", &format!("/api/teams/{id}")).await
}

/// A service account. Its tokens cannot be made again: whoever uses one needs a new one.
pub(super) async fn write_service_account(door: &Door, name: &str, wanted: &Value) -> Result<(), WriteError> {
    let body =
        json!({ "name": name, "role": text(wanted, "role"), "isDisabled": flag(wanted, "isDisabled") });
    match service_account(door, name).await? {
        None => door.post("create the service account", "/api/serviceaccounts", body).await?,
        Some(id) => {
            door.patch("change the service account", &format!("/api/serviceaccounts/{id}"), body).await?
        }
    };
    Ok(())
}

async fn service_account(door: &Door, name: &str) -> Result<Option<i64>, WriteError> {
    let path = format!("/api/serviceaccounts/search?query={}&perpage=1000", segment(name));
    let found = door.get("look for the service account", &path).await?;
    let rows = found["serviceAccounts"].as_array().cloned().unwrap_or_default();
    Ok(rows.iter().find(|row| text(row, "name") == name).map(|row| number(row, "id")))
}

pub(super) async fn remove_service_account(door: &Door, name: &str) -> Result<(), WriteError> {
    let Some(id) = service_account(door, name).await? else { return Ok(()) };
    door.delete("remove the service account", &format!("/api/serviceaccounts/{id}")).await
}
