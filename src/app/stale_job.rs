//! The job `close-stale-sessions`: look, back up, close.

use jiff::Timestamp;
use ulid::Ulid;

use super::Shared;
use super::sqlite_job::{keep, of, problem};
use crate::config::values::JobName;
use crate::config::{JobConfig, StaleConfig};
use crate::jobs::{JobOutput, RunContext};
use crate::prometheus::preflight::Finding;
use crate::runner::Failure;
use crate::sqlite::SqliteError;
use crate::sqlite::restore::Notes;
use crate::sqlite::stale_sessions::{Access, Doubt, SessionsError, Stale, Survey, close, survey};
use crate::words;

pub(super) async fn run(
    shared: &Shared,
    job: &JobConfig,
    config: &StaleConfig,
    context: RunContext,
) -> Result<JobOutput, Failure> {
    let database =
        shared.free_database(&config.backup.database, &job.name).await.map_err(|error| of(&error))?;
    let step = context.progress.step("look for stale sessions", None);
    let access = Access::open(&database, context.run, &context.cancel).await.map_err(|error| of(&error))?;
    let found = survey(&access, &config.sessions, context.now).await.map_err(|error| of(&error))?;
    step.finish(summed(&found));
    for doubtful in &found.doubtful {
        context.progress.warn(doubtful.to_string());
    }
    if found.stale.is_empty() {
        return Ok(JobOutput { summary: summed(&found), ..JobOutput::default() });
    }
    // Before the backup: what is not closed needs none.
    let most = usize::try_from(config.sessions.max_rows).unwrap_or(usize::MAX);
    if found.stale.len() > most {
        return Err(of(&SessionsError::TooManyStale { found: found.stale.len(), most }.into()));
    }
    access.may_write().map_err(|error| of(&error))?;
    let kept = keep(shared, job, &config.backup, &database, &context).await?;
    let step = context.progress.step("close them", None);
    let notes = Notes::of(&shared.config.state_dir, &job.name);
    let backup = format!("{}/{}", job.name, kept.backup.id());
    let closed = close(&access, &config.sessions, &found, &notes, context.run, &backup).await;
    let closed = closed.map_err(|error| of(&error))?;
    step.finish(words::count(closed.sessions.len(), "session"));
    if closed.left > 0 {
        context.progress.warn(format!("{} had changed meanwhile, and were left alone", closed.left));
    }
    let facts = closed.sessions.iter().map(|stale| format!("closed {}", named(stale)));
    let undo = (!closed.sessions.is_empty())
        .then(|| format!("`watchkeeper restore {} --undo` opens them again", job.name));
    let output = JobOutput {
        summary: format!(
            "{} closed, with the end {}",
            words::count(closed.sessions.len(), "stale session"),
            found.end
        ),
        backup: Some(kept.backup.id().clone()),
        bytes: Some(kept.backup.size()),
        facts: facts.chain(kept.upkept.facts).chain(undo).collect(),
        verified: kept.upkept.verified,
        ..JobOutput::default()
    };
    match closed.failed {
        None => Ok(output),
        Some(error) => Err(Failure { output: Some(Box::new(output)), ..of(&error) }),
    }
}

/// What a run would do.
pub(super) async fn preview(
    shared: &Shared,
    job: &JobName,
    config: &StaleConfig,
    now: Timestamp,
) -> Vec<Finding> {
    let looked = async {
        let database = shared.free_database(&config.backup.database, job).await?;
        let cancel = tokio_util::sync::CancellationToken::new();
        let mark = Ulid::from_parts(now.as_millisecond().unsigned_abs(), 0);
        let access = Access::open(&database, mark, &cancel).await?;
        let found = survey(&access, &config.sessions, now).await?;
        Ok((found, access.may_write()))
    };
    let (found, writable): (Survey, Result<(), SqliteError>) = match looked.await {
        Ok(looked) => looked,
        Err(error) => return vec![problem(&error)],
    };
    let mut findings = vec![Finding::ok(summed(&found))];
    findings.extend(writable.err().as_ref().map(problem));
    findings.extend(found.stale.iter().map(|stale| Finding::ok(format!("would close {}", named(stale)))));
    let hint = "look at it by hand: it is left as it is";
    findings.extend(found.doubtful.iter().map(|doubtful| Finding::warning(doubtful.to_string(), hint)));
    let most = usize::try_from(config.sessions.max_rows).unwrap_or(usize::MAX);
    if found.stale.len() > most {
        let error = SessionsError::TooManyStale { found: found.stale.len(), most };
        findings.push(Finding::problem(error.to_string(), error.hint()));
    }
    findings
}

fn summed(found: &Survey) -> String {
    let stale = words::count(found.stale.len(), "stale session");
    let maybe = found.doubtful.iter().filter(|doubtful| matches!(doubtful.doubt, Doubt::Open(_))).count();
    let old = found.doubtful.len() - maybe;
    let maybe = if maybe == 0 {
        String::new()
    } else {
        format!(", {maybe} of which nobody knows whether they are open")
    };
    format!("{stale}, {} open for less, {old} left open because their age is in doubt{maybe}", found.open)
}

fn named(stale: &Stale) -> String {
    let Stale { session, hours, .. } = stale;
    format!("{} ({}): open for {hours} h, since {}", session.id, session.label, session.start)
}
