//! What a run is doing, as it does it: steps with bytes and times, and warnings.
//!
//! The rooms below `cli` never print. They tell a [`Progress`], which keeps every step for the record of the
//! run and hands each event to a [`Sink`]: a progress bar on a terminal, the log in the daemon, nothing in a test.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::config::values::Veil;

/// Receives the events of a run while it runs. Called from any thread; must not block.
pub trait Sink: Send + Sync {
    /// A step began. `total` is its expected size in bytes, where that is known.
    fn step_started(&self, name: &str, total: Option<u64>);
    /// The running step has handled `done` bytes so far.
    fn step_advanced(&self, name: &str, done: u64);
    /// A step ended.
    fn step_finished(&self, step: &Step);
    /// Something is not as it should be, but the run goes on.
    fn warned(&self, text: &str);
    /// The running step has handled `done` of `total` things (0: nobody knows), and `current` is the latest of them.
    fn step_told(&self, name: &str, done: u64, total: u64, current: &str);
    /// Nothing happens for a while, and why; no part of the record.
    fn waits(&self, _: &str) {}
}

/// A sink that drops everything.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Sink for Silent {
    fn step_told(&self, _: &str, _: u64, _: u64, _: &str) {}
    fn step_started(&self, _: &str, _: Option<u64>) {}
    fn step_advanced(&self, _: &str, _: u64) {}
    fn step_finished(&self, _: &Step) {}
    fn warned(&self, _: &str) {}
}

/// One finished step of a run, as history and reports show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Step {
    /// What was done, as a verb phrase: `check the blocks`.
    pub name: String,
    /// How long it took, in milliseconds.
    pub millis: u64,
    /// How many bytes it handled; 0 where that means nothing.
    pub bytes: u64,
    /// What came of it, where that is worth a word: `8 blocks, 3 840 000 samples`.
    pub detail: Option<String>,
}

/// The handle a run reports to. Clones share one record.
#[derive(Clone)]
pub struct Progress {
    shared: Arc<Shared>,
}

struct Shared {
    sink: Arc<dyn Sink>,
    veil: Veil,
    record: Mutex<Record>,
    /// The names of the steps that are under way, the newest last.
    under_way: Mutex<Vec<String>>,
}

/// What a run has told so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// The finished steps, in the order in which they ended.
    pub steps: Vec<Step>,
    /// The warnings, in order.
    pub warnings: Vec<String>,
}

impl Progress {
    /// A fresh record whose events go to `sink`.
    pub fn new(sink: Arc<dyn Sink>) -> Self {
        Self::veiled(sink, Veil::default())
    }

    /// The same, with a veil over all that is told: a program and its arguments are the name of a step.
    pub fn veiled(sink: Arc<dyn Sink>, veil: Veil) -> Self {
        Self {
            shared: Arc::new(Shared { sink, veil, record: Mutex::default(), under_way: Mutex::default() }),
        }
    }

    /// A fresh record that nobody watches.
    pub fn silent() -> Self {
        Self::new(Arc::new(Silent))
    }

    /// Begins a step; it ends when the returned value is finished or dropped.
    pub fn step(&self, name: &str, total: Option<u64>) -> StepGuard {
        let name = self.shared.veil.over(name);
        self.shared.under_way().push(name.clone());
        self.shared.sink.step_started(&name, total);
        StepGuard {
            progress: self.clone(),
            name,
            since: Instant::now(),
            bytes: AtomicU64::new(0),
            detail: Mutex::default(),
        }
    }

    /// The step that was begun last of those that have not ended.
    pub fn under_way(&self) -> Option<String> {
        self.shared.under_way().last().cloned()
    }

    /// Records a warning: the run goes on and ends as `warned`.
    pub fn warn(&self, text: impl Into<String>) {
        let text = self.shared.veil.over(&text.into());
        self.shared.sink.warned(&text);
        self.locked().warnings.push(text);
    }

    /// Tells whoever watches why nothing happens for a while.
    pub fn wait(&self, text: &str) {
        self.shared.sink.waits(&self.shared.veil.over(text));
    }

    /// What was told so far.
    pub fn record(&self) -> Record {
        self.locked().clone()
    }

    fn locked(&self) -> MutexGuard<'_, Record> {
        self.shared.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn under_way(&self) -> MutexGuard<'_, Vec<String>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A step that is under way.
pub struct StepGuard {
    progress: Progress,
    name: String,
    since: Instant,
    bytes: AtomicU64,
    detail: Mutex<Option<String>>,
}

impl StepGuard {
    /// Counts bytes that the step has handled.
    pub fn add(&self, bytes: u64) {
        let done = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.progress.shared.sink.step_advanced(&self.name, done);
    }

    /// Tells how far the step is, where it is not bytes that count, and what it is at.
    pub fn tell(&self, done: u64, total: u64, current: &str) {
        let Shared { sink, veil, .. } = &*self.progress.shared;
        sink.step_told(&self.name, done, total, &veil.over(current));
    }

    /// Ends the step and says what came of it.
    pub fn finish(self, detail: impl Into<String>) {
        let detail = self.progress.shared.veil.over(&detail.into());
        *self.detail.lock().unwrap_or_else(PoisonError::into_inner) = Some(detail);
    }
}

impl Drop for StepGuard {
    fn drop(&mut self) {
        let step = Step {
            name: std::mem::take(&mut self.name),
            millis: millis(self.since.elapsed()),
            bytes: self.bytes.load(Ordering::Relaxed),
            detail: self.detail.lock().unwrap_or_else(PoisonError::into_inner).take(),
        };
        let mut under_way = self.progress.shared.under_way();
        if let Some(at) = under_way.iter().rposition(|name| *name == step.name) {
            under_way.remove(at);
        }
        drop(under_way);
        self.progress.shared.sink.step_finished(&step);
        self.progress.locked().steps.push(step);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
