//! What can go wrong between this program and a Prometheus server, and what to do about each.

use std::time::Duration;

use crate::http::Broken;

/// A request did not bring what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The client cannot be made.
    #[error(transparent)]
    Setup(#[from] crate::http::SetupError),
    /// The server was not reached, or the connection broke.
    #[error("Cannot reach Prometheus at {url} to {action}")]
    Unreachable {
        /// What was being done.
        action: &'static str,
        /// The server's base URL.
        url: String,
        /// What went wrong.
        source: Broken,
    },
    /// No answer in time.
    #[error("Prometheus at {url} did not answer within {} s when asked to {action}", limit.as_secs())]
    TimedOut {
        /// What was being done.
        action: &'static str,
        /// The server's base URL.
        url: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The server was started without its admin API.
    #[error("Cannot take a snapshot at {url}: its admin API is off")]
    AdminApiOff {
        /// The server's base URL.
        url: String,
    },
    /// Status 401 or 403.
    #[error("Cannot {action} at {url}: it answers {status} to {}", if *anonymous { "a request without credentials" } else { "these credentials" })]
    Unauthorized {
        /// What was being done.
        action: &'static str,
        /// The server's base URL.
        url: String,
        /// 401 or 403.
        status: u16,
        /// No credentials are configured.
        anonymous: bool,
    },
    /// Status 503: it starts, or reads its WAL.
    #[error("Cannot {action} at {url}: it is not ready yet (503)")]
    NotReady {
        /// What was being done.
        action: &'static str,
        /// The server's base URL.
        url: String,
    },
    /// The server's API said why not.
    #[error("Cannot {action} at {url}: {error}")]
    Told {
        /// What was being done.
        action: &'static str,
        /// The server's base URL.
        url: String,
        /// Its own words.
        error: String,
    },
    /// An unexpected status.
    #[error("Cannot {action} at {url}: it answers {status}: {text}")]
    Status {
        /// What was being done.
        action: &'static str,
        /// The server's base URL.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The first line of the reply, or where a redirect leads.
        text: String,
    },
    /// A success that a Prometheus does not answer with.
    #[error("Cannot {action} at {url}: what answers there does not speak Prometheus's API: {problem}")]
    NotPrometheus {
        /// What was being done.
        action: &'static str,
        /// The server's base URL.
        url: String,
        /// How that was seen.
        problem: String,
    },
}

impl ClientError {
    /// The same request may work a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::NotReady { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 504),
            _ => false,
        }
    }

    /// The server may have done what it was asked, although the answer did not arrive.
    pub fn is_undecided(&self) -> bool {
        !matches!(self, Self::Setup(_) | Self::AdminApiOff { .. })
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::AdminApiOff { .. } => "start Prometheus with --web.enable-admin-api".into(),
            Self::Unauthorized { anonymous: true, .. } => {
                "add user and password, or token, to this Prometheus in jobs.toml".into()
            }
            Self::Unauthorized { .. } => "check user and password, or token, in jobs.toml".into(),
            Self::Unreachable { source, .. } if source.before_sending => {
                "is Prometheus running, and is its url in jobs.toml right?".into()
            }
            Self::TimedOut { .. } => {
                "is Prometheus overloaded, or its container paused? `watchkeeper check --online` looks at both".into()
            }
            Self::NotReady { .. } => "wait until it has read its WAL; its log tells how far it is".into(),
            Self::Status { status: 502 | 504, .. } => {
                "a proxy before Prometheus cannot reach it: is Prometheus running?".into()
            }
            Self::Status { status: 300..=399, .. } => {
                "its url in jobs.toml leads to a log-in page, or lacks Prometheus's path prefix or https: it must \
                 be the base of Prometheus's API itself"
                    .into()
            }
            Self::NotPrometheus { .. } => {
                "is its url in jobs.toml that of Prometheus itself, and not of a proxy or login page before it?".into()
            }
            Self::Status { status: 404 | 405, .. } => {
                "its url in jobs.toml must be the base of Prometheus's API, with the path prefix where it has one"
                    .into()
            }
            Self::Told { error, .. } if error.contains("no space left on device") => {
                "free at least 512 MiB on Prometheus's data volume: a snapshot of the head needs them, however \
                 small the head is; skip_head = true does without, and leaves the last hours out"
                    .into()
            }
            Self::Told { error, .. } if error.contains("operation not permitted") => {
                "some block files belong to another user than Prometheus runs as, so that it cannot link them: \
                 chown the data folder's content to its owner"
                    .into()
            }
            Self::Told { error, .. } if error.contains("tombstones") && error.contains("no such file") => {
                "a block has no tombstones file; `check --online` names it".into()
            }
            _ => return None,
        })
    }
}
