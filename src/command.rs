//! Any program as a job, on this host or in a container.
//!
//! What it says is kept, bounded, and told line by line as it comes. A program that is told to stop is asked by
//! SIGTERM and then killed, with everything that is found of what it has started: on the host its process group and whoever
//! comes from that, and everywhere what has a mark in its environment. In a container the engine could not end it; where it cannot be seen from here either, because the
//! engine or our rights are elsewhere, it is looked for and ended from inside.

mod container;
mod descent;
mod error;
mod host;
mod inside;
mod left;
mod marked;
mod noted;
mod tail;
mod user;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use error::CommandError;
pub use inside::end_left_in;
pub use left::{Left, end_left};
pub use noted::{Alive, Begun, Noting, begun};
pub use user::may_become;

use crate::config::values::Veil;
use crate::docker::Docker;

/// How long a program may mostly take to end by itself after SIGTERM.
pub const TERM_GRACE: Duration = Duration::from_secs(10);
/// How long output may still come when the program has ended: something it has started holds the pipe.
const LINGER: Duration = Duration::from_secs(1);
/// How often it is seen whether everything has ended.
const TICK: Duration = Duration::from_millis(50);

/// The variable that marks what a run has started; its value is the run.
pub const RUN_VARIABLE: &str = "WATCHKEEPER_RUN";

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program and its arguments; never empty.
    pub argv: Vec<String>,
    /// Variables beside those it inherits.
    pub env: BTreeMap<String, String>,
    /// The folder it runs in.
    pub directory: Option<PathBuf>,
    /// As whom: a name, `UID` or `UID:GID`.
    pub user: Option<String>,
    /// How long it may take to end by itself after SIGTERM, before it is killed; mostly [`TERM_GRACE`].
    pub grace: Duration,
    /// What is not to be seen in what it says.
    pub veil: Veil,
    /// For which run it is, where that is noted while it runs on this host.
    pub noting: Option<Noting>,
}

/// Where it runs.
#[derive(Debug, Clone)]
pub enum Place<'a> {
    /// On this host.
    Host,
    /// In a container.
    Container {
        /// The engine.
        docker: &'a Docker,
        /// The container.
        name: &'a str,
    },
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With this exit code.
    Code(i64),
    /// By this signal.
    Signal(i32),
    /// It was told to stop, and everything that could be found of what it had started has ended.
    Stopped,
    /// It was told to stop, but it cannot be seen whether it has.
    Lost,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "it ended with {code}"),
            Self::Signal(signal) => write!(f, "it was ended by signal {signal}"),
            Self::Stopped => {
                f.write_str("it was stopped, with all that could be found of what it had started")
            }
            Self::Lost => f.write_str("it was told to stop, but may still run"),
        }
    }
}

/// A program that ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// How it ended.
    pub end: End,
    /// The end of what it said.
    pub printed: Vec<String>,
    /// Something that it has started still runs and holds its output.
    pub left_running: bool,
}

/// Runs a program to its end, or until `cancel`. Each line it says goes to `say`.
pub async fn run(
    command: &Command,
    place: &Place<'_>,
    cancel: &CancellationToken,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<Ran, CommandError> {
    match place {
        Place::Host => host::run(command, cancel, say).await,
        Place::Container { docker, name } => container::run(command, docker, name, cancel, say).await,
    }
}
