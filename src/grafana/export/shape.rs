//! Takes off what belongs to one server only.

use serde_json::{Map, Value};

/// Some text, empty where there is none.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Some number, 0 where there is none.
pub(super) fn number(value: &Value, name: &str) -> i64 {
    value.get(name).and_then(Value::as_i64).unwrap_or_default()
}

/// The object without some fields.
pub(super) fn without(mut value: Value, names: &[&str]) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.retain(|name, _| !names.contains(&name.as_str()));
    }
    value
}

/// Some fields of an object: those that it has.
pub(super) fn only(value: &Value, names: &[&str]) -> Value {
    let found = names.iter().filter_map(|name| Some(((*name).to_owned(), value.get(*name)?.clone())));
    Value::Object(found.collect::<Map<_, _>>())
}

/// Sets a field of an object.
pub(super) fn set(value: &mut Value, name: &str, field: impl Into<Value>) {
    if let Value::Object(fields) = value {
        fields.insert(name.to_owned(), field.into());
    }
}

/// The same for each element of a list in an object.
pub(super) fn each(value: &mut Value, list: &str, change: impl FnMut(Value) -> Value) {
    if let Some(Value::Array(all)) = value.get_mut(list) {
        *all = std::mem::take(all).into_iter().map(change).collect();
    }
}
