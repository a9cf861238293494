//! Bringing back what is down: its parts are stopped and started in order, and waited for until each is ready.
//!
//! Whatever is stopped here is started here, also after an error or when told to stop. A container is stopped and started
//! and never removed: what lies in its own layer, as many a database does that was given no volume, would be gone with it.

mod error;
mod note;
mod project;
mod ready;
mod restart;
mod stop;

pub use error::RecoveryError;
pub use note::{Fate, Journal, Ledger, Note, Stopped, StoppedContainer};
pub use project::{Circle, Member, order, project_of};
pub use ready::{Answer, ENDED_WELL, Question};
pub use restart::{Restarted, Trouble, restart, start_again};

use crate::service::Service;

/// Something that is stopped and started by itself.
#[derive(Debug, Clone)]
pub struct Part {
    /// As messages name it: `application/app`, or `container db`.
    pub name: String,
    /// What it runs as.
    pub service: Service,
    /// What it is asked for to learn whether it is ready.
    pub questions: Vec<Question>,
    /// What has to be so before it is started; each of a part that is started before it.
    pub after: Vec<After>,
    /// It ran, or was about to, before.
    pub ran: bool,
}

/// What a part waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    /// Which of the parts, in the order in which they are started.
    pub part: usize,
    /// What has to be so.
    pub until: Until,
}

/// How far a part has to be for those that depend on it, in the words of compose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// `service_started`
    Started,
    /// `service_healthy`
    Healthy,
    /// `service_completed_successfully`
    Completed,
}

impl std::fmt::Display for Until {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Started => "started",
            Self::Healthy => "healthy",
            Self::Completed => "completed",
        })
    }
}
