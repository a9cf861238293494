//! What is measured: series as exporters of hosts and of an HTTP service give them, with values that move as theirs do.
//!
//! The samples of a series in a window of two hours depend on the seed, the series and the window alone. So a block
//! of 18 hours holds exactly what the nine blocks of two hours hold that it would have been merged from. To have the
//! same data at another time, all of it is shifted.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::random::Random;
use super::xor::Sample;

/// Milliseconds of the time that Prometheus cuts its blocks by.
pub(crate) const WINDOW: i64 = 7_200_000;

/// How the values of a series move.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// They do not.
    Constant,
    /// A counter of things that are rare: most samples are equal to the one before.
    Rare,
    /// A counter of requests.
    Requests,
    /// A counter of bytes.
    Bytes,
    /// A counter of seconds, to the hundredth.
    Seconds,
    /// A gauge of memory, in pages.
    Pages,
    /// A gauge of a load or a temperature, to the hundredth.
    Decimal,
}

/// Names, label names and how many values each label has. What differs in nothing but the last number is one family.
struct Family {
    names: &'static [&'static str],
    labels: &'static [(&'static str, &'static [&'static str])],
    shapes: &'static [Shape],
}

use Shape::{Bytes, Constant, Decimal, Pages, Rare, Requests, Seconds};

const CPUS: &[&str] = &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"];
const MODES: &[&str] = &["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"];
const NICS: &[&str] = &["bond0", "docker0", "eth0", "eth1", "lo", "veth1f3a", "veth77c0", "vetha90e"];
const DISKS: &[&str] = &["dm-0", "dm-1", "nvme0n1", "nvme1n1", "sda", "sdb"];
const MOUNTS: &[&str] =
    &["/", "/boot", "/boot/efi", "/home", "/run", "/srv", "/tmp", "/var", "/var/lib/docker"];
const HANDLERS: &[&str] = &[
    "/api/v1/labels",
    "/api/v1/login",
    "/api/v1/orders",
    "/api/v1/orders/:id",
    "/api/v1/query",
    "/api/v1/query_range",
    "/api/v1/search",
    "/api/v1/sessions",
    "/health",
    "/metrics",
    "/static/*filepath",
];
const BOUNDS: &[&str] =
    &["+Inf", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "10", "2.5", "5"];
const CODES: &[&str] = &["200", "304", "404", "500"];

const FAMILIES: &[Family] = &[
    Family {
        names: &["node_cpu_seconds_total"],
        labels: &[("cpu", CPUS), ("mode", MODES)],
        shapes: &[Seconds, Seconds, Constant, Constant, Rare, Constant, Seconds, Seconds],
    },
    Family {
        names: &[
            "node_network_receive_bytes_total",
            "node_network_receive_drop_total",
            "node_network_receive_errs_total",
            "node_network_receive_packets_total",
            "node_network_transmit_bytes_total",
            "node_network_transmit_drop_total",
            "node_network_transmit_errs_total",
            "node_network_transmit_packets_total",
            "node_network_mtu_bytes",
            "node_network_up",
        ],
        labels: &[("device", NICS)],
        shapes: &[Bytes, Constant, Rare, Requests, Constant],
    },
    Family {
        names: &[
            "node_disk_io_now",
            "node_disk_io_time_seconds_total",
            "node_disk_read_bytes_total",
            "node_disk_reads_completed_total",
            "node_disk_reads_merged_total",
            "node_disk_write_time_seconds_total",
            "node_disk_writes_completed_total",
            "node_disk_written_bytes_total",
        ],
        labels: &[("device", DISKS)],
        shapes: &[Requests, Bytes, Seconds, Rare, Constant],
    },
    Family {
        names: &[
            "node_filesystem_avail_bytes",
            "node_filesystem_device_error",
            "node_filesystem_files",
            "node_filesystem_files_free",
            "node_filesystem_free_bytes",
            "node_filesystem_readonly",
            "node_filesystem_size_bytes",
        ],
        labels: &[("fstype", &["ext4"]), ("mountpoint", MOUNTS)],
        shapes: &[Pages, Constant, Constant, Rare],
    },
    Family {
        names: &["http_request_duration_seconds_bucket"],
        labels: &[("handler", HANDLERS), ("le", BOUNDS)],
        shapes: &[Requests, Rare, Requests, Requests],
    },
    Family {
        names: &["http_requests_total"],
        labels: &[("code", CODES), ("handler", HANDLERS)],
        shapes: &[Requests, Rare, Rare, Constant],
    },
    Family {
        names: &[
            "go_gc_duration_seconds_sum",
            "go_goroutines",
            "go_memstats_alloc_bytes",
            "go_memstats_heap_inuse_bytes",
            "go_memstats_heap_objects",
            "node_hwmon_temp_celsius",
            "node_load1",
            "node_load15",
            "node_load5",
            "node_memory_Active_bytes",
            "node_memory_AnonPages_bytes",
            "node_memory_Buffers_bytes",
            "node_memory_Cached_bytes",
            "node_memory_Dirty_bytes",
            "node_memory_HugePages_Total",
            "node_memory_MemAvailable_bytes",
            "node_memory_MemFree_bytes",
            "node_memory_MemTotal_bytes",
            "node_memory_Shmem_bytes",
            "node_memory_SwapFree_bytes",
            "process_cpu_seconds_total",
            "process_open_fds",
            "process_resident_memory_bytes",
            "process_start_time_seconds",
            "up",
        ],
        labels: &[],
        shapes: &[Decimal, Pages, Decimal, Pages],
    },
];

/// One series.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    /// Its labels, sorted, as numbers of symbols.
    pub(crate) labels: Vec<(u32, u32)>,
    target: u64,
    identity: u64,
    shape: Shape,
}

/// The series of all blocks, in the order of an index, and the texts of their labels.
pub(crate) struct Set {
    /// Sorted, each once.
    pub(crate) symbols: Vec<String>,
    /// Sorted by labels.
    pub(crate) series: Vec<Series>,
    /// Every sample is so many milliseconds later than its window tells.
    pub(crate) shift: i64,
    pub(crate) seed: u64,
    interval: i64,
}

type Labels = Vec<(String, String)>;

impl Set {
    /// So many series of the job, sampled every `interval` milliseconds.
    pub(crate) fn new(job: &str, count: usize, interval: i64, seed: u64) -> Self {
        let mut all: Vec<(Labels, Shape, u64)> =
            (0_u64..).flat_map(|target| of_target(job, target)).take(count).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        let texts: BTreeSet<&str> =
            all.iter().flat_map(|(labels, ..)| labels).flat_map(|(k, v)| [k.as_str(), v.as_str()]).collect();
        let symbols: Vec<String> = texts.into_iter().map(str::to_owned).collect();
        let number = |text: &str| symbols.partition_point(|symbol| symbol.as_str() < text) as u32;
        let series = all.iter().enumerate().map(|(n, (labels, shape, target))| Series {
            labels: labels.iter().map(|(k, v)| (number(k), number(v))).collect(),
            target: *target,
            identity: n as u64,
            shape: *shape,
        });
        let series = series.collect();
        Self { symbols, series, shift: 0, seed, interval }
    }

    /// The samples of a series in the window that begins at `start`. `out` is emptied first.
    pub(crate) fn samples(&self, series: &Series, start: i64, out: &mut Vec<Sample>) {
        out.clear();
        let window = start.div_euclid(WINDOW).cast_unsigned();
        let mut clock = Random::new(&[self.seed, 1, series.target, window]);
        let mut values = Values::new(self, series, start);
        let offset = Random::new(&[self.seed, 2, series.target]).below(self.interval.cast_unsigned());
        let mut at = start + offset.cast_signed();
        while at < start + WINDOW {
            // A scrape is off by some milliseconds now and then; Prometheus evens out less than two.
            let late = if clock.below(16) == 0 { 2 + clock.below(9).cast_signed() } else { 0 };
            if at + late < start + WINDOW {
                out.push((at + late + self.shift, values.next()));
            }
            at += self.interval;
        }
    }

    /// The labels of a series as texts.
    pub(crate) fn labels<'a>(&'a self, series: &'a Series) -> impl Iterator<Item = (&'a str, &'a str)> {
        let text = |n: u32| self.symbols[n as usize].as_str();
        series.labels.iter().map(move |&(k, v)| (text(k), text(v)))
    }
}

/// All series that one target of a scrape has.
fn of_target(job: &str, target: u64) -> Vec<(Labels, Shape, u64)> {
    let mut all = Vec::new();
    for family in FAMILIES {
        let combinations: usize = family.labels.iter().map(|(_, values)| values.len()).product();
        for (n, name) in family.names.iter().enumerate() {
            for mut combination in 0..combinations {
                let shape = family.shapes[(n + combination) % family.shapes.len()];
                let mut labels: Labels = vec![("__name__".into(), (*name).into())];
                for (label, values) in family.labels.iter().rev() {
                    labels.push(((*label).into(), values[combination % values.len()].into()));
                    combination /= values.len();
                }
                let mut host = String::new();
                let _ = write!(host, "host-{target:04}.example.org:9100");
                labels.push(("instance".into(), host));
                labels.push(("job".into(), job.into()));
                labels.sort();
                all.push((labels, shape, target));
            }
        }
    }
    all
}

/// The values of a series in one window.
struct Values {
    random: Random,
    shape: Shape,
    value: f64,
    /// What is typical of the series: a rate per sample, or a level.
    typical: f64,
}

impl Values {
    fn new(set: &Set, series: &Series, start: i64) -> Self {
        let mut own = Random::new(&[set.seed, 3, series.identity]);
        let seconds = set.interval as f64 / 1000.0;
        // From one a minute to thousands a second: rates of real series differ by orders of magnitude.
        let magnitude = 10_f64.powf(own.unit() * 3.0 - 1.0);
        let age = own.unit() * 5e6 + (start as f64 / 1000.0 - 1.7e9).max(0.0);
        let window = start.div_euclid(WINDOW).cast_unsigned();
        let random = Random::new(&[set.seed, 4, series.identity, window]);
        let busy = own.unit();
        let (typical, value) = match series.shape {
            Constant => (0.0, (magnitude * 10.0).round()),
            Rare => (0.1 * busy, (age / seconds * 0.15 * busy).round()),
            Requests => (magnitude * seconds, (age * magnitude).round()),
            Bytes => (magnitude * 1500.0 * seconds, (age * magnitude * 1500.0).round()),
            Seconds => (busy * seconds * 100.0, (age * busy * 100.0).round()),
            Pages => (magnitude * 4096.0, (magnitude * 4096.0).round()),
            Decimal => (magnitude, (magnitude * 100.0).round()),
        };
        Self { random, shape: series.shape, value, typical }
    }

    fn next(&mut self) -> f64 {
        let (random, typical) = (&mut self.random, self.typical);
        // Less than one on average, so that a counter ends below where it starts in the next window.
        let mut about = |value: f64| (value * (0.5 + 0.8 * random.unit())).round();
        match self.shape {
            Constant => {}
            Requests | Bytes | Seconds => self.value += about(typical),
            Rare => self.value += f64::from(u8::from(random.unit() < typical)),
            Pages => {
                if random.below(4) == 0 {
                    self.value = (self.value + (random.unit() - 0.5) * 64.0).round().max(0.0);
                }
            }
            Decimal => {
                let pull = (typical * 100.0 - self.value) * 0.1;
                self.value = (self.value + pull + (random.unit() - 0.5) * typical * 10.0).round().max(0.0);
            }
        }
        match self.shape {
            Seconds | Decimal => self.value / 100.0,
            Pages => self.value * 4096.0,
            _ => self.value,
        }
    }
}
