//! The locks of targets between two attempts: whoever waits for a server that is down must not keep others from theirs.

use std::sync::PoisonError;

use jiff::Timestamp;
use tokio::time::Instant;

use super::again::{Waited, Wanted};
use super::entering::{LONGEST_WAIT, LOOK_AGAIN};
use super::guard::{Held, Holder, Lock, LockError};
use super::{Runner, whole_millis};
use crate::history::RunReport;
use crate::words;

impl Held {
    /// Gives the locks of targets back, and says which. The job's own stays: it is one run all the while.
    pub(super) fn lend(&self) -> Vec<Lock> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let of_target = |held: &mut super::guard::HeldLock| matches!(held.lock, Lock::Target { .. });
        let lent = all.extract_if(.., of_target).map(|held| {
            // As where all are given back: closing alone is not enough.
            let _ = held.file.unlock();
            held.lock
        });
        lent.collect()
    }

    /// Takes all of these again, or none.
    fn take_again(&self, locks: &[Lock], since: Timestamp) -> Result<(), LockError> {
        let again = self.locks.take(locks, &Holder { since, ..self.holder.clone() })?;
        let mut taken = again.all.lock().unwrap_or_else(PoisonError::into_inner);
        self.all.lock().unwrap_or_else(PoisonError::into_inner).append(&mut taken);
        Ok(())
    }
}

impl Runner {
    /// Waits until the targets are free for the next attempt.
    pub(super) async fn take_back(
        &self,
        lent: &[Lock],
        report: &mut RunReport,
        mut ahead: Wanted<'_>,
    ) -> Waited {
        let since = Instant::now();
        let mut is_told = false;
        loop {
            let what = match ahead.ground.held.take_again(lent, whole_millis((self.clock)())) {
                Ok(()) => return Waited::Over,
                Err(LockError::Busy(busy)) => busy.awaited(&self.zone),
                Err(error) => words::chain(&error),
            };
            if since.elapsed() > LONGEST_WAIT {
                return Waited::InVain(format!("it is not tried again: it waited too long for {what}"));
            }
            if !std::mem::replace(&mut is_told, true) {
                tracing::info!("the next attempt waits for {what}");
                ahead.tell(self, report, &format!("waits for {what}")).await;
            }
            let waited = ahead.pass(self, LOOK_AGAIN).await;
            if !matches!(waited, Waited::Over) {
                return waited;
            }
        }
    }
}
