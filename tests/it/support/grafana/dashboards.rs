//! `/api/dashboards`: save, read, delete, versions.

use serde_json::{Value, json};

use super::auth::{Caller, Role};
use super::http::{Answer, Call, Outcome};
use super::json::{flag, int, slug, text};
use super::permissions::{ADMIN, EDIT, VIEW, level};
use super::save::{self, Refusal, Wanted};
use super::state::{Dashboard, NEVER, Org, State};
use super::{folders, search};

pub(super) fn route(state: &mut State, call: &Call, path: &[&str]) -> Option<Outcome> {
    let by_uid = state.version.permissions_by_uid();
    Some(match (call.method.as_str(), path) {
        ("POST", ["api", "dashboards", "db"]) => create(state, call),
        ("GET", ["api", "dashboards", "uid", uid]) => get(state, call, uid),
        ("DELETE", ["api", "dashboards", "uid", uid]) => delete(state, call, uid),
        ("GET", ["api", "dashboards", "id", id, "versions"]) => {
            let id = id.parse().unwrap_or(0);
            versions(state, call, id)
        }
        ("GET", ["api", "dashboards", "uid", uid, "versions"]) if by_uid => {
            let id = state.org(call.caller.org).by_uid(uid).map_or(0, |d| d.id);
            versions(state, call, id)
        }
        _ => return None,
    })
}

fn create(state: &mut State, call: &Call) -> Outcome {
    let body = call.json_with(&["Dashboard"])?;
    if !body["dashboard"].is_object() {
        return Err(Answer::required("Dashboard"));
    }
    if call.caller.role < Role::Editor {
        return Err(Answer::message(403, "Access denied to save dashboard")); // [R 078]
    }
    let (sent, into) = (&body["dashboard"], folder(state, call, &body)?);
    let org = state.org(call.caller.org);
    let touched = [org.by_uid(text(sent, "uid")), org.dashboards.get(&into)];
    if touched.into_iter().flatten().any(|one| level(org, &call.caller, one) < EDIT) {
        return Err(Answer::message(403, "Access denied to save dashboard")); // [M]
    }
    let wanted = Wanted {
        id: int(sent, "id"),
        uid: text(sent, "uid").trim().into(),
        title: text(sent, "title").trim().into(),
        is_folder: false,
        folder: into,
        data: sent.clone(),
        version: int(sent, "version"),
        overwrite: flag(&body, "overwrite"),
        message: text(&body, "message").into(),
    };
    let id = save::save(state, &call.caller, wanted).map_err(refused)?;
    let tells_folder = state.version.folder_by_uid();
    let org = state.org(call.caller.org);
    let saved = &org.dashboards[&id];
    if tells_folder && unknown_library_panel(org, saved) {
        return Err(Answer::message(500, "Error while connecting library panels")); // It is saved [S].
    }
    let mut answer = json!({
        "id": id, "slug": slug(&saved.title), "status": "success", "uid": saved.uid, "url": url(saved),
        "version": saved.version,
    });
    if tells_folder && let Some(folder) = org.dashboards.get(&saved.folder) {
        answer["folderUid"] = json!(folder.uid); // [M]
    }
    Ok(Answer::ok(&answer))
}

/// The folder to save in. `folderUid` wins where it is known; 7.5.5 takes no notice of it [R 071].
fn folder(state: &mut State, call: &Call, body: &Value) -> Result<i64, Answer> {
    let uid = text(body, "folderUid");
    if uid.is_empty() || !state.version.folder_by_uid() {
        return Ok(int(body, "folderId"));
    }
    let found = state.org(call.caller.org).folder(uid);
    found.map(|f| f.id).ok_or_else(|| Answer::message(400, "folder not found")) // [S]
}

fn unknown_library_panel(org: &Org, dashboard: &Dashboard) -> bool {
    let panels = dashboard.data["panels"].as_array().into_iter().flatten();
    panels
        .filter_map(|panel| panel["libraryPanel"]["uid"].as_str())
        .any(|uid| !org.library.values().any(|element| text(element, "uid") == uid))
}

/// As dashboards say it.
fn refused(why: Refusal) -> Answer {
    match why {
        Refusal::EmptyTitle => Answer::message(400, "Dashboard title cannot be empty"),
        Refusal::Reserved => Answer::message(400, "A folder with that name already exists"),
        Refusal::BadUid => Answer::message(400, "uid contains illegal characters"),
        Refusal::LongUid => Answer::message(400, "uid too long, max 40 characters"),
        Refusal::NotFound => Answer::with_status(404, "Dashboard not found", "not-found"),
        Refusal::FolderNotFound => Answer::message(404, "Folder not found"),
        Refusal::OtherVersion => {
            Answer::with_status(412, "The dashboard has been changed by someone else", "version-mismatch")
        }
        Refusal::OtherKind => Answer::message(400, "Dashboard cannot be changed to a folder"),
        Refusal::TitleOfFolder => Answer::message(400, "Dashboard name cannot be the same as folder"),
        Refusal::TitleTaken => Answer::with_status(
            412,
            "A dashboard with the same name in the folder already exists",
            "name-exists",
        ),
        Refusal::UidTaken => Answer::message(400, "A dashboard with the same uid already exists"),
        Refusal::Provisioned => Answer::message(400, "Cannot save provisioned dashboard"),
    }
}

pub(super) fn missing() -> Answer {
    Answer::message(404, "Dashboard not found") // [R 084, 086]
}

fn url(dashboard: &Dashboard) -> String {
    format!("/d/{}/{}", dashboard.uid, slug(&dashboard.title))
}

/// Where it is in the browser, folders included.
pub(super) fn url_of_any(dashboard: &Dashboard) -> String {
    if dashboard.is_folder { folders::url(dashboard) } else { url(dashboard) }
}

fn get(state: &mut State, call: &Call, uid: &str) -> Outcome {
    let tells_folder = state.version.folder_by_uid();
    let org = state.org(call.caller.org);
    let found = org.by_uid(uid).filter(|d| !d.is_folder).ok_or_else(missing)?;
    if level(org, &call.caller, found) < VIEW {
        return Err(Answer::message(403, "Access denied to this dashboard")); // [M]
    }
    let mut data = found.data.clone();
    // The numbers are the server's, whatever was sent [R 085, 209].
    (data["id"], data["version"]) = (json!(found.id), json!(found.version));
    (data["uid"], data["title"]) = (json!(found.uid), json!(found.title));
    Ok(Answer::ok(&json!({ "meta": meta(org, found, &call.caller, tells_folder), "dashboard": data })))
}

fn meta(org: &Org, found: &Dashboard, caller: &Caller, tells_folder: bool) -> Value {
    let folder = org.dashboards.get(&found.folder);
    let level = level(org, caller, found);
    let (edits, administers) = (level >= EDIT, level >= ADMIN);
    let mut meta = json!({
        "type": "db", "canSave": edits, "canEdit": edits, "canAdmin": administers, "canStar": true,
        "slug": slug(&found.title), "url": url(found), "expires": NEVER, "created": found.created,
        "updated": found.updated, "updatedBy": found.updated_by, "createdBy": found.created_by,
        "version": found.version, "hasAcl": found.has_acl, "isFolder": false, "folderId": found.folder,
        "folderTitle": folder.map_or("General", |f| f.title.as_str()),
        "folderUrl": folder.map(folders::url).unwrap_or_default(), "provisioned": found.provisioned,
        "provisionedExternalId": if found.provisioned { "a.json" } else { "" },
    });
    if tells_folder {
        meta["folderUid"] = json!(folder.map_or("", |f| f.uid.as_str()));
    }
    meta
}

fn delete(state: &mut State, call: &Call, uid: &str) -> Outcome {
    let org = state.org(call.caller.org);
    let found = org.by_uid(uid).filter(|d| !d.is_folder).ok_or_else(missing)?.clone();
    if level(org, &call.caller, &found) < EDIT {
        return Err(Answer::message(403, "Access denied to this dashboard")); // [M]
    }
    if found.provisioned {
        return Err(Answer::message(400, "provisioned dashboard cannot be deleted")); // [M]
    }
    org.dashboards.remove(&found.id);
    org.public_dashboards.retain(|public| text(public, "dashboardUid") != found.uid);
    let message = format!("Dashboard {} deleted", found.title);
    Ok(Answer::ok(&json!({ "id": found.id, "message": message, "title": found.title }))) // [R 211]
}

/// Newest first [R 089].
fn versions(state: &mut State, call: &Call, id: i64) -> Outcome {
    let (limit, start) = (call.number("limit", usize::MAX), call.number("start", 0));
    let found = state.org(call.caller.org).dashboards.get(&id).ok_or_else(missing)?;
    Ok(Answer::ok(&found.history.iter().rev().skip(start).take(limit).cloned().collect::<Value>()))
}

/// A hit of the search.
pub(super) fn hit(org: &Org, found: &Dashboard, nested: bool) -> Value {
    let kind = if found.is_folder { search::FOLDERS } else { search::DASHBOARDS };
    let mut hit = json!({
        "id": found.id, "uid": found.uid, "title": found.title, "uri": format!("db/{}", slug(&found.title)),
        "url": url_of_any(found), "slug": "", "type": kind, "isStarred": false, "sortMeta": 0,
        "tags": super::json::or(&found.data, "tags", json!([])),
    });
    // The parent of a folder is told by some versions only [I grafana#74433, #93410].
    if let Some(folder) = org.dashboards.get(&found.folder)
        && (nested || !found.is_folder)
    {
        (hit["folderId"], hit["folderUid"]) = (json!(folder.id), json!(folder.uid));
        (hit["folderTitle"], hit["folderUrl"]) = (json!(folder.title), json!(folders::url(folder)));
    }
    hit
}
