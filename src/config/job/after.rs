//! Jobs that run after others.

use crate::config::job::Placed;
use crate::config::read::{Item, Report, Section, nearest};
use crate::config::values::JobName;

/// After which jobs a job runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    /// When each of them has ended. At least one.
    pub jobs: Vec<JobName>,
    /// How they must have ended.
    pub outcome: AfterOutcome,
}

/// How the jobs before must have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterOutcome {
    /// All done, if with warnings; else the run is skipped.
    Success,
    /// However.
    Always,
}

/// Reads `after` and `after_outcome`. Whether the jobs are there is looked at by [`check`] when all are read.
pub(super) fn after(section: &mut Section<'_, '_>) -> Option<After> {
    let outcomes = [("success", AfterOutcome::Success), ("always", AfterOutcome::Always)];
    let outcome_item = section.get("after_outcome");
    let outcome = outcome_item.as_ref().and_then(|item| super::choice(item, &outcomes));
    let Some(item) = section.get("after") else {
        if let Some(item) = outcome_item {
            item.error(
                "\"after_outcome\" means nothing without \"after\"",
                Some("name the jobs in \"after\"".to_owned()),
            );
        }
        return None;
    };
    if section.has("schedule") {
        let hint = "it runs whenever those jobs have ended; remove one of the two".to_owned();
        item.error("a job has a \"schedule\" or an \"after\", not both", Some(hint));
        return None;
    }
    if let Some(missed) = section.get("on_missed") {
        let hint = "a job that runs after others has no slots of its own that could be missed: remove it";
        missed.warn("\"on_missed\" means nothing with \"after\"", Some(hint.to_owned()));
    }
    let elements = item.elements("a list of jobs")?;
    let named: Vec<JobName> = elements.iter().filter_map(Item::name).collect();
    let mut jobs: Vec<JobName> = Vec::new();
    for (job, element) in named.iter().zip(&elements) {
        if jobs.contains(job) {
            let hint = Some("once is enough; remove it, or name the job that was meant".to_owned());
            element.warn(format!("\"after\" names {:?} twice", job.as_str()), hint);
        } else {
            jobs.push(job.clone());
        }
    }
    if elements.is_empty() {
        item.error("\"after\" names no job", Some("such as after = [\"prometheus-snapshot\"]".to_owned()));
    }
    (named.len() == elements.len() && !jobs.is_empty())
        .then_some(After { jobs, outcome: outcome.unwrap_or(AfterOutcome::Success) })
}

/// Every job that another runs after must be there, and none may wait for itself.
pub(in crate::config) fn check(report: &Report<'_>, jobs: &[Placed]) {
    for placed in jobs {
        let Some(after) = &placed.job.after else { continue };
        for name in &after.jobs {
            let before = of(jobs, name);
            if let Some(why) = before.and_then(never_runs).filter(|_| placed.job.enabled) {
                let message = format!(
                    "job {:?} runs after {:?}, which {why}: it runs only when a person runs that",
                    placed.job.name.as_str(),
                    name.as_str()
                );
                let hint = format!("`watchkeeper run-now {name}` does; or give it a schedule");
                report.warn(&placed.span, message, Some(hint));
            }
            if before.is_none() {
                let names = jobs.iter().map(|other| other.job.name.as_str());
                let hint = nearest(name.as_str(), names).map(|near| format!("did you mean {near:?}?"));
                report.error(&placed.span, format!("there is no job {:?} to run after", name.as_str()), hint);
            }
        }
        if waits_for(jobs, &placed.job.name) {
            let message = format!("job {:?} would run after itself", placed.job.name.as_str());
            report.error(&placed.span, message, Some("break the circle of \"after\"".to_owned()));
        }
    }
}

/// Why a job never runs by itself, where it does not.
fn never_runs(placed: &Placed) -> Option<&'static str> {
    let job = &placed.job;
    let by_itself = job.schedule.is_some() || job.after.is_some();
    if !job.enabled {
        Some("is disabled")
    } else if !by_itself {
        Some("has no schedule")
    } else {
        None
    }
}

fn of<'a>(jobs: &'a [Placed], name: &JobName) -> Option<&'a Placed> {
    jobs.iter().find(|other| other.job.name == *name)
}

/// Whether a job is among those that it waits for, those that these wait for, and so on.
fn waits_for(jobs: &[Placed], name: &JobName) -> bool {
    let before =
        |name: &JobName| of(jobs, name).and_then(|placed| placed.job.after.clone()).map(|after| after.jobs);
    let mut seen: Vec<JobName> = Vec::new();
    let mut to_see = before(name).unwrap_or_default();
    while let Some(next) = to_see.pop() {
        if next == *name {
            return true;
        }
        if !seen.contains(&next) {
            to_see.extend(before(&next).unwrap_or_default());
            seen.push(next);
        }
    }
    false
}
