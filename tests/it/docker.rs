//! Docker, tried on the real engine with images made on the spot.

mod fake;
mod rig;

use std::collections::BTreeMap;
use std::io::Read;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use watchkeeper::config::values::{Access, Auth, Endpoint, Place, PrometheusTarget};
use watchkeeper::docker::{ContainerState, Docker, DockerError, SelfRun, Until};
use watchkeeper::prometheus::folder::{Clues, DataFolder, FolderError, Reach};
use watchkeeper::prometheus::folder_op::{FolderOp, FolderReply};
use watchkeeper::service::{Service, ServiceState};
use watchkeeper::store::archive::read_tar;

use rig::{Rig, docker, helpers_of};

const IDLE: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(2);
const FOREVER: &[&str] = &["/bin/sleep", "100000"];

async fn engine() -> Docker {
    Docker::connect(None).await.unwrap()
}

/// Every file of a tar stream with its content; an error where the stream is not complete.
async fn contents(stream: impl Read + Send + 'static) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let work = move || {
        let mut files = BTreeMap::new();
        let read = read_tar(stream, &mut |entry, content| {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).unwrap();
            files.insert(entry.path.clone(), bytes);
            Ok(())
        });
        read.map(|()| files).map_err(|error| error.to_string())
    };
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn tar_with_owner(path: &str, content: &[u8], owner: u64) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o640);
    header.set_uid(owner);
    header.set_gid(owner);
    tar.append_data(&mut header, path, content).unwrap();
    tar.into_inner().unwrap()
}

fn target(name: &str, data_dir: Option<&str>) -> PrometheusTarget {
    PrometheusTarget {
        name: "main".parse().unwrap(),
        endpoint: Endpoint {
            url: "http://127.0.0.1:1/".parse().unwrap(),
            auth: Auth::None,
            ca_file: None,
            client_certificate: None,
            insecure: false,
        },
        place: Place::Container { name: name.to_owned(), data_dir: data_dir.map(str::to_owned) },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_read_as_it_is_from_running_and_stopped_containers_and_those_made_anew() {
    let mut rig = Rig::without_shell();
    let big = vec![7_u8; 3_000_000];
    rig.put("snapshots/s1/block/chunks/000001", &big);
    rig.put("snapshots/s1/block/meta.json", b"{}");
    let engine = engine().await;
    let running = rig.run(&[], FOREVER);
    let stopped = rig.create(&[], FOREVER);
    for name in [&running, &stopped] {
        let helper = engine.helper(name).await.unwrap();
        assert_eq!(helpers_of(name).len(), 1);
        let files = contents(helper.download("/prometheus/snapshots/s1", IDLE).await.unwrap()).await.unwrap();
        assert_eq!(files["s1/block/chunks/000001"], big);
        assert_eq!(files["s1/block/meta.json"], b"{}");
        helper.close().await.unwrap();
        assert!(helpers_of(name).is_empty());
    }
    docker(&["rm", "-f", &stopped]);
    let volume = format!("{}:/prometheus", rig.volume);
    let image = docker(&["inspect", "-f", "{{.Config.Image}}", &running]);
    docker(&["create", "--name", &stopped, "-v", &volume, &image, "/bin/sleep", "1"]);
    let stream = engine.helper(&stopped).await.unwrap();
    let stream = stream.into_download("/prometheus/snapshots/s1", IDLE).await.unwrap();
    assert_eq!(contents(stream).await.unwrap()["s1/block/meta.json"], b"{}");
    assert!(helpers_of(&stopped).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_uploaded_keeps_its_owner() {
    let mut rig = Rig::without_shell();
    rig.put("staging/.keep", b"");
    let name = rig.create(&["--user", "65534"], FOREVER);
    let engine = engine().await;
    let helper = engine.helper(&name).await.unwrap();
    let tar = tar_with_owner("b/c", &vec![1; 600_000], 1234);
    helper.upload("/prometheus/staging", Box::new(std::io::Cursor::new(tar)), IDLE).await.unwrap();
    let file = rig.volume_path().join("staging/b/c");
    assert_eq!(std::fs::read(&file).unwrap(), vec![1; 600_000]);
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&file).unwrap()), 1234);
    let nowhere = helper.upload("/prometheus/none", Box::new(std::io::empty()), IDLE).await.unwrap_err();
    assert!(matches!(nowhere, DockerError::NoPath { .. }), "{nowhere}");
    let nothing = helper.download("/prometheus/none", IDLE).await.err().unwrap();
    assert!(matches!(nothing, DockerError::NoPath { .. }), "{nothing}");
    helper.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_source_fails_or_stalls_is_an_error_that_says_so() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the backup's disk is on fire"))
        }
    }
    let mut rig = Rig::without_shell();
    let name = rig.create(&[], FOREVER);
    let helper = engine().await.helper(&name).await.unwrap();
    let broken =
        std::io::Cursor::new(tar_with_owner("x", &vec![1; 2_000_000], 0)).take(1_500_000).chain(Fails);
    let error = helper.upload("/prometheus", Box::new(broken), IDLE).await.unwrap_err();
    assert!(
        matches!(&error, DockerError::Local { source, .. } if source.to_string().contains("fire")),
        "{error:?}"
    );

    let (reader, writer) = std::io::pipe().unwrap();
    let error = helper.upload("/prometheus", Box::new(reader), Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(error, DockerError::Stalled { .. }), "{error:?}");
    drop(writer);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_goes_when_it_is_dropped_and_takes_no_anonymous_volume_with_it() {
    let mut rig = Rig::without_shell();
    let name = rig.create(&["-v", "/anonymous"], FOREVER);
    let helper = engine().await.helper(&name).await.unwrap();
    let format = "{{range .Mounts}}{{if eq .Destination \"/anonymous\"}}{{.Name}}{{end}}{{end}}";
    let anonymous = docker(&["inspect", "-f", format, &name]);
    drop(helper);
    assert!(helpers_of(&name).is_empty());
    let helper = engine().await.helper(&name).await.unwrap();
    docker(&["rm", "-f", &name]);
    drop(helper);
    docker(&["volume", "rm", &anonymous]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_whose_maker_is_cancelled_is_removed() {
    let mut rig = Rig::without_shell();
    let name = rig.create(&[], FOREVER);
    let engine = engine().await;
    for milliseconds in [1, 5, 20, 60] {
        let _ = tokio::time::timeout(Duration::from_millis(milliseconds), engine.helper(&name)).await;
    }
    let deadline = Instant::now() + IDLE;
    while !helpers_of(&name).is_empty() {
        assert!(Instant::now() < deadline, "helpers are left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_process_left_is_swept_and_what_lives_is_not() {
    let mut rig = Rig::without_shell();
    let name = rig.create(&[], FOREVER);
    let engine = engine().await;
    let helper = engine.helper(&name).await.unwrap();
    let mine = helpers_of(&name).remove(0);
    let label = docker(&["inspect", "-f", "{{index .Config.Labels \"watchkeeper.helper\"}}", &mine]);
    let (_, rest) = label.split_once('-').unwrap();
    // No process has this ID: it is beyond the kernel's largest.
    let dead = rig.create(&["--label", &format!("watchkeeper.helper=4194999-{rest}")], FOREVER);
    assert!(engine.sweep().await.unwrap() >= 1);
    assert!(matches!(engine.container(&dead).await, Err(DockerError::NoContainer { .. })));
    assert_eq!(helpers_of(&name), [mine]);
    helper.close().await.unwrap();
}

fn until(idle: Duration, cancel: &CancellationToken) -> Until<'_> {
    Until { idle, cancel }
}

async fn cat(engine: &Docker, name: &str, path: &str) -> (SelfRun, Vec<String>) {
    let mut lines = Vec::new();
    let mut on_line = |line: &str| lines.push(line.to_owned());
    let cancel = CancellationToken::new();
    let run = engine.run_self(name, &[path.to_owned()], &mut on_line, until(IDLE, &cancel)).await.unwrap();
    (run, lines)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_of_ours_runs_as_root_on_the_volumes_of_an_image_without_a_shell() {
    let mut rig = Rig::without_shell();
    rig.put("file", b"one\ntwo");
    let name = rig.run(&["--user", "65534"], FOREVER);
    let engine = engine().await.with_binary("/bin/cat");
    let (run, lines) = cat(&engine, &name, "/prometheus/file").await;
    assert_eq!((run.exit_code, lines), (0, vec!["one".to_owned(), "two".to_owned()]));
    let (_, status) = cat(&engine, &name, "/proc/self/status").await;
    assert!(status.iter().any(|line| line.starts_with("Uid:\t0")), "{status:?}");
    let (run, _) = cat(&engine, &name, "/prometheus/none").await;
    assert_eq!(run.exit_code, 1);
    assert!(run.stderr_tail.contains("No such file"), "{run:?}");
    assert!(helpers_of(&name).is_empty());
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_is_made_again_when_somebody_pruned_it() {
    let mut rig = Rig::without_shell();
    rig.put("file", b"one");
    let name = rig.create(&[], FOREVER);
    let engine = engine().await.with_binary("/bin/cat");
    let before = helper_images();
    cat(&engine, &name, "/prometheus/file").await;
    let made: Vec<_> = helper_images().into_iter().filter(|image| !before.contains(image)).collect();
    for image in &made {
        docker(&["rmi", "-f", image]);
    }
    let (run, _) = cat(&engine, &name, "/prometheus/file").await;
    assert_eq!(run.exit_code, 0);
    engine.close().await.unwrap();
}

fn helper_images() -> Vec<String> {
    let tags = docker(&["images", "--format", "{{.Repository}}:{{.Tag}}", "watchkeeper-helper"]);
    let mine = format!("watchkeeper-helper:{}-", std::process::id());
    tags.lines().filter(|tag| tag.starts_with(&mine)).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_says_nothing_or_is_cancelled_is_ended_and_removed() {
    let mut rig = Rig::without_shell();
    let name = rig.create(&[], FOREVER);
    let engine = engine().await.with_binary("/bin/sleep");
    let args = ["100000".to_owned()];
    let cancel = CancellationToken::new();
    let idle = Duration::from_millis(700);
    let silent = engine.run_self(&name, &args, &mut |_| (), until(idle, &cancel)).await.unwrap_err();
    assert!(matches!(silent, DockerError::Stalled { .. }), "{silent:?}");
    let during = cancel.clone();
    let ending = async {
        while helpers_of(&name).is_empty() {
            tokio::task::yield_now().await;
        }
        during.cancel();
    };
    let mut ignore = |_: &str| ();
    let (ended, ()) = tokio::join!(engine.run_self(&name, &args, &mut ignore, until(IDLE, &cancel)), ending);
    assert!(matches!(ended, Err(DockerError::Cancelled { .. })), "{ended:?}");
    assert!(helpers_of(&name).is_empty());
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_crashes_over_and_over_is_stopped_and_stays_so() {
    let mut rig = Rig::with_shell();
    let name = rig.run(&["--restart", "always"], &["/bin/false"]);
    let engine = engine().await;
    let container = engine.container(&name).await.unwrap();
    let deadline = Instant::now() + IDLE;
    while container.state().await.unwrap() != ContainerState::Restarting {
        assert!(Instant::now() < deadline, "it never restarted");
    }
    let service = Service::of(&target(&name, None), Some(&engine)).unwrap();
    service.stop(STOP).await.unwrap();
    let count = docker(&["inspect", "-f", "{{.State.StartedAt}}", &name]);
    // Longer than the engine waits before it would have started it again.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(service.state().await.unwrap(), ServiceState::Stopped);
    assert_eq!(docker(&["inspect", "-f", "{{.State.StartedAt}}", &name]), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn running_and_paused_containers_are_stopped_and_started() {
    let mut rig = Rig::with_shell();
    let name = rig.run(&["--restart", "unless-stopped"], FOREVER);
    let engine = engine().await;
    let container = engine.container(&name).await.unwrap();
    docker(&["pause", &name]);
    assert_eq!(container.state().await.unwrap(), ContainerState::Paused);
    container.stop(STOP).await.unwrap();
    assert!(container.state().await.unwrap().is_stopped());
    container.stop(STOP).await.unwrap();
    container.start().await.unwrap();
    container.start().await.unwrap();
    assert_eq!(container.state().await.unwrap(), ContainerState::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_things_are_named_with_what_to_do() {
    let error = engine().await.container("wk-docker-none").await.unwrap_err();
    assert_eq!(error.to_string(), "There is no container \"wk-docker-none\"");
    assert!(error.hint().unwrap().contains("docker ps -a"));
    let error = Docker::connect(Some("unix:///no/such/docker.sock")).await.unwrap_err();
    assert!(matches!(error, DockerError::NoSocket { .. }), "{error:?}");
    let error = Docker::connect(Some("ssh://somewhere")).await.unwrap_err();
    assert!(matches!(error, DockerError::BadHost { .. }), "{error:?}");
    let error = Docker::connect(Some("tcp://127.0.0.1:1")).await.unwrap_err();
    assert!(matches!(error, DockerError::Unreachable { .. }) && error.is_transient(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_in_a_container_is_found_and_worked_in_through_docker() {
    let mut rig = Rig::without_shell();
    rig.furnish();
    rig.put("snapshots/s1/meta", b"m");
    let name = rig.create(&[], &["/bin/sleep", "--storage.tsdb.path=/prometheus/"]);
    let engine = engine().await;
    let folder = through_docker(&engine, &name).await;
    assert_eq!((folder.reach(), folder.product_path()), (Reach::Docker, "/prometheus".to_owned()));
    let files = contents(folder.read("snapshots/s1").await.unwrap()).await.unwrap();
    assert_eq!(files["s1/meta"], b"m");
    let tar = tar_with_owner("c", b"xy", 65_534);
    let cancel = CancellationToken::new();
    folder.put("snapshots", Box::new(std::io::Cursor::new(tar)), &cancel).await.unwrap();
    assert_eq!(std::fs::read(rig.volume_path().join("snapshots/c")).unwrap(), b"xy");
    assert!(helpers_of(&name).is_empty());
}

async fn through_docker(engine: &Docker, name: &str) -> DataFolder {
    let clues = Clues { access: Access::Docker, ..Clues::default() };
    DataFolder::locate(&target(name, None), &clues, Some(engine)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_is_performed_in_a_container_without_a_shell() {
    let program = crate::support::program();
    let version = std::process::Command::new(program).arg("--version").output().unwrap();
    if version.stdout.is_empty() {
        eprintln!("skipped: {program} has no commands yet, so no folder-op either");
        return;
    }
    let mut rig = Rig::without_shell();
    rig.furnish();
    rig.put("snapshots/s1/meta", b"m");
    let name = rig.create(&[], &["/bin/sleep", "--storage.tsdb.path=/prometheus/"]);
    let engine = engine().await.with_binary(program);
    let folder = through_docker(&engine, &name).await;
    let cancel = CancellationToken::new();
    let reply = folder.run(&FolderOp::Inspect, &cancel).await.unwrap();
    let FolderReply::Folder(state) = reply else { panic!("{reply:?}") };
    assert_eq!((state.owner.uid, state.snapshots), (65_534, vec!["s1".to_owned()]));
    let remove = FolderOp::RemoveSnapshot { name: "s1".to_owned() };
    let reply = folder.run(&remove, &cancel).await.unwrap();
    assert!(matches!(&reply, FolderReply::Folder(state) if state.snapshots.is_empty()), "{reply:?}");
    assert!(helpers_of(&name).is_empty());
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_performs_all_operations_and_is_replaced_when_it_is_gone() {
    let mut rig = Rig::without_shell();
    rig.furnish();
    for name in ["s1", "s2"] {
        rig.put(&format!("snapshots/{name}/meta"), b"m");
    }
    let name = rig.create(&[], &["/bin/sleep", "--storage.tsdb.path=/prometheus/"]);
    let engine = engine().await.with_binary(crate::support::program());
    let folder = through_docker(&engine, &name).await.attended();
    let cancel = CancellationToken::new();
    let snapshots = async |op: FolderOp| match folder.run(&op, &cancel).await.unwrap() {
        FolderReply::Folder(state) => state.snapshots,
        other => panic!("{other:?}"),
    };
    assert_eq!(snapshots(FolderOp::Inspect).await, ["s1", "s2"]);
    let first = helpers_of(&name);
    assert_eq!(first.len(), 1);
    assert_eq!(snapshots(FolderOp::RemoveSnapshot { name: "s1".to_owned() }).await, ["s2"]);
    assert_eq!(helpers_of(&name), first);

    docker(&["kill", &first[0]]);
    assert_eq!(snapshots(FolderOp::Inspect).await, ["s2"]);
    let second = helpers_of(&name);
    assert!(second.len() == 1 && second != first, "{first:?} {second:?}");

    let stopped = CancellationToken::new();
    stopped.cancel();
    let error = folder.run(&FolderOp::Inspect, &stopped).await.unwrap_err();
    assert!(matches!(error, FolderError::Docker(DockerError::Cancelled { .. })), "{error:?}");
    assert!(helpers_of(&name).is_empty());
    assert_eq!(snapshots(FolderOp::RemoveSnapshot { name: "s2".to_owned() }).await, [""; 0]);
    folder.close().await.unwrap();
    assert!(helpers_of(&name).is_empty());
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_of_this_machine_is_reached_directly_where_that_is_allowed() {
    let mut rig = Rig::without_shell();
    rig.furnish();
    let name = rig.create(&[], FOREVER);
    let engine = engine().await;
    let found = target(&name, Some("/prometheus"));
    let folder = DataFolder::locate(&found, &Clues::default(), Some(&engine)).await.unwrap();
    assert_eq!(folder.direct_path(), Some(rig.volume_path().as_path()));
    let reply = folder.run(&FolderOp::Inspect, &CancellationToken::new()).await.unwrap();
    assert!(matches!(reply, FolderReply::Folder(_)), "{reply:?}");
    let elsewhere = target(&name, Some("/etc"));
    let error = DataFolder::locate(&elsewhere, &Clues::default(), Some(&engine)).await.unwrap_err();
    assert!(matches!(error, FolderError::NoVolume { .. }), "{error:?}");
    let wrong = target(&name, Some("/prometheus/none"));
    let error = DataFolder::locate(&wrong, &Clues::default(), Some(&engine)).await.unwrap_err();
    assert!(error.to_string().contains("the configuration says"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_gone_is_not_pulled() {
    let fake = fake::Engine::start(fake::Archive::NoImage);
    let error = fake.docker().await.helper("target").await.err().unwrap();
    assert!(matches!(error, DockerError::NoImage { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_stalls_or_breaks_off_is_an_error() {
    for (archive, expected) in
        [(fake::Archive::Stalls, "Nothing moved"), (fake::Archive::BreaksOff, "read \"/data\"")]
    {
        let fake = fake::Engine::start(archive);
        let helper = fake.docker().await.helper("target").await.unwrap();
        let mut download = helper.download("/data", Duration::from_millis(500)).await.unwrap();
        let read = move || download.read_to_end(&mut Vec::new()).map_err(|error| error.to_string());
        let error = tokio::task::spawn_blocking(read).await.unwrap().unwrap_err();
        assert!(error.contains(expected), "{archive:?}: {error}");
    }
}
