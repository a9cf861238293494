//! Networks that are slow, broken or lie, engines and containers that go, and files that change while they are read: each
//! command ends in its time, says what it was doing to what, leaves no half file, and the next one is well.

mod changing;
mod checks;
mod containers;
mod engine;
mod gone;
mod grafana;
mod mail;
mod notifiers;
mod prometheus;
mod truncated;

use std::time::{Duration, Instant};

use crate::support::proxy::{BAD_GATEWAY, Fault, LOG_IN, Proxy, UNAVAILABLE, What};
use crate::support::watchkeeper::{Output, Watchkeeper};

/// What a command may take beyond its limits, on a machine that has other work.
const SLACK: Duration = Duration::from_secs(20);

/// Something that is done to a connection, through which no answer comes.
type Named = (&'static str, What);

const BREAKS: [Named; 6] = [
    ("a byte a second", What::Trickles(Duration::from_secs(1))),
    ("half open", What::HalfOpen),
    ("reset before the answer", What::ResetAfter(0)),
    ("reset in the answer", What::ResetAfter(40)),
    ("closed before the answer", What::ClosedAfter(0)),
    ("closed in the answer", What::ClosedAfter(40)),
];

/// What a proxy answers in place of the server.
const LIES: [Named; 3] = [
    ("503", What::Answers(UNAVAILABLE)),
    ("502", What::Answers(BAD_GATEWAY)),
    ("a page with 200", What::Answers(LOG_IN)),
];

fn faults() -> impl Iterator<Item = Named> {
    BREAKS.into_iter().chain(LIES)
}

/// Runs a command with a fault that it must meet, and that it must have ended with within the limit.
#[track_caller]
fn disturbed(
    watchkeeper: &Watchkeeper,
    proxy: &Proxy,
    fault: &Fault,
    limit: Duration,
    words: &[&str],
) -> Output {
    proxy.inject(fault.clone());
    let since = Instant::now();
    let output = watchkeeper.run(words);
    let took = since.elapsed();
    assert!(proxy.hits() > 0, "{fault:?} was not met: {output:?}");
    proxy.heal();
    assert!(took < limit + SLACK, "{fault:?}: {took:?} where the limit is {limit:?}: {output:?}");
    assert!(!output.stderr.contains("panicked"), "{fault:?}: {output:?}");
    output
}
