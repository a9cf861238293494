//! Snapshots: known by a key; the key to delete one is told once.

use serde_json::{Value, json};

use super::http::{Answer, Call, Outcome};
use super::json::{int, or, text};
use super::state::{NEVER, State, in_seconds, now};

/// Fifty years: what Grafana takes for "never" [M].
const FOR_EVER: i64 = 50 * 365 * 24 * 3600;

pub(super) fn route(state: &mut State, call: &Call, path: &[&str]) -> Option<Outcome> {
    Some(match (call.method.as_str(), path) {
        ("GET", ["api", "dashboard", "snapshots"]) => Ok(list(state, call)),
        ("POST", ["api", "snapshots"]) => create(state, call),
        ("GET", ["api", "snapshots", key]) => get(state, call, key),
        ("DELETE", ["api", "snapshots", key]) => delete(state, call, key),
        _ => return None,
    })
}

fn list(state: &mut State, call: &Call) -> Answer {
    let shown =
        state.org(call.caller.org).snapshots.values().take(call.number("limit", 1000)).map(|snapshot| {
            let mut row = snapshot.clone();
            row.as_object_mut()
                .expect("an object")
                .retain(|field, _| field != "dashboard" && field != "deleteKey");
            row
        });
    Answer::ok(&shown.collect::<Value>())
}

fn create(state: &mut State, call: &Call) -> Outcome {
    let body = call.json_with(&["Dashboard"])?;
    let id = state.next("snapshot");
    let key = |field: &str| Some(text(&body, field)).filter(|key| !key.is_empty()).map(str::to_owned);
    let given = key("key").unwrap_or_else(|| format!("snapshot{id}"));
    let to_delete = key("deleteKey").unwrap_or_else(|| format!("delete{id}"));
    let expires = in_seconds(Some(int(&body, "expires")).filter(|s| *s > 0).unwrap_or(FOR_EVER));
    let org = state.org(call.caller.org);
    if org.snapshots.values().any(|other| text(other, "key") == given) {
        return Err(Answer::message(500, "Failed to create snapshot")); // [M]
    }
    org.snapshots.insert(
        id,
        json!({
            "id": id, "name": or(&body, "name", json!("Unnamed snapshot")), "key": given, "orgId": call.caller.org,
            "userId": call.caller.user, "external": false, "externalUrl": "", "expires": expires,
            "created": now(), "updated": now(), "dashboard": body["dashboard"], "deleteKey": to_delete,
        }),
    );
    let answer = json!({
        "deleteKey": to_delete, "deleteUrl": format!("http://localhost:3000/api/snapshots-delete/{to_delete}"),
        "id": id, "key": given, "url": format!("http://localhost:3000/dashboard/snapshot/{given}"),
    });
    Ok(Answer::ok(&answer).by_front()) // Its content type differs from the others' [R 097].
}

fn missing(state: &State) -> Answer {
    if state.version.missing_snapshot_is_404() {
        return Answer::message(404, "Dashboard snapshot not found");
    }
    Answer::message(500, "Failed to get dashboard snapshot") // [R 100, 220]
}

fn get(state: &mut State, call: &Call, key: &str) -> Outcome {
    let found = state.org(call.caller.org).snapshots.values().find(|snapshot| text(snapshot, "key") == key);
    let Some(found) = found.cloned() else { return Err(missing(state)) };
    let meta = json!({
        "isSnapshot": true, "type": "snapshot", "canSave": false, "canEdit": false, "canAdmin": false,
        "canStar": false, "slug": "", "url": "", "expires": found["expires"], "created": found["created"],
        "updated": NEVER, "updatedBy": "", "createdBy": "", "version": 0, "hasAcl": false, "isFolder": false,
        "folderId": 0, "folderTitle": "", "folderUrl": "", "provisioned": false, "provisionedExternalId": "",
    });
    Ok(Answer::ok(&json!({ "meta": meta, "dashboard": found["dashboard"] })))
}

fn delete(state: &mut State, call: &Call, key: &str) -> Outcome {
    let org = state.org(call.caller.org);
    let before = org.snapshots.len();
    org.snapshots.retain(|_, snapshot| text(snapshot, "key") != key);
    if org.snapshots.len() == before {
        Err(missing(state))
    } else {
        Ok(Answer::message(200, "Snapshot deleted."))
    }
}
