//! Says when a job is due, while the process runs.
//!
//! tokio-cron-scheduler is used here and nowhere else, and only as an alarm clock: it wakes this file once a
//! second, and what is due is decided by [`Planner`] from our own [`Schedule`]s. Its own calendar freezes the UTC
//! offset and loses ticks, and while the system clock is set back it stays silent; so an alarm that has not rung
//! for five seconds is replaced by a new one.

mod planner;

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;

use super::Schedule;
use crate::config::values::JobName;

pub use planner::Planner;

/// How long the alarm may be late before it counts as dead. It rings every second.
const SILENCE: Duration = Duration::from_secs(5);

/// A job whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The job.
    pub job: JobName,
    /// The time it was scheduled for, not the time it was noticed.
    pub slot: Timestamp,
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

/// Sends every slot of `jobs` to `due` when `clock` reaches it, until `stop`. Slots before the first look at the
/// clock are not sent: catching up is another's task.
///
/// A receiver that does not take what is due delays what comes after it, but loses nothing.
pub async fn drive(
    jobs: Vec<(JobName, Schedule)>,
    clock: fn() -> Timestamp,
    stop: CancellationToken,
    due: mpsc::Sender<Due>,
) -> Result<(), DriverError> {
    let mut planner = Planner::new(jobs, clock());
    while !stop.is_cancelled() {
        let mut alarm = Alarm::set().await?;
        let outcome = listen(&mut planner, clock, &stop, &due, &mut alarm).await;
        alarm.stop().await?;
        outcome?;
    }
    Ok(())
}

/// Until stopped, or until the alarm falls silent.
async fn listen(
    planner: &mut Planner,
    clock: fn() -> Timestamp,
    stop: &CancellationToken,
    due: &mpsc::Sender<Due>,
    alarm: &mut Alarm,
) -> Result<(), DriverError> {
    loop {
        let rang = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            rang = tokio::time::timeout(alarm.silence, alarm.rings.recv()) => rang.is_ok_and(|ring| ring.is_some()),
        };
        for slot in planner.due(clock()) {
            tracing::debug!(job = %slot.job, slot = %slot.slot, "due");
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                sent = due.send(slot) => sent.map_err(|_| DriverError::NobodyListens)?,
            }
        }
        if !rang {
            tracing::warn!(
                "The scheduler's alarm fell silent, perhaps because the clock was set back; set anew"
            );
            return Ok(());
        }
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

    fn every_second() -> Vec<(JobName, Schedule)> {
        let name = "tick".parse().unwrap();
        let schedule = Schedule::parse("* * * * * *", &TimeZone::UTC, "tick").unwrap();
        vec![(name, schedule)]
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_second_is_sent_once_and_the_driver_ends_when_told() {
        let stop = CancellationToken::new();
        let (sender, mut receiver) = mpsc::channel(16);
        let before = Timestamp::now();
        let driver = tokio::spawn(drive(every_second(), Timestamp::now, stop.clone(), sender));
        let mut slots = Vec::new();
        while slots.len() < 3 {
            let due = receiver.recv().await.unwrap();
            assert!(due.slot <= Timestamp::now(), "{due:?} is sent too early");
            slots.push(due.slot);
        }
        stop.cancel();
        driver.await.unwrap().unwrap();
        assert!(slots[0] > before);
        for pair in slots.windows(2) {
            assert_eq!(pair[1].as_second() - pair[0].as_second(), 1, "{slots:?}");
        }
        while let Some(late) = receiver.recv().await {
            assert!(late.slot > slots[2], "{late:?} was sent before");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_clock_that_leaps_by_hours_is_followed_and_not_repeated_when_it_comes_back() {
        static LEAP: AtomicI64 = AtomicI64::new(0);
        static BASE: OnceLock<Timestamp> = OnceLock::new();
        fn clock() -> Timestamp {
            let base = *BASE.get_or_init(Timestamp::now);
            let seconds = Timestamp::now().as_second() - base.as_second() + LEAP.load(Ordering::SeqCst);
            Timestamp::from_second(base.as_second() + seconds).unwrap()
        }
        let stop = CancellationToken::new();
        let (sender, mut receiver) = mpsc::channel(16);
        let driver = tokio::spawn(drive(every_second(), clock, stop.clone(), sender));
        let first = receiver.recv().await.unwrap().slot;
        LEAP.store(7_200, Ordering::SeqCst);
        let mut seen = vec![first];
        while seen[seen.len() - 1].as_second() - first.as_second() < 7_000 {
            seen.push(receiver.recv().await.unwrap().slot);
        }
        let leapt = seen[seen.len() - 1];
        LEAP.store(0, Ordering::SeqCst);
        while seen[seen.len() - 1].as_second() - first.as_second() > 7_000 {
            seen.push(receiver.recv().await.unwrap().slot);
        }
        stop.cancel();
        driver.await.unwrap().unwrap();
        assert!(seen.iter().enumerate().all(|(at, slot)| !seen[..at].contains(slot)), "{seen:?}");
        assert!(leapt.as_second() - first.as_second() < 7_210);
    }

    #[tokio::test]
    async fn a_runner_that_is_gone_ends_the_driver() {
        let (sender, receiver) = mpsc::channel(1);
        drop(receiver);
        let error =
            drive(every_second(), Timestamp::now, CancellationToken::new(), sender).await.unwrap_err();
        assert!(matches!(error, DriverError::NobodyListens));
    }

    #[tokio::test]
    async fn a_runner_that_takes_nothing_does_not_keep_the_driver_from_stopping() {
        let (sender, receiver) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let driver = tokio::spawn(drive(every_second(), Timestamp::now, stop.clone(), sender));
        while receiver.is_empty() {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        driver.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn an_alarm_that_falls_silent_is_given_up_after_what_is_due_is_sent() {
        static CALLS: AtomicI64 = AtomicI64::new(0);
        fn clock() -> Timestamp {
            Timestamp::from_second(1_800_000_000 + CALLS.fetch_add(1, Ordering::SeqCst)).unwrap()
        }
        let (sender, mut receiver) = mpsc::channel(1);
        let mut planner = Planner::new(every_second(), clock());
        let mut alarm = Alarm::set().await.unwrap();
        alarm.scheduler.shutdown().await.unwrap();
        alarm.silence = Duration::from_millis(1);
        let stop = CancellationToken::new();
        listen(&mut planner, clock, &stop, &sender, &mut alarm).await.unwrap();
        assert_eq!(receiver.try_recv().unwrap().slot.as_second(), 1_800_000_001);
        assert!(!stop.is_cancelled());
    }
}
