//! What people get wrong, and what breaks under the program: every message says what to do, and nothing is left
//! behind on the server, on the Docker engine or in the store.

use std::process::Command;
use std::time::Duration;

use crate::support::docker::docker;
use crate::support::prometheus::{Builder, Prometheus};
use crate::support::watchkeeper::{JOB, Output, Watchkeeper};
use crate::support::{http, run, wait_until};

/// Fails unless the command ended so and said all of this.
#[track_caller]
fn expect(output: Output, code: i32, words: &[&str]) {
    let output = output.expect(code);
    let said = format!("{}{}", output.stdout, output.stderr);
    for word in words {
        assert!(said.contains(word), "{word:?} is not in:\n{said}");
    }
}

/// A configuration of which no server has to answer.
fn at_port(port: u16, keys: &str) -> Watchkeeper {
    Watchkeeper::with_config(&format!(
        "[prometheus.main]\nurl = \"http://127.0.0.1:{port}\"\ndata_dir = \"/nowhere\"\n{keys}\
         [[job]]\nname = \"{JOB}\"\nkind = \"prometheus-snapshot\"\nprometheus = \"main\"\n\
         keep = {{ last = 5 }}\nretries = {{ max = 0 }}\n"
    ))
}

#[test]
fn a_slip_of_the_pen_is_told_with_what_is_right() {
    let watchkeeper = at_port(9, "");
    let jobs = ["run-now", "backups", "verify", "history", "next", "explain", "prune"];
    for command in jobs {
        expect(watchkeeper.run(&[command, "prometheus-snap"]), 2, &["no job", "did you mean"]);
    }
    expect(watchkeeper.run(&["restore", "nope", "--yes"]), 2, &["no job", "the jobs are", JOB]);
    for command in ["pin", "unpin", "accept"] {
        expect(watchkeeper.run(&[command, "latest"]), 1, &["no good backup", "`watchkeeper backups`"]);
        let spec = format!("{JOB}/20200101T000000Z");
        expect(watchkeeper.run(&[command, &spec]), 2, &["20200101T000000Z", "`watchkeeper backups`"]);
        expect(watchkeeper.run(&[command, "a/b/c"]), 2, &["names no backup", "JOB/ID"]);
    }
    expect(watchkeeper.run(&["show", "nope"]), 2, &["nope"]);
    expect(watchkeeper.run(&["restore", JOB, "--yes"]), 1, &["no good backup", "is backup_dir right?"]);
    expect(watchkeeper.run(&["verify"]), 0, &["no backups to verify"]);
    for after in ["--undo", "--discard-old"] {
        let output = watchkeeper.run(&["restore", JOB, after]);
        assert!(!output.stderr.contains("--dry-run"), "{after} knows no --dry-run: {output:?}");
        expect(output, 2, &["say --yes"]);
    }
}

#[test]
fn a_restore_that_makes_no_sense_is_told_so_before_anybody_is_asked_and_none_good_ends_like_an_export() {
    let watchkeeper = at_port(9, "");
    let wrong: [(&[&str], &str); 6] = [
        (&["nope"], "no job \"nope\""),
        (&["nope/20200101T000000Z"], "no job \"nope\""),
        (&[JOB, "--at", "yesterday"], "\"yesterday\" is not a time"),
        (&["20200101T000000Z", "--at", "2026-11-23T02:00:00Z"], "is one backup already"),
        (&[JOB, "--prometheus", "mian"], "no [prometheus.mian]"),
        (&[JOB, "--application", "app"], "no [application.app]"),
    ];
    for (words, told) in wrong {
        let output = watchkeeper.run(&[&["restore"], words].concat());
        assert!(!output.stderr.contains("nobody to ask"), "{output:?}");
        expect(output, 2, &[told]);
    }
    expect(watchkeeper.run(&["restore", JOB]), 2, &["nobody to ask"]);

    let file = watchkeeper.folder().join("x.tar.gz").display().to_string();
    let latest = format!("{JOB}/latest");
    for words in [&["restore", JOB, "--yes"][..], &["restore", &latest, "--yes"], &["export", &latest, &file]]
    {
        expect(watchkeeper.run(words), 1, &["no good backup"]);
    }
    expect(watchkeeper.run(&["export", "nope/latest", &file]), 2, &["no job"]);
    expect(watchkeeper.run(&["export", &format!("{JOB}/20200101T000000Z"), &file]), 2, &["20200101T000000Z"]);
}

#[test]
fn a_hint_names_the_job_in_its_commands() {
    let watchkeeper = Watchkeeper::with_config(
        "[[job]]\nname = \"memory\"\nkind = \"sqlite-backup\"\ndatabase = \"/nowhere/memory.db\"\n\
         keep = { last = 1 }\nretries = { max = 0 }\n",
    );
    expect(watchkeeper.run(&["run-now", "memory"]), 1, &["`watchkeeper restore memory --undo`"]);
}

#[test]
fn all_errors_of_a_configuration_are_told_at_once() {
    let watchkeeper = Watchkeeper::with_config(
        "timezone = \"Europe/Berlon\"\nbackup_dri = \"/x\"\n[prometheus.main]\nurl = \"htp:/localhost\"\n\
         [[job]]\nname = \"b\"\nkind = \"prometheus-snapshot\"\nprometheus = \"mian\"\n\
         schedule = \"0 0 31 2 *\"\nkeep = {}\n",
    );
    let words =
        ["\"Europe/Berlin\"", "\"backup_dir\"", "http or https", "\"main\"", "never matches", "is empty"];
    for command in [&["check"][..], &["run-now", "b"], &["run"]] {
        expect(watchkeeper.run(command), 78, &words);
    }
}

#[test]
fn what_answers_in_place_of_prometheus_is_told_from_it() {
    let answers = [
        ("200 OK\r\nContent-Type: text/html", "<html>Log in</html>", "proxy or login page"),
        ("302 Found\r\nLocation: https://sso.example/login", "", "log-in page"),
        ("401 Unauthorized", "no", "check user and password, or token"),
        ("502 Bad Gateway\r\nContent-Type: text/html", "<html>Bad Gateway</html>", "is Prometheus running?"),
        ("404 Not Found", "404 page not found", "path prefix"),
    ];
    for (head, body, hint) in answers {
        let watchkeeper = at_port(http::canned(head, body), "token = { plain = \"s3cret\" }\n");
        let output = watchkeeper.run(&["run-now", JOB]);
        assert!(!format!("{output:?}").contains("s3cret"), "{output:?}");
        expect(output, 1, &[hint]);
        assert!(watchkeeper.leftovers().is_empty(), "{:?}", watchkeeper.leftovers());
        expect(watchkeeper.run(&["check", "--online"]), 1, &[hint]);
    }
}

#[test]
fn a_container_that_does_not_run_or_is_not_there_is_named_with_what_to_do() {
    let Some(prometheus) = Prometheus::container(Builder::default().without_blocks()) else { return };
    let watchkeeper = Watchkeeper::with_keys(&prometheus, "retries = { max = 0 }\n");
    let name = prometheus.container_name().unwrap();
    docker(["rename", name, &format!("{name}-elsewhere")]);
    for command in [&["run-now", JOB][..], &["check", "--online"]] {
        expect(watchkeeper.run(command), 1, &[name, "docker ps -a"]);
    }
    docker(["rename", &format!("{name}-elsewhere"), name]);

    prometheus.stop();
    for command in [&["run-now", JOB][..], &["check", "--online"]] {
        let start = format!("docker start {name}");
        expect(watchkeeper.run(command), 1, &["has ended, with exit code 0", &start]);
    }
    prometheus.start();
    prometheus.wait_ready();
    docker(["pause", name]);
    let unpause = format!("docker unpause {name}");
    expect(watchkeeper.run(&["run-now", JOB]), 1, &["is paused", &unpause]);
    docker(["unpause", name]);
    assert!(watchkeeper.leftovers().is_empty(), "{:?}", watchkeeper.leftovers());
    assert_eq!(prometheus.containers_on_its_data(), [name]);
}

#[test]
fn a_full_data_volume_is_told_and_no_partial_snapshot_is_left() {
    let builder = Builder::default().without_blocks().on_a_small_volume();
    let Some(prometheus) = Prometheus::container(builder) else { return };
    let watchkeeper = Watchkeeper::with_keys(&prometheus, "retries = { max = 0 }\n");
    expect(watchkeeper.run(&["run-now", JOB]), 1, &["no space left on device", "free at least 512 MiB"]);
    expect(watchkeeper.run(&["check", "--online"]), 1, &["only ", "free at least 512 MiB"]);
    assert!(prometheus.snapshots().is_empty(), "{:?}", prometheus.snapshots());
    assert!(watchkeeper.leftovers().is_empty(), "{:?}", watchkeeper.leftovers());
}

/// Runs a script while something else is mounted on a folder of the program's.
pub(crate) fn with_mount(watchkeeper: &Watchkeeper, options: &str, folder: &str, then: &str) -> Output {
    let folder = watchkeeper.folder().join(folder);
    watchkeeper.run_in_mounts(&folder, &format!("mount -t tmpfs -o {options} tmpfs \"$FOLDER\"\n{then}"))
}

#[test]
fn folders_that_are_full_or_read_only_are_told_and_no_snapshot_is_left() {
    let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
    let watchkeeper = Watchkeeper::with_keys(&prometheus, "retries = { max = 0 }\n");
    let run_now = format!("$WATCHKEEPER run-now {JOB}");

    let full = "code=0; $WATCHKEEPER run-now prometheus-snapshot || code=$?; find $FOLDER -name '.partial*' -printf \
                'LEFT: %p\\n' -o -name '.tmp*' -printf 'LEFT: %p\\n'; exit $code";
    let output = with_mount(&watchkeeper, "size=100k", "backups", full);
    assert!(!output.stdout.contains("LEFT:"), "left: {output:?}");
    expect(output, 1, &["the disk is full", "move backup_dir"]);
    // It was another store.
    std::fs::remove_file(watchkeeper.state().join("store-id")).unwrap();
    expect(with_mount(&watchkeeper, "ro", "backups", &run_now), 1, &["read-only", "backup_dir"]);
    expect(with_mount(&watchkeeper, "ro", "state", &run_now), 1, &["read-only", "state_dir"]);
    let full = format!("dd if=/dev/zero of=$FOLDER/fill bs=1k count=64 2>/dev/null || true; {run_now}");
    expect(with_mount(&watchkeeper, "size=32k", "state", &full), 1, &["disk is full", "/state/ledger/"]);
    assert!(prometheus.snapshots().is_empty(), "{:?}", prometheus.snapshots());
}

#[test]
fn a_run_that_is_told_to_stop_removes_its_snapshot_and_is_noted_as_interrupted() {
    let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
    for signal in ["TERM", "INT"] {
        let watchkeeper = Watchkeeper::for_prometheus(&prometheus);
        let snapshots = prometheus.data_dir().join("snapshots");
        let taken = || snapshots.read_dir().is_ok_and(|mut names| names.next().is_some());
        let stopped = (0..20).any(|_| {
            let mut child = watchkeeper.spawn(&["run-now", JOB]);
            while !taken() && child.try_wait().unwrap().is_none() {}
            let _ = Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()).output();
            let code = child.wait().unwrap().code();
            let _ = std::fs::remove_dir_all(watchkeeper.store().join("blocks"));
            code == Some(130)
        });
        assert!(stopped, "{signal} never came in time");
        assert!(prometheus.snapshots().is_empty(), "{:?}", prometheus.snapshots());
        let partial = watchkeeper.leftovers();
        assert!(!partial.iter().any(|path| path.starts_with(".partial")), "{partial:?}");
        let history = watchkeeper.run_json(&["history", "-n", "1"]).expect(0).json();
        assert_eq!(history["runs"][0]["outcome"], "interrupted", "{history}");
    }
}

#[test]
fn a_second_daemon_is_refused_and_the_first_ends_when_it_is_told_to() {
    let watchkeeper = at_port(9, "");
    let mut daemon = watchkeeper.spawn(&["run"]);
    let lock = watchkeeper.folder().join("state/locks/daemon.lock");
    wait_until("the daemon runs", Duration::from_secs(20), || {
        std::fs::read_to_string(&lock).is_ok_and(|holder| holder.contains(&daemon.id().to_string()))
    });
    let pid = format!("pid {}", daemon.id());
    expect(watchkeeper.run(&["run"]), 75, &["A daemon already runs", &pid, "state_dir"]);
    run(Command::new("kill").args(["-TERM", &daemon.id().to_string()]));
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
}
