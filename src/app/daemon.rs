//! The daemon: takes what is due and runs it, so that every slot of every job ran, was caught up, was skipped with a
//! reason, or is noted as missed.
//!
//! A slot that ran or was skipped has a run in the history. Only when all slots of a job up to a time have one, or are
//! noted as missed, does the history say that they are known up to then; what a daemon that was killed left between is
//! found at the next start.

mod books;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::App;
use crate::config::JobConfig;
use crate::config::values::{JobName, OnOverlap};
use crate::history::Cause;
use crate::progress::Silent;
use crate::runner::Patience;
use crate::schedule::driver::{Due, Jobs, Leap, Tick};
use crate::schedule::{self, Schedule};
use crate::words;
use books::Books;

/// How often it is looked whether what a job runs after has ended elsewhere.
const LOOK_AFTER: Duration = Duration::from_secs(15);

/// The jobs with a schedule.
pub fn scheduled(app: &App) -> Jobs {
    let due = |job: &JobConfig| Some((job.name.clone(), schedule_of(job)?.clone()));
    app.config().jobs.iter().filter_map(due).collect()
}

fn schedule_of(job: &JobConfig) -> Option<&Schedule> {
    job.schedule.as_ref().filter(|_| job.enabled)
}

/// Runs what is due.
pub struct Daemon {
    app: Arc<App>,
    books: Books,
    queues: BTreeMap<JobName, Queue>,
    /// Places for runs, as many as the configuration allows.
    places: Arc<Semaphore>,
    runs: JoinSet<()>,
    running: BTreeMap<Id, JobName>,
    stop: CancellationToken,
}

/// What runs and waits of a job.
#[derive(Debug, Default)]
struct Queue {
    running: Option<Cause>,
    waiting: VecDeque<Cause>,
    /// The newest slot that came.
    newest: Option<Timestamp>,
}

impl Daemon {
    /// Looks what was missed since a daemon last ran, up to `now`, and begins to make up for it. `stop`: begin nothing
    /// more.
    pub async fn begin(app: Arc<App>, now: Timestamp, stop: CancellationToken) -> Self {
        let places = Arc::new(Semaphore::new(app.config().max_concurrent));
        let books = Books::new(Arc::clone(&app.runner().history), app.config().timezone.clone());
        let (queues, runs, running) = (BTreeMap::new(), JoinSet::new(), BTreeMap::new());
        let mut daemon = Self { app, books, queues, places, runs, running, stop };
        let jobs = daemon.jobs();
        daemon.books.forget_others(&jobs).await;
        for job in &jobs {
            let caught_up = daemon.books.settle(job, now, None).await;
            daemon.catch_up(job, caught_up);
            daemon.books.adopt_after(job, now).await;
        }
        daemon
    }

    /// Takes what is due until nothing more comes, and waits for what runs then. `reloads` brings the program with
    /// another configuration.
    pub async fn serve(mut self, mut ticks: mpsc::Receiver<Tick>, mut reloads: mpsc::Receiver<Arc<App>>) {
        let mut looks = tokio::time::interval(LOOK_AFTER);
        loop {
            tokio::select! {
                // What a person ran, or another daemon before this one, may have been what a job waits for.
                _ = looks.tick() => self.successors().await,
                Some(ended) = self.runs.join_next_with_id() => {
                    self.ended(ended).await;
                    self.successors().await;
                }
                Some(app) = reloads.recv() => self.reload(app).await,
                tick = ticks.recv() => match tick {
                    Some(Tick::Due(due)) => self.due(due).await,
                    Some(Tick::Leap(leap)) => self.leap(leap).await,
                    None => break,
                },
            }
        }
        if !self.runs.is_empty() {
            tracing::info!(running = self.runs.len(), "waiting for running jobs to end");
        }
        while let Some(ended) = self.runs.join_next_with_id().await {
            self.ended(ended).await;
        }
    }

    /// The jobs that run by themselves.
    fn jobs(&self) -> Vec<JobConfig> {
        let by_themselves = |job: &&JobConfig| job.enabled && (job.schedule.is_some() || job.after.is_some());
        self.app.config().jobs.iter().filter(by_themselves).cloned().collect()
    }

    async fn due(&mut self, due: Due) {
        let Some(job) = self.app.config().job(due.job.as_str()).cloned() else { return };
        let paused = self.books.pause(&job.name).await;
        let queue = self.queues.entry(due.job).or_default();
        queue.newest = queue.newest.max(Some(due.slot));
        let cause = Cause::Scheduled(due.slot);
        let skipped = match (paused, queue.running) {
            (Some(reason), None) => return self.books.missed(&job, due.slot, reason).await,
            (None, None) => return self.start(&job, cause),
            (Some(reason), Some(_)) => Some(reason),
            (None, Some(running)) => refused(running, queue, job.slots.on_overlap),
        };
        match skipped {
            None => queue.waiting.push_back(cause),
            Some(reason) => {
                let kind = job.kind.kind_name();
                drop(self.app.runner().skip(&job.name, kind, cause, reason).await);
            }
        }
    }

    /// The clock leapt, or the machine slept: what was missed is treated as after a time without a daemon.
    async fn leap(&mut self, leap: Leap) {
        for job in self.jobs() {
            let caught_up = self.books.settle(&job, leap.to, Some(leap)).await;
            self.catch_up(&job, caught_up);
        }
    }

    fn catch_up(&mut self, job: &JobConfig, slots: Vec<Timestamp>) {
        for slot in slots {
            let queue = self.queues.entry(job.name.clone()).or_default();
            queue.newest = queue.newest.max(Some(slot));
            let cause = Cause::CatchUp(slot);
            match queue.running {
                Some(_) => queue.waiting.push_back(cause),
                None => self.start(job, cause),
            }
        }
    }

    /// Goes on with another configuration. What runs goes on with the one it began with.
    async fn reload(&mut self, app: Arc<App>) {
        self.places = Arc::new(Semaphore::new(app.config().max_concurrent));
        self.app = app;
        let now = (self.app.runner().clock)();
        let jobs = self.jobs();
        self.books.forget_others(&jobs).await;
        for job in &jobs {
            self.books.adopt(job, now).await;
            self.books.adopt_after(job, now).await;
        }
    }

    /// Starts the jobs whose predecessors have all ended.
    async fn successors(&mut self) {
        for job in self.jobs().into_iter().filter(|job| job.after.is_some()) {
            let is_idle = self.queues.get(&job.name).is_none_or(|queue| queue.running.is_none());
            if !is_idle || self.stop.is_cancelled() {
                continue;
            }
            let Some((slot, failed)) = self.books.due_after(&job).await else { continue };
            let cause = Cause::After(slot);
            match self.books.pause(&job.name).await.or(failed) {
                None => self.start(&job, cause),
                Some(reason) => {
                    drop(self.app.runner().skip(&job.name, job.kind.kind_name(), cause, reason).await);
                }
            }
        }
    }

    fn start(&mut self, job: &JobConfig, cause: Cause) {
        let (app, places, stop, job) =
            (Arc::clone(&self.app), Arc::clone(&self.places), self.stop.clone(), job.clone());
        self.queues.entry(job.name.clone()).or_default().running = Some(cause);
        let name = job.name.clone();
        let run = self.runs.spawn(async move {
            let jitter = cause.slot().map(|slot| schedule::jitter(&job.name, slot, job.slots.jitter));
            let place = async {
                tokio::time::sleep(jitter.unwrap_or_default()).await;
                places.acquire_owned().await
            };
            let _place = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                place = place => place,
            };
            let patience = Patience { for_job: job.slots.on_overlap == OnOverlap::Queue, stop };
            app.run_job(&job, cause, Some(patience), Arc::new(Silent)).await;
        });
        self.running.insert(run.id(), name);
    }

    async fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => {
                tracing::error!(error = words::chain(error), "a run broke off");
                error.id()
            }
        };
        let Some(name) = self.running.remove(&id) else { return };
        let Some(queue) = self.queues.get_mut(&name) else { return };
        queue.running = None;
        let next = queue.waiting.pop_front();
        let newest = queue.newest;
        // Told to stop, it may not have begun: the next start looks at it again.
        if self.stop.is_cancelled() {
            return;
        }
        let Some(job) = self.app.config().job(name.as_str()).cloned() else { return };
        match (next, newest) {
            (Some(cause), _) => self.start(&job, cause),
            (None, Some(newest)) => self.books.known_until(&job, newest).await,
            (None, None) => {}
        }
    }
}

/// Why a slot that comes while the job runs is skipped; nothing where it waits.
fn refused(running: Cause, queue: &Queue, on_overlap: OnOverlap) -> Option<String> {
    let slot = running.slot().map(|slot| format!(" for the slot {slot}")).unwrap_or_default();
    let still = format!("the run{slot} has not ended");
    // What is made up for must not cost the slots that come meanwhile.
    let catches_up = |cause: &Cause| matches!(cause, Cause::CatchUp(_));
    if catches_up(&running) || queue.waiting.iter().any(catches_up) {
        return queue
            .waiting
            .iter()
            .any(|cause| !catches_up(cause))
            .then(|| format!("{still}, and another waits"));
    }
    match on_overlap {
        OnOverlap::Skip => Some(still),
        OnOverlap::Queue if queue.waiting.is_empty() => None,
        OnOverlap::Queue => Some(format!("{still}, and another waits")),
    }
}
