//! Metrics as text. prometheus-client is used here and nowhere else: it knows both formats, and what each calls a counter.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit};

use super::{Family, Kind, Value};

/// OpenMetrics text, for a Prometheus.
pub fn open_metrics(families: &[Family]) -> String {
    encoded(families, text::encode)
}

/// The classic text format, which is all that the textfile collector of node_exporter understands.
pub fn classic(families: &[Family]) -> String {
    encoded(families, prometheus_text::encode)
}

fn encoded(families: &[Family], encode: fn(&mut String, &Registry) -> fmt::Result) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(All(families.to_vec())));
    let mut out = String::new();
    // Nothing can go wrong where text is written into memory.
    let _ = encode(&mut out, &registry);
    out
}

#[derive(Debug)]
struct All(Vec<Family>);

impl Collector for All {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|family| encode(family, &mut encoder))
    }
}

fn encode(family: &Family, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    // The formats put the unit, and what the kind is marked by, behind the name.
    let (suffix, kind) = match family.kind {
        Kind::Gauge => ("", MetricType::Gauge),
        Kind::Counter => ("_total", MetricType::Counter),
        Kind::Info => ("_info", MetricType::Info),
    };
    let name = family.name.strip_suffix(suffix).unwrap_or(family.name);
    let (name, unit) = match (name.strip_suffix("_seconds"), name.strip_suffix("_bytes")) {
        (Some(name), _) => (name, Some(Unit::Seconds)),
        (_, Some(name)) => (name, Some(Unit::Bytes)),
        (None, None) => (name, None),
    };
    let help = format!("{}.", family.help);
    let mut metric = encoder.encode_descriptor(name, &help, unit.as_ref(), kind)?;
    for sample in &family.samples {
        if family.kind == Kind::Info {
            metric.encode_info(&sample.labels)?;
        } else if sample.labels.is_empty() {
            value(&mut metric, family.kind, sample.value)?;
        } else {
            value(&mut metric.encode_family(&sample.labels)?, family.kind, sample.value)?;
        }
    }
    Ok(())
}

fn value(metric: &mut MetricEncoder<'_>, kind: Kind, value: Value) -> fmt::Result {
    let none = None::<&Exemplar<NoLabelSet, f64>>;
    match (kind, value) {
        (Kind::Counter, Value::Count(count)) => metric.encode_counter(&count, none),
        (Kind::Counter, Value::Seconds(seconds)) => metric.encode_counter(&seconds, none),
        (_, Value::Count(count)) => metric.encode_gauge(&count),
        (_, Value::Seconds(seconds)) => metric.encode_gauge(&seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sample;
    use super::*;

    fn families() -> Vec<Family> {
        let labels = vec![("job_name", "a".to_owned()), ("target", String::new())];
        let of = |name, kind, labels, value| Family {
            name,
            help: "It is",
            kind,
            samples: vec![Sample { labels, value }],
        };
        vec![
            of("wk_build_info", Kind::Info, vec![("version", "1".to_owned())], Value::Count(1)),
            of("wk_time_seconds", Kind::Gauge, labels, Value::Seconds(1_795_680_000.25)),
            of("wk_jumps_total", Kind::Counter, Vec::new(), Value::Count(3)),
        ]
    }

    #[test]
    fn each_format_has_its_own_names_and_marks() {
        assert_eq!(
            open_metrics(&families()),
            "# HELP wk_build It is.\n# TYPE wk_build info\nwk_build_info{version=\"1\"} 1\n\
             # HELP wk_time_seconds It is.\n# TYPE wk_time_seconds gauge\n# UNIT wk_time_seconds seconds\n\
             wk_time_seconds{job_name=\"a\",target=\"\"} 1795680000.25\n\
             # HELP wk_jumps It is.\n# TYPE wk_jumps counter\nwk_jumps_total 3\n# EOF\n"
        );
        assert_eq!(
            classic(&families()),
            "# HELP wk_build_info It is.\n# TYPE wk_build_info gauge\nwk_build_info{version=\"1\"} 1\n\
             # HELP wk_time_seconds It is.\n# TYPE wk_time_seconds gauge\n\
             wk_time_seconds{job_name=\"a\",target=\"\"} 1795680000.25\n\
             # HELP wk_jumps_total It is.\n# TYPE wk_jumps_total counter\nwk_jumps_total 3\n"
        );
    }
}
