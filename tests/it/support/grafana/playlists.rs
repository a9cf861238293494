//! `/api/playlists`: by number, and from 9.1 on by a UID that nobody can choose.

use serde_json::{Value, json};

use super::auth::Role;
use super::http::{Answer, Call, Outcome};
use super::json::{or, page, text};
use super::state::State;

pub(super) fn route(state: &mut State, call: &Call, path: &[&str]) -> Option<Outcome> {
    let ["api", "playlists", rest @ ..] = path else { return None };
    if call.method != "GET"
        && let Err(refusal) = call.caller.needs(Role::Editor)
    {
        return Some(Err(refusal));
    }
    Some(match (call.method.as_str(), rest) {
        ("GET", []) => Ok(list(state, call)),
        ("POST", []) => create(state, call),
        ("GET", [key]) => id_of(state, call, key).map(|id| show(state, call, id, true)),
        ("GET", [key, "items"]) => {
            id_of(state, call, key).map(|id| Answer::ok(&state.org(call.caller.org).playlists[&id]["items"]))
        }
        ("PUT", [key]) => update(state, call, key),
        ("DELETE", [key]) => id_of(state, call, key).map(|id| {
            state.org(call.caller.org).playlists.remove(&id);
            Answer::ok(&json!({}))
        }),
        _ => return None,
    })
}

fn id_of(state: &mut State, call: &Call, key: &str) -> Result<i64, Answer> {
    let by_uid = state.version.playlist_uids();
    let playlists = &state.org(call.caller.org).playlists;
    let found = playlists
        .iter()
        .find(|(id, playlist)| if by_uid { text(playlist, "uid") == key } else { id.to_string() == key });
    found.map(|(id, _)| *id).ok_or_else(|| Answer::message(404, "Playlist not found")) // [M]
}

/// Without its items unless they are asked for [R 092, 093].
fn show(state: &mut State, call: &Call, id: i64, whole: bool) -> Answer {
    let mut shown = state.org(call.caller.org).playlists[&id].clone();
    if !whole {
        shown.as_object_mut().expect("an object").remove("items");
    }
    Answer::ok(&shown)
}

fn list(state: &mut State, call: &Call) -> Answer {
    let limit = call.number("limit", 1000); // [M]
    let all: Vec<_> = state.org(call.caller.org).playlists.values().cloned().collect();
    let shown = page(all, limit, 1).into_iter().map(|mut playlist| {
        playlist.as_object_mut().expect("an object").remove("items");
        playlist
    });
    Answer::ok(&shown.collect::<Value>())
}

fn items(state: &mut State, id: i64, body: &Value) -> Value {
    let by_uid = state.version.playlist_uids();
    let sent: Vec<_> = body["items"].as_array().cloned().unwrap_or_default();
    let kept = sent.iter().enumerate().map(|(place, item)| {
        let mut kept =
            json!({ "type": text(item, "type"), "title": text(item, "title"), "value": text(item, "value") });
        if !by_uid {
            (kept["id"], kept["playlistid"]) = (json!(state.next("playlist_item")), json!(id));
            kept["order"] = or(item, "order", json!(place + 1));
        }
        kept
    });
    kept.collect()
}

fn create(state: &mut State, call: &Call) -> Outcome {
    let body = call.json()?;
    if text(&body, "name").is_empty() {
        return Err(Answer::required("Name")); // [M]
    }
    let id = state.next("playlist");
    let items = items(state, id, &body);
    let mut playlist =
        json!({ "id": id, "name": body["name"], "interval": body["interval"], "items": items });
    if state.version.playlist_uids() {
        playlist["uid"] = json!(state.new_uid()); // One that is sent is ignored [A].
    }
    state.org(call.caller.org).playlists.insert(id, playlist);
    Ok(show(state, call, id, false))
}

fn update(state: &mut State, call: &Call, key: &str) -> Outcome {
    let (id, body) = (id_of(state, call, key)?, call.json()?);
    let items = items(state, id, &body);
    let playlist = state.org(call.caller.org).playlists.get_mut(&id).expect("found");
    (playlist["name"], playlist["interval"]) = (body["name"].clone(), body["interval"].clone());
    playlist["items"] = items;
    Ok(show(state, call, id, true))
}
