//! What an Alertmanager is told: each alert when it begins and ends, and meanwhile again and again, for it ends by itself
//! where nobody does.

use std::time::Duration;

use super::entry::{Change, Entry};
use super::{Draft, Look, Say, draft};
use crate::config::notify::{Event, Notifier};
use crate::report::notify::condition::{Condition, Subject, View};
use crate::report::notify::is_over;

pub(super) fn alert(
    entry: &mut Entry,
    notifier: &Notifier,
    resend: Duration,
    look: Look<'_>,
) -> Option<Draft> {
    let well = View { troubles: Vec::new(), run_is_known: true };
    let is_quiet = look.quiet_since().is_some();
    let view = if is_quiet { &well } else { look.view };
    entry.account(look, &notifier.on);
    let mut change = entry.compare(view, &notifier.on);
    let was_told = entry.told.iter().any(|told| told.what.is_of_run());
    let is_told = was_told || change.holds.iter().any(Condition::is_of_run);
    if !is_quiet && !is_told && entry.failed + entry.warned > 0 {
        // It was bad and well again before anybody looked: it fires once, and ends at the next look.
        change.holds.push(passed(entry, look));
    }
    let is_due = entry.told.first().is_some_and(|told| look.is_last || is_over(told.at, resend, look.now));
    let say = say(entry, &change, is_due)?;
    Some(draft(entry, say, change, look))
}

fn say(entry: &Entry, change: &Change, is_due: bool) -> Option<Say> {
    let firing = change.begins.first().or(change.holds.first()).map(|what| Say::Bad(what.event));
    let is_same =
        entry.told.iter().map(|told| &told.what.event).eq(change.holds.iter().map(|what| &what.event));
    match firing {
        None if !change.ends.is_empty() => Some(Say::Recovered),
        Some(firing) if is_due || !is_same || !change.begins.is_empty() => Some(firing),
        _ => entry.missed.is_some().then_some(Say::Missed),
    }
}

fn passed(entry: &Entry, look: Look<'_>) -> Condition {
    let event = if entry.failed > 0 { Event::Failed } else { Event::Warned };
    let reason = Some(super::passed_words(entry.failed, entry.warned));
    Condition { subject: Subject::Run, event, since: look.now, run: None, reason }
}
