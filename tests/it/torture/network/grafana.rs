//! A proxy before the stand-in of a Grafana that is exported.

use std::time::Duration;

use super::{disturbed, faults};
use crate::support::grafana::{Grafana, Version};
use crate::support::grafana_export::{JOB, PASSWORD, archives, sample};
use crate::support::proxy::{BAD_GATEWAY, Fault, Proxy, UNAVAILABLE, What};
use crate::support::watchkeeper::Watchkeeper;

const LIMIT: Duration = Duration::from_secs(6);
const RUN: [&str; 2] = ["run-now", JOB];

pub(super) struct Scene {
    _grafana: Grafana,
    pub(super) proxy: Proxy,
    pub(super) watchkeeper: Watchkeeper,
}

impl Scene {
    pub(super) fn new() -> Self {
        let grafana = sample(Version::V10);
        let proxy = Proxy::before(&grafana.url());
        let watchkeeper = Watchkeeper::with_config(&format!(
            "[grafana.main]\nurl = \"{}\"\n{PASSWORD}\n[[job]]\nname = \"{JOB}\"\nkind = \"grafana-export\"\n\
             grafana = \"main\"\nkeep = {{ last = 500 }}\nretries = {{ max = 0 }}\ntimeout = \"{}s\"\n",
            proxy.url(),
            LIMIT.as_secs()
        ));
        watchkeeper.run(&RUN).expect(0);
        Self { _grafana: grafana, proxy, watchkeeper }
    }

    /// The export with this fault.
    #[track_caller]
    pub(super) fn export(&self, fault: &Fault) -> (i32, String) {
        let output = disturbed(&self.watchkeeper, &self.proxy, fault, LIMIT, &RUN);
        (output.code, output.stdout)
    }
}

#[test]
fn an_export_behind_a_broken_network_fails_in_its_time_and_the_next_is_well() {
    let scene = Scene::new();
    for (name, what) in faults() {
        for request in ["GET /api/health", "GET /api/search"] {
            let before = archives(&scene.watchkeeper).len();
            let (code, said) = scene.export(&Fault::new(what).at(request));
            assert_eq!(code, 1, "{name}: {said}");
            let told =
                [scene.proxy.url(), "Timed out after 6.0 s at the step \"ask what there is\"".to_owned()];
            assert!(
                told.iter().any(|told| said.contains(told)),
                "{name}: it is not told what failed: {said}"
            );
            assert_eq!(archives(&scene.watchkeeper).len(), before, "{name}");
        }
        scene.watchkeeper.run(&RUN).expect(0);
    }
    scene.watchkeeper.run(&["verify"]).expect(0);
}

#[test]
fn a_burst_of_failures_and_late_answers_are_borne() {
    let scene = Scene::new();
    let late = What::Late(Duration::from_millis(20));
    for what in [late, What::Answers(UNAVAILABLE), What::Answers(BAD_GATEWAY), What::ResetAfter(30)] {
        let times = if matches!(what, What::Late(_)) { usize::MAX } else { 3 };
        let (code, said) = scene.export(&Fault::new(what).at("GET /api/").times(times));
        assert_eq!(code, 0, "{what:?}: {said}");
    }
}
