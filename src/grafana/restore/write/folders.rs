//! Folders. A server that does not know folders in folders answers 200 and puts them all side by side: only reading them
//! back tells.

use serde_json::{Value, json};

use crate::grafana::client::segment;
use crate::grafana::restore::door::{Door, WriteError, number, text};

/// What to do where a server keeps all folders side by side.
const SWITCH_ON: &str = "switch the feature toggle nestedFolders on, and restore again";

fn path(uid: &str) -> String {
    format!("/api/folders/{}", segment(uid))
}

/// Its number, which the old versions want where the later ones take the UID; 0 is General.
pub(in crate::grafana::restore) async fn id_of(door: &Door, uid: &str) -> Result<i64, WriteError> {
    if uid.is_empty() {
        return Ok(0);
    }
    Ok(number(&door.get(&format!("look at the folder {uid}"), &path(uid)).await?, "id"))
}

pub(super) async fn write(door: &Door, uid: &str, wanted: &Value) -> Result<(), WriteError> {
    let title = text(wanted, "title");
    // Where folders do not nest, it is planned that they all lie side by side.
    let parent = if door.is(10, 0) { text(wanted, "parentUid") } else { "" };
    let Some(there) = door.find("look at the folder", &path(uid)).await? else {
        let mut body = json!({ "uid": uid, "title": title });
        if !parent.is_empty() {
            body["parentUid"] = json!(parent);
        }
        door.post("create the folder", "/api/folders", body).await?;
        return check(door, uid, parent).await;
    };
    if text(&there, "title") != title {
        let body = json!({ "title": title, "version": number(&there, "version") });
        door.put("rename the folder", &path(uid), body).await?;
    }
    if text(&there, "parentUid") != parent {
        let to = json!({ "parentUid": parent });
        match door.post("move the folder", &format!("{}/move", path(uid)), to).await {
            // What put it at the top before turns it away now.
            Err(WriteError::Refused(why)) if !parent.is_empty() => {
                return Err(WriteError::Refused(format!(
                    "{why}; where folders in folders are off there, {SWITCH_ON}"
                )));
            }
            moved => moved.map(drop)?,
        }
    }
    check(door, uid, parent).await
}

/// It is there, and where it was to be.
async fn check(door: &Door, uid: &str, parent: &str) -> Result<(), WriteError> {
    let made = door.find("look at the folder that was made", &path(uid)).await?;
    let Some(made) = made else {
        return Err(WriteError::Wrong("Grafana says 200, and does not have the folder".to_owned()));
    };
    match text(&made, "parentUid") {
        there if there == parent => Ok(()),
        "" => Err(WriteError::Refused(format!(
            "Grafana says 200, and has put it at the top and not into the folder {parent}: folders in folders are off \
             there; {SWITCH_ON}"
        ))),
        there => Err(WriteError::Refused(format!(
            "Grafana says 200, and has put it into {there} and not into {parent:?}"
        ))),
    }
}

/// Removes one that is empty: what somebody has put into it since stays, and so does the folder.
pub(super) async fn remove(door: &Door, uid: &str) -> Result<(), WriteError> {
    let Some(there) = door.find("look at the folder", &path(uid)).await? else { return Ok(()) };
    let inside = if door.is(9, 0) {
        format!("/api/search?folderUIDs={}&limit=1", segment(uid))
    } else {
        format!("/api/search?folderIds={}&limit=1", number(&there, "id"))
    };
    let below = format!("/api/folders?parentUid={}&limit=1", segment(uid));
    let inside = door.get("look into the folder", &inside).await?;
    let is_full = |list: &Value| list.as_array().is_some_and(|all| !all.is_empty());
    // Where folders do not nest, the list is that of all folders.
    let nested = door.get("look into the folder", &below).await?;
    let child = |row: &Value| text(row, "parentUid") == uid;
    if is_full(&inside) || nested.as_array().is_some_and(|rows| rows.iter().any(child)) {
        return Err(WriteError::Refused("it is not empty any more: what is in it stays".to_owned()));
    }
    door.delete("remove the folder", &path(uid)).await
}
