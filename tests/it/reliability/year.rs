//! A year of the real daemon on a clock that is simulated: fifty jobs in eight zones, both changes of the clocks in each,
//! downtime, kills, suspends, a process that is stopped, clocks that are wrong for a while, and pauses. Only the driver's
//! alarm is left out (clocks.rs has that), and the work of the jobs is to look at a disk.
//!
//! In the end every slot of every job must have exactly one fate, and whatever came while all was well must have run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use watchkeeper::app::daemon::{self, Daemon, Reload};
use watchkeeper::app::{App, Surroundings};
use watchkeeper::config::Config;
use watchkeeper::history::Pause;
use watchkeeper::schedule::Schedule;
use watchkeeper::schedule::driver::{Passed, Planner, Tick};

use super::{figure, in_full};
use crate::support::scratch;

const START: &str = "2027-01-10T00:00:00Z";
const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "Asia/Kolkata",
    "Pacific/Auckland",
];
/// How often and when people run what watches their monitoring.
const SCHEDULES: [&str; 10] = [
    "30 2 * * *",
    "0 3 * * *",
    "H H * * *",
    "15 0 * * 1-5",
    "0 2 * * 0",
    "0 4 1 * *",
    "0 0 L * *",
    "@every 12h",
    "45 1 * * MON#2",
    "@daily",
];
const JOBS: usize = 50;

/// What the clock of the host shows, in milliseconds.
static SHOWN: AtomicI64 = AtomicI64::new(0);

fn shown() -> i64 {
    SHOWN.load(Ordering::SeqCst)
}

fn set_clock(to: i64) {
    SHOWN.store(to, Ordering::SeqCst);
}

fn clock() -> Timestamp {
    Timestamp::from_millisecond(shown()).unwrap()
}

fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    let head = format!(
        "timezone = \"UTC\"\nmax_concurrent = 50\nstate_dir = \"{folder}/state\"\nbackup_dir = \"{folder}/backups\"\n"
    );
    let job = |number: usize| {
        let schedule = if number == 0 { "0 * * * *" } else { SCHEDULES[number % SCHEDULES.len()] };
        let zone = ZONES[number % ZONES.len()];
        let missed = ["once", "all", "skip"][number % 3];
        format!(
            "[[job]]\nname = \"job-{number}\"\nkind = \"verify-deployment\"\nschedule = \"{schedule}\"\n\
             timezone = \"{zone}\"\non_missed = \"{missed}\"\nretries = {{ max = 0, backoff = \"1s\" }}\n\
             [[job.check]]\ntype = \"disk\"\npath = \"/\"\nfree = \"1KiB\"\n"
        )
    };
    (0..JOBS).map(job).fold(head, |text, job| text + &job)
}

/// Numbers that are the same each time: splitmix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }

    /// So many milliseconds as lie between these minutes.
    fn minutes(&mut self, least: u64, most: u64) -> i64 {
        i64::try_from((least + self.below(most - least)) * 60_000 + self.below(60_000)).unwrap()
    }
}

/// What happens to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The daemon is ended as it should, and started some time later.
    Stop,
    /// It is killed at the next slot.
    Kill,
    /// The machine sleeps.
    Suspend,
    /// The process is stopped, and goes on.
    Freeze,
    /// The clock is wrong for a while.
    Ahead,
    Behind,
    /// It starts with a clock that is wrong.
    WrongAtStart,
    /// A job is paused for a while.
    Pause,
}

const EVENTS: [Event; 8] = [
    Event::Stop,
    Event::Kill,
    Event::Suspend,
    Event::Freeze,
    Event::Ahead,
    Event::Behind,
    Event::WrongAtStart,
    Event::Pause,
];

struct Running {
    app: Arc<App>,
    planner: Planner,
    ticks: mpsc::Sender<Tick>,
    _reloads: mpsc::Sender<Reload>,
    stop: CancellationToken,
    serves: JoinHandle<()>,
}

impl Running {
    async fn start(config: &Path) -> Self {
        let load = Config::load(config, &|_| None, TimeZone::UTC);
        let stop = CancellationToken::new();
        let around = Surroundings {
            clock,
            environment: Arc::new(|_| None),
            docker_host: None,
            log: Arc::default(),
            without_history: watchkeeper::app::WithoutHistory::Fail,
            store_to_read: false,
            stop: CancellationToken::new(),
            grace: Duration::from_secs(1),
        };
        let app = Arc::new(App::open(Arc::new(load.unwrap()), around).unwrap());
        let daemon = Daemon::begin(Arc::clone(&app), clock(), stop.clone()).await;
        let planner = Planner::new(daemon::scheduled(&app), clock());
        let ((ticks, ticks_end), (reloads, reloads_end)) = (mpsc::channel(64), mpsc::channel(1));
        let serves = tokio::spawn(daemon.serve(ticks_end, reloads_end));
        settled().await;
        Self { app, planner, ticks, _reloads: reloads, stop, serves }
    }

    /// The driver looks at the clock.
    async fn look(&mut self, passed: Passed) {
        for tick in self.planner.step(clock(), passed).ticks() {
            self.ticks.send(tick).await.unwrap();
        }
    }

    async fn end(self) {
        self.stop.cancel();
        drop(self.ticks);
        self.serves.await.unwrap();
    }

    /// What is on the disk then is all there is.
    async fn kill(self) {
        self.serves.abort();
        drop(self.serves.await);
        settled().await;
    }
}

/// Time is simulated: this ends when nothing else is left to do.
async fn settled() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

struct Host {
    config: PathBuf,
    dice: Dice,
    /// The time that it really is.
    time: i64,
    running: Option<Running>,
    /// Since when all is well.
    well_since: Option<i64>,
    /// When all was well, from (without) and to (with) these times.
    well: Vec<(i64, i64)>,
    /// Pauses that were: their slots are noted as missed.
    pauses: Vec<(String, i64, i64)>,
}

impl Host {
    /// Time passes by so much, and the clock shows it.
    fn pass(&mut self, millis: i64) {
        self.time += millis;
        SHOWN.fetch_add(millis, Ordering::SeqCst);
    }

    async fn look(&mut self, all: i64, unwatched: i64) {
        let of = |millis: i64| Duration::from_millis(u64::try_from(millis).unwrap());
        if let Some(running) = &mut self.running {
            running.look(Passed { all: of(all), unwatched: of(unwatched) }).await;
        }
    }

    /// Time passes until then, slot by slot.
    async fn live(&mut self, until: i64) {
        while self.time < until {
            let slot = self.running.as_ref().and_then(|running| running.planner.next());
            let to_slot = slot.map_or(i64::MAX, |due| due.slot.as_millisecond() - shown());
            let millis = to_slot.clamp(1, until - self.time);
            self.pass(millis);
            self.look(millis, 0).await;
            settled().await;
        }
    }

    async fn start(&mut self) {
        self.running = Some(Running::start(&self.config).await);
        self.well_since = Some(self.time).filter(|_| self.time == shown());
    }

    fn trouble(&mut self) {
        self.well.extend(self.well_since.take().map(|since| (since, self.time)));
    }

    fn well_again(&mut self) {
        self.well_since = Some(self.time);
    }

    async fn meet(&mut self, event: Event) {
        let shows = |millis| Timestamp::from_millisecond(millis).unwrap();
        // For whoever looks into a failure.
        eprintln!("{} the clock shows {}: {event:?}", shows(self.time), shows(shown()));
        match event {
            Event::Stop => self.stopped(0).await,
            Event::WrongAtStart => {
                let (by, is_ahead) = (self.dice.minutes(2, 3 * 1_440), self.dice.below(2) == 0);
                self.stopped(if is_ahead { by } else { -by }).await;
            }
            Event::Kill => self.killed().await,
            Event::Suspend => {
                self.trouble();
                let millis = self.dice.minutes(2, 3 * 1_440);
                self.pass(millis);
                self.look(1, 0).await;
            }
            Event::Freeze => {
                self.trouble();
                let millis = self.dice.minutes(2, 1_440);
                self.pass(millis);
                self.look(millis, millis).await;
            }
            Event::Ahead => {
                let by = self.dice.minutes(2, 60 * 1_440);
                self.wrong(by).await;
            }
            Event::Behind => {
                let by = self.dice.minutes(2, 60 * 1_440);
                self.wrong(-by).await;
            }
            Event::Pause => self.pause().await,
        }
        settled().await;
        self.well_again();
    }

    /// The daemon is ended, and started again with a clock that is wrong by so much, and put right a little later.
    async fn stopped(&mut self, wrong_by: i64) {
        self.trouble();
        self.running.take().unwrap().end().await;
        let millis = self.dice.minutes(2, 4 * 1_440);
        self.pass(millis);
        set_clock(self.time + wrong_by);
        self.start().await;
        if wrong_by != 0 {
            self.well_since = None;
            let millis = self.dice.minutes(1, 180);
            self.live(self.time + millis).await;
            self.set_right().await;
        }
    }

    async fn killed(&mut self) {
        let slot = self.running.as_ref().and_then(|running| running.planner.next()).unwrap();
        self.trouble();
        self.pass((slot.slot.as_millisecond() - shown()).max(1));
        self.look(1_000, 0).await;
        // Somewhere in the middle of what it does then.
        for _ in 0..self.dice.below(200) {
            tokio::task::yield_now().await;
        }
        self.running.take().unwrap().kill().await;
        let millis = self.dice.minutes(2, 1_440);
        self.pass(millis);
        self.start().await;
    }

    /// The clock is wrong by so much, and put right some time later.
    async fn wrong(&mut self, by: i64) {
        self.trouble();
        set_clock(self.time + by);
        self.look(1, 0).await;
        settled().await;
        let millis = self.dice.minutes(1, 2 * 1_440);
        self.live(self.time + millis).await;
        self.set_right().await;
    }

    async fn set_right(&mut self) {
        eprintln!("  set right, from {}", Timestamp::from_millisecond(shown()).unwrap());
        set_clock(self.time);
        self.look(1, 0).await;
    }

    async fn pause(&mut self) {
        self.trouble();
        let job = format!("job-{}", self.dice.below(u64::try_from(JOBS).unwrap()));
        let (name, since) = (job.parse().unwrap(), self.time);
        let history = Arc::clone(&self.running.as_ref().unwrap().app.runner().history);
        history.pause(&name, &Pause { since: clock(), reason: None }).unwrap();
        let millis = self.dice.minutes(60, 5 * 1_440);
        self.well_again();
        self.live(self.time + millis).await;
        self.trouble();
        history.resume(&name, clock()).unwrap();
        self.pauses.push((job, since, self.time));
    }
}

/// What the history says of a job: slots that have a run, and stretches that were missed with their counts.
#[derive(Default)]
struct Fates {
    runs: BTreeMap<i64, String>,
    missed: Vec<(i64, i64, usize)>,
}

fn fates(history: &Connection, job: &str) -> Fates {
    let mut runs = history.prepare("SELECT slot, cause || ' ' || outcome FROM run WHERE job = ?1").unwrap();
    let runs = runs.query_map([job], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let mut missed = history.prepare("SELECT first, last, count FROM missed WHERE job = ?1").unwrap();
    let missed = missed
        .query_map([job], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?.try_into().unwrap())))
        .unwrap();
    Fates { runs: runs.map(Result::unwrap).collect(), missed: missed.map(Result::unwrap).collect() }
}

/// Every slot of a schedule, after one time and up to another.
fn slots(schedule: &Schedule, from: i64, to: i64) -> BTreeSet<i64> {
    let from = Timestamp::from_millisecond(from).unwrap();
    let slots = std::iter::successors(schedule.next_after(from), |slot| schedule.next_after(*slot));
    slots.map(Timestamp::as_millisecond).take_while(|slot| *slot <= to).collect()
}

/// How many slots had which fate.
type Tally = BTreeMap<String, usize>;

fn audit(host: &Host, start: i64, config: &Config) -> Tally {
    let history = Connection::open(host.config.with_file_name("state").join("history.db")).unwrap();
    let mut tally = Tally::new();
    for job in &config.jobs {
        let (name, schedule) = (job.name.as_str(), job.schedule.as_ref().unwrap());
        let (all, fates) = (slots(schedule, start, host.time), fates(&history, name));
        let says = |slot: i64| Timestamp::from_millisecond(slot).unwrap();
        for slot in &all {
            let fate = fates.runs.get(slot);
            let missed = fates.missed.iter().filter(|missed| missed.0 <= *slot && *slot <= missed.1).count();
            assert!(fate.is_some() || missed == 1, "{name} at {}: missed {missed} times", says(*slot));
            let is_in = |(from, to): &(i64, i64)| from < slot && slot <= to;
            let is_paused = |pause: &(String, i64, i64)| pause.0 == name && is_in(&(pause.1, pause.2));
            if host.well.iter().any(is_in) && !host.pauses.iter().any(is_paused) {
                assert!(fate.is_some(), "{name} at {}: missed although all was well", says(*slot));
            }
            *tally.entry(fate.cloned().unwrap_or_else(|| "missed".to_owned())).or_default() += 1;
        }
        for (first, last, count) in &fates.missed {
            // What lies between, and ran, is not counted.
            let missed = all.range(first..=last).filter(|slot| !fates.runs.contains_key(slot)).count();
            let ends = (all.contains(first), all.contains(last));
            assert_eq!((missed, ends), (*count, (true, true)), "{name}: {} to {}", says(*first), says(*last));
        }
        // A clock that was behind may have shown times before all this.
        let invented =
            fates.runs.range(start + 1..=host.time).map(|run| run.0).find(|slot| !all.contains(slot));
        assert_eq!(invented.map(|slot| says(*slot)), None, "{name}: a run of no slot");
    }
    tally
}

/// On a disk in memory, where there is one: it is not the disk that is measured.
fn folder() -> TempDir {
    let memory = tempfile::Builder::new().prefix("wk-year-").tempdir_in("/dev/shm");
    memory.unwrap_or_else(|_| scratch::folder("year"))
}

#[tokio::test(start_paused = true)]
async fn in_a_year_every_slot_has_one_fate_whatever_happens_to_the_host() {
    let watch = Instant::now();
    let place = folder();
    let config = place.path().join("jobs.toml");
    std::fs::write(&config, configuration(place.path())).unwrap();
    let start: Timestamp = START.parse().unwrap();
    let (begin, days) = (start.as_millisecond(), if in_full() { 365 } else { 90 });
    set_clock(begin);
    let seed = std::env::var("WATCHKEEPER_SEED").map_or(1, |seed| seed.parse().unwrap());
    let mut host = Host {
        config: config.clone(),
        dice: Dice(seed),
        time: begin,
        running: None,
        well_since: None,
        well: Vec::new(),
        pauses: Vec::new(),
    };
    host.start().await;
    let until = begin + days * 86_400_000;
    let mut met: BTreeMap<Event, usize> = BTreeMap::new();
    while host.time < until {
        let quiet = host.dice.minutes(60, 4 * 1_440);
        host.live(host.time + quiet).await;
        let event = EVENTS[usize::try_from(host.dice.below(8)).unwrap()];
        host.meet(event).await;
        *met.entry(event).or_default() += 1;
    }
    host.trouble();
    host.running.take().unwrap().end().await;
    let took = watch.elapsed();
    let config = Config::load(&config, &|_| None, TimeZone::UTC).unwrap();
    let tally = audit(&host, begin, &config);
    let all: usize = tally.values().sum();
    let words = |tally: Vec<(String, usize)>| {
        tally.iter().map(|(what, count)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
    };
    let met = met.into_iter().map(|(event, count)| (format!("{event:?}").to_lowercase(), count)).collect();
    figure(
        &format!("{days} simulated days of the daemon, {JOBS} jobs in {} zones", ZONES.len()),
        &format!(
            "{all} slots, each with one fate: {}. Met on the way: {}. Took {:.1} s",
            words(tally.into_iter().collect()),
            words(met),
            took.as_secs_f64()
        ),
    );
    assert!(all > 5_000, "{all}");
}
