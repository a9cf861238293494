//! What came in.

use super::http::Call;

/// One request, as far as tests ask for it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query, as sent.
    pub(crate) target: String,
    /// `X-Grafana-Org-Id`.
    pub(crate) org: Option<String>,
    pub(crate) authorization: Option<String>,
    /// `X-Disable-Provenance` is there, whatever it says.
    pub(crate) disables_provenance: bool,
    pub(crate) body: String,
    /// How many were being answered when it came, itself included.
    pub(crate) at_once: usize,
    /// `None` while it is being answered, and for ever if the connection was cut.
    pub(crate) status: Option<u16>,
}

impl Request {
    pub(super) fn new(call: &Call, at_once: usize) -> Self {
        let header = |name: &str| call.header(name).map(str::to_owned);
        Self {
            method: call.method.clone(),
            target: call.target.clone(),
            org: header("x-grafana-org-id"),
            authorization: header("authorization"),
            disables_provenance: header("x-disable-provenance").is_some(),
            body: String::from_utf8_lossy(&call.body).into_owned(),
            at_once,
            status: None,
        }
    }

    /// Could it have changed something?
    pub(crate) fn is_write(&self) -> bool {
        self.method != "GET" && self.method != "HEAD"
    }
}
