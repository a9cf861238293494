//! What can be wrong with an archive.

use std::error::Error;
use std::io;

/// An error while an archive is read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The source could not be read, or is no gzip.
    #[error("Could not read the archive")]
    Read {
        /// What the system or the decoder said.
        source: io::Error,
    },
    /// The source ended inside an entry.
    #[error("The archive ends early, at byte {at} of the tar")]
    Truncated {
        /// Where.
        at: u64,
    },
    /// The source ended between entries, without the two zero blocks that end a tar.
    #[error("The archive ends at byte {at} of the tar without its end mark: it was cut")]
    NoEnd {
        /// Where.
        at: u64,
    },
    /// The bytes are no tar, or a damaged one.
    #[error("The archive is damaged at byte {at} of the tar: {problem}")]
    Malformed {
        /// Where.
        at: u64,
        /// What is wrong.
        problem: &'static str,
    },
    /// The entry is one that we do not take.
    #[error("Refused {path:?} in the archive: {problem}")]
    Refused {
        /// The entry's path.
        path: String,
        /// Why.
        problem: &'static str,
    },
    /// More entries than any backup has.
    #[error("The archive has more than {limit} entries and folders")]
    TooMany {
        /// How many there may be.
        limit: usize,
    },
    /// A file did not have the size that was announced when it was archived.
    #[error("{path:?} has {relation} than the {size} bytes that were announced")]
    Size {
        /// The entry's path.
        path: String,
        /// What was announced.
        size: u64,
        /// `fewer bytes` or `more bytes`.
        relation: &'static str,
    },
    /// The content of a file that is to be archived could not be read.
    #[error("Could not read {path:?} to archive it")]
    Input {
        /// The entry's path.
        path: String,
        /// What the reader said.
        source: io::Error,
    },
    /// The archive could not be written.
    #[error("Could not write the archive")]
    Write {
        /// What the system said.
        source: io::Error,
    },
    /// An earlier failure left the archive half written.
    #[error("The archive is incomplete since an earlier failure")]
    Poisoned,
    /// Whoever looks at the entries failed.
    #[error("Could not take {path:?} out of the archive")]
    Visit {
        /// The entry's path.
        path: String,
        /// What failed.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The run was told to stop.
    #[error("Cancelled")]
    Cancelled,
}

impl ArchiveError {
    /// For visitors: what failed with an entry.
    pub fn visit(path: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Visit { path: path.to_owned(), source: source.into() }
    }

    /// The I/O error behind it, if one is.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Read { source } | Self::Input { source, .. } | Self::Write { source } => Some(source),
            Self::Visit { source, .. } => source.downcast_ref(),
            _ => None,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        self.io().and_then(crate::store::error::io_hint)
    }

    pub(super) fn refused(path: &str, problem: &'static str) -> Self {
        Self::Refused { path: path.to_owned(), problem }
    }

    /// An error of the source at `at` of the tar.
    pub(super) fn from_source(source: io::Error, at: u64) -> Self {
        if is_cancelled(&source) {
            return Self::Cancelled;
        }
        match source.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated { at },
            _ => Self::Read { source },
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("Cancelled")]
struct Cancelled;

/// Cancellation as an I/O error. Not `Interrupted`: readers try that again.
pub(super) fn cancelled() -> io::Error {
    io::Error::other(Cancelled)
}

pub(super) fn is_cancelled(error: &io::Error) -> bool {
    error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<Cancelled>)
}
