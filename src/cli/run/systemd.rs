//! Tells systemd how the daemon stands (`sd_notify`), where it asks to be told.
//!
//! The watchdog is fed by the looks at the clock of whoever plans: when nothing is planned any more, whatever the reason,
//! systemd starts the daemon anew.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use jiff::tz::TimeZone;
use tokio::sync::watch;

use crate::cli::session::environment;
use crate::schedule::driver::{Beat, Due};
use crate::words;

/// Looks at the clock, one a second, from one word to the watchdog to the next.
const LOOKS: u64 = 5;

/// Says that the daemon is ready once the first plan is made, and what comes next; feeds the watchdog.
pub(super) async fn tell(mut beats: watch::Receiver<Beat>, zone: TimeZone) {
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
        if beat.looks % LOOKS == 1 {
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
