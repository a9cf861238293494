//! Requests and answers: as much of HTTP/1.1 as clients speak with Grafana.

use std::fmt::Write as _;
use std::io::{self, BufRead, Read as _, Write};

use serde_json::{Value, json};

use super::auth::Caller;

/// What Grafana sends when a handler answers.
const JSON: &str = "application/json";
/// What it sends from the layers in front: authentication, permission, unknown route [R 002, 009, 115].
const FRONT: &str = "application/json; charset=UTF-8";
/// What it sends when a body does not fit [R 035, 077].
const BINDING: &str = "application/json; charset=utf-8";

/// One request, and who sends it.
#[derive(Debug, Default)]
pub(super) struct Call {
    pub(super) method: String,
    /// Path and query, as sent.
    pub(super) target: String,
    pub(super) path: Vec<String>,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// The other side wants this to be the last answer of the connection.
    pub(super) last: bool,
    /// Speaks HTTP/1.0, and thus no chunks.
    old: bool,
    pub(super) caller: Caller,
}

impl Call {
    /// One that comes over no connection.
    pub(super) fn take_away(&mut self, header: &str) {
        self.headers.retain(|(name, _)| name != header);
    }

    pub(super) fn new(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            method: method.into(),
            target: target.into(),
            path: path.split('/').skip(1).map(unescaped).collect(),
            query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            headers: headers
                .iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), (*value).into()))
                .collect(),
            body: body.into(),
            ..Self::default()
        }
    }

    /// The next request of a connection; `None` where it ends.
    pub(super) fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace();
        let (Some(method), Some(target), Some(protocol)) = (words.next(), words.next(), words.next()) else {
            return Err(io::Error::other(format!("no request line: {line}")));
        };
        let mut call = Self::new(method, target, &[], &[]);
        call.old = protocol == "HTTP/1.0";
        loop {
            let mut header = String::new();
            from.read_line(&mut header)?;
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            call.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let length = call.header("content-length").map_or(0, |n| n.parse().unwrap_or(0));
        from.take(length).read_to_end(&mut call.body)?;
        call.last = call.old || call.header("connection").is_some_and(|c| c.eq_ignore_ascii_case("close"));
        Ok(Some(call))
    }

    /// Makes the target one below a path; false if it is not.
    pub(super) fn strip(&mut self, below: &str) -> bool {
        let Some(rest) = self.target.strip_prefix(below).map(str::to_owned) else { return false };
        self.path.drain(..below.split('/').count() - 1);
        self.target = rest;
        true
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter that may be there more than once.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.query.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }

    /// A number of the query; one that is missing, zero or no number is what Grafana takes when there is none.
    pub(super) fn number(&self, name: &str, otherwise: usize) -> usize {
        self.param(name).and_then(|n| n.parse().ok()).filter(|n| *n > 0).unwrap_or(otherwise)
    }

    /// The body; what is missing in it is not looked at here.
    pub(super) fn json(&self) -> Result<Value, Answer> {
        self.json_with(&[])
    }

    /// The body, which must be JSON: if it is not, these fields are missing, too [R 077].
    pub(super) fn json_with(&self, required: &[&str]) -> Result<Value, Answer> {
        serde_json::from_slice(&self.body).map_err(|_| {
            let says = complaint(&String::from_utf8_lossy(&self.body));
            let mut all = vec![json!({ "classification": "DeserializationError", "message": says })];
            all.extend(required.iter().map(|field| missing(field)));
            Answer { content_type: BINDING, ..Answer::json(400, &json!(all)) }
        })
    }
}

/// One path segment without its escapes.
fn unescaped(segment: &str) -> String {
    let plus = segment.replace('+', "%2B");
    url::form_urlencoded::parse(format!("={plus}").as_bytes()).next().map_or(String::new(), |(_, v)| v.into())
}

/// What Go says about a body that is no JSON, as far as it was seen [R 077].
fn complaint(body: &str) -> String {
    let place = |text: &str, place: &str| match text.trim_start().chars().next() {
        Some(c) => format!("invalid character '{c}' looking for beginning of {place}"),
        None => "EOF".into(),
    };
    match body.trim_start().strip_prefix('{') {
        Some(rest) => place(rest, "object key string"),
        None => place(body, "value"),
    }
}

fn missing(field: &str) -> Value {
    json!({ "fieldNames": [field], "classification": "RequiredError", "message": "Required" })
}

/// A status and a body.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

/// A refusal is an answer, too: handlers give it back with `?`.
pub(super) type Outcome = Result<Answer, Answer>;

impl Answer {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self { status, content_type: JSON, headers: Vec::new(), body: body.to_string() }
    }

    pub(super) fn ok(body: &Value) -> Self {
        Self::json(200, body)
    }

    pub(super) fn message(status: u16, message: &str) -> Self {
        Self::json(status, &json!({ "message": message }))
    }

    /// A message of the layers in front of the handlers.
    pub(super) fn front(status: u16, message: &str) -> Self {
        Self::message(status, message).by_front()
    }

    pub(super) fn by_front(self) -> Self {
        Self { content_type: FRONT, ..self }
    }

    pub(super) fn with_status(status: u16, message: &str, word: &str) -> Self {
        Self::json(status, &json!({ "message": message, "status": word }))
    }

    /// A required field is missing in a body that is JSON [R 035].
    pub(super) fn required(field: &str) -> Self {
        Self { content_type: BINDING, ..Self::json(422, &json!([missing(field)])) }
    }

    pub(super) fn text(status: u16, content_type: &'static str, body: &str) -> Self {
        Self { status, content_type, headers: Vec::new(), body: body.into() }
    }

    /// Head and body as they go over the wire. Long bodies are chunked, as Go does it [R 109].
    pub(super) fn bytes(&self, call: &Call) -> Vec<u8> {
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nCache-Control: no-cache\r\nContent-Type: {}\r\nExpires: -1\r\nPragma: no-cache\r\n\
             X-Content-Type-Options: nosniff\r\nX-Frame-Options: deny\r\nX-Xss-Protection: 1; mode=block\r\n",
            self.status,
            reason(self.status),
            self.content_type
        );
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        if call.last {
            head.push_str("Connection: close\r\n");
        }
        if self.body.len() > 2048 && !call.old {
            write!(
                head,
                "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\r\n0\r\n\r\n",
                self.body.len(),
                self.body
            )
            .unwrap();
        } else {
            write!(head, "Content-Length: {}\r\n\r\n{}", self.body.len(), self.body).unwrap();
        }
        head.into_bytes()
    }

    pub(super) fn write(&self, call: &Call, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&self.bytes(call))?;
        to.flush()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        409 => "Conflict",
        412 => "Precondition Failed",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Unnamed",
    }
}
