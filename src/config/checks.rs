//! What a `verify-deployment` looks at, as it is configured. Every target and job named here is in the
//! configuration.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::values::{JobName, TargetName};

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckConfig {
    /// Its name; no other check of the job has it.
    pub name: String,
    /// How long it may take. Never zero.
    pub timeout: Duration,
    /// What it looks at.
    pub what: CheckKind,
}

/// Where something is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// `[prometheus.NAME]`
    Prometheus(TargetName),
    /// `[grafana.NAME]`
    Grafana(TargetName),
    /// `[alertmanager.NAME]`
    Alertmanager(TargetName),
    /// `[application.NAME]`
    Application(TargetName),
    /// Any other, without credentials.
    Url(Url),
}

/// What a check looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckKind {
    /// What an HTTP server answers.
    Http {
        /// The server.
        server: Server,
        /// The path below its URL.
        path: String,
        /// What the answer must be.
        answer: Answer,
    },
    /// A metric that is exposed.
    Metric {
        /// The server.
        server: Server,
        /// The path of its metrics.
        path: String,
        /// The metric; any where none is named.
        metric: Option<String>,
    },
    /// A PromQL expression.
    Promql {
        /// The server.
        prometheus: TargetName,
        /// The expression.
        query: String,
        /// What every value of the result must be.
        threshold: Threshold,
    },
    /// The scrape targets of a Prometheus are up.
    Targets {
        /// The server.
        prometheus: TargetName,
        /// So many at the least.
        at_least: usize,
    },
    /// The rules of a Prometheus are loaded and healthy.
    Rules {
        /// The server.
        prometheus: TargetName,
        /// So many at the least.
        at_least: usize,
    },
    /// An Alertmanager is ready, and its cluster has settled.
    Alertmanager {
        /// The server.
        alertmanager: TargetName,
    },
    /// A Grafana is healthy.
    Grafana {
        /// The server.
        grafana: TargetName,
        /// And so are its data sources.
        data_sources: bool,
    },
    /// A container runs and is healthy.
    Container {
        /// Its name.
        container: String,
        /// Its image: a name, an ID or a digest.
        image: Option<String>,
    },
    /// A disk of this host has room.
    Disk {
        /// A path on it.
        path: PathBuf,
        /// So much at the least.
        free: Free,
    },
    /// The TLS certificate of a server is still valid for some time.
    Certificate {
        /// The server.
        server: Server,
        /// So many days at the least.
        days: u32,
    },
    /// A job has a recent good backup.
    Backup {
        /// The job.
        job: JobName,
        /// Not older than this.
        max_age: Duration,
    },
}

/// What an HTTP answer must be. Every condition that is given has to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status; any of 200 to 299 where none is given.
    pub status: Option<u16>,
    /// The body contains this text.
    pub body: Option<String>,
    /// A value in the JSON of the body.
    pub json: Option<JsonValue>,
    /// It is no page for people: that is what a proxy in front shows whoever is not logged in, with a status 200.
    pub no_page: bool,
}

/// A value in a JSON document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonValue {
    /// Where it is, as a JSON pointer: `/database/status`.
    pub pointer: String,
    /// What it is; where nothing is given it only has to be there.
    pub equals: Option<serde_json::Value>,
}

/// How a value compares to a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `above = 1`
    Above,
    /// `at_least = 1`
    AtLeast,
    /// `below = 1`
    Below,
    /// `at_most = 1`
    AtMost,
    /// `equals = 1`
    Equals,
}

/// A limit for a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// On which side of the limit.
    pub comparison: Comparison,
    /// The limit; finite.
    pub limit: f64,
}

/// The limit is never NaN.
impl Eq for Threshold {}

impl Threshold {
    /// Whether a value is on the right side; NaN never is.
    pub fn holds(&self, value: f64) -> bool {
        let limit = self.limit;
        match self.comparison {
            Comparison::Above => value > limit,
            Comparison::AtLeast => value >= limit,
            Comparison::Below => value < limit,
            Comparison::AtMost => value <= limit,
            #[expect(clippy::float_cmp, reason = "it was asked for exactly this value")]
            Comparison::Equals => value == limit,
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self.comparison {
            Comparison::Above => "above",
            Comparison::AtLeast => "at least",
            Comparison::Below => "below",
            Comparison::AtMost => "at most",
            Comparison::Equals => "exactly",
        };
        write!(f, "{words} {}", self.limit)
    }
}

/// Room on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Free {
    /// A share of the whole, 1 to 99.
    Percent(u32),
    /// Bytes.
    Bytes(u64),
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prometheus(name) => write!(f, "prometheus.{name}"),
            Self::Grafana(name) => write!(f, "grafana.{name}"),
            Self::Alertmanager(name) => write!(f, "alertmanager.{name}"),
            Self::Application(name) => write!(f, "application.{name}"),
            Self::Url(url) => write!(f, "{url}"),
        }
    }
}

impl fmt::Display for CheckKind {
    /// The check in a few words, for where it was given no name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { server, path, .. } => write!(f, "{server} {path}"),
            Self::Metric { server, metric: None, .. } => write!(f, "{server} metrics"),
            Self::Metric { server, metric: Some(metric), .. } => write!(f, "{server} metrics of {metric}"),
            Self::Promql { query, threshold, .. } => write!(f, "{query} is {threshold}"),
            Self::Targets { prometheus, .. } => write!(f, "prometheus.{prometheus} targets"),
            Self::Rules { prometheus, .. } => write!(f, "prometheus.{prometheus} rules"),
            Self::Alertmanager { alertmanager } => write!(f, "alertmanager.{alertmanager} health"),
            Self::Grafana { grafana, .. } => write!(f, "grafana.{grafana} health"),
            Self::Container { container, .. } => write!(f, "container {container}"),
            Self::Disk { path, .. } => write!(f, "disk of {}", path.display()),
            Self::Certificate { server, .. } => write!(f, "certificate of {server}"),
            Self::Backup { job, .. } => write!(f, "backup by {job}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_holds_on_its_side_and_never_for_what_is_no_number() {
        let holds = |comparison, value| Threshold { comparison, limit: 1.0 }.holds(value);
        assert!(holds(Comparison::Above, 1.5) && !holds(Comparison::Above, 1.0));
        assert!(holds(Comparison::AtLeast, 1.0) && !holds(Comparison::AtLeast, 0.9));
        assert!(holds(Comparison::Below, 0.5) && !holds(Comparison::Below, 1.0));
        assert!(holds(Comparison::AtMost, 1.0) && !holds(Comparison::AtMost, 1.1));
        assert!(holds(Comparison::Equals, 1.0) && !holds(Comparison::Equals, 1.1));
        for comparison in [Comparison::Above, Comparison::Below, Comparison::Equals] {
            assert!(!holds(comparison, f64::NAN));
        }
    }
}
