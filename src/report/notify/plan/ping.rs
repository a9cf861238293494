//! What healthchecks.io is told: the beginning and the end of runs.

use super::entry::Entry;
use super::{Draft, Look, Ping, Say};
use crate::config::notify::{Event, Healthchecks};
use crate::report::notify::condition;

pub(super) fn ping(entry: &mut Entry, checks: &Healthchecks, look: Look<'_>) -> Option<Draft> {
    let job = look.job;
    checks.of(&job.job)?;
    if let Some(newest) = entry.newest_new_run(look) {
        let is_bad = condition::event_of(newest.outcome) == Some(Event::Failed);
        let say = Say::Ping(match (is_bad, look.others_are_bad) {
            (true, _) => Ping::Fail,
            (false, true) => Ping::OthersFail,
            (false, false) => Ping::Success,
        });
        let last = job.last.as_ref().filter(|last| last.run == newest.run);
        let reason = last.and_then(|last| last.reason.clone());
        let run = Some(newest.run.clone());
        return Some(Draft { run, reason, since: newest.started, ..entry.draft(&job.job, say, look.now) });
    }
    // Runs of several jobs would take each other for their own.
    let last =
        job.last.as_ref().filter(|last| last.finished.is_none() && checks.of_job.contains_key(&job.job))?;
    if entry.started.as_ref() == Some(&last.run) {
        return None;
    }
    entry.started = Some(last.run.clone());
    let run = Some(last.run.clone());
    Some(Draft { run, since: last.started, ..entry.draft(&job.job, Say::Ping(Ping::Start), look.now) })
}
