//! Tells systemd how the daemon stands (`sd_notify`), where it asks to be told.
//!
//! The watchdog is fed by the looks at the clock of whoever plans: when nothing is planned any more, whatever the reason,
//! systemd starts the daemon anew.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::sync::watch;

use crate::cli::session::environment;
use crate::schedule::driver::{Beat, Due};
use crate::words;

/// The most looks at the clock, one a second, from one word to the watchdog to the next.
const LOOKS: u64 = 5;

/// Half of the time after which systemd takes a silent daemon for dead; nothing where it does not watch.
pub(super) fn half_of_watchdog() -> Option<Duration> {
    let micros: u64 = environment("WATCHDOG_USEC")?.parse().ok()?;
    (micros > 1).then(|| Duration::from_micros(micros / 2))
}

/// So many looks that one that comes a little late is still in time.
fn looks_between_feeds(half: Option<Duration>) -> u64 {
    half.map_or(LOOKS, |half| half.as_secs().saturating_sub(1).clamp(1, LOOKS))
}

/// Says that the daemon is ready once the first plan is made, and what comes next; feeds the watchdog.
pub(super) async fn tell(mut beats: watch::Receiver<Beat>, zone: TimeZone) {
    let looks = looks_between_feeds(half_of_watchdog());
    let mut told: Option<Option<Due>> = None;
    while beats.wait_for(|beat| beat.looks > 0).await.is_ok() {
        let beat = beats.borrow_and_update().clone();
        if told.is_none() {
            notify("READY=1");
        }
        if told.as_ref() != Some(&beat.next) {
            notify(&format!("STATUS={}", status(beat.next.as_ref(), &zone)));
            told = Some(beat.next);
        }
        if (beat.looks - 1).is_multiple_of(looks) {
            notify("WATCHDOG=1");
        }
        if beats.changed().await.is_err() {
            return;
        }
    }
}

fn status(next: Option<&Due>, zone: &TimeZone) -> String {
    next.map_or_else(
        || "no job has a schedule".to_owned(),
        |due| format!("next: {} at {}", due.job, words::time(due.slot, zone)),
    )
}

/// Sends one word to systemd.
pub(super) fn notify(state: &str) {
    let Some(path) = environment("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&path, state) {
        tracing::warn!(error = words::chain(&error), "systemd could not be notified");
    }
}

fn send(path: &str, state: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(path)?,
    };
    socket.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_is_fed_before_half_of_its_time_is_over() {
        let looks = |seconds| looks_between_feeds(Some(Duration::from_secs(seconds) / 2));
        assert_eq!([2, 4, 6, 10, 60].map(looks), [1, 1, 2, 4, 5]);
        assert_eq!(looks_between_feeds(None), 5);
    }
}
