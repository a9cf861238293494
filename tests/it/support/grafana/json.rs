//! Fields of bodies as Go reads them: what is missing is empty, zero or false.

use serde_json::{Value, json};

pub(super) fn text<'a>(body: &'a Value, field: &str) -> &'a str {
    body[field].as_str().unwrap_or_default()
}

pub(super) fn int(body: &Value, field: &str) -> i64 {
    body[field].as_i64().unwrap_or_default()
}

pub(super) fn flag(body: &Value, field: &str) -> bool {
    body[field].as_bool().unwrap_or_default()
}

/// The field, or what it is when it is missing or null.
pub(super) fn or(body: &Value, field: &str, otherwise: Value) -> Value {
    if body[field].is_null() { otherwise } else { body[field].clone() }
}

/// One page of a list; pages count from 1, and one past the end is empty [R 083].
pub(super) fn page<T>(all: Vec<T>, limit: usize, page: usize) -> Vec<T> {
    all.into_iter().skip(limit * (page - 1)).take(limit).collect()
}

/// `{"a": true, "b": true}`: which secrets there are, never what they are.
pub(super) fn names_only(secrets: &serde_json::Map<String, Value>) -> Value {
    secrets.keys().map(|name| (name.clone(), json!(true))).collect::<serde_json::Map<_, _>>().into()
}

/// As it stands in URLs.
pub(super) fn slug(title: &str) -> String {
    let lower = title.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}
