//! The HTTP API of a Prometheus server, as far as a backup and its restore need it.
//!
//! Every request has a limit. Nothing that a server, or a proxy before it, answers is taken for what was asked
//! unless it has the shape of it: a login page with status 200 is an error that says so. Redirects are not
//! followed, because a POST that is redirected silently becomes a GET, and the environment's proxies are not
//! used, because the servers meant here are on this host or its network.

mod error;
mod reply;
mod status;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use url::Url;

pub use error::ClientError;
pub use reply::{BuildInfo, Metrics, RuntimeInfo, Sample, Series};
pub use status::{Rule, Target};

use crate::config::values::Endpoint;
pub use crate::http::Credentials;
use crate::http::{self, Broken, SetupError, excerpt, looks_like_html};
use reply::{Answer, SnapshotName};

/// How long an ordinary request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// A query over restored blocks may have to read them from the disk first.
const QUERY_LIMIT: Duration = Duration::from_secs(130);

/// A Prometheus server's HTTP API.
#[derive(Debug, Clone)]
pub struct PrometheusClient {
    http: reqwest::Client,
    base: Url,
    credentials: Credentials,
}

/// One request: what it is for, and how long it may take.
struct Request<'a> {
    /// Completes "Cannot …": `take a snapshot`.
    action: &'static str,
    method: Method,
    path: &'static str,
    form: &'a [(&'a str, String)],
    limit: Duration,
}

impl<'a> Request<'a> {
    const fn get(action: &'static str, path: &'static str) -> Self {
        Self { action, method: Method::GET, path, form: &[], limit: REQUEST_LIMIT }
    }

    const fn post(action: &'static str, path: &'static str, form: &'a [(&'a str, String)]) -> Self {
        Self { action, method: Method::POST, path, form, limit: REQUEST_LIMIT }
    }

    const fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }
}

impl PrometheusClient {
    /// Prepares to talk to a server; nothing is sent yet.
    pub fn new(endpoint: &Endpoint, credentials: Credentials) -> Result<Self, ClientError> {
        let http = http::connector(endpoint)?.build().map_err(|source| SetupError::Build { source })?;
        Ok(Self { http, base: endpoint.url.clone(), credentials })
    }

    /// The server's base URL.
    pub fn base_url(&self) -> &Url {
        &self.base
    }

    /// The server serves queries: `/-/ready`, which, other than `/-/healthy`, is false while it reads its WAL.
    pub async fn ready(&self) -> Result<bool, ClientError> {
        let request = Request::get("ask whether it is ready", "-/ready");
        let (status, body) = self.exchange(&request).await?;
        match status {
            StatusCode::OK => Ok(true),
            StatusCode::SERVICE_UNAVAILABLE => Ok(false),
            _ => Err(self.refused(&request, status, &body)),
        }
    }

    /// All command line flags, by name without dashes: `storage.tsdb.path`.
    pub async fn flags(&self) -> Result<BTreeMap<String, String>, ClientError> {
        self.api(&Request::get("read its flags", "api/v1/status/flags")).await
    }

    /// Facts of the running process.
    pub async fn runtime_info(&self) -> Result<RuntimeInfo, ClientError> {
        self.api(&Request::get("read its runtime information", "api/v1/status/runtimeinfo")).await
    }

    /// What was built.
    pub async fn build_info(&self) -> Result<BuildInfo, ClientError> {
        self.api(&Request::get("read its version", "api/v1/status/buildinfo")).await
    }

    /// Takes a snapshot and returns its name: a folder in `snapshots/` of the data folder. Waits `limit`, because
    /// the server answers only when all is linked and a compaction that runs is over.
    pub async fn snapshot(&self, skip_head: bool, limit: Duration) -> Result<String, ClientError> {
        let form = [("skip_head", skip_head.to_string())];
        let request = Request::post("take a snapshot", "api/v1/admin/tsdb/snapshot", &form).within(limit);
        let SnapshotName { name } = self.api(&request).await?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            return Err(self.not_prometheus(&request, format!("{name:?} is not the name of a snapshot")));
        }
        Ok(name)
    }

    /// Evaluates a PromQL expression at one instant; the result must be a vector.
    pub async fn query(&self, expression: &str, at: Timestamp) -> Result<Vec<Sample>, ClientError> {
        let millis = at.as_millisecond();
        let seconds = format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000));
        let form = [("query", expression.to_owned()), ("time", seconds)];
        let request = Request::post("query it", "api/v1/query", &form).within(QUERY_LIMIT);
        let vector: reply::Vector = self.api(&request).await?;
        vector.samples().map_err(|problem| self.not_prometheus(&request, problem))
    }

    /// Evaluates a PromQL expression at instants `step` apart, from `from` to `to`.
    pub async fn query_range(
        &self,
        expression: &str,
        (from, to): (Timestamp, Timestamp),
        step: Duration,
    ) -> Result<Vec<Series>, ClientError> {
        let seconds = |at: Timestamp| at.as_second().to_string();
        let form = [
            ("query", expression.to_owned()),
            ("start", seconds(from)),
            ("end", seconds(to)),
            ("step", step.as_secs().max(1).to_string()),
        ];
        let request = Request::post("query it over a time", "api/v1/query_range", &form).within(QUERY_LIMIT);
        let matrix: reply::Matrix = self.api(&request).await?;
        matrix.series().map_err(|problem| self.not_prometheus(&request, problem))
    }

    /// What the server says about itself at `/metrics`.
    pub async fn metrics(&self) -> Result<Metrics, ClientError> {
        let request = Request::get("read its metrics", "metrics");
        let (status, body) = self.exchange(&request).await?;
        if status != StatusCode::OK {
            return Err(self.refused(&request, status, &body));
        }
        let text = String::from_utf8_lossy(&body).into_owned();
        if looks_like_html(&body) {
            return Err(self.not_prometheus(&request, "an HTML page came back".into()));
        }
        Ok(Metrics::new(text))
    }

    /// Sends a request and takes the `data` out of the reply.
    async fn api<T: DeserializeOwned>(&self, request: &Request<'_>) -> Result<T, ClientError> {
        let (status, body) = self.exchange(request).await?;
        match serde_json::from_slice::<Answer>(&body) {
            Ok(Answer::Success { data }) if status == StatusCode::OK => serde_json::from_value(data)
                .map_err(|e| self.not_prometheus(request, format!("the reply has another shape: {e}"))),
            Ok(Answer::Error { error_type, error }) => Err(self.told(request, &error_type, error)),
            _ if status == StatusCode::OK && looks_like_html(&body) => {
                Err(self.not_prometheus(request, "an HTML page came back".into()))
            }
            Err(e) if status == StatusCode::OK => {
                Err(self.not_prometheus(request, format!("the reply is not JSON of its API: {e}")))
            }
            _ => Err(self.refused(request, status, &body)),
        }
    }

    /// Sends a request and reads the reply, within the limit and bounded in size.
    async fn exchange(&self, request: &Request<'_>) -> Result<(StatusCode, Vec<u8>), ClientError> {
        let read = async {
            let mut response = self.prepare(request).send().await?;
            let Some(body) = http::bounded_body(&mut response).await? else { return Ok(None) };
            let is_redirect = response.status().is_redirection();
            let body = if is_redirect { http::leads_to(&response) } else { body };
            Ok(Some((response.status(), body)))
        };
        match tokio::time::timeout(request.limit, read).await {
            Ok(Ok(Some(reply))) => Ok(reply),
            Ok(Ok(None)) => Err(self.not_prometheus(request, "the reply does not end".into())),
            Ok(Err(source)) => Err(ClientError::Unreachable {
                action: request.action,
                url: self.shown(),
                source: Broken::of(&source),
            }),
            Err(_) => {
                Err(ClientError::TimedOut { action: request.action, url: self.shown(), limit: request.limit })
            }
        }
    }

    fn prepare(&self, request: &Request<'_>) -> RequestBuilder {
        let builder = self.http.request(request.method.clone(), http::below(&self.base, request.path));
        let builder = if request.form.is_empty() { builder } else { builder.form(request.form) };
        http::authorized(builder, &self.credentials)
    }

    /// The server explained in its own words why not.
    fn told(&self, request: &Request<'_>, error_type: &str, error: String) -> ClientError {
        let (action, url) = (request.action, self.shown());
        // Status 500 with this type, in all versions so far.
        if error_type == "unavailable" && error.contains("admin API") {
            return ClientError::AdminApiOff { url };
        }
        ClientError::Told { action, url, error }
    }

    /// Another status than success, and no words of the server's own API.
    fn refused(&self, request: &Request<'_>, status: StatusCode, body: &[u8]) -> ClientError {
        let (action, url) = (request.action, self.shown());
        let status = status.as_u16();
        match status {
            401 | 403 => ClientError::Unauthorized { action, url, status, anonymous: self.is_anonymous() },
            503 => ClientError::NotReady { action, url },
            _ => ClientError::Status { action, url, status, text: excerpt(body) },
        }
    }

    fn not_prometheus(&self, request: &Request<'_>, problem: String) -> ClientError {
        ClientError::NotPrometheus { action: request.action, url: self.shown(), problem }
    }

    /// The base URL as messages show it.
    fn shown(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    fn is_anonymous(&self) -> bool {
        self.credentials == Credentials::None
    }
}
