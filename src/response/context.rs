//! What a diagnosis looks with.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use url::Url;

use crate::config::response::Step;
use crate::config::values::{JobName, TargetName, Veil};
use crate::docker::{Docker, DockerError};
use crate::http::HttpClient;
use crate::prometheus::client::PrometheusClient;
use crate::words;

/// Why something cannot be looked at, and what to do about that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unable {
    /// Why not.
    pub text: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Unable {
    /// Something that needs no hint.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), hint: None }
    }

    /// An error with its causes.
    pub fn of(error: &dyn Error, hint: Option<String>) -> Self {
        Self { text: words::chain(error), hint }
    }
}

impl fmt::Display for Unable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hint {
            Some(hint) => write!(f, "{} ({hint})", self.text),
            None => f.write_str(&self.text),
        }
    }
}

impl From<DockerError> for Unable {
    fn from(error: DockerError) -> Self {
        Self::of(&error, error.hint())
    }
}

/// The application that an alert is about.
#[derive(Debug, Clone)]
pub struct Application {
    /// Its name.
    pub name: TargetName,
    /// Its URL.
    pub url: Url,
    /// Its HTTP server, with its secret at hand.
    pub http: Result<HttpClient, Unable>,
    /// Its container, where it runs in one.
    pub container: Option<String>,
    /// Its database: inside the container, or on this host.
    pub database: Option<PathBuf>,
    /// The path that answers when it is well.
    pub health: String,
    /// The path of its metrics.
    pub metrics: String,
    /// A metric that must be among them.
    pub expect_metric: Option<String>,
}

/// What a diagnosis looks with.
#[derive(Debug, Clone)]
pub struct Context {
    /// The wall clock.
    pub clock: fn() -> Timestamp,
    /// How far back is looked, in logs and in a Prometheus.
    pub last: Duration,
    /// How long all steps together may take.
    pub limit: Duration,
    /// The application, where the response is about one.
    pub application: Option<Application>,
    /// The name of the Prometheus, and how it is asked.
    pub prometheus: Option<(TargetName, Result<PrometheusClient, Unable>)>,
    /// The engine.
    pub docker: Result<Docker, Unable>,
    /// What is not to be seen in what is shown.
    pub veil: Veil,
    /// The job that closes the application's sessions, where there is one.
    pub closes_sessions: Option<JobName>,
}

impl Context {
    /// How long all steps together may take where nobody says otherwise.
    pub const LIMIT: Duration = Duration::from_mins(2);
    /// How far back is looked where nobody says otherwise.
    pub const LAST: Duration = Duration::from_hours(1);

    /// What the diagnosis is about, as it stands in the file.
    pub(super) fn target(&self) -> String {
        match (&self.application, &self.prometheus) {
            (Some(application), _) => format!("application.{}", application.name),
            (None, Some((name, _))) => format!("prometheus.{name}"),
            (None, None) => "this host".to_owned(),
        }
    }

    /// The moment from which on is looked.
    pub(super) fn since(&self, now: Timestamp) -> Timestamp {
        let last = SignedDuration::try_from(self.last).unwrap_or(SignedDuration::MAX);
        now.checked_sub(last).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    pub(super) fn docker(&self) -> Result<&Docker, Unable> {
        self.docker.as_ref().map_err(Clone::clone)
    }

    /// The container of a step, else that of the application.
    pub(super) fn container<'a>(&'a self, step: &'a Step) -> Option<&'a str> {
        let own = self.application.as_ref().and_then(|application| application.container.as_deref());
        step.container.as_deref().or(own)
    }

    /// The engine, and the container that a step looks at.
    pub(super) fn needs_container<'a>(&'a self, step: &'a Step) -> Result<(&'a Docker, &'a str), Unable> {
        let name = self.container(step).ok_or_else(|| {
            let text = format!("{} runs in no container", self.target());
            Unable { text, hint: Some("name one in the step: container = \"NAME\"".to_owned()) }
        })?;
        Ok((self.docker()?, name))
    }

    pub(super) fn needs_application(&self) -> Result<&Application, Unable> {
        self.application.as_ref().ok_or_else(|| Unable {
            text: "nobody says which application it is about".to_owned(),
            hint: Some("application = \"NAME\" in the response, or --application NAME".to_owned()),
        })
    }

    pub(super) fn needs_prometheus(&self) -> Result<&PrometheusClient, Unable> {
        let found = self.prometheus.as_ref().ok_or_else(|| Unable {
            text: "nobody says which Prometheus is asked".to_owned(),
            hint: Some("prometheus = \"NAME\" in the response".to_owned()),
        })?;
        found.1.as_ref().map_err(Clone::clone)
    }
}
