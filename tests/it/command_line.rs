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
    assert!(watchkeeper.run(&["history"]).expect(1).stderr.contains("hint: "));
    // Where another process has the daemon's lock, it is that one's to set it aside.
    let lock = watchkeeper.state().join("locks/daemon.lock");
    let held = fs::OpenOptions::new().create(true).truncate(false).write(true).open(lock).unwrap();
    held.lock().unwrap();
    let output = watchkeeper.run(&["run-now", JOB]).expect(3);
    assert!(output.stdout.contains("this run will not be in it"), "{output:?}");
    watchkeeper.run(&["restore", JOB, "--dry-run"]).expect(0);
    drop(held);
    watchkeeper.run(&["run-now", JOB]).expect(0);
    watchkeeper.run(&["history"]).expect(0);
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

#[test]
fn every_problem_of_a_configuration_has_its_place_in_the_json_of_check() {
    let watchkeeper = Watchkeeper::with_config(
        "[prometheus.main]\nurl = \"http://127.0.0.1:1\"\nsrvice = 1\n\n[[job]]\nname = \"a\"\nkind = \"commnd\"\n",
    );
    let json = watchkeeper.run_json(&["check"]).expect(78).json();
    let problems = json["problems"].as_array().unwrap();
    let found = |text: &str| problems.iter().find(|p| p["message"].as_str().unwrap().contains(text)).unwrap();
    let (key, kind) = (found("srvice"), found("commnd"));
    assert_eq!((&key["column"], &key["source_line"]), (&1.into(), &"srvice = 1".into()), "{json}");
    assert_eq!(kind["line"].as_u64().unwrap(), key["line"].as_u64().unwrap() + 4, "{json}");
    assert!(kind["hint"].as_str().unwrap().contains("command"), "{json}");
}

#[test]
fn whoever_waits_for_another_attempt_is_told_so() {
    let watchkeeper = Watchkeeper::with_config(&format!(
        "[prometheus.main]\nurl = \"http://127.0.0.1:1\"\ndata_dir = \"/nowhere\"\n\
         [[job]]\nname = \"{JOB}\"\nkind = \"prometheus-snapshot\"\nprometheus = \"main\"\nkeep = {{ last = 5 }}\n\
         retries = {{ max = 1, backoff = \"1s\" }}\n"
    ));
    fs::create_dir(watchkeeper.store()).unwrap();
    let output = watchkeeper.run(&["run-now", JOB]).expect(1);
    assert!(output.stderr.contains("; trying again in 1.0 s"), "{output:?}");
    assert!(!watchkeeper.run(&["-q", "run-now", JOB]).expect(1).stderr.contains("again"));
}

#[test]
fn next_prints_the_plan_of_a_day_and_what_a_schedule_means() {
    let job = |name: &str, rest: &str| {
        format!("[[job]]\nname = \"{name}\"\nkind = \"command\"\ncommand = [\"true\"]\n{rest}\n")
    };
    let watchkeeper = Watchkeeper::with_config(&format!(
        "timezone = \"Asia/Kolkata\"\n{}{}{}{}{}",
        job("daily", "schedule = \"30 4 * * *\""),
        job("often", "schedule = \"@every 15m\""),
        job("rare", "schedule = \"0 0 29 2 *\"\ntimezone = \"Europe/Berlin\""),
        job("off", "schedule = \"@daily\"\nenabled = false"),
        job("by-hand", ""),
    ));
    let text = watchkeeper.run(&["next"]).expect(0).stdout;
    let line =
        |job: &str| text.lines().find(|line| line.contains(job)).unwrap_or_else(|| panic!("{job}: {text}"));
    assert!(line("daily").contains(" 04:30:00 +05:30") && !line("daily").contains("times"), "{text}");
    assert!(line("often").contains("96 times, the last "), "{text}");
    assert!(line("rare").contains("-02-29 00:00:00 +01:00"), "{text}");
    assert!(line("off").contains("disabled") && line("by-hand").contains("no schedule"), "{text}");
    let plan = watchkeeper.run_json(&["next"]).expect(0).json();
    assert_eq!(
        (plan["plan"].as_array().unwrap().len(), plan["later"].as_array().unwrap().len()),
        (2, 3),
        "{plan}"
    );

    let text = watchkeeper.run(&["next", "daily", "-n", "2"]).expect(0).stdout;
    assert!(text.contains("means     At 04:30 (Asia/Kolkata)"), "{text}");
    assert_eq!(text.matches(" 04:30:00 +05:30").count(), 2, "{text}");
    let all = watchkeeper.run_json(&["next", "-n", "1"]).expect(0).json();
    let slots: Vec<usize> =
        all["jobs"].as_array().unwrap().iter().map(|job| job["slots"].as_array().unwrap().len()).collect();
    assert_eq!(slots, [1, 1, 1, 0, 0], "{all}");
}

#[test]
fn what_runs_after_a_job_stands_under_it_in_the_plan() {
    let job = |name: &str, rest: &str| {
        format!("[[job]]\nname = \"{name}\"\nkind = \"command\"\ncommand = [\"true\"]\n{rest}\n")
    };
    let watchkeeper = Watchkeeper::with_config(&format!(
        "timezone = \"UTC\"\n{}{}{}{}{}{}{}",
        job("late", "after = [\"a\", \"b\"]"),
        job("b", "schedule = \"0 5 * * *\""),
        job("a", "schedule = \"0 5 * * *\""),
        job("next-of-a", "after = [\"a\"]"),
        job("z-last", "after = [\"next-of-a\"]"),
        job("by-hand", ""),
        job("then", "after = [\"by-hand\"]"),
    ));
    let text = watchkeeper.run(&["next"]).expect(0).stdout;
    let (plan, later) = text.split_once("After that:").unwrap();
    let line = |job: &str| {
        let at = plan.lines().position(|line| line.split("  ").any(|cell| cell.trim() == job));
        at.unwrap_or_else(|| panic!("{job}: {text}"))
    };
    let order = ["a", "next-of-a", "z-last", "b", "late"].map(line);
    assert_eq!(order, [2, 3, 4, 5, 6], "{text}");
    let starts = |job: &str, start: &str| plan.lines().nth(line(job)).unwrap().starts_with(start);
    assert!(starts("next-of-a", "  after a ") && starts("z-last", "    after next-of-a "), "{text}");
    assert!(starts("late", "  after a and b "), "{text}");
    assert!(later.contains("then") && later.contains("after by-hand"), "{text}");
    let json = watchkeeper.run_json(&["next"]).expect(0).json();
    let plan = json["plan"].as_array().unwrap();
    assert_eq!((&plan[1]["after"], &plan[1]["first"]), (&"after a".into(), &plan[0]["first"]), "{json}");
    // What it runs after does not run.
    watchkeeper.run(&["pause", "a"]).expect(0);
    let text = watchkeeper.run(&["next"]).expect(0).stdout;
    let (plan, later) = text.split_once("After that:").unwrap();
    assert!(!plan.contains("z-last") && later.contains("z-last") && later.contains("late"), "{text}");
}

#[test]
fn no_slot_at_all_is_not_what_anybody_asks_for() {
    let watchkeeper = nowhere();
    let output = watchkeeper.run(&["next", "-n", "0"]).expect(2);
    assert!(output.stdout.is_empty() && output.stderr.contains("-n"), "{output:?}");
    watchkeeper.run(&["next", "-n", "1"]).expect(0);
}

/// Seconds of CPU that a command takes.
fn cpu(watchkeeper: &Watchkeeper, arguments: &str) -> f64 {
    let script = format!("$WATCHKEEPER {arguments} > /dev/null 2>&1 || true; times");
    let output = watchkeeper.run_in_mounts(watchkeeper.folder(), &script);
    let children = output.stdout.lines().nth(1).unwrap_or_else(|| panic!("{output:?}")).to_owned();
    let user = children.split_whitespace().next().unwrap().trim_end_matches('s');
    let (minutes, seconds) = user.split_once('m').unwrap();
    minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()
}

#[test]
fn a_thousand_jobs_that_are_due_every_minute_are_read_checked_and_planned_at_once() {
    let job = |index: usize| {
        format!(
            "[[job]]\nname = \"job-{index}\"\nkind = \"command\"\ncommand = [\"true\"]\nschedule = \"{} * * * * *\"\n",
            index % 60
        )
    };
    let jobs: String = (0..1_000).map(job).collect();
    let watchkeeper = Watchkeeper::with_config(&format!("timezone = \"Europe/Berlin\"\n{jobs}"));
    for command in ["check", "next", "status"] {
        // Before, 33, 17 and 16 seconds where everything is built without optimisation.
        let seconds = cpu(&watchkeeper, command);
        assert!(seconds < 4.0, "{command} took {seconds} s of CPU");
    }
}

#[test]
fn what_cannot_be_written_to_the_standard_output_is_said_beside_it_and_is_no_success() {
    let watchkeeper = nowhere();
    let into = |sink: &str, words: &[&str]| {
        let sink = fs::OpenOptions::new().write(true).open(sink).unwrap();
        let output = watchkeeper.command(words).stdout(sink).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = into("/dev/full", &["explain", JOB]);
    assert!(code == 1 && said.contains("No space left on device") && said.contains(JOB), "{code}: {said}");
    let (code, said) = into("/dev/full", &["run-now", JOB]);
    assert!(code == 1 && said.contains("failed: prometheus-snapshot: "), "{code}: {said}");
    assert_eq!(into("/dev/null", &["explain", JOB]).0, 0);
    // Who has closed the pipe has seen enough.
    let mut child = watchkeeper.command(&["next"]).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
