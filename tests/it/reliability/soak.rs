//! Whether a daemon that runs jobs for ever needs more and more of anything.

use std::fmt::{Display, Write as _};
use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};

use super::{ask, count, figure, in_full, start, stop};
use crate::support::database;
use crate::support::wait_until;
use crate::support::watchkeeper::{Output, Watchkeeper, files_job};

/// One look at the daemon is due after so many runs.
const LOOKS: usize = 40;
/// A run of the talkative job says so many lines.
const SAID: usize = 1_000;
/// So many of them are kept, and one line that says how many are not.
const KEPT: i64 = 200;

/// What the kernel says the daemon holds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Held {
    runs: i64,
    /// Memory, in kB.
    rss: i64,
    descriptors: i64,
    threads: i64,
}

impl Held {
    fn look(daemon: &Child, runs: i64) -> Self {
        let folder = format!("/proc/{}", daemon.id());
        let status = fs::read_to_string(format!("{folder}/status")).unwrap();
        let value = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        let descriptors = fs::read_dir(format!("{folder}/fd")).unwrap().count();
        Self {
            runs,
            rss: value("VmRSS:"),
            descriptors: i64::try_from(descriptors).unwrap(),
            threads: value("Threads:"),
        }
    }
}

/// What becomes of something over the second half of the looks, when all has warmed up.
#[derive(Debug, PartialEq)]
struct Course {
    most: i64,
    /// The median of the slopes between any two looks (Theil and Sen), as growth over that half: one peak that leaves a step
    /// behind does not move it, and what is lost bit by bit does.
    grew: i64,
    /// The least in its second half less the least in its first: what is only lent to runs that go on is not in it.
    left: i64,
}

impl Course {
    fn of(looks: &[Held], what: impl Fn(&Held) -> i64) -> Self {
        let warm = &looks[looks.len() / 2..];
        let between = |(first, second): (&Held, &Held)| {
            (what(second) - what(first)) * (warm[warm.len() - 1].runs - warm[0].runs)
                / (second.runs - first.runs).max(1)
        };
        let pairs = warm
            .iter()
            .enumerate()
            .flat_map(|(at, first)| warm[at + 1..].iter().map(move |second| (first, second)));
        let mut slopes: Vec<i64> = pairs.map(between).collect();
        slopes.sort_unstable();
        let least = |looks: &[Held]| looks.iter().map(&what).min().unwrap();
        let (early, late) = warm.split_at(warm.len() / 2);
        Self {
            most: looks.iter().map(&what).max().unwrap(),
            grew: slopes[slopes.len() / 2],
            left: least(late) - least(early),
        }
    }
}

/// Jobs of all sorts, each due each second: good ones, one that fails, one that talks much, and two that back up.
fn busy() -> Watchkeeper {
    let watchkeeper = Watchkeeper::with_config("");
    let of = |name: &str| watchkeeper.folder().join(name);
    database::create(&of("memory.db")).close().unwrap();
    let mut text =
        format!("max_concurrent = 16\n[metrics]\ntextfile = \"{}\"\n", of("metrics.prom").display());
    let due = "schedule = \"* * * * * *\"\nretries = { max = 0 }\n";
    let mut command = |name: &str, script: &str| {
        writeln!(
            text,
            "[[job]]\nname = \"{name}\"\nkind = \"command\"\ncommand = [\"sh\", \"-c\", \"{script}\"]\n{due}"
        )
        .unwrap();
    };
    for number in 0..16 {
        command(&format!("good-{number}"), "echo done");
    }
    command("bad", "echo this cannot work; exit 1");
    command("talks", &format!("seq {SAID}"));
    let files = files_job(2, &[watchkeeper.config().as_path()]);
    let sqlite = format!(
        "[[job]]\nname = \"db\"\nkind = \"sqlite-backup\"\nkeep = {{ last = 2 }}\ndatabase = \"{}\"\n",
        of("memory.db").display()
    );
    watchkeeper.configure(&format!("{text}{files}{due}{sqlite}{due}"));
    watchkeeper
}

fn ended(watchkeeper: &Watchkeeper) -> i64 {
    count(watchkeeper, "SELECT count(*) FROM run WHERE outcome IN ('done', 'failed')")
}

/// Looks at the daemon again and again until it has done so many runs.
fn soak(watchkeeper: &Watchkeeper, daemon: &Child, runs: usize) -> Vec<Held> {
    let look = |step: usize| {
        let wanted = i64::try_from(runs * step / LOOKS).unwrap();
        let mut done = 0;
        wait_until(&format!("{wanted} runs"), Duration::from_mins(5), || {
            done = ended(watchkeeper);
            done >= wanted
        });
        let held = Held::look(daemon, done);
        eprintln!("{held}");
        held
    };
    (1..=LOOKS).map(look).collect()
}

fn file_size(watchkeeper: &Watchkeeper, name: &str) -> u64 {
    fs::metadata(watchkeeper.state().join(name)).map_or(0, |found| found.len())
}

#[test]
fn a_daemon_that_runs_jobs_for_ever_needs_no_more_for_it() {
    let runs = if in_full() { 10_000 } else { 600 };
    let watchkeeper = busy();
    let began = Instant::now();
    let mut command = watchkeeper.command(&["run"]);
    // glibc keeps memory for each thread, up to its peak: it takes many thousand runs until all have met theirs, and a leak
    // would be lost in that.
    command.env("MALLOC_ARENA_MAX", "1");
    let daemon = start(&watchkeeper, command);
    let looks = soak(&watchkeeper, &daemon, runs);
    let log_size = file_size(&watchkeeper, "history.db-wal");
    stop(&watchkeeper, daemon);
    let took = began.elapsed();

    // Short of the full length the allocator still finds its size.
    let (more, open) = if in_full() { (2_048, 10) } else { (8_192, 32) };
    let memory = Course::of(&looks, |held| held.rss);
    assert!(memory.grew <= more, "{memory:?}: more memory, in kB");
    let descriptors = Course::of(&looks, |held| held.descriptors);
    assert!(descriptors.left <= open, "{descriptors:?}: more descriptors");
    let threads = Course::of(&looks, |held| held.threads);
    assert!(threads.left <= 8, "{threads:?}: more threads");
    assert!(log_size < 64 << 20, "history.db-wal has {log_size} bytes: it is never taken over");
    assert_eq!(count(&watchkeeper, "SELECT count(*) FROM run WHERE outcome = 'running'"), 0);
    let all = looks[LOOKS - 1].runs;
    figure(
        &format!("a daemon over {all} runs of 20 jobs, each due each second"),
        &format!(
            "memory at most {} kB, in the second half {:+} kB; descriptors {:+}, at most {}; threads {:+}, at most {}; took {:.0} s",
            memory.most,
            memory.grew,
            descriptors.left,
            descriptors.most,
            threads.left,
            threads.most,
            took.as_secs_f64()
        ),
    );
    the_log_of_each_run_is_bounded(&watchkeeper);
    kept_backups_are_as_many_as_wanted(&watchkeeper);
}

fn the_log_of_each_run_is_bounded(watchkeeper: &Watchkeeper) {
    let sql =
        "SELECT count(*) FROM run JOIN log_line ON log_line.run = run.id WHERE job = 'talks' GROUP BY run.id";
    let lines = ask(watchkeeper, sql, [], |row| row.get::<_, i64>(0));
    let most = lines.iter().max().copied().unwrap_or_default();
    assert_eq!(most, KEPT, "lines of a run that says {SAID}");
    let sql = "SELECT max(length(output)) FROM run WHERE job = 'talks'";
    let output = count(watchkeeper, sql);
    assert!((1..64 << 10).contains(&output), "the output of a run has {output} bytes");
    figure(
        &format!("a run that says {SAID} lines"),
        &format!("{most} of its log and {output} bytes of its output are in the history"),
    );
}

fn kept_backups_are_as_many_as_wanted(watchkeeper: &Watchkeeper) {
    for job in ["conf", "db"] {
        let listed: Output = watchkeeper.run_json(&["backups", job]).expect(0);
        let kept = listed.json()["backups"].as_array().unwrap().len();
        assert!((1..=3).contains(&kept), "{job}: {kept} backups");
    }
}

fn looks(rss: impl Fn(i64) -> i64) -> Vec<Held> {
    let held = |number: i64| Held { runs: number * 250, rss: rss(number), descriptors: 20, threads: 5 };
    (1..=40).map(held).collect()
}

#[test]
fn a_kilobyte_that_is_lost_with_each_run_is_told_from_an_allocator_that_breathes_or_has_met_a_peak() {
    let grew = |rss: &dyn Fn(i64) -> i64| Course::of(&looks(rss), |held| held.rss).grew;
    let breath = |number: i64| 900 * (number % 3);
    assert!(grew(&|number| 20_000 + 250 * number + breath(number)) > 4_000);
    assert!(grew(&|number| 20_000 + breath(number)).abs() < 500);
    assert!(grew(&|number| if number < 26 { 20_000 } else { 24_000 }).abs() < 500);
    let lost: Vec<Held> =
        looks(|_| 0).into_iter().map(|held| Held { descriptors: held.runs / 100, ..held }).collect();
    assert!(Course::of(&lost, |held| held.descriptors).left > 10);
}

impl Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} runs: {} kB, {} descriptors, {} threads",
            self.runs, self.rss, self.descriptors, self.threads
        )
    }
}
