//! How much CPU and memory a container takes, and how much of what it may take.

use std::fs;

use super::proc::Pid;
use super::seen::Seen;
use super::{Context, Severity, Unable};
use crate::config::response::{StatsStep, Step};
use crate::docker::{ContainerInfo, ContainerState, Usage};
use crate::words;

/// Of its memory in per cent: a little more, and the kernel kills it.
const NEARLY_FULL: u64 = 95;

pub(super) async fn look(stats: StatsStep, step: &Step, context: &Context) -> Result<Seen, Unable> {
    let (docker, name) = context.needs_container(step)?;
    let container = docker.container(name).await?;
    let info = container.info();
    must_run(info, name)?;
    let (before, after) = docker.usage(name).await?;
    let mut seen = Seen::default();
    cpu(&before, &after, info, stats, &mut seen);
    memory(&after, info, stats, &mut seen);
    seen.evidence(format!("{} processes and threads", after.tasks));
    if Pid::of(docker, info).is_some() {
        seen.evidence.extend(machine());
    }
    if seen.findings.iter().any(|finding| finding.severity > Severity::Good) {
        let text = format!("see which process takes it: `docker top {name}`, `docker stats {name}`");
        seen.recommend(Severity::Caution, text);
    }
    Ok(seen)
}

/// What has no processes takes nothing.
pub(super) fn must_run(info: &ContainerInfo, name: &str) -> Result<(), Unable> {
    match info.state {
        ContainerState::Running | ContainerState::Paused => Ok(()),
        state => Err(Unable::new(format!("container {name} {state}"))),
    }
}

fn cpu(before: &Usage, after: &Usage, info: &ContainerInfo, stats: StatsStep, seen: &mut Seen) {
    let Some(milli) = after.milli_cpus_since(before) else {
        return seen.evidence("the engine tells no CPU time");
    };
    let all = after.cpus.saturating_mul(1000);
    let may = info.bounds.milli_cpus.unwrap_or(all).min(all).max(1);
    let share = milli * 100 / may;
    let text = format!("CPU {} % of one, {share} % of the {} it may take", milli / 10, cpus(may));
    let severity = if share >= u64::from(stats.warn_cpu) { Severity::Caution } else { Severity::Good };
    seen.find(severity, text);
}

/// `2 CPUs`, `0.5 CPUs`
fn cpus(milli: u64) -> String {
    match (milli / 1000, milli % 1000 / 100) {
        (1, 0) => "1 CPU".to_owned(),
        (whole, 0) => format!("{whole} CPUs"),
        (whole, tenths) => format!("{whole}.{tenths} CPUs"),
    }
}

fn memory(after: &Usage, info: &ContainerInfo, stats: StatsStep, seen: &mut Seen) {
    let limit = info.bounds.memory.unwrap_or(after.memory_limit);
    let of = if info.bounds.memory.is_some() { "its limit of" } else { "the machine's" };
    let Some(share) = after.memory.saturating_mul(100).checked_div(limit) else {
        return seen.evidence("the engine tells no memory");
    };
    let severity = match share {
        share if share >= NEARLY_FULL => Severity::Bad,
        share if share >= u64::from(stats.warn_memory) => Severity::Caution,
        _ => Severity::Good,
    };
    let taken = words::size(after.memory);
    seen.find(severity, format!("memory {taken}, {share} % of {of} {}", words::size(limit)));
}

/// How the machine is: what `free` and `uptime` say.
fn machine() -> Vec<String> {
    let load = fs::read_to_string("/proc/loadavg").ok();
    let load = load.as_deref().map(|text| text.split(' ').take(3).collect::<Vec<_>>().join(" "));
    let memory = fs::read_to_string("/proc/meminfo").ok();
    let field = |name: &str| {
        let line = memory.as_deref()?.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(words::size(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024))
    };
    let free = field("MemAvailable").zip(field("MemTotal"));
    let free = free.map(|(free, total)| format!("the machine has {free} of {total} memory to give"));
    load.map(|load| format!("load of the machine: {load}")).into_iter().chain(free).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_cpu_are_told_in_tenths() {
        assert_eq!([500, 1000, 2000, 1500].map(cpus), ["0.5 CPUs", "1 CPU", "2 CPUs", "1.5 CPUs"]);
    }
}
