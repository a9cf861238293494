//! What counts as the same: two objects of which a restore would make no difference.
//!
//! Servers of different versions say the same in different words: one leaves a field out, another one has it empty. And
//! some of what they say is the server's own business: numbers, versions, times. What a person would miss is compared to
//! the letter.

use serde_json::{Map, Value};

pub(super) use crate::grafana::object::REDACTED;

/// Both say the same, where what is empty and what is missing are one.
pub(super) fn same(wanted: &Value, there: &Value) -> bool {
    first_difference(wanted, there).is_none()
}

/// Where two objects first say different things: `jsonData.httpMethod`.
pub(super) fn first_difference(wanted: &Value, there: &Value) -> Option<String> {
    differs(wanted, there).map(|path| path.join("."))
}

/// The path to the first difference, from the outside in.
fn differs(wanted: &Value, there: &Value) -> Option<Vec<String>> {
    match (wanted, there) {
        (Value::Object(wanted), Value::Object(there)) => of_objects(wanted, there),
        (Value::Array(wanted), Value::Array(there)) if wanted.len() == there.len() => {
            let pairs = wanted.iter().zip(there).enumerate();
            pairs.into_iter().find_map(|(place, (wanted, there))| under(&place.to_string(), wanted, there))
        }
        _ if is_empty(wanted) && is_empty(there) => None,
        // A secret that the backup does not have makes no difference: what is stored stays, and what is not is told.
        (Value::String(wanted), _) if wanted == REDACTED => None,
        // Nobody can see whether they are the same.
        (Value::String(wanted), Value::String(there)) if there == REDACTED && !wanted.is_empty() => None,
        _ if same_number(wanted, there) || wanted == there => None,
        _ => Some(Vec::new()),
    }
}

fn of_objects(wanted: &Map<String, Value>, there: &Map<String, Value>) -> Option<Vec<String>> {
    let names = wanted.keys().chain(there.keys().filter(|name| !wanted.contains_key(*name)));
    names.into_iter().find_map(|name| {
        let of = |object: &Map<String, Value>| object.get(name).cloned().unwrap_or_default();
        under(name, &of(wanted), &of(there))
    })
}

fn under(name: &str, wanted: &Value, there: &Value) -> Option<Vec<String>> {
    let mut path = differs(wanted, there)?;
    path.insert(0, name.to_owned());
    Some(path)
}

/// As Go reads a field that is missing.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.values().all(is_empty),
    }
}

/// `1` and `1.0` are one number, whoever wrote them.
fn same_number(wanted: &Value, there: &Value) -> bool {
    let (Some(wanted), Some(there)) = (wanted.as_f64(), there.as_f64()) else { return false };
    wanted.to_bits() == there.to_bits()
}

/// A secret is not shown somewhere in it.
pub(super) fn is_redacted(value: &Value) -> bool {
    match value {
        Value::String(text) => text == REDACTED,
        Value::Array(all) => all.iter().any(is_redacted),
        Value::Object(all) => all.values().any(is_redacted),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_empty_and_what_is_missing_are_the_same() {
        let wanted =
            json!({ "a": "", "b": false, "c": {}, "d": [], "e": null, "f": 0, "g": { "h": "" }, "x": 1 });
        assert!(same(&wanted, &json!({ "x": 1.0 })));
        assert!(same(&json!({ "x": 1 }), &wanted));
    }

    #[test]
    fn the_first_difference_is_named_by_its_path() {
        let wanted = json!({ "jsonData": { "list": [{ "a": 1 }, { "a": 2 }] } });
        let there = json!({ "jsonData": { "list": [{ "a": 1 }, { "a": 3 }] } });
        assert_eq!(first_difference(&wanted, &there).as_deref(), Some("jsonData.list.1.a"));
        assert_eq!(first_difference(&json!({ "a": [1] }), &json!({ "a": [1, 1] })).as_deref(), Some("a"));
        assert_eq!(first_difference(&json!({}), &json!({ "a": true })).as_deref(), Some("a"));
        assert_eq!(first_difference(&json!({ "a": "1" }), &json!({ "a": 1 })).as_deref(), Some("a"));
    }

    #[test]
    fn a_secret_that_is_not_shown_makes_no_difference_but_one_that_is_too_many_does() {
        let shown = json!({ "password": "right" });
        assert!(same(&shown, &json!({ "password": REDACTED })));
        assert!(same(&json!({ "password": REDACTED }), &shown));
        assert!(same(&json!({ "password": REDACTED }), &json!({})));
        assert!(!same(&json!({}), &json!({ "password": REDACTED })));
        assert!(is_redacted(&json!([{ "a": { "password": REDACTED } }])));
        assert!(!is_redacted(&shown));
    }
}
