//! What a recovery has stopped that was killed before it could start it again: told, and started by a daemon.
//!
//! A daemon starts it because it ran, and was stopped only to run again: whoever killed the recovery, or the power that
//! failed, did not ask for it to be down. Where the recovery has ended by itself it has told what it left stopped and why,
//! and nobody acts against that.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use ulid::Ulid;

use super::{Shared, endpoint_of, lock_of};
use crate::app::App;
use crate::blocking::blocking;
use crate::config::values::{RunsAs, ServiceControl};
use crate::config::{Config, Target};
use crate::docker::Docker;
use crate::history::Cause;
use crate::jobs::{JobOutput, Outcome, RunContext};
use crate::progress::Silent;
use crate::recovery::{Fate, Journal, Ledger, Note, Part, Stopped, start_again};
use crate::runner::{Failure, Holder, Lock, Locks, Task};
use crate::service::Service;
use crate::words;

/// How long what is started again may take to be ready.
const LIMIT: Duration = Duration::from_mins(5);

/// Something that a recovery has stopped and nobody has started since.
#[derive(Debug, Clone, Serialize)]
pub struct LeftStopped {
    /// `application/app`, or `container db`
    pub part: String,
    /// `container app`, or `unit app.service`
    pub runs_as: String,
    /// What the recovery was of: `application/app`.
    pub target: String,
    /// The run that stopped it.
    pub run: Ulid,
    /// When.
    pub at: Timestamp,
    /// That run has ended by itself; else it was killed.
    pub has_ended: bool,
    /// Why it cannot be told whether it runs, where that is so.
    pub doubt: Option<String>,
    /// What a person types to start it.
    pub start: String,
}

impl LeftStopped {
    /// `container app was stopped at … by run …, which was killed, and is not started: …`
    pub fn words(&self, zone: &TimeZone) -> String {
        let Self { runs_as, target, run, at, start, .. } = self;
        let killed = if self.has_ended { "" } else { ", which was killed" };
        let is = match &self.doubt {
            Some(why) => format!("may be down still ({why})"),
            None => "is not started".to_owned(),
        };
        format!(
            "{runs_as} was stopped at {} by run {run}{killed}, and {is}: {start} starts it, `watchkeeper recover {target}` \
             starts it and looks whether it works",
            words::time(*at, zone)
        )
    }

    fn of(note: &Note, looked: &Looked) -> Option<Self> {
        let doubt = match &looked.fate {
            Fate::Down => None,
            Fate::Unknown(why) => Some(why.clone()),
            Fate::Ending | Fate::Settled => return None,
        };
        let Stopped { part, run, at, .. } = &looked.stopped;
        Some(Self {
            part: part.clone(),
            runs_as: looked.runs_as(),
            target: note.target.clone(),
            run: *run,
            at: *at,
            has_ended: note.has_ended,
            doubt,
            start: looked.start(),
        })
    }
}

/// A part that is noted as stopped, and what has become of it.
pub(super) struct Looked {
    pub(super) stopped: Stopped,
    pub(super) fate: Fate,
    service: Option<Service>,
}

impl Looked {
    fn runs_as(&self) -> String {
        match (&self.stopped.container, &self.service) {
            (Some(container), _) => format!("container {}", container.name),
            (None, Some(Service::Unit { name })) => format!("unit {name}"),
            (None, _) => self.stopped.part.clone(),
        }
    }

    fn start(&self) -> String {
        match (&self.stopped.container, &self.service) {
            (Some(container), _) => format!("`docker start {}`", container.name),
            (None, Some(Service::Unit { name })) => format!("`systemctl start {name}`"),
            (None, Some(Service::Commands { start, .. })) => format!("`{}`", start.join(" ")),
            (None, _) => "whoever controls it".to_owned(),
        }
    }

    /// As a part that is started. What it is called now is what it was called.
    pub(super) fn part(&self, shared: &Shared) -> Option<Part> {
        let name = self.stopped.part.clone();
        let service = match (self.service.clone()?, &self.stopped.container) {
            (Service::Container { docker, .. }, Some(container)) => {
                Service::Container { docker, name: container.name.clone() }
            }
            (service, _) => service,
        };
        let target = shared.config.target(&name).ok();
        let question = target.and_then(|target| shared.question_of(&target).ok().flatten());
        Some(Part { name, service, questions: question.into_iter().collect(), after: Vec::new(), ran: true })
    }
}

/// What has become of each part of a note. `engine`: why there is none, where there is none.
async fn look(
    config: &Config,
    engine: Option<Result<Docker, String>>,
    note: &Note,
    now: Timestamp,
) -> Vec<Looked> {
    let mut all = Vec::new();
    for stopped in note.stopped.clone() {
        let (fate, service) = match service_of(config, engine.as_ref(), &stopped) {
            // It is not configured any more.
            Ok(None) => (Fate::Settled, None),
            Ok(Some(service)) => (stopped.fate(&service, now).await, Some(service)),
            Err(why) => (Fate::Unknown(why), None),
        };
        all.push(Looked { stopped, fate, service });
    }
    all
}

/// What a part is stopped and started as. A note of commands would be commands that whoever may write the note has made up:
/// they are those of the configuration.
fn service_of(
    config: &Config,
    engine: Option<&Result<Docker, String>>,
    stopped: &Stopped,
) -> Result<Option<Service>, String> {
    if let Some(container) = &stopped.container {
        return match engine {
            Some(Ok(docker)) => {
                Ok(Some(Service::Container { docker: docker.clone(), name: container.id.clone() }))
            }
            Some(Err(why)) => Err(why.clone()),
            None => Ok(None),
        };
    }
    let Ok(target) = config.target(&stopped.part) else { return Ok(None) };
    let Some(RunsAs::Service(control)) = config.runs_as(&target) else { return Ok(None) };
    let Some(endpoint) = endpoint_of(config, &target) else { return Ok(None) };
    Ok(Some(match control {
        ServiceControl::Unit(name) => Service::Unit { name },
        ServiceControl::Commands { stop, start } => {
            Service::Commands { stop, start, url: endpoint.url.clone() }
        }
    }))
}

fn needs_docker(note: &Note) -> bool {
    note.stopped.iter().any(|stopped| stopped.container.is_some())
}

/// What recoveries have stopped and nobody has started since, as far as it is not one that is under way. Writes nothing.
pub async fn left_stopped(config: &Config, docker_host: Option<&str>, now: Timestamp) -> Vec<LeftStopped> {
    if Locks::new(&config.state_dir).is_held(&Lock::Recovery) {
        return Vec::new();
    }
    let mut left = Vec::new();
    for journal in Journal::all(&config.state_dir) {
        let Ok(Some(note)) = journal.read() else { continue };
        let engine = if needs_docker(&note) {
            Some(Docker::connect(docker_host).await.map_err(|error| words::chain(&error)))
        } else {
            None
        };
        let looked = look(config, engine, &note, now).await;
        left.extend(looked.iter().filter_map(|looked| LeftStopped::of(&note, looked)));
    }
    left
}

impl Shared {
    /// What is noted of earlier recoveries of a target, and what has become of it.
    pub(super) async fn noted(&self, target: &Target, now: Timestamp) -> io::Result<Vec<Looked>> {
        let journal = Journal::of(&self.config.state_dir, &target.recoveries());
        match blocking(move || journal.read()).await? {
            Some(note) => Ok(self.looked(&note, now).await),
            None => Ok(Vec::new()),
        }
    }

    async fn looked(&self, note: &Note, now: Timestamp) -> Vec<Looked> {
        let engine = if needs_docker(note) {
            Some(self.docker().await.cloned().map_err(|error| words::chain(&error)))
        } else {
            None
        };
        look(&self.config, engine, note, now).await
    }
}

/// Starts again what recoveries have stopped that were killed: of each run once.
#[derive(Default)]
pub(in crate::app) struct Finisher {
    tried: tokio::sync::Mutex<BTreeSet<Ulid>>,
}

impl Finisher {
    /// Looks, and does it.
    pub(in crate::app) async fn look(&self, app: &App) {
        let mut tried = self.tried.lock().await;
        for journal in Journal::all(&app.config().state_dir) {
            if app.runner.locks.is_held(&Lock::Recovery) {
                return;
            }
            match journal.read() {
                Ok(Some(note)) => look_at(app, &journal, &note, &mut tried).await,
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(
                        error = words::chain(&error),
                        "a note of what a recovery stopped cannot be read"
                    );
                }
            }
        }
    }
}

async fn look_at(app: &App, journal: &Journal, note: &Note, tried: &mut BTreeSet<Ulid>) {
    let looked = app.shared.looked(note, (app.runner.clock)()).await;
    if looked.iter().any(|looked| looked.fate == Fate::Settled) {
        forget_settled(app, journal, note, &looked);
    }
    let Some(first) = looked.iter().find(|looked| looked.fate == Fate::Down) else { return };
    let run = first.stopped.run;
    let ends = looked.iter().any(|looked| looked.fate == Fate::Ending);
    if note.has_ended || ends || app.runner.stop.is_cancelled() || tried.contains(&run) {
        return;
    }
    let mut locks = vec![Lock::Recovery, Lock::Job(note.job.clone())];
    let targets = looked.iter().filter_map(|looked| app.config().target(&looked.stopped.part).ok());
    locks.extend(targets.map(|target| lock_of(&target)));
    // Whoever uses it now, as a restore does, has stopped it for a reason.
    if locks.iter().any(|lock| app.runner.locks.is_held(lock)) {
        return;
    }
    let task = Task { veil: app.shared.veil(), ..Task::once(&note.job, Target::RECOVERY_KIND, locks) };
    let (shared, journal, clock) = (Arc::clone(&app.shared), journal.clone(), app.runner.clock);
    let work = move |context| {
        let (shared, journal) = (Arc::clone(&shared), journal.clone());
        Box::pin(async move { start(&shared, &journal, clock, &context).await })
    };
    // Not the time of the run that was killed: another daemon may have tried it before.
    let report = app.runner.run(&task, Cause::CatchUp(clock()), Arc::new(Silent), work).await;
    if report.outcome != Some(Outcome::Skipped) {
        tried.insert(run);
    }
}

/// What somebody has started or removed is nobody's business any more.
fn forget_settled(app: &App, journal: &Journal, note: &Note, looked: &[Looked]) {
    let holder = Holder {
        pid: std::process::id(),
        since: (app.runner.clock)(),
        job: Some(note.job.clone()),
        run: None,
    };
    let Ok(_held) = app.runner.locks.take(&[Lock::Recovery], &holder) else { return };
    // Another recovery may have been there meanwhile.
    if journal.read().ok().flatten().as_ref() != Some(note) {
        return;
    }
    let stopped = looked.iter().filter(|looked| looked.fate != Fate::Settled);
    let stopped = stopped.map(|looked| looked.stopped.clone()).collect();
    if let Err(error) = journal.write(&Note { stopped, ..note.clone() }) {
        let error = words::chain(&error);
        tracing::warn!(error, "a note of what a recovery stopped, and somebody has started, stays");
    }
}

/// Starts what is down of a note, the last that was stopped first.
async fn start(
    shared: &Shared,
    journal: &Journal,
    clock: fn() -> Timestamp,
    context: &RunContext,
) -> Result<JobOutput, Failure> {
    let read = journal.read().map_err(|error| Failure::of(&error, None, false))?;
    let Some(note) = read else {
        let summary = "all that was stopped runs again".to_owned();
        return Ok(JobOutput { summary, ..JobOutput::default() });
    };
    let looked = shared.looked(&note, clock()).await;
    let down: Vec<&Looked> = looked.iter().rev().filter(|looked| looked.fate == Fate::Down).collect();
    let parts: Vec<Part> = down.iter().filter_map(|looked| looked.part(shared)).collect();
    let zone = &shared.config.timezone;
    let told: Vec<LeftStopped> = down.iter().filter_map(|looked| LeftStopped::of(&note, looked)).collect();
    let mut ledger = Ledger::new(journal.clone(), note.clone(), clock);
    let started = start_again(&parts, LIMIT, context, &mut ledger).await;
    for left in &told {
        context.progress.warn(format!(
            "{} was stopped at {} by run {}, which was killed before it could start it again: it was started now",
            left.runs_as,
            words::time(left.at, zone),
            left.run
        ));
    }
    let name = |part: usize| parts.get(part).map_or("", |part| part.name.as_str());
    let verified = started.ready.iter().map(|(part, seen)| format!("{}: {seen}", name(*part))).collect();
    let count = words::count(started.ready.len(), "part");
    let output = JobOutput {
        summary: format!("{count} started again that a killed recovery of {} had stopped", note.target),
        verified,
        next: vec![format!("`watchkeeper recover {}` looks whether all of it works", note.target)],
        ..JobOutput::default()
    };
    let Some(first) = started.troubles.first() else { return Ok(output) };
    let all: Vec<String> = started.troubles.iter().map(|trouble| words::chain(&trouble.error)).collect();
    let hint = first.error.hint();
    let reason = format!("not all that a killed recovery had stopped is back: {}", all.join("; "));
    Err(Failure { hint, output: Some(Box::new(output)), ..Failure::new(reason) })
}
