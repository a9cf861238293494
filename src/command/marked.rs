//! Finding what a run has started, wherever it runs on this machine, by a mark in its environment.
//!
//! A number that an engine tells may be another process's here; the mark cannot be.

use std::fs;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Signals every process that has `NAME=value` in its environment, and says how many those were.
pub(super) fn signal(mark: &str, signal: Signal) -> usize {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers.filter(|number| signal_one(*number, mark, signal).is_some()).count()
}

fn signal_one(number: i32, mark: &str, signal: Signal) -> Option<()> {
    // Opened before it is looked at, so that it is the same process that is signalled.
    let process = pidfd_open(Pid::from_raw(number)?, PidfdFlags::empty()).ok()?;
    let environment = fs::read(format!("/proc/{number}/environ")).ok()?;
    let is_marked = environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes());
    if !is_marked || is_dead(number) {
        return None;
    }
    pidfd_send_signal(process, signal).ok()
}

fn is_dead(number: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with(['Z', 'X']))
}
