//! The rules of a Prometheus are loaded, and none of them fails.
//!
//! A rule that was not evaluated yet says nothing: until its group's first turn, up to `evaluation_interval` after a
//! start, it is asked again while there is patience.

use tokio::time::Instant;

use super::{PAUSE, Terms, Verdict, Wrong, named};
use crate::prometheus::client::{PrometheusClient, Rule};
use crate::words;

/// Reads the list of rules.
#[derive(Debug, Clone)]
pub struct RulesCheck {
    /// The server.
    pub client: PrometheusClient,
    /// So many at the least.
    pub at_least: usize,
}

impl RulesCheck {
    pub(super) async fn look(&self, terms: Terms) -> Verdict {
        loop {
            let read = self.client.rules().await;
            let rules = read.map_err(|error| Wrong::of(&error, error.hint()))?;
            let undecided = rules.len() < self.at_least || rules.iter().any(is_unknown);
            if !undecided || Instant::now() + PAUSE > terms.patience {
                return judge(&rules, self.at_least);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn is_unknown(rule: &Rule) -> bool {
    rule.health != "ok" && rule.health != "err"
}

fn judge(rules: &[Rule], at_least: usize) -> Verdict {
    let count = words::count(rules.len(), "rule");
    if rules.len() < at_least {
        let text = format!("{count} loaded, but there should be {at_least} at the least");
        return Err(Wrong::new(text)
            .hint("rule_files in prometheus.yml; a pattern that matches nothing is no error there"));
    }
    let failing = rules.iter().filter(|rule| rule.health == "err");
    let failing: Vec<String> = failing.map(|rule| format!("{}: {}", rule.name, rule.last_error)).collect();
    if !failing.is_empty() {
        return Err(Wrong::new(format!("{} of {count} failing: {}", failing.len(), named(failing))));
    }
    match rules.iter().filter(|rule| is_unknown(rule)).count() {
        0 => Ok(format!("{count} loaded, all healthy")),
        new => Err(Wrong::new(format!("{new} of {count} not evaluated yet")).hint(
            "just started, or a long evaluation_interval? `run-now JOB --wait 90s` waits for the first turn",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(health: &str) -> Rule {
        let (name, last_error) = (format!("Is{health}"), "many-to-many".into());
        Rule { name, health: health.into(), last_error, ..Rule::default() }
    }

    #[test]
    fn an_empty_list_is_wrong_and_a_failing_rule_is_named() {
        assert!(judge(&[], 1).unwrap_err().text.starts_with("0 rules loaded"));
        assert_eq!(judge(&[rule("ok")], 1).unwrap(), "1 rule loaded, all healthy");
        let new = judge(&[rule("ok"), rule("unknown")], 1).unwrap_err();
        assert_eq!(new.text, "1 of 2 rules not evaluated yet");
        assert!(new.hint.unwrap().contains("--wait"));
        let wrong = judge(&[rule("ok"), rule("err")], 1).unwrap_err();
        assert_eq!(wrong.text, "1 of 2 rules failing: Iserr: many-to-many");
    }
}
