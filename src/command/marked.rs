//! Finding what a run has started, wherever it runs on this machine, by a mark in its environment.
//!
//! A number that an engine tells may be another process's here; the mark cannot be.

use std::fs;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Signals every process that has `NAME=value` in its environment, and says how many those were.
pub(super) fn signal(mark: &str, signal: Signal) -> usize {
    numbers().filter(|number| signal_one(*number, mark, signal).is_some()).count()
}

/// Signals those that are not in the process group, which is signalled as such.
pub(super) fn signal_outside(group: Pid, mark: &str, signal: Signal) {
    numbers().filter(|number| is_outside(*number, group)).for_each(|number| {
        // Who has ended meanwhile need not be told.
        let _ = signal_one(number, mark, signal);
    });
}

/// Whether one of them lives.
pub(super) fn lives(mark: &str) -> bool {
    numbers().any(|number| is_marked(number, mark))
}

/// Whether one of them lives outside of the process group.
pub(super) fn lives_outside(group: Pid, mark: &str) -> bool {
    numbers().any(|number| is_outside(number, group) && is_marked(number, mark))
}

/// Those that have one of these marks, but for this process.
pub(super) fn all(marks: &[String]) -> Vec<i32> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let is_one = |number: &i32| *number != own && has_one(*number, marks);
    if marks.is_empty() { Vec::new() } else { numbers().filter(is_one).collect() }
}

fn has_one(number: i32, marks: &[String]) -> bool {
    let environment = fs::read(format!("/proc/{number}/environ")).unwrap_or_default();
    let mut variables = environment.split(|byte| *byte == 0);
    variables.any(|variable| marks.iter().any(|mark| variable == mark.as_bytes())) && !is_dead(number)
}

/// What everybody may know of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    /// The process that began it, or who took its place.
    pub(super) parent: i32,
    /// Its process group.
    pub(super) group: i32,
    /// When it began, in ticks of the clock since the boot.
    pub(super) began: u64,
    /// It has ended, and nobody has waited for it.
    pub(super) is_dead: bool,
}

/// What is known of a process; nothing where there is none.
pub(super) fn stat(number: i32) -> Option<Stat> {
    let rest = after_name(number)?;
    let fields: Vec<&str> = rest.split(' ').collect();
    // Counted from the state, which is the third of all.
    let (parent, group) = (fields.get(1)?.parse().ok()?, fields.get(2)?.parse().ok()?);
    let began = fields.get(19)?.parse().ok()?;
    Some(Stat { parent, group, began, is_dead: rest.starts_with(['Z', 'X']) })
}

pub(super) fn numbers() -> impl Iterator<Item = i32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn is_outside(number: i32, group: Pid) -> bool {
    // A thread of the kernel has the group 0.
    stat(number).is_some_and(|stat| stat.group != group.as_raw_nonzero().get())
}

pub(super) fn signal_one(number: i32, mark: &str, signal: Signal) -> Option<()> {
    // Opened before it is looked at, so that it is the same process that is signalled.
    let process = pidfd_open(Pid::from_raw(number)?, PidfdFlags::empty()).ok()?;
    if !is_marked(number, mark) {
        return None;
    }
    pidfd_send_signal(process, signal).ok()
}

pub(super) fn is_marked(number: i32, mark: &str) -> bool {
    has_one(number, &[mark.to_owned()])
}

fn is_dead(number: i32) -> bool {
    stat(number).is_none_or(|stat| stat.is_dead)
}

/// What stands in `stat` behind the name, which may hold anything.
fn after_name(number: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned())
}
