//! Dashboards. `overwrite` is never used: with it a dashboard that only has the same title would be overwritten, and 200
//! said. So what is there is looked at first, and its version is sent: whoever saves in between is not run over.

use serde_json::{Value, json};

use super::folders;
use crate::grafana::client::segment;
use crate::grafana::restore::door::{Door, WriteError, flag, number, text};

pub(in crate::grafana) fn path(uid: &str) -> String {
    format!("/api/dashboards/uid/{}", segment(uid))
}

pub(in crate::grafana) async fn write(
    door: &Door,
    uid: &str,
    wanted: &Value,
    folder: &str,
    message: &str,
) -> Result<(), WriteError> {
    let there = door.find("look at the dashboard", &path(uid)).await?;
    let mut dashboard = wanted.clone();
    // A number of another server means nothing here, or another dashboard.
    dashboard["id"] = Value::Null;
    dashboard["uid"] = json!(uid);
    match &there {
        Some(there) if flag(&there["meta"], "provisioned") => {
            return Err(WriteError::Refused(
                "it comes from a file on the server, which alone can change it".to_owned(),
            ));
        }
        Some(there) => dashboard["version"] = there["dashboard"]["version"].clone(),
        None => drop(dashboard.as_object_mut().and_then(|fields| fields.remove("version"))),
    }
    // Without a folder it would move to General.
    let mut body =
        json!({ "dashboard": dashboard, "folderUid": folder, "overwrite": false, "message": message });
    let number_of_folder = if door.is(9, 0) { None } else { Some(folders::id_of(door, folder).await?) };
    if let Some(id) = number_of_folder {
        body["folderId"] = json!(id);
    }
    let answer = door.post("save the dashboard", "/api/dashboards/db", body).await?;
    let saved = text(&answer, "uid");
    if saved != uid {
        return Err(WriteError::Wrong(format!("Grafana says 200, and has saved it as {saved:?}")));
    }
    check_folder(door, uid, folder, number_of_folder).await
}

/// It is where it was to be: 200 alone does not say so.
async fn check_folder(
    door: &Door,
    uid: &str,
    folder: &str,
    number_of_folder: Option<i64>,
) -> Result<(), WriteError> {
    let saved = door.find("look at the dashboard that was saved", &path(uid)).await?;
    let Some(saved) = saved else {
        return Err(WriteError::Wrong("Grafana says that it is saved, and does not have it".to_owned()));
    };
    let meta = &saved["meta"];
    let is_there = match (meta.get("folderUid").and_then(Value::as_str), number_of_folder) {
        (Some(there), _) => there == folder,
        (None, Some(id)) => number(meta, "folderId") == id,
        (None, None) => folder.is_empty(),
    };
    if is_there {
        return Ok(());
    }
    let place = text(meta, "folderTitle");
    Err(WriteError::Wrong(format!(
        "Grafana says 200, and has put it into {place:?} and not into the folder {folder:?}"
    )))
}

/// The number of a dashboard, which the old versions want.
pub(super) async fn id_of(door: &Door, uid: &str) -> Result<i64, WriteError> {
    Ok(number(&door.get("look at the dashboard", &path(uid)).await?["dashboard"], "id"))
}

pub(in crate::grafana) async fn remove(door: &Door, uid: &str) -> Result<(), WriteError> {
    door.delete("remove the dashboard", &path(uid)).await
}
