//! Library panels: `/api/library-panels` on 7.5 [R 060 to 063], `/api/library-elements` later [S][A].

use serde_json::{Value, json};

use super::auth::Role;
use super::folders;
use super::http::{Answer, Call, Outcome};
use super::json::{int, or, page, text};
use super::state::{AVATAR, State, now, precisely_now};

pub(super) fn route(state: &mut State, call: &Call, path: &[&str]) -> Option<Outcome> {
    let name = if state.version.library_elements() { "library-elements" } else { "library-panels" };
    let ["api", found, rest @ ..] = path else { return None };
    if *found != name {
        return None;
    }
    if call.method != "GET"
        && let Err(refusal) = call.caller.needs(Role::Editor)
    {
        return Some(Err(refusal));
    }
    Some(match (call.method.as_str(), rest) {
        ("GET", []) => Ok(list(state, call)),
        ("POST", []) => create(state, call),
        ("GET", [uid]) => {
            id_of(state, call, uid).map(|id| Answer::ok(&json!({ "result": show(state, call, id) })))
        }
        ("PATCH", [uid]) => update(state, call, uid),
        ("DELETE", [uid]) => delete(state, call, uid),
        _ => return None,
    })
}

/// What this version calls one.
fn noun(state: &State) -> &'static str {
    if state.version.library_elements() { "library element" } else { "library panel" }
}

fn id_of(state: &mut State, call: &Call, uid: &str) -> Result<i64, Answer> {
    let library = &state.org(call.caller.org).library;
    let found = library.iter().find(|(_, element)| text(element, "uid") == uid).map(|(id, _)| *id);
    found.ok_or_else(|| Answer::message(404, &format!("{} could not be found", noun(state)))) // [M]
}

/// Dashboards that use it.
fn used_by(state: &mut State, call: &Call, uid: &str) -> usize {
    let uses = |data: &Value| {
        data["panels"].as_array().into_iter().flatten().any(|panel| panel["libraryPanel"]["uid"] == uid)
    };
    state.org(call.caller.org).dashboards.values().filter(|d| uses(&d.data)).count()
}

fn show(state: &mut State, call: &Call, id: i64) -> Value {
    let by_uid = state.version.library_folder_uid();
    let uid = text(&state.org(call.caller.org).library[&id], "uid").to_owned();
    let connected = used_by(state, call, &uid);
    let org = state.org(call.caller.org);
    let mut shown = org.library[&id].clone();
    shown["meta"]["connectedDashboards"] = json!(connected);
    if let Some(folder) = org.dashboards.get(&int(&shown, "folderId")) {
        shown["meta"]["folderName"] = json!(folder.title); // [A]
        if by_uid {
            shown["folderUid"] = json!(folder.uid);
        }
    }
    shown
}

fn list(state: &mut State, call: &Call) -> Answer {
    let (limit, number) = (call.number("perPage", 100), call.number("page", 1));
    let library = &state.org(call.caller.org).library;
    let mut all: Vec<_> =
        library.iter().map(|(id, element)| (text(element, "name").to_lowercase(), *id)).collect();
    all.sort();
    let total = all.len();
    let shown: Vec<_> = page(all, limit, number).into_iter().map(|(_, id)| show(state, call, id)).collect();
    let field = if state.version.library_elements() { "elements" } else { "libraryPanels" };
    Answer::ok(&json!({ "result": { "totalCount": total, field: shown, "page": number, "perPage": limit } }))
}

/// The folder of a body; `None` if it names none.
fn folder(state: &mut State, call: &Call, body: &Value) -> Result<Option<i64>, Answer> {
    let by_uid = state.version.library_folder_uid();
    let org = state.org(call.caller.org);
    if by_uid && body["folderUid"].is_string() {
        let uid = text(body, "folderUid");
        if uid.is_empty() {
            return Ok(Some(0));
        }
        return org.folder(uid).map(|f| Some(f.id)).ok_or_else(|| Answer::message(400, "folder not found")); // [S]
    }
    match body["folderId"].as_i64() {
        Some(id) if id != 0 && !org.dashboards.get(&id).is_some_and(|d| d.is_folder) => {
            Err(folders::missing())
        }
        given => Ok(given),
    }
}

fn create(state: &mut State, call: &Call) -> Outcome {
    let body = call.json()?;
    let folder = folder(state, call, &body)?.unwrap_or(0);
    let name = text(&body, "name");
    let elements = state.version.library_elements();
    let noun = noun(state);
    if name.is_empty() {
        return Err(Answer::message(400, &format!("{noun} must have a name"))); // [M]
    }
    let sent_uid = text(&body, "uid");
    let in_the_way = |other: &Value| {
        let same_name = int(other, "folderId") == folder && text(other, "name") == name;
        same_name || (!sent_uid.is_empty() && text(other, "uid") == sent_uid)
    };
    if state.org(call.caller.org).library.values().any(in_the_way) {
        let what = if elements { "name or UID" } else { "name" };
        return Err(Answer::message(400, &format!("{noun} with that {what} already exists"))); // [R 062][S]
    }
    let uid = if sent_uid.is_empty() { state.new_uid() } else { sent_uid.into() };
    let id = state.next("library");
    let model = model(&or(&body, "model", json!({})), name);
    let who = json!({ "id": call.caller.user, "name": if call.caller.user == 0 { "" } else { &call.caller.name },
        "avatarUrl": AVATAR });
    let mut element = json!({
        "id": id, "orgId": call.caller.org, "folderId": folder, "uid": uid, "name": name,
        "type": text(&model, "type"), "description": text(&model, "description"), "model": model, "version": 1,
        "meta": { "canEdit": true, "connectedDashboards": 0, "created": now(), "updated": now(),
            "createdBy": who, "updatedBy": who },
    });
    if elements {
        element["kind"] = or(&body, "kind", json!(1));
    }
    state.org(call.caller.org).library.insert(id, element);
    let mut shown = show(state, call, id);
    for time in ["created", "updated"] {
        shown["meta"][time] = json!(precisely_now()); // [R 061]
    }
    Ok(Answer::ok(&json!({ "result": shown })))
}

/// The panel's title is the element's name, whatever was sent [R 061].
fn model(sent: &Value, name: &str) -> Value {
    let mut model = sent.clone();
    model["title"] = json!(name);
    for field in ["type", "description"] {
        model[field] = json!(text(sent, field)); // [M] for what is missing
    }
    model
}

fn update(state: &mut State, call: &Call, uid: &str) -> Outcome {
    let (id, body) = (id_of(state, call, uid)?, call.json()?);
    let folder = folder(state, call, &body)?;
    let element = state.org(call.caller.org).library.get_mut(&id).expect("found");
    if int(&body, "version") != int(element, "version") {
        return Err(Answer::message(412, "the library element has been changed by someone else")); // [S]
    }
    if !text(&body, "name").is_empty() {
        element["name"] = body["name"].clone();
    }
    let name = text(element, "name").to_owned();
    let model = model(&or(&body, "model", element["model"].clone()), &name);
    (element["type"], element["description"]) = (model["type"].clone(), model["description"].clone());
    element["model"] = model;
    if let Some(folder) = folder {
        element["folderId"] = json!(folder);
    }
    element["version"] = json!(int(element, "version") + 1);
    element["meta"]["updated"] = json!(now());
    Ok(Answer::ok(&json!({ "result": show(state, call, id) })))
}

fn delete(state: &mut State, call: &Call, uid: &str) -> Outcome {
    let id = id_of(state, call, uid)?;
    if used_by(state, call, uid) > 0 {
        return Err(Answer::message(403, "the library element has connections")); // [S]
    }
    let noun = noun(state);
    state.org(call.caller.org).library.remove(&id);
    let capital = noun[..1].to_uppercase() + &noun[1..];
    Ok(Answer::message(200, &format!("{capital} deleted"))) // [M]
}
