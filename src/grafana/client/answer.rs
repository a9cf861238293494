//! What a Grafana answers, and its errors, which have many shapes.

use serde_json::Value;

use crate::http::excerpt;

/// A status and the JSON that came with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status; never one of those that are errors of the client.
    pub status: u16,
    /// The body; `null` where it was empty, or where an error came as text.
    pub json: Value,
    text: String,
}

impl Answer {
    /// A success has to be JSON, or nothing at all.
    pub(super) fn parse(status: u16, body: &[u8]) -> serde_json::Result<Self> {
        let empty = body.iter().all(u8::is_ascii_whitespace);
        let json = if empty { Value::Null } else { serde_json::from_slice(body)? };
        Ok(Self { status, json, text: message(body) })
    }

    /// An error may be anything: what stands in it is for people.
    pub(super) fn lenient(status: u16, body: &[u8]) -> Self {
        Self { status, json: serde_json::from_slice(body).unwrap_or_default(), text: message(body) }
    }

    /// 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What it says, in one line.
    pub fn message(&self) -> String {
        self.text.clone()
    }

    /// This version has no such route. (An object that is not there is told in other words.)
    pub fn route_is_absent(&self) -> bool {
        self.status == 404 && self.text.eq_ignore_ascii_case("not found")
    }
}

/// `{"message": …}`, a list of fields that are missing, a Kubernetes status, or the first line of whatever it is.
pub(super) fn message(body: &[u8]) -> String {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let of = |value: &Value| {
        let found = ["message", "error", "title"].iter().find_map(|name| value.get(name)?.as_str());
        found.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let field = |value: &Value| {
        let fields: Vec<&str> =
            value.get("fieldNames")?.as_array()?.iter().filter_map(Value::as_str).collect();
        Some(format!("{}: {}", fields.join(", "), of(value)?))
    };
    match &json {
        Value::Array(problems) => {
            let all: Vec<String> = problems.iter().filter_map(|one| field(one).or_else(|| of(one))).collect();
            if all.is_empty() { excerpt(body) } else { all.join("; ") }
        }
        _ => of(&json).unwrap_or_else(|| excerpt(body)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_read_in_every_shape_that_was_seen() {
        let told = |body: &str| message(body.as_bytes());
        assert_eq!(told(r#"{"message":"Not found"}"#), "Not found");
        let missing =
            r#"[{"fieldNames":["Password"],"classification":"RequiredError","message":"Required"}]"#;
        assert_eq!(told(missing), "Password: Required");
        assert_eq!(told(r#"{"kind":"Status","status":"Failure","message":"no","code":404}"#), "no");
        assert_eq!(told("<html><body>502"), "an HTML page");
        assert_eq!(told(""), "no text");
        assert_eq!(told("upstream timed out\nmore"), "upstream timed out");
    }

    #[test]
    fn a_route_that_is_not_there_is_told_from_an_object_that_is_not_there() {
        let absent = |status, body: &str| Answer::lenient(status, body.as_bytes()).route_is_absent();
        assert!(absent(404, r#"{"message":"Not found"}"#));
        assert!(absent(404, r#"{"message":"Not found","traceID":""}"#));
        assert!(!absent(404, r#"{"message":"Dashboard not found"}"#));
        assert!(!absent(404, ""));
        assert!(!absent(403, r#"{"message":"Not found"}"#));
    }
}
