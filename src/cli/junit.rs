//! Runs as JUnit XML, which most build servers show: a suite per run, a case per check.

use std::fmt::Write as _;

use crate::history::RunReport;
use crate::jobs::{CheckResult, Outcome};

/// The document.
pub(super) fn document(reports: &[RunReport]) -> String {
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n".to_owned();
    for report in reports {
        suite(&mut text, report);
    }
    text + "</testsuites>\n"
}

fn suite(text: &mut String, report: &RunReport) {
    let cases = cases(report);
    let failed = cases.iter().filter(|case| !case.passed).count();
    let (name, count, time) =
        (escape(report.job.as_str()), cases.len(), seconds(report.millis().unwrap_or(0)));
    let started = report.started;
    let _ = writeln!(
        text,
        "  <testsuite name=\"{name}\" tests=\"{count}\" failures=\"{failed}\" time=\"{time}\" timestamp=\"{started}\">"
    );
    for case in &cases {
        let (class, name, time) = (escape(report.job.as_str()), escape(&case.name), seconds(case.millis));
        let _ = write!(text, "    <testcase classname=\"{class}\" name=\"{name}\" time=\"{time}\">");
        if case.passed {
            let _ = write!(text, "<system-out>{}</system-out>", escape(&case.text));
        } else {
            let hint = case.hint.as_deref().map(escape).unwrap_or_default();
            let _ = write!(text, "<failure message=\"{}\">{hint}</failure>", escape(&case.text));
        }
        text.push_str("</testcase>\n");
    }
    text.push_str("  </testsuite>\n");
}

/// The checks of a run; a run that did not get so far, or of another kind, is one case.
fn cases(report: &RunReport) -> Vec<CheckResult> {
    let checks = report.output.as_ref().map(|output| output.checks.clone()).unwrap_or_default();
    if !checks.is_empty() {
        return checks;
    }
    let summary = report.output.as_ref().map(|output| output.summary.clone());
    vec![CheckResult {
        name: report.kind.clone(),
        passed: matches!(report.outcome, Some(Outcome::Done | Outcome::Warned)),
        text: report.reason.clone().or(summary).unwrap_or_default(),
        hint: report.hint.clone(),
        millis: report.millis().unwrap_or(0),
    }]
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

/// XML has no way to write most control characters.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' => escaped.push('\t'),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Cause, NewRun};
    use crate::jobs::JobOutput;

    #[test]
    fn a_failed_check_is_a_failure_and_what_it_says_is_escaped() {
        let mut report = RunReport::begun(&NewRun {
            run: ulid::Ulid::from_parts(1, 2),
            job: "verify".parse().unwrap(),
            kind: "verify-deployment".into(),
            cause: Cause::Manual,
            started: "2026-11-24T01:00:01Z".parse().unwrap(),
        });
        let check = |name: &str, passed, text: &str| CheckResult {
            name: name.into(),
            passed,
            text: text.into(),
            hint: (!passed).then(|| "do <it>".into()),
            millis: 1234,
        };
        let checks = vec![check("a", true, "fine"), check("b & c", false, "\"x\" < 1\u{1b}")];
        report.output = Some(JobOutput { checks, ..JobOutput::default() });
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuites>
  <testsuite name=\"verify\" tests=\"2\" failures=\"1\" time=\"0.000\" timestamp=\"2026-11-24T01:00:01Z\">
    <testcase classname=\"verify\" name=\"a\" time=\"1.234\"><system-out>fine</system-out></testcase>
    <testcase classname=\"verify\" name=\"b &amp; c\" time=\"1.234\"><failure message=\"&quot;x&quot; &lt; 1\u{fffd}\">do &lt;it&gt;</failure></testcase>
  </testsuite>
</testsuites>
";
        assert_eq!(document(&[report]), expected);
    }
}
