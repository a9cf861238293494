//! What a PromQL expression is now, and how it was over the time that is looked at.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;

use super::seen::Seen;
use super::{Context, Severity, Unable};
use crate::config::response::{Limits, Step};
use crate::prometheus::client::{ClientError, Sample, Series};
use crate::words;

/// So many instants are drawn.
const DRAWN: u32 = 40;
/// Of so many series something is told.
const SHOWN: usize = 5;

pub(super) async fn look(
    query: &str,
    step: &Step,
    limits: Limits,
    context: &Context,
) -> Result<Seen, Unable> {
    let client = context.needs_prometheus()?;
    let now = (context.clock)();
    let apart = Duration::from_secs((context.last.as_secs() / u64::from(DRAWN)).max(1));
    // The last instant is now: what has just begun is seen too.
    let from = now.checked_sub(SignedDuration::try_from(apart * DRAWN).unwrap_or_default()).unwrap_or(now);
    let (samples, series) =
        tokio::join!(client.query(query, now), client.query_range(query, (from, now), apart));
    let failed = |error: &ClientError| Unable::of(error, error.hint());
    let samples = samples.map_err(|error| failed(&error))?;
    let mut seen = Seen::default();
    seen.evidence(query);
    judge(&samples, &step.name, limits, &mut seen);
    match series {
        Ok(series) => draw(&series, &words::duration(context.last), apart, &mut seen),
        Err(error) => seen.evidence(format!("how it was before cannot be told: {}", words::chain(&error))),
    }
    Ok(seen)
}

fn judge(samples: &[Sample], what: &str, limits: Limits, seen: &mut Seen) {
    if samples.is_empty() {
        let why = "is the metric scraped? Then nothing has happened yet that it counts";
        seen.caution(format!("{what}: no result: {why}"));
        return;
    }
    for sample in samples.iter().take(SHOWN) {
        let name = format!("{what}: {}", name(&sample.labels));
        let value = number(sample.value);
        match verdict(sample.value, limits) {
            _ if sample.value.is_nan() => seen.good(format!("{name}no value: there was nothing to count")),
            Some((severity, limit)) => seen.find(severity, format!("{name}{value}, which is {limit}")),
            None => seen.good(format!("{name}{value}")),
        }
    }
    let rest = samples.get(SHOWN..).unwrap_or_default();
    let worst =
        rest.iter().filter_map(|sample| verdict(sample.value, limits)).max_by_key(|(severity, _)| *severity);
    match worst {
        Some((severity, limit)) => {
            seen.find(severity, format!("{what}: among {} more series one is {limit}", rest.len()));
        }
        None if !rest.is_empty() => seen.evidence(format!("and {} more series", rest.len())),
        None => {}
    }
}

/// How a value is not as it should be.
fn verdict(value: f64, limits: Limits) -> Option<(Severity, String)> {
    let above =
        |limit: Option<f64>| limit.filter(|limit| value > *limit).map(|limit| format!("above {limit}"));
    let below =
        |limit: Option<f64>| limit.filter(|limit| value < *limit).map(|limit| format!("below {limit}"));
    let bad = above(limits.bad_above).or_else(|| below(limits.bad_below));
    let caution = above(limits.warn_above).or_else(|| below(limits.warn_below));
    let of = |severity| move |limit| (severity, limit);
    bad.map(of(Severity::Bad)).or_else(|| caution.map(of(Severity::Caution)))
}

/// Its labels before a value; nothing where it has none.
fn name(labels: &BTreeMap<String, String>) -> String {
    let name = labels.get("__name__").map_or("", String::as_str);
    let others = labels.iter().filter(|(label, _)| *label != "__name__");
    let others: Vec<String> = others.map(|(label, value)| format!("{label}={value:?}")).collect();
    match (name, others.is_empty()) {
        ("", true) => String::new(),
        (name, true) => format!("{name}: "),
        (name, false) => format!("{name}{{{}}}: ", others.join(", ")),
    }
}

/// Three digits are enough to judge by.
fn number(value: f64) -> String {
    if !value.is_finite() || value.fract() == 0.0 {
        return value.to_string();
    }
    let digits = if value.abs() >= 100.0 {
        0
    } else if value.abs() >= 1.0 {
        2
    } else {
        4
    };
    format!("{value:.digits$}")
}

fn draw(series: &[Series], last: &str, step: Duration, seen: &mut Seen) {
    for series in series.iter().take(SHOWN) {
        let values: Vec<f64> =
            series.values.iter().map(|(_, value)| *value).filter(|v| v.is_finite()).collect();
        let Some(lowest) = values.iter().copied().reduce(f64::min) else { continue };
        let highest = values.iter().copied().fold(lowest, f64::max);
        let line = words::sparkline_of(&gaps(&series.values, step.as_secs_f64()));
        let range = format!("{} to {}", number(lowest), number(highest));
        seen.evidence(format!("{}last {last} {line} {range}", name(&series.labels)));
    }
}

/// The values with nothing at the instants that have none.
fn gaps(values: &[(f64, f64)], step: f64) -> Vec<Option<f64>> {
    let mut all: Vec<Option<f64>> = Vec::new();
    let mut before: Option<f64> = None;
    for (at, value) in values {
        let mut next = before.map_or(*at, |before| before + step);
        while next + step / 2.0 < *at && all.len() < 2 * DRAWN as usize {
            all.push(None);
            next += step;
        }
        all.push(Some(*value));
        before = Some(*at);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(value: f64) -> Sample {
        Sample { labels: BTreeMap::new(), value }
    }

    fn found(value: f64, limits: Limits) -> (Severity, String) {
        let mut seen = Seen::default();
        judge(&[sample(value)], "load", limits, &mut seen);
        let finding = seen.findings.remove(0);
        (finding.severity, finding.text)
    }

    #[test]
    fn a_value_is_judged_by_the_worst_limit_that_it_passes() {
        let limits = Limits { warn_above: Some(1.0), bad_above: Some(10.0), ..Limits::default() };
        assert_eq!(found(0.5, limits), (Severity::Good, "load: 0.5000".to_owned()));
        assert_eq!(found(10.0, limits), (Severity::Caution, "load: 10, which is above 1".to_owned()));
        assert_eq!(found(11.0, limits), (Severity::Bad, "load: 11, which is above 10".to_owned()));
        let below = Limits { bad_below: Some(1.0), ..Limits::default() };
        assert_eq!(found(0.25, below), (Severity::Bad, "load: 0.2500, which is below 1".to_owned()));
        // Nothing divided by nothing.
        assert_eq!(found(f64::NAN, limits).0, Severity::Good);
    }

    #[test]
    fn of_many_series_the_worst_of_those_that_are_not_shown_is_told() {
        let many: Vec<Sample> = (0..10).map(|n| sample(f64::from(n))).collect();
        let mut seen = Seen::default();
        judge(&many, "load", Limits { bad_above: Some(8.0), ..Limits::default() }, &mut seen);
        assert_eq!(seen.findings.last().unwrap().text, "load: among 5 more series one is above 8");
    }

    #[test]
    fn an_instant_without_a_value_is_a_gap() {
        let values = [(0.0, 1.0), (10.0, 2.0), (40.0, 3.0)];
        assert_eq!(gaps(&values, 10.0), [Some(1.0), Some(2.0), None, None, Some(3.0)]);
    }
}
