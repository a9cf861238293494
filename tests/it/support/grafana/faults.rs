//! What goes wrong on the way to a server, or in it, at a chosen place.

use std::time::Duration;

use serde_json::Value;

use super::http::{Answer, Call};

/// What happens to a request.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// Answers this and does nothing.
    Answers { status: u16, headers: Vec<(&'static str, String)>, body: String },
    /// Does what was asked, and answers this: a proxy that lost patience.
    DoneBut { status: u16, body: String },
    /// Takes its time, then is right.
    Slow(Duration),
    /// First somebody else asks this as the administrator; then it is right.
    Meanwhile { method: &'static str, target: String, body: Value },
    /// Nothing is done, and no answer comes until [`super::Grafana::heal`].
    Hangs,
    /// A proxy takes this header away, in small letters; all else is right.
    TakesAway(&'static str),
    /// The connection ends, and nothing was done.
    CutBefore,
    /// The connection ends, but what was asked is done: nobody can know.
    CutAfter,
    /// Done, but the connection ends in the middle of the answer.
    CutHalfway,
}

impl What {
    /// A JSON answer as Grafana's own.
    pub(crate) fn answers(status: u16, body: &str) -> Self {
        Self::Answers { status, headers: Vec::new(), body: body.into() }
    }

    /// 503 of a proxy, in HTML.
    pub(crate) fn unavailable() -> Self {
        Self::html(503, "<html><body><h1>503 Service Unavailable</h1></body></html>")
    }

    /// 429 that says how long to wait.
    pub(crate) fn too_many(seconds: u64) -> Self {
        Self::Answers {
            status: 429,
            headers: vec![("Retry-After", seconds.to_string())],
            body: r#"{"message":"Too many requests"}"#.into(),
        }
    }

    /// A page for people, as some proxies answer, with 200, too.
    pub(crate) fn html(status: u16, page: &str) -> Self {
        let headers = vec![("Content-Type", "text/html; charset=UTF-8".into())];
        Self::Answers { status, headers, body: page.into() }
    }

    /// 302 to the login page, which the server has.
    pub(crate) fn redirect_to_login() -> Self {
        let body = "<a href=\"/login\">Found</a>.".into();
        Self::Answers { status: 302, headers: vec![("Location", "/login".into())], body }
    }
}

/// A [`What`], and for which requests.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    what: What,
    method: Option<String>,
    writes: bool,
    target: String,
    skip: usize,
    times: usize,
}

impl Fault {
    /// Every request, for ever; the methods narrow it.
    pub(crate) fn new(what: What) -> Self {
        Self { what, method: None, writes: false, target: String::new(), skip: 0, times: usize::MAX }
    }

    /// Only requests of this method whose target (with its query) contains this.
    pub(crate) fn on(self, method: &str, target: &str) -> Self {
        Self { method: Some(method.into()), target: target.into(), ..self }
    }

    /// Only requests whose target contains this, whatever the method.
    pub(crate) fn at(self, target: &str) -> Self {
        Self { target: target.into(), ..self }
    }

    /// Only requests that may change something.
    pub(crate) fn on_writes(self) -> Self {
        Self { writes: true, ..self }
    }

    /// Lets the first ones pass.
    pub(crate) fn after(self, skip: usize) -> Self {
        Self { skip, ..self }
    }

    /// Happens so many times.
    pub(crate) fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    fn fits(&self, call: &Call) -> bool {
        self.times > 0
            && self.method.as_ref().is_none_or(|m| *m == call.method)
            && (!self.writes || !matches!(call.method.as_str(), "GET" | "HEAD"))
            && call.target.contains(&self.target)
    }
}

/// What happens to this request, and counts it.
pub(super) fn pick(faults: &mut [Fault], call: &Call) -> Option<What> {
    for fault in faults.iter_mut().filter(|f| f.fits(call)) {
        if fault.skip > 0 {
            fault.skip -= 1;
            continue;
        }
        fault.times -= 1;
        return Some(fault.what.clone());
    }
    None
}

/// The answer that is made up.
pub(super) fn answer(status: u16, headers: Vec<(&'static str, String)>, body: &str) -> Answer {
    let mut made = Answer::text(status, "application/json", body);
    for (name, value) in headers {
        if name == "Content-Type" {
            made.content_type = "text/html; charset=UTF-8";
        } else {
            made.headers.push((name, value));
        }
    }
    made
}
