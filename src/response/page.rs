//! A diagnosis as one page: what was found, the worst first; then what by; what to do; and what would be done.

use std::fmt::Write as _;

use jiff::tz::TimeZone;

use super::{Diagnosis, Severity, StepResult};
use crate::words;

/// Of a step so many lines are shown; JSON has all.
const LINES: usize = 16;

/// The page, with times in a zone. It ends in a line end, and is made of lines that act on no terminal.
pub fn page(diagnosis: &Diagnosis, zone: &TimeZone) -> String {
    let Diagnosis { alert, target, began, took, .. } = diagnosis;
    let verdict = match diagnosis.severity() {
        Severity::Good => "nothing is wrong that was looked at",
        Severity::Caution => "something needs a look",
        Severity::Bad => "something is wrong",
    };
    let (began, took) = (words::time(*began, zone), words::duration(*took));
    let mut page = format!("{alert} ({target}): {verdict}\nlooked at {began}, for {took}\n");
    findings(diagnosis, &mut page);
    evidence(diagnosis, &mut page);
    list("What to do", &diagnosis.recommends, &mut page);
    let jobs: Vec<String> = diagnosis.would_do.iter().map(|job| format!("run the job {job}")).collect();
    list("What the response allows to be done by itself", &jobs, &mut page);
    page
}

fn findings(diagnosis: &Diagnosis, page: &mut String) {
    let mut rows: Vec<(Severity, String)> = Vec::new();
    for step in &diagnosis.steps {
        rows.extend(step.findings.iter().map(|finding| (finding.severity, finding.text.clone())));
        let error = step.error.as_ref().map(|error| format!("{} was not looked at: {error}", step.name));
        rows.extend(error.map(|error| (Severity::Caution, error)));
    }
    rows.sort_by_key(|(severity, _)| std::cmp::Reverse(*severity));
    page.push('\n');
    for (severity, text) in rows {
        let mark = match severity {
            Severity::Good => "ok     ",
            Severity::Caution => "CAUTION",
            Severity::Bad => "BAD    ",
        };
        let _ = writeln!(page, "  {mark}  {text}");
    }
}

fn evidence(diagnosis: &Diagnosis, page: &mut String) {
    let steps: Vec<&StepResult> = diagnosis.steps.iter().filter(|step| !step.evidence.is_empty()).collect();
    if steps.is_empty() {
        return;
    }
    page.push_str("\nWhat this was found by\n");
    for step in steps {
        let _ = writeln!(page, "  {} ({})", step.name, words::duration(step.took));
        for line in step.evidence.iter().take(LINES) {
            let _ = writeln!(page, "      {line}");
        }
        if step.evidence.len() > LINES {
            let _ = writeln!(page, "      and {} more lines, with --json", step.evidence.len() - LINES);
        }
    }
}

fn list(title: &str, lines: &[String], page: &mut String) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(page, "\n{title}");
    for (at, line) in lines.iter().enumerate() {
        let _ = writeln!(page, "  {}. {line}", at + 1);
    }
}
