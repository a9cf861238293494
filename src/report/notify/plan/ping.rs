//! What healthchecks.io is told: the beginning and the end of runs.

use super::entry::Entry;
use super::{Draft, Look, Ping, Say};
use crate::config::notify::{Event, Healthchecks};
use crate::report::notify::condition;

pub(super) fn ping(entry: &mut Entry, checks: &Healthchecks, look: Look<'_>) -> Option<Draft> {
    let job = look.job;
    checks.of(&job.job)?;
    if let Some((newest, failed)) = entry.newest_new_run(look) {
        let is_bad = condition::event_of(newest.outcome) == Some(Event::Failed);
        let say = Say::Ping(match (is_bad, look.others_are_bad) {
            (true, _) => Ping::Fail,
            (false, true) => Ping::OthersFail,
            (false, false) => Ping::Success,
        });
        let last = job.last.as_ref().filter(|last| last.run == newest.run);
        let reason = last.and_then(|last| last.reason.clone());
        let run = Some(newest.run.clone());
        let draft = entry.draft(&job.job, say, look.now);
        return Some(Draft { run, reason, since: newest.started, meanwhile: failed, ..draft });
    }
    // Runs of several jobs would take each other for their own.
    let last =
        job.last.as_ref().filter(|last| last.finished.is_none() && checks.of_job.contains_key(&job.job))?;
    // A slot that is about to be skipped, as a run goes on, is seen as one for a moment: that run is not told again.
    if entry.started.as_ref().is_some_and(|(started, _)| last.started <= *started) {
        return None;
    }
    entry.started = Some((last.started, last.run.clone()));
    let run = Some(last.run.clone());
    Some(Draft { run, since: last.started, ..entry.draft(&job.job, Say::Ping(Ping::Start), look.now) })
}
