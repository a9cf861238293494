//! What runs and waits of one job.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::task::Id;

use crate::config::values::OnOverlap;
use crate::history::{Cause, WaitingRun};
use crate::runner::Entry as Beginning;
use crate::words;

/// What runs and waits of a job.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) running: Option<Running>,
    pub(super) waiting: VecDeque<Cause>,
    /// How far its slots came.
    pub(super) reached: Option<Timestamp>,
}

/// A run that has begun, or is about to.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) task: Id,
    pub(super) cause: Cause,
    pub(super) beginning: Arc<Beginning>,
    /// The run as an earlier daemon left it, where it goes on.
    pub(super) resumed: Option<Arc<WaitingRun>>,
}

impl Queue {
    /// The slots that wait, or run.
    pub(super) fn slots(&self) -> BTreeSet<Timestamp> {
        let running = self.running.iter().map(|running| running.cause);
        running.chain(self.waiting.iter().copied()).filter_map(Cause::clocked_slot).collect()
    }

    /// Takes all back that has not begun: the slots, and the run that would have gone on.
    pub(super) fn withdraw(&mut self) -> (BTreeSet<Timestamp>, Option<Arc<WaitingRun>>) {
        // Its task ends by itself, and is nobody's run any more.
        let withdrawn = self.running.take_if(|running| running.beginning.withdraw());
        let resumed = withdrawn.as_ref().and_then(|running| running.resumed.clone());
        // The slot of a run that would have gone on has that run.
        let begins = withdrawn.filter(|running| running.resumed.is_none()).map(|running| running.cause);
        let causes = begins.into_iter().chain(self.waiting.drain(..));
        (causes.filter_map(Cause::clocked_slot).collect(), resumed)
    }
}

/// Why a slot that comes while the job runs is skipped; nothing where it waits.
pub(super) fn refused(
    running: &Running,
    queue: &Queue,
    (on_overlap, zone): (OnOverlap, &TimeZone),
) -> Option<String> {
    let cause = running.cause;
    let slot = cause.slot().map(|slot| format!(" for the slot {}", words::time(slot, zone)));
    let slot = slot.unwrap_or_default();
    let still = match running.beginning.waits_for() {
        Some(what) => format!("the run{slot} has not begun: it waits for {what}"),
        None => format!("the run{slot} has not ended"),
    };
    let catches_up = |cause: &Cause| matches!(cause, Cause::CatchUp(_));
    match on_overlap {
        // What is made up for must not cost the slot that comes meanwhile.
        OnOverlap::Skip if queue.waiting.is_empty() => (!catches_up(&cause)).then_some(still),
        OnOverlap::Queue if queue.waiting.iter().all(catches_up) => None,
        OnOverlap::Skip | OnOverlap::Queue => Some(format!("{still}, and another waits")),
    }
}
