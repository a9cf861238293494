//! What a container may take of the machine, what of it is reached from outside, and how it is stopped.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerConfig, HostConfig, PortBinding};

/// What the engine gives a container that says nothing of it.
const PATIENCE: Duration = Duration::from_secs(10);
/// The signal that the engine sends to one that says nothing of it.
const SIGNAL: &str = "SIGTERM";

/// What a container may take of the machine, and what of it is reached from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of memory; nothing: all that there is.
    pub memory: Option<u64>,
    /// Thousandths of a CPU; nothing: all that there are.
    pub milli_cpus: Option<u64>,
    /// TCP ports that are reached from outside: inside, and on the engine's machine. Of a container that does not run, those
    /// that will be.
    pub ports: Vec<(u16, u16)>,
}

/// How a container is to be stopped, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopping {
    /// The signal that tells its first process to end: `SIGTERM`.
    pub signal: String,
    /// How long it may take before it is killed; nothing: as long as it likes.
    pub patience: Option<Duration>,
}

impl Default for Stopping {
    fn default() -> Self {
        Self { signal: SIGNAL.to_owned(), patience: Some(PATIENCE) }
    }
}

/// Where each port of a container leads, as the engine writes it.
pub(super) type Ports = HashMap<String, Option<Vec<PortBinding>>>;

/// `open`: the ports that are open now, which only one that runs has.
pub(super) fn bounds_of(host: &HostConfig, open: Option<&Ports>) -> Bounds {
    let positive =
        |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok()).filter(|n| *n > 0);
    let resource = |get: fn(&HostConfig) -> Option<i64>| positive(get(host));
    let share = resource(|host| host.cpu_quota).zip(resource(|host| host.cpu_period).or(Some(100_000)));
    let milli_cpus = resource(|host| host.nano_cpus).map(|nanos| nanos / 1_000_000);
    Bounds {
        memory: resource(|host| host.memory),
        milli_cpus: milli_cpus.or(share.map(|(quota, period)| quota * 1000 / period)),
        ports: open.or(host.port_bindings.as_ref()).map(ports_of).unwrap_or_default(),
    }
}

/// Those of TCP. One for which the engine is to choose a port at each start has none yet.
fn ports_of(all: &Ports) -> Vec<(u16, u16)> {
    let of = |(inside, bindings): (&String, &Option<Vec<PortBinding>>)| {
        let inside: u16 = inside.strip_suffix("/tcp")?.parse().ok()?;
        let outside = |binding: &PortBinding| binding.host_port.as_ref()?.parse().ok();
        let bindings = bindings.iter().flatten().filter_map(outside).filter(|port| *port != 0);
        Some(bindings.map(|outside| (inside, outside)).collect::<Vec<_>>())
    };
    let mut ports: Vec<(u16, u16)> = all.iter().filter_map(of).flatten().collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

pub(super) fn stopping_of(config: &ContainerConfig) -> Stopping {
    let standard = Stopping::default();
    let signal = config.stop_signal.clone().filter(|signal| !signal.is_empty());
    Stopping {
        signal: signal.unwrap_or(standard.signal),
        patience: match config.stop_timeout {
            None => standard.patience,
            // Less than nothing is for ever.
            Some(seconds) => u64::try_from(seconds).ok().map(Duration::from_secs),
        },
    }
}
