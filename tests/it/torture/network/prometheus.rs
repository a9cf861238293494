//! A proxy before a real Prometheus that is backed up, looked at, and checked.

use std::time::Duration;

use super::{Named, disturbed, faults};
use crate::support::prometheus::{Builder, Prometheus};
use crate::support::proxy::{BAD_GATEWAY, Fault, LOG_IN, Proxy, UNAVAILABLE, What};
use crate::support::watchkeeper::{JOB, Watchkeeper};

const IDLE: Duration = Duration::from_secs(2);
const FLAGS: &str = "GET /api/v1/status/flags";
const SNAPSHOT: &str = "POST /api/v1/admin/tsdb/snapshot";
const RUN: [&str; 2] = ["run-now", JOB];

struct Scene {
    prometheus: Prometheus,
    proxy: Proxy,
    watchkeeper: Watchkeeper,
}

impl Scene {
    fn new(keys: &str) -> Option<Self> {
        let prometheus = Prometheus::host(Builder::default())?;
        let proxy = Proxy::before(&prometheus.url());
        let target = prometheus.target().replace(&prometheus.url(), &proxy.url());
        let watchkeeper = Watchkeeper::with_config(&format!(
            "{target}\n[[job]]\nname = \"{JOB}\"\nkind = \"prometheus-snapshot\"\nprometheus = \"main\"\n\
             keep = {{ last = 50 }}\nidle_timeout = \"{}s\"\n{keys}\n",
            IDLE.as_secs()
        ));
        let this = Self { prometheus, proxy, watchkeeper };
        this.is_well("nothing");
        Some(this)
    }

    /// The backup fails in its time, with a reason, and leaves nothing in the store.
    #[track_caller]
    fn fails(&self, (name, what): Named, request: &str) {
        let before = self.watchkeeper.leftovers();
        let fault = Fault::new(what).at(request);
        let output = disturbed(&self.watchkeeper, &self.proxy, &fault, IDLE, &RUN);
        let said = output.expect(1).stdout;
        // Where nothing comes at all, the run is told to stop before the request is given up.
        let step = if request == FLAGS { "look at the server" } else { "take the snapshot" };
        let told = [
            self.proxy.url(),
            format!("Nothing moved for 2.0 s at the step {step:?}"),
            "Nothing moved for 2.0 s before its first step began".to_owned(),
        ];
        assert!(told.iter().any(|told| said.contains(told)), "{name}: it is not told what failed: {said}");
        assert_eq!(self.watchkeeper.leftovers(), before, "{name}");
    }

    /// The next run is well, and no snapshot is left on the server.
    #[track_caller]
    fn is_well(&self, after: &str) {
        let output = self.watchkeeper.run(&RUN);
        assert_eq!(output.code, 0, "after {after}: {output:?}");
        assert_eq!(self.prometheus.snapshots(), [""; 0], "after {after}");
    }
}

#[test]
fn a_backup_behind_a_broken_network_fails_in_its_time_and_the_next_is_well() {
    let Some(scene) = Scene::new("retries = { max = 0 }") else { return };
    for fault in faults() {
        for request in [FLAGS, SNAPSHOT] {
            scene.fails(fault, request);
            scene.is_well(fault.0);
        }
    }
    scene.watchkeeper.run(&["verify"]).expect(0);
}

#[test]
fn a_snapshot_that_was_taken_though_a_proxy_says_otherwise_is_removed_at_once() {
    let Some(scene) = Scene::new("retries = { max = 0 }") else { return };
    for (name, text) in [("503", UNAVAILABLE), ("502", BAD_GATEWAY), ("a page", LOG_IN)] {
        scene.fails((name, What::DoneBut(text)), SNAPSHOT);
        assert_eq!(scene.prometheus.snapshots(), [""; 0], "{name}");
        scene.is_well(name);
    }
}

#[test]
fn what_passes_is_tried_again_and_what_is_only_late_is_waited_for() {
    let Some(scene) = Scene::new("retries = { max = 3, backoff = \"1s\" }") else { return };
    let run = |fault: Fault| {
        let fault = fault.at(" /api/v1/");
        disturbed(&scene.watchkeeper, &scene.proxy, &fault, Duration::from_secs(30), &RUN).expect(0);
        assert_eq!(scene.prometheus.snapshots(), [""; 0], "{fault:?}");
    };
    run(Fault::new(What::Late(Duration::from_millis(30))));
    for what in
        [What::Answers(UNAVAILABLE), What::Answers(BAD_GATEWAY), What::ResetAfter(0), What::ClosedAfter(40)]
    {
        run(Fault::new(what).times(2));
    }
    assert_eq!(scene.watchkeeper.backups().len(), 6);
}
