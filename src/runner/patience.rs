//! How a run that nobody looks at waits: for its locks, and for one of the places that runs have.
//!
//! It takes a place only together with its locks: a run that waits for a target keeps no other from running.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// A run that waits for its locks: one that nobody looks at, and that has no second chance.
#[derive(Debug, Clone)]
pub struct Patience {
    /// Also for the lock of its own job, and not only for those of its targets.
    pub for_job: bool,
    /// Whether it has begun, and how it is told not to.
    pub entry: Arc<Entry>,
    /// Where it runs.
    pub places: Places,
}

/// The beginning of a run: it waits, has begun, or is told not to begin, and of the last two only one can be.
#[derive(Debug)]
pub struct Entry {
    state: Mutex<State>,
    /// Ends the waiting. The run is not in the history then, as if it had not been due yet.
    stop: CancellationToken,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    WaitsFor(String),
    Begun,
    Withdrawn,
}

impl Entry {
    /// Of a run that waits for `what`, until `stop`.
    pub fn new(what: String, stop: &CancellationToken) -> Self {
        Self { state: Mutex::new(State::WaitsFor(what)), stop: stop.child_token() }
    }

    /// What it waits for; nothing once it has begun.
    pub fn waits_for(&self) -> Option<String> {
        match &*self.state() {
            State::WaitsFor(what) => Some(what.clone()),
            State::Begun | State::Withdrawn => None,
        }
    }

    /// It does not begin any more. False where it has begun.
    pub fn withdraw(&self) -> bool {
        let mut state = self.state();
        if *state == State::Begun {
            return false;
        }
        *state = State::Withdrawn;
        self.stop.cancel();
        true
    }

    /// Completes when it is to wait no longer.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Whether it is to wait no longer.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// It waits for something else now.
    pub fn wait_for(&self, what: impl FnOnce() -> String) {
        let mut state = self.state();
        if matches!(*state, State::WaitsFor(_)) {
            *state = State::WaitsFor(what());
        }
    }

    /// It begins. False where it was told not to.
    pub(super) fn begin(&self) -> bool {
        let mut state = self.state();
        let is_to = *state != State::Withdrawn && !self.stop.is_cancelled();
        if is_to {
            *state = State::Begun;
        }
        is_to
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The places for runs. Their number may change while runs have them.
#[derive(Debug, Clone)]
pub struct Places {
    free: Arc<Semaphore>,
    count: Arc<Mutex<Count>>,
}

#[derive(Debug)]
struct Count {
    all: usize,
    /// So many of those that are taken are to vanish when they are given back.
    too_many: usize,
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut count = self.places.count();
        if count.too_many > 0 {
            count.too_many -= 1;
        } else {
            self.places.free.add_permits(1);
        }
    }
}

impl Places {
    /// So many.
    pub fn new(all: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(all)), count: Arc::new(Mutex::new(Count { all, too_many: 0 })) }
    }

    /// There are so many from now on. What has a place keeps it.
    pub fn resize(&self, all: usize) {
        let mut count = self.count();
        if all >= count.all {
            let more = all - count.all;
            let kept = more.min(count.too_many);
            count.too_many -= kept;
            self.free.add_permits(more - kept);
        } else {
            let fewer = count.all - all;
            count.too_many += fewer - self.free.forget_permits(fewer);
        }
        count.all = all;
    }

    /// How many there are.
    pub fn all(&self) -> usize {
        self.count().all
    }

    /// Takes a place when one is free; who came first gets it first.
    pub async fn take(&self) -> Place {
        match self.free.acquire().await {
            Ok(permit) => permit.forget(),
            // Nobody closes it.
            Err(_) => std::future::pending().await,
        }
        Place { places: self.clone() }
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn take(places: &Places) -> Option<Place> {
        tokio::time::timeout(Duration::from_millis(1), places.take()).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_one_account_however_often_their_number_changes() {
        let places = Places::new(2);
        let (first, second) = (take(&places).await.unwrap(), take(&places).await.unwrap());
        places.resize(2);
        assert!(take(&places).await.is_none());
        places.resize(1);
        drop(first);
        assert!(take(&places).await.is_none(), "one still runs");
        drop(second);
        let only = take(&places).await.unwrap();
        assert!(take(&places).await.is_none());
        places.resize(3);
        let more = (take(&places).await.unwrap(), take(&places).await.unwrap());
        assert!(take(&places).await.is_none());
        places.resize(1);
        places.resize(2);
        drop((only, more));
        let again = (take(&places).await.unwrap(), take(&places).await.unwrap());
        assert!(take(&places).await.is_none() && places.all() == 2);
        drop(again);
    }

    #[test]
    fn a_run_that_is_told_not_to_begin_does_not_and_one_that_has_begun_goes_on() {
        let stop = CancellationToken::new();
        let entry = Entry::new("its jitter".into(), &stop);
        assert_eq!(entry.waits_for().as_deref(), Some("its jitter"));
        assert!(entry.withdraw() && !entry.begin() && entry.is_stopped() && !stop.is_cancelled());
        let entry = Entry::new("a place".into(), &stop);
        assert!(entry.begin() && !entry.withdraw() && !entry.is_stopped() && entry.waits_for().is_none());
        stop.cancel();
        assert!(!Entry::new("a place".into(), &stop).begin());
    }
}
