//! What a daemon costs that has nothing to do, and how fast it comes and goes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Child;
use std::time::{Duration, Instant};

use super::{SOON, figure, in_full, percentile, stop};
use crate::support::watchkeeper::Watchkeeper;

/// What the kernel has counted of a process so far.
#[derive(Debug, Default)]
struct Counted {
    /// Processor time, in clock ticks of 10 ms.
    ticks: u64,
    /// How often each of its threads was woken, also of those that are gone.
    wakes: BTreeMap<OsString, u64>,
    /// Memory, in kB.
    rss: u64,
}

impl Counted {
    fn look(&mut self, child: &Child) {
        let folder = format!("/proc/{}", child.id());
        let stat = fs::read_to_string(format!("{folder}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let number = |text: &str| text.parse::<u64>().unwrap();
        self.ticks = number(fields[11]) + number(fields[12]);
        for task in fs::read_dir(format!("{folder}/task")).unwrap().flatten() {
            let wakes = value(&task.path().join("status"), "voluntary_ctxt_switches:");
            let known = self.wakes.entry(task.file_name()).or_default();
            *known = wakes.max(*known);
        }
        self.rss = value(format!("{folder}/status").as_ref(), "VmRSS:");
    }

    fn wakes(&self) -> u64 {
        self.wakes.values().sum()
    }
}

fn value(status: &std::path::Path, key: &str) -> u64 {
    let text = fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Twenty jobs of which none is due for months.
fn quiet() -> Watchkeeper {
    let mut text = String::from("timezone = \"UTC\"\n");
    for number in 0..20 {
        writeln!(
            text,
            "[[job]]\nname = \"job-{number}\"\nkind = \"command\"\ncommand = [\"true\"]\nschedule = \"@every 90d\""
        )
        .unwrap();
    }
    Watchkeeper::with_config(&text)
}

/// Starts it, and says how long it took until it was ready.
fn ready(watchkeeper: &Watchkeeper) -> (Child, Duration) {
    let socket = watchkeeper.folder().join("notify");
    let _ = fs::remove_file(&socket);
    let listener = UnixDatagram::bind(&socket).unwrap();
    listener.set_read_timeout(Some(SOON)).unwrap();
    let start = Instant::now();
    let mut command = watchkeeper.command(&["run"]);
    command.env("NOTIFY_SOCKET", &socket);
    let daemon = super::start(watchkeeper, command);
    let mut buffer = [0; 512];
    let length = listener.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"READY=1");
    (daemon, start.elapsed())
}

#[test]
fn a_daemon_that_has_nothing_to_do_costs_next_to_nothing() {
    let watchkeeper = quiet();
    let (daemon, _) = ready(&watchkeeper);
    let (mut counted, start) = (Counted::default(), Instant::now());
    counted.look(&daemon);
    let (ticks, wakes) = (counted.ticks, counted.wakes());
    // There is nothing to wait for: it is the doing of nothing that is measured. Threads come and go.
    for _ in 0..if in_full() { 600 } else { 10 } {
        std::thread::sleep(Duration::from_secs(1));
        counted.look(&daemon);
    }
    let seconds = start.elapsed().as_secs_f64();
    stop(&watchkeeper, daemon);
    let of = |number: u64| f64::from(u32::try_from(number).unwrap());
    let busy = of(counted.ticks - ticks) / 100.0 / seconds;
    let wakes = of(counted.wakes() - wakes) / seconds;
    let rss = of(counted.rss) / 1024.0;
    let over = format!("20 jobs, over {seconds:.0} s");
    figure(&format!("idle: processor ({over})"), &format!("{:.3} % of one core", busy * 100.0));
    figure(&format!("idle: wake-ups ({over})"), &format!("{wakes:.1} a second"));
    figure(&format!("idle: memory ({over})"), &format!("{rss:.1} MiB resident"));
    assert!(busy < 0.02 && wakes < 50.0 && rss < 64.0, "{busy} {wakes} {rss}");
}

#[test]
fn it_is_soon_ready_and_soon_gone() {
    let watchkeeper = quiet();
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..if in_full() { 50 } else { 5 } {
        let (daemon, start) = ready(&watchkeeper);
        let told = Instant::now();
        stop(&watchkeeper, daemon);
        starts.push(i64::try_from(start.as_millis()).unwrap());
        ends.push(i64::try_from(told.elapsed().as_millis()).unwrap());
    }
    for (what, mut millis) in [("start to READY", starts), ("SIGTERM to exit, idle", ends)] {
        millis.sort_unstable();
        let (median, most) = (percentile(&millis, 50), millis[millis.len() - 1]);
        figure(
            &format!("{what} ({} times)", millis.len()),
            &format!("median {median} ms, at most {most} ms"),
        );
        assert!(median < 5_000, "{what}: {millis:?}");
    }
}
