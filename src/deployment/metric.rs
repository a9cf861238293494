//! A metric is exposed, in the text format of Prometheus.

use super::http::{get, status};
use super::{Terms, Verdict, Wrong};
use crate::http::{HttpClient, looks_like_html};

/// Reads the metrics of a server.
#[derive(Debug, Clone)]
pub struct MetricCheck {
    /// The server.
    pub client: HttpClient,
    /// The path of its metrics.
    pub path: String,
    /// The metric; any where none is named.
    pub metric: Option<String>,
}

impl MetricCheck {
    pub(super) async fn look(&self, terms: Terms) -> Verdict {
        let reply = get(&self.client, &self.path, terms).await?;
        let url = self.client.url(&self.path);
        status(&url, None, &reply)?;
        if looks_like_html(&reply.body) {
            return Err(Wrong::new(format!("{url} answers with an HTML page, not with metrics"))
                .hint("is the path of its metrics right?"));
        }
        judge(&url, self.metric.as_deref(), &String::from_utf8_lossy(&reply.body))
    }
}

fn judge(url: &str, metric: Option<&str>, text: &str) -> Verdict {
    let samples = text.lines().filter(|line| sample_name(line).is_some());
    let count = match metric {
        None => samples.count(),
        Some(metric) => samples.filter(|line| sample_name(line) == Some(metric)).count(),
    };
    match (count, metric) {
        (0, None) => Err(Wrong::new(format!("{url} shows no metrics"))),
        (0, Some(metric)) => Err(Wrong::new(format!("{url} does not have {metric}"))),
        (count, None) => Ok(format!("{count} series")),
        (count, Some(metric)) => Ok(format!("{count} series of {metric}")),
    }
}

/// The metric of a line that is a sample, and no comment or anything else: it ends in a value.
fn sample_name(line: &str) -> Option<&str> {
    let end = line.find(['{', ' ']).filter(|end| *end > 0 && !line.starts_with('#'))?;
    let rest = if line[end..].starts_with('{') { line.rsplit_once('}')?.1 } else { &line[end..] };
    rest.split_whitespace().next()?.parse::<f64>().ok()?;
    Some(&line[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "# HELP a_total a\n# TYPE a_total counter\na_total{x=\"1 }\"} 2\na_total{x=\"2\"} 3\nb_a_total 1\n";

    #[test]
    fn a_metric_is_found_by_its_whole_name_and_not_in_a_comment() {
        assert_eq!(judge("u", Some("a_total"), TEXT).unwrap(), "2 series of a_total");
        assert_eq!(judge("u", None, TEXT).unwrap(), "3 series");
        assert_eq!(judge("u", Some("total"), TEXT).unwrap_err().text, "u does not have total");
        let only_help = "# HELP a_total a\n# TYPE a_total counter\n";
        assert!(judge("u", Some("a_total"), only_help).is_err());
        assert!(judge("u", None, "it works, really\n").is_err());
    }
}
