//! `jobs.toml` becomes a [`Config`].

pub mod values;
