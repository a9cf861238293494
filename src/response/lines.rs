//! Lines of a log, plain or JSON.

use serde_json::{Map, Value};

use crate::config::response::Matcher;

/// A line that is an object of JSON.
pub(super) fn object(line: &str) -> Option<Map<String, Value>> {
    // Most lines that are none need not be parsed to know it.
    if !line.trim_start().starts_with('{') {
        return None;
    }
    serde_json::from_str(line).ok()
}

/// Whether all fields are as they must be. One that is not there is empty.
pub(super) fn fits(object: &Map<String, Value>, matchers: &[Matcher]) -> bool {
    matchers
        .iter()
        .all(|matcher| matcher.value.holds(&object.get(&matcher.name).map(text).unwrap_or_default()))
}

/// A value as one reads it: a text without its quotes.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The first of these fields that is there and not empty.
pub(super) fn first(object: &Map<String, Value>, names: &[&str]) -> Option<String> {
    names.iter().filter_map(|name| object.get(*name)).map(text).find(|text| !text.is_empty())
}
