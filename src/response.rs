//! Looking at what an alert is about: the steps of a [`Response`] are made, each within its limit, and what was found is
//! told with what it was found by.
//!
//! Looking changes nothing, except what a program of the operator's does. A step that cannot be made says why and hinders
//! no other. Nothing of an alert goes into a step; what an application wrote is shown in single lines, bounded, with
//! secrets hidden and without what acts on a terminal.

mod container;
mod context;
mod disk;
mod errors;
mod exec;
mod lines;
mod logs;
mod memory_kills;
mod page;
mod port;
mod probe;
mod proc;
mod query;
mod recommend;
mod seen;
mod sessions;
mod shown;
mod stats;
mod top;

use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use context::{Application, Context, Unable};
pub use page::page;

use crate::config::response::{Response, Step, StepKind};
use crate::config::values::JobName;
use crate::words;
use seen::Seen;
use shown::Shown;

/// What a step may take beyond its limit to end what it has started.
const GRACE: Duration = Duration::from_secs(15);

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Good,
    /// It needs a look.
    Caution,
    /// It is not as it should be.
    Bad,
}

/// One thing that was found, in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What it is.
    pub text: String,
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepResult {
    /// The step.
    pub name: String,
    /// How long it took; in JSON `millis`.
    #[serde(rename = "millis", serialize_with = "to_millis", deserialize_with = "from_millis")]
    pub took: Duration,
    /// What was found.
    pub findings: Vec<Finding>,
    /// What it was found by, in single lines.
    pub evidence: Vec<String>,
    /// Why it could not be made, or not to its end.
    pub error: Option<String>,
}

/// What all steps of a response came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The alert, as the response names it.
    pub alert: String,
    /// What it is about: `application.mcp-memory-server`, `prometheus.main`, or `this host`.
    pub target: String,
    /// When it began.
    pub began: Timestamp,
    /// How long it took; in JSON `millis`.
    #[serde(rename = "millis", serialize_with = "to_millis", deserialize_with = "from_millis")]
    pub took: Duration,
    /// The steps, in the order of the response.
    pub steps: Vec<StepResult>,
    /// What somebody should do, the most urgent first, with the commands that do it.
    pub recommends: Vec<String>,
    /// The jobs that the response allows, where anything is to be said against how it stands; none where all is good.
    pub would_do: Vec<JobName>,
}

impl Diagnosis {
    /// How much the worst of it matters. A step that could not be made needs a look.
    pub fn severity(&self) -> Severity {
        let unable = self.steps.iter().any(|step| step.error.is_some()).then_some(Severity::Caution);
        let found = self.findings().map(|finding| finding.severity).max();
        found.max(unable).unwrap_or(Severity::Good)
    }

    /// What was found, in the order of the steps.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.steps.iter().flat_map(|step| &step.findings)
    }
}

/// Makes all steps of a response. Those that only look are made side by side; programs of the operator's come after them,
/// one after the other, so that what they take is not taken for what the application takes. It ends by itself within
/// [`Context::limit`] and a little, and soon after `cancel`.
pub async fn diagnose(response: &Response, context: &Context, cancel: &CancellationToken) -> Diagnosis {
    let (began, since) = ((context.clock)(), Instant::now());
    let deadline = since + context.limit;
    let (programs, looks): (Vec<(usize, &Step)>, Vec<_>) =
        response.steps.iter().enumerate().partition(|(_, step)| matches!(step.kind, StepKind::Exec { .. }));
    let looked = looks.iter().map(async |(at, step)| (*at, one(step, context, deadline, cancel).await));
    let mut made: Vec<(usize, Made)> = join_all(looked).await;
    for (at, step) in programs {
        made.push((at, one(step, context, deadline, cancel).await));
    }
    made.sort_by_key(|(at, _)| *at);
    let made: Vec<Made> = made.into_iter().map(|(_, made)| made).collect();
    summed(response, context, (began, since.elapsed()), made)
}

/// A step that was made, and what its findings call for.
struct Made {
    result: StepResult,
    recommends: Vec<(Severity, String)>,
}

fn summed(
    response: &Response,
    context: &Context,
    (began, took): (Timestamp, Duration),
    made: Vec<Made>,
) -> Diagnosis {
    let shown = Shown::under(&context.veil);
    let mut recommends: Vec<(Severity, String)> =
        made.iter().flat_map(|made| made.recommends.iter().cloned()).collect();
    let steps = made.into_iter().map(|made| made.result).collect();
    let mut diagnosis = Diagnosis {
        alert: response.alert.clone(),
        target: context.target(),
        began,
        took,
        steps,
        recommends: Vec::new(),
        would_do: Vec::new(),
    };
    let severity = diagnosis.severity();
    recommends.sort_by_key(|(severity, _)| std::cmp::Reverse(*severity));
    recommends.extend(recommend::for_alert(response, context, severity));
    for (_, text) in recommends {
        let text = shown.line(&text);
        if !diagnosis.recommends.contains(&text) {
            diagnosis.recommends.push(text);
        }
    }
    if severity > Severity::Good {
        diagnosis.would_do.clone_from(&response.allow);
    }
    diagnosis
}

async fn one(step: &Step, context: &Context, deadline: Instant, cancel: &CancellationToken) -> Made {
    let since = Instant::now();
    let left = deadline.saturating_duration_since(since);
    let limit = step.timeout.min(left);
    let halt = cancel.child_token();
    let (seen, error) = if cancel.is_cancelled() {
        (Seen::default(), Some("it was told to stop before this".to_owned()))
    } else if left.is_zero() {
        let limit = words::duration(context.limit);
        (Seen::default(), Some(format!("there was no time left: all steps together have {limit}")))
    } else {
        // The state of all kinds of steps together is large.
        within(limit, &halt, Box::pin(look(step, context, &halt))).await
    };
    let shown = Shown::under(&context.veil);
    let findings = seen.findings.iter();
    let findings = findings.map(|found| Finding { severity: found.severity, text: shown.line(&found.text) });
    Made {
        result: StepResult {
            name: shown.line(&step.name),
            took: since.elapsed(),
            findings: findings.collect(),
            evidence: seen.evidence.iter().map(|line| shown.line(line)).collect(),
            error: error.map(|error| shown.line(&error)),
        },
        recommends: seen.recommends,
    }
}

/// What was seen within a limit, and why it is not all. What was begun is told to end at the limit, and may say what it has.
async fn within(
    limit: Duration,
    stop: &CancellationToken,
    look: impl Future<Output = Result<Seen, Unable>>,
) -> (Seen, Option<String>) {
    let mut look = std::pin::pin!(look);
    let why = tokio::select! {
        seen = &mut look => return match seen {
            Ok(seen) => (seen, None),
            Err(unable) => (Seen::default(), Some(unable.to_string())),
        },
        () = tokio::time::sleep(limit) => format!("it took longer than {}", words::duration(limit)),
        () = stop.cancelled() => "it was told to stop".to_owned(),
    };
    stop.cancel();
    let seen = match tokio::time::timeout(GRACE, look).await {
        Ok(Ok(seen)) => seen,
        Ok(Err(_)) | Err(_) => Seen::default(),
    };
    (seen, Some(why))
}

async fn look(step: &Step, context: &Context, cancel: &CancellationToken) -> Result<Seen, Unable> {
    match &step.kind {
        StepKind::Container => container::look(step, context).await,
        StepKind::Probe(probe) => probe::look(probe, step.timeout, context, cancel).await,
        StepKind::Logs(logs) => logs::look(logs, step, context).await,
        StepKind::Errors(errors) => errors::look(errors, step, context).await,
        StepKind::MemoryKills => memory_kills::look(step, context).await,
        StepKind::Stats(stats) => stats::look(*stats, step, context).await,
        StepKind::Disk(disk) => disk::look(disk, step, context).await,
        StepKind::Port { port } => port::look(*port, step, context).await,
        StepKind::Query { query, limits } => query::look(query, step, *limits, context).await,
        StepKind::Quantile(quantile) => query::look(&quantile.query(), step, quantile.limits, context).await,
        StepKind::Sessions(sessions) => sessions::look(sessions, context, cancel).await,
        StepKind::Top { processes } => top::look(*processes, step, context).await,
        StepKind::Exec { argv, place } => exec::look(argv, *place, step, context, cancel).await,
    }
}

fn to_millis<S: Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
}

fn from_millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

#[cfg(test)]
mod tests;
