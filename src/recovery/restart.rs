//! Stopping parts in the reverse order and starting them in order.

use std::time::Duration;

use super::ready::Waiting;
use super::stop::{patience, stop};
use super::{Ledger, Part, RecoveryError, Until};
use crate::jobs::RunContext;
use crate::service::ServiceState;

/// How long a part may take to start.
const SERVICE: Duration = Duration::from_mins(1);

/// A part that is not back, and why.
#[derive(Debug)]
pub struct Trouble {
    /// Which of the parts.
    pub part: usize,
    /// Why.
    pub error: RecoveryError,
}

/// What came of a restart.
#[derive(Debug, Default)]
pub struct Restarted {
    /// Of each part that is ready: which, and what was seen.
    pub ready: Vec<(usize, String)>,
    /// The parts that are not.
    pub troubles: Vec<Trouble>,
    /// Something was told to stop.
    pub is_begun: bool,
    /// Whoever runs it told it to stop: what was stopped is started, and nobody has waited for it.
    pub is_cut: bool,
}

/// Stops all parts in the reverse order, starts them in order, and waits for each until it is ready, for `limit` at most.
/// What is told to stop meanwhile starts what it has stopped. What is stopped stands in the `ledger`.
pub async fn restart(
    parts: &[Part],
    limit: Duration,
    context: &RunContext,
    ledger: &mut Ledger,
) -> Restarted {
    let mut work = Work::new(parts, limit, context, ledger);
    if work.stop_all().await {
        work.start_all().await;
    } else {
        work.start_again().await;
    }
    let outcome = work.end();
    ledger.ended(context).await;
    outcome
}

/// Starts what an earlier recovery has left stopped, in order, and waits for each as [`restart`] does.
pub async fn start_again(
    parts: &[Part],
    limit: Duration,
    context: &RunContext,
    ledger: &mut Ledger,
) -> Restarted {
    let mut work = Work::new(parts, limit, context, ledger);
    work.start_all().await;
    work.end()
}

struct Work<'a> {
    parts: &'a [Part],
    limit: Duration,
    context: &'a RunContext,
    ledger: &'a mut Ledger,
    outcome: Restarted,
    /// Of each part, whether it was told to stop.
    stopped: Vec<bool>,
}

impl<'a> Work<'a> {
    fn new(parts: &'a [Part], limit: Duration, context: &'a RunContext, ledger: &'a mut Ledger) -> Self {
        let (outcome, stopped) = (Restarted::default(), vec![false; parts.len()]);
        Self { parts, limit, context, ledger, outcome, stopped }
    }

    fn end(mut self) -> Restarted {
        self.outcome.is_begun = self.stopped.contains(&true);
        self.outcome.is_cut = self.context.cancel.is_cancelled();
        self.outcome
    }

    /// False where one did not stop, or somebody said to stop.
    async fn stop_all(&mut self) -> bool {
        for (index, part) in self.parts.iter().enumerate().rev() {
            if self.context.cancel.is_cancelled() {
                return false;
            }
            // A stop that failed may have stopped it all the same.
            self.stopped[index] = true;
            let patience = patience(&part.service, self.limit).await;
            self.ledger.stops(part, patience, self.context).await;
            let step = self.context.progress.step(&format!("stop {}", part.name), None);
            match stop(part, patience).await {
                Ok(how) => step.finish(how),
                Err(error) => {
                    self.outcome.troubles.push(Trouble { part: index, error: error.into() });
                    return false;
                }
            }
        }
        true
    }

    /// Nothing more is done than to start what was stopped.
    async fn start_again(&mut self) {
        let parts = self.parts;
        for (index, part) in parts.iter().enumerate() {
            if !self.stopped[index] {
                continue;
            }
            let runs = part.service.state().await.is_ok_and(|state| state != ServiceState::Stopped);
            if runs {
                self.ledger.started(part, self.context).await;
            } else if let Err(error) = self.start(part).await {
                self.outcome.troubles.push(Trouble { part: index, error });
            }
        }
    }

    async fn start_all(&mut self) {
        let parts = self.parts;
        for (index, part) in parts.iter().enumerate() {
            if let Some(on) = self.not_back_for(part).await {
                let on = parts[on].name.clone();
                let error = RecoveryError::Waits { part: part.name.clone(), on };
                self.outcome.troubles.push(Trouble { part: index, error });
            } else if let Err(error) = self.start(part).await {
                self.outcome.troubles.push(Trouble { part: index, error });
            }
        }
        for index in 0..parts.len() {
            self.wait_for(index).await;
        }
    }

    async fn start(&mut self, part: &Part) -> Result<(), RecoveryError> {
        let step = self.context.progress.step(&format!("start {}", part.name), None);
        part.service.start(SERVICE).await?;
        self.ledger.started(part, self.context).await;
        step.finish(part.service.starts_by());
        Ok(())
    }

    /// The first of those that a part depends on which is not as far as it has to be, after it was waited for.
    async fn not_back_for(&mut self, part: &Part) -> Option<usize> {
        for after in &part.after {
            // Who was told to stop waits for nobody: what was stopped has to run again.
            if after.until != Until::Started && !self.context.cancel.is_cancelled() {
                self.wait_for(after.part).await;
            }
            if !self.context.cancel.is_cancelled() && self.has_trouble(after.part) {
                return Some(after.part);
            }
        }
        None
    }

    fn has_trouble(&self, part: usize) -> bool {
        self.outcome.troubles.iter().any(|trouble| trouble.part == part)
    }

    /// Waits for a part, once.
    async fn wait_for(&mut self, index: usize) {
        let is_known = self.has_trouble(index) || self.outcome.ready.iter().any(|(known, _)| *known == index);
        if is_known || self.context.cancel.is_cancelled() {
            return;
        }
        let ends = |part: &Part| {
            part.after.iter().any(|after| (after.part, after.until) == (index, Until::Completed))
        };
        let is_to_end = self.parts.iter().any(ends);
        let waiting = Waiting { part: &self.parts[index], is_to_end, limit: self.limit };
        match waiting.until_ready(self.context).await {
            Ok(seen) => self.outcome.ready.push((index, seen)),
            Err(RecoveryError::Cancelled { .. }) => {}
            Err(error) => self.outcome.troubles.push(Trouble { part: index, error }),
        }
    }
}
