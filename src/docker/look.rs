//! Looking at what runs in a container: its log, what it takes, its processes. All of it is bounded.

use std::time::Duration;

use bollard::models::ContainerStatsResponse;
use bollard::query_parameters::{LogsOptionsBuilder, StatsOptionsBuilder, TopOptionsBuilder};
use futures_util::StreamExt as _;
use jiff::Timestamp;

use super::error::{DockerError, name_missing};
use super::{Docker, REQUEST_LIMIT};

/// A log is read up to so many bytes.
const MOST_BYTES: usize = 16 << 20;
/// Of a line so many bytes are kept.
const LONGEST_LINE: usize = 64 << 10;
/// What is asked of `ps` on the engine's machine. The names of programs only: their arguments may be secrets.
const COLUMNS: &str = "-eo pid,user,pcpu,pmem,rss,etimes,comm";

/// The end of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogLines {
    /// The lines, the newest last, without what ends them.
    pub lines: Vec<String>,
    /// There was more than is read at once: the newest lines are missing.
    pub is_cut: bool,
}

/// What a container has taken at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time of all its processes since its start, in nanoseconds.
    pub cpu: u64,
    /// CPU time of the whole machine, in nanoseconds.
    pub machine: u64,
    /// How many CPUs the machine has.
    pub cpus: u64,
    /// Bytes of memory, without what the kernel would give back at once.
    pub memory: u64,
    /// Bytes of memory that it may take.
    pub memory_limit: u64,
    /// How many processes and threads it has.
    pub tasks: u64,
}

impl Usage {
    /// How many thousandths of a CPU it took on average since an earlier moment; nothing where no time has passed.
    pub fn milli_cpus_since(&self, before: &Self) -> Option<u64> {
        let (cpu, machine) =
            (self.cpu.saturating_sub(before.cpu), self.machine.saturating_sub(before.machine));
        let milli = u128::from(cpu) * 1000 * u128::from(self.cpus.max(1));
        milli.checked_div(u128::from(machine)).and_then(|milli| u64::try_from(milli).ok())
    }
}

/// A process in a container.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    /// Its number on the engine's machine.
    pub pid: u32,
    /// As whom it runs.
    pub user: String,
    /// The CPU that it took on average since its start, in per cent of one.
    pub cpu: f64,
    /// Memory, in per cent of the machine's.
    pub memory: f64,
    /// Bytes of memory.
    pub resident: u64,
    /// For how many seconds it runs.
    pub seconds: u64,
    /// Its program.
    pub program: String,
}

impl Docker {
    /// The last lines that a container wrote, since a time where one is given.
    pub async fn log(
        &self,
        name: &str,
        lines: u32,
        since: Option<Timestamp>,
    ) -> Result<LogLines, DockerError> {
        let action = format!("read the log of container {name:?}");
        let mut options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&lines.to_string());
        if let Some(seconds) = since.and_then(|since| i32::try_from(since.as_second()).ok()) {
            options = options.since(seconds);
        }
        let mut stream = self.client.logs(name, Some(options.build()));
        let read = async {
            let (mut read, mut bytes, mut begun) = (LogLines::default(), 0, Vec::new());
            while let Some(piece) = stream.next().await {
                let piece =
                    piece.map_err(|raw| name_missing(name, self.translate(&action, raw)))?.into_bytes();
                bytes += piece.len();
                if bytes > MOST_BYTES {
                    read.is_cut = true;
                    break;
                }
                take_lines(&mut begun, &piece, &mut read.lines);
            }
            end_line(&mut begun, &mut read.lines);
            Ok(read)
        };
        self.within(&action, read).await
    }

    /// What a running container takes, at two moments about a second apart.
    pub async fn usage(&self, name: &str) -> Result<(Usage, Usage), DockerError> {
        let action = format!("read what container {name:?} takes");
        let mut stream = self.client.stats(name, Some(StatsOptionsBuilder::default().stream(true).build()));
        let read = async {
            let mut next = async || match stream.next().await {
                Some(Ok(stats)) => Ok(usage_of(&stats)),
                Some(Err(raw)) => Err(name_missing(name, self.translate(&action, raw))),
                None => Err(DockerError::Broken { action: action.clone() }),
            };
            Ok((next().await?, next().await?))
        };
        self.within(&action, read).await
    }

    /// The processes of a running container, as `ps` of the engine's machine sees them.
    pub async fn processes(&self, name: &str) -> Result<Vec<Process>, DockerError> {
        let action = format!("list the processes of container {name:?}");
        let options = TopOptionsBuilder::default().ps_args(COLUMNS).build();
        let listed = self.request(&action, self.client.top_processes(name, Some(options))).await;
        let listed = listed.map_err(|error| name_missing(name, error))?;
        Ok(listed.processes.unwrap_or_default().iter().filter_map(|row| process_of(row)).collect())
    }

    async fn within<T>(
        &self,
        action: &str,
        read: impl Future<Output = Result<T, DockerError>>,
    ) -> Result<T, DockerError> {
        let limit: Duration = REQUEST_LIMIT;
        let timed_out = || Err(DockerError::TimedOut { action: action.to_owned(), limit });
        tokio::time::timeout(limit, read).await.unwrap_or_else(|_| timed_out())
    }
}

/// The engine cuts long lines into pieces, and hands several short ones on at once.
fn take_lines(begun: &mut Vec<u8>, piece: &[u8], lines: &mut Vec<String>) {
    for part in piece.split_inclusive(|byte| *byte == b'\n') {
        let room = LONGEST_LINE.saturating_sub(begun.len());
        begun.extend_from_slice(&part[..part.len().min(room)]);
        if part.ends_with(b"\n") {
            end_line(begun, lines);
        }
    }
}

fn end_line(begun: &mut Vec<u8>, lines: &mut Vec<String>) {
    if !begun.is_empty() {
        let line = String::from_utf8_lossy(begun);
        lines.push(line.trim_end_matches(['\n', '\r']).to_owned());
        begun.clear();
    }
}

fn usage_of(stats: &ContainerStatsResponse) -> Usage {
    let (cpu, memory) = (stats.cpu_stats.as_ref(), stats.memory_stats.as_ref());
    let detail = |name: &str| memory.and_then(|memory| memory.stats.as_ref()?.get(name).copied());
    // As `docker stats` counts: of cgroup v1 and of v2.
    let spare = detail("total_inactive_file").or_else(|| detail("inactive_file")).unwrap_or_default();
    let taken = cpu.and_then(|cpu| cpu.cpu_usage.as_ref());
    let listed = taken.and_then(|taken| taken.percpu_usage.as_ref()).map(|all| all.len() as u64);
    Usage {
        cpu: taken.and_then(|taken| taken.total_usage).unwrap_or_default(),
        machine: cpu.and_then(|cpu| cpu.system_cpu_usage).unwrap_or_default(),
        cpus: cpu.and_then(|cpu| cpu.online_cpus).map(u64::from).or(listed).unwrap_or(1),
        memory: memory.and_then(|memory| memory.usage).unwrap_or_default().saturating_sub(spare),
        memory_limit: memory.and_then(|memory| memory.limit).unwrap_or_default(),
        tasks: stats.pids_stats.as_ref().and_then(|tasks| tasks.current).unwrap_or_default(),
    }
}

/// A row in the order of [`COLUMNS`].
fn process_of(row: &[String]) -> Option<Process> {
    let [pid, user, cpu, memory, resident, seconds, program @ ..] = row else { return None };
    Some(Process {
        pid: pid.parse().ok()?,
        user: user.clone(),
        cpu: cpu.parse().ok()?,
        memory: memory.parse().ok()?,
        resident: resident.parse::<u64>().ok()? * 1024,
        seconds: seconds.parse().unwrap_or_default(),
        program: program.join(" "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_wherever_the_engine_has_cut_them_and_a_long_one_is_bounded() {
        let (mut begun, mut lines) = (Vec::new(), Vec::new());
        for piece in ["on", "e\r\ntwo\n\nth", "ree"] {
            take_lines(&mut begun, piece.as_bytes(), &mut lines);
        }
        take_lines(&mut begun, &vec![b'x'; 2 * LONGEST_LINE], &mut lines);
        end_line(&mut begun, &mut lines);
        assert_eq!(lines[..3], ["one", "two", ""]);
        assert_eq!(lines[3].len(), LONGEST_LINE);
    }

    #[test]
    fn what_is_taken_of_the_cpus_is_what_was_taken_between_two_looks() {
        let before = Usage { cpu: 1_000_000_000, machine: 100_000_000_000, cpus: 4, ..Usage::default() };
        // One second of four CPUs passed: half a second of one was taken.
        let after = Usage { cpu: 1_500_000_000, machine: 104_000_000_000, ..before };
        assert_eq!(after.milli_cpus_since(&before), Some(500));
        assert_eq!(before.milli_cpus_since(&before), None);
    }

    #[test]
    fn a_process_is_read_in_the_order_that_was_asked_for() {
        let row = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let process = process_of(&row("12 root 99.5 1.2 2048 60 my prog")).unwrap();
        assert_eq!((process.pid, process.resident, process.program.as_str()), (12, 2 << 20, "my prog"));
        assert!(process_of(&row("PID USER")).is_none());
    }
}
