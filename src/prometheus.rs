//! Prometheus: what its data are, how they are backed up, and how they come back.

pub mod block;
pub mod cleanup;
pub mod client;
pub mod config_change;
pub mod contents;
pub mod coverage;
pub mod deep;
pub mod folder;
pub mod folder_op;
pub mod preflight;
pub mod restore;
pub mod snapshot;
