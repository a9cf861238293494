//! The last lines of a log, or one field of those that are about something.

use super::lines::{fits, object, text};
use super::seen::Seen;
use super::{Context, Unable};
use crate::config::response::{LogsStep, Step};

/// So many lines are searched for those that are about something.
const SEARCHED: u32 = 10_000;

pub(super) async fn look(logs: &LogsStep, step: &Step, context: &Context) -> Result<Seen, Unable> {
    let (docker, name) = context.needs_container(step)?;
    let is_chosen = !logs.matchers.is_empty() || logs.field.is_some();
    let wanted = if is_chosen { SEARCHED } else { logs.lines };
    let log = docker.log(name, wanted, None).await?;
    let chosen: Vec<String> =
        if is_chosen { log.lines.iter().filter_map(|line| choose(line, logs)).collect() } else { log.lines };
    let most = usize::try_from(logs.lines).unwrap_or(usize::MAX);
    let shown = &chosen[chosen.len().saturating_sub(most)..];
    let mut seen = Seen::default();
    if shown.is_empty() {
        let of = if is_chosen {
            format!("none of the last {SEARCHED} lines is about this")
        } else {
            "no lines".to_owned()
        };
        seen.evidence(of);
    }
    if let Some(summary) = logs.field.as_ref().and_then(|field| numbers(field, shown)) {
        seen.evidence(summary);
    }
    seen.evidence.extend(shown.iter().cloned());
    Ok(seen)
}

/// What of a line is shown; nothing where it is not about what is asked for.
fn choose(line: &str, logs: &LogsStep) -> Option<String> {
    let object = object(line)?;
    if !fits(&object, &logs.matchers) {
        return None;
    }
    match &logs.field {
        Some(field) => object.get(field).map(text),
        None => Some(line.to_owned()),
    }
}

/// The smallest, the middle one and the largest, where all of them are numbers.
fn numbers(field: &str, shown: &[String]) -> Option<String> {
    let mut numbers: Vec<f64> = shown.iter().map(|text| text.parse().ok()).collect::<Option<_>>()?;
    numbers.sort_by(f64::total_cmp);
    let (first, last) = (numbers.first()?, numbers.last()?);
    let middle = numbers[numbers.len() / 2];
    Some(format!("{field} of the last {}: {first} to {last}, the middle one {middle}", numbers.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::response::Matcher;

    #[test]
    fn of_lines_that_are_about_something_one_field_is_shown() {
        let logs = LogsStep {
            lines: 10,
            matchers: vec![Matcher::exact("event", "done")],
            field: Some("seconds".to_owned()),
        };
        assert_eq!(choose(r#"{"event":"done","seconds":1.5}"#, &logs).unwrap(), "1.5");
        for other in [r#"{"event":"begun","seconds":1.5}"#, r#"{"event":"done"}"#, "event=done", "{broken"] {
            assert_eq!(choose(other, &logs), None, "{other}");
        }
        let shown = ["1.5", "40", "2"].map(str::to_owned);
        assert_eq!(numbers("seconds", &shown).unwrap(), "seconds of the last 3: 1.5 to 40, the middle one 2");
        assert_eq!(numbers("seconds", &["x".to_owned()]), None);
    }
}
