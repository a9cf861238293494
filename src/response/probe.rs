//! The health and the metrics of an application, with the time that each answer took.

use std::future::ready;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;

use super::seen::Seen;
use super::{Context, Severity, Unable};
use crate::config::checks::Answer;
use crate::config::response::ProbeStep;
use crate::deployment::{self, Check, HttpCheck, MetricCheck, Probe};
use crate::jobs::CheckResult;
use crate::words;

/// What the answers may take of the step's limit: the step itself still has to say that none came.
const SHARE: f32 = 0.9;

pub(super) async fn look(
    probe: &ProbeStep,
    limit: Duration,
    context: &Context,
    cancel: &CancellationToken,
) -> Result<Seen, Unable> {
    let application = context.needs_application()?;
    let client = application.http.clone()?;
    let health = |path: &String| {
        let answer = Answer { no_page: true, ..Answer::default() };
        Probe::Http(HttpCheck { client: client.clone(), path: path.clone(), answer })
    };
    let metrics = || {
        let (path, metric) = (application.metrics.clone(), application.expect_metric.clone());
        Probe::Metric(MetricCheck { client: client.clone(), path, metric })
    };
    let probes = match &probe.path {
        Some(path) => vec![(path.clone(), health(path))],
        None => vec![("health".to_owned(), health(&application.health)), ("metrics".to_owned(), metrics())],
    };
    let limit = limit.mul_f32(SHARE);
    let check = |(name, probe)| Check { name, limit, probe: ready(Ok(probe)).boxed().shared() };
    let checks: Vec<Check<'_>> = probes.into_iter().map(check).collect();
    let results = deployment::look(&checks, (context.clock)(), Duration::ZERO, cancel).await;
    let mut seen = Seen::default();
    for result in &results {
        judge(result, probe.slow, &mut seen);
    }
    if results.iter().any(|result| !result.passed) {
        let url = &application.url;
        seen.recommend(
            Severity::Bad,
            format!("ask it yourself: `curl -sv {}`", crate::http::below(url, &application.health)),
        );
    }
    Ok(seen)
}

fn judge(result: &CheckResult, slow: Duration, seen: &mut Seen) {
    let CheckResult { name, text, .. } = result;
    let took = Duration::from_millis(result.millis);
    let shown = words::duration(took);
    match (result.passed, took > slow) {
        (false, _) => {
            seen.bad(format!("{name}: {text} ({shown})"));
            seen.evidence.extend(result.hint.iter().map(|hint| format!("{name}: {hint}")));
        }
        (true, true) => {
            let limit = words::duration(slow);
            seen.caution(format!("{name} is slow: {text}, in {shown} (slow is more than {limit})"));
        }
        (true, false) => seen.good(format!("{name}: {text}, in {shown}")),
    }
}
