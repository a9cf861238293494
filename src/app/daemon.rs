//! The daemon: takes what is due and runs it, so that every slot of every job ran, was caught up, was skipped with a
//! reason, or is noted as missed.
//!
//! A slot that ran or was skipped has a run in the history. Only when all slots of a job up to a time have one, or are
//! noted as missed, does the history say that they are known up to then; what a daemon that was killed left between is
//! found at the next start.

mod account;
mod books;
mod queue;
mod retries;
mod settle;
mod waits;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::App;
use super::recover::Finisher;
use crate::config::JobConfig;
use crate::config::values::{JobName, OnOverlap};
use crate::history::{Cause, MissedSlots, SlotFate, Standing, WaitingRun};
use crate::progress::Silent;
use crate::runner::{Entry as Beginning, Heartbeat, Origin, Patience, Places};
use crate::schedule::driver::{Due, Jobs, Leap, Tick};
use crate::schedule::{self, Schedule};
use crate::words;
use account::Unwatched;
pub(super) use books::tell_renewed;
use books::{Books, Entry, Waiting, Whose};
use queue::{Queue, Running, refused};
use waits::Told;

/// How often it is looked whether what a job runs after has ended elsewhere, and whether what could not be written can be
/// now.
const LOOK_AFTER: Duration = Duration::from_secs(15);

/// How many of these looks there are for one sign of life.
const LOOKS_PER_BEAT: u32 = 4;

/// How many of them there are until it is looked whether the history is to be tidied: an hour.
const LOOKS_PER_TIDYING: u32 = 240;
/// It may take so long of each hour: much that is old is forgotten bit by bit.
const TIDYING: Duration = Duration::from_mins(5);

/// So many ticks are taken at once at most.
const AT_ONCE: usize = 64;

/// The program with another configuration, for the plan with this number.
pub type Reload = (u64, Arc<App>);

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
    places: Places,
    runs: JoinSet<()>,
    running: BTreeMap<Id, JobName>,
    stop: CancellationToken,
    /// Jobs that are no more are forgotten.
    is_tidy: bool,
    /// When this daemon began.
    began: Timestamp,
    /// Every run that waited then for its next attempt has been taken up, or was cut.
    has_taken_up: bool,
    taken_up: BTreeSet<Ulid>,
    /// When a daemon last lived before this one.
    alive: Option<Timestamp>,
    heartbeat: Heartbeat,
    told: Told,
    /// Starts again what killed recoveries have stopped.
    finisher: Arc<Finisher>,
    finishing: JoinSet<()>,
}

/// What is to be run.
struct Run {
    origin: Origin,
    cause: Cause,
    /// How long it waits first, and what for.
    delay: Duration,
    waits_for: String,
    resumed: Option<Arc<WaitingRun>>,
}

impl Daemon {
    /// Looks what was missed since a daemon last ran, up to `now`, and begins to make up for it. `stop`: begin nothing
    /// more.
    pub async fn begin(app: Arc<App>, now: Timestamp, stop: CancellationToken) -> Self {
        app.runner().history.be_brief();
        let places = Places::new(app.config().max_concurrent);
        let books = Books::new(Arc::clone(&app.runner().history), app.config().timezone.clone());
        let (queues, runs, running) = (BTreeMap::new(), JoinSet::new(), BTreeMap::new());
        let (is_tidy, has_taken_up, taken_up) = (false, false, BTreeSet::new());
        let heartbeat = Heartbeat::new(&app.config().state_dir);
        let (alive, told) = (heartbeat.last(), Told::default());
        let mut daemon = Self {
            app,
            books,
            queues,
            places,
            runs,
            running,
            stop,
            is_tidy,
            began: now,
            has_taken_up,
            taken_up,
            alive,
            heartbeat,
            told,
            finisher: Arc::default(),
            finishing: JoinSet::new(),
        };
        let jobs = daemon.jobs();
        daemon.books.begin(now).await;
        // What ran then was not missed.
        daemon.app.runner().unwritten.load(&daemon.app.config().state_dir);
        daemon.books.write_runs(&daemon.app.runner().unwritten).await;
        daemon.app.runner().unwritten.save(&daemon.app.config().state_dir);
        daemon.is_tidy = daemon.settle_others().await;
        // Before what was missed: that waits for it.
        daemon.take_up(now).await;
        let time = daemon.downtime();
        for jobs in jobs.chunks(AT_ONCE) {
            if daemon.stop.is_cancelled() {
                break;
            }
            daemon.settle(jobs, &time).await;
        }
        daemon
    }

    /// Takes what is due until nothing more comes, and waits for what runs then. `reloads` brings the program with
    /// another configuration, before a tick says from when on it holds.
    pub async fn serve(mut self, mut ticks: mpsc::Receiver<Tick>, mut reloads: mpsc::Receiver<Reload>) {
        let mut looks = tokio::time::interval_at(Instant::now() + LOOK_AFTER, LOOK_AFTER);
        let (mut looked, mut came) = (0_u32, Vec::new());
        self.beat();
        self.finish_recoveries();
        self.successors().await;
        self.look_soon();
        let stop = self.stop.clone();
        loop {
            tokio::select! {
                // The first of all: what waits now ends by itself.
                biased;
                () = stop.cancelled(), if !self.has_told_last() => self.tell_last_waits().await,
                () = self.is_to_look() => {
                    self.write_ended().await;
                    self.tell_waits().await;
                }
                // What a person ran, or another daemon before this one, may have been what a job waits for.
                _ = looks.tick() => {
                    self.write_open().await;
                    self.begin_deferred().await;
                    self.successors().await;
                    self.tell_waits().await;
                    self.finish_recoveries();
                    looked = looked.wrapping_add(1);
                    if looked % LOOKS_PER_TIDYING == 1 {
                        // It may take a while the first time, and nobody waits for it.
                        let app = Arc::clone(&self.app);
                        tokio::spawn(async move { app.tidy_history(TIDYING).await });
                    }
                    if looked.is_multiple_of(LOOKS_PER_BEAT) {
                        self.beat();
                    }
                }
                Some(ended) = self.runs.join_next_with_id() => {
                    self.ended(ended).await;
                    self.successors().await;
                }
                count = ticks.recv_many(&mut came, AT_ONCE) => match count {
                    0 => break,
                    _ => self.come(std::mem::take(&mut came), &mut reloads).await,
                },
            }
        }
        self.beat();
        if !self.runs.is_empty() {
            tracing::info!(running = self.runs.len(), "waiting for running jobs to end");
        }
        while let Some(ended) = self.runs.join_next_with_id().await {
            self.ended(ended).await;
        }
        while self.finishing.join_next().await.is_some() {}
        self.write_ended().await;
        let unwritten = &self.app.runner().unwritten;
        self.books.write_runs(unwritten).await;
        unwritten.save(&self.app.config().state_dir);
        self.beat();
    }

    /// Begins to start again what a recovery has stopped that was killed, unless that is under way.
    fn finish_recoveries(&mut self) {
        while self.finishing.try_join_next().is_some() {}
        if self.finishing.is_empty() {
            let (app, finisher) = (Arc::clone(&self.app), Arc::clone(&self.finisher));
            self.finishing.spawn(async move { finisher.look(&app).await });
        }
    }

    /// Settles what was missed of these jobs in a time that nobody watched, and makes up for it.
    async fn settle(&mut self, jobs: &[JobConfig], time: &Unwatched) {
        let mut entries = Vec::new();
        for job in jobs {
            self.queues.entry(job.name.clone()).or_default().reached = Some(time.to);
            entries.push((job.name.clone(), Entry::Settle(Whose::Job(Box::new(job.clone())), time.clone())));
        }
        self.write_each(entries).await;
    }

    /// The time before this daemon.
    fn downtime(&self) -> Unwatched {
        Unwatched { to: self.began, leaps: Vec::new(), alive: self.alive }
    }

    /// Settles the slots of jobs that were disabled or taken out while no daemon ran, and forgets how far they were watched:
    /// when one comes back, it has missed nothing. Says whether all of them are known.
    async fn settle_others(&mut self) -> bool {
        let Some(others) = self.books.others(&self.jobs()).await else { return false };
        for name in others {
            self.write(&name, Entry::Settle(Whose::Gone, self.downtime())).await;
            self.write(&name, Entry::Forget).await;
        }
        true
    }

    /// The jobs that run by themselves.
    fn jobs(&self) -> Vec<JobConfig> {
        self.jobs_that(|job| job.schedule.is_some() || job.after.is_some())
    }

    /// The jobs that are enabled and like this.
    fn jobs_that(&self, are_so: impl Fn(&JobConfig) -> bool) -> Vec<JobConfig> {
        let all = self.app.config().jobs.iter();
        all.filter(|job| job.enabled && are_so(job)).cloned().collect()
    }

    fn job(&self, name: &JobName) -> Option<JobConfig> {
        self.app.config().job(name.as_str()).filter(|job| job.enabled).cloned()
    }

    /// The slots of a job that have no record yet, or one that is open.
    fn waiting(&self, job: &JobName) -> Waiting {
        let mut slots = self.app.runner().unwritten.slots(job);
        slots.extend(self.queues.get(job).map(Queue::slots).unwrap_or_default());
        Waiting { job: job.clone(), slots }
    }

    /// Writes an entry in the books, and makes up for what it brings.
    async fn write(&mut self, job: &JobName, entry: Entry) {
        self.write_each(vec![(job.clone(), entry)]).await;
    }

    /// Writes entries in the books, each of another job, and makes up for what they bring.
    async fn write_each(&mut self, entries: Vec<(JobName, Entry)>) {
        let entries = entries.into_iter().map(|(job, entry)| (self.waiting(&job), entry)).collect();
        for (job, slots) in self.books.write(entries).await {
            self.catch_up(&job, slots).await;
        }
    }

    /// Tries again to write what could not be written.
    async fn write_open(&mut self) {
        if !self.is_tidy {
            self.is_tidy = self.settle_others().await;
        }
        let now = (self.app.runner().clock)();
        let is_new = self.books.renew(now).await;
        if self.app.found_history(now).await || is_new {
            self.born_again(now).await;
        }
        self.take_up(now).await;
        self.books.write_runs(&self.app.runner().unwritten).await;
        let open = self.books.open().iter().map(|job| self.waiting(job)).collect();
        for (job, slots) in self.books.again(open).await {
            self.catch_up(&job, slots).await;
        }
    }

    /// The history is a new one: it is told from when on the jobs are watched.
    async fn born_again(&mut self, now: Timestamp) {
        self.books.write_live(&self.app.runner().live).await;
        for job in self.jobs() {
            if let Some(note) = books::in_force(&job, now) {
                self.write(&job.name, Entry::InForce(note)).await;
            }
        }
    }

    /// Takes what came, in its order; slots that follow each other are looked up at once.
    async fn come(&mut self, ticks: Vec<Tick>, reloads: &mut mpsc::Receiver<Reload>) {
        let mut slots = Vec::new();
        for tick in ticks {
            if !matches!(tick, Tick::Due(_)) {
                self.all_due(std::mem::take(&mut slots)).await;
            }
            match tick {
                Tick::Due(due) => slots.push(due),
                Tick::Leap(leaps) => self.leap(leaps).await,
                Tick::Back(back) => self.back(back.to).await,
                Tick::Replaced { at, number } => self.replaced(at, number, reloads).await,
            }
        }
        self.all_due(slots).await;
    }

    /// Takes slots that have come, after what is known before them was written.
    async fn all_due(&mut self, slots: Vec<Due>) {
        let ended = self.books.take_ended();
        if slots.is_empty() && ended.is_empty() {
            return;
        }
        let ends = ended.into_iter().map(|(job, reached)| (self.waiting(&job), reached)).collect();
        let asked = slots.iter().map(|due| (due.job.clone(), due.slot)).collect();
        let standings = self.books.look(ends, asked).await;
        for (due, standing) in slots.into_iter().zip(standings) {
            self.due(due, standing).await;
        }
    }

    /// Writes what has ended.
    async fn write_ended(&mut self) {
        self.all_due(Vec::new()).await;
    }

    async fn due(&mut self, due: Due, standing: Standing) {
        let Some(job) = self.job(&due.job) else { return };
        self.look_soon();
        let paused = standing.pause.map(|pause| pause.words(&self.app.config().timezone));
        let queue = self.queues.entry(due.job).or_default();
        queue.reached = Some(due.slot);
        let is_running = queue.running.is_some();
        // A clock that was put back shows times again whose slots are known.
        match standing.fate {
            SlotFate::Unknown => {}
            SlotFate::Ran => return,
            SlotFate::Missed if paused.is_some() && !is_running => return,
            SlotFate::Missed => self.write(&job.name, Entry::Came(due.slot)).await,
        }
        let queue = self.queues.entry(job.name.clone()).or_default();
        let cause = Cause::Scheduled(due.slot);
        let skipped = match (paused, &queue.running) {
            (Some(reason), None) => {
                return self.missed(&job.name, &BTreeSet::from([due.slot]), &reason).await;
            }
            (None, None) => return self.start(&job, cause),
            (Some(reason), Some(_)) => Some(reason),
            (None, Some(running)) => {
                refused(running, queue, (job.slots.on_overlap, &self.app.config().timezone))
            }
        };
        match skipped {
            None => queue.waiting.push_back(cause),
            Some(reason) => {
                let kind = job.kind.kind_name();
                drop(self.app.runner().skip(&job.name, kind, cause, reason).await);
            }
        }
    }

    /// Notes slots that did not run; all others that came are known.
    async fn missed(&mut self, job: &JobName, slots: &BTreeSet<Timestamp>, reason: &str) {
        for slot in slots {
            let missed = MissedSlots {
                first: *slot,
                last: *slot,
                count: 1,
                at_least: false,
                reason: reason.to_owned(),
            };
            self.write(job, Entry::Missed(missed)).await;
        }
        if let Some(reached) = self.queues.get(job).and_then(|queue| queue.reached) {
            self.write(job, Entry::Known(reached)).await;
        }
    }

    /// The clock leapt, or the machine slept: what was missed is treated as after a time without a daemon.
    async fn leap(&mut self, leaps: Vec<Leap>) {
        let Some(to) = leaps.last().map(|leap| leap.to) else { return };
        for leap in &leaps {
            self.books.leapt(*leap);
        }
        let jobs = self.jobs_that(|job| job.schedule.is_some());
        self.settle(&jobs, &Unwatched { to, leaps, alive: None }).await;
    }

    /// The clock went back: what was said of the time after `to` does not hold.
    async fn back(&mut self, to: Timestamp) {
        let leaps = self.books.taken_back(to);
        let mut entries = Vec::new();
        for job in self.jobs_that(|job| job.schedule.is_some()) {
            let queue = self.queues.entry(job.name.clone()).or_default();
            queue.reached = queue.reached.map(|reached| reached.min(to));
            entries.push((job.name, Entry::Back(to, leaps.clone())));
        }
        self.write_each(entries).await;
    }

    /// Makes up for slots; those of a job that is paused now when its pause ends.
    async fn catch_up(&mut self, job: &JobName, slots: Vec<Timestamp>) {
        let Some(job) = self.job(job).filter(|_| !slots.is_empty()) else { return };
        self.look_soon();
        let is_paused = self.books.pause(&job.name).await.is_some();
        for slot in slots {
            let queue = self.queues.entry(job.name.clone()).or_default();
            let cause = Cause::CatchUp(slot);
            if is_paused || queue.running.is_some() {
                queue.waiting.push_back(cause);
            } else {
                self.start(&job, cause);
            }
        }
    }

    /// Begins what waited for the end of a pause.
    async fn begin_deferred(&mut self) {
        let is_deferred = |queue: &Queue| queue.running.is_none() && !queue.waiting.is_empty();
        let deferred =
            self.queues.iter().filter(|(_, queue)| is_deferred(queue)).map(|(name, _)| name.clone());
        for name in deferred.collect::<Vec<_>>() {
            if !self.stop.is_cancelled() {
                self.begin_next(&name).await;
            }
        }
    }

    /// Begins what waits of a job. Says whether something does.
    async fn begin_next(&mut self, name: &JobName) -> bool {
        let Some(job) = self.job(name) else { return false };
        let next = self.queues.get(name).and_then(|queue| queue.waiting.front().copied());
        let Some(next) = next else { return false };
        if matches!(next, Cause::CatchUp(_)) && self.books.pause(name).await.is_some() {
            return false;
        }
        if let Some(queue) = self.queues.get_mut(name) {
            queue.waiting.pop_front();
        }
        self.start(&job, next);
        true
    }

    /// From `at` on the jobs are those of this plan. The program that belongs to it was sent before.
    async fn replaced(&mut self, at: Timestamp, number: u64, reloads: &mut mpsc::Receiver<Reload>) {
        while let Some((sent, app)) = reloads.recv().await {
            if sent >= number {
                return self.reload(app, at).await;
            }
        }
    }

    /// Goes on with another configuration. What runs or waits goes on, but for what waits of a job that is no more.
    async fn reload(&mut self, app: Arc<App>, at: Timestamp) {
        self.places.resize(app.config().max_concurrent);
        let before = std::mem::replace(&mut self.app, app);
        self.books.born(at);
        let jobs = self.jobs();
        let names: Vec<JobName> = self.queues.keys().cloned().collect();
        for name in names.iter().filter(|name| !jobs.iter().any(|job| job.name == **name)) {
            let (withdrawn, resumed) = self.queues.get_mut(name).map(Queue::withdraw).unwrap_or_default();
            let time = words::time(at, &self.app.config().timezone);
            let reason = format!("the job was taken out of the configuration, or disabled, at {time}");
            if let Some(waiting) = resumed {
                let job =
                    self.app.config().job(name.as_str()).or(before.config().job(name.as_str())).cloned();
                self.give_up((*waiting).clone(), job.as_ref(), &reason).await;
            }
            self.books.give_up(name);
            self.missed(name, &withdrawn, &reason).await;
            self.write(name, Entry::Forget).await;
        }
        for job in &jobs {
            if let Some(note) = books::in_force(job, at) {
                self.queues.entry(job.name.clone()).or_default().reached = Some(at);
                self.write(&job.name, Entry::InForce(note)).await;
            }
        }
    }

    /// Starts the jobs whose predecessors have all ended.
    async fn successors(&mut self) {
        for job in self.jobs_that(|job| job.after.is_some()) {
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
        let jitter = cause.slot().map(|slot| schedule::jitter(&job.name, slot, job.slots.jitter));
        let jitter = jitter.unwrap_or_default();
        let waits_for = format!("its jitter of {}", words::duration(jitter));
        // What is left of it: a daemon that is started again and again must not put a run off for ever.
        let late = cause.slot().map(|slot| (self.app.runner().clock)().duration_since(slot));
        let late = late.and_then(|late| Duration::try_from(late).ok()).unwrap_or_default();
        let delay = jitter.saturating_sub(late);
        let origin = Origin::New(cause);
        self.start_run(job, Run { origin, cause, delay, waits_for, resumed: None });
    }

    fn start_run(&mut self, job: &JobConfig, run: Run) {
        let Run { origin, cause, delay, waits_for, resumed } = run;
        let beginning = Arc::new(Beginning::new(waits_for, &self.stop));
        let (app, job) = (Arc::clone(&self.app), job.clone());
        let patience = Patience {
            // One that goes on is not given up for a run between.
            for_job: job.slots.on_overlap == OnOverlap::Queue || resumed.is_some(),
            entry: Arc::clone(&beginning),
            places: self.places.clone(),
        };
        let (name, begins) = (job.name.clone(), Arc::clone(&beginning));
        let run = self.runs.spawn(async move {
            tokio::select! {
                biased;
                () = begins.stopped() => return,
                () = tokio::time::sleep(delay) => {}
            }
            app.run_job(&job, origin, Some(patience), Arc::new(Silent)).await;
        });
        let running = Running { task: run.id(), cause, beginning, resumed };
        self.queues.entry(name.clone()).or_default().running = Some(running);
        self.running.insert(run.id(), name);
    }

    /// Takes note of a run that has ended, and begins what waits for that; where nothing does, all slots of the job are
    /// known.
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
        // One that was told not to begin is nobody's any more.
        if queue.running.take_if(|running| running.task == id).is_none() {
            return;
        }
        // Told to stop, it may not have begun: the next start looks at it again.
        if self.stop.is_cancelled() {
            return;
        }
        let reached = queue.reached;
        self.look_soon();
        if self.job(&name).is_some()
            && !self.begin_next(&name).await
            && let Some(reached) = reached
        {
            self.books.ended(name, reached);
        }
    }
}
