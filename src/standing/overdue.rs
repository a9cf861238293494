//! Whether a job did not begin although it was due.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::StandingError;
use crate::config::JobConfig;
use crate::history::{History, RunReport};
use crate::schedule::{self, Known};

/// A job may be so much later than its slot before it is overdue.
const GRACE: Duration = Duration::from_mins(5);

/// Something did not begin when it was due.
#[derive(Debug, Clone, Serialize)]
pub struct Overdue {
    /// When it was due.
    pub since: Timestamp,
}

impl Overdue {
    /// What was due at this time, where it is later than it may be.
    pub(super) fn at(due: Timestamp, now: Timestamp) -> Option<Self> {
        Self::after(GRACE, due, now)
    }

    fn after(may: Duration, due: Timestamp, now: Timestamp) -> Option<Self> {
        let late = now.duration_since(due) > SignedDuration::try_from(may).unwrap_or(SignedDuration::MAX);
        late.then_some(Self { since: due })
    }
}

/// The first slot of a job that does not run now, where it is past with its jitter and some minutes: one that came after the
/// end of its last run, and that neither ran nor was skipped. `watched`: since when it is expected to run; a job that no daemon
/// ever saw may have been configured a minute ago, and there is no slot that it is known to have missed.
pub(super) fn overdue(
    history: &History,
    job: &JobConfig,
    (last, watched): (Option<&RunReport>, Option<Timestamp>),
    now: Timestamp,
) -> Result<Option<Overdue>, StandingError> {
    let Some(schedule) = job.schedule.as_ref().filter(|_| job.enabled) else { return Ok(None) };
    let last = match last {
        // The clock went back: how far the slots are known is then set back too, and those that come again have their runs.
        Some(last) if last.started > now => known_until(history, job)?.map(|until| until.min(now)),
        last => last.map(|last| busy_until(last, now)),
    };
    let Some(since) = last.max(watched) else { return Ok(None) };
    let known = Known { slots: history.slots_after(&job.name, since)?, missed: Vec::new() };
    let Some(slot) = schedule.unknown(since, now, &known, 1).pop() else { return Ok(None) };
    let may = GRACE + schedule::jitter(&job.name, slot, job.slots.jitter);
    Ok(Overdue::after(may, slot, now))
}

/// No slot up to this time is late: one that came while it ran was skipped, or waited for its end.
fn busy_until(last: &RunReport, now: Timestamp) -> Timestamp {
    // By a clock that was ahead it may have ended later than now.
    last.finished.map_or(last.started, |finished| finished.max(last.started)).min(now)
}

fn known_until(history: &History, job: &JobConfig) -> Result<Option<Timestamp>, StandingError> {
    let watched = history.watched(&job.name)?;
    Ok(watched.iter().find(|note| note.ended.is_none()).map(|note| note.until))
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use ulid::Ulid;

    use super::*;
    use crate::config::Config;
    use crate::history::{Cause, NewRun, Watched};
    use crate::jobs::Outcome;
    use crate::store::{atomic, owner};

    const NIGHT: i64 = 1_800_000_000 / 3_600 * 60;

    /// So many minutes into the night.
    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second((NIGHT + minute) * 60).unwrap()
    }

    struct Scene {
        history: History,
        job: JobConfig,
        _folder: tempfile::TempDir,
    }

    impl Scene {
        /// A job with a slot at each full hour, watched since the first.
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("jobs.toml");
            let text = format!(
                "state_dir = {0:?}\nbackup_dir = \"/x\"\n[[job]]\nname = \"j\"\nkind = \"command\"\ncommand = [\"true\"]\n\
                 schedule = \"0 * * * *\"\n",
                folder.path()
            );
            atomic::replace(&path, text.as_bytes(), owner::FILE_MODE).unwrap();
            let config = Config::load(&path, &|_| None, TimeZone::UTC).unwrap();
            let history = History::open(folder.path()).unwrap();
            Self { history, job: config.jobs[0].clone(), _folder: folder }
        }

        fn ran(&self, cause: Cause, (began, ended): (i64, i64), outcome: Outcome) -> RunReport {
            let new = NewRun {
                run: Ulid::generate(),
                job: self.job.name.clone(),
                kind: "command".into(),
                cause,
                started: at(began),
            };
            let mut report = RunReport::begun(&new);
            (report.finished, report.outcome) = (Some(at(ended)), Some(outcome));
            self.history.record(&report).unwrap();
            report
        }

        /// The minute of the slot that is overdue.
        fn overdue(&self, last: &RunReport, now: i64) -> Option<i64> {
            let ground = (Some(last), Some(at(0)));
            let overdue = overdue(&self.history, &self.job, ground, at(now)).unwrap();
            overdue.map(|overdue| overdue.since.as_second() / 60 - NIGHT)
        }
    }

    #[test]
    fn what_was_due_while_the_job_ran_is_not_overdue_when_it_has_ended() {
        let scene = Scene::new();
        // 60 was begun; 120 and 180 were skipped, or one of them waited and was made good by a run that has ended too.
        let last = scene.ran(Cause::Scheduled(at(60)), (60, 230), Outcome::Failed);
        assert_eq!(scene.overdue(&last, 231), None);
        assert_eq!(scene.overdue(&last, 244), None, "240 may be a little late");
        assert_eq!(scene.overdue(&last, 246), Some(240));
    }

    #[test]
    fn a_slot_that_was_skipped_with_a_reason_is_not_overdue_and_one_before_it_that_nobody_knows_of_is() {
        let scene = Scene::new();
        let last = scene.ran(Cause::Manual, (61, 62), Outcome::Done);
        scene.ran(Cause::Scheduled(at(120)), (120, 120), Outcome::Skipped);
        assert_eq!(scene.overdue(&last, 170), None);
        assert_eq!(scene.overdue(&last, 190), Some(180));
        scene.ran(Cause::Scheduled(at(240)), (240, 240), Outcome::Skipped);
        assert_eq!(scene.overdue(&last, 250), Some(180));
    }

    #[test]
    fn a_clock_that_went_back_makes_nothing_overdue_and_hides_nothing_for_longer_than_it_went() {
        let scene = Scene::new();
        for slot in [60, 120, 180] {
            scene.ran(Cause::Scheduled(at(slot)), (slot, slot + 1), Outcome::Done);
        }
        // By a clock that was a year ahead; then it was set to 65.
        let ahead = 366 * 24 * 60;
        let last = scene.ran(Cause::Scheduled(at(ahead)), (ahead, ahead + 1), Outcome::Done);
        let note = Watched {
            schedule: "0 * * * *".into(),
            zone: "UTC".into(),
            born: at(0),
            until: at(65),
            ended: None,
        };
        scene.history.watch(&scene.job.name, &[note], &[]).unwrap();
        assert_eq!(scene.overdue(&last, 190), None, "they come again, and have run");
        assert_eq!(scene.overdue(&last, 250), Some(240));
        // It ended after a clock was set back that was ahead when it began.
        let scene = Scene::new();
        let last = scene.ran(Cause::Scheduled(at(60)), (60, 300), Outcome::Done);
        assert_eq!(scene.overdue(&last, 250), None);
    }
}
