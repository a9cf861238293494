//! How far the slots of a job are known: pure, from what was noted to what is to be noted.
//!
//! A note never reaches beyond the oldest slot that still waits, nor back before the birth of its schedule. A schedule that
//! was replaced keeps its note until all its slots are known, so that a new one is never asked about times before it.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::history::{EndedPause, Pause, Watched};
use crate::schedule::Schedule;
use crate::schedule::driver::Leap;

/// The history knows no less.
const MOMENT: SignedDuration = SignedDuration::from_millis(1);

/// What the notes of jobs that run after others begin with.
const AFTER: &str = "after ";

/// The note of a job that runs after these from `at` on.
pub(super) fn born_after(names: &[&str], at: Timestamp) -> Watched {
    let schedule = format!("{AFTER}{}", names.join(", "));
    Watched { schedule, zone: String::new(), born: at, until: at, ended: None }
}

fn is_after(note: &Watched) -> bool {
    note.schedule.starts_with(AFTER)
}

/// The note of a schedule that is watched from `at` on.
pub(super) fn born(schedule: &Schedule, at: Timestamp) -> Watched {
    let zone = schedule.zone().iana_name().unwrap_or_default().to_owned();
    Watched { schedule: schedule.to_string(), zone, born: at, until: at, ended: None }
}

/// From `at` on the job has this schedule: another one ends there.
pub(super) fn in_force(mut notes: Vec<Watched>, new: Watched) -> Vec<Watched> {
    let at = new.born;
    for note in notes.iter_mut().filter(|note| note.ended.is_none()) {
        if (&note.schedule, &note.zone) == (&new.schedule, &new.zone) {
            return notes;
        }
        note.ended = Some(at);
    }
    notes.push(new);
    notes
}

/// The time just before a slot.
pub(super) fn before(slot: Timestamp) -> Timestamp {
    slot.checked_sub(MOMENT).unwrap_or(slot)
}

/// The time just after a slot.
pub(super) fn after(slot: Timestamp) -> Timestamp {
    slot.checked_add(MOMENT).unwrap_or(slot)
}

/// The time just before the oldest slot that waits, or `to`.
pub(super) fn bound(to: Timestamp, waiting: &BTreeSet<Timestamp>) -> Timestamp {
    waiting.first().map_or(to, |oldest| to.min(before(*oldest)))
}

/// Every slot up to `to` is known, but for those that wait.
pub(super) fn known(notes: Vec<Watched>, to: Timestamp, waiting: &BTreeSet<Timestamp>) -> Vec<Watched> {
    let to = bound(to, waiting);
    let further = |note: Watched| match note.ended {
        // It has no slots of its own: what the others did since its birth counts.
        None if is_after(&note) => note,
        end => Watched { until: note.until.max(end.map_or(to, |end| to.min(end))), ..note },
    };
    let is_open = |note: &Watched| note.ended.is_none_or(|end| note.until < end && !is_after(note));
    notes.into_iter().map(further).filter(is_open).collect()
}

/// The clock went back to `to`: what comes after has not come yet, nor have births that were made while it was wrong.
pub(super) fn back(notes: Vec<Watched>, to: Timestamp, false_births: &BTreeSet<Timestamp>) -> Vec<Watched> {
    let earlier = |note: Watched| {
        let born = if false_births.contains(&note.born) { to.min(note.born) } else { note.born };
        Watched { born, until: note.until.min(to.max(born)), ..note }
    };
    notes.into_iter().map(earlier).collect()
}

/// A time that nobody watched, up to `to`.
#[derive(Debug, Clone)]
pub(super) struct Unwatched {
    pub(super) to: Timestamp,
    /// The leaps of the clock that it is made of, the oldest first; none where no daemon ran.
    pub(super) leaps: Vec<Leap>,
    /// When a daemon last lived before, as far as that is known.
    pub(super) alive: Option<Timestamp>,
}

/// Why the slots of a window did not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// The clock leapt.
    Leapt,
    /// A daemon lived: they waited when it ended.
    Lived,
    /// No daemon ran.
    Off,
}

/// A time in which slots of a schedule may have been missed: after `from`, up to and with `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) watch: Watch,
}

/// Where slots of a schedule may have been missed: since they were last known, or in leaps of the clock.
pub(super) fn windows(note: &Watched, time: &Unwatched) -> Vec<Window> {
    let end = |to: Timestamp| note.ended.map_or(to, |end| to.min(end));
    let of_leap =
        |leap: &Leap| Window { from: leap.from.max(note.born), to: end(leap.to), watch: Watch::Leapt };
    let mut windows: Vec<Window> = time.leaps.iter().map(of_leap).collect();
    if time.leaps.is_empty() {
        // A clock that was ahead when they were noted: they are in the past as far as they can be.
        let (from, to) = (note.until.min(time.to).max(note.born), end(time.to));
        let alive = time.alive.filter(|alive| *alive <= time.to).unwrap_or(from).clamp(from, to.max(from));
        windows.push(Window { from, to: alive, watch: Watch::Lived });
        windows.push(Window { from: alive, to, watch: Watch::Off });
    }
    windows.retain(|window| window.from < window.to);
    windows
}

/// The schedule of a note.
pub(super) fn schedule_of(note: &Watched, job: &str, own_zone: &TimeZone) -> Option<Schedule> {
    // The host's own zone has no name: what it means now is what it meant.
    let zone = if note.zone.is_empty() { own_zone.clone() } else { TimeZone::get(&note.zone).ok()? };
    Schedule::parse(&note.schedule, &zone, job).ok()
}

/// A part of a window, in a pause or out of any.
pub(super) struct Part<'a> {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) pause: Option<PartPause<'a>>,
    pub(super) window: Window,
}

/// The pause of a part.
#[derive(Clone, Copy)]
pub(super) enum PartPause<'a> {
    Lasts(&'a Pause),
    Ended(&'a EndedPause),
}

impl PartPause<'_> {
    pub(super) fn words(self, zone: &TimeZone) -> String {
        match self {
            Self::Lasts(pause) => pause.words(zone),
            Self::Ended(pause) => pause.words(zone),
        }
    }
}

/// The parts of a window between which pauses begin and end, in their order. No pause begins before the one before it ended.
pub(super) fn parts<'a>(window: Window, lasts: Option<&'a Pause>, ended: &'a [EndedPause]) -> Vec<Part<'a>> {
    let ended = ended.iter().map(|over| (over.pause.since, over.ended, PartPause::Ended(over)));
    let lasts = lasts.map(|pause| (pause.since, Timestamp::MAX, PartPause::Lasts(pause)));
    let (mut parts, mut from) = (Vec::new(), window.from);
    for (begins, ends, pause) in ended.chain(lasts) {
        let (begins, ends) = (begins.clamp(from, window.to), ends.clamp(from, window.to));
        parts.push(Part { from, to: begins, pause: None, window });
        parts.push(Part { from: begins, to: ends, pause: Some(pause), window });
        from = ends;
    }
    parts.push(Part { from, to: window.to, pause: None, window });
    parts.retain(|part| part.from < part.to);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Known, Limits};

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minute * 60).unwrap()
    }

    fn minutely() -> Schedule {
        Schedule::parse("* * * * *", &TimeZone::UTC, "job").unwrap()
    }

    fn other() -> Schedule {
        Schedule::parse("*/2 * * * *", &TimeZone::UTC, "job").unwrap()
    }

    fn waiting(minutes: &[i64]) -> BTreeSet<Timestamp> {
        minutes.iter().map(|minute| at(*minute)).collect()
    }

    /// The slots that are missed, as minutes.
    fn minutes(note: &Watched, to: i64, leap: Option<Leap>, slots: &[i64]) -> Vec<i64> {
        let known = Known { slots: waiting(slots), missed: Vec::new() };
        let schedule = schedule_of(note, "job", &TimeZone::UTC).unwrap();
        let time = Unwatched { to: at(to), leaps: leap.into_iter().collect(), alive: None };
        let all = Limits { most: 100, oldest: None };
        let windows = windows(note, &time).into_iter();
        let slots = windows.flat_map(|window| schedule.missed(window.from, window.to, &known, all).catch_up);
        slots.map(|slot| (slot.as_second() - 1_800_000_000) / 60).collect()
    }

    #[test]
    fn what_waits_holds_the_note_back_and_the_note_goes_on_when_it_has_run() {
        let notes = known(vec![born(&minutely(), at(0))], at(9), &waiting(&[4, 7]));
        assert_eq!(minutes(&notes[0], 9, None, &[5, 6, 7, 8, 9]), [4]);
        assert_eq!(known(notes.clone(), at(2), &waiting(&[]))[0].until, notes[0].until, "never back");
        assert_eq!(known(notes, at(9), &waiting(&[]))[0].until, at(9));
    }

    #[test]
    fn a_new_schedule_has_no_slots_before_it_and_the_old_one_keeps_those_that_wait() {
        let notes = known(vec![born(&minutely(), at(0))], at(3), &waiting(&[3]));
        let notes = in_force(notes, born(&other(), at(5)));
        let missed: Vec<_> = notes.iter().map(|note| minutes(note, 9, None, &[])).collect();
        assert_eq!(missed, [vec![3, 4, 5], vec![6, 8]]);
        // A run of the old schedule that ends says nothing of the new one before its birth, and is the end of the old one.
        let notes = known(notes, at(6), &waiting(&[]));
        assert_eq!((notes.len(), minutes(&notes[0], 9, None, &[])), (1, vec![8]));
        assert_eq!(in_force(notes.clone(), born(&other(), at(8))), notes, "the same goes on");
    }

    #[test]
    fn a_clock_that_was_a_year_ahead_costs_no_slot_of_a_later_downtime() {
        let year = 366 * 1_440;
        let notes = known(vec![born(&minutely(), at(0))], at(year), &waiting(&[]));
        let notes = back(notes, at(1), &BTreeSet::new());
        let notes = known(notes, at(2), &waiting(&[]));
        assert_eq!(minutes(&notes[0], 5, None, &[]), [3, 4, 5]);
    }

    #[test]
    fn a_clock_that_went_back_and_right_again_invents_nothing() {
        let notes = known(vec![born(&minutely(), at(0))], at(3), &waiting(&[]));
        let notes = back(notes, at(-1_000), &BTreeSet::new());
        let leap = Leap { from: at(-1_000), to: at(5) };
        assert_eq!(minutes(&notes[0], 5, Some(leap), &[1, 2, 3]), [4, 5]);
        assert_eq!(minutes(&notes[0], 5, None, &[1, 2, 3]), [4, 5]);
    }

    #[test]
    fn a_schedule_that_was_born_while_the_clock_was_ahead_is_born_when_it_is_right() {
        let notes = back(vec![born(&minutely(), at(501))], at(2), &BTreeSet::from([at(501)]));
        assert_eq!((notes[0].born, notes[0].until), (at(2), at(2)));
        let notes = back(vec![born(&minutely(), at(500))], at(2), &BTreeSet::from([at(501)]));
        assert_eq!(notes[0].born, at(500), "born before the clock was wrong");
    }

    #[test]
    fn a_time_without_a_daemon_begins_when_the_last_one_was_alive() {
        let note = born(&minutely(), at(0));
        let of = |alive: Option<i64>, to: i64| {
            let time = Unwatched { to: at(to), leaps: Vec::new(), alive: alive.map(at) };
            let minute = |time: Timestamp| (time.as_second() - 1_800_000_000) / 60;
            let windows = windows(&note, &time).into_iter();
            windows.map(|window| (minute(window.from), minute(window.to), window.watch)).collect::<Vec<_>>()
        };
        assert_eq!(of(Some(4), 9), [(0, 4, Watch::Lived), (4, 9, Watch::Off)]);
        assert_eq!(of(None, 9), [(0, 9, Watch::Off)]);
        assert_eq!(of(Some(99), 9), [(0, 9, Watch::Off)], "a clock that was wrong says nothing");
        assert_eq!(of(Some(-5), 9), [(0, 9, Watch::Off)]);
    }

    #[test]
    fn a_window_is_cut_where_pauses_begin_and_end() {
        let pause = |minute| Pause { since: at(minute), reason: None };
        let over = EndedPause { pause: pause(2), ended: at(4) };
        let window = Window { from: at(1), to: at(9), watch: Watch::Off };
        let lasts = pause(7);
        let parts: Vec<_> = parts(window, Some(&lasts), std::slice::from_ref(&over))
            .into_iter()
            .map(|part| ((part.to.as_second() - 1_800_000_000) / 60, part.pause.is_some()))
            .collect();
        assert_eq!(parts, [(2, false), (4, true), (7, false), (9, true)]);
    }
}
