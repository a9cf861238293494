//! Integration tests against the real parts: Prometheus, promtool, Docker.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod block;
mod restore_source;
