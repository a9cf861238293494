//! Listens to a run: passes its events on, writes them to the log, and notices when it falls silent.

use std::sync::Arc;

use tokio::sync::Notify;
use tracing::Span;

use super::guard::Held;
use crate::progress::{Sink, Step};

/// The target of the log events of steps and warnings. Whoever shows a progress bar leaves them out of the log.
pub const TARGET: &str = "watchkeeper::run";

/// The sink that stands between a run and the one that was given.
pub(super) struct Watch {
    inner: Arc<dyn Sink>,
    activity: Arc<Notify>,
    span: Span,
    /// A thread that is stuck in the system cannot be stopped, and its run may have been given up on. As long as it
    /// can still report here, and so may still write, nobody else gets its locks.
    _held: Arc<Held>,
}

impl Watch {
    pub(super) fn new(inner: Arc<dyn Sink>, activity: Arc<Notify>, span: Span, held: Arc<Held>) -> Self {
        Self { inner, activity, span, _held: held }
    }
}

impl Sink for Watch {
    fn step_started(&self, name: &str, total: Option<u64>) {
        self.activity.notify_one();
        self.span.in_scope(|| tracing::info!(target: TARGET, total, "begin: {name}"));
        self.inner.step_started(name, total);
    }

    fn step_advanced(&self, name: &str, done: u64) {
        self.activity.notify_one();
        self.inner.step_advanced(name, done);
    }

    fn step_told(&self, name: &str, done: u64, total: u64, current: &str) {
        self.activity.notify_one();
        self.inner.step_told(name, done, total, current);
    }

    fn step_finished(&self, step: &Step) {
        self.activity.notify_one();
        let Step { name, millis, bytes, detail } = step;
        let detail = detail.as_deref();
        self.span.in_scope(|| tracing::info!(target: TARGET, millis, bytes, detail, "end: {name}"));
        self.inner.step_finished(step);
    }

    fn waits(&self, text: &str) {
        self.inner.waits(text);
    }

    fn warned(&self, text: &str) {
        self.activity.notify_one();
        self.span.in_scope(|| tracing::warn!(target: TARGET, "{text}"));
        self.inner.warned(text);
    }
}
