//! Makes Prometheus data for benchmarks and for trying things out: real blocks, written directly and some 50 times
//! faster than `promtool tsdb create-blocks-from`. Never part of the program.
//!
//! ```console
//! $ cargo run --release --example tsdb-blocks -- blocks --layout 3x18h,2x6h,3x2h --series 14000 DIR    # 600 MB
//! $ cargo run --release --example tsdb-blocks -- blocks --layout 10000x2h --series 10 --interval 60 DIR
//! $ cargo run --release --example tsdb-blocks -- wal --series 20000 DIR      # two hours until now, for the head
//! $ cargo run --release --example tsdb-blocks -- serve --series 20000 9100   # an exporter that carries them on
//! ```
//!
//! The same arguments give the same bytes (of `wal`: but for its times). Blocks follow one another without a gap. A
//! Prometheus that should leave them as they are needs `--storage.tsdb.max-block-duration=2h` and a retention that
//! reaches back to them; its head reaches back to the end of the newest, so with a `wal` they should end where that
//! begins (`--end`), less than three hours ago. To scrape `serve` into the series of `wal`, use `job_name: live` and
//! `honor_labels: true`.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the formats fix the widths, and what is counted here fits them"
)]

mod block;
mod index;
mod random;
mod series;
mod serve;
mod wal;
mod xor;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime};

use clap::{Args, Parser, Subcommand};

use block::Plan;
use series::Set;

/// Unix milliseconds: 54 hours, 9066 times.
const START: i64 = 1_762_430_400_000;

#[derive(Parser)]
#[command(about = "Makes Prometheus data for benchmarks")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes blocks into a folder
    Blocks {
        /// How many blocks of how many hours, oldest first: 3x18h,2x6h,3x2h
        #[arg(long)]
        layout: String,
        /// Where the last block ends, Unix seconds; default: the first begins in November 2025
        #[arg(long)]
        end: Option<i64>,
        /// Only the last so many of them
        #[arg(long)]
        last: Option<usize>,
        /// So many at once; default: as many as there are processors
        #[arg(long)]
        threads: Option<usize>,
        #[command(flatten)]
        series: SeriesArguments,
        /// The folder
        folder: PathBuf,
    },
    /// Writes the write-ahead log of the time until now into a data folder
    Wal {
        /// How long, at most two hours
        #[arg(long, default_value_t = 120)]
        minutes: i64,
        #[command(flatten)]
        series: SeriesArguments,
        /// The data folder
        folder: PathBuf,
    },
    /// Serves the series at http://0.0.0.0:PORT/metrics
    Serve {
        #[command(flatten)]
        series: SeriesArguments,
        /// The port
        port: u16,
    },
}

#[derive(Args)]
struct SeriesArguments {
    /// How many series
    #[arg(long, default_value_t = 14_000)]
    series: usize,
    /// Seconds between two samples of a series
    #[arg(long, default_value_t = 15)]
    interval: i64,
    /// Another number gives other values
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl SeriesArguments {
    fn set(&self, job: &str) -> Set {
        Set::new(job, self.series, self.interval * 1000, self.seed)
    }
}

fn main() -> io::Result<()> {
    match Arguments::parse().command {
        Command::Blocks { layout, end, last, threads, series, folder } => {
            let plans = plans(&layout)?;
            let mut set = series.set("node");
            set.shift = end.map_or(0, |end| end * 1000 - plans.last().map_or(0, Plan::end));
            let first = plans.len().saturating_sub(last.unwrap_or(plans.len()));
            let threads = threads.map_or_else(std::thread::available_parallelism, |n| {
                n.try_into().map_err(io::Error::other)
            })?;
            blocks(&set, &plans[first..], threads.get(), &folder)
        }
        Command::Wal { minutes, series, folder } => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(io::Error::other)?;
            let now = now.as_millis() as i64;
            let samples = wal::write(&series.set("live"), now - minutes * 60_000, now, &folder)?;
            writeln!(io::stdout(), "{samples} samples of {} series", series.series)
        }
        Command::Serve { series, port } => serve::serve(&series.set("live"), port),
    }
}

fn plans(layout: &str) -> io::Result<Vec<Plan>> {
    let wrong = || io::Error::other(format!("{layout:?} is no layout: write for instance 3x18h,2x6h,3x2h"));
    let (mut plans, mut at) = (Vec::new(), START);
    for part in layout.split(',') {
        let (count, hours) =
            part.trim().strip_suffix('h').and_then(|part| part.split_once('x')).ok_or_else(wrong)?;
        let (count, hours): (u32, u32) =
            (count.parse().map_err(|_| wrong())?, hours.parse().map_err(|_| wrong())?);
        if hours == 0 || hours % 2 != 0 {
            return Err(io::Error::other("the hours of a block are even"));
        }
        for _ in 0..count {
            let plan = Plan { start: at, windows: hours / 2 };
            at = plan.end();
            plans.push(plan);
        }
    }
    Ok(plans)
}

fn blocks(set: &Set, plans: &[Plan], threads: usize, folder: &Path) -> io::Result<()> {
    let begun = Instant::now();
    let next = AtomicUsize::new(0);
    let total = Mutex::new(Ok((0, 0)));
    let work = || {
        while let Some(plan) = plans.get(next.fetch_add(1, Ordering::Relaxed)) {
            let written = block::write(set, plan, folder);
            let Ok(mut total) = total.lock() else { return };
            match (written, total.as_mut()) {
                (Ok((bytes, samples)), Ok(sum)) => *sum = (sum.0 + bytes, sum.1 + samples),
                (Err(error), _) => *total = Err(error),
                (_, Err(_)) => return,
            }
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let (bytes, samples): (u64, u64) = total.into_inner().map_err(|e| io::Error::other(e.to_string()))??;
    writeln!(
        io::stdout(),
        "{} blocks, {bytes} bytes, {samples} samples, {:.2} bytes a sample, in {:.1} s; they end at {}",
        plans.len(),
        bytes as f64 / samples.max(1) as f64,
        begun.elapsed().as_secs_f64(),
        plans.last().map_or(0, |plan| plan.end() + set.shift) / 1000
    )
}
