//! Finding what a program has started by who started whom: also what has cleared its environment and left its group.
//!
//! The kernel forgets who started a process when its parent ends. So what was seen once is kept, and what is alone from
//! its beginning cannot be found.

use std::collections::{BTreeMap, BTreeSet};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::marked::{self, Stat};

/// Descendants of a program, as far as they were seen.
#[derive(Debug, Default)]
pub(super) struct Descent {
    seen: BTreeSet<Process>,
}

/// A process. Its number alone may be another's later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Process {
    number: i32,
    /// When it began, in ticks since the machine did.
    began: u64,
}

impl Descent {
    /// Looks who lives that comes from the group, from what has the mark, or from what was seen before.
    pub(super) fn look(&mut self, group: Pid, mark: Option<&str>) {
        let all: BTreeMap<i32, Stat> =
            marked::numbers().filter_map(|number| Some((number, living(number)?))).collect();
        let is_first = |number: i32, living: &Stat| {
            living.group == group.as_raw_nonzero().get()
                || mark.is_some_and(|mark| marked::is_marked(number, mark))
        };
        let firsts = all.iter().filter(|(number, living)| is_first(**number, living));
        let mut to_follow: Vec<i32> = firsts.map(|(number, _)| *number).collect();
        to_follow.extend(self.seen.iter().filter(|process| process.lives()).map(|process| process.number));
        while let Some(parent) = to_follow.pop() {
            for (number, child) in all.iter().filter(|(_, child)| child.parent == parent) {
                if self.seen.insert(Process { number: *number, began: child.began }) {
                    to_follow.push(*number);
                }
            }
        }
    }

    /// Signals those that live.
    pub(super) fn signal(&self, signal: Signal) {
        for process in &self.seen {
            // Who has ended meanwhile need not be told.
            let _ = process.signal(signal);
        }
    }

    /// Whether one of them lives.
    pub(super) fn lives(&self) -> bool {
        self.seen.iter().any(Process::lives)
    }
}

impl Process {
    fn lives(&self) -> bool {
        living(self.number).is_some_and(|living| living.began == self.began)
    }

    fn signal(&self, signal: Signal) -> Option<()> {
        // Opened before it is looked at, so that it is the same process that is signalled.
        let process = pidfd_open(Pid::from_raw(self.number)?, PidfdFlags::empty()).ok()?;
        if !self.lives() {
            return None;
        }
        pidfd_send_signal(process, signal).ok()
    }
}

/// What the kernel says of a process that is not dead.
fn living(number: i32) -> Option<Stat> {
    marked::stat(number).filter(|stat| !stat.is_dead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_began_before_its_child_and_is_its_parent() {
        let own = i32::try_from(std::process::id()).unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let number = i32::try_from(child.id()).unwrap();
        let (mine, its) = (living(own).unwrap(), living(number).unwrap());
        assert_eq!((its.parent, its.group), (own, mine.group));
        assert!(mine.began > 0 && its.began >= mine.began, "{} {}", mine.began, its.began);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(living(number).is_none());
    }
}
