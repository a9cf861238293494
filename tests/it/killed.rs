//! Restores that are cut: killed in the middle of their swap, or robbed of what they brought. Whoever starts
//! Prometheus in between finds all the old or all the new data, and both ways stay open.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::loss::Loss;
use crate::support::prometheus::{Builder, Digest, Prometheus, told_twice};
use crate::support::run;
use crate::support::watchkeeper::{JOB, Watchkeeper};

/// How long a restore may take to come to a moment.
const COMING: Duration = Duration::from_mins(2);
/// A swap takes milliseconds, and this process may sleep through them.
const TRIES: usize = 8;

/// A moment of a restore or of its undoing, seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// Noted, and hardly more.
    Begun,
    /// The first live data have changed places.
    Entered,
    /// What is live leads to the other side.
    Turned,
    /// All is exchanged.
    Ended,
}

/// What is being done to the data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Swap,
    Undo,
}

impl Doing {
    /// The journal's words while it is under way, and after.
    const fn phases(self) -> [&'static str; 2] {
        match self {
            Self::Swap => ["swapping", "swapped"],
            Self::Undo => ["undoing", "undone"],
        }
    }

    /// The side that what is live goes to, and the one that it comes from.
    const fn sides(self) -> [&'static str; 2] {
        match self {
            Self::Swap => ["old", "new"],
            Self::Undo => ["new", "old"],
        }
    }
}

/// The work folder of the newest restore in a data folder.
fn work_folder(data: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(data).ok()?.flatten().map(|entry| entry.path());
    let ours = |path: &PathBuf| {
        path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(".watchkeeper-restore-"))
    };
    entries.filter(ours).max()
}

fn phase(work: &Path) -> Option<String> {
    let journal: Value = serde_json::from_slice(&fs::read(work.join("journal.json")).ok()?).ok()?;
    journal["phase"].as_str().map(str::to_owned)
}

fn has_come(moment: Moment, doing: Doing, work: &Path) -> bool {
    let ([under_way, after], [aside, source]) = (doing.phases(), doing.sides());
    let Some(phase) = phase(work) else { return false };
    let entered = || fs::read_dir(work.join(aside)).is_ok_and(|mut entries| entries.next().is_some());
    let turned = || fs::read_link(work.join("current")).is_ok_and(|to| to == Path::new(source));
    phase == after
        || (phase == under_way
            && match moment {
                Moment::Begun => true,
                Moment::Entered => entered(),
                Moment::Turned => turned(),
                Moment::Ended => false,
            })
}

/// Everything of ours that works on a data folder is killed: the program, and its helper in a container.
fn kill(child: &mut Child, helper: Option<&str>) {
    // The helper first: it does the work, and outlives the program.
    if let Some(pid) = helper {
        let _ = Command::new("kill").args(["-KILL", pid]).output();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The process that performs this operation inside a container.
fn helper(doing: Doing) -> Option<String> {
    let wanted = if doing == Doing::Swap { "\"op\":\"swap\"" } else { "\"op\":\"undo\"" };
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.filter_map(|entry| entry.file_name().into_string().ok()).find(|pid| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.contains("folder-op") && line.contains(wanted)
    })
}

/// Runs it until the moment has come, and kills it there. Returns the phase that its journal was left in.
fn kill_at(
    moment: Moment,
    doing: Doing,
    prometheus: &Prometheus,
    watchkeeper: &Watchkeeper,
    words: &[&str],
) -> String {
    let data = prometheus.data_dir();
    let helped = prometheus.container_name().is_some();
    let mut child = watchkeeper.spawn(words);
    let start = Instant::now();
    let mut found = None;
    // No pause: what is waited for is over in milliseconds.
    while !work_folder(&data).is_some_and(|work| has_come(moment, doing, &work)) {
        if child.try_wait().unwrap().is_some() {
            // Nobody looked while it was at it: one more time.
            watchkeeper.wait(child, words).expect(0);
            return doing.phases()[1].to_owned();
        }
        assert!(start.elapsed() < COMING, "{words:?}: {moment:?} did not come");
        if helped && found.is_none() {
            found = helper(doing);
        } else {
            std::thread::yield_now();
        }
    }
    kill(&mut child, found.as_deref());
    phase(&work_folder(&data).unwrap()).unwrap()
}

/// Like [`kill_at`], until it was killed in the middle. `anew` leads back to where it can be run again.
fn kill_in_the_middle(
    moment: Moment,
    doing: Doing,
    prometheus: &Prometheus,
    watchkeeper: &Watchkeeper,
    words: &[&str],
    anew: &[&str],
) {
    for _ in 0..TRIES {
        if kill_at(moment, doing, prometheus, watchkeeper, words) == doing.phases()[0] {
            return;
        }
        watchkeeper.run(anew).expect(0);
    }
    panic!("{moment:?} was never met in {TRIES} tries");
}

struct Scene<'a> {
    prometheus: &'a Prometheus,
    watchkeeper: &'a Watchkeeper,
    loss: Loss,
}

impl Scene<'_> {
    fn serves_all_old_or_all_new(&self) {
        self.loss.all_old_or_all_new(self.prometheus);
    }

    fn serves(&self, digest: &Digest) {
        self.prometheus.wait_ready();
        assert_eq!(&self.loss.served(self.prometheus), digest);
    }
}

const RESTORE: [&str; 3] = ["restore", JOB, "--yes"];
const UNDO: [&str; 4] = ["restore", JOB, "--undo", "--yes"];
const RESUME: [&str; 3] = ["restore", JOB, "--resume"];

fn tell(prometheus: Option<Prometheus>, story: fn(&Scene<'_>)) {
    let Some(prometheus) = prometheus else { return };
    // Through Docker also where the host's path could be used: then a helper does the work.
    let access = if prometheus.container_name().is_some() { "docker" } else { "auto" };
    let watchkeeper = Watchkeeper::with_config(&format!(
        "{}\n[[job]]\nname = \"{JOB}\"\nkind = \"prometheus-snapshot\"\nprometheus = \"main\"\n\
         keep = {{ last = 5 }}\naccess = \"{access}\"\n",
        prometheus.target()
    ));
    let loss = Loss::of(&prometheus, &watchkeeper);
    story(&Scene { prometheus: &prometheus, watchkeeper: &watchkeeper, loss });
    let own: Vec<&str> = prometheus.container_name().into_iter().collect();
    assert_eq!(prometheus.containers_on_its_data(), own, "a helper container was left behind");
}

fn killed_in_its_swap_it_is_taken_back(scene: &Scene<'_>) {
    let &Scene { prometheus, watchkeeper, .. } = scene;
    for moment in [Moment::Begun, Moment::Entered, Moment::Turned] {
        kill_in_the_middle(moment, Doing::Swap, prometheus, watchkeeper, &RESTORE, &UNDO);
        scene.serves_all_old_or_all_new();
        let refused = watchkeeper.run(&["run-now", JOB]).expect(1);
        let resume = format!("`watchkeeper restore {JOB} --resume`");
        assert!(refused.stdout.contains(&resume) && refused.stdout.contains("--undo"), "{refused:?}");
        watchkeeper.run(&UNDO).expect(0);
        scene.serves(&scene.loss.old);
    }
    watchkeeper.run(&["restore", JOB, "--discard-old", "--yes"]).expect(0);
    assert_eq!(prometheus.in_data("ls -d .watchkeeper-*-* 2>/dev/null || true"), "");
    scene.serves(&scene.loss.old);
    watchkeeper.back_up();
}

fn killed_over_and_over_it_is_finished(scene: &Scene<'_>) {
    let &Scene { prometheus, watchkeeper, .. } = scene;
    kill_in_the_middle(Moment::Entered, Doing::Swap, prometheus, watchkeeper, &RESTORE, &UNDO);
    scene.serves_all_old_or_all_new();
    // Not in the middle of necessity: where the first cut came late there is little left to do.
    kill_at(Moment::Turned, Doing::Swap, prometheus, watchkeeper, &RESUME);
    scene.serves_all_old_or_all_new();
    watchkeeper.run(&RESUME).expect(0);
    scene.serves(&scene.loss.new);

    kill_at(Moment::Begun, Doing::Undo, prometheus, watchkeeper, &UNDO);
    scene.serves_all_old_or_all_new();
    watchkeeper.run(&UNDO).expect(0);
    scene.serves(&scene.loss.old);
}

/// Somebody removes a restored block before Prometheus is up again: nothing may call that a success.
fn robbed_of_a_block_it_is_taken_back(scene: &Scene<'_>) {
    let &Scene { prometheus, watchkeeper, .. } = scene;
    let data = prometheus.data_dir();
    let child = watchkeeper.spawn(&RESTORE);
    let start = Instant::now();
    while !work_folder(&data).is_some_and(|work| has_come(Moment::Ended, Doing::Swap, &work)) {
        assert!(start.elapsed() < COMING, "the swap did not come");
        std::thread::yield_now();
    }
    run(Command::new("sh")
        .args(["-euc", "for block in 01*; do rm -r $block; break; done"])
        .current_dir(&data));
    let output = watchkeeper.wait(child, &RESTORE).expect(1);
    assert!(output.stdout.contains("gone from the data folder"), "{output:?}");
    assert!(output.stdout.contains("taken back"), "{output:?}");
    scene.serves(&scene.loss.old);
    let history = watchkeeper.run_json(&["history", "--failed"]).expect(0).json();
    assert_eq!(history["runs"][0]["kind"], "prometheus-restore");
    watchkeeper.back_up();
}

/// What a restore has left out when it began is missed by nobody who goes on with it.
fn killed_without_its_damaged_block_it_is_finished_without_it(scene: &Scene<'_>) {
    let &Scene { prometheus, watchkeeper, .. } = scene;
    let blocks = watchkeeper.store().join("blocks");
    let stored = fs::read_dir(&blocks).unwrap().map(|entry| entry.unwrap().path());
    let damaged = stored.filter(|path| path.to_string_lossy().ends_with(".tar.gz")).min().unwrap();
    fs::remove_file(&damaged).unwrap();
    let skip = ["restore", JOB, "--skip-damaged", "--yes"];
    kill_at(Moment::Ended, Doing::Swap, prometheus, watchkeeper, &skip);
    let resumed = watchkeeper.run(&RESUME).expect(3);
    let block = damaged.file_name().unwrap().to_str().unwrap().split('-').next().unwrap();
    assert!(resumed.stdout.contains(&format!("damaged and left out: {block}")), "{resumed:?}");
    let names = prometheus.in_data("ls -d 01*");
    assert!(!names.contains(block) && names.lines().count() > 4, "{names}");
    watchkeeper.run(&UNDO).expect(0);
    scene.serves(&scene.loss.old);
}

told_twice! {
    killed_in_its_swap_it_is_taken_back,
    killed_over_and_over_it_is_finished,
    robbed_of_a_block_it_is_taken_back,
    killed_without_its_damaged_block_it_is_finished_without_it,
}
