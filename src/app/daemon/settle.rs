//! What becomes of the slots of a time that nobody watched: which are made up for, and why the others are not.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::account::{self, Part, Unwatched, Watch};
use super::books::{Account, Whose, in_force};
use super::schedule_of;
use crate::config::JobConfig;
use crate::history::{HistoryError, MissedSlots, Watched};
use crate::schedule::{Known, Limits, Schedule, Stretch};
use crate::words;

/// So many slots are told one by one, where some of them waited.
const ONE_BY_ONE: usize = 100;

impl Whose {
    fn job(&self) -> Option<&JobConfig> {
        match self {
            Self::Job(job) => Some(job),
            Self::Gone => None,
        }
    }

    fn limits(&self, now: Timestamp) -> Limits {
        self.job().map_or(Limits::NONE, |job| Limits::of(job.slots, now))
    }
}

impl Account<'_> {
    /// Settles what was missed, and returns the slots to run.
    pub(super) fn settle(
        &self,
        notes: Vec<Watched>,
        whose: &Whose,
        time: &Unwatched,
    ) -> Result<Vec<Timestamp>, HistoryError> {
        // A clock that was ahead when they were noted.
        let no_leap = time.leaps.is_empty();
        let notes = if no_leap { account::back(notes, time.to, &BTreeSet::new()) } else { notes };
        let notes = match whose.job().and_then(|job| in_force(job, time.to)) {
            Some(note) => account::in_force(notes, note),
            None => notes,
        };
        let pause = self.history.pause_of(self.name)?;
        let ended = self.history.ended_pauses(self.name)?;
        let (mut to_run, mut given_up) = (Vec::new(), Vec::new());
        let mut limits = whose.limits(time.to);
        let forgotten = self.history.forgotten(self.name)?;
        // The newest first: of "once" it is the newest of all, whatever the time is made of.
        for note in notes.iter().rev() {
            let Some(schedule) = self.schedule(note, whose) else { continue };
            let born = forgotten.map_or(note.born, |known| known.max(note.born));
            let windows = account::windows(&Watched { born, ..note.clone() }, time);
            let Some(first) = windows.first() else { continue };
            let known = self.known(first.from)?;
            let parts = windows.into_iter().flat_map(|window| account::parts(window, pause.as_ref(), &ended));
            for part in parts.collect::<Vec<_>>().into_iter().rev() {
                let of_part = if part.pause.is_some() { Limits::NONE } else { limits };
                let missed = schedule.missed(part.from, part.to, &known, of_part);
                limits.most -= missed.catch_up.len();
                let why = Why { part: &part, whose, time, too_old: missed.too_old };
                if let Some(stretch) = missed.given_up {
                    let left = Left { schedule: &schedule, known: &known, caught_up: &missed.catch_up };
                    given_up.push(self.given_up(stretch, &left, &why)?);
                }
                to_run.splice(0..0, missed.catch_up);
            }
        }
        let given_up: Vec<MissedSlots> = given_up.into_iter().rev().flatten().collect();
        let waiting = self.waiting.iter().chain(&to_run).copied().collect();
        self.history.watch(self.name, &account::known(notes, time.to, &waiting), &given_up)?;
        if !ended.is_empty() {
            self.history.forget_pauses(self.name, time.to)?;
        }
        Ok(to_run)
    }

    fn schedule(&self, note: &Watched, whose: &Whose) -> Option<Schedule> {
        let own = whose.job().and_then(schedule_of).filter(|_| note.ended.is_none()).cloned();
        own.or_else(|| account::schedule_of(note, self.name.as_str(), self.zone))
    }

    /// What is to be noted of slots that are not made up for.
    fn given_up(
        &self,
        given: Stretch,
        left: &Left<'_>,
        why: &Why<'_>,
    ) -> Result<Vec<MissedSlots>, HistoryError> {
        let noted = |stretch: Stretch, waited: Option<&String>| {
            let reason = self.reason(why, waited);
            tracing::warn!(job = %self.name, missed = stretch.count, "{reason}");
            MissedSlots {
                first: stretch.first,
                last: stretch.last,
                count: stretch.count,
                at_least: stretch.at_least,
                reason,
            }
        };
        let waits = if why.time.leaps.is_empty() { self.history.waits(self.name)? } else { Vec::new() };
        let waited = |slot: Timestamp| waits.iter().find(|wait| wait.slot == slot).map(|wait| &wait.what);
        let is_in = |slot: Timestamp| given.first <= slot && slot <= given.last;
        if given.count > ONE_BY_ONE || !waits.iter().any(|wait| is_in(wait.slot)) {
            return Ok(vec![noted(given, None)]);
        }
        let one = |slot: Timestamp| {
            noted(Stretch { first: slot, last: slot, count: 1, at_least: false }, waited(slot))
        };
        Ok(left.slots(why.part, given).into_iter().map(one).collect())
    }

    fn reason(&self, why: &Why<'_>, waited: Option<&String>) -> String {
        let words = |at: Timestamp| words::time(at, self.zone);
        let Why { part, time, .. } = why;
        let (from, to) = (words(part.window.from), words(part.window.to));
        let ended = words(time.alive.unwrap_or(part.window.to));
        let what = match (part.pause, waited, part.window.watch) {
            (Some(pause), ..) => return pause.words(self.zone),
            (None, Some(what), _) => format!("it waited for {what} when the daemon ended at {ended}"),
            (None, None, Watch::Leapt) => {
                format!("the clock was set, or the machine or the process was stopped, from {from} to {to}")
            }
            (None, None, Watch::Lived) => format!("it had not begun when the daemon ended at {ended}"),
            (None, None, Watch::Off) => format!("no daemon ran them between {from} and {}", words(time.to)),
        };
        match why.whose {
            Whose::Gone => {
                format!("{what}; the job was disabled or taken out of the configuration meanwhile")
            }
            Whose::Job(job) => match job.slots.max_age.filter(|_| why.too_old) {
                Some(age) => format!("{what}; older than max_age, {}", words::duration(age)),
                None => what,
            },
        }
    }

    fn known(&self, since: Timestamp) -> Result<Known, HistoryError> {
        let mut slots = self.history.slots_after(self.name, since)?;
        slots.extend(self.waiting);
        let missed = self.history.missed_after(self.name, since)?;
        Ok(Known { slots, missed: missed.into_iter().map(|missed| (missed.first, missed.last)).collect() })
    }
}

/// Why slots are not made up for.
struct Why<'a> {
    part: &'a Part<'a>,
    whose: &'a Whose,
    time: &'a Unwatched,
    too_old: bool,
}

/// What is left of the slots of a part.
struct Left<'a> {
    schedule: &'a Schedule,
    known: &'a Known,
    caught_up: &'a [Timestamp],
}

impl Left<'_> {
    fn slots(&self, part: &Part<'_>, given: Stretch) -> Vec<Timestamp> {
        let most = given.count + self.caught_up.len();
        let mut slots = self.schedule.unknown(part.from, part.to, self.known, most);
        slots.retain(|slot| !self.caught_up.contains(slot));
        slots
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::config::Config;
    use crate::history::History;
    use crate::schedule::driver::Leap;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hour * 3_600).unwrap()
    }

    /// The hours that are made up for, and why the others were missed, of an hourly job that is watched since hour 0.
    fn settled(keys: &str, time: &Unwatched) -> (Vec<i64>, Vec<(usize, String)>) {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path()).unwrap();
        let text = format!(
            "timezone = \"UTC\"\n[[job]]\nname = \"j\"\nkind = \"command\"\ncommand = [\"true\"]\n\
             schedule = \"0 * * * *\"\n{keys}\n"
        );
        let config = Config::parse(&text, Path::new("jobs.toml"), &|_| None, TimeZone::UTC, None).unwrap();
        let job = config.jobs[0].clone();
        let notes = vec![in_force(&job, at(0)).unwrap()];
        let (name, waiting) = (job.name.clone(), BTreeSet::new());
        let account = Account { history: &history, name: &name, waiting: &waiting, zone: &TimeZone::UTC };
        let to_run = account.settle(notes, &Whose::Job(Box::new(job)), time).unwrap();
        let missed = history.missed_after(&name, at(0)).unwrap().into_iter();
        let hours = to_run.iter().map(|slot| (slot.as_second() - 1_800_000_000) / 3_600).collect();
        (hours, missed.map(|missed| (missed.count, missed.reason)).collect())
    }

    #[test]
    fn of_one_event_the_newest_slot_is_made_up_for_however_many_spans_it_left() {
        let leaps = vec![Leap { from: at(1), to: at(4) }, Leap { from: at(6), to: at(9) }];
        let time = Unwatched { to: at(9), leaps, alive: None };
        let (hours, missed) = settled("", &time);
        assert_eq!(hours, [9]);
        assert_eq!(missed.iter().map(|missed| missed.0).collect::<Vec<_>>(), [3, 2]);
    }

    #[test]
    fn where_max_age_is_why_a_slot_is_missed_it_says_so() {
        let time = Unwatched { to: at(9), leaps: Vec::new(), alive: Some(at(4)) };
        let (hours, missed) = settled("on_missed = \"all\"\nmax_age = \"2h\"", &time);
        assert_eq!(hours, [7, 8, 9]);
        assert!(
            missed.iter().all(|missed| missed.1.ends_with("; older than max_age, 2 h 00 m")),
            "{missed:?}"
        );
        let (_, missed) = settled("max_age = \"2h\"", &time);
        assert!(!missed.iter().any(|missed| missed.1.contains("max_age")), "one was wanted: {missed:?}");
    }
}
