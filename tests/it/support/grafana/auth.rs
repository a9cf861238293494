//! Who asks: Basic or token, the organisation, and the lock after too many bad logins.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::http::{Answer, Call, Outcome};
use super::json::text;
use super::state::{State, in_seconds};

/// A role in an organisation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Not a member.
    #[default]
    None,
    Viewer,
    Editor,
    Admin,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Viewer => "Viewer",
            Self::Editor => "Editor",
            Self::Admin => "Admin",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Viewer, Self::Editor, Self::Admin].into_iter().find(|role| role.name() == name)
    }
}

/// An API key, or the token of a service account.
#[derive(Clone)]
pub(super) struct Token {
    id: i64,
    name: String,
    org: i64,
    role: Role,
    key: String,
    expires: Option<String>,
    pub(super) service_account: Option<i64>,
}

impl Token {
    /// Without the key.
    pub(super) fn shown(&self) -> Value {
        let mut shown = json!({ "id": self.id, "name": self.name, "role": self.role.name() });
        if let Some(expires) = &self.expires {
            shown["expiration"] = json!(expires);
        }
        shown
    }
}

/// Who sends a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Caller {
    pub(super) org: i64,
    pub(super) role: Role,
    /// 0 for a token.
    pub(super) user: i64,
    /// As `createdBy` has it.
    pub(super) name: String,
    pub(super) server_admin: bool,
    pub(super) rbac: bool,
}

impl Caller {
    /// Refuses who has less than this role; the text is that of the layer in front [R 012].
    pub(super) fn needs(&self, role: Role) -> Result<(), Answer> {
        if self.role >= role { Ok(()) } else { Err(self.refusal()) }
    }

    /// Refuses tokens, and users that do not administer the server [R 009, 010, 034].
    pub(super) fn needs_server_admin(&self) -> Result<(), Answer> {
        if self.server_admin { Ok(()) } else { Err(self.refusal()) }
    }

    /// 403, as this version says it.
    pub(super) fn refusal(&self) -> Answer {
        if !self.rbac {
            return Answer::front(403, "Permission denied");
        }
        Answer::json(
            403,
            &json!({
                "accessErrorId": "ACE0000000000", "title": "Access denied",
                "message": "You'll need additional permissions to perform this action. Permissions needed: some",
            }),
        )
        .by_front()
    }
}

/// Finds out who asks.
pub(super) fn identify(state: &mut State, call: &Call) -> Result<Caller, Answer> {
    let Some((scheme, secret)) = call.header("authorization").and_then(|a| a.split_once(' ')) else {
        return Err(denied(state, "Unauthorized"));
    };
    if scheme.eq_ignore_ascii_case("bearer") {
        return by_token(state, secret);
    }
    let plain = String::from_utf8(from_base64(secret).unwrap_or_default()).unwrap_or_default();
    let (login, password) = plain.split_once(':').unwrap_or_default();
    by_password(state, call, login, password)
}

/// A token belongs to one organisation; a header that asks for another is ignored, and says 200 [R 108].
fn by_token(state: &State, key: &str) -> Result<Caller, Answer> {
    let token = state.tokens.iter().find(|t| t.key == key).ok_or_else(|| denied(state, "invalid API key"))?;
    // `createdBy` of what a key makes [R 014]; a service account has a name of its own [M].
    let name = token.service_account.map_or("Anonymous".into(), |id| format!("sa-{id}"));
    Ok(Caller { org: token.org, role: token.role, name, rbac: state.version.rbac(), ..Caller::default() })
}

/// Five bad ones in five minutes lock a login, and then the right password gets the same answer [R CONCURRENCY].
fn by_password(state: &mut State, call: &Call, login: &str, password: &str) -> Result<Caller, Answer> {
    let recent = |since: &Instant| since.elapsed() < Duration::from_mins(5);
    let failed = state.failed_logins.entry(login.into()).or_default();
    failed.retain(recent);
    let locked = failed.len() >= 5;
    let found = state.users.iter_mut().find(|(_, u)| u.login == login || u.email == login);
    let right = found.filter(|(_, u)| u.password == password && !u.is_disabled && !locked);
    let Some((&id, user)) = right else {
        failed.push(Instant::now());
        return Err(denied(state, "invalid username or password"));
    };
    user.last_seen = Some(Timestamp::now());
    let (server_admin, name, own_org) = (user.is_admin, user.login.clone(), user.org);
    let asked = call.header("x-grafana-org-id").and_then(|id| id.parse().ok());
    let org = asked.filter(|id| *id > 0).unwrap_or(own_org);
    let role = state.orgs.get(&org).and_then(|o| o.members.get(&id)).copied().unwrap_or_default();
    // Who is no member of an organisation is nobody in it [M].
    let org = if role == Role::None { -1 } else { org };
    Ok(Caller { org, role, user: id, name, server_admin, rbac: state.version.rbac() })
}

/// 401 [R 002, 003, 004]; later versions say more [M].
fn denied(state: &State, message: &str) -> Answer {
    if !state.version.verbose_errors() {
        return Answer::front(401, message);
    }
    let body = json!({
        "message": message, "messageId": "stand-in.unauthorized", "statusCode": 401, "traceID": "", "extra": null,
    });
    Answer::json(401, &body).by_front()
}

/// Makes a token and gives its key.
pub(super) fn make_token(state: &mut State, org: i64, role: Role, name: &str) -> String {
    let id = state.next("api_key");
    let key = format!("stand-in-key-{id}");
    let token =
        Token { id, name: name.into(), org, role, key: key.clone(), expires: None, service_account: None };
    state.tokens.push(token);
    key
}

/// `/api/auth/keys` [R 005 to 008].
pub(super) fn route(state: &mut State, call: &Call, path: &[&str]) -> Option<Outcome> {
    if !state.version.api_keys() {
        return None;
    }
    Some(match (call.method.as_str(), path) {
        ("GET", ["api", "auth", "keys"]) => list(state, call),
        ("POST", ["api", "auth", "keys"]) => create(state, call),
        _ => return None,
    })
}

fn list(state: &State, call: &Call) -> Outcome {
    call.caller.needs(Role::Admin)?;
    let mine = state.tokens.iter().filter(|t| t.org == call.caller.org && t.service_account.is_none());
    Ok(Answer::ok(&mine.map(Token::shown).collect::<Value>()))
}

fn create(state: &mut State, call: &Call) -> Outcome {
    call.caller.needs(Role::Admin)?;
    let body = call.json()?;
    let name = text(&body, "name");
    if state.tokens.iter().any(|t| t.org == call.caller.org && t.name == name) {
        return Err(Answer::message(409, "API key, organization ID and name must be unique"));
    }
    let role =
        Role::named(text(&body, "role")).ok_or_else(|| Answer::message(400, "Invalid role specified"))?;
    let key = make_token(state, call.caller.org, role, name);
    let token = state.tokens.last_mut().expect("just made");
    token.expires = body["secondsToLive"].as_i64().map(in_seconds);
    Ok(Answer::ok(&json!({ "id": token.id, "name": name, "key": key })))
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The header `Authorization` of a login.
pub(crate) fn basic(login: &str, password: &str) -> String {
    let plain = format!("{login}:{password}");
    let mut coded = String::from("Basic ");
    for three in plain.as_bytes().chunks(3) {
        let bits =
            three.iter().fold(0, |bits, byte| (bits << 8) | usize::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = char::from(ALPHABET[(bits >> (18 - 6 * place)) & 63]);
            coded.push(if place <= three.len() { letter } else { '=' });
        }
    }
    coded
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for letter in text.trim_end_matches('=').bytes() {
        let value = ALPHABET.iter().position(|a| *a == letter)?;
        bits = (bits << 6) | u32::try_from(value).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).ok()?);
        }
    }
    Some(bytes)
}
