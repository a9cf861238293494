//! Says when a job is due, while the process runs.
//!
//! tokio-cron-scheduler is used here and nowhere else, and only as an alarm clock: it wakes this file once a
//! second, and what is due is decided by [`Planner`] from our own [`Schedule`]s. Its own calendar freezes the UTC
//! offset and loses ticks, and while the system clock is set back it stays silent; so an alarm that has not rung
//! for five seconds in which this process ran is replaced by a new one.

mod planner;

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, watch};
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;

use super::Schedule;
use crate::config::values::JobName;
use crate::words;

pub use planner::{Passed, Planner, Step};

/// How late a ring may be. The alarm rings every second.
const SILENCE: Duration = Duration::from_millis(2_500);
/// So many rings that are missing in a row mean that it is dead.
const MISSING: u32 = 2;
/// Who waits longer for a ring than it may be late, and by more than this, did not run meanwhile: the process was stopped.
const STALL: Duration = Duration::from_millis(500);
/// A clock that was moved by less is being kept right.
const SHIFT: Duration = Duration::from_secs(2);

/// A job whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The job.
    pub job: JobName,
    /// The time it was scheduled for, not the time it was noticed.
    pub slot: Timestamp,
}

/// A time that nobody watched: the machine was suspended, or the clock was set forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leap {
    /// The last time that was watched.
    pub from: Timestamp,
    /// The first that is watched again.
    pub to: Timestamp,
}

/// What the driver tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tick {
    /// A slot has come.
    Due(Due),
    /// Slots of these times, the oldest first and at least one, may have been missed: one event, however many there are.
    Leap(Vec<Leap>),
    /// The clock went back: slots after `to` have not come yet, whatever was said.
    Back(Leap),
    /// From this time on the slots are those of the plan with this number; those before it were all told.
    Replaced {
        /// The last look at the clock with the jobs before.
        at: Timestamp,
        /// [`Plan::number`].
        number: u64,
    },
}

/// A sign of life: the clock was looked at, and what is due is planned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beat {
    /// How often the clock was looked at.
    pub looks: u64,
    /// What comes next.
    pub next: Option<Due>,
    /// How often the clock was found to have leapt forward or back, or nobody looked at it for a while.
    pub jumps: u64,
    /// When it was looked at last, by a clock that nobody sets.
    pub at: Option<Instant>,
}

/// Why jobs are no longer started on schedule.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The alarm cannot be set.
    #[error("Cannot set the alarm that wakes the scheduler")]
    Alarm {
        /// What tokio-cron-scheduler says.
        #[source]
        source: JobSchedulerError,
    },
    /// Nobody takes what is due.
    #[error("Nobody takes the jobs that are due: the runner has ended")]
    NobodyListens,
}

impl DriverError {
    /// Whether starting the driver again may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Alarm { .. })
    }
}

/// The jobs to watch, with their schedules. They may be replaced while the driver runs.
pub type Jobs = Vec<(JobName, Schedule)>;

/// What the driver watches.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The jobs.
    pub jobs: Jobs,
    /// Which plan it is: [`Tick::Replaced`] says it.
    pub number: u64,
}

/// The ends of what the driver is told and tells.
pub struct Wires {
    /// The plan.
    pub plans: watch::Receiver<Plan>,
    /// Where it tells what is due. A receiver that does not take it delays what comes after, but loses nothing.
    pub ticks: mpsc::Sender<Tick>,
    /// Where it gives signs of life.
    pub beats: watch::Sender<Beat>,
    /// Tells it to end.
    pub stop: CancellationToken,
}

/// Sends every slot of the jobs when `clock` reaches it, until told to stop. Slots up to `since` are not sent.
pub async fn drive(clock: fn() -> Timestamp, since: Timestamp, mut wires: Wires) -> Result<(), DriverError> {
    let jobs = wires.plans.borrow_and_update().jobs.clone();
    let planner = Planner::new(jobs, since);
    let mut watcher = Watcher::new(planner, clock);
    watcher.beat(&wires);
    while !wires.stop.is_cancelled() {
        let mut alarm = Alarm::set().await?;
        let outcome = watcher.listen(&mut wires, &mut alarm).await;
        alarm.stop().await?;
        outcome?;
    }
    Ok(())
}

/// Looks at the clock.
struct Watcher {
    planner: Planner,
    clock: fn() -> Timestamp,
    /// The last look, by a clock that nobody sets.
    looked: Instant,
    /// How long it has waited since then until somebody took what is due.
    waited: Duration,
    /// The most that the looks showed since the alarm was set.
    seen: Seen,
    /// How often the clock jumped.
    jumps: u64,
}

/// What looks at the clock showed, in the order of how well it explains that the alarm falls silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    /// Time went on.
    Nothing,
    /// The clock was set forward, or the process or the machine stood still, which an alarm of tokio-cron-scheduler does not
    /// survive. What there is to say of it was said.
    Forward,
    /// The clock was set back.
    Back,
}

impl Seen {
    fn of(step: &Step, unwatched: Duration) -> Self {
        if step.back.is_some() || step.shift < -SignedDuration::try_from(SHIFT).unwrap_or_default() {
            Self::Back
        } else if step.shift.unsigned_abs() > SHIFT || !step.leaps.is_empty() || unwatched > SILENCE + STALL {
            Self::Forward
        } else {
            Self::Nothing
        }
    }

    /// What is to be said of an alarm that fell silent then. Nothing where what there is to say was said.
    fn of_silence(self) -> Option<&'static str> {
        match self {
            Self::Nothing => Some("The scheduler's alarm fell silent; set anew"),
            Self::Forward => None,
            Self::Back => Some("The scheduler's alarm fell silent because the clock was set back; set anew"),
        }
    }
}

impl Watcher {
    fn new(planner: Planner, clock: fn() -> Timestamp) -> Self {
        Self { planner, clock, looked: Instant::now(), waited: Duration::ZERO, seen: Seen::Nothing, jumps: 0 }
    }

    /// Until stopped, or until the alarm falls silent.
    async fn listen(&mut self, wires: &mut Wires, alarm: &mut Alarm) -> Result<(), DriverError> {
        self.seen = Seen::Nothing;
        let mut missing = 0;
        loop {
            let stop = wires.stop.clone();
            let (may_change, mut is_new) = (wires.plans.has_changed().is_ok(), false);
            let rang = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                // At once: a slot that comes within this second is one of the new plan.
                changed = wires.plans.changed(), if may_change => {
                    is_new = changed.is_ok();
                    true
                }
                rang = tokio::time::timeout(alarm.silence, alarm.rings.recv()) => rang.is_ok_and(|ring| ring.is_some()),
            };
            let mut ticks = self.look();
            if is_new {
                let Plan { jobs, number } = wires.plans.borrow_and_update().clone();
                ticks.push(Tick::Replaced { at: self.planner.replace(jobs), number });
            }
            let since = Instant::now();
            for tick in ticks {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return Ok(()),
                    sent = wires.ticks.send(tick) => sent.map_err(|_| DriverError::NobodyListens)?,
                }
            }
            self.waited += since.elapsed();
            self.beat(wires);
            missing = if rang { 0 } else { missing + 1 };
            if missing == MISSING {
                if let Some(words) = self.seen.of_silence() {
                    tracing::warn!("{words}");
                }
                return Ok(());
            }
        }
    }

    fn look(&mut self) -> Vec<Tick> {
        let all = std::mem::replace(&mut self.looked, Instant::now()).elapsed();
        let unwatched = all.saturating_sub(std::mem::take(&mut self.waited));
        let step = self.planner.step((self.clock)(), Passed { all, unwatched });
        self.seen = self.seen.max(Seen::of(&step, unwatched));
        // A clock that is being kept right is set back by a little.
        let jumped = step.shift.unsigned_abs() > SHIFT || !step.leaps.is_empty();
        self.jumps += u64::from(jumped);
        if step.shift.unsigned_abs() > SHIFT {
            let by = words::duration(step.shift.unsigned_abs());
            let way = if step.shift > SignedDuration::ZERO { "forward" } else { "back" };
            tracing::warn!("The clock went {way} by {by}: it was set, or the machine was suspended");
        } else if !step.leaps.is_empty() {
            tracing::warn!(
                "Nobody looked at the clock for {}: the process was stopped",
                words::duration(all)
            );
        }
        step.ticks()
    }

    fn beat(&self, wires: &Wires) {
        let next = self.planner.next();
        let (jumps, at) = (self.jumps, Some(self.looked));
        wires.beats.send_modify(|beat| *beat = Beat { looks: beat.looks + 1, next, jumps, at });
    }
}

/// Rings once a second.
struct Alarm {
    scheduler: JobScheduler,
    rings: mpsc::Receiver<()>,
    /// When it has not rung for so long, it is dead.
    silence: Duration,
}

impl Alarm {
    async fn set() -> Result<Self, DriverError> {
        let failed = |source| DriverError::Alarm { source };
        // One place: an alarm that rings while the last ring is still being answered adds nothing.
        let (ring, rings) = mpsc::channel(1);
        let scheduler = JobScheduler::new().await.map_err(failed)?;
        let job = Job::new_repeated(Duration::from_secs(1), move |_, _| {
            ring.try_send(()).ok();
        });
        scheduler.add(job.map_err(failed)?).await.map_err(failed)?;
        scheduler.start().await.map_err(failed)?;
        Ok(Self { scheduler, rings, silence: SILENCE })
    }

    async fn stop(mut self) -> Result<(), DriverError> {
        self.scheduler.shutdown().await.map_err(|source| DriverError::Alarm { source })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicI64, Ordering};

    use jiff::tz::TimeZone;

    use super::*;

    fn every_second() -> Jobs {
        let name = "tick".parse().unwrap();
        let schedule = Schedule::parse("* * * * * *", &TimeZone::UTC, "tick").unwrap();
        vec![(name, schedule)]
    }

    struct Ends {
        plans: watch::Sender<Plan>,
        ticks: mpsc::Receiver<Tick>,
        beats: watch::Receiver<Beat>,
        stop: CancellationToken,
    }

    fn wires(places: usize) -> (Wires, Ends) {
        let (plans, plans_end) = watch::channel(Plan { jobs: every_second(), number: 0 });
        let (ticks, ticks_end) = mpsc::channel(places);
        let (beats, beats_end) = watch::channel(Beat::default());
        let stop = CancellationToken::new();
        let wires = Wires { plans: plans_end, ticks, beats, stop: stop.clone() };
        (wires, Ends { plans, ticks: ticks_end, beats: beats_end, stop })
    }

    impl Ends {
        async fn slot(&mut self) -> Timestamp {
            loop {
                match self.ticks.recv().await.unwrap() {
                    Tick::Due(due) => return due.slot,
                    Tick::Leap(leap) => panic!("{leap:?}"),
                    Tick::Back(_) | Tick::Replaced { .. } => {}
                }
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_second_is_sent_once_and_the_driver_ends_when_told() {
        let (wires, mut ends) = wires(16);
        let before = Timestamp::now();
        let driver = tokio::spawn(drive(Timestamp::now, before, wires));
        let mut slots = Vec::new();
        while slots.len() < 3 {
            let slot = ends.slot().await;
            assert!(slot <= Timestamp::now(), "{slot} is sent too early");
            slots.push(slot);
        }
        assert!(ends.beats.borrow_and_update().looks > 1);
        ends.stop.cancel();
        driver.await.unwrap().unwrap();
        assert!(slots[0] > before);
        for pair in slots.windows(2) {
            assert_eq!(pair[1].as_second() - pair[0].as_second(), 1, "{slots:?}");
        }
        while let Some(Tick::Due(late)) = ends.ticks.recv().await {
            assert!(late.slot > slots[2], "{late:?} was sent before");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn other_jobs_are_taken_over_while_it_runs() {
        let (wires, mut ends) = wires(16);
        let driver = tokio::spawn(drive(Timestamp::now, Timestamp::now(), wires));
        let mut last = ends.slot().await;
        let yearly = Schedule::parse("@yearly", &TimeZone::UTC, "year").unwrap();
        let jobs = vec![("year".parse().unwrap(), yearly)];
        ends.plans.send(Plan { jobs, number: 7 }).unwrap();
        let is_yearly = |beat: &Beat| beat.next.as_ref().is_some_and(|next| next.job.as_str() == "year");
        ends.beats.wait_for(is_yearly).await.unwrap();
        // Those who run them are told, between the slots of the jobs before and the others.
        loop {
            match ends.ticks.recv().await.unwrap() {
                Tick::Due(due) => last = due.slot,
                Tick::Replaced { at, number } => {
                    assert!(
                        number == 7 && last <= at && at.duration_since(last).as_secs() < 2,
                        "{last} {at}"
                    );
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        ends.stop.cancel();
        driver.await.unwrap().unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_clock_that_leaps_by_hours_is_reported_and_nothing_is_repeated_when_it_comes_back() {
        static LEAP: AtomicI64 = AtomicI64::new(0);
        static BASE: OnceLock<Timestamp> = OnceLock::new();
        fn clock() -> Timestamp {
            let base = *BASE.get_or_init(Timestamp::now);
            let seconds = Timestamp::now().as_second() - base.as_second() + LEAP.load(Ordering::SeqCst);
            Timestamp::from_second(base.as_second() + seconds).unwrap()
        }
        let (wires, mut ends) = wires(16);
        let driver = tokio::spawn(drive(clock, clock(), wires));
        let first = ends.slot().await;
        LEAP.store(7_200, Ordering::SeqCst);
        let mut seen = vec![first];
        let leap = loop {
            match ends.ticks.recv().await.unwrap() {
                Tick::Due(due) => seen.push(due.slot),
                Tick::Leap(leaps) => break leaps[0],
                other => panic!("{other:?}"),
            }
        };
        assert!((7_190..7_260).contains(&leap.to.duration_since(leap.from).as_secs()), "{leap:?}");
        seen.push(ends.slot().await);
        ends.beats.wait_for(|beat| beat.jumps == 1).await.unwrap();
        assert!(seen[seen.len() - 1] > leap.to);
        LEAP.store(0, Ordering::SeqCst);
        while seen[seen.len() - 1] > leap.from + SignedDuration::from_mins(30) {
            seen.push(ends.slot().await);
        }
        ends.beats.wait_for(|beat| beat.jumps == 2).await.unwrap();
        ends.stop.cancel();
        driver.await.unwrap().unwrap();
        assert!(seen.iter().enumerate().all(|(at, slot)| !seen[..at].contains(slot)), "{seen:?}");
    }

    #[tokio::test]
    async fn a_runner_that_is_gone_ends_the_driver() {
        let (wires, ends) = wires(1);
        drop(ends.ticks);
        let error = drive(Timestamp::now, Timestamp::now(), wires).await.unwrap_err();
        assert!(matches!(error, DriverError::NobodyListens));
    }

    #[tokio::test]
    async fn a_runner_that_takes_nothing_does_not_keep_the_driver_from_stopping() {
        let (wires, ends) = wires(1);
        let driver = tokio::spawn(drive(Timestamp::now, Timestamp::now(), wires));
        while ends.ticks.is_empty() {
            tokio::task::yield_now().await;
        }
        ends.stop.cancel();
        driver.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn an_alarm_that_is_stopped_rings_no_more() {
        let mut alarm = Alarm::set().await.unwrap();
        // Looked at beyond its end.
        let (_ring, rings) = mpsc::channel(1);
        let mut rings = std::mem::replace(&mut alarm.rings, rings);
        rings.recv().await.unwrap();
        alarm.stop().await.unwrap();
        // One ring may have been under way.
        let _ = rings.try_recv();
        // There is nothing to wait for: it is silence that is looked at.
        let ring = tokio::time::timeout(Duration::from_secs(3), rings.recv()).await;
        assert!(ring.is_err(), "it still rings");
    }

    #[tokio::test]
    async fn an_alarm_that_falls_silent_is_given_up_after_what_is_due_is_sent() {
        static CALLS: AtomicI64 = AtomicI64::new(0);
        fn clock() -> Timestamp {
            Timestamp::from_second(1_800_000_000 + CALLS.fetch_add(1, Ordering::SeqCst)).unwrap()
        }
        // Each ring that is missing is a look.
        let (mut wires, mut ends) = wires(2);
        let planner = Planner::new(every_second(), clock());
        let mut watcher = Watcher::new(planner, clock);
        let mut alarm = Alarm::set().await.unwrap();
        alarm.scheduler.shutdown().await.unwrap();
        alarm.silence = Duration::from_millis(1);
        watcher.listen(&mut wires, &mut alarm).await.unwrap();
        assert_eq!(ends.slot().await.as_second(), 1_800_000_001);
        assert_eq!((watcher.seen, ends.stop.is_cancelled()), (Seen::Nothing, false));
    }

    #[tokio::test]
    async fn an_alarm_that_falls_silent_is_put_down_to_what_the_clock_showed() {
        static AT: AtomicI64 = AtomicI64::new(1_800_000_000);
        fn clock() -> Timestamp {
            Timestamp::from_second(AT.load(Ordering::SeqCst)).unwrap()
        }
        let (mut wires, _ends) = wires(16);
        let mut watcher = Watcher::new(Planner::new(Vec::new(), clock()), clock);
        for (moved, seen) in [(7_200, Seen::Forward), (-30, Seen::Back), (0, Seen::Nothing)] {
            let mut alarm = Alarm::set().await.unwrap();
            alarm.scheduler.shutdown().await.unwrap();
            alarm.silence = Duration::from_millis(1);
            AT.fetch_add(moved, Ordering::SeqCst);
            watcher.listen(&mut wires, &mut alarm).await.unwrap();
            assert_eq!(watcher.seen, seen, "{moved}");
        }
        let blames = |seen: Seen| seen.of_silence().is_some_and(|words| words.contains("set back"));
        assert_eq!([Seen::Nothing, Seen::Forward, Seen::Back].map(blames), [false, false, true]);
    }

    #[tokio::test]
    async fn other_jobs_are_taken_over_at_once_and_not_only_at_the_next_ring() {
        let (mut wires, mut ends) = wires(16);
        let planner = Planner::new(every_second(), Timestamp::now());
        let mut watcher = Watcher::new(planner, Timestamp::now);
        let (_ring, rings) = mpsc::channel(1);
        let silence = Duration::from_hours(1);
        let mut alarm = Alarm { rings, silence, ..Alarm::set().await.unwrap() };
        ends.plans.send(Plan { jobs: every_second(), number: 7 }).unwrap();
        let replaced = async {
            loop {
                if let Some(Tick::Replaced { number, .. }) = ends.ticks.recv().await {
                    break number;
                }
            }
        };
        tokio::select! {
            ended = watcher.listen(&mut wires, &mut alarm) => panic!("{ended:?}"),
            number = replaced => assert_eq!(number, 7),
            () = tokio::time::sleep(Duration::from_secs(30)) => panic!("it waits for a ring"),
        }
    }
}
