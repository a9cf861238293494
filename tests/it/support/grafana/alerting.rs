//! Alert rules and their groups in `/api/v1/provisioning` [D][S][A][I]: nothing of it was seen, 7.5.5 has none.

use serde_json::{Value, json};

use super::auth::Role;
use super::http::{Answer, Call, Outcome};
use super::json::{int, or, text};
use super::state::{State, now};
use super::version::Version;

/// Kept beside a rule, and never shown: its place in the group.
const PLACE: &str = "_place";
/// Seconds of a group that nobody said anything about.
const INTERVAL: i64 = 60;

pub(super) fn route(state: &mut State, call: &Call, path: &[&str]) -> Option<Outcome> {
    let ["api", "v1", "provisioning", rest @ ..] = path else { return None };
    let method = call.method.as_str();
    if !state.version.provisioning() || !matches!(rest, ["alert-rules" | "folder", ..]) {
        return None;
    }
    if let Err(refusal) = call.caller.needs(if method == "GET" { Role::Viewer } else { Role::Editor }) {
        return Some(Err(refusal));
    }
    Some(match (method, rest) {
        ("GET", ["alert-rules"]) => Ok(list(state, call)),
        ("POST", ["alert-rules"]) => create(state, call),
        ("GET", ["alert-rules", uid]) => id_of(state, call, uid)
            .map(|id| Answer::ok(&show(&state.org(call.caller.org).alerting.rules[&id]))),
        ("PUT", ["alert-rules", uid]) => update(state, call, uid),
        ("DELETE", ["alert-rules", uid]) => delete(state, call, uid),
        ("GET", ["folder", folder, "rule-groups", group]) => get_group(state, call, folder, group),
        ("PUT", ["folder", folder, "rule-groups", group]) => put_group(state, call, folder, group),
        ("DELETE", ["folder", folder, "rule-groups", group]) => {
            let alerting = &mut state.org(call.caller.org).alerting;
            alerting.rules.retain(|_, rule| !is_in(rule, folder, group));
            alerting.intervals.remove(&((*folder).to_owned(), (*group).to_owned()));
            Ok(Answer::text(204, "application/json", ""))
        }
        _ => return None,
    })
}

/// What a request leaves as the origin of what it writes: the header counts, whatever it says [S].
pub(super) fn provenance(call: &Call) -> &'static str {
    if call.header("x-disable-provenance").is_some() { "" } else { "api" }
}

/// From "nobody" to "api" there is a way, but none back [S].
pub(super) fn check_provenance(version: Version, stored: &Value, call: &Call) -> Result<(), Answer> {
    let (stored, new) = (text(stored, "provenance"), provenance(call));
    if stored.is_empty() || stored == new {
        return Ok(());
    }
    let says = format!("cannot change provenance from '{stored}' to '{new}'");
    Err(Answer::message(if version < Version::V10 { 500 } else { 400 }, &says)) // Which one when: [M].
}

fn is_in(rule: &Value, folder: &str, group: &str) -> bool {
    text(rule, "folderUID") == folder && text(rule, "ruleGroup") == group
}

/// A miss has no body at all [S].
fn missing() -> Answer {
    Answer::text(404, "application/json", "")
}

fn id_of(state: &mut State, call: &Call, uid: &str) -> Result<i64, Answer> {
    let rules = &state.org(call.caller.org).alerting.rules;
    rules.iter().find(|(_, rule)| text(rule, "uid") == uid).map(|(id, _)| *id).ok_or_else(missing)
}

/// A rule does not say its group's interval [A], nor where it got its origin if it has none.
fn show(rule: &Value) -> Value {
    let mut shown = rule.clone();
    let fields = shown.as_object_mut().expect("an object");
    fields.retain(|name, value| name != PLACE && !(name == "provenance" && value == ""));
    shown
}

fn list(state: &mut State, call: &Call) -> Answer {
    Answer::ok(&state.org(call.caller.org).alerting.rules.values().map(show).collect::<Value>())
}

/// What is wrong with a rule, whichever way it comes.
fn check(state: &mut State, call: &Call, rule: &Value, id: i64) -> Result<(), Answer> {
    let org = state.org(call.caller.org);
    let (title, folder) = (text(rule, "title"), text(rule, "folderUID"));
    if title.is_empty() || text(rule, "ruleGroup").is_empty() || text(rule, "condition").is_empty() {
        return Err(Answer::message(400, "invalid alert rule: title, ruleGroup and condition are required")); // [M]
    }
    if org.folder(folder).is_none() {
        return Err(Answer::message(400, "invalid alert rule: folder does not exist")); // [M]
    }
    let settings = &rule["notification_settings"];
    if !settings.is_null() {
        let receiver = text(settings, "receiver");
        if !org.alerting.contact_points.iter().any(|point| text(point, "name") == receiver) {
            return Err(Answer::message(400, &format!("receiver {receiver} does not exist"))); // [I grizzly#611]
        }
        let known = |name: &Value| org.alerting.mute_timings.iter().any(|timing| timing["name"] == *name);
        if !settings["mute_time_intervals"].as_array().into_iter().flatten().all(known) {
            return Err(Answer::message(400, "mute timing does not exist")); // [M]
        }
    }
    let same = |(other, r): (&i64, &Value)| {
        *other != id && text(r, "title") == title && text(r, "folderUID") == folder
    };
    if org.alerting.rules.iter().any(same) {
        let says = "[alerting.alert-rule.conflict] a conflicting alert rule is found: rule title under the same \
                    organisation and folder should be unique";
        return Err(Answer::message(400, says)); // [S]
    }
    Ok(())
}

/// Keeps a rule, with all that the server sets itself.
fn keep(state: &mut State, call: &Call, id: i64, mut rule: Value, place: i64) -> Value {
    if text(&rule, "uid").is_empty() {
        rule["uid"] = json!(state.new_uid());
    }
    (rule["id"], rule["orgID"]) = (json!(id), json!(call.caller.org));
    (rule["updated"], rule["provenance"]) = (json!(now()), json!(provenance(call)));
    for (field, otherwise) in [("for", "0s"), ("noDataState", "NoData"), ("execErrState", "Alerting")] {
        rule[field] = or(&rule, field, json!(otherwise));
    }
    rule["isPaused"] = or(&rule, "isPaused", json!(false));
    rule[PLACE] = json!(place);
    state.org(call.caller.org).alerting.rules.insert(id, rule.clone());
    show(&rule)
}

fn create(state: &mut State, call: &Call) -> Outcome {
    let rule = call.json()?;
    check(state, call, &rule, 0)?;
    let version = state.version;
    let rules = &state.org(call.caller.org).alerting.rules;
    if rules.values().any(|other| !text(&rule, "uid").is_empty() && other["uid"] == rule["uid"]) {
        return Err(Answer::message(409, "[alerting.alert-rule.conflict] rule UID is taken")); // [M]
    }
    let group = (text(&rule, "folderUID"), text(&rule, "ruleGroup"));
    let mut mates = rules.values().filter(|other| is_in(other, group.0, group.1));
    let mixes = |mate: &Value| text(mate, "provenance") != provenance(call);
    if version >= Version::V12 && mates.clone().any(mixes) {
        // [I grafana#50810, #106105, #116845]; since when: [M].
        return Err(Answer::message(400, "cannot mix rules of different provenance in one group"));
    }
    let place = mates.by_ref().map(|mate| int(mate, PLACE)).max().unwrap_or(0) + 1;
    let id = state.next("rule");
    Ok(Answer::json(201, &keep(state, call, id, rule, place)))
}

fn update(state: &mut State, call: &Call, uid: &str) -> Outcome {
    let (id, mut rule) = (id_of(state, call, uid)?, call.json()?);
    rule["uid"] = json!(uid);
    check(state, call, &rule, id)?;
    let version = state.version;
    let stored = &state.org(call.caller.org).alerting.rules[&id];
    check_provenance(version, stored, call)?;
    let place = int(stored, PLACE);
    Ok(Answer::ok(&keep(state, call, id, rule, place)))
}

/// One that is not there is deleted, too; one of another origin is not [M].
fn delete(state: &mut State, call: &Call, uid: &str) -> Outcome {
    let version = state.version;
    let rules = &mut state.org(call.caller.org).alerting.rules;
    if let Some(stored) = rules.values().find(|rule| text(rule, "uid") == uid) {
        check_provenance(version, stored, call)?;
    }
    rules.retain(|_, rule| text(rule, "uid") != uid);
    Ok(Answer::text(204, "application/json", ""))
}

fn get_group(state: &mut State, call: &Call, folder: &str, group: &str) -> Outcome {
    let alerting = &state.org(call.caller.org).alerting;
    let mut rules: Vec<_> = alerting.rules.values().filter(|rule| is_in(rule, folder, group)).collect();
    if rules.is_empty() {
        return Err(missing());
    }
    rules.sort_by_key(|rule| int(rule, PLACE));
    let interval = alerting.intervals.get(&(folder.to_owned(), group.to_owned())).unwrap_or(&INTERVAL);
    let rules: Vec<_> = rules.into_iter().map(show).collect();
    Ok(Answer::ok(&json!({ "title": group, "folderUid": folder, "interval": interval, "rules": rules })))
}

/// Takes the place of the whole group: rules that are not named are gone [S]. `rules: null` changes the interval
/// and nothing else [S].
fn put_group(state: &mut State, call: &Call, folder: &str, group: &str) -> Outcome {
    let body = call.json()?;
    let (version, interval) = (state.version, int(&body, "interval"));
    if interval <= 0 || interval % 10 != 0 {
        return Err(Answer::message(400, "interval should be non-zero and divided exactly by 10")); // [M]
    }
    let org = state.org(call.caller.org);
    org.folder(folder).ok_or_else(missing)?;
    let there: Vec<_> = org.alerting.rules.iter().filter(|(_, rule)| is_in(rule, folder, group)).collect();
    for (_, rule) in &there {
        check_provenance(version, rule, call)?;
    }
    let key = (folder.to_owned(), group.to_owned());
    let Some(sent) = body["rules"].as_array() else {
        org.alerting.intervals.insert(key, interval);
        return Ok(Answer::ok(&body));
    };
    let known: std::collections::BTreeMap<String, i64> =
        there.iter().map(|(id, rule)| (text(rule, "uid").to_owned(), **id)).collect();
    let mut kept = Vec::new();
    for rule in sent {
        let mut rule = rule.clone();
        (rule["folderUID"], rule["ruleGroup"]) = (json!(folder), json!(group));
        let uid = text(&rule, "uid");
        let id = known.get(uid).copied();
        if id.is_none() && !uid.is_empty() && !version.groups_bring_new_uids() {
            let says = format!("failed to update rule with UID {uid} because could not find alert rule");
            return Err(Answer::message(400, &says)); // [I grafana#100450]
        }
        check(state, call, &rule, id.unwrap_or(0))?;
        kept.push((id, rule));
    }
    let alerting = &mut state.org(call.caller.org).alerting;
    alerting.rules.retain(|_, rule| !is_in(rule, folder, group));
    alerting.intervals.insert(key, interval);
    for (place, (id, rule)) in (1..).zip(kept) {
        let id = id.unwrap_or_else(|| state.next("rule"));
        keep(state, call, id, rule, place);
    }
    Ok(Answer::ok(&body))
}
