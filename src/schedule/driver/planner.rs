//! Decides what is due, from nothing but the times it is shown.
//!
//! A slot is never handed out twice. Time that was watched is remembered as stretches, so that a clock that goes
//! back does not repeat the slots in it, while slots it had leapt over get their turn.

use std::time::Duration;

use jiff::Timestamp;

use super::Due;
use crate::config::values::JobName;
use crate::schedule::Schedule;

/// A longer step of the clock is a leap: a suspended machine, or a clock that was set.
const LEAP: Duration = Duration::from_mins(1);
/// How many separate stretches, and slots of leaps, are remembered; the oldest are forgotten.
const REMEMBERED: usize = 1_000;

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
    /// Slots handed out for a leap; they lie in no watched stretch.
    leapt: Vec<Timestamp>,
}

impl Planner {
    /// Starts watching at `now`: slots up to it are the past.
    pub fn new(jobs: Vec<(JobName, Schedule)>, now: Timestamp) -> Self {
        let planned = |(name, schedule): (JobName, Schedule)| {
            let next = schedule.next_after(now);
            Planned { name, schedule, next, leapt: Vec::new() }
        };
        Self { jobs: jobs.into_iter().map(planned).collect(), since: now, now, watched: Vec::new() }
    }

    /// The slots that came since the last call, oldest first. After a leap forward of more than a minute each job
    /// gets only its newest one.
    pub fn due(&mut self, now: Timestamp) -> Vec<Due> {
        let before = self.now;
        let mut due = if now < before {
            self.start_stretch(now);
            Vec::new()
        } else if now.duration_since(before).unsigned_abs() > LEAP {
            self.start_stretch(now);
            self.after_leap(before, now)
        } else {
            self.after_step(now)
        };
        self.now = now;
        due.sort_by(|a, b| (a.slot, &a.job).cmp(&(b.slot, &b.job)));
        due
    }

    /// When something is due next, if time goes on as it does.
    pub fn next(&self) -> Option<Timestamp> {
        self.jobs.iter().filter_map(|job| job.next).min()
    }

    fn after_step(&mut self, now: Timestamp) -> Vec<Due> {
        let mut due = Vec::new();
        for job in &mut self.jobs {
            while let Some(slot) = job.next.filter(|slot| *slot <= now) {
                job.next = job.schedule.next_after(slot);
                if !contains(&self.watched, slot) && !job.leapt.contains(&slot) {
                    due.push(Due { job: job.name.clone(), slot });
                }
            }
        }
        due
    }

    fn after_leap(&mut self, before: Timestamp, now: Timestamp) -> Vec<Due> {
        let mut due = Vec::new();
        for job in &mut self.jobs {
            let Some(slot) = job.schedule.last_between(before, now) else { continue };
            if !contains(&self.watched, slot) && !job.leapt.contains(&slot) {
                job.leapt.push(slot);
                due.push(Due { job: job.name.clone(), slot });
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
        forget(&mut self.watched);
        self.since = now;
        for job in &mut self.jobs {
            job.next = job.schedule.next_after(now);
            job.leapt.retain(|slot| !contains(&self.watched, *slot));
            forget(&mut job.leapt);
        }
    }
}

fn forget<T>(list: &mut Vec<T>) {
    list.drain(..list.len().saturating_sub(REMEMBERED));
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

    fn slots(due: &[Due]) -> Vec<i64> {
        due.iter().map(|due| due.slot.as_second() - START).collect()
    }

    #[test]
    fn a_slot_is_due_once_when_the_clock_reaches_it() {
        let mut planner = planner(&["*/5 * * * *"]);
        assert_eq!(planner.next(), Some(at(300)));
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
    fn after_a_suspend_each_job_gets_only_its_newest_slot() {
        let mut planner = planner(&["*/5 * * * *", "0 9 * * *", "0 3 * * *"]);
        let due = planner.due(at(3_900));
        assert_eq!(slots(&due), [3_600, 3_900]);
        assert_eq!(slots(&planner.due(at(3_901))), Vec::<i64>::new());
        assert_eq!(slots(&planner.due(at(3_960))), Vec::<i64>::new());
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
        assert_eq!(slots(&planner.due(at(30 + year))), [year]);
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
                for due in planner.due(at(now)) {
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
