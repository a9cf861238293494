//! In which format the metrics are wanted.

/// A format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics text.
    OpenMetrics,
    /// The classic text format.
    Classic,
}

impl Format {
    /// What is wanted by the values of `Accept`. Who does not ask for OpenMetrics may not know it.
    pub(super) fn accepted<'a>(values: impl Iterator<Item = &'a str>) -> Self {
        let mut best = [0, 0];
        for part in values.flat_map(|value| value.split(',')) {
            let (open, weight) = match part.split(';').next().unwrap_or_default().trim() {
                "application/openmetrics-text" => (true, weight(part)),
                "text/plain" | "text/*" => (false, weight(part)),
                _ => continue,
            };
            let best = &mut best[usize::from(open)];
            *best = weight.max(*best);
        }
        let [classic, open] = best;
        if open > 0 && open >= classic { Self::OpenMetrics } else { Self::Classic }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Its `q`, in thousandths.
fn weight(part: &str) -> u32 {
    let q = part.split(';').skip(1).find_map(|parameter| parameter.trim().strip_prefix("q="));
    let Some(q) = q else { return 1_000 };
    let Some(q) = q.trim().parse::<f64>().ok().filter(|q| (0.0..=1.0).contains(q)) else { return 0 };
    (0..=1_000).rev().find(|thousandths| f64::from(*thousandths) / 1_000.0 <= q).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let of = |value: &str| Format::accepted([value].into_iter());
        for open in [
            prometheus,
            "application/openmetrics-text",
            "text/plain;q=0.5, application/openmetrics-text; q=0.9",
        ] {
            assert_eq!(of(open), Format::OpenMetrics, "{open}");
        }
        let refused = "application/openmetrics-text;q=0";
        let less = "application/openmetrics-text;q=0.2,text/plain;q=0.5";
        for classic in [
            "",
            "*/*",
            "text/plain",
            "text/html,*/*;q=0.8",
            less,
            refused,
            "application/openmetrics-text;q=x",
        ] {
            assert_eq!(of(classic), Format::Classic, "{classic}");
        }
        assert_eq!(Format::accepted(std::iter::empty()), Format::Classic);
    }
}
