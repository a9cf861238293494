//! `/api/folders`.

use serde_json::{Value, json};

use super::auth::{Caller, Role};
use super::http::{Answer, Call, Outcome};
use super::json::{flag, int, page, slug, text};
use super::permissions::{ADMIN, EDIT, VIEW, level};
use super::save::{self, Refusal, Wanted};
use super::state::{Dashboard, Org, State, now};

/// How deep folders may lie in folders [M].
const DEPTH: usize = 4;

pub(super) fn route(state: &mut State, call: &Call, path: &[&str]) -> Option<Outcome> {
    Some(match (call.method.as_str(), path) {
        ("GET", ["api", "folders"]) => list(state, call),
        ("POST", ["api", "folders"]) => create(state, call),
        ("GET", ["api", "folders", "id", id]) => by_id(state, call, id),
        ("GET", ["api", "folders", uid]) => get(state, call, uid),
        ("PUT", ["api", "folders", uid]) => update(state, call, uid),
        ("DELETE", ["api", "folders", uid]) => delete(state, call, uid),
        ("POST", ["api", "folders", uid, "move"]) if state.nested => relocate(state, call, uid),
        _ => return None,
    })
}

/// Only the direct children of one folder where folders nest [I grafana#93410]. Where they do not, `parentUid` is
/// a parameter like any that nobody knows: who follows it down gets the same list for ever.
fn list(state: &mut State, call: &Call) -> Outcome {
    let (limit, nested) = (call.number("limit", 1000), state.nested);
    // 7.5.5 does not know `page`, and answers the first one again and again [R 022].
    let number = if state.version.pages_folders() { call.number("page", 1) } else { 1 };
    let org = state.org(call.caller.org);
    let parent = match call.param("parentUid").filter(|uid| nested && !uid.is_empty()) {
        Some(uid) => org.folder(uid).ok_or_else(missing)?.id,
        None => 0,
    };
    let mut found: Vec<_> =
        org.dashboards.values().filter(|d| d.is_folder && (!nested || d.folder == parent)).collect();
    found.retain(|folder| level(org, &call.caller, folder) >= VIEW);
    found.sort_by_key(|f| f.title.to_lowercase());
    let shown = page(found, limit, number).into_iter().map(|f| {
        let mut hit = json!({ "id": f.id, "uid": f.uid, "title": f.title });
        if let Some(above) = org.dashboards.get(&f.folder) {
            hit["parentUid"] = json!(above.uid);
        }
        hit
    });
    Ok(Answer::ok(&shown.collect::<Value>()))
}

fn create(state: &mut State, call: &Call) -> Outcome {
    needs_editor(&call.caller)?;
    let body = call.json()?;
    let parent = parent(state, call, text(&body, "parentUid"))?;
    let wanted = Wanted {
        uid: text(&body, "uid").into(),
        title: text(&body, "title").trim().into(),
        is_folder: true,
        folder: parent,
        ..Wanted::default()
    };
    let id = save::save(state, &call.caller, wanted).map_err(|why| refused(state, why))?;
    Ok(show(state.org(call.caller.org), id, &call.caller))
}

/// The folder to be in. The trap: where folders do not nest this is ignored, with 200 [R 017].
fn parent(state: &mut State, call: &Call, uid: &str) -> Result<i64, Answer> {
    if uid.is_empty() || !state.nested {
        return Ok(0);
    }
    let org = state.org(call.caller.org);
    let found = org.folder(uid).ok_or_else(missing)?;
    if org.above(found).len() + 1 >= DEPTH {
        return Err(Answer::message(400, "Maximum nested folder depth reached"));
    }
    Ok(found.id)
}

fn get(state: &mut State, call: &Call, uid: &str) -> Outcome {
    let org = state.org(call.caller.org);
    let id = visible(org, &call.caller, org.folder(uid))?;
    Ok(show(org, id, &call.caller))
}

fn by_id(state: &mut State, call: &Call, id: &str) -> Outcome {
    let org = state.org(call.caller.org);
    let id = id.parse().unwrap_or(0);
    let id = visible(org, &call.caller, org.dashboards.get(&id).filter(|d| d.is_folder))?;
    Ok(show(org, id, &call.caller))
}

/// Title and nothing else: where a folder is changes by a move.
fn update(state: &mut State, call: &Call, uid: &str) -> Outcome {
    needs_editor(&call.caller)?;
    let body = call.json()?;
    let there = state.org(call.caller.org).folder(uid).ok_or_else(missing)?.clone();
    let wanted = Wanted {
        id: there.id,
        uid: there.uid,
        title: text(&body, "title").trim().into(),
        is_folder: true,
        folder: there.folder,
        version: int(&body, "version"),
        overwrite: flag(&body, "overwrite"),
        ..Wanted::default()
    };
    let id = save::save(state, &call.caller, wanted).map_err(|why| refused(state, why))?;
    Ok(show(state.org(call.caller.org), id, &call.caller))
}

fn relocate(state: &mut State, call: &Call, uid: &str) -> Outcome {
    needs_editor(&call.caller)?;
    let body = call.json()?;
    let parent = parent(state, call, text(&body, "parentUid"))?;
    let org = state.org(call.caller.org);
    let id = org.folder(uid).ok_or_else(missing)?.id;
    let into = org.dashboards.get(&parent);
    if into.is_some_and(|into| into.id == id || org.above(into).iter().any(|above| above.id == id)) {
        return Err(Answer::message(400, "failed to move folder: circular reference detected")); // [M]
    }
    let folder = org.dashboards.get_mut(&id).expect("found above");
    (folder.folder, folder.updated) = (parent, now());
    Ok(show(org, id, &call.caller))
}

/// With all that is in it.
fn delete(state: &mut State, call: &Call, uid: &str) -> Outcome {
    needs_editor(&call.caller)?;
    let org = state.org(call.caller.org);
    let found = org.folder(uid).ok_or_else(missing)?.clone();
    let inside = |d: &Dashboard| d.id == found.id || org.above(d).iter().any(|above| above.id == found.id);
    let gone: Vec<_> = org.dashboards.values().filter(|d| inside(d)).map(|d| (d.id, d.uid.clone())).collect();
    let has_rules = |rule: &Value| gone.iter().any(|(_, uid)| text(rule, "folderUID") == uid);
    if call.param("forceDeleteRules") != Some("true") && org.alerting.rules.values().any(has_rules) {
        return Err(Answer::message(400, "folder cannot be deleted: folder contains alert rules")); // [M]
    }
    org.alerting.rules.retain(|_, rule| !gone.iter().any(|(_, uid)| text(rule, "folderUID") == uid));
    org.dashboards.retain(|id, _| !gone.iter().any(|(other, _)| other == id));
    let message = format!("Folder {} deleted", found.title);
    Ok(Answer::ok(&json!({ "id": found.id, "message": message, "title": found.title })))
}

fn visible(org: &Org, caller: &Caller, found: Option<&Dashboard>) -> Result<i64, Answer> {
    let found = found.ok_or_else(missing)?;
    if level(org, caller, found) < VIEW { Err(Answer::message(403, "Access denied")) } else { Ok(found.id) } // [M]
}

fn needs_editor(caller: &Caller) -> Result<(), Answer> {
    if caller.role >= Role::Editor {
        return Ok(());
    }
    Err(if caller.role == Role::None { caller.refusal() } else { Answer::message(403, "Access denied") }) // [M]
}

pub(super) fn missing() -> Answer {
    Answer::with_status(404, "folder not found", "not-found") // [R 024]
}

/// As folders say it.
fn refused(state: &State, why: Refusal) -> Answer {
    let conflict = state.version.existing_folder_is_conflict();
    match why {
        Refusal::EmptyTitle => Answer::message(400, "folder title cannot be empty"),
        Refusal::Reserved => Answer::message(400, "A folder with that name already exists"),
        Refusal::BadUid => Answer::message(400, "uid contains illegal characters"),
        Refusal::LongUid => Answer::message(400, "uid too long, max 40 characters"),
        Refusal::OtherVersion if conflict => {
            Answer::message(409, "a folder with the same uid already exists or has been changed")
        }
        Refusal::OtherVersion => {
            Answer::with_status(412, "the folder has been changed by someone else", "version-mismatch")
        }
        Refusal::TitleTaken | Refusal::TitleOfFolder => {
            let text = "a folder or dashboard in the general folder with the same name already exists";
            Answer::message(if conflict { 409 } else { 400 }, text) // 409: [S]
        }
        Refusal::OtherKind | Refusal::UidTaken => {
            Answer::message(400, "Dashboard cannot be changed to a folder")
        }
        Refusal::NotFound | Refusal::FolderNotFound => missing(),
        Refusal::Provisioned => Answer::message(400, "Cannot save provisioned dashboard"),
    }
}

pub(super) fn url(folder: &Dashboard) -> String {
    format!("/dashboards/f/{}/{}", folder.uid, slug(&folder.title))
}

fn show(org: &Org, id: i64, caller: &Caller) -> Answer {
    let folder = &org.dashboards[&id];
    let level = level(org, caller, folder);
    let (edits, administers) = (level >= EDIT, level >= ADMIN);
    let mut body = json!({
        "id": folder.id, "uid": folder.uid, "title": folder.title, "url": url(folder), "hasAcl": folder.has_acl,
        "canSave": edits, "canEdit": edits, "canAdmin": administers, "version": folder.version,
        "createdBy": folder.created_by, "created": folder.created, "updatedBy": folder.updated_by,
        "updated": folder.updated,
    });
    let mut above = org.above(folder);
    if let Some(parent) = above.first() {
        body["parentUid"] = json!(parent.uid); // [A]
        above.reverse();
        let parents = above.iter().map(|f| json!({ "uid": f.uid, "title": f.title, "url": url(f) }));
        body["parents"] = parents.collect();
    }
    Answer::ok(&body)
}
