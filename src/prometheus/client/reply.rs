//! The shapes of what a Prometheus server answers.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The envelope of every API reply.
#[derive(Debug, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub(super) enum Answer {
    Success {
        data: serde_json::Value,
    },
    Error {
        #[serde(rename = "errorType", default)]
        error_type: String,
        #[serde(default)]
        error: String,
    },
}

#[derive(Debug, Deserialize)]
pub(super) struct SnapshotName {
    pub(super) name: String,
}

/// Facts of the running process.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeInfo {
    /// The folder that a relative `storage.tsdb.path` starts from.
    #[serde(rename = "CWD", default)]
    pub cwd: String,
    /// The retention as it words it: `15d`, `15d or 1GiB`.
    #[serde(default)]
    pub storage_retention: String,
}

/// What was built.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BuildInfo {
    /// `2.42.0`
    pub version: String,
}

/// One element of a vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// The value; `NaN` and infinities occur.
    pub value: f64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Vector {
    result_type: String,
    result: serde_json::Value,
}

#[derive(Deserialize)]
struct Element {
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

impl Vector {
    pub(super) fn samples(self) -> Result<Vec<Sample>, String> {
        if self.result_type != "vector" {
            return Err(format!("the result is a {}, not a vector", self.result_type));
        }
        let elements: Vec<Element> =
            serde_json::from_value(self.result).map_err(|e| format!("the vector has another shape: {e}"))?;
        let sample = |element: Element| {
            let value =
                element.value.1.parse().map_err(|_| format!("{:?} is not a number", element.value.1))?;
            Ok(Sample { labels: element.metric, value })
        };
        elements.into_iter().map(sample).collect()
    }
}

/// The values of one series over a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// Seconds since 1970 and values, in their order; instants without a value are left out.
    pub values: Vec<(f64, f64)>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Matrix {
    result_type: String,
    result: serde_json::Value,
}

#[derive(Deserialize)]
struct Row {
    metric: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

impl Matrix {
    pub(super) fn series(self) -> Result<Vec<Series>, String> {
        if self.result_type != "matrix" {
            return Err(format!("the result is a {}, not a matrix", self.result_type));
        }
        let rows: Vec<Row> =
            serde_json::from_value(self.result).map_err(|e| format!("the matrix has another shape: {e}"))?;
        let value = |(at, value): (f64, String)| {
            Ok((at, value.parse().map_err(|_| format!("{value:?} is not a number"))?))
        };
        let series = |row: Row| {
            let values = row.values.into_iter().map(value).collect::<Result<_, String>>()?;
            Ok(Series { labels: row.metric, values })
        };
        rows.into_iter().map(series).collect()
    }
}

/// The text of `/metrics`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics(String);

impl Metrics {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// The sum over all series of a metric, with or without labels; nothing where there is none.
    pub fn sum(&self, name: &str) -> Option<f64> {
        let value = |line: &str| {
            let rest = line.strip_prefix(name)?;
            let rest = if rest.starts_with('{') { rest.rsplit_once('}')?.1 } else { rest };
            rest.strip_prefix(' ')?.split(' ').next()?.parse::<f64>().ok()
        };
        self.0.lines().filter_map(value).reduce(|a, b| a + b)
    }

    /// The value of a metric that has no labels.
    pub fn value(&self, name: &str) -> Option<f64> {
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.split(' ').next()?.parse().ok();
        self.0.lines().find_map(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let metrics = Metrics::new("# HELP a b\nab 1\na{x=\"1\"} 2\na 3e+09\nc 1 1700000000\n".into());
        assert_eq!(metrics.value("a"), Some(3e9));
        assert_eq!(metrics.value("c"), Some(1.0));
        assert_eq!(metrics.value("b"), None);
    }

    #[test]
    fn a_sum_is_over_all_series_of_one_name() {
        let metrics = Metrics::new("a_b 7\na{x=\"1 }\"} 2\na{x=\"2\"} 3\n".into());
        assert_eq!((metrics.sum("a"), metrics.sum("z")), (Some(5.0), None));
    }

    #[test]
    fn a_vector_keeps_labels_and_values_that_are_no_numbers() {
        let json = r#"{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1.5,"NaN"]},
                       {"metric":{},"value":[1.5,"+Inf"]}]}"#;
        let samples = serde_json::from_str::<Vector>(json).unwrap().samples().unwrap();
        assert_eq!(samples[0].labels["a"], "b");
        assert!(samples[0].value.is_nan());
        assert!(samples[1].value.is_infinite());
    }

    #[test]
    fn a_scalar_is_not_a_vector() {
        let vector: Vector = serde_json::from_str(r#"{"resultType":"scalar","result":[1,"2"]}"#).unwrap();
        assert!(vector.samples().unwrap_err().contains("scalar"));
    }
}
