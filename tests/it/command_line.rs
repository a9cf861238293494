//! Wrong input, and surroundings that are not as they should be: what the program says then, and how it ends.

use std::fs;

use crate::support::prometheus::{Builder, Prometheus};
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
    let watchkeeper = Watchkeeper::with_keys(&prometheus, "layout = \"archive\"\n");
    let good = watchkeeper.back_up();
    let flip = "for block in 01*; do printf x | dd of=$block/chunks/000001 bs=1 seek=40 conv=notrunc 2>/dev/null; \
                echo $block; break; done";
    let block = prometheus.in_data(flip);
    let output = watchkeeper.run(&["run-now", JOB]).expect(3);
    let named = output.stdout.contains(&block) && output.stdout.contains("chunks/000001");
    assert!(named, "{block}: {}", output.stdout);
    let listed = watchkeeper.run(&["backups"]).expect(0);
    assert!(listed.stdout.contains("damaged at the source"), "{output:?}\n{listed:?}");
    let deep = watchkeeper.run(&["verify", "--deep"]).expect(1);
    assert!(deep.stdout.contains(&block) && deep.stdout.contains("1 of 2 backups good"), "{deep:?}");
    let plan = watchkeeper.run(&["restore", JOB, "--dry-run"]).expect(0);
    assert!(plan.stdout.contains(&good), "{plan:?}");
}
