//! Calls that fail, one after the other, as on a disk that is full, broken, or lies: what was to be done is done, or fails
//! with a reason, and the next run is well.

use std::collections::BTreeMap;

use super::backups::Store;
use super::cut::{self, Places, Point, Step, Traced};
use super::files::{self, Conf};
use super::restore::{self, Data};
use super::sqlite::{self, Database};
use super::sweep::{Dice, Scene, Telling, in_time};
use crate::reliability::{figure, in_full};
use crate::support::watchkeeper::{JOB, Watchkeeper};

/// A short write that is told and not done is a disk that lies.
const FAULTS: [Fault; 4] = [
    (
        "ENOSPC",
        "error=ENOSPC",
        &["write", "pwrite64", "openat", "mkdir", "rename", "renameat", "renameat2", "ftruncate"],
    ),
    (
        "EIO",
        "error=EIO",
        &["write", "pwrite64", "fsync", "fdatasync", "rename", "renameat", "renameat2", "unlink", "unlinkat"],
    ),
    ("EACCES", "error=EACCES", &["openat", "mkdir", "unlink", "unlinkat", "rename", "renameat", "renameat2"]),
    ("a write that was none", "retval=1", &["write"]),
];

/// How each of the runs with a fault ended.
#[derive(Default)]
struct Ends {
    done: usize,
    warned: usize,
    failed: usize,
    steps: BTreeMap<Step, usize>,
}

impl Ends {
    /// Takes it in, where the fault met a step; fails where it ended otherwise than it may.
    fn take(&mut self, traced: &Traced) {
        let Some(at) = &traced.at else { return };
        let output = &traced.output;
        let said = format!("{}{}", output.stdout, output.stderr);
        assert!(!said.contains("panicked"), "{said}");
        match output.code {
            0 => self.done += 1,
            3 => self.warned += 1,
            1 | 4 => {
                self.failed += 1;
                let reasons = [
                    "disk is full",
                    "No space",
                    "Input/output",
                    "ermission denied",
                    "disk I/O error",
                    "unable to open",
                    "differ",
                    "reads back",
                    "does not read back",
                    "does not match",
                    "read back",
                    "not what",
                    "not those of the backup",
                    "damaged",
                    "truncated",
                    "database",
                ];
                let is_told = traced.unheard || reasons.iter().any(|reason| said.contains(reason));
                assert!(is_told, "no reason is told: {said}");
            }
            code => panic!("exit code {code}: {said}"),
        }
        *self.steps.entry(at.clone()).or_default() += 1;
    }
}

/// What is let fail, how strace is told so, and at which calls.
type Fault = (&'static str, &'static str, &'static [&'static str]);

/// Lets calls of it fail: so many of each fault, or in full each step with each fault that it may meet.
fn fail(name: &str, scene: &impl Scene, few: usize, many: usize) {
    fail_by(name, scene, &FAULTS, if in_full() { many } else { few });
}

fn fail_by(name: &str, scene: &impl Scene, faults: &[Fault], times: usize) {
    let mut dice = Dice::new();
    eprintln!("{name}: WATCHKEEPER_SEED={}", dice.seed());
    scene.reset();
    let steps = scene.undisturbed().steps;
    for (fault, how, calls) in faults {
        let lies = how.starts_with("retval");
        // A database whose disk lies is lost, and SQLite does not say otherwise.
        let counts = |(point, step): &&(Point, Step)| {
            calls.contains(&point.call)
                && !step.0.ends_with("a socket")
                && !(lies && step.0.contains("/history.db"))
        };
        let points: Vec<&(Point, Step)> = steps.iter().filter(counts).collect();
        if points.is_empty() {
            continue;
        }
        let mut ends = Ends::default();
        for _ in 0..times {
            if !in_time() {
                break;
            }
            let (point, _) = points[dice.roll(points.len())];
            scene.reset();
            let told = Telling(format!("{name}: {fault} at {point:?}"));
            let traced = cut::run(scene.watchkeeper(), scene.words(), &scene.places(), Some((*point, how)));
            let why = Telling(format!("{:?} {:?}", traced.at, traced.output));
            // Of one that could not go on and was killed, or met another call than it was to, no more is known.
            if !traced.unwoken && traced.at.as_ref().is_some_and(|at| at.0 != "between the steps") {
                ends.take(&traced);
            }
            scene.holds();
            drop((told, why));
        }
        let Ends { done, warned, failed, steps } = ends;
        figure(
            &format!("{fault}: {name}"),
            &format!(
                "{} faults at {} steps: {failed} failed and said why, {warned} warned, {done} done; the next run was well",
                done + warned + failed,
                steps.len()
            ),
        );
    }
}

#[test]
fn a_fault_that_meets_the_words_of_the_program_itself_is_known() {
    let watchkeeper = Watchkeeper::with_config("");
    let (words, places) = (["restore", "nothing", "--yes"], Places::of(&watchkeeper, &[]));
    let fails_at =
        |nth| cut::run(&watchkeeper, &words, &places, Some((Point { call: "write", nth }, "error=ENOSPC")));
    let heard = cut::run(&watchkeeper, &words, &places, None);
    assert!(!heard.unheard && heard.output.code == 2 && heard.output.stderr.contains("nothing"), "{heard:?}");
    let unheard = (1..20).map(fails_at).find(|traced| traced.unheard).expect("it says something");
    assert!(unheard.output.code == 2 && !unheard.output.stderr.contains("nothing"), "{unheard:?}");
}

#[test]
fn calls_of_a_backup_as_blocks_fail() {
    let Some(store) = Store::new("blocks", 1, &["run-now", JOB]) else { return };
    fail("backup, layout blocks", &store, 2, 40);
}

#[test]
fn calls_of_a_backup_as_an_archive_fail() {
    let Some(store) = Store::new("archive", 1, &["run-now", JOB]) else { return };
    fail("backup, layout archive", &store, 2, 40);
}

#[test]
fn calls_of_a_prune_fail() {
    let Some(store) = Store::new("blocks", 3, &["prune", JOB]) else { return };
    fail("prune", &store, 2, 25);
}

#[test]
fn calls_of_a_backup_of_files_fail() {
    fail("files: backup", &Conf::new(&files::BACKUP), 2, 40);
}

#[test]
fn calls_of_a_restore_of_files_fail() {
    fail("files: restore", &Conf::new(&files::RESTORE), 2, 40);
}

#[test]
fn calls_of_a_backup_of_a_database_fail() {
    let Some(database) = Database::new(&sqlite::BACKUP) else { return };
    fail("SQLite: backup", &database, 2, 30);
}

#[test]
fn calls_of_a_restore_of_prometheus_fail() {
    let Some(data) = Data::new(&restore::RESTORE) else { return };
    let name = "restore of Prometheus";
    if in_full() {
        return fail(name, &data, 0, 12);
    }
    // Each takes the minute until Prometheus first reloads.
    let fault = FAULTS[Dice::new().roll(FAULTS.len())];
    fail_by(name, &data, &[fault], 1);
}
