//! `jobs.toml` becomes a [`Config`].

pub mod duration;
pub mod problem;
pub mod secret;
pub mod values;
