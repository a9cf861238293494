//! Why a part is not back.

use std::time::Duration;

use crate::docker::DockerError;
use crate::service::ServiceError;
use crate::words;

/// Why a part is not back.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// It could not be stopped or started.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// Its container ended by itself.
    #[error("Container {container} ended again{}: exit code {code}{}{}", times(*restarts), memory(*out_of_memory), said(words))]
    Ended {
        /// The container.
        container: String,
        /// With this code.
        code: i64,
        /// The kernel ended it for want of memory.
        out_of_memory: bool,
        /// So often its restart policy has started it again.
        restarts: u64,
        /// The last lines it wrote.
        words: Vec<String>,
    },
    /// Its unit ended by itself.
    #[error("Unit {unit} ended again after it was started")]
    UnitEnded {
        /// The unit.
        unit: String,
    },
    /// It was not ready in time.
    #[error("{part} was started, but is not ready after {}: {seen}{}", words::duration(*limit), said(words))]
    NotReady {
        /// The part.
        part: String,
        /// How long it was waited for.
        limit: Duration,
        /// What was seen last.
        seen: String,
        /// The last lines that its container wrote.
        words: Vec<String>,
    },
    /// It was not started, because what it depends on is not as it must be.
    #[error("{part} was not started: it depends on {on}, which is not back")]
    Waits {
        /// The part.
        part: String,
        /// What it depends on.
        on: String,
    },
    /// Whoever runs it told it to stop.
    #[error("Told to stop before {part} was ready")]
    Cancelled {
        /// The part that was waited for.
        part: String,
    },
}

impl From<DockerError> for RecoveryError {
    fn from(error: DockerError) -> Self {
        Self::Service(error.into())
    }
}

impl RecoveryError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Service(error) => return error.hint(),
            Self::Ended { container, out_of_memory: true, .. } => format!(
                "it needs more memory than it may have: raise its limit (`docker update --memory` or mem_limit in the \
                 compose file) or let it use less; `docker stats {container}` shows what it uses"
            ),
            Self::Ended { container, code: 125..=127, .. } => {
                format!("its program could not be run: `docker inspect {container}` shows its command")
            }
            Self::Ended { container, .. } => {
                format!("`docker logs --tail 100 {container}` tells why; another restart will not mend that")
            }
            Self::UnitEnded { unit } => format!("`journalctl -u {unit} -n 100` tells why"),
            Self::NotReady { .. } => {
                "if it only needs longer (a Prometheus reads its WAL first), wait, or give it more with --timeout; its log \
                 tells what it does"
                    .to_owned()
            }
            Self::Waits { on, .. } => format!("mend {on} first, then run `watchkeeper recover` again"),
            Self::Cancelled { .. } => "run the same `watchkeeper recover` again".to_owned(),
        })
    }
}

fn times(restarts: u64) -> String {
    match restarts {
        0 => String::new(),
        restarts => {
            let times = words::count(usize::try_from(restarts).unwrap_or(usize::MAX), "time");
            format!(", although its restart policy started it {times} more")
        }
    }
}

fn memory(out_of_memory: bool) -> &'static str {
    if out_of_memory { ", ended by the kernel: OUT OF MEMORY" } else { "" }
}

fn said(words: &[String]) -> String {
    if words.is_empty() { String::new() } else { format!("; its log ends: {}", words.join(" | ")) }
}
