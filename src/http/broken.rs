//! How a connection broke.

/// The innermost cause, which is the one that tells a person something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct Broken {
    cause: String,
    /// There never was a connection: nothing was asked for.
    pub before_sending: bool,
}

impl Broken {
    pub(crate) fn of(error: &reqwest::Error) -> Self {
        let before_sending = error.is_connect();
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        Self { cause: cause.to_string(), before_sending }
    }
}
