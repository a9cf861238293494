//! What people are told: one message on a change, one line when all is well again, a reminder, and nothing else.

use jiff::Timestamp;

use super::entry::{Change, Entry};
use super::{Draft, Look, Say, draft};
use crate::config::notify::{Event, Notifier};
use crate::report::notify::is_over;

pub(super) fn message(entry: &mut Entry, notifier: &Notifier, look: Look<'_>) -> Option<Draft> {
    entry.account(look, &notifier.on);
    if look.quiet_since().is_some() {
        return None;
    }
    let mut change = entry.compare(look.view, &notifier.on);
    let tells_ends = notifier.on.contains(&Event::Recovered);
    if !tells_ends {
        entry.drop_ends(&mut change);
    }
    let say = news(entry, &change, tells_ends).or_else(|| reminder(entry, &change, notifier, look.now))?;
    let may = entry.last.is_none_or(|last| is_over(last, notifier.rhythm.cooldown, look.now));
    may.then(|| draft(entry, say, change, look))
}

/// What is new, if anything is.
fn news(entry: &Entry, change: &Change, tells_ends: bool) -> Option<Say> {
    let run = change.holds.iter().find(|what| what.is_of_run()).map(|what| what.event);
    // Bad runs that were over before anybody was told, and were worse than what is told.
    let has_passed = match run {
        Some(Event::Failed) => false,
        Some(_) => entry.failed > 0,
        None => entry.failed + entry.warned > 0,
    };
    let still = match change.holds.first() {
        Some(what) => Say::Still(what.event),
        None if tells_ends => Say::Recovered,
        None if entry.failed > 0 => Say::Bad(Event::Failed),
        None => Say::Bad(Event::Warned),
    };
    match change.begins.first() {
        Some(first) => Some(Say::Bad(first.event)),
        // Of trouble that was there before it a new notifier has said nothing.
        None if change.is_well_in_part && (change.holds.is_empty() || entry.last.is_some()) => Some(still),
        None if has_passed => Some(still),
        None => entry.missed.is_some().then_some(Say::Missed),
    }
}

fn reminder(entry: &Entry, change: &Change, notifier: &Notifier, now: Timestamp) -> Option<Say> {
    let remind = notifier.rhythm.remind?;
    let is_due = entry.told.first().is_some_and(|told| is_over(told.at, remind, now));
    change.holds.first().filter(|_| is_due).map(|what| Say::Still(what.event))
}
