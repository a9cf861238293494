//! An engine of its own that is killed, or stopped, in the middle of a stream, and comes back.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::docker;
use crate::support::proxy::{Fault, Proxy, What};
use crate::support::watchkeeper::Watchkeeper;
use crate::support::{installed, missing, run, scratch, wait_until};

const SOON: Duration = Duration::from_mins(1);
const RUN: [&str; 2] = ["run-now", "conf"];

/// An engine with one container, `box`, that has 8 MiB in `/data`. It has no network, and shares nothing with others.
struct Engine {
    daemon: Option<Child>,
    folder: tempfile::TempDir,
}

impl Engine {
    fn new() -> Option<Self> {
        if !docker::available() || !installed("dockerd") {
            missing("no dockerd");
            return None;
        }
        // The name of a socket has to be short.
        let folder = tempfile::Builder::new().prefix("wk-engine-").tempdir().unwrap();
        let mut this = Self { daemon: None, folder };
        this.start();
        this.fill();
        Some(this)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn docker(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.arg("-H").arg(format!("unix://{}", self.path("socket").display())).args(arguments);
        command
    }

    fn start(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        // Who was killed, and is waited for by nobody, still seems to be there.
        for pid in ["pid", "exec/containerd/containerd.pid"] {
            let _ = fs::remove_file(self.path(pid));
        }
        // In a network of its own: an engine without a bridge removes `docker0`, which is that of the machine's engine.
        let daemon = Command::new("unshare")
            .args(["--net", "dockerd", "--bridge=none", "--iptables=false", "--storage-driver=vfs"])
            .arg(format!("--data-root={}", self.path("data").display()))
            .arg(format!("--exec-root={}", self.path("exec").display()))
            .arg(format!("--pidfile={}", self.path("pid").display()))
            .arg(format!("--host=unix://{}", self.path("socket").display()))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemon = Some(daemon);
        let answers = || self.docker(&["version"]).output().unwrap().status.success();
        wait_until("the engine answers", SOON, answers);
    }

    /// Ends it by this signal, and waits until it is gone.
    fn end(&mut self, signal: &str) {
        let Some(mut daemon) = self.daemon.take() else { return };
        run(Command::new("kill").args([signal, &daemon.id().to_string()]));
        let _ = daemon.wait();
        // One that was killed leaves what it had started.
        scratch::kill_all_of(self.folder.path());
    }

    fn fill(&self) {
        let root = self.path("root");
        for folder in ["bin", "data"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::copy("/bin/busybox", root.join("bin/sleep")).unwrap();
        let random = fs::File::open("/dev/urandom").unwrap();
        let mut big = fs::File::create(root.join("data/big")).unwrap();
        std::io::copy(&mut std::io::Read::take(random, 8 << 20), &mut big).unwrap();
        run(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(self.path("tar")).arg("."));
        run(self.docker(&["import"]).arg(self.path("tar")).arg("image"));
        run(&mut self.docker(&["create", "--name", "box", "image", "/bin/sleep", "100000"]));
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end("-TERM");
        // One that was killed leaves its folder mounted on itself.
        let _ = Command::new("umount").arg("-q").arg(self.path("data")).output();
    }
}

#[test]
fn an_engine_that_is_killed_or_restarted_in_the_middle_fails_the_backup_and_the_next_is_well() {
    let Some(mut engine) = Engine::new() else { return };
    let proxy = Proxy::before_socket(&engine.path("socket"));
    let watchkeeper = Watchkeeper::with_config(
        "[[job]]\nname = \"conf\"\nkind = \"files-backup\"\ncontainer = \"box\"\npaths = [\"/data\"]\n\
         keep = { last = 50 }\nretries = { max = 0 }\n",
    );
    let start = || watchkeeper.command(&RUN).env("DOCKER_HOST", proxy.docker_host()).spawn().unwrap();
    watchkeeper.wait(start(), &RUN).expect(0);
    for signal in ["-KILL", "-TERM"] {
        proxy.inject(Fault::new(What::AnswerHeldAfter(1 << 20)).at("/containers/box/archive"));
        let child = start();
        proxy.wait_hit();
        // In good order it waits some seconds for who reads from it.
        engine.end(signal);
        proxy.heal();
        let output = watchkeeper.wait(child, &RUN).expect(1);
        let told = ["\"box\"", "does the engine run"];
        assert!(told.iter().all(|told| output.stdout.contains(told)), "it is not told of what: {output:?}");
        let down = watchkeeper.wait(start(), &RUN).expect(1);
        assert!(down.stdout.contains("does the engine run"), "{down:?}");
        engine.start();
        watchkeeper.wait(start(), &RUN).expect(0);
    }
    watchkeeper.run(&["verify"]).expect(0);
    let backups = watchkeeper.run_json(&["backups"]).expect(0).json();
    assert_eq!(backups["backups"].as_array().unwrap().len(), 3, "{backups}");
}
