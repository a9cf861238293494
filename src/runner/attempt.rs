//! One attempt of a run: ended by its work, by its limit, by a stop, or by a panic.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::config::values::Veil;
use crate::jobs::JobOutput;
use crate::progress::Progress;
use crate::words;

/// What ends an attempt that does not end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// So long in all.
    Total(Duration),
    /// So long without a sign of life: no step begun or ended, no byte moved.
    Idle(Duration),
}

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// By itself, or in time after it was told to stop.
    Done(JobOutput),
    /// With an error of its own, a panic, or at its limit.
    Failed(Failure),
    /// It was told to stop.
    Stopped(Failure),
}

impl Ended {
    /// The same, without secrets.
    pub(super) fn under(self, veil: &Veil) -> Self {
        match self {
            Self::Done(output) => Self::Done(output),
            Self::Failed(failure) => Self::Failed(failure.under(veil)),
            Self::Stopped(failure) => Self::Stopped(failure.under(veil)),
        }
    }
}

/// The conditions of an attempt.
pub(super) struct Terms {
    /// Told to the work; a child of the run's.
    pub(super) cancel: CancellationToken,
    /// Told by whoever wants the run to stop.
    pub(super) stop: CancellationToken,
    pub(super) limit: Option<Limit>,
    pub(super) activity: Arc<Notify>,
    /// Knows at which step the work is.
    pub(super) progress: Progress,
    /// How long the work may take to tidy up once it was told to stop.
    pub(super) grace: Duration,
}

/// Runs `work` to its end. When this returns the work is no longer polled; blocking threads that ignore their token may
/// live on, which the guard in [`super::watch`] allows for.
pub(super) async fn attempt<Fut>(terms: &Terms, work: Fut) -> Ended
where
    Fut: Future<Output = Result<JobOutput, Failure>> + Send + 'static,
{
    // A task of its own, so that a panic ends it and not the daemon.
    let mut task = tokio::spawn(work);
    let told = tokio::select! {
        biased;
        result = &mut task => return match by_itself(result) {
            // The work heard of the stop before we did.
            Ended::Failed(failure) if terms.stop.is_cancelled() => Ended::Stopped(failure),
            ended => ended,
        },
        () = terms.stop.cancelled() => None,
        limit = reached(terms) => Some(Reached { limit, step: terms.progress.under_way() }),
    };
    terms.cancel.cancel();
    let Ok(result) = tokio::time::timeout(terms.grace, &mut task).await else {
        task.abort();
        return cut_off(told, terms.grace);
    };
    match (by_itself(result), told) {
        (Ended::Failed(failure), None) => Ended::Stopped(failure),
        (Ended::Failed(failure), Some(reached)) => {
            let Failure { is_lost, data_not_back, output, .. } = failure;
            Ended::Failed(Failure {
                is_lost,
                transient: !is_lost,
                data_not_back,
                output,
                ..reached.failure()
            })
        }
        (ended, _) => ended,
    }
}

fn by_itself(result: Result<Result<JobOutput, Failure>, JoinError>) -> Ended {
    match result {
        Ok(Ok(output)) => Ended::Done(output),
        Ok(Err(failure)) => Ended::Failed(failure),
        Err(error) => Ended::Failed(Failure {
            reason: match error.try_into_panic() {
                Ok(payload) => format!("It panicked: {}", message(payload.as_ref())),
                Err(error) => format!("Its task ended: {error}"),
            },
            hint: Some("this is a bug of watchkeeper; please report it with the log of this run".into()),
            ..Failure::new(String::new())
        }),
    }
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

async fn reached(terms: &Terms) -> Limit {
    match terms.limit {
        None => std::future::pending().await,
        Some(limit @ Limit::Total(total)) => {
            tokio::time::sleep(total).await;
            limit
        }
        Some(limit @ Limit::Idle(idle)) => {
            while tokio::time::timeout(idle, terms.activity.notified()).await.is_ok() {}
            limit
        }
    }
}

/// A limit that was reached, and the step at which the work was then.
struct Reached {
    limit: Limit,
    step: Option<String>,
}

impl Reached {
    fn failure(&self) -> Failure {
        let (what, time, key) = match self.limit {
            Limit::Total(time) => ("Timed out after", time, "timeout"),
            Limit::Idle(time) => ("Nothing moved for", time, "idle_timeout"),
        };
        let step = self.step.as_ref().map_or_else(
            || " before its first step began".to_owned(),
            |step| format!(" at the step {step:?}"),
        );
        let hint = format!(
            "`watchkeeper check --online` looks whether what the job works with answers; raise `{key}` if that was \
             too short"
        );
        let reason = format!("{what} {}{step}", words::duration(time));
        Failure { hint: Some(hint), transient: true, ..Failure::new(reason) }
    }
}

fn cut_off(told: Option<Reached>, grace: Duration) -> Ended {
    let late = format!("did not stop within {} and was cut off", words::duration(grace));
    match told {
        // Not tried again: a part of it may be alive.
        Some(reached) => {
            let failure = reached.failure();
            Ended::Failed(Failure {
                reason: format!("{}, then {late}", failure.reason),
                transient: false,
                ..failure
            })
        }
        None => Ended::Stopped(Failure::new(format!("Told to stop, it {late}"))),
    }
}
