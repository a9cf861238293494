//! Library panels, and variables of the same kind.

use serde_json::{Value, json};

use super::folders;
use crate::grafana::client::segment;
use crate::grafana::restore::door::{Door, WriteError, text};

fn base(door: &Door) -> &'static str {
    if door.is(8, 0) { "/api/library-elements" } else { "/api/library-panels" }
}

fn path(door: &Door, uid: &str) -> String {
    format!("{}/{}", base(door), segment(uid))
}

pub(super) async fn write(door: &Door, uid: &str, wanted: &Value, folder: &str) -> Result<(), WriteError> {
    let mut body = json!({ "name": text(wanted, "name"), "model": wanted["model"] });
    if door.is(8, 0) {
        body["kind"] = wanted.get("kind").cloned().unwrap_or(json!(1));
    }
    if door.is(9, 0) {
        body["folderUid"] = json!(folder);
    } else {
        body["folderId"] = json!(folders::id_of(door, folder).await?);
    }
    match door.find("look at the library panel", &path(door, uid)).await? {
        None => {
            body["uid"] = json!(uid);
            door.post("create the library panel", base(door), body).await?;
        }
        Some(there) => {
            body["version"] = there["result"]["version"].clone();
            door.patch("change the library panel", &path(door, uid), body).await?;
        }
    }
    Ok(())
}

pub(super) async fn remove(door: &Door, uid: &str) -> Result<(), WriteError> {
    door.delete("remove the library panel", &path(door, uid)).await
}
