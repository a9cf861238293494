//! One request.

use reqwest::Method;
use serde_json::Value;

/// One request: what it is for, and what is sent.
#[derive(Debug, Clone)]
pub struct Call {
    /// Completes "Cannot …": `list the dashboards`.
    pub action: String,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Option<Value>,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    /// Sent twice it does no more than sent once.
    pub(super) repeatable: bool,
}

impl Call {
    fn new(method: Method, action: &str, path: &str, body: Option<Value>) -> Self {
        let repeatable = !matches!(method, Method::POST | Method::PATCH);
        let (action, path) = (action.to_owned(), path.to_owned());
        Self { action, method, path, body, headers: Vec::new(), repeatable }
    }

    /// Reads. The path may have a query; names in it have to be [`segment`]s.
    pub fn get(action: &str, path: &str) -> Self {
        Self::new(Method::GET, action, path, None)
    }

    /// Sends something that may be done twice when it is sent twice.
    pub fn post(action: &str, path: &str, body: Value) -> Self {
        Self::new(Method::POST, action, path, Some(body))
    }

    /// Puts something in the place of what is there.
    pub fn put(action: &str, path: &str, body: Value) -> Self {
        Self::new(Method::PUT, action, path, Some(body))
    }

    /// Changes a part of what is there.
    pub fn patch(action: &str, path: &str, body: Value) -> Self {
        Self::new(Method::PATCH, action, path, Some(body))
    }

    /// Removes something.
    pub fn delete(action: &str, path: &str) -> Self {
        Self::new(Method::DELETE, action, path, None)
    }

    /// Adds a header, such as `X-Disable-Provenance`.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// It may be sent again although the first one may have arrived: a POST that replaces what is there.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }
}

/// A name as one part of a path, or as a value of a query: a slash in it is none of the path's own.
pub fn segment(name: &str) -> String {
    use std::fmt::Write as _;
    let mut coded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) || (byte == b'.' && name.len() > 2) {
            coded.push(char::from(byte));
        } else {
            let _ = write!(coded, "%{byte:02X}");
        }
    }
    coded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_part_of_a_path() {
        assert_eq!(segment("host/basic"), "host%2Fbasic");
        assert_eq!(segment("a b?c#d%e&f"), "a%20b%3Fc%23d%25e%26f");
        assert_eq!(segment(".."), "%2E%2E");
        assert_eq!(segment("v1.2-x_y"), "v1.2-x_y");
        let base = "http://h/grafana".parse().unwrap();
        let url = crate::http::below(&base, &format!("/api/x/{}?name={}", segment("a/b"), segment("c&d")));
        assert_eq!(url.as_str(), "http://h/grafana/api/x/a%2Fb?name=c%26d");
    }
}
