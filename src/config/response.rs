//! What is looked at where an alert fires, and what may be done then, as pure values. Every target and job named here is in
//! the configuration.
//!
//! Nothing of an alert ever goes into a step: an alert only chooses which steps are made.

mod matcher;
pub mod shipped;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use matcher::{Anchored, Labels, Matcher, Pattern, PatternError};
pub use shipped::Ground;

use super::checks::Free;
use super::sessions::Sessions;
use super::values::{JobName, TargetName};

/// One `[[response]]`, or one that is shipped.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// The alert, as its rule names it.
    pub alert: String,
    /// The labels that it must have. All of them have to hold.
    pub matchers: Vec<Matcher>,
    /// The application that it is about, where it is about one.
    pub application: Option<TargetName>,
    /// The Prometheus that is asked.
    pub prometheus: Option<TargetName>,
    /// What is looked at. Never empty; no two have one name.
    pub steps: Vec<Step>,
    /// The jobs that may be run by themselves; empty: only a report is made.
    pub allow: Vec<JobName>,
    /// An alert that fires again within this is not looked at again.
    pub cooldown: Duration,
    /// How often the allowed jobs may be run by themselves.
    pub cap: Cap,
}

impl Response {
    /// How long an alert is not looked at again, where the file does not say.
    pub const COOLDOWN: Duration = Duration::from_mins(10);

    /// Whether it is for this alert with these labels.
    pub fn is_for(&self, alert: &str, labels: &Labels) -> bool {
        self.alert == alert && self.matchers.iter().all(|matcher| matcher.holds(labels))
    }
}

/// At most so many runs within a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    /// So many. Never zero.
    pub runs: u32,
    /// Within this. Never zero.
    pub within: Duration,
}

impl Default for Cap {
    fn default() -> Self {
        Self { runs: 2, within: Duration::from_hours(1) }
    }
}

/// Something to look at. Looking changes nothing, except what a program of the operator's does.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What it is called; no other step of the response is called so.
    pub name: String,
    /// How long it may take. Never zero.
    pub timeout: Duration,
    /// The container that it looks at; nothing: that of the application.
    pub container: Option<String>,
    /// What it looks at.
    pub kind: StepKind,
}

impl Step {
    /// How long a step may take where the file does not say.
    pub const TIMEOUT: Duration = Duration::from_secs(20);

    /// A step of this kind, called like its kind.
    pub fn of(kind: StepKind) -> Self {
        Self { name: kind.to_string(), timeout: Self::TIMEOUT, container: None, kind }
    }

    /// What it would need, and the configuration does not have.
    pub fn lacks(&self, ground: &Ground) -> Option<&'static str> {
        let has_container = self.container.is_some() || ground.container.is_some();
        match &self.kind {
            StepKind::Container
            | StepKind::MemoryKills
            | StepKind::Stats(_)
            | StepKind::Top { .. }
            | StepKind::Logs(_)
            | StepKind::Errors(_)
            | StepKind::Exec { place: ExecPlace::Container, .. } => (!has_container).then_some("a container"),
            StepKind::Probe(_) => ground.application.is_none().then_some("an application"),
            StepKind::Port { port } => {
                (port.is_none() && ground.application.is_none()).then_some("an application")
            }
            StepKind::Query { .. } | StepKind::Quantile(_) => {
                ground.prometheus.is_none().then_some("a Prometheus")
            }
            StepKind::Sessions(_) => (!ground.has_database).then_some("an application with a database"),
            StepKind::Disk(_) | StepKind::Exec { place: ExecPlace::Host, .. } => None,
        }
    }
}

/// What a step looks at.
#[derive(Debug, Clone, PartialEq)]
pub enum StepKind {
    /// What the container is doing, how it ended, how often it was started again, and its health.
    Container,
    /// The health and the metrics of the application, or one path, with the time that the answer took.
    Probe(ProbeStep),
    /// The last lines of the log.
    Logs(LogsStep),
    /// The errors in the log, counted by type and by message.
    Errors(ErrorsStep),
    /// What the kernel killed because the memory was full.
    MemoryKills,
    /// How much CPU and memory the container takes.
    Stats(StatsStep),
    /// Room on the disks that the container and its data are on.
    Disk(DiskStep),
    /// Who listens on the port of the application.
    Port {
        /// The port; nothing: that of the application's URL.
        port: Option<u16>,
    },
    /// A PromQL expression, now and over the time that is looked at.
    Query {
        /// The expression.
        query: String,
        /// Which values are not as they should be.
        limits: Limits,
    },
    /// Sessions that are open for too long.
    Sessions(Box<Sessions>),
    /// A quantile of a histogram.
    Quantile(QuantileStep),
    /// The processes that take most.
    Top {
        /// So many of them.
        processes: u32,
    },
    /// A program of the operator's, without a shell.
    Exec {
        /// The program and its arguments; never empty.
        argv: Vec<String>,
        /// Where it runs.
        place: ExecPlace,
    },
}

impl StepKind {
    /// The kinds as they are written.
    pub const NAMES: [&str; 13] = [
        "container",
        "probe",
        "logs",
        "errors",
        "memory-kills",
        "stats",
        "disk",
        "port",
        "query",
        "sessions",
        "quantile",
        "top",
        "exec",
    ];

    /// As it is written.
    pub const fn kind_name(&self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Probe(_) => "probe",
            Self::Logs(_) => "logs",
            Self::Errors(_) => "errors",
            Self::MemoryKills => "memory-kills",
            Self::Stats(_) => "stats",
            Self::Disk(_) => "disk",
            Self::Port { .. } => "port",
            Self::Query { .. } => "query",
            Self::Sessions(_) => "sessions",
            Self::Quantile(_) => "quantile",
            Self::Top { .. } => "top",
            Self::Exec { .. } => "exec",
        }
    }
}

impl fmt::Display for StepKind {
    /// What a step is called where the file gives it no name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Probe(ProbeStep { path: Some(path), .. }) => write!(f, "probe {path}"),
            Self::Port { port: Some(port) } => write!(f, "port {port}"),
            Self::Query { query, .. } => write!(f, "query {query}"),
            Self::Quantile(step) => write!(f, "p{} of {}", step.quantile * 100.0, step.metric),
            Self::Exec { argv, .. } => write!(f, "exec {}", argv.join(" ")),
            other => f.write_str(other.kind_name()),
        }
    }
}

/// How a `probe` asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeStep {
    /// The path below the application's URL; nothing: its health and its metrics.
    pub path: Option<String>,
    /// An answer that takes longer is slow. Never zero.
    pub slow: Duration,
}

/// Which lines of the log `logs` shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogsStep {
    /// The last so many. Never zero.
    pub lines: u32,
    /// Only lines of JSON whose fields are so; none: all lines.
    pub matchers: Vec<Matcher>,
    /// Of these only this field; nothing: the whole line.
    pub field: Option<String>,
}

/// Which lines of the log `errors` counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorsStep {
    /// What their field `level` is, in upper or lower case.
    pub level: String,
    /// And so are these fields.
    pub matchers: Vec<Matcher>,
    /// The last so many lines of the log are read. Never zero.
    pub lines: u32,
}

/// From when on `stats` finds that too much is taken, in per cent of what the container may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatsStep {
    /// Of its CPUs.
    pub warn_cpu: u32,
    /// Of its memory.
    pub warn_memory: u32,
}

/// What `disk` looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskStep {
    /// Folders of this host beside those that are found.
    pub paths: Vec<PathBuf>,
    /// Less free room than this is told.
    pub free: Free,
}

/// A quantile of a histogram: `histogram_quantile(QUANTILE, sum by (le) (rate(METRIC_bucket[WINDOW])))`.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantileStep {
    /// The histogram, without `_bucket`.
    pub metric: String,
    /// More than 0, less than 1.
    pub quantile: f64,
    /// Over this long. Never zero.
    pub window: Duration,
    /// Which values are not as they should be, in the metric's unit.
    pub limits: Limits,
}

impl QuantileStep {
    /// The expression.
    pub fn query(&self) -> String {
        let Self { metric, quantile, window, .. } = self;
        format!(
            "histogram_quantile({quantile}, sum by (le) (rate({metric}_bucket[{}s])))",
            window.as_secs().max(1)
        )
    }
}

/// Where a program of the operator's runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecPlace {
    /// In the container.
    Container,
    /// On this host.
    Host,
}

/// Which values are not as they should be; all of them finite.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// More than this needs a look.
    pub warn_above: Option<f64>,
    /// More than this is bad.
    pub bad_above: Option<f64>,
    /// Less than this needs a look.
    pub warn_below: Option<f64>,
    /// Less than this is bad.
    pub bad_below: Option<f64>,
}
