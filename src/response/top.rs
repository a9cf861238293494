//! The processes of a container that take most.

use super::seen::Seen;
use super::stats::must_run;
use super::{Context, Unable};
use crate::config::response::Step;
use crate::docker::Process;
use crate::words;

pub(super) async fn look(processes: u32, step: &Step, context: &Context) -> Result<Seen, Unable> {
    let (docker, name) = context.needs_container(step)?;
    must_run(docker.container(name).await?.info(), name)?;
    let all = docker.processes(name).await?;
    let mut seen = Seen::default();
    seen.evidence(format!(
        "{}; CPU is the average since its start",
        words::counted(all.len(), "process", "processes")
    ));
    let most = usize::try_from(processes).unwrap_or(usize::MAX);
    seen.evidence.extend(chosen(all, most).iter().map(line));
    Ok(seen)
}

/// Those that take most of the CPU, and those that take most of the memory, half of each.
fn chosen(mut all: Vec<Process>, most: usize) -> Vec<Process> {
    all.sort_by(|one, two| two.cpu.total_cmp(&one.cpu).then(two.resident.cmp(&one.resident)));
    if all.len() <= most {
        return all;
    }
    let mut rest = all.split_off(most.div_ceil(2));
    rest.sort_by_key(|process| std::cmp::Reverse(process.resident));
    rest.truncate(most / 2);
    all.extend(rest);
    all
}

fn line(process: &Process) -> String {
    let Process { pid, user, cpu, resident, program, .. } = process;
    let runs = words::duration(std::time::Duration::from_secs(process.seconds));
    format!("CPU {cpu:>5.1} %  memory {:>9}  {program} ({pid}, {user}, runs {runs})", words::size(*resident))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_are_those_with_most_cpu_and_half_those_with_most_memory() {
        let process = |pid: u32, cpu: f64, resident: u64| Process {
            pid,
            user: "root".into(),
            cpu,
            memory: 0.0,
            resident,
            seconds: 1,
            program: "p".into(),
        };
        let all = vec![process(1, 0.0, 10), process(2, 50.0, 1), process(3, 0.0, 900), process(4, 9.0, 2)];
        let pids = |most| chosen(all.clone(), most).iter().map(|process| process.pid).collect::<Vec<_>>();
        assert_eq!(pids(2), [2, 3]);
        assert_eq!(pids(3), [2, 4, 3]);
        assert_eq!(pids(9), [2, 4, 3, 1]);
    }
}
