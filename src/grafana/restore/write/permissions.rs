//! Who may do what with folders and dashboards: lists that are replaced as a whole. In an export they name logins and
//! teams, and here those get the numbers of this server.

use serde_json::{Value, json};

use super::dashboards;
use super::people::Numbers;
use crate::grafana::client::{Call, segment};
use crate::grafana::object::ObjectType;
use crate::grafana::restore::door::{Door, WriteError, number, text};

async fn path(door: &Door, kind: ObjectType, uid: &str) -> Result<String, WriteError> {
    Ok(match kind {
        ObjectType::FolderPermissions => format!("/api/folders/{}/permissions", segment(uid)),
        _ if door.is(9, 0) => format!("/api/dashboards/uid/{}/permissions", segment(uid)),
        _ => format!("/api/dashboards/id/{}/permissions", dashboards::id_of(door, uid).await?),
    })
}

pub(super) async fn write(
    door: &Door,
    numbers: &Numbers,
    kind: ObjectType,
    uid: &str,
    wanted: &Value,
) -> Result<(), WriteError> {
    let rows = wanted["items"].as_array().into_iter().flatten();
    let items = rows.map(|row| item(numbers, row)).collect::<Result<Vec<Value>, WriteError>>()?;
    let path = path(door, kind, uid).await?;
    // It takes the place of what is there, however often it is sent.
    let call = Call::post("set the permissions", &path, json!({ "items": items })).repeatable();
    door.send(call).await?;
    Ok(())
}

/// A row as it is sent: with the number of who it is for.
fn item(numbers: &Numbers, row: &Value) -> Result<Value, WriteError> {
    let permission = number(row, "permission");
    let (role, team, login) = (text(row, "role"), text(row, "team"), text(row, "userLogin"));
    let missing = |what: &str, name: &str| {
        WriteError::Refused(format!("there is no {what} {name:?} in this organisation"))
    };
    Ok(if !role.is_empty() {
        json!({ "role": role, "permission": permission })
    } else if !team.is_empty() {
        let id = numbers.teams.get(team).ok_or_else(|| missing("team", team))?;
        json!({ "teamId": id, "permission": permission })
    } else {
        let id = numbers.users.get(login).ok_or_else(|| missing("user", login))?;
        json!({ "userId": id, "permission": permission })
    })
}
