//! So many places for connections. Who comes when all are taken gets that of the one that has been idle for the longest time.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// All places.
#[derive(Debug)]
pub(super) struct Places(Arc<Shared>);

/// The place of a connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    shared: Arc<Shared>,
    lost: Pin<Box<WaitForCancellationFutureOwned>>,
}

#[derive(Debug)]
struct Shared {
    most: usize,
    taken: Mutex<Taken>,
    /// One is free, or has become idle.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    all: Vec<Holder>,
}

/// Who has a place.
#[derive(Debug)]
struct Holder {
    number: u64,
    /// Nothing while it is answered.
    idle_since: Option<Instant>,
    lost: CancellationToken,
}

impl Places {
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Shared { most, taken: Mutex::default(), changed: Notify::new() }))
    }

    /// Waits where all are being answered.
    pub(super) async fn take(&self) -> Place {
        loop {
            if let Some(place) = self.try_take() {
                return place;
            }
            self.0.changed.notified().await;
        }
    }

    fn try_take(&self) -> Option<Place> {
        let mut taken = self.0.lock();
        if taken.all.len() >= self.0.most {
            let idle = taken.all.iter().enumerate().filter_map(|(at, holder)| Some((holder.idle_since?, at)));
            let (_, oldest) = idle.min()?;
            taken.all.swap_remove(oldest).lost.cancel();
        }
        let (number, lost) = (taken.next, CancellationToken::new());
        taken.next += 1;
        taken.all.push(Holder { number, idle_since: Some(Instant::now()), lost: lost.clone() });
        drop(taken);
        Some(Place { number, shared: Arc::clone(&self.0), lost: Box::pin(lost.cancelled_owned()) })
    }
}

impl Place {
    /// From now on: it waits for a request, or is answered.
    pub(super) fn set_idle(&self, is_idle: bool) {
        let mut taken = self.shared.lock();
        if let Some(holder) = taken.all.iter_mut().find(|holder| holder.number == self.number) {
            holder.idle_since = is_idle.then(Instant::now);
        }
        drop(taken);
        if is_idle {
            self.shared.changed.notify_one();
        }
    }

    /// Ready when somebody else has got it.
    pub(super) fn poll_lost(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.lost.as_mut().poll(context)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.lock().all.retain(|holder| holder.number != self.number);
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn is_lost(place: &mut Place) -> bool {
        place.poll_lost(&mut Context::from_waker(std::task::Waker::noop())).is_ready()
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_is_idle_for_the_longest_time_loses_its_place_and_none_that_is_answered() {
        let places = Places::new(3);
        let (mut answered, mut resting, mut new) =
            (places.take().await, places.take().await, places.take().await);
        answered.set_idle(false);
        tokio::time::advance(Duration::from_secs(1)).await;
        resting.set_idle(false);
        resting.set_idle(true);
        let mut other = places.take().await;
        assert_eq!(
            [&mut answered, &mut resting, &mut new, &mut other].map(is_lost),
            [false, false, true, false]
        );
        drop(new);
        let next = places.take().await;
        assert!(is_lost(&mut resting) && !is_lost(&mut other));
        for place in [&answered, &other, &next] {
            place.set_idle(false);
        }
        assert!(tokio::time::timeout(Duration::from_secs(1), places.take()).await.is_err());
        drop(answered);
        places.take().await;
    }
}
