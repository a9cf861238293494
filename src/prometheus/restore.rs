//! Restore: a backup becomes the data of a Prometheus again, or everything is as it was.
//!
//! ```text
//! source -> verify -> inspect -> plan (data; shown, asked about) -> prepare -> stage -> check there
//!        -> stop -> swap -> start -> ready -> prove -> accept
//!                    └──────── a failure from here on: stop -> undo -> start ─┘
//! ```
//!
//! Until the swap nothing that is live is touched. From the swap on, every failure, an interruption included,
//! takes the restore back. The journal in the data folder makes both possible after a crash too.

mod alive;
pub mod apply;
mod error;
mod fate;
pub mod into;
mod open;
pub mod plan;
mod probe;
mod proof;
mod site;
pub mod source;
mod stage;
pub mod undo;
mod warn;

pub use error::{RestoreError, SourceError};
pub use fate::{Fate, Retention};
pub use open::{Opened, Opening};
pub(super) use probe::expression;
pub use proof::Proof;
pub(super) use proof::verdict;
pub use site::{Limits, Site};
pub use source::{BadFile, Damaged, Look, Reading, RestoreSource};
pub use warn::{Refusal, Warning, span};

/// The kind of the backups that can be restored here.
pub const KIND: &str = "prometheus-snapshot";
