//! How long the history waits for another process that has it locked.
//!
//! A command waits some seconds: better late than wrong. The daemon must not: each of its jobs would begin so much later,
//! one after the other. It waits once, and from then on not at all for a while; what it could not write it writes later.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a statement of a command waits for another process's.
pub(super) const BUSY: Duration = Duration::from_secs(10);
/// How long one of the daemon's does.
const BRIEF: Duration = Duration::from_secs(1);
/// How long after such a wait that was in vain the daemon does not wait again.
const IN_VAIN: Duration = Duration::from_secs(2);

/// How long to wait, and when it was in vain last.
#[derive(Debug, Default)]
pub(super) struct Patience {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_brief: bool,
    in_vain: Option<Instant>,
}

impl Patience {
    /// From now on it waits as the daemon does.
    pub(super) fn be_brief(&self) {
        self.with(|state| state.is_brief = true);
    }

    /// A statement waited, and in vain.
    pub(super) fn was_in_vain(&self) {
        self.with(|state| state.in_vain = Some(Instant::now()));
    }

    /// How long the next statement waits.
    pub(super) fn now(&self) -> Duration {
        self.with(|state| match state.in_vain {
            _ if !state.is_brief => BUSY,
            Some(at) if at.elapsed() < IN_VAIN => Duration::ZERO,
            _ => BRIEF,
        })
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut State) -> T) -> T {
        use_it(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemon_waits_once_and_not_for_each_statement() {
        let patience = Patience::default();
        patience.was_in_vain();
        assert_eq!(patience.now(), BUSY);
        patience.be_brief();
        assert_eq!(patience.now(), Duration::ZERO);
        patience.with(|state| state.in_vain = Instant::now().checked_sub(IN_VAIN));
        assert_eq!(patience.now(), BRIEF);
    }
}
