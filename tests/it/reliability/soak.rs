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

/// The least of something in the second quarter of the looks, when all has warmed up, and in the last: what is only lent
/// to runs that go on is not in it, and what is lost is.
#[derive(Debug, PartialEq)]
struct Course {
    early: i64,
    late: i64,
    most: i64,
}

impl Course {
    fn of(looks: &[Held], what: impl Fn(&Held) -> i64) -> Self {
        let quarter = looks.len() / 4;
        let least = |looks: &[Held]| looks.iter().map(&what).min().unwrap();
        Self {
            early: least(&looks[quarter..2 * quarter]),
            late: least(&looks[3 * quarter..]),
            most: looks.iter().map(&what).max().unwrap(),
        }
    }

    fn grew(&self) -> i64 {
        self.late - self.early
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

#[track_caller]
fn is_flat(what: &str, unit: &str, course: &Course, bound: i64) -> String {
    let Course { early, late, most } = course;
    assert!(course.grew() <= bound, "{what}: {course:?} grew by more than {bound} {unit}");
    format!("{what} {early} → {late}{unit}, at most {most}{unit}")
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
    let more = if in_full() { 2_048 } else { 8_192 };
    let memory = is_flat("memory", " kB", &Course::of(&looks, |held| held.rss), more);
    let descriptors = is_flat("descriptors", "", &Course::of(&looks, |held| held.descriptors), 2);
    let threads = is_flat("threads", "", &Course::of(&looks, |held| held.threads), 4);
    assert!(log_size < 64 << 20, "history.db-wal has {log_size} bytes: it is never taken over");
    assert_eq!(count(&watchkeeper, "SELECT count(*) FROM run WHERE outcome = 'running'"), 0);
    let all = looks[LOOKS - 1].runs;
    figure(
        &format!(
            "a daemon over {all} runs of 20 jobs, each due each second: least in the second quarter → in the last"
        ),
        &format!("{memory}; {descriptors}; {threads}; took {:.0} s", took.as_secs_f64()),
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
fn a_kilobyte_that_is_lost_with_each_run_is_told_from_an_allocator_that_breathes() {
    let leaks = Course::of(&looks(|number| 20_000 + 250 * number), |held| held.rss);
    assert!(leaks.grew() > 2_048, "{leaks:?}");
    let breathes = Course::of(&looks(|number| 20_000 + 900 * (number % 3)), |held| held.rss);
    assert!(breathes.grew() <= 900, "{breathes:?}");
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
