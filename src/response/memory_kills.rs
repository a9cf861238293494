//! What the kernel has killed because memory was full: by the engine's own note, by the counters of the container's group,
//! and by the kernel's log. Where one of them cannot be read, it says so.

mod kernel;

use std::fs;
use std::path::Path;

use super::proc::Pid;
use super::seen::Seen;
use super::{Context, Severity, Unable};
use crate::blocking::blocking;
use crate::config::response::Step;
use crate::docker::ContainerInfo;
use crate::words;

pub(super) async fn look(step: &Step, context: &Context) -> Result<Seen, Unable> {
    let (docker, name) = context.needs_container(step)?;
    let container = docker.container(name).await?;
    let info = container.info();
    let mut seen = Seen::default();
    noted(info, &mut seen);
    let group = Pid::of(docker, info).and_then(Pid::memory_group);
    match group {
        Some(group) => counted(&group, &mut seen),
        None if info.life.pid.is_none() => {
            seen.evidence("the counters of its group are gone: it does not run");
        }
        None => seen.evidence("the counters of its group cannot be seen from here"),
    }
    if docker.is_local() {
        let (id, since) = (info.id.clone(), context.since((context.clock)()));
        kernel::judge(&blocking(move || kernel::kills(since)).await, &id, &mut seen);
    } else {
        seen.evidence("the kernel log of the engine's machine cannot be seen from here");
    }
    if seen.findings.is_empty() {
        seen.good("nothing is known to have been killed for memory");
    }
    if seen.findings.iter().any(|finding| finding.severity == Severity::Bad) {
        let text = format!(
            "give it more memory, `docker update --memory 1g --memory-swap 1g {name}` (and in its compose file), or find \
             what takes so much"
        );
        seen.recommend(Severity::Bad, text);
    }
    Ok(seen)
}

fn noted(info: &ContainerInfo, seen: &mut Seen) {
    let limit = info
        .bounds
        .memory
        .map_or_else(|| "no limit".to_owned(), |limit| format!("a limit of {}", words::size(limit)));
    seen.evidence(format!("it has {limit} of memory"));
    if info.life.out_of_memory {
        seen.bad(format!(
            "the engine notes that its memory was full and something in it was killed; it has {limit}"
        ));
    } else {
        seen.evidence("the engine has noted no kill in its last life");
    }
}

/// Since the container was started.
fn counted(group: &Path, seen: &mut Seen) {
    // Version 2 and version 1 have the same line in different files.
    let read = ["memory.events", "memory.oom_control"].map(|file| fs::read_to_string(group.join(file)));
    let kills = read.iter().flatten().find_map(|text| kills_in(text));
    match kills {
        Some(0) => seen.evidence("its group counts no kill since it was started"),
        Some(kills) => {
            let times = words::count(usize::try_from(kills).unwrap_or(usize::MAX), "time");
            seen.bad(format!(
                "the kernel has killed something in it {times} since it was started: its memory was full"
            ));
        }
        None => seen.evidence("the counters of its group cannot be read"),
    }
}

fn kills_in(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_counted_in_both_versions_of_the_kernels_groups() {
        assert_eq!(kills_in("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n"), Some(2));
        assert_eq!(kills_in("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"), Some(7));
        assert_eq!(kills_in("oom_kill_disable 0\nunder_oom 0\n"), None);
    }
}
