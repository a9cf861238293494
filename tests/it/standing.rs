//! How things stand and stood: `status`, `history`, `show`, and runs that are unlike those before them.

use std::fs;
use std::time::Duration;

use rusqlite::Connection;

use crate::support::wait_until;
use crate::support::watchkeeper::{Watchkeeper, files_job};

fn job(name: &str, command: &str, rest: &str) -> String {
    format!("[[job]]\nname = \"{name}\"\nkind = \"command\"\nshell = true\ncommand = \"{command}\"\n{rest}\n")
}

fn sql(watchkeeper: &Watchkeeper, sql: &str) {
    let history = Connection::open(watchkeeper.state().join("history.db")).unwrap();
    history.busy_timeout(Duration::from_mins(1)).unwrap();
    history.execute_batch(sql).unwrap();
}

fn ids(watchkeeper: &Watchkeeper, arguments: &[&str]) -> Vec<String> {
    let history = watchkeeper.run_json(&[&["history"], arguments].concat()).expect(0).json();
    let runs = history["runs"].as_array().unwrap();
    runs.iter().map(|run| run["run"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_job_whose_predecessor_is_paused_says_what_it_waits_for() {
    let watchkeeper = Watchkeeper::with_config(
        &(job("a", "true", "schedule = \"@hourly\"")
            + &job("b", "true", "after = [\"a\"]")
            + &job("c", "true", "after = [\"b\"]")),
    );
    let asks: [&[&str]; 5] = [&["status"], &["next"], &["next", "b"], &["explain", "b"], &["explain", "c"]];
    watchkeeper.run(&["pause", "a", "--reason", "the disk is changed"]).expect(0);
    for ask in asks {
        let text = watchkeeper.run(ask).expect(0).stdout;
        let line = text.lines().find(|line| line.contains("it waits for a, which is paused since "));
        assert!(line.is_some_and(|line| line.contains(": the disk is changed")), "{ask:?}: {text}");
    }
    let json = watchkeeper.run_json(&["status"]).expect(0).json();
    assert_eq!(json["jobs"][2]["paused_before"][0]["job"], "a", "{json}");
    watchkeeper.run(&["resume", "a"]).expect(0);
    for ask in asks {
        let text = watchkeeper.run(ask).expect(0).stdout;
        assert!(!text.contains("waits for a"), "{ask:?}: {text}");
    }
}

#[test]
fn the_reason_of_a_pause_is_one_line_that_is_not_long() {
    let watchkeeper = Watchkeeper::with_config(&job("a", "true", ""));
    let (most, more) = ("ä".repeat(200), "ä".repeat(201));
    for (reason, said) in [
        ("two\nlines", "it must be one line"),
        ("a\u{1b}[2J", "it must be one line"),
        (" ", "it is empty"),
        (more.as_str(), "it has 201 characters, and 200 is the most"),
    ] {
        let output = watchkeeper.run(&["pause", "a", "--reason", reason]).expect(2);
        assert!(output.stderr.contains(said), "{reason:?}: {output:?}");
    }
    watchkeeper.run(&["pause", "a", "--reason", &most]).expect(0);
    assert!(watchkeeper.run(&["status"]).expect(0).stdout.contains(&most));
}

#[test]
fn status_has_a_line_for_each_job_and_says_below_what_needs_a_look() {
    let source = crate::support::scratch::folder("status");
    fs::write(source.path().join("a"), vec![7; 100_000]).unwrap();
    let watchkeeper = Watchkeeper::with_config(
        &(files_job(3, &[source.path()])
            + &job("bad", "echo the disk is gone >&2; exit 1", "schedule = \"@every 6h\"")
            + &job("new", "true", "")),
    );
    for _ in 0..3 {
        watchkeeper.run(&["run-now", "conf"]).expect(0);
    }
    watchkeeper.run(&["run-now", "bad"]).expect(1);
    watchkeeper.run(&["run-now", "bad"]).expect(1);
    let status = watchkeeper.run(&["status"]).expect(1).stdout;
    let lines: Vec<&str> = status.lines().collect();
    assert!(lines[..4].iter().all(|line| line.chars().count() <= 80), "{status}");
    assert!(lines[0].starts_with("JOB"), "{status}");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(lines[1])[..2], ["conf", "done"], "{status}");
    // Three bars, the largest of them full, and the size of the newest backup.
    let bars =
        words(lines[1]).into_iter().find(|word| word.starts_with(['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']));
    let bars = bars.unwrap();
    assert!(bars.chars().count() == 3 && bars.contains('█'), "{status}");
    assert!(lines[1].trim_end().ends_with('B') && words(lines[1]).contains(&"3".to_owned()), "{status}");
    assert!(words(lines[2])[..2] == ["bad", "failed"] && lines[2].contains(" in "), "{status}");
    assert_eq!(words(lines[3]), ["new", "never", "ran"], "{status}");
    assert!(lines.iter().all(|line| !line.starts_with("conf:") && !line.starts_with("new:")), "{status}");
    let told = lines.iter().find(|line| line.starts_with("bad: ")).unwrap();
    assert!(told.contains("failed, 2 times in a row: ") && told.contains("`watchkeeper show "), "{status}");
    let json = watchkeeper.run_json(&["status"]).expect(1).json();
    assert_eq!(json["jobs"][1]["failures"], 2);
    assert_eq!(json["jobs"][0]["past"].as_array().unwrap().len(), 3);
    assert!(json["jobs"][0]["last_success"].is_string() && json["jobs"][1]["last_success"].is_null());
    assert!(json["jobs"][0]["newest"]["bytes"].as_u64().unwrap() > 0);
}

#[test]
fn many_jobs_that_need_a_look_take_no_more_than_a_screen_and_the_gravest_are_named() {
    let jobs: String = (10..60).map(|nth| job(&format!("j{nth}"), "true", "")).collect();
    let watchkeeper = Watchkeeper::with_config(&(jobs + &job("zz", "exit 1", "retries = { max = 0 }")));
    for nth in 10..60 {
        watchkeeper.run(&["pause", &format!("j{nth}"), "--reason", "the disk is changed"]).expect(0);
    }
    watchkeeper.run(&["run-now", "zz"]).expect(1);
    let status = watchkeeper.run(&["status"]).expect(1).stdout;
    let (table, notes) = status.split_once("\n\n").unwrap();
    assert_eq!((table.lines().count(), notes.lines().count()), (52, 20), "{status}");
    assert!(notes.starts_with("zz: failed: "), "{notes}");
    let more = notes.lines().last().unwrap();
    assert!(more.starts_with("and 32 more: ") && more.contains("`watchkeeper --json status`"), "{more}");
    let json = watchkeeper.run_json(&["status"]).expect(1).json();
    assert_eq!(json["jobs"].as_array().unwrap().len(), 51);
}

#[test]
fn history_is_filtered_by_outcome_and_time_and_shown_in_pages() {
    let watchkeeper = Watchkeeper::with_config(&(job("good", "true", "") + &job("bad", "exit 1", "")));
    for number in 0..5 {
        watchkeeper.run(&["run-now", if number == 2 { "bad" } else { "good" }]);
    }
    // One a day, the newest on the 5th.
    let all = ids(&watchkeeper, &[]);
    for (id, day) in all.iter().zip([5, 4, 3, 2, 1]) {
        let started = format!("unixepoch('2026-03-0{day} 12:00:00') * 1000");
        sql(
            &watchkeeper,
            &format!("UPDATE run SET started = {started}, finished = {started} + 5 WHERE id = '{id}'"),
        );
    }
    sql(
        &watchkeeper,
        "INSERT INTO missed (job, first, last, count, reason) VALUES ('good', unixepoch('2026-03-02 13:00:00') * 1000, \
         unixepoch('2026-03-02 15:00:00') * 1000, 3, 'no daemon ran')",
    );
    assert_eq!(ids(&watchkeeper, &["--outcome", "failed"]), [all[2].clone()]);
    assert_eq!(ids(&watchkeeper, &["--failed"]), [all[2].clone()]);
    assert_eq!(ids(&watchkeeper, &["--outcome", "done,failed", "bad"]), [all[2].clone()]);
    assert_eq!(ids(&watchkeeper, &["--since", "2026-03-04"]), all[..2]);
    assert_eq!(ids(&watchkeeper, &["--since", "2026-03-02", "--until", "2026-03-04T00:00:00Z"]), all[2..4]);
    assert_eq!(ids(&watchkeeper, &["--outcome", "missed"]), Vec::<String>::new());
    let missed = |arguments: &[&str]| {
        let history = watchkeeper.run_json(&[&["history"], arguments].concat()).expect(0).json();
        history["missed"].as_array().unwrap().len()
    };
    let of_missed: [(&[&str], usize); 5] = [
        (&[], 1),
        (&["--outcome", "missed"], 1),
        (&["--outcome", "done"], 0),
        (&["--until", "2026-03-02T14:00:00Z"], 1),
        (&["--since", "2026-03-03"], 0),
    ];
    for (arguments, count) in of_missed {
        assert_eq!(missed(arguments), count, "{arguments:?}");
    }
    // Five runs and a stretch that was missed, between the fourth and the third of them: three pages of two lines.
    let page = |page: &str| {
        let history = watchkeeper.run_json(&["history", "-n", "2", "--page", page]).expect(0).json();
        let runs =
            history["runs"].as_array().unwrap().iter().map(|run| run["run"].as_str().unwrap().to_owned());
        let runs: Vec<String> = runs.collect();
        (runs, history["missed"].as_array().unwrap().len(), history["more"].as_bool().unwrap())
    };
    assert_eq!(page("1"), (all[..2].to_vec(), 0, true));
    assert_eq!(page("2"), (all[2..3].to_vec(), 1, true));
    assert_eq!(page("3"), (all[3..].to_vec(), 0, false));
    assert_eq!(page("4"), (Vec::new(), 0, false));
    let text = |arguments: &[&str]| watchkeeper.run(&[&["history"], arguments].concat()).expect(0).stdout;
    assert!(text(&["-n", "2"]).contains("There are more: --page 2"));
    assert!(!text(&["-n", "2", "--page", "3"]).contains("There are more"));
    assert_eq!(text(&["--page", "9"]), "There are not so many pages.\n");
    assert_eq!(text(&["--outcome", "interrupted"]), "Nothing in the history is so.\n");
    watchkeeper.run(&["history", "--since", "yesterdayish"]).expect(2);
    watchkeeper.run(&["history", "--outcome", "great"]).expect(2);
}

#[test]
fn show_finds_the_newest_run_of_a_job_and_can_leave_out_log_lines() {
    let watchkeeper = Watchkeeper::with_config(&job("bad", "exit 1", ""));
    watchkeeper.run(&["run-now", "bad"]).expect(1);
    watchkeeper.run(&["run-now", "bad"]).expect(1);
    let newest = ids(&watchkeeper, &[])[0].clone();
    let show = |arguments: &[&str]| watchkeeper.run_json(&[&["show"], arguments].concat()).expect(0).json();
    assert_eq!(show(&["bad"])["run"], newest.as_str());
    let lines = |arguments: &[&str]| {
        show(arguments)["log"].as_array().map_or_else(Vec::new, |lines| {
            lines.iter().map(|line| line["level"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        })
    };
    let all = lines(&["bad"]);
    assert!(all.contains(&"ERROR".to_owned()), "{all:?}");
    let errors = lines(&["bad", "--level", "error"]);
    assert!(!errors.is_empty() && errors.iter().all(|level| level == "ERROR"), "{errors:?}");
    assert_eq!(lines(&["bad", "--log", "1"]), all[all.len() - 1..]);
    assert!(lines(&["bad", "--log", "0"]).is_empty());
    watchkeeper.run(&["show", "other"]).expect(2);
}

/// Says that so many runs of a job took so long each.
fn took(watchkeeper: &Watchkeeper, job: &str, runs: usize, seconds: usize) {
    for _ in 0..runs {
        watchkeeper.run(&["run-now", job]).expect(0);
    }
    let sql_text = format!("UPDATE run SET started = finished - {seconds}000 WHERE job = '{job}'");
    sql(watchkeeper, &sql_text);
}

#[test]
fn a_run_that_is_far_shorter_than_those_before_it_is_warned_with_the_numbers() {
    let watchkeeper = Watchkeeper::with_config(
        &(job("quick", "true", "") + &job("any", "true", "anomalies = { shorter = 0 }")),
    );
    took(&watchkeeper, "quick", 5, 600);
    took(&watchkeeper, "any", 5, 600);
    let output = watchkeeper.run(&["run-now", "quick"]).expect(3);
    let text = output.stdout + &output.stderr;
    assert!(text.contains("it ran far shorter than usual: ") && text.contains("10 m 00 s"), "{text}");
    watchkeeper.run(&["run-now", "any"]).expect(0);
    let status = watchkeeper.run(&["status"]).expect(0).stdout;
    assert!(status.contains("quick: warned: it ran far shorter than usual"), "{status}");
    assert!(!status.contains("any: "), "{status}");
}

#[test]
fn a_run_that_takes_far_longer_than_those_before_it_is_told_while_it_runs_and_warned_at_its_end() {
    let folder = crate::support::scratch::folder("long");
    let gate = folder.path().join("gate");
    let command = format!("while test -e {} ; do sleep 0.1; done", gate.display());
    let watchkeeper = Watchkeeper::with_config(&job("slow", &command, ""));
    took(&watchkeeper, "slow", 5, 1);
    fs::write(&gate, "").unwrap();
    let run = watchkeeper.spawn(&["run-now", "slow"]);
    wait_until("it runs", Duration::from_mins(1), || {
        watchkeeper.run_json(&["status"]).json()["jobs"][0]["last"]["outcome"] == "running"
    });
    assert!(!watchkeeper.run(&["status"]).stdout.contains("runs too long"));
    wait_until("it runs too long", Duration::from_mins(2), || {
        watchkeeper.run(&["status"]).expect(0).stdout.contains("slow: runs too long: since ")
    });
    fs::remove_file(&gate).unwrap();
    let output = watchkeeper.wait(run, &["run-now", "slow"]).expect(3);
    let text = output.stdout + &output.stderr;
    assert!(
        text.contains("it ran far longer than usual: ") && text.contains("the last 5 runs took 1.0 s"),
        "{text}"
    );
}

#[test]
fn what_is_too_small_a_backup_can_be_said() {
    let source = crate::support::scratch::folder("small");
    let file = source.path().join("a");
    let watchkeeper = Watchkeeper::with_config(&files_job(9, &[source.path()]).replacen(
        "[[job]]\n",
        "[[job]]\nanomalies = { smaller = 95 }\n",
        1,
    ));
    fs::write(&file, vec![7; 1_000_000]).unwrap();
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    fs::write(&file, vec![7; 900_000]).unwrap();
    let output = watchkeeper.run(&["run-now", "conf"]).expect(3);
    let text = output.stdout + &output.stderr;
    assert!(text.contains("holds 90 % of what those before it usually do"), "{text}");
    assert!(watchkeeper.run(&["status"]).expect(0).stdout.contains("conf: retention is held"));
    watchkeeper.run(&["accept", "conf/latest"]).expect(0);
    assert!(!watchkeeper.run(&["status"]).expect(0).stdout.contains("retention is held"));
}

#[test]
fn the_history_says_what_a_run_warned_of() {
    let watchkeeper = Watchkeeper::with_config(&job("a", "true", "hooks = { after = [\"false\"] }"));
    watchkeeper.run(&["run-now", "a"]).expect(3);
    let line = watchkeeper.run(&["history"]).expect(0).stdout;
    assert!(line.contains("  warned  ") && line.contains("false"), "{line}");
    let history = watchkeeper.run_json(&["history"]).expect(0).json();
    assert_eq!(history["runs"][0]["warnings"].as_array().unwrap().len(), 1, "{history}");
}

#[test]
fn a_run_whose_clock_was_ahead_hides_no_run_that_fails_after_it() {
    let watchkeeper = Watchkeeper::with_config(&job("j", "test -e ok", ""));
    let flag = watchkeeper.folder().join("ok");
    watchkeeper.configure(&job("j", &format!("test -e {}", flag.display()), ""));
    fs::write(&flag, "").unwrap();
    watchkeeper.run(&["run-now", "j"]).expect(0);
    sql(&watchkeeper, "UPDATE run SET started = started + 5400000, finished = finished + 5400000");
    fs::remove_file(&flag).unwrap();
    for failures in 1..3 {
        watchkeeper.run(&["run-now", "j"]).expect(1);
        let status = watchkeeper.run_json(&["status"]).expect(1).json();
        let stands = &status["jobs"][0];
        assert_eq!(stands["last"]["outcome"], "failed", "{stands}");
        assert_eq!(stands["failures"], failures, "{stands}");
        assert_eq!(stands["past"][usize::try_from(failures).unwrap()]["outcome"], "failed", "{stands}");
    }
    assert!(watchkeeper.run(&["show", "j"]).expect(0).stdout.contains("failed"));
}
