//! Watchkeeper keeps the watchers: a scheduled job runner for a monitoring stack.
//!
//! # The rooms
//!
//! | room | what lives there |
//! |---|---|
//! | [`config`] | `jobs.toml` becomes a [`config::Config`], or a list of everything that is wrong with it |
//! | [`progress`] | what a run is doing: steps, bytes, warnings; collected for the record, shown by a sink |
//! | [`jobs`] | the kinds of job, what one is given, and what comes out of it |
//! | [`prometheus`] | snapshot, block checks and restore of a Prometheus TSDB |
//! | [`schedule`] | when a job is due |
//! | [`store`] | backups on disk: manifests, archives, locks |

pub mod config;
pub mod jobs;
pub mod progress;
pub mod prometheus;
pub mod schedule;
pub mod store;
