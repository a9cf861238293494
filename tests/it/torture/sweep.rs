//! Kills an operation over and over, until each of its steps was hit.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::cut::{self, Places, Point, Step, Traced};
use crate::reliability::{figure, in_full};
use crate::support;
use crate::support::watchkeeper::Watchkeeper;

/// How often each step of an operation may be missed before that fails.
const PATIENCE: usize = 12;

/// What is run and killed, and where it works.
pub(super) struct Stage<'a> {
    pub(super) watchkeeper: &'a Watchkeeper,
    pub(super) words: &'a [&'static str],
    /// The folder of what it works on, and what that is called.
    pub(super) data: (PathBuf, &'static str),
}

/// An operation, what it sets out from, and what must hold when it was killed.
pub(super) trait Scene {
    fn stage(&self) -> Stage<'_>;
    /// Puts all as it was before.
    fn reset(&self);
    /// Fails where something that must hold after a kill does not.
    fn holds(&self);
    fn watchkeeper(&self) -> &Watchkeeper {
        self.stage().watchkeeper
    }
    fn words(&self) -> &[&'static str] {
        self.stage().words
    }
    fn places(&self) -> Places {
        let Stage { watchkeeper, data, .. } = self.stage();
        Places::of(watchkeeper, &[data])
    }
    /// Runs it without a cut, and says what it does.
    fn undisturbed(&self) -> Traced {
        let traced = cut::run(self.watchkeeper(), self.words(), &self.places(), None);
        assert!(matches!(traced.output.code, 0 | 3), "{:?}", traced.output);
        traced
    }
}

/// Numbers by chance that can be had again.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new() -> Self {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let seed = std::env::var("WATCHKEEPER_SEED").map_or_else(|_| now(), |seed| seed.parse().unwrap());
        Self(seed.max(1))
    }

    pub(super) const fn seed(&self) -> u64 {
        self.0
    }

    /// One of so many.
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

/// Which steps an operation has, where they are met, and how often each was hit.
#[derive(Default)]
struct Tally {
    met: BTreeMap<Step, Vec<Point>>,
    hit: BTreeMap<Step, usize>,
    tried: BTreeMap<Step, usize>,
    kills: usize,
    longest: Duration,
}

impl Tally {
    fn learn(&mut self, traced: &Traced) {
        for (point, step) in &traced.steps {
            let points = self.met.entry(step.clone()).or_default();
            if !points.contains(point) {
                points.push(*point);
            }
        }
    }

    /// A point of one of the steps that were hit least.
    fn next(&mut self, dice: &mut Dice) -> (Step, Point) {
        let hits = |step: &Step| self.hit.get(step).unwrap_or(&0) + self.tried.get(step).unwrap_or(&0) / 3;
        let least = self.met.keys().map(hits).min().unwrap();
        let steps: Vec<Step> = self.met.keys().filter(|step| hits(step) == least).cloned().collect();
        let step = steps[dice.roll(steps.len())].clone();
        let points = &self.met[&step];
        let point = points[dice.roll(points.len())];
        *self.tried.entry(step.clone()).or_default() += 1;
        (step, point)
    }

    /// Was it aimed at, and never hit?
    fn is_missed(&self, step: &Step) -> bool {
        !self.hit.contains_key(step) && self.tried.get(step).is_some_and(|tried| *tried > 2)
    }

    /// It was killed there, and whole again after so long.
    fn note(&mut self, at: Step, took: Duration) {
        self.kills += 1;
        *self.hit.entry(at).or_default() += 1;
        self.longest = self.longest.max(took);
    }

    fn missed(&self) -> Vec<&Step> {
        self.met.keys().filter(|step| !self.hit.contains_key(step)).collect()
    }

    fn patient(&self) -> bool {
        self.missed().iter().any(|step| self.tried.get(step).unwrap_or(&0) < &PATIENCE)
    }

    fn tell(&self, name: &str) {
        let steps: Vec<String> = self.hit.iter().map(|(step, hits)| format!("{} {hits}", step.0)).collect();
        figure(
            &format!("kill -9: {name}"),
            &format!(
                "{} kills at {} of {} steps; all held, whole again within {:.1} s. {}",
                self.kills,
                self.hit.len(),
                self.met.len(),
                self.longest.as_secs_f64(),
                steps.join(", ")
            ),
        );
    }
}

const SCENES: usize = 4;

/// Kills it so often; in full until each step was hit.
pub(super) fn kill(name: &str, scene: &impl Scene, few: usize, many: usize) {
    let kills = Kills::new(name, few, many);
    kills.by(scene);
    kills.end();
}

/// The same; in full by several at once, each with a scene of its own in which it waits for its Prometheus most of the time.
pub(super) fn kill_by_several<S: Scene>(
    name: &str,
    few: usize,
    many: usize,
    new: impl Fn() -> Option<S> + Sync,
) {
    let kills = Kills::new(name, few, many);
    std::thread::scope(|scope| {
        for _ in 0..if in_full() { SCENES } else { 1 } {
            scope.spawn(|| {
                if let Some(scene) = new() {
                    kills.by(&scene);
                }
            });
        }
    });
    kills.end();
}

/// The kills of one operation.
struct Kills<'n> {
    name: &'n str,
    /// How many at least.
    wanted: usize,
    state: Mutex<(Dice, Tally)>,
}

impl<'n> Kills<'n> {
    fn new(name: &'n str, few: usize, many: usize) -> Self {
        let dice = Dice::new();
        eprintln!("{name}: WATCHKEEPER_SEED={}", dice.seed());
        let wanted = if in_full() { many } else { few };
        Self { name, wanted, state: Mutex::new((dice, Tally::default())) }
    }

    /// Kills the operation of this scene, until that was enough.
    fn by(&self, scene: &impl Scene) {
        scene.reset();
        let traced = scene.undisturbed();
        self.tally(|_, tally| tally.learn(&traced));
        let mut tries = 0;
        while in_time() && self.tally(|_, tally| self.goes_on(tally)) {
            tries += 1;
            assert!(tries < 20 * self.wanted, "{}: it is hardly ever killed", self.name);
            self.once(scene);
        }
    }

    /// Says what was hit.
    fn end(self) {
        let (_, tally) = self.state.into_inner().unwrap();
        tally.tell(self.name);
        assert!(!in_full() || tally.missed().is_empty(), "{}: never hit: {:?}", self.name, tally.missed());
    }

    fn tally<T>(&self, work: impl FnOnce(&mut Dice, &mut Tally) -> T) -> T {
        let mut state = self.state.lock().unwrap();
        let (dice, tally) = &mut *state;
        work(dice, tally)
    }

    fn goes_on(&self, tally: &Tally) -> bool {
        tally.kills < self.wanted || (in_full() && tally.patient())
    }

    fn once(&self, scene: &impl Scene) {
        let name = self.name;
        let (step, point, missed) = self.tally(|dice, tally| {
            let (step, point) = tally.next(dice);
            let missed = tally.is_missed(&step);
            (step, point, missed)
        });
        scene.reset();
        let (watchkeeper, words, places) = (scene.watchkeeper(), scene.words(), scene.places());
        let aimed = Telling(format!("{name}: to be killed at {point:?}, {}", step.0));
        // Another thread may always be the first to make so many of these calls.
        let traced = if missed {
            cut::kill_at(watchkeeper, words, &places, (&step, point.call))
        } else {
            cut::run(watchkeeper, words, &places, Some((point, "signal=KILL")))
        };
        drop(aimed);
        self.tally(|_, tally| tally.learn(&traced));
        if !traced.killed() {
            // It was not met. (A cleanup keeps away from a Prometheus that compacts at this moment.)
            let busy = traced.output.stdout.contains("writes a block at this moment");
            assert!(busy || matches!(traced.output.code, 0 | 3), "{name}: {:?}", traced.output);
            return;
        }
        let at = traced.at.clone().unwrap_or_else(|| Step("unknown".to_owned()));
        let told = Telling(format!("{name}: killed at {point:?}, {}", at.0));
        let since = Instant::now();
        scene.holds();
        drop(told);
        self.tally(|_, tally| tally.note(at, since.elapsed()));
    }
}

/// Whether there is time for one more. `WATCHKEEPER_TORTURE_MINUTES` limits all together; what was not hit until then fails.
pub(super) fn in_time() -> bool {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = *START.get_or_init(Instant::now);
    let minutes = std::env::var("WATCHKEEPER_TORTURE_MINUTES").ok().and_then(|minutes| minutes.parse().ok());
    start.elapsed() < Duration::from_mins(minutes.unwrap_or(60))
}

/// Says where a test stood when it failed.
pub(super) struct Telling(pub(super) String);

impl Drop for Telling {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("\n{}", self.0);
        }
    }
}

/// Keeps folders as they are at a moment.
pub(super) struct Kept(Vec<(PathBuf, PathBuf)>);

impl Kept {
    /// Copies them into a new folder of the program's.
    pub(super) fn new(watchkeeper: &Watchkeeper, name: &str, folders: &[&Path]) -> Self {
        let into = watchkeeper.folder().join(name);
        let _ = fs::remove_dir_all(&into);
        fs::create_dir(&into).unwrap();
        let copy = |(number, folder): (usize, &&Path)| {
            let copy = into.join(number.to_string());
            support::run(Command::new("cp").arg("-a").arg(folder).arg(&copy));
            (folder.to_path_buf(), copy)
        };
        Self(folders.iter().enumerate().map(copy).collect())
    }

    /// The state and the backups.
    pub(super) fn own(watchkeeper: &Watchkeeper, name: &str) -> Self {
        Self::new(watchkeeper, name, &[&watchkeeper.state(), &watchkeeper.backups_folder()])
    }

    pub(super) fn put_back(&self) {
        for (folder, copy) in &self.0 {
            let _ = fs::remove_dir_all(folder);
            support::run(Command::new("cp").arg("-a").arg(copy).arg(folder));
        }
    }
}

/// What must hold whatever was killed, once the next run has ended well.
pub(super) fn clean(watchkeeper: &Watchkeeper) {
    watchkeeper.run(&["verify"]).expect(0);
    let partial = |path: &PathBuf| {
        path.components().any(|part| {
            let name = part.as_os_str().to_string_lossy();
            [".partial", ".tmp-", ".removed-", ".restore-"].iter().any(|left| name.starts_with(left))
            // What lies among the shared files goes only after days.
        }) && !path.parent().is_some_and(|folder| folder.ends_with("blocks"))
    };
    for folder in [watchkeeper.backups_folder(), watchkeeper.state()] {
        let left: Vec<PathBuf> = support::scratch::files_below(&folder).into_iter().filter(partial).collect();
        assert!(left.is_empty(), "left in {}: {left:?}", folder.display());
    }
    let state = watchkeeper.state();
    let known = [
        "history.db",
        "history.db-wal",
        "history.db-shm",
        "locks",
        "ledger",
        "paused",
        "undo",
        "copies",
        "reserve",
        "store-id",
        "reserve-1",
        "reserve-2",
        "reserve-3",
    ];
    let others: Vec<String> = fs::read_dir(&state)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !known.contains(&name.as_str()))
        .collect();
    assert!(others.is_empty(), "left in {}: {others:?}", state.display());
    let history = watchkeeper.run_json(&["history"]).expect(0).json();
    let runs = history["runs"].as_array().unwrap();
    assert!(runs.iter().all(|run| run["outcome"].is_string() && run["outcome"] != "running"), "{history}");
    assert!(helpers(watchkeeper).is_empty(), "{:?}", helpers(watchkeeper));
}

/// Processes that work with this configuration.
fn helpers(watchkeeper: &Watchkeeper) -> Vec<String> {
    let config = watchkeeper.config().display().to_string();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .filter(|line| line.contains(&config))
        .collect()
}
