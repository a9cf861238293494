//! Probes as PromQL: what to ask, and what to expect.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::prometheus::block::Probe;

/// Counts the probe's samples, and nothing before or after them.
///
/// The window is one millisecond longer than the samples' span, because a range is open at its left end from
/// Prometheus 3 on and closed before; a sample exactly one millisecond earlier does not occur in a scraped series.
pub(in crate::prometheus) fn expression(probe: &Probe) -> String {
    let window = probe.last.saturating_sub(probe.first).saturating_add(1).max(1);
    let (sign, last) = (if probe.last < 0 { "-" } else { "" }, probe.last.unsigned_abs());
    format!(
        "count_over_time({}[{window}ms] @ {sign}{}.{:03})",
        selector(&probe.labels),
        last / 1000,
        last % 1000
    )
}

/// Matches the series with exactly these labels, and those that have more. The name is quoted like every other
/// value: before Prometheus 3 a name outside `[a-zA-Z_:]…` cannot stand before the brace.
pub(super) fn selector(labels: &BTreeMap<String, String>) -> String {
    let mut text = String::from("{");
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        if is_plain(name) {
            text.push_str(name);
        } else {
            quote(name, &mut text);
        }
        text.push('=');
        quote(value, &mut text);
    }
    text.push('}');
    text
}

/// A label name of before Prometheus 3. Others are quoted, which only Prometheus 3 understands and only it stores.
fn is_plain(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A PromQL string. Go's escapes: `\u00XX` for what is not to be seen.
fn quote(value: &str, text: &mut String) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push('"');
}

/// The series for a person: `up{instance="a:1",job="b"}`.
pub(super) fn shown(labels: &BTreeMap<String, String>) -> String {
    let mut rest = labels.clone();
    let name = rest.remove("__name__").unwrap_or_default();
    if rest.is_empty() && !name.is_empty() { name } else { format!("{name}{}", selector(&rest)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_probe_asks_for_exactly_its_span() {
        let probe = Probe {
            labels: labels(&[("__name__", "up"), ("job", "a\"b\\c\nd")]),
            first: 1_700_000_000_000,
            last: 1_700_000_060_005,
            samples: 5,
        };
        let expected = r#"count_over_time({__name__="up",job="a\"b\\c\nd"}[60006ms] @ 1700000060.005)"#;
        assert_eq!(expression(&probe), expected);
    }

    #[test]
    fn a_single_sample_and_times_before_1970_have_a_window_too() {
        let probe = |first, last| Probe { labels: labels(&[("__name__", "up")]), first, last, samples: 1 };
        assert!(expression(&probe(5, 5)).ends_with("[1ms] @ 0.005)"));
        assert!(expression(&probe(-1500, -1001)).ends_with("[500ms] @ -1.001)"));
    }

    #[test]
    fn a_series_is_shown_as_people_write_it() {
        assert_eq!(shown(&labels(&[("__name__", "up"), ("job", "x")])), "up{job=\"x\"}");
        assert_eq!(shown(&labels(&[("__name__", "up")])), "up");
        assert_eq!(shown(&labels(&[("a.b", "x")])), "{\"a.b\"=\"x\"}");
    }

    /// Reads a quoted string back as Go does.
    fn unquote(quoted: &str) -> String {
        let inner = quoted.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
        let (mut text, mut chars) = (String::new(), inner.chars());
        while let Some(c) = chars.next() {
            assert!(c != '"' && c != '\n', "{quoted} breaks out of its quotes");
            if c != '\\' {
                text.push(c);
                continue;
            }
            match chars.next().unwrap() {
                'n' => text.push('\n'),
                'r' => text.push('\r'),
                't' => text.push('\t'),
                'u' => {
                    let hex: String = chars.by_ref().take(4).collect();
                    text.push(char::from_u32(u32::from_str_radix(&hex, 16).unwrap()).unwrap());
                }
                escaped => text.push(escaped),
            }
        }
        text
    }

    proptest! {
        #[test]
        fn whatever_a_label_holds_it_stays_inside_its_quotes(value in any::<String>()) {
            let mut quoted = String::new();
            quote(&value, &mut quoted);
            prop_assert_eq!(unquote(&quoted), value);
        }
    }
}
