//! Which steps of an escalation are due: pure.
//!
//! A step is told once of an incident. One that is about an alert which comes again and again is told once for all its
//! incidents within the while that it names: what was told is not counted again.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Incident;
use crate::config::escalation::{Escalation, When};

/// An incident, and what was told of its alert.
#[derive(Debug, Clone, Copy)]
pub struct Watched<'a> {
    /// The incident.
    pub incident: &'a Incident,
    /// The steps that were told of it, by [`Escalation::key`].
    pub told: &'a [String],
    /// When incidents of the same alert were opened, this one among them; those that some step counts.
    pub openings: &'a [Timestamp],
    /// When a step was last told of any of them.
    pub last: &'a BTreeMap<String, Timestamp>,
}

impl Watched<'_> {
    /// The steps that are due now.
    pub fn due(self, rules: &[Escalation], now: Timestamp) -> Vec<&Escalation> {
        rules.iter().filter(|rule| self.due_at(rule, now).is_some_and(|due| due <= now)).collect()
    }

    /// When the next step will be due by itself.
    pub fn next(self, rules: &[Escalation], now: Timestamp) -> Option<Timestamp> {
        rules.iter().filter_map(|rule| self.due_at(rule, now)).filter(|due| *due > now).min()
    }

    /// When a step is due; nothing where it was told, is about others, or will not be due by itself.
    fn due_at(self, rule: &Escalation, now: Timestamp) -> Option<Timestamp> {
        let incident = self.incident;
        let key = rule.key();
        if !rule.is_for(&incident.alert, incident.severity.as_deref()) || self.told.contains(&key) {
            return None;
        }
        match rule.when {
            When::After(length) => {
                let due = incident.since().checked_add(signed(length)).ok();
                due.filter(|_| incident.is_open())
            }
            When::Repeated { times, within } => {
                let told = self.last.get(&key).copied().unwrap_or(Timestamp::MIN);
                let from = now.checked_sub(signed(within)).unwrap_or(Timestamp::MIN);
                let counted = self.openings.iter().filter(|opened| **opened > from && **opened > told);
                let is_newest = self.openings.iter().max() == Some(&incident.opened);
                let is_too_often = counted.count() > times.get() as usize;
                (is_newest && is_too_often).then_some(now)
            }
        }
    }
}

/// For how long openings of an alert are counted by any of these.
pub fn longest(rules: &[Escalation]) -> Duration {
    let within = rules.iter().map(|rule| match rule.when {
        When::Repeated { within, .. } => within,
        When::After(_) => Duration::ZERO,
    });
    within.max().unwrap_or_default()
}

fn signed(length: Duration) -> SignedDuration {
    SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use tokio::time::Instant;

    use super::*;
    use crate::incident::{Labels, Number, Response};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn incident(alert: &str, severity: &str, opened: i64) -> Incident {
        Incident {
            number: Number::new(1).unwrap(),
            fingerprint: "ab".into(),
            alert: alert.into(),
            severity: Some(severity.into()),
            labels: Labels::new(),
            annotations: Labels::new(),
            began: at(opened),
            opened: at(opened),
            last_notice: at(opened),
            notices: 1,
            ended: None,
            closed: None,
            ending: None,
            response: Response::None,
        }
    }

    fn rule(alert: Option<&str>, severity: Option<&str>, when: When) -> Escalation {
        Escalation {
            alert: alert.map(str::to_owned),
            severity: severity.map(str::to_owned),
            when,
            to: vec!["ops".parse().unwrap()],
            contact: "On-call Engineer".into(),
            need: "a look".into(),
            impact: None,
        }
    }

    fn minutes(minutes: u64) -> When {
        When::After(Duration::from_mins(minutes))
    }

    /// Those of the runbook.
    fn table() -> Vec<Escalation> {
        let times = NonZeroU32::new(5).unwrap();
        vec![
            rule(Some("ServiceDown"), None, minutes(15)),
            rule(None, Some("critical"), minutes(30)),
            rule(None, None, When::Repeated { times, within: Duration::from_hours(1) }),
        ]
    }

    /// Sleeps from one step to the next as who watches does, for two hours, and gives the minutes at which each was told.
    async fn told(incident: Incident, closes: Option<i64>) -> Vec<(u64, String)> {
        let (rules, start) = (table(), Instant::now());
        let now = || at(0) + SignedDuration::try_from(start.elapsed()).unwrap();
        let (mut incident, mut told, last, mut all) = (incident, Vec::new(), BTreeMap::new(), Vec::new());
        while start.elapsed() < Duration::from_hours(2) {
            if closes.is_some_and(|closes| at(closes) <= now()) {
                incident.closed = Some(now());
            }
            let openings = [incident.opened];
            let watched = Watched { incident: &incident, told: &told, openings: &openings, last: &last };
            let due: Vec<String> = watched.due(&rules, now()).into_iter().map(Escalation::key).collect();
            let next = watched.next(&rules, now());
            all.extend(due.iter().map(|key| (start.elapsed().as_secs() / 60, key.clone())));
            told.extend(due);
            let closes = closes.map(at).filter(|closes| *closes > now());
            let wait =
                next.into_iter().chain(closes).min().map(|next| next.duration_since(now()).unsigned_abs());
            tokio::time::sleep(wait.unwrap_or(Duration::from_hours(2))).await;
        }
        all
    }

    #[tokio::test(start_paused = true)]
    async fn each_step_is_told_once_when_its_time_has_come_and_not_before() {
        let rules = table();
        let down = told(incident("ServiceDown", "critical", 0), None).await;
        assert_eq!(down, [(15, rules[0].key()), (30, rules[1].key())]);
        let slow = told(incident("Slow", "critical", 0), None).await;
        assert_eq!(slow, [(30, rules[1].key())]);
        assert_eq!(told(incident("Slow", "warning", 0), None).await, []);
    }

    #[tokio::test(start_paused = true)]
    async fn of_an_incident_that_is_closed_nobody_is_told_any_more() {
        let down = told(incident("ServiceDown", "critical", 0), Some(20 * 60)).await;
        assert_eq!(down, [(15, table()[0].key())]);
        assert_eq!(told(incident("ServiceDown", "critical", 0), Some(14 * 60)).await, []);
    }

    #[tokio::test(start_paused = true)]
    async fn an_alert_that_fired_before_anybody_was_told_of_it_is_counted_from_its_beginning() {
        let early = Incident { began: at(-20 * 60), ..incident("ServiceDown", "critical", 0) };
        let rules = table();
        assert_eq!(told(early, None).await, [(0, rules[0].key()), (10, rules[1].key())]);
        // Its clock is wrong.
        let ahead = Incident { began: at(3600), ..incident("ServiceDown", "warning", 0) };
        assert_eq!(told(ahead, None).await, [(15, rules[0].key())]);
    }

    #[test]
    fn an_alert_that_comes_again_and_again_is_told_at_the_sixth_time_within_the_hour_and_then_counted_anew() {
        let rules = &table()[2..];
        let (mut last, mut openings, mut told) = (BTreeMap::new(), Vec::new(), Vec::new());
        for nth in 0..14 {
            let opened = nth * 240;
            openings.push(at(opened));
            // It is over when it is looked.
            let incident = Incident { closed: Some(at(opened + 1)), ..incident("Flaps", "warning", opened) };
            let watched = Watched { incident: &incident, told: &[], openings: &openings, last: &last };
            let now = at(opened + 2);
            if !watched.due(rules, now).is_empty() {
                told.push(nth + 1);
                last.insert(rules[0].key(), now);
            }
        }
        assert_eq!(told, [6, 12]);
        // Each 11 minutes are not six within the hour.
        let openings: Vec<Timestamp> = (0..20).map(|nth| at(nth * 720)).collect();
        let last_one = incident("Slowly", "warning", 19 * 720);
        let watched = Watched { incident: &last_one, told: &[], openings: &openings, last: &BTreeMap::new() };
        assert!(watched.due(rules, at(19 * 720 + 1)).is_empty());
        // One that is not the newest tells nothing for it.
        let openings: Vec<Timestamp> = (0..7).map(at).collect();
        let earlier = incident("Flaps", "warning", 3);
        let watched = Watched { incident: &earlier, told: &[], openings: &openings, last: &BTreeMap::new() };
        assert!(watched.due(rules, at(8)).is_empty());
    }
}
