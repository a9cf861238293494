//! One process beside a container that performs one operation after the other.
//!
//! Making a container costs a fifth of a second, which is most of what a backup with nothing new takes. A process that
//! went away between two operations (the engine was restarted, a proxy closed an idle connection) is replaced: each
//! operation is one that may be done again.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::There;
use crate::docker::{Attendant, DockerError, SelfRun, Until};

/// Starts it at the first operation.
#[derive(Clone, Default)]
pub(super) struct Attendance(Arc<Mutex<Option<Attendant>>>);

impl Attendance {
    /// Has an operation performed; says how the process ended where it gave no answer.
    pub(super) async fn ask(
        &self,
        there: There<'_>,
        op: &str,
        on_line: &mut (dyn FnMut(&str) -> bool + Send),
        until: Until<'_>,
    ) -> Result<Option<SelfRun>, DockerError> {
        let mut held = self.0.lock().await;
        if let Some(mut earlier) = held.take() {
            let mut heard = false;
            let listen = &mut |line: &str| {
                heard = true;
                on_line(line)
            };
            match earlier.ask(op, listen, until).await {
                Ok(None) => {
                    *held = Some(earlier);
                    return Ok(None);
                }
                ended if heard || is_final(&ended) => return ended,
                gone => {
                    tracing::debug!(?gone, "the process beside the container went away; starting another");
                }
            }
        }
        let mut fresh = there.docker.attendant(there.name, &there.arguments(&[]), until.cancel).await?;
        let ended = fresh.ask(op, on_line, until).await?;
        if ended.is_none() {
            *held = Some(fresh);
        }
        Ok(ended)
    }

    pub(super) async fn close(self) -> Result<(), DockerError> {
        match self.0.lock().await.take() {
            Some(attendant) => attendant.close().await,
            None => Ok(()),
        }
    }
}

/// Nobody wants it any more, or it has been waited for long enough.
fn is_final(ended: &Result<Option<SelfRun>, DockerError>) -> bool {
    matches!(ended, Err(DockerError::Cancelled { .. } | DockerError::Stalled { .. }))
}

impl std::fmt::Debug for Attendance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Attendance")
    }
}
