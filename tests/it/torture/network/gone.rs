//! The container of a Prometheus that is killed, or removed, in the middle of a backup and of a restore, reached by its path
//! and through Docker: the backup is whole or fails, and after the restore all the old or all the new data are served.

use std::process::{Child, Command};
use std::time::Duration;

use super::containers::{ask_engine, through};
use crate::reliability::{figure, in_full};
use crate::support::loss::Loss;
use crate::support::prometheus::{Builder, Prometheus};
use crate::support::proxy::{Fault, Proxy, What};
use crate::support::wait_until;
use crate::support::watchkeeper::{JOB, Output, Watchkeeper};
use crate::torture::sweep::Dice;

const SOON: Duration = Duration::from_mins(2);
const BACKUP: [&str; 2] = ["run-now", JOB];
const UNDO: [&str; 4] = ["restore", JOB, "--undo", "--yes"];

/// What becomes of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gone {
    Killed,
    Removed,
}

const GONE: [Gone; 2] = [Gone::Killed, Gone::Removed];

/// Where a run is held until it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// Once this was asked of the engine; `NAME` is the container.
    Engine(&'static str),
    /// Once the server has done this, and before it is known.
    Server(&'static str),
    /// After so many bytes of the blocks.
    Stream(u64),
}

struct Scene {
    // Dropped in this order: a stream that is held locks the container.
    engine: Proxy,
    server: Proxy,
    prometheus: Prometheus,
    watchkeeper: Watchkeeper,
}

impl Scene {
    fn new(access: &str) -> Option<Self> {
        let prometheus = Prometheus::container(Builder::default())?;
        let (engine, server) = (Proxy::before_docker(), Proxy::before(&prometheus.url()));
        let target = prometheus.target().replace(&prometheus.url(), &server.url());
        let watchkeeper = Watchkeeper::with_config(&format!(
            "{target}\n[[job]]\nname = \"{JOB}\"\nkind = \"prometheus-snapshot\"\nprometheus = \"main\"\n\
             keep = {{ last = 500 }}\naccess = \"{access}\"\nretries = {{ max = 0 }}\nidle_timeout = \"20s\"\n"
        ));
        watchkeeper.run(&BACKUP).expect(0);
        Some(Self { engine, server, prometheus, watchkeeper })
    }

    fn name(&self) -> &str {
        self.prometheus.container_name().unwrap()
    }

    /// Runs it, and has the container gone when it has come to this.
    fn run(&self, words: &[&str], moment: Moment, gone: Gone) -> Output {
        let (proxy, what, at) = match moment {
            Moment::Engine(request) => (&self.engine, What::RequestHeldAfter(0), request),
            Moment::Server(request) => (&self.server, What::AnswerHeldAfter(0), request),
            Moment::Stream(bytes) => (&self.engine, What::AnswerHeldAfter(bytes), "GET /*/archive"),
        };
        proxy.inject(Fault::new(what).at(&at.replace("NAME", self.name())).times(1));
        let child: Child = through(&self.watchkeeper, &self.engine, words);
        proxy.wait_hit();
        let mut going = match gone {
            Gone::Killed => ask_engine(&["kill", self.name()]),
            Gone::Removed => ask_engine(&["rm", "-f", self.name()]),
        };
        if !matches!(moment, Moment::Stream(_)) {
            assert!(going.wait().unwrap().success());
        }
        proxy.heal();
        let output = self.watchkeeper.wait(child, words);
        assert!(going.wait().unwrap().success());
        assert!(!output.stderr.contains("panicked"), "{output:?}");
        output
    }

    /// Somebody brings it back.
    fn again(&self) {
        self.prometheus.make_again();
        // Another test may have its port for a moment.
        let starts =
            || Command::new("docker").args(["start", self.name()]).output().unwrap().status.success();
        wait_until("its container starts", SOON, starts);
        self.prometheus.wait_ready();
    }

    /// Nothing half is in the store, and all that is listed is whole.
    #[track_caller]
    fn is_clean(&self) {
        let left = std::fs::read_dir(self.watchkeeper.store()).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert!(!left.iter().any(|name| name.starts_with(".partial")), "{left:?}");
        self.watchkeeper.run(&["verify"]).expect(0);
    }
}

fn backups(access: &str, moments: &[Moment]) {
    let Some(scene) = Scene::new(access) else { return };
    for moment in moments {
        for gone in GONE {
            let before = scene.watchkeeper.backups().len();
            let output = scene.run(&BACKUP, *moment, gone);
            let made = scene.watchkeeper.backups().len() - before;
            match output.code {
                // Its snapshot could not be removed by the server, and is noted.
                0 | 3 => assert_eq!(made, 1, "{moment:?} {gone:?}: {output:?}"),
                1 => {
                    assert_eq!(made, 0, "{moment:?} {gone:?}: {output:?}");
                    let told = [scene.name(), &scene.server.url()];
                    let is_told = told.iter().any(|told| output.stdout.contains(told));
                    assert!(is_told, "{moment:?} {gone:?}: it is not told of what: {output:?}");
                    assert!(output.stdout.contains("next\n    "), "{moment:?} {gone:?}: {output:?}");
                }
                code => panic!("{moment:?} {gone:?}: exit code {code}: {output:?}"),
            }
            scene.is_clean();
            let down = scene.watchkeeper.run(&BACKUP).expect(1);
            assert!(down.stdout.contains(scene.name()), "{moment:?} {gone:?}: {down:?}");
            scene.again();
            scene.watchkeeper.run(&BACKUP).expect(0);
            assert_eq!(scene.prometheus.snapshots(), [""; 0], "{moment:?} {gone:?}");
            assert_eq!(scene.prometheus.containers_on_its_data(), [scene.name()], "{moment:?} {gone:?}");
            scene.is_clean();
        }
    }
    let times = moments.len() * GONE.len();
    let told = format!("{times} of {times}: whole, or failed and nothing left; the next was well");
    figure(&format!("the container is killed or removed in a backup of Prometheus, access {access}"), &told);
}

const SNAPSHOT: Moment = Moment::Server("POST /api/v1/admin/tsdb/snapshot");

#[test]
fn a_backup_by_path_whose_container_goes_is_whole_or_fails() {
    backups("host", &[SNAPSHOT, Moment::Server("GET /api/v1/status/flags")]);
}

#[test]
fn a_backup_through_docker_whose_container_goes_is_whole_or_fails() {
    let create = Moment::Engine("POST /*/containers/create");
    backups("docker", &[SNAPSHOT, create, Moment::Stream(0), Moment::Stream(1 << 10)]);
}

fn restores(access: &str, moments: &[Moment]) {
    let Some(scene) = Scene::new(access) else { return };
    let loss = Loss::of(&scene.prometheus, &scene.watchkeeper);
    let mut ends = [0; 3];
    for moment in moments {
        for gone in GONE {
            // What does not run yet cannot be killed.
            if (*moment, gone) == (START, Gone::Killed) {
                continue;
            }
            let output = scene.run(&["restore", &loss.backup, "--yes"], *moment, gone);
            let said = format!("{moment:?} {gone:?}: {output:?}");
            let words = format!("{}{}", output.stdout, output.stderr);
            let not_back = output.code == 4;
            assert_eq!(words.contains("the old data are NOT back"), not_back, "{said}");
            ends[match output.code {
                // It was killed where it was to be stopped.
                0 => 0,
                1 => 1,
                4 => 2,
                _ => panic!("{said}"),
            }] += 1;
            if output.code != 0 {
                let told = [scene.name(), &scene.server.url(), "Prometheus ended", "not ready"];
                assert!(told.iter().any(|told| words.contains(told)), "it is not told of what: {said}");
                assert!(words.contains("next\n    ") || words.contains("hint: "), "{said}");
            }
            scene.again();
            let served = loss.served(&scene.prometheus);
            match output.code {
                0 => assert!(served == loss.new, "{said}"),
                1 => assert!(served == loss.old, "the old data are not back: {said}"),
                _ => assert!(served == loss.old || served == loss.new, "a mixture: {said}"),
            }
            if output.code != 1 {
                scene.watchkeeper.run(&UNDO).expect(0);
                scene.prometheus.wait_ready();
                assert!(loss.served(&scene.prometheus) == loss.old, "{said}");
            }
            assert_eq!(scene.prometheus.containers_on_its_data(), [scene.name()], "{said}");
            // What a restore has set aside is accepted, so that nothing stands against the next.
            let _ = scene.watchkeeper.run(&["restore", JOB, "--discard-old", "--yes"]);
            let next = scene.watchkeeper.run(&BACKUP);
            // What was staged may still lie in the data of a container that could not be reached any more.
            if next.stdout.contains("is not finished") {
                assert!(output.code == 1 && next.stdout.contains("--undo"), "{next:?} after {said}");
                scene.watchkeeper.run(&UNDO).expect(0);
                scene.prometheus.wait_ready();
                assert!(loss.served(&scene.prometheus) == loss.old, "{said}");
            } else {
                next.expect(0);
            }
            scene.watchkeeper.run(&BACKUP).expect(0);
            scene.is_clean();
        }
    }
    let times: usize = ends.iter().sum();
    let [done, back, not_back] = ends;
    figure(
        &format!("the container is killed or removed in a restore of Prometheus, access {access}"),
        &format!(
            "{times} of {times}: {done} done, {back} with the old data back, {not_back} said that they are not, and an undo brought them"
        ),
    );
}

/// In full all of them, and else one that is drawn.
fn some(moments: &[Moment]) -> Vec<Moment> {
    if in_full() { moments.to_vec() } else { vec![moments[Dice::new().roll(moments.len())]] }
}

const STOP: Moment = Moment::Engine("POST /*/containers/NAME/stop");
const START: Moment = Moment::Engine("POST /*/containers/NAME/start");
const PROOF: Moment = Moment::Server("POST /api/v1/query");

#[test]
fn a_restore_by_path_whose_container_goes_has_the_old_data_back_or_says_that_it_has_not() {
    restores("host", &some(&[STOP, START, PROOF]));
}

#[test]
fn a_restore_through_docker_whose_container_goes_has_the_old_data_back_or_says_that_it_has_not() {
    restores("docker", &some(&[Moment::Engine("POST /*/containers/create"), STOP, START, PROOF]));
}
