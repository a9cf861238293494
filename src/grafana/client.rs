//! The HTTP API of a Grafana.
//!
//! - A 401 is final: five of them lock the user, and after that the right password looks wrong, too. After the first
//!   one this client, and every clone of it, sends nothing any more.
//! - Only 429, 502, 503, 504 and broken connections are tried again, and where a request that is sent twice would do
//!   its work twice, only if it certainly did not arrive.
//! - What answers is not taken for Grafana because it says 200: a page for people, a redirection and text that is no
//!   JSON are errors that say what they are. What Grafana itself refuses is an [`Answer`]: what a status means
//!   depends on who asked.

mod answer;
mod call;
mod pages;
mod retry;
mod version;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Semaphore;
use url::Url;

pub use answer::Answer;
pub use call::{Call, segment};
pub use pages::{List, Listed};
pub use version::major_and_minor;

use self::retry::{Patience, Received};
use super::GrafanaError;
use super::contents::Organisation;
use crate::config::values::Endpoint;
pub use crate::http::Credentials;
use crate::http::{self, Broken, LARGEST_REPLY, SetupError, excerpt, looks_like_html};

/// How many requests are sent side by side where nobody says otherwise.
pub const REQUESTS: usize = 8;

/// How long one request may take: a search over thousands of dashboards takes its time.
const REQUEST_LIMIT: Duration = Duration::from_mins(1);

/// The header by which a user with a password chooses the organisation. With a token it is ignored, with 200.
const ORGANISATION: &str = "X-Grafana-Org-Id";

/// A Grafana's HTTP API. Clones share the limit of requests side by side, and the knowledge of a 401.
#[derive(Debug, Clone)]
pub struct GrafanaClient {
    http: reqwest::Client,
    base: Url,
    credentials: Credentials,
    organisation: Option<i64>,
    turns: Arc<Semaphore>,
    denied: Arc<AtomicBool>,
    patience: Patience,
    limit: Duration,
}

impl GrafanaClient {
    /// Prepares to talk to a server, with at most so many requests side by side; nothing is sent yet.
    pub fn new(endpoint: &Endpoint, credentials: Credentials, requests: usize) -> Result<Self, GrafanaError> {
        let http = http::connector(endpoint)?.build().map_err(|source| SetupError::Build { source })?;
        Ok(Self {
            http,
            base: endpoint.url.clone(),
            credentials,
            organisation: None,
            turns: Arc::new(Semaphore::new(requests.max(1))),
            denied: Arc::default(),
            patience: Patience::default(),
            limit: REQUEST_LIMIT,
        })
    }

    /// The base URL as messages show it.
    pub fn url(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    /// It asks with a token, which belongs to one organisation and never administers the server.
    pub fn has_token(&self) -> bool {
        matches!(self.credentials, Credentials::Token(_))
    }

    /// `GET /api/health`, which needs no credentials and gets none: the version, where the server tells it.
    pub async fn version(&self) -> Result<Option<String>, GrafanaError> {
        let anonymous = Self { credentials: Credentials::None, ..self.clone() };
        let call = Call::get("ask how it is", "/api/health");
        let health = anonymous.exchange(&call).await?;
        if health.json.get("database").and_then(Value::as_str).is_none() {
            return Err(self.not_grafana(&call, "it says nothing of a database"));
        }
        // A database that does not answer is told with 503, which was tried again.
        let health = anonymous.expect_success(&call, health)?;
        Ok(health.get("version").and_then(Value::as_str).map(str::to_owned))
    }

    /// The organisation that the credentials stand in.
    pub async fn organisation(&self) -> Result<Organisation, GrafanaError> {
        let call = Call::get("ask for its organisation", "/api/org");
        let answer = self.exchange(&call).await?;
        let json = self.expect_success(&call, answer)?;
        Organisation::of(&json).ok_or_else(|| self.not_grafana(&call, "it names no organisation"))
    }

    /// The same server in this organisation, once it says itself that it is there: with a token the choice would be
    /// ignored, and the answers would be another organisation's.
    pub async fn enter(&self, wanted: &Organisation) -> Result<Self, GrafanaError> {
        let header = (!self.has_token()).then_some(wanted.id).flatten();
        let entered = Self { organisation: header, ..self.clone() };
        let got = entered.organisation().await?;
        if got == *wanted {
            return Ok(entered);
        }
        Err(GrafanaError::OtherOrganisation {
            url: self.url(),
            wanted: wanted.to_string(),
            got: got.to_string(),
        })
    }

    /// Asks, and takes whatever status Grafana answers.
    pub async fn ask(&self, action: &str, path: &str) -> Result<Answer, GrafanaError> {
        self.exchange(&Call::get(action, path)).await
    }

    /// Asks, and takes only a success.
    pub async fn get(&self, action: &str, path: &str) -> Result<Value, GrafanaError> {
        self.done(&Call::get(action, path)).await
    }

    /// POSTs, and takes whatever status Grafana answers. See [`Call::repeatable`].
    pub async fn post(&self, action: &str, path: &str, body: &Value) -> Result<Answer, GrafanaError> {
        self.exchange(&Call::post(action, path, body.clone())).await
    }

    /// PUTs, and takes whatever status Grafana answers.
    pub async fn put(&self, action: &str, path: &str, body: &Value) -> Result<Answer, GrafanaError> {
        self.exchange(&Call::put(action, path, body.clone())).await
    }

    /// Changes a part, and takes whatever status Grafana answers.
    pub async fn patch(&self, action: &str, path: &str, body: &Value) -> Result<Answer, GrafanaError> {
        self.exchange(&Call::patch(action, path, body.clone())).await
    }

    /// DELETEs, and takes whatever status Grafana answers.
    pub async fn delete(&self, action: &str, path: &str) -> Result<Answer, GrafanaError> {
        self.exchange(&Call::delete(action, path)).await
    }

    /// Sends a request and takes only a success.
    pub async fn done(&self, call: &Call) -> Result<Value, GrafanaError> {
        let answer = self.exchange(call).await?;
        self.expect_success(call, answer)
    }

    /// Sends a request, again where that may help, and takes whatever status Grafana answers.
    pub async fn exchange(&self, call: &Call) -> Result<Answer, GrafanaError> {
        let turn = self.turns.acquire().await;
        let mut tries = 0;
        let received = loop {
            if self.denied.load(Ordering::Acquire) {
                return Err(self.denied(call, "it answered so before, and was not asked again".to_owned()));
            }
            let received = self.send(call).await;
            let Some(pause) = self.patience.pause(call, &received, tries) else { break received };
            tries += 1;
            tokio::time::sleep(pause).await;
        };
        // Whoever gets this turn next has to know of a 401.
        let answer = self.judge(call, received);
        drop(turn);
        answer
    }

    /// Where a status other than success is a failure.
    pub fn expect_success(&self, call: &Call, answer: Answer) -> Result<Value, GrafanaError> {
        if answer.is_success() { Ok(answer.json) } else { Err(self.refused(call, &answer)) }
    }

    /// Grafana's own refusal as a failure.
    pub fn refused(&self, call: &Call, answer: &Answer) -> GrafanaError {
        let (action, url) = (call.action.clone(), self.url());
        GrafanaError::Refused { action, url, status: answer.status, text: answer.message() }
    }

    /// What came is not what a Grafana answers.
    pub fn not_grafana(&self, call: &Call, problem: impl Into<String>) -> GrafanaError {
        let (action, url) = (call.action.clone(), self.url());
        GrafanaError::NotGrafana { action, url, problem: problem.into() }
    }

    /// Sends it once and reads the reply, within the limit and bounded in size.
    async fn send(&self, call: &Call) -> Result<Received, GrafanaError> {
        let read = async {
            let mut response = self.prepare(call).send().await?;
            let received = Received::of(&response);
            let body = http::bounded_body(&mut response).await?;
            Ok(body.map(|body| Received { body, ..received }))
        };
        let (action, url) = (call.action.clone(), self.url());
        match tokio::time::timeout(self.limit, read).await {
            Ok(Ok(Some(received))) => Ok(received),
            Ok(Ok(None)) => {
                Err(self.not_grafana(call, format!("it is longer than {} MiB", LARGEST_REPLY >> 20)))
            }
            Ok(Err(error)) => Err(GrafanaError::Unreachable { action, url, source: Broken::of(&error) }),
            Err(_) => Err(GrafanaError::TimedOut { action, url, limit: self.limit }),
        }
    }

    fn prepare(&self, call: &Call) -> reqwest::RequestBuilder {
        let url = http::below(&self.base, &call.path);
        let mut builder = self.http.request(call.method.clone(), url);
        if let Some(organisation) = self.organisation {
            builder = builder.header(ORGANISATION, organisation);
        }
        for (name, value) in &call.headers {
            builder = builder.header(*name, *value);
        }
        if let Some(body) = &call.body {
            builder = builder.json(body);
        }
        http::authorized(builder, &self.credentials)
    }

    /// Tells an answer of Grafana from everything else.
    fn judge(&self, call: &Call, received: Result<Received, GrafanaError>) -> Result<Answer, GrafanaError> {
        let received = received?;
        let (action, url, status) = (call.action.clone(), self.url(), received.status);
        let text = || answer::message(&received.body);
        match status {
            401 => {
                self.denied.store(true, Ordering::Release);
                Err(self.denied(call, text()))
            }
            300..=399 => Err(GrafanaError::Redirected { action, url, status, to: received.leads_to }),
            429 | 502..=504 => Err(GrafanaError::Busy { action, url, status, text: text() }),
            _ if looks_like_html(&received.body) => Err(GrafanaError::Page { action, url, status }),
            200..=299 => Answer::parse(status, &received.body).map_err(|error| {
                self.not_grafana(call, format!("no JSON ({error}): {}", excerpt(&received.body)))
            }),
            _ => Ok(Answer::lenient(status, &received.body)),
        }
    }

    fn denied(&self, call: &Call, text: String) -> GrafanaError {
        let anonymous = self.credentials == Credentials::None;
        GrafanaError::Denied { action: call.action.clone(), url: self.url(), text, anonymous }
    }
}
