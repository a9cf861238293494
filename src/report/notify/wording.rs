//! A draft becomes a message.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Notice;
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
    let reason = draft.reason.clone().or_else(|| report.and_then(reason_of));
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
        ends: draft.ends,
        holds: ground.holds,
    }
}

/// Why a run was not done; of one that needs a look, what it warned of.
fn reason_of(report: &RunReport) -> Option<String> {
    let more = report.warnings.len().saturating_sub(1);
    let more =
        if more > 0 { format!(" (and {} more)", words::count(more, "warning")) } else { String::new() };
    let warning = report.warnings.first().map(|warning| format!("{warning}{more}"));
    report.reason.clone().or(warning)
}

fn headline(draft: &Draft, reason: Option<&str>, ground: Ground<'_>) -> String {
    let (job, host) = (&draft.job, ground.host);
    let since = words::time(draft.since, ground.zone);
    let why = || why(draft, reason, &since);
    match draft.say {
        Say::Bad(event) => format!("{} {job} on {host}: {}", event.words(), why()),
        Say::Still(event) => format!("STILL {} {job} on {host} since {since}: {}", event.words(), why()),
        Say::Missed => {
            let missed =
                draft.missed.as_ref().map_or_else(String::new, |missed| missed_slots(missed, ground.zone));
            format!("{} {job} on {host}: {missed}", Event::Missed.words())
        }
        Say::Recovered => {
            format!("{} {job} on {host}: {}", Event::Recovered.words(), recovery(draft, ground))
        }
        Say::Closed => {
            let was = draft.ends.as_ref().map_or("not well", |told| told.event.name());
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
    let failed = match draft.failures {
        0 => String::new(),
        count => format!("; {} had not been good", words::count(count, "run")),
    };
    match &draft.ends {
        Some(told) => {
            let length = words::duration(ground.now.duration_since(told.since).unsigned_abs());
            format!("it is well again after {length} ({}){failed}", told.event.name())
        }
        None => format!("it is well again{failed}, of which nothing was told before"),
    }
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
