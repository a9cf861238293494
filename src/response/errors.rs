//! The errors in a log of JSON lines, counted by type and by message; lines that are no JSON are counted too.

use std::collections::HashMap;

use super::lines::{first, fits, object};
use super::seen::Seen;
use super::{Context, Severity, Unable};
use crate::config::response::{ErrorsStep, Matcher, Step};
use crate::docker::LogLines;
use crate::words;

/// So many types and messages are shown.
const SHOWN: usize = 5;
/// So many characters of a message tell it from others.
const TELLING: usize = 400;

pub(super) async fn look(errors: &ErrorsStep, step: &Step, context: &Context) -> Result<Seen, Unable> {
    let (docker, name) = context.needs_container(step)?;
    let since = context.since((context.clock)());
    let log = docker.log(name, errors.lines, Some(since)).await?;
    let counted = count(&log.lines, errors);
    let mut seen = Seen::default();
    tell(&counted, errors, &words::duration(context.last), &mut seen);
    incomplete(&log, errors, &mut seen);
    if counted.errors > 0 {
        let text =
            format!("read the errors themselves: `docker logs --since {}s {name}`", context.last.as_secs());
        seen.recommend(Severity::Caution, text);
    }
    Ok(seen)
}

/// What was counted in some lines.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counted {
    lines: usize,
    errors: usize,
    /// How often each occurs, the most frequent first.
    types: Vec<(String, usize)>,
    messages: Vec<(String, usize)>,
    /// Lines that are no JSON.
    plain: usize,
    /// Those of them that speak of an error.
    plain_errors: usize,
    last_plain_error: Option<String>,
}

fn count(lines: &[String], errors: &ErrorsStep) -> Counted {
    let (mut types, mut messages) = (HashMap::new(), HashMap::new());
    let mut counted = Counted { lines: lines.len(), ..Counted::default() };
    for line in lines {
        let Some(object) = object(line) else {
            counted.plain += 1;
            if speaks_of_an_error(line) {
                counted.plain_errors += 1;
                counted.last_plain_error = Some(line.clone());
            }
            continue;
        };
        let level = first(&object, &["level", "levelname", "severity"]).unwrap_or_default();
        if !level.eq_ignore_ascii_case(&errors.level) || !fits(&object, &errors.matchers) {
            continue;
        }
        counted.errors += 1;
        let kind = first(&object, &["error_type"]).unwrap_or_else(|| "no error_type".to_owned());
        let message = first(&object, &["message", "msg", "event"]).unwrap_or_else(|| "no message".to_owned());
        *types.entry(kind).or_default() += 1;
        *messages.entry(message.chars().take(TELLING).collect()).or_default() += 1;
    }
    counted.types = ordered(types);
    counted.messages = ordered(messages);
    counted
}

/// As `grep -i error` finds them.
fn speaks_of_an_error(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    ["error", "exception", "traceback", "panic", "fatal"].iter().any(|word| line.contains(word))
}

fn ordered(counts: HashMap<String, usize>) -> Vec<(String, usize)> {
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by(|one, two| two.1.cmp(&one.1).then_with(|| one.0.cmp(&two.0)));
    counts
}

fn tell(counted: &Counted, errors: &ErrorsStep, last: &str, seen: &mut Seen) {
    let Counted { lines, types, messages, plain, plain_errors, .. } = counted;
    let about = of(&errors.matchers);
    if counted.errors > 0 {
        let kinds: Vec<String> = types.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let number = words::count(counted.errors, "error");
        seen.caution(format!("{number}{about} in the last {last}: {}", words::some(&kinds, SHOWN)));
    } else if *lines > *plain {
        let read = words::count(*lines, "line");
        seen.good(format!("no errors{about} in the log of the last {last} ({read})"));
    }
    seen.evidence.extend(messages.iter().take(SHOWN).map(|(message, count)| format!("{count} × {message}")));
    if messages.len() > SHOWN {
        seen.evidence(format!("and {} other messages", messages.len() - SHOWN));
    }
    // They are looked at once, and not by each step that is about something.
    if !errors.matchers.is_empty() {
        return;
    }
    if *lines == 0 {
        seen.evidence(format!("the log has no lines of the last {last}"));
    }
    if *plain > 0 {
        seen.evidence(format!("{} of {lines} lines are no JSON", words::grouped(*plain as u64)));
    }
    if *plain_errors > 0 {
        seen.caution(format!(
            "{} of the last {last} in plain text speak of an error",
            words::count(*plain_errors, "line")
        ));
        seen.evidence.extend(counted.last_plain_error.iter().map(|line| format!("the last of them: {line}")));
    }
}

/// ` with event="session_end"`
fn of(matchers: &[Matcher]) -> String {
    let all: Vec<String> = matchers.iter().map(Matcher::to_string).collect();
    if all.is_empty() { String::new() } else { format!(" with {}", all.join(", ")) }
}

fn incomplete(log: &LogLines, errors: &ErrorsStep, seen: &mut Seen) {
    if log.is_cut {
        seen.evidence("the log is longer than what is read at once: its newest lines are not counted");
    } else if log.lines.len() >= usize::try_from(errors.lines).unwrap_or(usize::MAX) {
        let read = words::grouped(u64::from(errors.lines));
        seen.evidence(format!("only the last {read} lines were read: \"lines\" of the step says how many"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(matchers: Vec<Matcher>) -> ErrorsStep {
        ErrorsStep { level: "ERROR".to_owned(), matchers, lines: 100 }
    }

    fn lines() -> Vec<String> {
        let lines = [
            r#"{"level":"ERROR","error_type":"DatabaseError","message":"locked","event":"session_end"}"#,
            r#"{"level":"error","error_type":"DatabaseError","message":"locked"}"#,
            r#"{"level":"ERROR","error_type":"Timeout","message":"slow"}"#,
            r#"{"level":"ERROR","msg":17}"#,
            r#"{"level":"INFO","message":"an ERROR in words"}"#,
            r#"{"level":"ERROR","message":"cut"#,
            "Traceback (most recent call last):",
            "listening",
            r#"["level","ERROR"]"#,
        ];
        lines.map(str::to_owned).to_vec()
    }

    #[test]
    fn errors_are_counted_by_type_and_by_message_the_most_frequent_first() {
        let counted = count(&lines(), &errors(Vec::new()));
        let pairs = |all: &[(&str, usize)]| {
            all.iter().map(|(text, count)| ((*text).to_owned(), *count)).collect::<Vec<_>>()
        };
        assert_eq!((counted.lines, counted.errors, counted.plain), (9, 4, 4));
        assert_eq!(counted.types, pairs(&[("DatabaseError", 2), ("Timeout", 1), ("no error_type", 1)]));
        assert_eq!(counted.messages, pairs(&[("locked", 2), ("17", 1), ("slow", 1)]));
        // The line that is cut, the traceback, and the array, which is none of our objects.
        assert_eq!(counted.plain_errors, 3);
    }

    #[test]
    fn only_errors_whose_fields_are_so_are_counted() {
        let counted = count(&lines(), &errors(vec![Matcher::exact("event", "session_end")]));
        assert_eq!((counted.errors, counted.messages[0].0.as_str()), (1, "locked"));
        let mut seen = Seen::default();
        tell(&counted, &errors(vec![Matcher::exact("event", "session_end")]), "1 h", &mut seen);
        assert_eq!(
            seen.findings[0].text,
            "1 error with event=\"session_end\" in the last 1 h: 1 DatabaseError"
        );
        assert_eq!(seen.findings.len(), 1);
    }

    #[test]
    fn a_log_without_errors_is_good_and_one_without_json_says_so() {
        let told = |lines: &[&str]| {
            let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            let mut seen = Seen::default();
            tell(&count(&lines, &errors(Vec::new())), &errors(Vec::new()), "1 h", &mut seen);
            seen
        };
        let good = told(&[r#"{"level":"INFO"}"#]);
        assert_eq!(good.findings[0].severity, Severity::Good);
        let plain = told(&["all is well", "ERROR: it is not"]);
        assert_eq!(plain.findings[0].text, "1 line of the last 1 h in plain text speak of an error");
        assert_eq!(plain.evidence, ["2 of 2 lines are no JSON", "the last of them: ERROR: it is not"]);
        assert_eq!(told(&[]).evidence, ["the log has no lines of the last 1 h"]);
    }
}
