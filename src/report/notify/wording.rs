//! A draft becomes a message.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Notice;
use super::condition::Condition;
use super::plan::{Draft, Ping, Say};
use crate::config::notify::Event;
use crate::history::{MissedSlots, RunReport};
use crate::report;
use crate::words;

/// A message is not longer than this, in characters; what is left out is in the history.
const LONGEST: usize = 16_000;
/// A first line is not longer than this: some show no more.
const LONGEST_LINE: usize = 300;

/// What a message is worded with.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// This host.
    pub host: &'a str,
    /// The zone of all times.
    pub zone: &'a TimeZone,
    /// When it is said.
    pub now: Timestamp,
    /// Nobody is there to repeat an alert.
    pub holds: bool,
}

/// Words a draft. `report`: of its run; `undelivered`: the first lines of messages in whose place it is told.
pub fn notice(
    draft: Draft,
    report: Option<&RunReport>,
    undelivered: &[String],
    ground: Ground<'_>,
) -> Notice {
    let reason = draft
        .reason
        .clone()
        .or_else(|| report.and_then(|report| report::reason(report.reason.as_deref(), &report.warnings)));
    let headline = headline(&draft, reason.as_deref(), ground);
    let body = body(&draft, report, undelivered, ground);
    Notice {
        say: draft.say,
        job: draft.job,
        kind: draft.kind,
        target: draft.target,
        host: ground.host.to_owned(),
        run: draft.run,
        reason,
        since: draft.since,
        at: ground.now,
        held: draft.held,
        failures: draft.failures,
        headline: words::clipped(&headline.replace(['\n', '\r'], " "), LONGEST_LINE).into_owned(),
        body: words::clipped(body.trim_end(), LONGEST).into_owned(),
        undelivered: undelivered.to_vec(),
        standing: draft.standing,
        ends: draft.ends,
        missed: draft.missed,
        holds: ground.holds,
    }
}

fn headline(draft: &Draft, reason: Option<&str>, ground: Ground<'_>) -> String {
    let (job, host) = (&draft.job, ground.host);
    let since = words::time(draft.since, ground.zone);
    let why = || why(draft, reason, &since);
    match draft.say {
        Say::Bad(event) => format!("{} {job} on {host}: {}", event.words(), why()),
        Say::Still(event) => {
            let failed = words::count(draft.meanwhile as usize, "run");
            let failed =
                if draft.meanwhile > 0 { format!("{failed} failed meanwhile; ") } else { String::new() };
            format!("STILL {} {job} on {host} since {since}: {failed}{}", event.words(), why())
        }
        Say::Missed => {
            let missed =
                draft.missed.as_ref().map_or_else(String::new, |missed| missed_slots(missed, ground.zone));
            format!("{} {job} on {host}: {missed}", Event::Missed.words())
        }
        Say::Recovered => {
            format!("{} {job} on {host}: {}", Event::Recovered.words(), recovery(draft, ground))
        }
        Say::Closed => {
            let was = draft.ends.first().map_or("not well", |told| told.what.event.name());
            format!(
                "CLOSED {job} on {host}: no job of this name is told of any more; it was {was} since {since}"
            )
        }
        Say::Ping(Ping::Start) => format!("started {job} on {host}"),
        Say::Ping(Ping::Success) => format!("done {job} on {host}"),
        Say::Ping(Ping::OthersFail) => {
            format!("done {job} on {host}; but another job of this check is not well, and it stays down")
        }
        Say::Ping(Ping::Fail) => format!("{} {job} on {host}: {}", Event::Failed.words(), why()),
        // It is worded by itself.
        Say::Escalated(_) => format!("ESCALATION {job} on {host}"),
        Say::Test => format!("TEST from watchkeeper on {host}: messages arrive here"),
    }
}

fn why(draft: &Draft, reason: Option<&str>, since: &str) -> String {
    let due = format!("it was due at {since} and has not begun");
    match (draft.say.event(), reason) {
        (Event::Overdue, Some(reason)) => format!("{due}; {reason}"),
        (Event::Overdue, None) => due,
        (_, Some(reason)) => reason.to_owned(),
        (_, None) => format!("see `watchkeeper history {}`", draft.job),
    }
}

/// `3 slots from … to … did not run: no daemon ran`
fn missed_slots(missed: &MissedSlots, zone: &TimeZone) -> String {
    let (first, last) = (words::time(missed.first, zone), words::time(missed.last, zone));
    let at_least = if missed.at_least { "at least " } else { "" };
    let when = if missed.count == 1 { format!("at {first}") } else { format!("from {first} to {last}") };
    format!("{at_least}{} {when} did not run: {}", words::count(missed.count, "slot"), missed.reason)
}

/// In one line: how long it was not well, and how much of it nobody heard of.
fn recovery(draft: &Draft, ground: Ground<'_>) -> String {
    let count = |count: usize, what: &str| match count {
        0 => String::new(),
        _ => format!("; {} {what}", words::count(count, "run")),
    };
    let failed = count(draft.meanwhile as usize, "failed meanwhile");
    let bad = if draft.failures == draft.meanwhile as usize { 0 } else { draft.failures };
    let bad = count(bad, "had not been good");
    let warns = if draft.warns { "; the newest run was done with warnings" } else { "" };
    match draft.ends.first() {
        Some(told) => {
            let length = words::duration(ground.now.duration_since(told.what.since).unsigned_abs());
            format!("it is well again after {length} ({}){bad}{failed}{warns}", told.what.event.name())
        }
        None => format!("it is well again{bad}{failed}, of which nothing was told before"),
    }
}

/// `FAILED since …: the restore: no space`
fn trouble(what: &Condition, zone: &TimeZone) -> String {
    let why = what.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{} since {}{why}", what.event.words(), words::time(what.since, zone))
}

fn body(draft: &Draft, report: Option<&RunReport>, undelivered: &[String], ground: Ground<'_>) -> String {
    let mut lines = Vec::new();
    let is_one_line = matches!(draft.say, Say::Recovered | Say::Closed | Say::Test);
    if let Some(report) = report.filter(|_| !is_one_line) {
        lines.push(report::details(report, ground.zone).trim_end().to_owned());
        if matches!(draft.say, Say::Ping(_)) {
            lines.push(report::log(report, ground.zone).trim_end().to_owned());
        }
    }
    if matches!(draft.say, Say::Bad(Event::Overdue) | Say::Still(Event::Overdue) | Say::Missed) {
        lines.push(format!("  next\n    `watchkeeper explain {}` says why it did not run", draft.job));
    }
    for other in draft.standing.iter().skip(usize::from(matches!(draft.say, Say::Bad(_) | Say::Still(_)))) {
        lines.push(format!("  also     {}", trouble(other, ground.zone)));
    }
    for told in draft.ends.iter().filter(|_| !is_one_line) {
        lines.push(format!("  over     {}", trouble(&told.what, ground.zone)));
    }
    if draft.meanwhile > 0 && !is_one_line && !matches!(draft.say, Say::Ping(_)) {
        let failed = words::count(draft.meanwhile as usize, "run");
        lines.push(format!("  between  {failed} failed since the last message, and a later one did not"));
    }
    if let (Some(missed), false) = (&draft.missed, draft.say == Say::Missed) {
        lines.push(format!("  also     {}", missed_slots(missed, ground.zone)));
    }
    if draft.failures > 1 && matches!(draft.say, Say::Bad(_) | Say::Still(_)) {
        lines.push(format!(
            "  so far   {} have failed since the last good one",
            words::count(draft.failures, "run")
        ));
    }
    if draft.held > 0 {
        let changes = words::count(draft.held as usize, "change");
        lines.push(format!("  held     {changes} since the last message had none of their own"));
    }
    if !undelivered.is_empty() {
        lines.push(format!(
            "  before   of this nobody knows that it arrived:\n    {}",
            undelivered.join("\n    ")
        ));
    }
    lines.retain(|line| !line.is_empty());
    lines.join("\n")
}
