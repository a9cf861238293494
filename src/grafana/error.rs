//! What can go wrong between this program and a Grafana, and what to do about each.

use std::time::Duration;

use super::bundle::BundleError;
use crate::http::{Broken, SetupError};
use crate::store::{ArchiveError, StoreError};

/// A Grafana did not give or take what it was to.
#[derive(Debug, thiserror::Error)]
pub enum GrafanaError {
    /// The client cannot be made.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The server was not reached, or the connection broke.
    #[error("Cannot reach Grafana at {url} to {action}")]
    Unreachable {
        /// What was being done.
        action: String,
        /// The server's base URL.
        url: String,
        /// What went wrong.
        source: Broken,
    },
    /// No answer in time.
    #[error("Grafana at {url} did not answer within {} s when asked to {action}", limit.as_secs())]
    TimedOut {
        /// What was being done.
        action: String,
        /// The server's base URL.
        url: String,
        /// How long was waited.
        limit: Duration,
    },
    /// Status 401. It is never asked again: five bad log-ins lock a user, also for the right password.
    #[error("Cannot {action} at {url}: it answers 401 to {}: {text}", if *anonymous { "a request without credentials" } else { "these credentials" })]
    Denied {
        /// What was being done.
        action: String,
        /// The server's base URL.
        url: String,
        /// Its own words.
        text: String,
        /// No credentials are configured.
        anonymous: bool,
    },
    /// Status 429, 502, 503 or 504, again and again.
    #[error("Cannot {action} at {url}: it answers {status} again and again: {text}")]
    Busy {
        /// What was being done.
        action: String,
        /// The server's base URL.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Its own words.
        text: String,
    },
    /// Another status than the one that was hoped for.
    #[error("Cannot {action} at {url}: it answers {status}: {text}")]
    Refused {
        /// What was being done.
        action: String,
        /// The server's base URL.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Its own words.
        text: String,
    },
    /// A redirection: to a log-in page, or from http to https.
    #[error("Cannot {action} at {url}: it answers {status} and points to {to:?}")]
    Redirected {
        /// What was being done.
        action: String,
        /// The server's base URL.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Where it leads to.
        to: String,
    },
    /// A page for people came where data were asked for.
    #[error(
        "Cannot {action} at {url}: an HTML page came back (status {status}), and not the JSON of Grafana's API"
    )]
    Page {
        /// What was being done.
        action: String,
        /// The server's base URL.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// A success that a Grafana does not answer with.
    #[error("Cannot {action} at {url}: what came back is not what Grafana answers: {problem}")]
    NotGrafana {
        /// What was being done.
        action: String,
        /// The server's base URL.
        url: String,
        /// How that was seen.
        problem: String,
    },
    /// It answers for another organisation than the one that was asked for.
    #[error("Grafana at {url} answers for organisation {got} where {wanted} was asked for")]
    OtherOrganisation {
        /// The server's base URL.
        url: String,
        /// Name or number of the organisation that was meant.
        wanted: String,
        /// The one that answers.
        got: String,
    },
    /// A list ended before all was there.
    #[error("Cannot {action} at {url}: it says there are {total}, and gives {got}")]
    Incomplete {
        /// What was being done.
        action: String,
        /// The server's base URL.
        url: String,
        /// How many there are.
        total: u64,
        /// How many came.
        got: usize,
    },
    /// It gives one page again and again: what comes after it cannot be read.
    #[error("Cannot {action} at {url}: it gives the first {got} again and again, and never the rest")]
    NoPages {
        /// What was being done.
        action: String,
        /// The server's base URL.
        url: String,
        /// How many came.
        got: usize,
    },
    /// The archive is not an export of a Grafana, or not a whole one.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The store could not take or give it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The archive could not be written or read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The contents could not be written as JSON.
    #[error("Cannot describe the backup")]
    Describe {
        /// What went wrong.
        source: serde_json::Error,
    },
    /// The run was told to stop.
    #[error("It was stopped before it was complete")]
    Cancelled,
}

impl GrafanaError {
    /// The same may work a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Busy { .. }
            | Self::Incomplete { .. }
            | Self::Page { status: 500.., .. } => true,
            Self::Refused { status, .. } => *status >= 500,
            Self::Store(error) => error.is_transient(),
            _ => false,
        }
    }

    /// The server may have done what it was asked, although nobody knows.
    pub fn is_undecided(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::TimedOut { .. }
                | Self::Busy { .. }
                | Self::Page { .. }
                | Self::NotGrafana { .. }
        )
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Store(error) => return error.hint(),
            Self::Archive(error) => return error.hint(),
            Self::Bundle(error) => return error.hint(),
            Self::Unreachable { source, .. } if source.before_sending => {
                "is Grafana running, and is its url in jobs.toml right?"
            }
            Self::Unreachable { .. } => {
                "the connection broke: the log of Grafana, or of a proxy before it, may tell why"
            }
            Self::TimedOut { .. } => "is Grafana overloaded? fewer \"requests\" side by side may help",
            Self::Denied { anonymous: true, .. } => {
                "add user and password, or token, to this Grafana in jobs.toml"
            }
            Self::Denied { .. } => {
                "check user and password, or token, in jobs.toml; it is not tried again, because five bad log-ins \
                 lock a user for five minutes, in which the right password is refused, too"
            }
            Self::Busy { status: 429, .. } => "fewer \"requests\" side by side may help",
            Self::Busy { .. } => "is Grafana starting, or is a proxy before it unable to reach it?",
            Self::Refused { status: 403, .. } => {
                "the credentials may not do that: an export needs the role Admin in each organisation, and Basic \
                 authentication as a server administrator for users and organisations; or leave that out with \"exclude\""
            }
            Self::Refused { status: 404 | 405, .. } => {
                "is its url in jobs.toml the base of Grafana, with the path prefix where it has one?"
            }
            Self::Redirected { .. } => {
                "its url in jobs.toml leads to a log-in page, or lacks https or Grafana's path prefix: it must be \
                 the base of Grafana itself, where its API takes these credentials"
            }
            Self::Page { .. } | Self::NotGrafana { .. } => {
                "is its url in jobs.toml that of Grafana itself, and not of a proxy or log-in page before it?"
            }
            Self::OtherOrganisation { .. } => {
                "a token belongs to one organisation, whatever is asked for: use one of that organisation, or user and \
                 password; with those, a proxy before Grafana may take away the header X-Grafana-Org-Id"
            }
            Self::Incomplete { .. } => "somebody may have changed it meanwhile: try again",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
