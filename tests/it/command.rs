//! The kind `command`, with the program as a person runs it: on this host, and in a container.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::prometheus::{Builder, Prometheus};
use crate::support::scratch::is_alive;
use crate::support::wait_until;
use crate::support::watchkeeper::Watchkeeper;

fn watchkeeper(keys: &str) -> Watchkeeper {
    Watchkeeper::with_config(&format!(
        "[[job]]\nname = \"c\"\nkind = \"command\"\nretries = {{ max = 0 }}\n{keys}"
    ))
}

#[test]
fn what_a_program_says_is_kept_with_its_run_and_its_code_decides() {
    let watchkeeper = watchkeeper(
        "shell = true\ncommand = 'echo \"$GREETING from $WATCHKEEPER_JOB in $PWD\"; exit $(cat code)'\n\
         env = { GREETING = \"hello\" }\ndirectory = \"/tmp\"\nwarning_codes = [3]\n"
            .replace("/tmp", env!("CARGO_TARGET_TMPDIR"))
            .as_str(),
    );
    let code = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("code");
    for (said, wanted) in [("0", 0), ("3", 3), ("4", 1)] {
        fs::write(&code, said).unwrap();
        let report = watchkeeper.run_json(&["run-now", "c"]).expect(wanted).json();
        let printed = report["runs"][0]["output"]["printed"][0].as_str().unwrap().to_owned();
        assert_eq!(printed, format!("hello from c in {}", env!("CARGO_TARGET_TMPDIR")));
        let run = report["runs"][0]["run"].as_str().unwrap();
        let shown = watchkeeper.run(&["show", run]).expect(0).stdout;
        assert!(shown.contains(&printed) && shown.contains(&format!("it ended with {said}")), "{shown}");
    }
    fs::remove_file(code).unwrap();
}

#[test]
fn at_its_timeout_a_program_is_ended_with_all_it_has_started() {
    let watchkeeper =
        watchkeeper("timeout = \"1s\"\nshell = true\ncommand = \"sleep 600 & echo $!; wait\"\n");
    let since = Instant::now();
    let report = watchkeeper.run_json(&["run-now", "c"]).expect(1).json();
    assert!(since.elapsed() < Duration::from_secs(20));
    assert!(report["runs"][0]["reason"].as_str().unwrap().starts_with("Timed out after 1.0 s"), "{report}");
    let pid = report["runs"][0]["output"]["printed"][0].as_str().unwrap();
    assert!(!is_alive(pid), "{pid} lives on");
}

#[test]
fn a_program_runs_as_another_user_where_root_says_so() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let watchkeeper =
        watchkeeper("shell = true\ncommand = \"id -u; id -G; echo $USER\"\nuser = \"nobody\"\n");
    let report = watchkeeper.run_json(&["run-now", "c"]).expect(0).json();
    let printed = report["runs"][0]["output"]["printed"].to_string();
    // None of root's own groups either.
    assert_eq!(printed, r#"["65534","65534","nobody"]"#);
    let unknown = self::watchkeeper("command = [\"true\"]\nuser = \"no-such-user\"\n");
    let failed = unknown.run(&["run-now", "c"]).expect(1);
    assert!(failed.stdout.contains("There is no user \"no-such-user\""), "{}", failed.stdout);
}

#[test]
fn a_program_in_a_container_is_run_and_ended_there() {
    let Some(prometheus) = Prometheus::container(Builder::default().without_blocks()) else { return };
    let name = prometheus.container_name().unwrap();
    let place = format!("container = \"{name}\"\ndirectory = \"/prometheus\"\n");
    let good = watchkeeper(&format!(
        "{place}shell = true\ncommand = 'echo in $PWD; echo $A >&2; exit 5'\nenv = {{ A = \"b c\" }}\nwarning_codes = [5]\n"
    ));
    let report = good.run_json(&["run-now", "c"]).expect(3).json();
    // Two streams: which of them comes first is not told.
    let mut printed = report["runs"][0]["output"]["printed"].as_array().unwrap().clone();
    printed.sort_by_key(ToString::to_string);
    assert_eq!(serde_json::Value::from(printed).to_string(), r#"["b c","in /prometheus"]"#);

    let slow = watchkeeper(&format!(
        "{place}timeout = \"3s\"\nshell = true\ncommand = 'sleep 601 & sleep 602; wait'\n"
    ));
    let report = slow.run_json(&["run-now", "c"]).expect(1).json();
    assert!(report["runs"][0]["reason"].as_str().unwrap().starts_with("Timed out"), "{report}");
    assert_eq!(
        report["runs"][0]["output"]["summary"],
        "it was stopped, with all that could be found of what it had started"
    );
    let sleeps = || crate::support::docker::docker(["top", name]);
    wait_until("both are gone", Duration::from_secs(10), || !sleeps().contains("sleep 60"));

    let missing = watchkeeper(&format!("{place}command = [\"no-such-program\"]\n"));
    let failed = missing.run(&["run-now", "c"]).expect(1);
    assert!(failed.stdout.contains("no-such-program"), "{}", failed.stdout);
    prometheus.stop();
    let failed = good.run(&["run-now", "c"]).expect(1);
    assert!(failed.stdout.contains("is not running"), "{}", failed.stdout);
}
