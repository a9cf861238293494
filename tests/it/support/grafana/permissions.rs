//! Permissions of folders and dashboards: lists that are replaced as a whole.

use serde_json::{Value, json};

use super::auth::{Caller, Role};
use super::dashboards::{self, url_of_any};
use super::folders;
use super::http::{Answer, Call, Outcome};
use super::json::{int, slug, text};
use super::state::{AVATAR, Dashboard, Org, State, User, now};

pub(super) const VIEW: i64 = 1;
pub(super) const EDIT: i64 = 2;
pub(super) const ADMIN: i64 = 4;

/// One row: for a role, a team or a user.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    role: Option<String>,
    team: i64,
    user: i64,
    pub(super) level: i64,
    created: String,
}

impl Grant {
    /// Who has it, by name: numbers are other ones on another server.
    pub(super) fn holder(&self, state: &State, org: &Org) -> String {
        let team = org.teams.get(&self.team).map(|team| format!("team {}", team.name));
        let user = state.users.get(&self.user).map(|user| format!("user {}", user.login));
        let role = self.role.as_ref().map(|role| format!("role {role}"));
        role.or(team).or(user).unwrap_or_else(|| "nobody".into())
    }

    fn same_holder(&self, other: &Self) -> bool {
        (&self.role, self.team, self.user) == (&other.role, other.team, other.user)
    }
}

pub(super) fn route(state: &mut State, call: &Call, path: &[&str]) -> Option<Outcome> {
    let by_uid = state.version.permissions_by_uid();
    let org = state.org(call.caller.org);
    let (found, missing) = match path {
        ["api", "folders", uid, "permissions"] => (org.folder(uid), folders::missing()),
        ["api", "dashboards", "id", id, "permissions"] => {
            let id = id.parse().unwrap_or(0);
            (org.dashboards.get(&id), dashboards::missing())
        }
        ["api", "dashboards", "uid", uid, "permissions"] if by_uid => {
            (org.by_uid(uid), dashboards::missing())
        }
        _ => return None,
    };
    let Some(found) = found.cloned() else { return Some(Err(missing)) };
    let as_folder = path[1] == "folders";
    Some(match call.method.as_str() {
        "GET" => list(state, call, &found, as_folder),
        "POST" => replace(state, call, &found, as_folder),
        _ => return None,
    })
}

/// What somebody may do: administrators everything, others what a row for them says [M]. What may not be seen is
/// missing in lists, and nothing says so.
pub(super) fn level(org: &Org, caller: &Caller, of: &Dashboard) -> i64 {
    if caller.role == Role::Admin {
        return ADMIN;
    }
    let mine = |grant: &Grant| {
        let role = grant.role.as_deref().and_then(Role::named).is_some_and(|role| caller.role >= role);
        let team = org.teams.get(&grant.team).is_some_and(|team| team.members.contains_key(&caller.user));
        role || team || (grant.user > 0 && grant.user == caller.user)
    };
    let rows = grants(org, of);
    rows.iter().filter(|(_, grant)| mine(grant)).map(|(_, grant)| grant.level).max().unwrap_or(0)
}

/// What holds, own or inherited, and for whom: with the rows that nobody ever set.
fn list(state: &mut State, call: &Call, of: &Dashboard, as_folder: bool) -> Outcome {
    if level(state.org(call.caller.org), &call.caller, of) < ADMIN {
        return Err(Answer::message(403, "Access denied")); // [M]
    }
    let rows: Vec<Value> = grants(state.org(call.caller.org), of)
        .iter()
        .map(|(from, grant)| {
            // Asked as a folder it names the folder, even in default rows [R 028]: only `hasAcl` tells them.
            let (field, owner) = if as_folder { ("folderId", of.id) } else { ("dashboardId", *from) };
            let mut row = show(state, call, of, grant);
            (row[field], row["inherited"]) = (json!(owner), json!(*from > 0 && *from != of.id));
            row
        })
        .collect();
    Ok(Answer::ok(&json!(rows)))
}

/// The rows with the ID of what each is from; -1 for the default of the installation [R 087].
fn grants(org: &Org, of: &Dashboard) -> Vec<(i64, Grant)> {
    let above = org.above(of);
    let own = of.acl.iter().map(|grant| (of.id, grant.clone()));
    let inherited = above.iter().flat_map(|f| f.acl.iter().map(|grant| (f.id, grant.clone())));
    let mut rows: Vec<_> = own.chain(inherited).collect();
    // Rows of its own do not end the default of a dashboard in a folder, only the folder's do [M].
    let decides = of.is_folder || above.is_empty();
    if !(decides && of.has_acl || above.iter().any(|folder| folder.has_acl)) {
        for (role, level) in [("Viewer", 1), ("Editor", 2)] {
            let created = "2017-06-20T00:00:00Z".into();
            rows.push((-1, Grant { role: Some(role.into()), team: 0, user: 0, level, created }));
        }
    }
    rows
}

fn show(state: &mut State, call: &Call, of: &Dashboard, grant: &Grant) -> Value {
    let team = state.org(call.caller.org).teams.get(&grant.team);
    let (team, mail) = team.map(|t| (t.name.clone(), t.email.clone())).unwrap_or_default();
    let user = state.users.get(&grant.user);
    let name = match grant.level {
        1 => "View",
        2 => "Edit",
        _ => "Admin",
    };
    let mut row = json!({
        "created": grant.created, "updated": grant.created,
        "userId": grant.user, "userLogin": user.map_or("", |u: &User| u.login.as_str()),
        "userEmail": user.map_or("", |u: &User| u.email.as_str()), "userAvatarUrl": AVATAR,
        "teamId": grant.team, "teamEmail": mail, "teamAvatarUrl": if grant.team == 0 { "" } else { AVATAR },
        "team": team, "permission": grant.level, "permissionName": name, "uid": of.uid, "title": of.title,
        "slug": slug(&of.title), "isFolder": of.is_folder, "url": url_of_any(of),
    });
    if let Some(role) = &grant.role {
        row["role"] = json!(role);
    }
    row
}

fn replace(state: &mut State, call: &Call, of: &Dashboard, as_folder: bool) -> Outcome {
    if level(state.org(call.caller.org), &call.caller, of) < ADMIN {
        return Err(Answer::message(403, "Access denied")); // [M]
    }
    let body = call.json()?;
    let mut wanted: Vec<Grant> = Vec::new();
    for item in body["items"].as_array().into_iter().flatten() {
        let grant = grant(item)?;
        // Administrators have everything anyway [M]; one row for each holder [R 047].
        if grant.role.as_deref() == Some("Admin") || wanted.iter().any(|w| w.same_holder(&grant)) {
            return Err(Answer::message(400, "permission already exists"));
        }
        wanted.push(grant);
    }
    let inherited =
        grants(state.org(call.caller.org), of).into_iter().filter(|(from, _)| *from > 0 && *from != of.id);
    let lowers = |old: &Grant, new: &Grant| old.same_holder(new) && new.level <= old.level;
    if inherited.into_iter().any(|(_, old)| wanted.iter().any(|new| lowers(&old, new))) {
        return Err(Answer::message(400, "you can only override a permission to be higher")); // [M]
    }
    let kept = state.org(call.caller.org).dashboards.get_mut(&of.id).expect("found by the router");
    (kept.acl, kept.has_acl) = (wanted, true);
    if as_folder {
        let message = "Folder permissions updated";
        return Ok(Answer::ok(&json!({ "id": of.id, "message": message, "title": of.title }))); // [R 045]
    }
    Ok(Answer::message(200, "Dashboard permissions updated"))
}

fn grant(item: &Value) -> Result<Grant, Answer> {
    let role = Some(text(item, "role")).filter(|role| !role.is_empty()).map(str::to_owned);
    let (team, user, level) = (int(item, "teamId"), int(item, "userId"), int(item, "permission"));
    if role.is_some() && (team > 0 || user > 0) {
        let text = "team and user permissions cannot have an associated role";
        return Err(Answer::message(400, text)); // [R 048]
    }
    Ok(Grant { role, team, user, level, created: now() })
}
