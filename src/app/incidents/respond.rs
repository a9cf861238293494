//! The response to an incident: its steps are made, and what they found goes into the timeline; then, where something was
//! found and the response allows it, jobs of the configuration are run as all others are, and no more often than it allows.
//!
//! An alert only chooses the response. Nothing of it gets into a step or a job.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::blocking::blocking;
use crate::config::JobConfig;
use crate::config::response::Response as Wanted;
use crate::config::values::JobName;
use crate::history::{Cause, History, HistoryError, RunReport};
use crate::incident::{Entry, EntryKind, Incident, Number, Response};
use crate::jobs::Outcome;
use crate::progress::Silent;
use crate::response::{Context, Diagnosis, Severity, StepResult};
use crate::words;

/// What all responses share.
#[derive(Clone)]
pub(super) struct Responder {
    pub(super) app: Arc<App>,
    /// Nothing more is begun.
    pub(super) stop: CancellationToken,
    /// Held by who counts what was run and runs something: of two, the second counts what the first has run.
    pub(super) acts: Arc<Mutex<()>>,
}

impl Responder {
    /// Responds to an incident of which it is noted that this begins. Told to stop before anything was changed, it leaves it
    /// to the next daemon.
    pub(super) async fn respond(self, incident: Incident, wanted: Wanted) {
        if let Err(error) = self.respond_or_fail(&incident, &wanted).await {
            let (incident, error) = (incident.number, words::chain(&error));
            tracing::warn!(%incident, error, "what its response came to cannot be noted");
        }
    }

    async fn respond_or_fail(&self, incident: &Incident, wanted: &Wanted) -> Result<(), HistoryError> {
        let diagnosis = self.app.diagnose(wanted, Context::LAST, &self.stop).await;
        if self.stop.is_cancelled() {
            return Ok(());
        }
        let (number, jobs) = (incident.number, &diagnosis.would_do);
        let next = if jobs.is_empty() { Response::Done } else { Response::Acts };
        self.note(number, next, entries(&diagnosis, wanted)).await?;
        for job in jobs {
            if !self.act(number, job, wanted).await? {
                return Ok(());
            }
        }
        if jobs.is_empty() { Ok(()) } else { self.note(number, Response::Done, Vec::new()).await }
    }

    /// Runs a job, or says why not. False where it was told to stop before.
    async fn act(&self, number: Number, name: &JobName, wanted: &Wanted) -> Result<bool, HistoryError> {
        let _alone = self.acts.lock().await;
        if self.stop.is_cancelled() {
            return Ok(false);
        }
        let job = self.app.config().job(name.as_str()).cloned();
        let Some(job) = job else {
            let text = format!("the job {name} is not run: it is not in the configuration any more");
            self.note(number, Response::Acts, vec![self.entry(text)]).await?;
            return Ok(true);
        };
        if let Some(why) = self.refusal(number, &job, wanted).await? {
            let text = format!("the job {name} is not run: {why}");
            tracing::warn!(incident = %number, "{text}");
            self.note(number, Response::Acts, vec![self.entry(text)]).await?;
            return Ok(true);
        }
        let begins = self.entry(format!("the job {name} is run, as the response allows"));
        self.note(number, Response::Acts, vec![begins]).await?;
        let report = self.app.run_job(&job, Cause::Incident(number), None, Arc::new(Silent)).await;
        self.note(number, Response::Acts, vec![self.ended(&report)]).await?;
        Ok(true)
    }

    /// Why a job is not to be run now.
    async fn refusal(
        &self,
        number: Number,
        job: &JobConfig,
        wanted: &Wanted,
    ) -> Result<Option<String>, HistoryError> {
        if !job.enabled {
            return Ok(Some("it is disabled".to_owned()));
        }
        let (history, name, now) = (self.history(), job.name.clone(), (self.app.runner.clock)());
        let (allow, cap, zone) = (wanted.allow.clone(), wanted.cap, self.app.config().timezone.clone());
        blocking(move || {
            if history.incident(number)?.is_none_or(|(incident, _)| !incident.is_open()) {
                return Ok(Some("the incident is closed".to_owned()));
            }
            if let Some(pause) = history.pause_of(&name)? {
                return Ok(Some(pause.words(&zone)));
            }
            let within = SignedDuration::try_from(cap.within).unwrap_or(SignedDuration::MAX);
            let since = now.checked_sub(within).unwrap_or(Timestamp::MIN);
            let ran = allow.iter().map(|job| history.runs_of_incidents(job, since));
            let ran = ran.sum::<Result<usize, HistoryError>>()?;
            let most = words::count(cap.runs as usize, "run");
            let within = words::duration(cap.within);
            Ok((ran >= cap.runs as usize)
                .then(|| format!("at most {most} within {within} are allowed, and so many there were")))
        })
        .await
    }

    fn ended(&self, report: &RunReport) -> Entry {
        let outcome = report.outcome.map_or("running", Outcome::word);
        let summary = report.output.as_ref().map(|output| output.summary.clone());
        let said = report.reason.clone().or(summary).map(|said| format!(": {said}")).unwrap_or_default();
        let text = format!("the job {}: {outcome}{said}", report.job);
        Entry { run: Some(report.run.to_string()), ..self.entry(text) }
    }

    fn entry(&self, text: String) -> Entry {
        Entry::new((self.app.runner.clock)(), EntryKind::Action, text)
    }

    fn history(&self) -> Arc<History> {
        Arc::clone(&self.app.runner.history)
    }

    async fn note(
        &self,
        number: Number,
        response: Response,
        entries: Vec<Entry>,
    ) -> Result<(), HistoryError> {
        let history = self.history();
        blocking(move || history.note_response(number, response, None, &entries)).await
    }
}

/// What a diagnosis says, as lines of a timeline: the steps, and what it comes to.
fn entries(diagnosis: &Diagnosis, wanted: &Wanted) -> Vec<Entry> {
    let verdict = match diagnosis.severity() {
        Severity::Good => "nothing is wrong that was looked at",
        Severity::Caution => "something needs a look",
        Severity::Bad => "something is wrong",
    };
    let took = SignedDuration::try_from(diagnosis.took).unwrap_or_default();
    let ended = diagnosis.began.checked_add(took).unwrap_or(diagnosis.began);
    let held = match (wanted.allow.is_empty(), diagnosis.would_do.is_empty()) {
        (false, true) => "; no job is run for that",
        _ => "",
    };
    let text = format!("{} was looked at: {verdict}{held}", diagnosis.target);
    let recommends = lines(diagnosis.recommends.iter().map(String::as_str));
    let sum = Entry { detail: recommends, ..Entry::new(ended, EntryKind::Response, text) };
    diagnosis.steps.iter().map(|step| of_step(step, diagnosis.began)).chain([sum]).collect()
}

fn of_step(step: &StepResult, at: Timestamp) -> Entry {
    let worst = step.findings.iter().map(|finding| finding.severity).max();
    let findings = step.findings.iter().filter(|finding| Some(finding.severity) == worst);
    let found: Vec<&str> = findings.map(|finding| finding.text.as_str()).collect();
    let said = match &step.error {
        Some(error) => format!("was not looked at: {error}"),
        None if found.is_empty() => "nothing was found".to_owned(),
        None => found.join("; "),
    };
    let detail = lines(step.evidence.iter().map(String::as_str));
    Entry { detail, ..Entry::new(at, EntryKind::Step, format!("{}: {said}", step.name)) }
}

fn lines<'a>(lines: impl Iterator<Item = &'a str>) -> Option<String> {
    let lines: Vec<&str> = lines.collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}
