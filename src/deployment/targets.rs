//! The scrape targets of a Prometheus are up.
//!
//! For some seconds after its start the server lists no target, and then targets that it has not scraped yet:
//! neither says anything, so it is asked again while there is patience.

use tokio::time::Instant;

use super::{PAUSE, Terms, Verdict, Wrong, named};
use crate::prometheus::client::{PrometheusClient, Target};
use crate::words;

/// Reads the list of targets.
#[derive(Debug, Clone)]
pub struct TargetsCheck {
    /// The server.
    pub client: PrometheusClient,
    /// So many at the least.
    pub at_least: usize,
}

impl TargetsCheck {
    pub(super) async fn look(&self, terms: Terms) -> Verdict {
        loop {
            let read = self.client.targets().await;
            let targets = read.map_err(|error| Wrong::of(&error, error.hint()))?;
            let undecided = targets.len() < self.at_least || targets.iter().any(is_unknown);
            if !undecided || Instant::now() + PAUSE > terms.patience {
                return judge(&targets, self.at_least);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn is_unknown(target: &Target) -> bool {
    target.health != "up" && target.health != "down"
}

fn judge(targets: &[Target], at_least: usize) -> Verdict {
    let up = targets.iter().filter(|target| target.health == "up").count();
    let of_all = format!("{up} of {} up", words::count(targets.len(), "target"));
    if targets.len() < at_least {
        let wrong = Wrong::new(format!("{of_all}, but there should be {at_least} at the least"));
        return Err(wrong.hint("has Prometheus loaded its configuration, and does it find its targets?"));
    }
    let told = |target: &Target| {
        let why = match target.last_error.as_str() {
            "" => "it was not scraped yet",
            error => error,
        };
        format!("{} ({}): {why}", target.scrape_url, target.scrape_pool)
    };
    let wrong: Vec<String> = targets.iter().filter(|target| target.health != "up").map(told).collect();
    if wrong.is_empty() {
        return Ok(of_all);
    }
    let unscraped = targets.iter().any(is_unknown);
    let wrong = Wrong::new(format!("{of_all}; not up: {}", named(wrong)));
    Err(if unscraped {
        wrong.hint("just started? `run-now JOB --wait 60s` waits for the first scrapes")
    } else {
        wrong
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(health: &str, last_error: &str) -> Target {
        Target {
            scrape_url: format!("http://{health}/metrics"),
            scrape_pool: "p".into(),
            health: health.into(),
            last_error: last_error.into(),
        }
    }

    #[test]
    fn targets_that_are_not_up_are_named_with_their_last_error() {
        assert_eq!(judge(&[target("up", "")], 1).unwrap(), "1 of 1 target up");
        let wrong =
            judge(&[target("up", ""), target("down", "refused"), target("unknown", "")], 1).unwrap_err();
        let text = "1 of 3 targets up; not up: http://down/metrics (p): refused; \
                    http://unknown/metrics (p): it was not scraped yet";
        assert_eq!(wrong.text, text);
        assert!(wrong.hint.unwrap().contains("--wait"));
    }

    #[test]
    fn no_target_at_all_is_wrong_unless_none_was_asked_for() {
        assert!(judge(&[], 1).unwrap_err().text.starts_with("0 of 0 targets up"));
        assert!(judge(&[], 0).is_ok());
    }
}
