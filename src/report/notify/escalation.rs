//! What somebody is told of an incident that lasts: the template of a runbook, filled in.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Notice;
use super::plan::Say;
use super::wording::Ground;
use crate::config::escalation::{Escalation, When};
use crate::config::notify::Event;
use crate::config::values::JobName;
use crate::incident::{Entry, EntryKind, Incident, Number};
use crate::words;

/// The kind of these messages, which are of no job.
const KIND: &str = "escalation";
/// So many of the newest actions are told.
const ACTIONS: usize = 20;
/// So many others are named.
const OTHERS: usize = 20;
/// Characters of an action, and of what comes from the alert.
const LONGEST: usize = 300;
/// A first line is not longer than this.
const LONGEST_LINE: usize = 300;

/// What a step is told of.
#[derive(Debug, Clone, Copy)]
pub struct Escalated<'a> {
    /// The incident.
    pub incident: &'a Incident,
    /// Its timeline.
    pub timeline: &'a [Entry],
    /// Others of the same alert that are told in the same message.
    pub others: &'a [Number],
}

/// Words a step of the escalation. `about`: by what the message is known until it is delivered.
pub fn escalation(step: &Escalation, subject: Escalated<'_>, about: JobName, ground: Ground<'_>) -> Notice {
    let (now, incident) = (ground.now, subject.incident);
    let more = match subject.others.len() {
        0 => String::new(),
        others => format!(" and {} more", words::grouped(others as u64)),
    };
    let event = if incident.severity.as_deref() == Some(Event::Failed.severity()) {
        Event::Failed
    } else {
        Event::Warned
    };
    let headline = format!(
        "ESCALATION {} {} on {}: {}; for: {} (incident {}{more})",
        severity(incident),
        one_line(&incident.alert),
        ground.host,
        why(step, incident, now),
        step.contact,
        incident.number
    );
    Notice {
        say: Say::Escalated(event),
        job: about,
        kind: KIND.to_owned(),
        target: Some(one_line(&incident.alert)),
        host: ground.host.to_owned(),
        run: None,
        reason: incident.summary().map(one_line),
        since: incident.since(),
        at: now,
        held: 0,
        failures: 0,
        headline: words::clipped(&headline, LONGEST_LINE).into_owned(),
        body: body(step, subject, ground),
        undelivered: Vec::new(),
        standing: Vec::new(),
        ends: Vec::new(),
        missed: None,
        holds: false,
    }
}

fn body(
    step: &Escalation,
    Escalated { incident, timeline, others }: Escalated<'_>,
    ground: Ground<'_>,
) -> String {
    let now = ground.now;
    let impact = step.impact.clone().or_else(|| annotation(incident, "impact"));
    let impact = impact.or_else(|| annotation(incident, "description"));
    let issue = incident.summary().map_or(String::new(), |summary| format!(": {}", one_line(summary)));
    let mut lines = vec![
        format!("Severity:       {}", severity(incident)),
        format!("Issue:          {}{issue}", one_line(&incident.alert)),
        format!("Time started:   {} UTC", utc(incident.since(), "%Y-%m-%d %H:%M")),
        format!("Duration:       {}", words::duration(incident.length(now))),
        format!("Impact:         {}", impact.as_deref().unwrap_or("not known")),
        "Actions taken:".to_owned(),
    ];
    lines.extend(actions(timeline));
    lines.extend([
        format!("Current status: {}", status(incident)),
        format!("Need:           {}", step.need),
        format!("Contact:        {}", step.contact),
        format!(
            "Incident:       {1} on {0}; there `watchkeeper incident show {1}` tells more",
            ground.host, incident.number
        ),
    ]);
    lines.extend((!others.is_empty()).then(|| format!("Also:           {}", also(others))));
    lines.join("\n")
}

/// The numbers of others.
fn also(others: &[Number]) -> String {
    let shown: Vec<String> = others.iter().take(OTHERS).map(Number::to_string).collect();
    let rest = others.len().saturating_sub(OTHERS);
    let more = if rest > 0 { format!(", and {rest} more") } else { String::new() };
    format!("of the same alert, told in this message alone: incidents {}{more}", shown.join(", "))
}

/// What was done, with its times.
fn actions(timeline: &[Entry]) -> Vec<String> {
    let is_action = |entry: &&Entry| !matches!(entry.kind, EntryKind::Opened | EntryKind::Closed);
    let all: Vec<&Entry> = timeline.iter().filter(is_action).collect();
    if all.is_empty() {
        return vec!["  none yet".to_owned()];
    }
    let left_out = all.len().saturating_sub(ACTIONS);
    let more = (left_out > 0).then(|| format!("  {} before these", words::count(left_out, "line")));
    let line = |(index, entry): (usize, &&Entry)| {
        format!("  {}. {} UTC {}", index + 1, utc(entry.at, "%H:%M:%S"), one_line(&entry.text))
    };
    more.into_iter().chain(all[left_out..].iter().enumerate().map(line)).collect()
}

fn why(step: &Escalation, incident: &Incident, now: Timestamp) -> String {
    match step.when {
        When::After(_) => format!("it has fired for {}", words::duration(incident.length(now))),
        When::Repeated { times, within } => {
            format!("it began to fire more than {times} times within {}", words::duration(within))
        }
    }
}

fn status(incident: &Incident) -> String {
    let last = utc(incident.last_notice, "%H:%M:%S");
    match incident.ended {
        None => format!("it fires; the Alertmanager last said so at {last} UTC"),
        Some(ended) => format!("it does not fire since {} UTC", utc(ended, "%H:%M:%S")),
    }
}

fn severity(incident: &Incident) -> String {
    incident.severity.as_deref().map_or("UNKNOWN".to_owned(), |severity| one_line(severity).to_uppercase())
}

fn annotation(incident: &Incident, name: &str) -> Option<String> {
    incident.annotations.get(name).map(|text| one_line(text)).filter(|text| !text.is_empty())
}

fn utc(at: Timestamp, format: &str) -> String {
    at.to_zoned_datetime(TimeZone::UTC).strftime(format).to_string()
}

/// What comes from an alert makes no lines of its own.
fn one_line(text: &str) -> String {
    let text: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    words::clipped(&text, LONGEST).into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::incident::{Labels, Number, Response};

    fn at(text: &str) -> Timestamp {
        format!("2026-11-26T{text}Z").parse().unwrap()
    }

    fn incident() -> Incident {
        let annotations =
            [("summary", "the app\nNeed: nothing"), ("description", "nobody can\u{1b}[2J log in")];
        Incident {
            number: Number::new(12).unwrap(),
            fingerprint: "ab".into(),
            alert: "ServiceDown".into(),
            severity: Some("critical".into()),
            labels: Labels::new(),
            annotations: annotations.map(|(name, text)| (name.to_owned(), text.to_owned())).into(),
            began: at("12:00:00"),
            opened: at("12:00:05"),
            last_notice: at("12:25:00"),
            notices: 4,
            ended: None,
            closed: None,
            ending: None,
            response: Response::Done,
        }
    }

    fn step() -> Escalation {
        Escalation {
            alert: None,
            severity: None,
            when: When::After(Duration::from_mins(30)),
            to: vec!["mail".parse().unwrap()],
            contact: "Senior SRE".into(),
            need: "a decision whether to fail over".into(),
            impact: None,
        }
    }

    fn worded(step: &Escalation, timeline: &[Entry]) -> Notice {
        let ground = Ground { host: "mon1", zone: &TimeZone::UTC, now: at("12:31:05"), holds: false };
        let subject = Escalated { incident: &incident(), timeline, others: &[] };
        escalation(step, subject, "incident-12-1".parse().unwrap(), ground)
    }

    #[test]
    fn incidents_of_one_alert_are_told_in_one_message() {
        let ground = Ground { host: "mon1", zone: &TimeZone::UTC, now: at("12:31:05"), holds: false };
        let others: Vec<Number> = (13..313).filter_map(Number::new).collect();
        let subject = Escalated { incident: &incident(), timeline: &[], others: &others };
        let notice = escalation(&step(), subject, "incident-12-1".parse().unwrap(), ground);
        assert!(notice.headline.ends_with("(incident 12 and 300 more)"), "{}", notice.headline);
        let also = "Also:           of the same alert, told in this message alone: incidents 13, 14, ";
        assert!(notice.body.contains(also) && notice.body.ends_with(" 32, and 280 more"), "{}", notice.body);
    }

    #[test]
    fn the_template_is_filled_in_and_what_the_alert_says_makes_no_lines_of_its_own() {
        let timeline = [
            Entry::new(at("12:00:05"), EntryKind::Opened, "ServiceDown fires"),
            Entry::new(at("12:00:07"), EntryKind::Step, "container: it is not running"),
            Entry::new(at("12:05:00"), EntryKind::Note, "restarted by hand"),
        ];
        let notice = worded(&step(), &timeline);
        assert_eq!(
            notice.headline,
            "ESCALATION CRITICAL ServiceDown on mon1: it has fired for 31 m 05 s; for: Senior SRE (incident 12)"
        );
        assert_eq!(
            notice.body,
            "Severity:       CRITICAL\n\
             Issue:          ServiceDown: the app Need: nothing\n\
             Time started:   2026-11-26 12:00 UTC\n\
             Duration:       31 m 05 s\n\
             Impact:         nobody can [2J log in\n\
             Actions taken:\n  \
               1. 12:00:07 UTC container: it is not running\n  \
               2. 12:05:00 UTC restarted by hand\n\
             Current status: it fires; the Alertmanager last said so at 12:25:00 UTC\n\
             Need:           a decision whether to fail over\n\
             Contact:        Senior SRE\n\
             Incident:       12 on mon1; there `watchkeeper incident show 12` tells more"
        );
        assert_eq!((notice.severity(), notice.say.name()), ("critical", "escalated"));
    }

    #[test]
    fn of_many_actions_the_newest_are_told_and_the_others_counted() {
        let line = |nth: i32| Entry::new(at("12:00:07"), EntryKind::Note, format!("note {nth}"));
        let timeline: Vec<Entry> = (0..50).map(line).collect();
        let step = Escalation { impact: Some("no logins".into()), ..step() };
        let body = worded(&step, &timeline).body;
        assert!(
            body.contains("  30 lines before these\n  1. 12:00:07 UTC note 30\n") && body.contains("note 49")
        );
        assert!(body.contains("Impact:         no logins\n"));
        assert!(worded(&step, &[]).body.contains("Actions taken:\n  none yet\n"));
    }
}
