//! Secrets that a Grafana shows as `[REDACTED]`, and what they are called: by the path to their place, as in
//! `tlsConfig.clientKey`.

use serde_json::{Map, Value};

/// What Grafana writes in the place of a secret.
pub const REDACTED: &str = "[REDACTED]";

/// What a data source has of passwords in the clear, where it is from before there were encrypted ones.
pub const PASSWORDS: [&str; 2] = ["password", "basicAuthPassword"];

/// The places where a secret is hidden, in a value that is itself at `path`; empty for the outermost one.
pub fn redacted(value: &Value, path: &str) -> Vec<String> {
    places(value, path).into_iter().filter(|(_, value)| *value == REDACTED).map(|(path, _)| path).collect()
}

/// Every place at which there is something other than an object or a list, and what is there.
pub fn places<'a>(value: &'a Value, path: &str) -> Vec<(String, &'a Value)> {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(fields) => {
            fields.iter().flat_map(|(name, value)| places(value, &below(name))).collect()
        }
        Value::Array(all) => {
            all.iter().enumerate().flat_map(|(at, value)| places(value, &below(&at.to_string()))).collect()
        }
        _ => vec![(path.to_owned(), value)],
    }
}

/// What is at a place; nothing where there is no such place.
pub fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let of = |name: &str| match value {
        Value::Array(all) => all.get(name.parse::<usize>().ok()?),
        other => other.get(name),
    };
    // A name may have a dot of its own.
    of(path).or_else(|| path.split_once('.').and_then(|(name, rest)| at(of(name)?, rest)))
}

/// Puts a text at a place, and makes the objects on the way to it. An object or a list stays what it is.
pub fn put(fields: &mut Map<String, Value>, path: &str, text: &str) {
    let inner = path.split_once('.').filter(|_| !fields.contains_key(path));
    if let Some((name, rest)) = inner {
        match fields.entry(name).or_insert_with(|| Value::Object(Map::new())) {
            Value::Object(inner) => return put(inner, rest, text),
            Value::Array(all) => return put_in_list(all, rest, text),
            _ => {}
        }
    }
    let place = fields.entry(path).or_insert(Value::Null);
    if !place.is_object() && !place.is_array() {
        *place = Value::String(text.to_owned());
    }
}

/// In an element that there is.
fn put_in_list(all: &mut [Value], path: &str, text: &str) {
    let (number, rest) = path.split_once('.').unwrap_or((path, ""));
    match number.parse::<usize>().ok().and_then(|number| all.get_mut(number)) {
        Some(Value::Object(inner)) if !rest.is_empty() => put(inner, rest, text),
        Some(Value::Array(inner)) if !rest.is_empty() => put_in_list(inner, rest, text),
        Some(place) if rest.is_empty() && !place.is_object() && !place.is_array() => {
            *place = Value::String(text.to_owned());
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_place_is_found_and_filled_by_the_name_it_is_told_by() {
        let value = json!({ "url": "u", "p": REDACTED, "tls": { "key": REDACTED, "ca": "c" },
            "list": [{ "a": REDACTED }, REDACTED], "x.y": REDACTED });
        let mut names = redacted(&value, "");
        names.sort();
        assert_eq!(names, ["list.0.a", "list.1", "p", "tls.key", "x.y"]);
        let mut filled = value.as_object().unwrap().clone();
        for name in &names {
            assert_eq!(at(&value, name), Some(&json!(REDACTED)), "{name}");
            put(&mut filled, name, "s");
        }
        let expected = json!({ "url": "u", "p": "s", "tls": { "key": "s", "ca": "c" },
            "list": [{ "a": "s" }, "s"], "x.y": "s" });
        assert_eq!(Value::Object(filled), expected);
        assert_eq!(at(&value, "tls.other.deep"), None);
    }

    #[test]
    fn what_was_not_there_gets_its_place_and_nothing_is_pushed_aside() {
        let mut fields = json!({ "url": "u", "tls": { "ca": "c" } }).as_object().unwrap().clone();
        for name in ["new.inner.key", "tls.key", "tls", "url.key"] {
            put(&mut fields, name, "s");
        }
        let expected = json!({ "url": "u", "new": { "inner": { "key": "s" } }, "url.key": "s",
            "tls": { "ca": "c", "key": "s" } });
        assert_eq!(Value::Object(fields), expected);
    }
}
