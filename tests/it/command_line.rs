//! Wrong input, and surroundings that are not as they should be: what the program says then, and how it ends.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

use crate::support::prometheus::{Builder, Prometheus};
use crate::support::run;
use crate::support::watchkeeper::{JOB, Watchkeeper};

/// A job for a server of which only the address is known.
fn for_url(url: &str) -> Watchkeeper {
    let watchkeeper = Watchkeeper::with_config(&format!(
        "[prometheus.main]\nurl = \"{url}\"\ntoken = {{ plain = \"s3cret\" }}\ndata_dir = \"/nowhere\"\n\
         [[job]]\nname = \"{JOB}\"\nkind = \"prometheus-snapshot\"\nprometheus = \"main\"\nkeep = {{ last = 5 }}\n\
         retries = {{ max = 0 }}\n"
    ));
    fs::create_dir(watchkeeper.store()).unwrap();
    watchkeeper
}

fn nowhere() -> Watchkeeper {
    for_url("http://127.0.0.1:1")
}

/// Answers every request with these bytes, until the process ends.
fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

#[test]
fn a_name_that_nothing_has_is_a_wrong_usage_and_says_what_there_is() {
    let watchkeeper = nowhere();
    let words: [&[&str]; 9] = [
        &["run-now", "prometheus-snapshto"],
        &["restore", "prometheus-snapshto", "--yes"],
        &["backups", "prometheus-snapshto"],
        &["verify", "prometheus-snapshto"],
        &["prune", "prometheus-snapshto"],
        &["history", "prometheus-snapshto"],
        &["next", "prometheus-snapshto"],
        &["pin", "prometheus-snapshto/latest"],
        &["show", "nope"],
    ];
    for words in words {
        let output = watchkeeper.run(words).expect(2);
        assert!(output.stderr.starts_with("error: ") && output.stdout.is_empty(), "{words:?}: {output:?}");
        let json = watchkeeper.run_json(words).expect(2).json();
        assert_eq!(json["exit_code"], 2, "{words:?}: {json}");
    }
    let output = watchkeeper.run(&["history", "prometheus-snapshto"]).expect(2);
    assert!(output.stderr.contains("did you mean \"prometheus-snapshot\"?"), "{output:?}");
}

#[test]
fn a_command_line_that_makes_no_sense_ends_in_json_where_that_was_asked_for() {
    let watchkeeper = nowhere();
    for words in [&["nonsense"][..], &["restore", JOB, "--bogus"], &["run-now"]] {
        let json = watchkeeper.run_json(words).expect(2).json();
        assert!(json["error"].as_str().is_some_and(|text| !text.is_empty()), "{words:?}: {json}");
    }
    watchkeeper.run_json(&["--help"]).expect(0);
}

#[test]
fn every_problem_of_a_configuration_is_named_with_its_place() {
    let watchkeeper = Watchkeeper::with_config(
        "[prometheus.main]\nurl = \"htp://localhost\"\ncontaner = \"p\"\n[[job]]\nname = \"a\"\n\
         kind = \"prometheus-snapshot\"\nprometheus = \"mian\"\nschedule = \"0 0 31 2 *\"\nkeep = {}\n",
    );
    let output = watchkeeper.run(&["check"]).expect(78);
    for part in
        ["toml:4:7:", "toml:5:1:", "toml:9:14:", "toml:10:12:", "toml:11:8:", "did you mean \"main\"?"]
    {
        assert!(output.stderr.contains(part), "{part}: {}", output.stderr);
    }
    assert_eq!(watchkeeper.run_json(&["status"]).expect(78).json()["exit_code"], 78);
}

#[test]
fn who_answers_instead_of_prometheus_is_recognized_and_no_secret_is_shown() {
    let html = "HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<!DOCTYPE html><html>Login</html>";
    let cases = [
        (html, "an HTML page came back", "a proxy or login page"),
        ("HTTP/1.0 401 Unauthorized\r\n\r\n", "401 to these credentials", "check user and password"),
        ("HTTP/1.0 302 Found\r\nLocation: https://sso/login\r\n\r\n", "https://sso/login", "its url"),
        ("HTTP/1.0 502 Bad Gateway\r\n\r\n", "502", "a proxy answers"),
    ];
    for (answer, reason, hint) in cases {
        let watchkeeper = for_url(&answering(answer));
        for words in [&["run-now", JOB][..], &["check", "--online"]] {
            let output = watchkeeper.run(words).expect(1);
            let said = format!("{}{}", output.stdout, output.stderr);
            assert!(said.contains(reason) && said.contains(hint), "{words:?}: {said}");
            assert!(!said.contains("s3cret"), "{said}");
        }
        assert!(watchkeeper.leftovers().is_empty(), "{:?}", watchkeeper.leftovers());
    }
}

#[test]
fn a_manifest_that_cannot_be_read_is_bad_to_verify_and_passed_over_by_everything_else() {
    let watchkeeper = nowhere();
    fs::write(watchkeeper.store().join("20261123T020000Z.json"), "garbage").unwrap();
    for words in [&["verify"][..], &["verify", "--deep"], &["verify", JOB]] {
        let output = watchkeeper.run(words).expect(1);
        assert!(
            output.stdout.starts_with("BAD ") && output.stdout.contains("20261123T020000Z.json"),
            "{output:?}"
        );
    }
    assert_eq!(watchkeeper.run_json(&["verify"]).expect(1).json()["broken"].as_array().unwrap().len(), 1);
    assert!(watchkeeper.run(&["backups"]).expect(3).stdout.contains("broken: "));
    assert!(watchkeeper.run(&["status"]).expect(1).stdout.contains("1 broken"));
    watchkeeper.run(&["restore", JOB, "--dry-run"]).expect(1);
}

#[test]
fn a_damaged_history_hinders_neither_a_backup_nor_a_restore() {
    let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
    let watchkeeper = Watchkeeper::for_prometheus(&prometheus);
    watchkeeper.back_up();
    for file in ["history.db-wal", "history.db-shm"] {
        let _ = fs::remove_file(watchkeeper.state().join(file));
    }
    fs::write(watchkeeper.state().join("history.db"), "garbage that is no database").unwrap();
    let output = watchkeeper.run(&["run-now", JOB]).expect(3);
    assert!(output.stdout.contains("this run will not be in it"), "{output:?}");
    watchkeeper.run(&["restore", JOB, "--dry-run"]).expect(0);
    for words in [&["history"][..], &["run"]] {
        assert!(watchkeeper.run(words).expect(1).stderr.contains("hint: "), "{words:?}");
    }
}

#[test]
fn a_block_that_is_damaged_at_its_source_is_named_kept_apart_and_never_restored_unasked() {
    let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
    let watchkeeper = Watchkeeper::for_prometheus(&prometheus);
    let good = watchkeeper.back_up();
    let flip = "for block in 01*; do printf x | dd of=$block/chunks/000001 bs=1 seek=40 conv=notrunc 2>/dev/null; \
                echo $block; break; done";
    let block = prometheus.in_data(flip);
    let output = watchkeeper.run(&["run-now", JOB]).expect(3);
    let named = output.stdout.contains(&block) && output.stdout.contains("chunks/000001");
    assert!(named, "{block}: {}", output.stdout);
    assert!(watchkeeper.run(&["backups"]).expect(0).stdout.contains("damaged at the source"));
    let deep = watchkeeper.run(&["verify", "--deep"]).expect(1);
    assert!(deep.stdout.contains(&block) && deep.stdout.contains("1 of 2 good"), "{deep:?}");
    let plan = watchkeeper.run(&["restore", JOB, "--dry-run"]).expect(0);
    assert!(plan.stdout.contains(&good), "{plan:?}");
}

#[test]
fn a_full_disk_is_named_before_and_at_the_backup_and_no_partial_snapshot_stays() {
    let Some(prometheus) = Prometheus::container(Builder::default().on_a_small_disk()) else { return };
    let watchkeeper = Watchkeeper::for_prometheus(&prometheus);
    for words in [&["check", "--online"][..], &["run-now", JOB]] {
        let output = watchkeeper.run(words).expect(1);
        assert!(output.stdout.contains("free at least 512 MiB"), "{words:?}: {}", output.stdout);
    }
    assert!(prometheus.snapshots().is_empty());
    assert!(watchkeeper.leftovers().is_empty(), "{:?}", watchkeeper.leftovers());
}

#[test]
fn a_container_that_does_not_run_is_named_with_what_it_does_instead() {
    let Some(prometheus) = Prometheus::container(Builder::default()) else { return };
    let watchkeeper = Watchkeeper::for_prometheus(&prometheus);
    let name = prometheus.container_name().unwrap().to_owned();
    let says = |parts: &[&str]| {
        for words in [&["run-now", JOB][..], &["check", "--online"]] {
            let output = watchkeeper.run(words).expect(1);
            for part in parts {
                assert!(output.stdout.contains(part), "{words:?}: {part}: {}", output.stdout);
            }
        }
    };
    prometheus.stop();
    says(&["has ended, with exit code 0", &format!("docker start {name}")]);
    let other = format!("{name}-other");
    run(Command::new("docker").args(["rename", &name, &other]));
    says(&["There is no container", "docker ps -a"]);
    run(Command::new("docker").args(["rename", &other, &name]));
    prometheus.start();
    prometheus.wait_ready();
    run(Command::new("docker").args(["pause", &name]));
    says(&["is paused", &format!("docker unpause {name}")]);
    run(Command::new("docker").args(["unpause", &name]));
    assert!(watchkeeper.leftovers().is_empty(), "{:?}", watchkeeper.leftovers());
}
