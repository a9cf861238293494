//! The responses to the alerts and complaints of the runbook, usable with nothing but targets configured.

use std::time::Duration;

use super::{
    Cap, DiskStep, ErrorsStep, Limits, LogsStep, Matcher, ProbeStep, QuantileStep, Response, StatsStep, Step,
    StepKind,
};
use crate::config::checks::Free;
use crate::config::sessions::Sessions;
use crate::config::values::TargetName;

/// Of the newest lines of a log so many are shown.
const LINES: u32 = 15;
/// So many are searched for errors.
const SEARCHED: u32 = 10_000;

/// The alerts that have a response without one being written.
pub const NAMES: [&str; 6] = [
    "ServiceDown",
    "HighSessionFailureRate",
    "TooManyActiveSessions",
    "SlowReflectionGeneration",
    "HighCpu",
    "HighMemory",
];

/// What a response stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    /// The application.
    pub application: Option<TargetName>,
    /// Its container.
    pub container: Option<String>,
    /// It has a database.
    pub has_database: bool,
    /// The Prometheus.
    pub prometheus: Option<TargetName>,
    /// Which sessions are open for too long.
    pub sessions: Sessions,
}

/// The name of a shipped response, however it is written: `HighCpu` for `high-cpu`.
pub fn canonical(alert: &str) -> Option<&'static str> {
    let plain = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    let wanted = plain(alert).to_lowercase();
    let wanted = wanted.strip_suffix("usage").unwrap_or(&wanted);
    NAMES.into_iter().find(|name| name.to_lowercase() == wanted)
}

/// The shipped response to an alert, with the steps that can be made on this ground; nothing where there is none.
pub fn response(alert: &str, ground: &Ground) -> Option<Response> {
    let mut steps = steps(alert, ground)?;
    steps.retain(|step| step.lacks(ground).is_none());
    Some(Response {
        alert: canonical(alert)?.to_owned(),
        matchers: Vec::new(),
        application: ground.application.clone(),
        prometheus: ground.prometheus.clone(),
        steps,
        allow: Vec::new(),
        cooldown: Response::COOLDOWN,
        cap: Cap::default(),
    })
}

/// The steps of the runbook for an alert; nothing where it has none.
pub fn steps(alert: &str, ground: &Ground) -> Option<Vec<Step>> {
    let kinds = match canonical(alert)? {
        "ServiceDown" => service_down(),
        "HighSessionFailureRate" => failing_sessions(ground),
        "TooManyActiveSessions" => open_sessions(ground),
        "SlowReflectionGeneration" => slow_reflections(),
        "HighCpu" => vec![StepKind::Container, stats(), top(), errors(Vec::new()), probe()],
        _ => vec![StepKind::Container, stats(), top(), StepKind::MemoryKills, errors(Vec::new())],
    };
    Some(kinds.into_iter().map(named).collect())
}

fn named(kind: StepKind) -> Step {
    let name = match &kind {
        StepKind::Query { query, .. } if query.contains('/') => "share of sessions that fail".to_owned(),
        StepKind::Query { query, .. } if query.contains("rate(") => "failing sessions per second".to_owned(),
        StepKind::Query { .. } => "active sessions".to_owned(),
        StepKind::Quantile(_) => "p95 of the reflection time".to_owned(),
        StepKind::Errors(step) if !step.matchers.is_empty() => "errors at the end of sessions".to_owned(),
        StepKind::Logs(step) if step.field.is_some() => "last reflection times".to_owned(),
        kind => kind.to_string(),
    };
    Step { name, ..Step::of(kind) }
}

fn service_down() -> Vec<StepKind> {
    let errors = errors(Vec::new());
    let (port, disk) = (StepKind::Port { port: None }, disk());
    vec![StepKind::Container, probe(), port, StepKind::MemoryKills, errors, logs(), stats(), disk]
}

fn failing_sessions(ground: &Ground) -> Vec<StepKind> {
    let failed = "sum(rate(mcp_journal_sessions_total{status=\"failed\"}[5m]))";
    let share = format!("{failed} / sum(rate(mcp_journal_sessions_total[5m]))");
    let at_the_end = errors(vec![Matcher::exact("event", "session_end")]);
    vec![
        query(&share, Limits { bad_above: Some(0.1), ..Limits::default() }),
        query(failed, Limits::default()),
        at_the_end,
        errors(Vec::new()),
        StepKind::Container,
        probe(),
        sessions(ground),
        disk(),
    ]
}

fn open_sessions(ground: &Ground) -> Vec<StepKind> {
    let active =
        query("sum(mcp_journal_sessions_active)", Limits { bad_above: Some(10.0), ..Limits::default() });
    vec![active, sessions(ground), errors(Vec::new()), StepKind::Container]
}

fn slow_reflections() -> Vec<StepKind> {
    let p95 = StepKind::Quantile(QuantileStep {
        metric: "mcp_journal_reflection_generation_seconds".to_owned(),
        quantile: 0.95,
        window: Duration::from_mins(5),
        limits: Limits { bad_above: Some(30.0), ..Limits::default() },
    });
    let times = StepKind::Logs(LogsStep {
        lines: 10,
        matchers: vec![Matcher::exact("event", "reflection_generated")],
        field: Some("generation_time_seconds".to_owned()),
    });
    vec![p95, times, stats(), top(), StepKind::Container, errors(Vec::new()), probe()]
}

fn query(query: &str, limits: Limits) -> StepKind {
    StepKind::Query { query: query.to_owned(), limits }
}

fn sessions(ground: &Ground) -> StepKind {
    StepKind::Sessions(Box::new(ground.sessions.clone()))
}

/// Health and metrics.
pub(crate) fn probe() -> StepKind {
    StepKind::Probe(ProbeStep { path: None, slow: Duration::from_secs(2) })
}

/// The last lines.
pub(crate) fn logs() -> StepKind {
    StepKind::Logs(LogsStep { lines: LINES, matchers: Vec::new(), field: None })
}

/// All errors whose fields are so.
pub(crate) fn errors(matchers: Vec<Matcher>) -> StepKind {
    StepKind::Errors(ErrorsStep { level: "ERROR".to_owned(), matchers, lines: SEARCHED })
}

/// CPU and memory.
pub(crate) fn stats() -> StepKind {
    StepKind::Stats(StatsStep { warn_cpu: 80, warn_memory: 80 })
}

/// Room on the disks.
pub(crate) fn disk() -> StepKind {
    StepKind::Disk(DiskStep { paths: Vec::new(), free: Free::Percent(10) })
}

/// The processes that take most.
pub(crate) fn top() -> StepKind {
    StepKind::Top { processes: 8 }
}
