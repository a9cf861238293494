//! Decides what is due, from nothing but the times it is shown.
//!
//! A slot is handed out at most once while time goes on as it should. A clock that goes back does not repeat the slots of
//! the time that was watched. A clock that leaps forward, or a machine that was suspended, hands out nothing: the time that
//! was not watched is reported, and what is made up for is decided from the history. What is left over (a clock that was
//! wrong by a year, and is put right) falls to the history, too, where a slot is run once.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Due, Leap, Tick};
use crate::config::values::JobName;
use crate::schedule::Schedule;

/// A clock that is further ahead than the time that passed has leapt.
const LEAP: SignedDuration = SignedDuration::from_mins(1);
/// How many separate stretches are remembered; the oldest are forgotten.
const REMEMBERED: usize = 1_000;

/// What two looks at the clock showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// The slots that came since the last look, oldest first.
    pub due: Vec<Due>,
    /// The times that nobody watched, oldest first, after a leap.
    pub leaps: Vec<Leap>,
    /// The clock went back, from and to these times.
    pub back: Option<Leap>,
    /// By how much the clock went ahead of the time that passed; negative where it was put back.
    pub shift: SignedDuration,
}

impl Step {
    /// What is told of it, in this order.
    pub fn ticks(self) -> Vec<Tick> {
        let due = self.due.into_iter().map(Tick::Due);
        let back = self.back.map(Tick::Back).into_iter();
        let leaps = Some(self.leaps).filter(|leaps| !leaps.is_empty()).map(Tick::Leap);
        back.chain(leaps).chain(due).collect()
    }
}

/// How much time passed from one look at the clock to the next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    /// All of it.
    pub all: Duration,
    /// What of it the program did not run: its process was stopped. The rest it waited until somebody took what is due.
    pub unwatched: Duration,
}

/// What is due, step by step.
#[derive(Debug)]
pub struct Planner {
    jobs: Vec<Planned>,
    /// The current stretch is what is after `since`, up to and with `now`.
    since: Timestamp,
    now: Timestamp,
    /// Earlier stretches (after .0, up to and with .1) whose slots were all handed out: sorted, apart.
    watched: Vec<(Timestamp, Timestamp)>,
}

#[derive(Debug)]
struct Planned {
    name: JobName,
    schedule: Schedule,
    /// The next slot after `Planner::now`, kept so that a step needs no calendar.
    next: Option<Timestamp>,
}

impl Planner {
    /// Starts watching at `now`: slots up to it are the past.
    pub fn new(jobs: Vec<(JobName, Schedule)>, now: Timestamp) -> Self {
        let mut planner = Self { jobs: Vec::new(), since: now, now, watched: Vec::new() };
        planner.replace(jobs);
        planner
    }

    /// Goes on with other jobs, from the last look on, which is returned.
    pub fn replace(&mut self, jobs: Vec<(JobName, Schedule)>) -> Timestamp {
        let planned = |(name, schedule): (JobName, Schedule)| {
            let next = schedule.next_after(self.now);
            Planned { name, schedule, next }
        };
        self.jobs = jobs.into_iter().map(planned).collect();
        self.now
    }

    /// What came since the last look. `passed` is how much time passed since then by a clock that nobody sets, and that
    /// stands still while the machine is suspended.
    pub fn step(&mut self, now: Timestamp, passed: Passed) -> Step {
        let before = self.now;
        let of = |duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        let shift = now.duration_since(before).saturating_sub(of(passed.all));
        let is_unwatched = shift > LEAP || of(passed.unwatched) > LEAP;
        let mut step = Step { shift, ..Step::default() };
        if now < before {
            self.start_stretch(now);
            step.back = Some(Leap { from: before, to: now });
        } else if is_unwatched {
            self.start_stretch(now);
            step.leaps = gaps(&self.watched, Leap { from: before, to: now });
        } else {
            step.due = self.pass(now);
        }
        self.now = now;
        step.due.sort_by(|a, b| (a.slot, &a.job).cmp(&(b.slot, &b.job)));
        step
    }

    /// When something is due next, if time goes on as it does.
    pub fn next(&self) -> Option<Due> {
        let next = |job: &Planned| Some(Due { job: job.name.clone(), slot: job.next? });
        self.jobs.iter().filter_map(next).min_by(|a, b| (a.slot, &a.job).cmp(&(b.slot, &b.job)))
    }

    fn pass(&mut self, now: Timestamp) -> Vec<Due> {
        let mut due = Vec::new();
        for job in &mut self.jobs {
            while let Some(slot) = job.next.filter(|slot| *slot <= now) {
                job.next = job.schedule.next_after(slot);
                if !contains(&self.watched, slot) {
                    due.push(Due { job: job.name.clone(), slot });
                }
            }
        }
        due
    }

    /// Files the current stretch away, joined with those it touches, and starts another at `now`.
    fn start_stretch(&mut self, now: Timestamp) {
        let (mut after, mut until) = (self.since, self.now);
        self.watched.retain(|(start, end)| {
            let apart = *end < after || until < *start;
            if !apart {
                (after, until) = (after.min(*start), until.max(*end));
            }
            apart
        });
        let place = self.watched.partition_point(|(start, _)| *start < after);
        self.watched.insert(place, (after, until));
        self.watched.drain(..self.watched.len().saturating_sub(REMEMBERED));
        self.since = now;
        for job in &mut self.jobs {
            job.next = job.schedule.next_after(now);
        }
    }
}

/// What of a leap was not watched before: a clock that went back and is put right leaps over a time whose slots were all
/// handed out.
fn gaps(watched: &[(Timestamp, Timestamp)], leap: Leap) -> Vec<Leap> {
    let mut gaps = Vec::new();
    let mut from = leap.from;
    for (after, until) in watched.iter().filter(|(after, until)| *until > leap.from && *after < leap.to) {
        if *after > from {
            gaps.push(Leap { from, to: *after });
        }
        from = from.max(*until);
    }
    if from < leap.to {
        gaps.push(Leap { from, to: leap.to });
    }
    gaps
}

fn contains(watched: &[(Timestamp, Timestamp)], slot: Timestamp) -> bool {
    watched.iter().any(|(after, until)| *after < slot && slot <= *until)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;

    const START: i64 = 1_800_000_000; // 2027-01-15T08:00:00Z

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(START + seconds).unwrap()
    }

    fn planner(patterns: &[&str]) -> Planner {
        let job = |(index, pattern): (usize, &&str)| {
            let name = format!("job-{index}").parse().unwrap();
            let schedule = Schedule::parse(pattern, &TimeZone::UTC, "tick").unwrap();
            (name, schedule)
        };
        Planner::new(patterns.iter().enumerate().map(job).collect(), at(0))
    }

    impl Planner {
        /// A look at a clock that shows the time that passed.
        fn due(&mut self, now: Timestamp) -> Vec<Due> {
            let step = self.step(now, busy(now.duration_since(self.now).unsigned_abs()));
            assert_eq!(step.leaps, []);
            step.due
        }
    }

    /// A time in which somebody was waited for.
    fn busy(all: Duration) -> Passed {
        Passed { all, unwatched: Duration::ZERO }
    }

    fn slots(due: &[Due]) -> Vec<i64> {
        due.iter().map(|due| due.slot.as_second() - START).collect()
    }

    #[test]
    fn a_slot_is_due_once_when_the_clock_reaches_it() {
        let mut planner = planner(&["*/5 * * * *"]);
        assert_eq!(planner.next().map(|due| due.slot), Some(at(300)));
        let mut all = Vec::new();
        for now in 1..=1_000 {
            for slot in slots(&planner.due(at(now))) {
                assert_eq!(slot, now);
                all.push(slot);
            }
            assert_eq!(slots(&planner.due(at(now))), Vec::<i64>::new());
        }
        assert_eq!(all, [300, 600, 900]);
    }

    #[test]
    fn slots_up_to_the_start_are_the_past() {
        let mut planner = planner(&["0 8 * * *"]);
        assert_eq!(slots(&planner.due(at(0))), Vec::<i64>::new());
        assert_eq!(slots(&planner.due(at(1))), Vec::<i64>::new());
    }

    #[test]
    fn a_short_delay_loses_nothing_and_keeps_the_order_over_jobs() {
        let mut planner = planner(&["*/20 * * * * *", "*/30 * * * * *"]);
        let due = planner.due(at(60));
        let names: Vec<&str> = due.iter().map(|due| due.job.as_str()).collect();
        assert_eq!(slots(&due), [20, 30, 40, 60, 60]);
        assert_eq!(names, ["job-0", "job-1", "job-0", "job-0", "job-1"]);
    }

    #[test]
    fn after_a_suspend_the_time_that_nobody_watched_is_reported_and_the_next_slots_are_kept() {
        let mut planner = planner(&["*/5 * * * *", "0 9 * * *", "0 3 * * *"]);
        let step = planner.step(at(3_901), busy(Duration::from_secs(1)));
        assert_eq!((step.due, step.leaps), (vec![], vec![Leap { from: at(0), to: at(3_901) }]));
        assert_eq!(step.shift, SignedDuration::from_secs(3_900));
        assert_eq!(slots(&planner.due(at(4_200))), [4_200]);
    }

    #[test]
    fn who_waits_long_until_somebody_takes_what_is_due_has_not_leapt() {
        let mut planner = planner(&["*/5 * * * *"]);
        assert_eq!(slots(&planner.step(at(900), busy(Duration::from_mins(15))).due), [300, 600, 900]);
    }

    #[test]
    fn a_process_that_was_stopped_has_not_watched() {
        let mut planner = planner(&["*/5 * * * *"]);
        let stopped = Passed { all: Duration::from_mins(15), unwatched: Duration::from_mins(15) };
        let step = planner.step(at(900), stopped);
        assert_eq!((step.due, step.leaps), (vec![], vec![Leap { from: at(0), to: at(900) }]));
        assert_eq!(slots(&planner.due(at(1_200))), [1_200]);
    }

    #[test]
    fn a_clock_that_is_put_right_again_leaps_only_over_what_was_not_watched() {
        let mut planner = planner(&["* * * * *"]);
        planner.due(at(600));
        let step = planner.step(at(-3_600), busy(Duration::from_secs(1)));
        assert_eq!(step.back, Some(Leap { from: at(600), to: at(-3_600) }));
        let step = planner.step(at(700), busy(Duration::from_secs(1)));
        let unwatched = [Leap { from: at(-3_600), to: at(0) }, Leap { from: at(600), to: at(700) }];
        assert_eq!(step.leaps, unwatched);
    }

    #[test]
    fn other_jobs_take_over_without_a_slot_lost_or_repeated() {
        let mut planner = planner(&["*/5 * * * *"]);
        assert_eq!(slots(&planner.due(at(300))), [300]);
        let schedule = |text| Schedule::parse(text, &TimeZone::UTC, "x").unwrap();
        planner.replace(vec![
            ("job-0".parse().unwrap(), schedule("*/5 * * * *")),
            ("new".parse().unwrap(), schedule("*/4 * * * *")),
        ]);
        assert_eq!(slots(&planner.due(at(300))), Vec::<i64>::new());
        assert_eq!(slots(&planner.due(at(600))), [480, 600]);
    }

    #[test]
    fn a_clock_that_goes_back_repeats_nothing() {
        let mut planner = planner(&["* * * * *"]);
        for now in 1..=600 {
            planner.due(at(now));
        }
        for now in 0..=600 {
            assert_eq!(slots(&planner.due(at(now))), Vec::<i64>::new(), "{now}");
        }
        assert_eq!(slots(&planner.due(at(660))), [660]);
    }

    #[test]
    fn a_clock_that_was_wrong_by_a_year_and_is_put_right_goes_on_with_the_real_slots() {
        let mut planner = planner(&["* * * * *"]);
        let year = 365 * 86_400;
        assert_eq!(slots(&planner.due(at(30))), Vec::<i64>::new());
        assert_eq!(
            planner.step(at(30 + year), Passed::default()).leaps,
            [Leap { from: at(30), to: at(30 + year) }]
        );
        assert_eq!(slots(&planner.due(at(31))), Vec::<i64>::new());
        assert_eq!(slots(&planner.due(at(60))), [60]);
        assert_eq!(slots(&planner.due(at(120))), [120]);
    }

    proptest! {
        #[test]
        fn no_slot_is_ever_handed_out_twice_however_the_clock_behaves(steps in prop::collection::vec(-300_i64..300, 1..60)) {
            let mut planner = planner(&["*/7 * * * * *", "* * * * *"]);
            let mut seen = BTreeSet::new();
            let mut now = 0;
            for step in steps {
                now += step;
                for due in planner.step(at(now), Passed::default()).due {
                    prop_assert!(due.slot <= at(now));
                    prop_assert!(seen.insert((due.job.clone(), due.slot)), "{:?} came twice", due);
                }
            }
        }

        #[test]
        fn short_steps_hand_out_exactly_the_slots_passed(steps in prop::collection::vec(0_i64..=60, 1..60)) {
            let mut planner = planner(&["*/7 * * * * *"]);
            let mut all = Vec::new();
            let mut now = 0;
            for step in steps {
                now += step;
                all.extend(slots(&planner.due(at(now))));
            }
            let wanted: Vec<i64> = (1..=now).filter(|second| second % 60 % 7 == 0).collect();
            prop_assert_eq!(all, wanted);
        }
    }
}
