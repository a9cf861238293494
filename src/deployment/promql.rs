//! Every value of a PromQL expression is on the right side of a limit.

use super::{Terms, Verdict, Wrong, named};
use crate::config::checks::Threshold;
use crate::prometheus::client::{ClientError, PrometheusClient, Sample};

/// Evaluates an expression.
#[derive(Debug, Clone)]
pub struct PromqlCheck {
    /// The server.
    pub client: PrometheusClient,
    /// The expression.
    pub query: String,
    /// What every value must be.
    pub threshold: Threshold,
}

impl PromqlCheck {
    pub(super) async fn look(&self, terms: Terms) -> Verdict {
        let samples = self.client.query(&self.query, terms.now).await.map_err(|error| {
            let hint = match &error {
                ClientError::NotPrometheus { problem, .. } if problem.contains("a scalar, not a vector") => {
                    Some(format!("write an expression with a vector as result: vector({})", self.query))
                }
                ClientError::NotPrometheus { problem, .. } if problem.contains("a matrix, not a vector") => {
                    Some(format!("write one value for each series: last_over_time({})", self.query))
                }
                error => error.hint(),
            };
            Wrong::of(&error, hint)
        })?;
        judge(&self.query, self.threshold, &samples)
    }
}

fn judge(query: &str, threshold: Threshold, samples: &[Sample]) -> Verdict {
    if samples.is_empty() {
        return Err(Wrong::new(format!("{query} has no result"))
            .hint("is the metric scraped yet? `… or vector(0)` gives a value to what is not there"));
    }
    let wrong: Vec<String> =
        samples.iter().filter(|sample| !threshold.holds(sample.value)).map(text).collect();
    if !wrong.is_empty() {
        return Err(Wrong::new(format!("{query} should be {threshold}, but is {}", named(wrong))));
    }
    Ok(match samples {
        [one] => format!("{}, {threshold}", text(one)),
        many => format!("{} values, all {threshold}", many.len()),
    })
}

fn text(sample: &Sample) -> String {
    let labels: Vec<String> = sample.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    if labels.is_empty() {
        sample.value.to_string()
    } else {
        format!("{} {{{}}}", sample.value, labels.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::checks::Comparison;

    fn sample(label: &str, value: f64) -> Sample {
        Sample { labels: [("a".to_owned(), label.to_owned())].into(), value }
    }

    #[test]
    fn all_values_must_hold_and_those_that_do_not_are_named() {
        let threshold = Threshold { comparison: Comparison::Below, limit: 2.0 };
        assert!(judge("q", threshold, &[]).unwrap_err().text.contains("no result"));
        assert_eq!(judge("q", threshold, &[sample("x", 1.0)]).unwrap(), "1 {a=\"x\"}, below 2");
        let mixed = [sample("x", 1.0), sample("y", 3.0), sample("z", f64::NAN)];
        let wrong = judge("q", threshold, &mixed).unwrap_err().text;
        assert_eq!(wrong, "q should be below 2, but is 3 {a=\"y\"}; NaN {a=\"z\"}");
    }
}
