//! `/api/datasources`: what can be read, and secrets that never can.

use serde_json::{Map, Value, json};

use super::auth::Role;
use super::http::{Answer, Call, Outcome};
use super::json::{flag, int, names_only, or, text};
use super::state::{DataSource, Org, State};

/// Fields of text, which a PUT without them leaves as they are [R 203].
const TEXTS: [&str; 9] =
    ["name", "type", "access", "url", "password", "user", "database", "basicAuthUser", "basicAuthPassword"];
/// Fields that a PUT without them sets to false [R 203].
const FLAGS: [&str; 3] = ["basicAuth", "withCredentials", "isDefault"];

pub(super) fn route(state: &mut State, call: &Call, path: &[&str]) -> Option<Outcome> {
    let ["api", "datasources", rest @ ..] = path else { return None };
    let method = call.method.as_str();
    let mine = match (method, rest) {
        (_, ["correlations"]) => false,
        ("GET" | "POST", []) | ("GET" | "DELETE", ["uid" | "name", _]) | ("GET" | "PUT" | "DELETE", [_]) => {
            true
        }
        ("PUT", ["uid", _]) => state.version.data_source_by_uid(), // No route on 7.5.5 [R 205].
        _ => false,
    };
    if !mine {
        return None;
    }
    if let Err(refusal) = call.caller.needs(Role::Admin) {
        return Some(Err(refusal)); // [R 012]
    }
    Some(match (method, rest) {
        ("POST", _) => create(state, call),
        ("GET", []) => Ok(list(state, call)),
        (_, selector) => one(state, call, selector),
    })
}

fn one(state: &mut State, call: &Call, selector: &[&str]) -> Outcome {
    let org = state.org(call.caller.org);
    let of = |field: &str, wanted: &str| {
        org.data_sources.iter().find(|(_, d)| text(&d.body, field) == wanted).map(|(id, _)| *id)
    };
    let found = match selector {
        ["uid", uid] => of("uid", uid),
        ["name", name] => of("name", name),
        [id] => id.parse().ok().filter(|id| org.data_sources.contains_key(id)),
        _ => None,
    };
    let id = found.ok_or_else(|| Answer::message(404, "Data source not found"))?; // [R 056]
    match call.method.as_str() {
        "GET" => Ok(Answer::ok(&show(state, call, id))),
        "PUT" => update(state, call, id),
        _ => delete(state, call, id),
    }
}

/// What one is read as; later versions have no passwords in the clear [M].
fn show(state: &mut State, call: &Call, id: i64) -> Value {
    let bare = state.version.data_source_by_uid();
    let found = &state.org(call.caller.org).data_sources[&id];
    let mut body = found.body.clone();
    (body["id"], body["orgId"], body["version"]) = (json!(id), json!(call.caller.org), json!(found.version));
    (body["typeLogoUrl"], body["secureJsonFields"]) = (json!(""), names_only(&found.secrets));
    without_passwords(body, bare)
}

fn without_passwords(mut body: Value, bare: bool) -> Value {
    if bare && let Some(fields) = body.as_object_mut() {
        fields.retain(|name, _| name != "password" && name != "basicAuthPassword");
    }
    body
}

/// By name. The list does not say which secrets there are, nor versions [R 052].
fn list(state: &mut State, call: &Call) -> Answer {
    const HIDDEN: [&str; 3] = ["basicAuthUser", "basicAuthPassword", "withCredentials"];
    let bare = state.version.data_source_by_uid();
    let org = state.org(call.caller.org);
    let mut all: Vec<_> = org.data_sources.iter().collect();
    all.sort_by_key(|(_, d)| text(&d.body, "name"));
    let shown = all.into_iter().map(|(id, found)| {
        let mut body = found.body.clone();
        body.as_object_mut().expect("an object").retain(|field, _| !HIDDEN.contains(&field.as_str()));
        let kind = text(&found.body, "type");
        (body["id"], body["orgId"]) = (json!(id), json!(call.caller.org));
        body["typeLogoUrl"] = json!(format!("public/app/plugins/datasource/{kind}/img/{kind}_logo.svg"));
        body["typeName"] = json!(kind[..1].to_uppercase() + &kind[1..]);
        without_passwords(body, bare)
    });
    Answer::ok(&shown.collect::<Value>())
}

fn create(state: &mut State, call: &Call) -> Outcome {
    let sent = call.json()?;
    for required in ["name", "type", "access"] {
        if text(&sent, required).is_empty() {
            return Err(Answer::required(&(required[..1].to_uppercase() + &required[1..]))); // [M]
        }
    }
    let taken = |org: &Org, field: &str| {
        let wanted = text(&sent, field);
        !wanted.is_empty() && org.data_sources.values().any(|d| text(&d.body, field) == wanted)
    };
    // The name is looked at first [R 050, 051].
    for field in ["name", "uid"] {
        if taken(state.org(call.caller.org), field) {
            let text = format!("data source with the same {field} already exists");
            return Err(Answer::message(409, &text));
        }
    }
    let uid = if text(&sent, "uid").is_empty() { state.new_uid() } else { text(&sent, "uid").into() };
    let id = state.next("data_source");
    let mut body = json!({ "uid": uid, "readOnly": false, "jsonData": or(&sent, "jsonData", json!({})) });
    for field in TEXTS {
        body[field] = json!(text(&sent, field));
    }
    for field in FLAGS {
        body[field] = json!(flag(&sent, field));
    }
    // All else that an export has is ignored, its version, too [R 217].
    let secrets = sent["secureJsonData"].as_object().cloned().unwrap_or_default();
    let org = state.org(call.caller.org);
    org.data_sources.insert(id, DataSource { body, version: 1, secrets });
    move_default(org, id);
    Ok(done(state, call, id, "Datasource added"))
}

fn done(state: &mut State, call: &Call, id: i64, message: &str) -> Answer {
    let shown = show(state, call, id);
    Answer::ok(&json!({ "id": id, "message": message, "name": shown["name"], "datasource": shown }))
}

/// There is at most one default: another one loses it, and nobody says so [M]. The record does not show it: in 218
/// the other one had lost the flag before, by 203.
fn move_default(org: &mut Org, to: i64) {
    if !flag(&org.data_sources[&to].body, "isDefault") {
        return;
    }
    for (_, other) in org.data_sources.iter_mut().filter(|(id, _)| **id != to) {
        other.body["isDefault"] = json!(false);
    }
}

fn update(state: &mut State, call: &Call, id: i64) -> Outcome {
    let sent = call.json()?;
    let org = state.org(call.caller.org);
    let name_taken = |(other, d): (&i64, &DataSource)| *other != id && d.body["name"] == sent["name"];
    let taken = org.data_sources.iter().any(name_taken);
    let found = org.data_sources.get_mut(&id).expect("found by its selector");
    if flag(&found.body, "readOnly") {
        return Err(Answer::message(403, "Cannot update read-only data source")); // [S]
    }
    if taken {
        return Err(Answer::message(409, "data source with the same name already exists")); // [M]
    }
    let version = int(&sent, "version");
    if version != 0 && version < found.version {
        let text = "Datasource has already been updated by someone else. Please reload and try again";
        return Err(Answer::message(409, text)); // [R 202]
    }
    // A version of the future is taken at its word, and none at all counts as 0 [R 057, 203, 204].
    found.version = version + 1;
    for field in TEXTS.into_iter().chain(["uid"]) {
        // An empty text never gets into the database: it cannot be cleared like this [R 203].
        if !text(&sent, field).is_empty() {
            found.body[field] = sent[field].clone();
        }
    }
    for field in FLAGS {
        found.body[field] = json!(flag(&sent, field));
    }
    found.body["jsonData"] = or(&sent, "jsonData", json!({}));
    // Secrets that are not sent stay [R 057, 058].
    found.secrets.extend(sent["secureJsonData"].as_object().cloned().unwrap_or_else(Map::new));
    move_default(org, id);
    Ok(done(state, call, id, "Datasource updated"))
}

fn delete(state: &mut State, call: &Call, id: i64) -> Outcome {
    let org = state.org(call.caller.org);
    let found = &org.data_sources[&id];
    if flag(&found.body, "readOnly") {
        return Err(Answer::message(403, "Cannot delete read-only data source")); // [S]
    }
    let uid = text(&found.body, "uid").to_owned();
    org.data_sources.remove(&id);
    org.correlations.retain(|c| text(c, "sourceUID") != uid && text(c, "targetUID") != uid);
    Ok(Answer::ok(&json!({ "id": id, "message": "Data source deleted" }))) // [M]
}
