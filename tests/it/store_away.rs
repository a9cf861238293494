//! The disk with the backups is not mounted, or another one is: nothing is written to what is in its place, and everybody who
//! is asked says so. Real mounts, in a mount namespace of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::grafana::Version;
use crate::support::grafana_keeper::{JOB, export, keeper, lose_hosts, sample};
use crate::support::receiver::Receiver;
use crate::support::watchkeeper::{Output, Watchkeeper, files_job};
use crate::support::{http, program, run, scratch, wait_until};

const SOON: Duration = Duration::from_secs(90);
/// What is said where nothing is mounted.
const AWAY: &str = "a mount is probably away";

/// A mount namespace, which lasts as long as this.
struct Mounts(Child);

impl Mounts {
    fn new() -> Self {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "sh", "-c", "echo; exec cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = unshare.spawn().unwrap();
        let mut line = [0];
        std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut line).unwrap();
        Self(holder)
    }

    fn command(&self, program: &str) -> Command {
        let mut nsenter = Command::new("nsenter");
        nsenter.arg(format!("--mount=/proc/{}/ns/mnt", self.0.id())).arg(program);
        nsenter
    }

    fn run(&self, words: &[&str]) {
        run(self.command(words[0]).args(&words[1..]));
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// A program whose job `conf` keeps its backups on a disk of their own.
struct Scene {
    mounts: Mounts,
    watchkeeper: Watchkeeper,
    source: TempDir,
}

impl Scene {
    fn new(keys: &str, more: &str) -> Self {
        let source = scratch::folder("source");
        fs::write(source.path().join("f"), "one").unwrap();
        let watchkeeper = Watchkeeper::with_config("");
        watchkeeper.configure(&format!(
            "[defaults]\nretries = {{ max = 0 }}\n{more}\n{}{keys}\n",
            files_job(5, &[source.path()])
        ));
        let scene = Self { mounts: Mounts::new(), watchkeeper, source };
        for disk in ["disk", "other"] {
            let disk = scene.disk(disk);
            fs::create_dir(&disk).unwrap();
            scene.mounts.run(&["mount", "-t", "tmpfs", "tmpfs", disk.to_str().unwrap()]);
        }
        scene
    }

    /// With a backup on the disk, which is mounted.
    fn with_backup(keys: &str, more: &str) -> Self {
        let scene = Self::new(keys, more);
        scene.mount("disk");
        scene.run(&["run-now", "conf"]).expect(0);
        scene
    }

    fn disk(&self, name: &str) -> PathBuf {
        self.watchkeeper.folder().join(name)
    }

    fn mount(&self, disk: &str) {
        let (disk, folder) = (self.disk(disk), self.watchkeeper.backups_folder());
        self.mounts.run(&["mount", "--bind", disk.to_str().unwrap(), folder.to_str().unwrap()]);
    }

    fn unmount(&self) {
        self.mounts.run(&["umount", self.watchkeeper.backups_folder().to_str().unwrap()]);
    }

    /// The program, where the mounts are.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.mounts.command(program());
        command.arg("--config").arg(self.watchkeeper.config()).args(arguments).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap().into()
    }

    fn note(&self) -> PathBuf {
        self.watchkeeper.state().join("store-id")
    }

    /// What lies below the mount point.
    fn below(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.watchkeeper.backups_folder()).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Every command that tells of backups says this, with exit code 1, and nothing is written to the folder.
    #[track_caller]
    fn all_say(&self, said: &str) {
        let source = self.source.path().join("f");
        fs::write(&source, "two").unwrap();
        let asks: [&[&str]; 12] = [
            &["status"],
            &["check"],
            &["check", "--online"],
            &["verify"],
            &["backups"],
            &["prune"],
            &["prune", "--dry-run"],
            &["restore", "conf", "--dry-run"],
            &["restore", "conf", "--undo", "--yes"],
            &["run-now", "conf"],
            &["run-now", "conf", "--dry-run"],
            &["pin", "conf/latest"],
        ];
        for ask in asks {
            let Output { code, stdout, stderr } = self.run(ask);
            let text = stdout + &stderr;
            assert!(text.contains(said), "{ask:?}: {text}");
            assert!(text.contains(&format!("`rm {}`", self.note().display())), "{ask:?}: {text}");
            assert_eq!(code, 1, "{ask:?}: {text}");
        }
        let explained = self.run(&["explain", "conf"]).expect(0).stdout;
        assert!(explained.contains(said) && !explained.contains("no backup yet"), "{explained}");
        assert_eq!(fs::read_to_string(source).unwrap(), "two");
    }
}

#[test]
fn where_the_disk_is_not_mounted_nothing_is_written_and_every_command_says_so_until_it_is() {
    let scene = Scene::with_backup("", "");
    scene.unmount();
    let folder = scene.watchkeeper.backups_folder();
    scene.all_say(AWAY);
    let said = scene.run(&["status"]).stdout;
    assert!(said.contains(&format!("{} is missing", folder.join(".store-id").display())), "{said}");
    assert!(said.contains("it is no mount point but a folder of what is mounted at "), "{said}");
    assert_eq!(scene.below(), Vec::<PathBuf>::new());
    // The folder itself is gone: it is not made anew.
    fs::remove_dir(&folder).unwrap();
    scene.all_say(AWAY);
    assert!(!folder.exists());
    fs::create_dir(&folder).unwrap();
    scene.mount("disk");
    let well = scene.run(&["run-now", "conf"]).expect(0);
    assert!(!well.stderr.contains("warning"), "{well:?}");
    scene.run(&["check"]).expect(0);
    scene.run(&["status"]).expect(0);
    assert!(scene.run(&["verify"]).expect(0).stdout.contains("2 of 2 backups good"));
    let json = scene.run(&["--json", "status"]).expect(0).stdout;
    assert!(json.contains("\"store_away\": null"), "{json}");
}

#[test]
fn another_disk_or_another_store_is_not_taken_before_somebody_has_said_so() {
    let scene = Scene::with_backup("", "");
    scene.unmount();
    scene.mount("other");
    scene.all_say("another disk may be mounted there: it is a mount point, it is empty");
    let names = |disk: &str| {
        let listed = scene.mounts.command("ls").arg("-A").arg(scene.disk(disk)).output().unwrap();
        String::from_utf8(listed.stdout).unwrap()
    };
    assert_eq!(names("other"), "");
    fs::remove_file(scene.note()).unwrap();
    let told = scene.run(&["run-now", "conf"]).expect(3);
    assert!(told.stdout.contains("no backup of before is in"), "{told:?}");
    assert_eq!(names("other"), ".store-id\nconf\n");
    scene.run(&["run-now", "conf"]).expect(0);
    scene.unmount();
    scene.mount("disk");
    scene.all_say("is another store than the one that backups were made in");
    fs::remove_file(scene.note()).unwrap();
    scene.run(&["run-now", "conf"]).expect(0);
    assert!(scene.run(&["verify"]).expect(0).stdout.contains("2 of 2 backups good"));
}

#[test]
fn a_store_of_before_is_taken_silently_and_a_copy_without_its_marker_with_a_warning() {
    let source = scratch::folder("source");
    fs::write(source.path().join("f"), "one").unwrap();
    let keys = files_job(5, &[source.path()]) + "retries = { max = 0 }\n";
    let watchkeeper = Watchkeeper::with_config(&keys);
    let (marker, note) =
        (watchkeeper.backups_folder().join(".store-id"), watchkeeper.state().join("store-id"));
    let silent = |what: &str| {
        let output = watchkeeper.run(&["run-now", "conf"]).expect(0);
        assert!(!(output.stdout + &output.stderr).contains("store-id"), "{what}");
        let id = fs::read_to_string(&marker).unwrap();
        assert_eq!(fs::read_to_string(&note).unwrap(), id, "{what}");
        assert_eq!(fs::metadata(&marker).unwrap().permissions().mode() & 0o7777, 0o600);
        id
    };
    let first = silent("new");
    fs::remove_file(&marker).unwrap();
    fs::remove_file(&note).unwrap();
    let second = silent("of before this");
    assert_ne!(first, second);
    fs::remove_file(&note).unwrap();
    assert_eq!(silent("the state is new, as on another host"), second);
    fs::remove_file(&marker).unwrap();
    for well in [&["verify"][..], &["status"], &["backups"], &["check"]] {
        watchkeeper.run(well).expect(0);
    }
    let told = watchkeeper.run(&["run-now", "conf"]).expect(3);
    assert!(told.stdout.contains("was not there and was written anew"), "{told:?}");
    assert_eq!(silent("it is there again"), second);
    // An older copy: the newest is not in it.
    fs::remove_file(&marker).unwrap();
    let newest = watchkeeper.run_json(&["backups"]).expect(0).json();
    let newest = newest["backups"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    let job = watchkeeper.backups_folder().join("conf");
    for name in [format!("{newest}.json"), format!("files_{newest}.tar.gz")] {
        fs::remove_file(job.join(name)).unwrap();
    }
    let refused = watchkeeper.run(&["run-now", "conf"]).expect(1);
    assert!(refused.stdout.contains("it is not known that the newest backups are in it"), "{refused:?}");
    // Neither is guessed at.
    fs::write(&marker, "no ID").unwrap();
    let refused = watchkeeper.run(&["run-now", "conf"]).expect(1);
    assert!(refused.stdout.contains("it holds no store ID"), "{refused:?}");
    fs::write(&note, "no ID").unwrap();
    let refused = watchkeeper.run(&["run-now", "conf"]).expect(1);
    assert!(refused.stdout.contains(&format!("`rm {}`", note.display())), "{refused:?}");
}

#[test]
fn a_daemon_that_was_started_before_the_disk_was_mounted_tells_it_once_and_needs_no_restart() {
    let receiver = Receiver::start();
    let port = scratch::free_port();
    let more = format!(
        "[metrics]\nlisten = \"127.0.0.1:{port}\"\n[notify.ops]\ntype = \"webhook\"\nurl = \"{}\"\ncooldown = \"0s\"\n",
        receiver.url("/hook")
    );
    let scene = Scene::with_backup("schedule = \"* * * * * *\"", &more);
    scene.unmount();
    let mut daemon = scene.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let runs = |outcome: &str| {
        let history = scene.run(&["--json", "history", "-n", "1000"]).expect(0).json();
        history["runs"].as_array().unwrap().iter().filter(|run| run["outcome"] == outcome).count()
    };
    let metrics = || http::get(port, "/metrics").map(|(_, body)| body).unwrap_or_default();
    wait_until("runs fail", SOON, || runs("failed") >= 3);
    wait_until("it is seen", SOON, || metrics().contains("\nwatchkeeper_store_available 0\n"));
    assert!(!metrics().contains("\nwatchkeeper_job_backups{"), "{}", metrics());
    assert_eq!(http::get(port, "/healthz").unwrap().0, 200);
    wait_until("it is told", SOON, || !receiver.posted("/hook").is_empty());
    assert_eq!(scene.below(), Vec::<PathBuf>::new());
    scene.mount("disk");
    wait_until("runs are good", SOON, || runs("done") >= 3);
    wait_until("it is told that all is well", SOON, || receiver.posted("/hook").len() > 1);
    wait_until("it is seen", SOON, || metrics().contains("\nwatchkeeper_store_available 1\n"));
    assert!(metrics().contains("\nwatchkeeper_job_backups{"));
    run(Command::new("kill").args(["-TERM", &daemon.id().to_string()]));
    assert!(daemon.wait().unwrap().success());
    let events: Vec<String> = receiver
        .posted("/hook")
        .iter()
        .map(|posted| {
            let posted = posted.json();
            let said = posted["headline"].as_str().unwrap();
            assert!(posted["event"] != "failed" || said.contains("is not the store"), "{said}");
            posted["event"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(events, ["failed", "recovered"]);
}

#[test]
fn a_store_that_goes_while_a_backup_is_made_fails_the_run_before_anything_is_deleted() {
    let scene = Scene::with_backup("", "");
    fs::write(scene.source.path().join("large"), vec![7; 64 << 20]).unwrap();
    let jobs = fs::read_to_string(scene.watchkeeper.config()).unwrap().replace("last = 5", "last = 1");
    fs::write(scene.watchkeeper.config(), jobs + "compression = \"none\"\n").unwrap();
    let folder = scene.disk("disk");
    let in_mounts = |script: &str| {
        let output = scene.mounts.command("sh").args(["-ec", script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let child = scene.command(&["run-now", "conf"]).spawn().unwrap();
    wait_until("it is being made", SOON, || {
        !in_mounts(&format!("find {} -name '.partial-*'", folder.display())).is_empty()
    });
    in_mounts(&format!("echo 01ARZ3NDEKTSV4RRFFQ69G5FAV > {}/.store-id", folder.display()));
    let output = Output::from(child.wait_with_output().unwrap()).expect(1);
    assert!(output.stdout.contains("is another store than the one"), "{output:?}");
    let manifests =
        in_mounts(&format!("find {}/conf -name '2*.json' ! -name '*.state.json'", folder.display()));
    assert_eq!(manifests.lines().count(), 2, "{manifests}");
}

#[test]
fn what_is_restored_from_elsewhere_while_the_disk_is_away_can_be_taken_back_when_it_is_there() {
    let scene = Scene::with_backup("", "");
    let copy = scene.watchkeeper.folder().join("copy");
    let from = scene.disk("disk").join("conf");
    scene.mounts.run(&["cp", "-r", from.to_str().unwrap(), copy.to_str().unwrap()]);
    scene.unmount();
    let file = scene.source.path().join("f");
    fs::write(&file, "two").unwrap();
    scene.run(&["restore", "--from", copy.to_str().unwrap(), "--yes"]).expect(0);
    assert_eq!(fs::read_to_string(&file).unwrap(), "one");
    assert_eq!(scene.below(), Vec::<PathBuf>::new());
    scene.run(&["restore", "conf", "--undo", "--yes"]).expect(1);
    assert_eq!(fs::read_to_string(&file).unwrap(), "one");
    scene.mount("disk");
    scene.run(&["restore", "conf", "--undo", "--yes"]).expect(0);
    assert_eq!(fs::read_to_string(&file).unwrap(), "two");
}

#[test]
fn whoever_may_not_read_the_state_is_told_of_no_store_that_is_away() {
    const OTHER: u32 = 47_111;
    let source = scratch::folder("source");
    fs::write(source.path().join("f"), "one").unwrap();
    let watchkeeper = Watchkeeper::with_config(&files_job(5, &[source.path()]));
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    let open = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    open(watchkeeper.folder(), 0o755);
    open(&watchkeeper.state(), 0o700);
    run(Command::new("chmod").args(["-R", "a+rX"]).arg(watchkeeper.backups_folder()));
    let marker = watchkeeper.backups_folder().join(".store-id");
    open(&marker, 0o600);
    for words in [&["verify"][..], &["backups"]] {
        watchkeeper.run_by(OTHER, &[], words).expect(0);
    }
    fs::remove_file(&marker).unwrap();
    watchkeeper.run_by(OTHER, &[], &["verify"]).expect(0);
    // Also one who may read the note, and not the marker.
    fs::write(&marker, "").unwrap();
    open(&marker, 0o600);
    open(&watchkeeper.state(), 0o755);
    open(&watchkeeper.state().join("store-id"), 0o644);
    watchkeeper.run_by(OTHER, &[], &["verify"]).expect(0);
}

#[test]
fn a_grafana_is_not_changed_where_what_was_there_before_could_not_be_kept() {
    let grafana = sample(Version::V9);
    let keeper = keeper(&grafana);
    export(&keeper);
    let (copy, gone) = (keeper.folder().join("copy"), keeper.folder().join("gone"));
    run(Command::new("cp").arg("-r").arg(keeper.store_of(JOB)).arg(&copy));
    lose_hosts(&grafana);
    let lost = grafana.contents();
    fs::rename(keeper.backups_folder(), &gone).unwrap();
    let from = ["restore", "--from", copy.to_str().unwrap(), "--yes"];
    let refused = keeper.run(&from).expect(1);
    assert!(format!("{refused:?}").contains(AWAY), "{refused:?}");
    assert_eq!(grafana.contents(), lost);
    assert!(!keeper.backups_folder().exists());
    fs::rename(&gone, keeper.backups_folder()).unwrap();
    let restored = keeper.run(&from);
    assert!(matches!(restored.code, 0 | 3) && grafana.contents() != lost, "{restored:?}");
    let there = grafana.contents();
    fs::rename(keeper.backups_folder(), &gone).unwrap();
    let refused = keeper.run(&["restore", JOB, "--undo", "--yes"]).expect(1);
    assert!(format!("{refused:?}").contains(AWAY), "{refused:?}");
    assert_eq!(grafana.contents(), there);
}
