//! The restore against a real Prometheus on this host: it brings the data back, shows that it did, and takes
//! itself back where it did not. What a person types is tested in `end_to_end`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;
use watchkeeper::config::values::{Access, Auth, Endpoint, Place, PrometheusTarget, ServiceControl};
use watchkeeper::jobs::RunContext;
use watchkeeper::progress::Progress;
use watchkeeper::prometheus::client::{Credentials, PrometheusClient};
use watchkeeper::prometheus::folder_op::{FolderOp, Phase, RestoreNote, perform, staging};
use watchkeeper::prometheus::restore::apply::{Restored, apply};
use watchkeeper::prometheus::restore::undo::{Undone, discard_old, resume, undo};
use watchkeeper::prometheus::restore::{Opened, Opening, Reading, RestoreError, RestoreSource};

use crate::support::prometheus::{Builder, Past, Prometheus};
use crate::support::{run, scratch};

/// A server with data, a snapshot of it elsewhere, and what a restore needs.
struct Scene {
    prometheus: Prometheus,
    snapshot: TempDir,
    past: Past,
}

impl Scene {
    async fn new() -> Option<Self> {
        let prometheus = Prometheus::host(Builder::default())?;
        let past = Past::until_now();
        let name = client(&prometheus).snapshot(false, Duration::from_mins(1)).await.unwrap();
        let snapshot = scratch::folder("snapshot");
        let taken = prometheus.data_dir().join("snapshots").join(name);
        run(std::process::Command::new("cp").arg("-r").arg(taken.join(".")).arg(snapshot.path()));
        Some(Self { prometheus, snapshot, past })
    }

    fn source(&self) -> RestoreSource {
        let (cancel, progress) = (CancellationToken::new(), Progress::silent());
        let reading = Reading { spool: std::env::temp_dir(), progress, cancel };
        RestoreSource::at_path(self.snapshot.path(), &reading).unwrap()
    }

    /// As if configured with this way to start it; reloads are not waited for.
    async fn open(&self, start: Option<Vec<String>>) -> Opened {
        let control = self.prometheus.data_dir().with_file_name("control").display().to_string();
        let start = start.unwrap_or_else(|| vec![control.clone(), "start".into()]);
        let service = Some(ServiceControl::Commands { stop: vec![control, "stop".into()], start });
        let place = Place::Host { data_dir: Some(self.prometheus.data_dir()), service };
        let endpoint = endpoint(&self.prometheus);
        let target = PrometheusTarget { name: "main".parse().unwrap(), endpoint, place };
        let client = client(&self.prometheus);
        let command = "watchkeeper restore prom".to_owned();
        let access = Access::Auto;
        let opening = Opening { target: &target, client, docker: None, access, known: None, command };
        let mut opened = opening.open().await.unwrap();
        opened.site.limits.reload = Duration::ZERO;
        opened
    }

    async fn restore(&self, opened: &Opened, source: RestoreSource) -> Result<Restored, RestoreError> {
        let context = context();
        let plan = opened.plan(&source, context.now, &context.cancel).await?;
        apply(&opened.site, Arc::new(source), &plan, &context).await
    }

    /// Brings a restore to just before its swap, as its own run does.
    fn staged(&self, source: &RestoreSource) -> Ulid {
        let restore = context().run;
        let blocks: Vec<String> = source.good().map(|(block, _)| block.name.clone()).collect();
        let note = RestoreNote { restore, began: Timestamp::now(), source: source.title.clone(), blocks };
        self.perform(&FolderOp::Prepare { note: note.clone() });
        let into = self.prometheus.data_dir().join(staging(restore));
        let blocks = note.blocks.iter().map(|block| self.snapshot.path().join(block));
        run(std::process::Command::new("cp").arg("-r").args(blocks).arg(into));
        self.perform(&FolderOp::CheckStaged { restore });
        restore
    }

    fn perform(&self, op: &FolderOp) {
        let reply = perform(&self.prometheus.data_dir(), op, &mut |_| (), &CancellationToken::new());
        assert!(!format!("{reply:?}").contains("Failed"), "{reply:?}");
    }
}

fn endpoint(prometheus: &Prometheus) -> Endpoint {
    let (url, auth) = (prometheus.url().parse().unwrap(), Auth::None);
    Endpoint { url, auth, ca_file: None, client_certificate: None, insecure: false }
}

fn client(prometheus: &Prometheus) -> PrometheusClient {
    PrometheusClient::new(&endpoint(prometheus), Credentials::None).unwrap()
}

fn context() -> RunContext {
    let now = Timestamp::now();
    RunContext {
        run: Ulid::from_datetime(std::time::SystemTime::now()),
        job: "prom".parse().unwrap(),
        now,
        cancel: CancellationToken::new(),
        progress: Progress::silent(),
        state_dir: PathBuf::new(),
        backup_dir: PathBuf::new(),
        cut_off: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_data_come_back_and_are_proven_and_an_undo_brings_the_newer_back() {
    let Some(scene) = Scene::new().await else { return };
    let before = scene.prometheus.digest(scene.past);
    scene.prometheus.lose_everything();
    assert_ne!(scene.prometheus.digest(scene.past), before);

    let mut opened = scene.open(None).await;
    opened.site.limits.reload = Duration::from_secs(90);
    let restored = scene.restore(&opened, scene.source()).await.unwrap();
    assert_eq!(scene.prometheus.digest(scene.past), before);
    assert_eq!(restored.state.phase, Phase::Proven);
    let verified = restored.proof.verified.join("; ");
    assert!(verified.contains("answer with the"), "{verified}");
    assert!(verified.contains("again after Prometheus's first reload"), "{verified}");
    assert_eq!(restored.proof.unverified, [""; 0]);

    let undone = undo(&opened.site, &context()).await.unwrap();
    assert!(matches!(undone, Undone::Back(state) if state.phase == Phase::Undone));
    assert_ne!(scene.prometheus.digest(scene.past), before);
    discard_old(&opened.site, &context()).await.unwrap();
    // What remains is the note for cleanups.
    let left = scene.prometheus.in_data("ls -d .watchkeeper* 2>/dev/null || true");
    assert_eq!(left, ".watchkeeper-restored.json");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_whose_proof_fails_is_taken_back() {
    let Some(scene) = Scene::new().await else { return };
    let before = scene.prometheus.digest(scene.past);
    let mut source = scene.source();
    let probe = source.blocks.iter_mut().find_map(|block| block.probes.first_mut()).unwrap();
    probe.samples += 1;
    let opened = scene.open(None).await;
    let error = scene.restore(&opened, source).await.unwrap_err();
    let RestoreError::TakenBack { source } = &error else { panic!("{error:?}") };
    assert!(matches!(**source, RestoreError::Unproven { .. }), "{source}");
    assert!(source.to_string().contains("instead of"), "{source}");
    assert!(!error.data_not_back());
    assert_eq!(scene.prometheus.digest(scene.past), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_prometheus_cannot_be_started_again_that_is_said_with_what_to_do() {
    let Some(scene) = Scene::new().await else { return };
    let before = scene.prometheus.digest(scene.past);
    let opened = scene.open(Some(vec!["false".into()])).await;
    let error = scene.restore(&opened, scene.source()).await.unwrap_err();
    assert!(!error.data_not_back(), "{error:?}");
    assert!(error.to_string().contains("the old data are back in place, but Prometheus"), "{error}");
    assert!(error.hint().unwrap().contains("start Prometheus by hand"), "{:?}", error.hint());
    // All the old data are there for whoever starts it.
    scene.prometheus.start();
    scene.prometheus.wait_ready();
    assert_eq!(scene.prometheus.digest(scene.past), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_before_the_swap_leaves_nothing_behind() {
    let Some(scene) = Scene::new().await else { return };
    let opened = scene.open(None).await;
    let (source, context) = (scene.source(), context());
    let plan = opened.plan(&source, context.now, &context.cancel).await.unwrap();
    context.cancel.cancel();
    let error = apply(&opened.site, Arc::new(source), &plan, &context).await.unwrap_err();
    assert!(error.is_interruption(), "{error:?}");
    assert!(scene.prometheus.is_ready());
    assert_eq!(scene.prometheus.in_data("ls -d .watchkeeper* 2>/dev/null || true"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_cut_after_its_swap_is_resumed_with_its_probes() {
    let Some(scene) = Scene::new().await else { return };
    let before = scene.prometheus.digest(scene.past);
    scene.prometheus.lose_everything();
    let opened = scene.open(None).await;
    let source = scene.source();
    let restore = scene.staged(&source);
    let refused = scene.restore(&opened, scene.source()).await.unwrap_err();
    assert!(matches!(refused, RestoreError::Refused { .. }), "{refused}");
    scene.prometheus.stop();
    scene.perform(&FolderOp::Swap { restore });

    let restored = resume(&opened, Some(Arc::new(source)), &context()).await.unwrap();
    assert_eq!((restored.state.phase, restored.state.note.restore), (Phase::Proven, restore));
    assert!(restored.proof.verified.iter().any(|line| line.contains("answer with the")));
    assert_eq!(scene.prometheus.digest(scene.past), before);
    let nothing = resume(&opened, None, &context()).await.unwrap_err();
    assert!(matches!(nothing, RestoreError::NoRestore { .. }), "{nothing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_only_staged_cannot_be_resumed_and_is_dropped_by_undo() {
    let Some(scene) = Scene::new().await else { return };
    let before = scene.prometheus.digest(scene.past);
    let opened = scene.open(None).await;
    scene.staged(&scene.source());
    let error = resume(&opened, None, &context()).await.unwrap_err();
    assert!(error.hint().unwrap().contains("--undo"), "{error}");
    let undone = undo(&opened.site, &context()).await.unwrap();
    assert!(matches!(undone, Undone::Dropped(..)));
    assert!(scene.prometheus.is_ready());
    assert_eq!(scene.prometheus.in_data("ls -d .watchkeeper* 2>/dev/null || true"), "");
    assert_eq!(scene.prometheus.digest(scene.past), before);
}
