//! Grafana: what it holds as objects, and how they are read over its HTTP API and put into an archive.
//!
//! [`client`] asks and judges nothing but whether a Grafana answered; [`object`] says what one thing of a Grafana is
//! once everything that belongs to one server only is taken off it; [`bundle`] is the archive of them; [`contents`]
//! is what the manifest says about it;
//! [`export`] writes one. [`change`] writes a single dashboard over another.

pub mod bundle;
pub mod change;
pub mod client;
pub mod contents;
mod error;
pub mod export;
pub mod object;
pub mod restore;
pub mod spool;

pub use error::GrafanaError;

/// The kind of the job.
pub const KIND: &str = "grafana-export";
