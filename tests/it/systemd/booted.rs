//! The installed service under a real systemd: one that is booted in a container, with this host's `/usr` and a root of
//! its own.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use super::make;
use crate::support::docker::{self, Container, Image, docker};
use crate::support::{installed, missing, run, scratch, wait_until};

const SOON: Duration = Duration::from_secs(30);
const JOBS: &str = r#"
[[job]]
name = "tick"
kind = "command"
command = ["/bin/sh", "-c", "id -un; grep CapEff /proc/self/status; touch /etc/mine || echo cannot touch; echo credentials: $CREDENTIALS_DIRECTORY"]
schedule = "*/2 * * * * *"
[[job]]
name = "secret"
kind = "files-backup"
paths = ["/etc/secret"]
keep = { last = 3 }
[[job]]
name = "warns"
kind = "command"
command = ["/bin/sh", "-c", "exit 7"]
warning_codes = [7]
"#;

/// A host of its own, in which the program was installed by `make install`.
struct Host {
    container: Container,
    _image: Image,
}

impl Host {
    /// Nothing where systemd cannot be booted in a container: that takes rights that no installation gives.
    fn boot() -> Option<Self> {
        if !docker::available() {
            return None;
        }
        if !Path::new("/usr/lib/systemd/systemd").exists() || !installed("systemd-analyze") {
            missing("systemd");
            return None;
        }
        let scratch = scratch::folder("booted");
        let root = scratch.path().join("root");
        fill(&root);
        let image = Image::of_root(&root);
        let container = Container::named("booted");
        let mut arguments =
            vec!["--cap-add=SYS_ADMIN", "--security-opt=seccomp=unconfined", "--cgroupns=host"];
        arguments.extend([
            "--security-opt=apparmor=unconfined",
            "--tmpfs=/run",
            "--tmpfs=/tmp",
            "--env=container=docker",
        ]);
        arguments.extend(["--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw"]);
        // All of it but /usr/local, which is the image's.
        arguments.extend(["--volume=/usr/bin:/usr/bin:ro", "--volume=/usr/sbin:/usr/sbin:ro"]);
        arguments.extend(["--volume=/usr/lib:/usr/lib:ro", "--volume=/usr/share:/usr/share:ro"]);
        if Path::new("/usr/lib64").exists() {
            arguments.push("--volume=/usr/lib64:/usr/lib64:ro");
        }
        arguments.extend([image.name.as_str(), "/usr/lib/systemd/systemd", "--unit=basic.target"]);
        container.create(&arguments);
        let host = Self { container, _image: image };
        let started = Command::new("docker").args(["start", &host.container.name]).output().unwrap();
        let is_up = || host.container.inspect("{{.State.Running}}") == "true";
        let mut state = String::new();
        if started.status.success() {
            wait_until("systemd has booted, or has not", SOON, || {
                state = host.said(&["systemctl", "is-system-running"]);
                !is_up() || matches!(state.as_str(), "running" | "degraded")
            });
        }
        if !started.status.success() || !is_up() {
            eprintln!("skipped: systemd cannot be booted in a container here");
            return None;
        }
        Some(host)
    }

    fn run(&self, command: &[&str]) -> Output {
        let exec = ["exec", &self.container.name];
        Command::new("docker").args(exec).args(command).output().unwrap()
    }

    fn said(&self, command: &[&str]) -> String {
        String::from_utf8_lossy(&self.run(command).stdout).trim().to_owned()
    }

    #[track_caller]
    fn must(&self, command: &[&str]) -> String {
        let output = self.run(command);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {stderr}\n{}", self.said(&["journalctl", "-n", "30"]));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn property(&self, unit: &str, name: &str) -> String {
        self.must(&["systemctl", "show", "--value", "-p", name, unit])
    }

    fn put(&self, path: &str, text: &str) {
        let scratch = scratch::folder("put");
        let file = scratch.path().join("file");
        fs::write(&file, text).unwrap();
        self.must(&["mkdir", "-p", Path::new(path).parent().unwrap().to_str().unwrap()]);
        docker(["cp", file.to_str().unwrap(), &format!("{}:{path}", self.container.name)]);
    }

    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let command = ["watchkeeper", "--config", "/etc/watchkeeper/jobs.toml", "--json"];
        let program = ["/usr/local/bin/watchkeeper", "--config", command[2], command[3]];
        serde_json::from_str(&self.must(&[&program[..], arguments].concat())).unwrap()
    }

    /// The newest run of the job, where it is done.
    fn done(&self, job: &str, cause: &str) -> Option<serde_json::Value> {
        let history = self.json(&["history"]);
        let runs = history["runs"].as_array().unwrap();
        runs.iter()
            .find(|run| run["job"] == job && run["cause"] == cause && run["outcome"] == "done")
            .cloned()
    }
}

fn drop_in(name: &str) -> String {
    fs::read_to_string(super::project().join("systemd/drop-ins").join(name)).unwrap()
}

fn fill(root: &Path) {
    for folder in ["etc/sysusers.d", "dev", "proc", "run", "sys", "tmp", "root", "var/lib", "var/backups"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for folder in ["bin", "sbin", "lib", "lib64", "share"] {
        fs::create_dir_all(root.join("usr").join(folder)).unwrap();
    }
    for folder in ["bin", "sbin", "lib", "lib64"] {
        std::os::unix::fs::symlink(format!("usr/{folder}"), root.join(folder)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\n").unwrap();
    fs::write(root.join("etc/machine-id"), "").unwrap();
    for file in ["ld.so.cache", "nsswitch.conf"] {
        fs::copy(Path::new("/etc").join(file), root.join("etc").join(file)).unwrap();
    }
    make("install", root, "/usr/local");
    fs::write(root.join("etc/watchkeeper/jobs.toml"), JOBS).unwrap();
    fs::write(root.join("etc/secret"), "of root alone").unwrap();
    run(Command::new("chmod").arg("600").arg(root.join("etc/secret")));
}

#[test]
fn the_installed_service_runs_as_its_own_user_with_no_rights_and_tells_systemd_how_it_stands() {
    let Some(host) = Host::boot() else { return };
    // Where they are is told; what is in them not even a bare unit can read in a container, where systemd may not move the
    // mount that holds them.
    host.put("/etc/watchkeeper/credentials/grafana", "the-secret\n");
    host.must(&["chmod", "-R", "go=", "/etc/watchkeeper/credentials"]);
    host.put("/etc/systemd/system/watchkeeper.service.d/credentials.conf", &drop_in("credentials.conf"));
    host.must(&["systemctl", "daemon-reload"]);
    host.must(&["systemctl", "start", "watchkeeper"]);
    assert_eq!(host.property("watchkeeper", "ActiveState"), "active");
    wait_until("a scheduled run is done", SOON, || host.done("tick", "scheduled").is_some());
    let run = host.done("tick", "scheduled").unwrap();
    let shown = host.json(&["show", run["id"].as_str().or(run["run"].as_str()).unwrap()]).to_string();
    for said in [
        "watchkeeper",
        "CapEff:\\t0000000000000000",
        "cannot touch",
        "credentials: /run/credentials/watchkeeper.service",
    ] {
        assert!(shown.contains(said), "no {said:?} in {shown}");
    }
    let status = host.property("watchkeeper", "StatusText");
    assert!(status.starts_with("next: tick at "), "{status}");
    host.must(&["systemctl", "reload", "watchkeeper"]);

    // What only root may read takes the drop-in.
    let backup = |host: &Host| {
        host.run(&["systemctl", "start", "watchkeeper-job@secret"]);
        host.done("secret", "manual").is_some()
    };
    assert!(!backup(&host), "the user watchkeeper read a file of root alone");
    host.put("/etc/systemd/system/watchkeeper-job@.service.d/host.conf", &drop_in("host.conf"));
    host.must(&["systemctl", "daemon-reload"]);
    assert!(backup(&host), "{}", host.json(&["history"]));

    host.must(&["systemctl", "stop", "watchkeeper"]);
    assert_eq!(host.property("watchkeeper", "Result"), "success");
}

#[test]
fn a_wrong_configuration_is_not_tried_again_and_a_missing_group_is_no_hindrance_until_it_is_asked_for() {
    let Some(host) = Host::boot() else { return };
    host.put("/etc/watchkeeper/jobs.toml", "nonsense = 1\n");
    assert!(!host.run(&["systemctl", "start", "watchkeeper"]).status.success());
    let shown = ["ExecMainStatus", "NRestarts", "ActiveState"].map(|name| host.property("watchkeeper", name));
    assert_eq!(shown, ["78", "0", "failed"]);

    // There is no group docker in this host.
    host.put("/etc/watchkeeper/jobs.toml", JOBS);
    host.must(&["systemctl", "start", "watchkeeper"]);
    host.put("/etc/systemd/system/watchkeeper.service.d/docker.conf", &drop_in("docker.conf"));
    host.must(&["groupadd", "--system", "docker"]);
    host.must(&["systemctl", "daemon-reload"]);
    host.must(&["systemctl", "restart", "watchkeeper"]);
    let pid = host.property("watchkeeper", "MainPID");
    let groups = host.must(&["grep", "Groups", &format!("/proc/{pid}/status")]);
    let docker = host.must(&["getent", "group", "docker"]);
    assert!(groups.contains(docker.split(':').nth(2).unwrap()), "{groups} without {docker}");
}

#[test]
fn timers_run_the_jobs_in_place_of_the_daemon() {
    let Some(host) = Host::boot() else { return };
    // Done with warnings is no failure of the unit.
    host.must(&["systemctl", "start", "watchkeeper-job@warns"]);
    assert_eq!(host.property("watchkeeper-job@warns", "Result"), "success");
    host.must(&[
        "/usr/local/bin/watchkeeper",
        "--config",
        "/etc/watchkeeper/jobs.toml",
        "systemd-timers",
        "/etc/systemd/system",
    ]);
    host.must(&["systemctl", "daemon-reload"]);
    host.must(&["systemctl", "enable", "--now", "watchkeeper-job@tick.timer"]);
    wait_until("the timer has run the job", SOON, || host.done("tick", "manual").is_some());
    assert!(host.said(&["systemctl", "list-timers", "--no-pager"]).contains("watchkeeper-job@tick.timer"));
    // A pause holds for them as well, and a job that is left out is no failure of its unit.
    host.must(&["/usr/local/bin/watchkeeper", "--config", "/etc/watchkeeper/jobs.toml", "pause", "tick"]);
    let newest = || host.json(&["history", "tick"])["runs"][0]["outcome"].clone();
    wait_until("the timer has left the job out", SOON, || newest() == "skipped");
    assert_eq!(host.property("watchkeeper-job@tick", "Result"), "success");
}

/// A database with an application that is a unit of this host.
const APPLICATION: &str = r#"
[application.app]
url = "http://127.0.0.1:1"
database = "/srv/app/memory.db"
service = { unit = "app.service" }
[[job]]
name = "db"
kind = "sqlite-backup"
application = "app"
keep = { last = 3 }
"#;
const UNIT: &str = "[Service]\nExecStart=/bin/sleep infinity\n";

#[test]
fn a_unit_that_the_user_may_not_control_is_told_with_the_rule_that_lets_him_and_nothing_is_changed() {
    let Some(host) = Host::boot() else { return };
    host.put("/etc/watchkeeper/jobs.toml", APPLICATION);
    host.put("/etc/systemd/system/app.service", UNIT);
    // Who asks for the application's health trusts what the host trusts.
    let trusted = "/etc/ssl/certs/ca-certificates.crt";
    host.put(trusted, &fs::read_to_string(trusted).unwrap());
    host.must(&["sh", "-ec", "systemd-sysusers; systemd-tmpfiles --create || true; systemctl daemon-reload"]);
    host.must(&["systemctl", "start", "app"]);
    host.must(&["mkdir", "-p", "/srv/app"]);
    let scratch = scratch::folder("database");
    let file = scratch.path().join("memory.db");
    drop(crate::support::database::create(&file));
    docker(["cp", file.to_str().unwrap(), &format!("{}:/srv/app/memory.db", host.container.name)]);
    host.must(&["chown", "-R", "watchkeeper:watchkeeper", "/srv/app"]);
    let as_user = |arguments: &str| {
        let program = "/usr/local/bin/watchkeeper --config /etc/watchkeeper/jobs.toml";
        host.run(&[
            "setpriv",
            "--reuid=watchkeeper",
            "--regid=watchkeeper",
            "--clear-groups",
            "sh",
            "-c",
            &format!("{program} {arguments} 2>&1"),
        ])
    };
    host.must(&["mkdir", "-p", "/var/lib/watchkeeper", "/var/backups/watchkeeper"]);
    host.must(&["chown", "watchkeeper:watchkeeper", "/var/lib/watchkeeper", "/var/backups/watchkeeper"]);
    assert!(as_user("run-now db").status.success());
    let before = host.must(&["sha256sum", "/srv/app/memory.db"]);
    let refused = as_user("restore db --yes");
    let said = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    for wanted in
        ["\"systemctl stop -- app.service\" was denied", "50-watchkeeper.rules", "app.service", "Who runs it"]
    {
        assert!(said.contains(wanted), "no {wanted:?} in {said}");
    }
    assert_eq!(host.must(&["sha256sum", "/srv/app/memory.db"]), before);
    assert_eq!(host.property("app", "ActiveState"), "active");
    // Beside what SQLite itself keeps there.
    let left = host.said(&["ls", "-A", "/srv/app"]);
    assert!(
        left.lines().all(|name| ["memory.db", "memory.db-shm", "memory.db-wal"].contains(&name)),
        "{left}"
    );
}

/// An application that is a unit, and answers.
const SERVED: &str = r#"
[application.app]
url = "http://127.0.0.1:8080"
service = { unit = "app.service" }
[[job]]
name = "look"
kind = "verify-deployment"
[[job.check]]
name = "health"
type = "http"
application = "app"
path = "/health"
"#;

#[test]
fn a_unit_is_recovered_where_it_runs_and_where_it_does_not_and_told_at_once_where_it_ends_again() {
    let Some(host) = Host::boot() else { return };
    host.put("/etc/watchkeeper/jobs.toml", SERVED);
    host.put("/srv/www/health", "well");
    let unit = |command: &str| {
        host.put("/etc/systemd/system/app.service", &format!("[Service]\nExecStart={command}\n"));
        host.must(&["systemctl", "daemon-reload"]);
    };
    unit("/usr/bin/busybox httpd -f -p 8080 -h /srv/www");
    // Who asks for the application's health trusts what the host trusts.
    let trusted = "/etc/ssl/certs/ca-certificates.crt";
    host.put(trusted, &fs::read_to_string(trusted).unwrap());
    host.must(&["systemctl", "start", "app"]);
    let recover = || {
        let program = ["/usr/local/bin/watchkeeper", "--config", "/etc/watchkeeper/jobs.toml"];
        let output = host.run(&[&program[..], &["recover", "app", "--yes"]].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let before = host.property("app", "MainPID");
    let (code, said) = recover();
    assert_eq!(code, Some(0), "{said}");
    assert_ne!(host.property("app", "MainPID"), before);
    host.must(&["systemctl", "stop", "app"]);
    let (code, said) = recover();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(host.property("app", "ActiveState"), "active");
    unit("/bin/false");
    let since = std::time::Instant::now();
    let (code, said) = recover();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("app.service") && said.contains("journalctl -u app.service"), "{said}");
    assert!(since.elapsed() < Duration::from_mins(1), "it was waited for: {said}");
}
