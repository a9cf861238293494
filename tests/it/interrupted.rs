//! A restore that is killed, wherever it is: Prometheus, started by hand on what it left, shows all old or all new
//! data, no job touches it, and `--resume` and `--undo` both end it well.
//!
//! The old data differ from the new in every block: a metric is deleted after the backup, so that it is there in
//! every hour or in none, and a mix of both would show.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::prometheus::{Builder, Digest, Past, Prometheus};
use crate::support::watchkeeper::{JOB, Watchkeeper};
use crate::support::{scratch, wait_until};

/// How long a restore may take until the moment at which it is to be killed.
const LIMIT: Duration = Duration::from_mins(1);

mod a_restore_killed_at_any_moment_shows_all_old_or_all_new_and_is_resumed_or_taken_back {
    use super::*;

    #[test]
    fn on_the_host() {
        tell(Prometheus::host(Builder::default()), "", killed_at_many_moments);
    }

    #[test]
    fn through_docker_without_a_shell() {
        tell(through_docker(), DOCKER, killed_at_many_moments);
    }
}

#[test]
fn a_restore_killed_in_the_swap_is_resumed_to_its_proof_and_can_still_be_taken_back() {
    tell(through_docker(), DOCKER, resumed_to_its_proof);
}

const DOCKER: &str = "access = \"docker\"\n";

fn through_docker() -> Option<Prometheus> {
    Prometheus::container(Builder::default().without_shell())
}

/// When the restore is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// As soon as its work folder is there.
    Staging,
    /// This long after it began to exchange the data.
    Swapping(Duration),
    /// Then too, but the program in the helper container is spared: it goes on alone.
    Orphaned,
    /// As soon as the new data are live.
    Swapped,
    /// While Prometheus runs on the new data and is asked for them.
    Proving,
}

/// What is done with what a killed restore left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Undo,
    /// Killed in its turn once the new data are live, and taken back.
    ResumeAndUndo,
}

/// None is driven to its proof, which waits for Prometheus's first reload: a minute.
const ROUNDS: [(Moment, End); 10] = [
    (Moment::Staging, End::Undo),
    (Moment::Staging, End::ResumeAndUndo),
    (Moment::Swapping(Duration::ZERO), End::ResumeAndUndo),
    (Moment::Swapping(Duration::from_millis(1)), End::Undo),
    (Moment::Swapping(Duration::from_millis(4)), End::ResumeAndUndo),
    (Moment::Swapping(Duration::from_millis(9)), End::Undo),
    (Moment::Swapping(Duration::from_millis(16)), End::ResumeAndUndo),
    (Moment::Orphaned, End::Undo),
    (Moment::Swapped, End::Undo),
    (Moment::Proving, End::Undo),
];

struct Scene<'a> {
    prometheus: &'a Prometheus,
    watchkeeper: &'a Watchkeeper,
    data: PathBuf,
    past: Past,
    old: Digest,
    new: Digest,
}

fn tell(prometheus: Option<Prometheus>, keys: &str, story: fn(&Scene<'_>)) {
    let Some(prometheus) = prometheus else { return };
    let watchkeeper = Watchkeeper::with_keys(&prometheus, keys);
    story(&Scene::set(&prometheus, &watchkeeper));
    let own: Vec<&str> = prometheus.container_name().into_iter().collect();
    assert_eq!(prometheus.containers_on_its_data(), own, "a helper container was left behind");
}

fn killed_at_many_moments(scene: &Scene<'_>) {
    let phases: Vec<String> = ROUNDS.iter().map(|(moment, end)| scene.round(*moment, *end)).collect();
    assert!(phases.iter().any(|phase| phase == "swapping"), "never killed in the swap: {phases:?}");
    scene.watchkeeper.back_up();
}

fn resumed_to_its_proof(scene: &Scene<'_>) {
    scene.kill_at(Moment::Swapping(Duration::from_millis(2)));
    scene.started_by_hand_it_shows_one_side();
    let resumed = scene.watchkeeper.run(&["restore", JOB, "--resume"]).expect(0);
    assert!(resumed.stdout.contains("samples"), "the probes of the backup were not asked: {resumed:?}");
    assert_eq!(scene.seen(), scene.new);
    scene.watchkeeper.run(&["restore", JOB, "--undo", "--yes"]).expect(0);
    assert_eq!(scene.seen(), scene.old);
    scene.watchkeeper.back_up();
}

impl<'a> Scene<'a> {
    /// A backup, and a metric of it that is deleted afterwards.
    fn set(prometheus: &'a Prometheus, watchkeeper: &'a Watchkeeper) -> Self {
        let past = Past::until_now();
        let new = prometheus.digest(past);
        watchkeeper.back_up();
        let mut names = new.keys().map(|(metric, _)| metric);
        let metric = names.find(|metric| metric.starts_with("wk_temp")).unwrap().clone();
        prometheus.delete_series(&metric);
        let old = prometheus.digest(past);
        assert_ne!(old, new);
        Self { prometheus, watchkeeper, data: prometheus.data_dir(), past, old, new }
    }

    /// Kills a restore, looks, and ends it. Tells in which phase it was killed.
    fn round(&self, moment: Moment, end: End) -> String {
        self.kill_at(moment);
        let phase = self.phase().unwrap();
        self.started_by_hand_it_shows_one_side();
        self.no_job_touches_it();
        if end == End::ResumeAndUndo {
            let resumed = self.watchkeeper.spawn(&["restore", JOB, "--resume"]);
            self.wait_and_kill(resumed, Moment::Proving);
            assert_eq!(self.seen(), self.new, "{moment:?}, then resumed");
        }
        self.watchkeeper.run(&["restore", JOB, "--undo", "--yes"]).expect(0);
        self.prometheus.wait_ready();
        assert_eq!(self.seen(), self.old, "{moment:?}, then taken back");
        self.forget();
        phase
    }

    fn kill_at(&self, moment: Moment) {
        let restore = self.watchkeeper.spawn(&["restore", JOB, "--yes"]);
        self.wait_and_kill(restore, moment);
    }

    fn wait_and_kill(&self, mut restore: Child, moment: Moment) {
        let start = Instant::now();
        while !self.is_now(moment) {
            assert!(restore.try_wait().unwrap().is_none(), "{moment:?} never came: it ended before");
            assert!(start.elapsed() < LIMIT, "{moment:?} never came");
        }
        if let Moment::Swapping(delay) = moment {
            std::thread::sleep(delay);
        }
        restore.kill().unwrap();
        if !matches!(moment, Moment::Orphaned) {
            self.kill_helpers();
        }
        restore.wait().unwrap();
    }

    fn is_now(&self, moment: Moment) -> bool {
        let phase = self.phase();
        let is = |phases: &[&str]| phase.as_deref().is_some_and(|phase| phases.contains(&phase));
        match moment {
            Moment::Staging => is(&["staging"]),
            Moment::Swapping(_) | Moment::Orphaned => is(&["swapping", "swapped"]),
            Moment::Swapped => is(&["swapped"]),
            Moment::Proving => is(&["swapped"]) && self.prometheus.is_ready(),
        }
    }

    /// The phase of the restore in the data folder.
    fn phase(&self) -> Option<String> {
        let mut names = fs::read_dir(&self.data).unwrap().map(|entry| entry.unwrap().file_name());
        let work = names.find(|name| name.to_string_lossy().starts_with(".watchkeeper-restore-"))?;
        let journal = fs::read(self.data.join(work).join("journal.json")).ok()?;
        let journal: Value = serde_json::from_slice(&journal).ok()?;
        Some(journal["phase"].as_str().unwrap().to_owned())
    }

    /// The program in a helper container is killed too: it would go on alone.
    fn kill_helpers(&self) {
        let volume = self.data.parent().unwrap().to_string_lossy().into_owned();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let read = |name: &str| fs::read_to_string(entry.path().join(name)).unwrap_or_default();
            let name = volume.rsplit('/').next().unwrap();
            if read("cmdline").contains("folder-op") && read("mountinfo").contains(name) {
                let pid = entry.file_name().into_string().unwrap();
                let _ = Command::new("kill").args(["-KILL", &pid]).status();
                wait_until("the helper is gone", LIMIT, || !scratch::is_alive(&pid));
            }
        }
    }

    fn started_by_hand_it_shows_one_side(&self) {
        self.prometheus.start();
        self.prometheus.wait_ready();
        let seen = self.seen();
        let entries = [&seen, &self.old, &self.new].map(Digest::len);
        assert!(seen == self.old || seen == self.new, "a mix of both: {entries:?} entries (seen, old, new)");
    }

    fn no_job_touches_it(&self) {
        let output = self.watchkeeper.run(&["run-now", JOB]).expect(1);
        let said = output.stdout + &output.stderr;
        assert!(
            said.contains("not finished") && said.contains("--resume") && said.contains("--undo"),
            "{said}"
        );
        assert_eq!(self.watchkeeper.backups().len(), 1);
        assert!(self.prometheus.snapshots().is_empty());
    }

    /// Removes what the restore has set aside, so that the next one is the only one.
    fn forget(&self) {
        if self.phase().is_some() {
            self.watchkeeper.run(&["restore", JOB, "--discard-old", "--yes"]).expect(0);
        }
        assert_eq!(self.phase(), None);
    }

    fn seen(&self) -> Digest {
        self.prometheus.digest(self.past)
    }
}
