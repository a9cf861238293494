//! What is known again, by whom it is written down, and what never belonged to it.

use std::path::Path;

use super::*;
use crate::support::past::set_back;
use crate::support::watchkeeper::files_job;
use crate::support::{program, scratch, wait_until};

/// Three backups of a job, and a run of one that makes none.
fn three() -> Watchkeeper {
    let watchkeeper = Watchkeeper::with_config("");
    let config = watchkeeper.config();
    let command = "[[job]]\nname = \"cmd\"\nkind = \"command\"\ncommand = [\"true\"]\n";
    watchkeeper.configure(&(files_job(5, &[&config]) + command));
    for _ in 0..3 {
        watchkeeper.run(&["run-now", "conf", "cmd"]).expect(0);
    }
    watchkeeper
}

fn ids(runs: &[Value]) -> Vec<&str> {
    runs.iter().filter(|run| run["job"] == "conf").map(|run| run["run"].as_str().unwrap()).collect()
}

#[test]
fn who_only_looks_is_told_what_backups_tell_and_leaves_nothing_behind() {
    let watchkeeper = three();
    let before = runs(&watchkeeper);
    lose(&watchkeeper);
    let status = watchkeeper.run(&["status"]).expect(0);
    let lost = "the history is lost: what is known are the runs that the manifests of 3 backups tell of";
    assert!(status.stdout.contains(&format!("CAUTION: {lost}")), "{status:?}");
    let json = watchkeeper.run_json(&["status"]).expect(0).json();
    let conf = &json["jobs"][0];
    assert_eq!(
        (&conf["last"]["outcome"], &conf["last"]["run"]),
        (&"done".into(), &before[1]["run"]),
        "{json}"
    );
    assert!(json["jobs"][1]["last"].is_null(), "nothing tells of it: {json}");
    let listed = watchkeeper.run(&["history"]).expect(0);
    assert_eq!(listed.stdout.matches("rebuilt from the manifest").count(), 3, "{listed:?}");
    assert!(listed.stdout.contains(lost) && listed.stderr.contains(lost), "{listed:?}");
    let known = runs(&watchkeeper);
    assert_eq!((causes(&known), ids(&known)), (vec!["rebuilt"; 3], ids(&before)));
    // It began when it did, and made what it made.
    for (known, run) in known.iter().zip(before.iter().filter(|run| run["job"] == "conf")) {
        assert_eq!(known["started"], run["started"]);
        assert_eq!(known["output"]["backup"], run["output"]["backup"]);
        assert_eq!(known["output"]["bytes"], run["output"]["bytes"]);
    }
    let shown = watchkeeper.run(&["show", "conf"]).expect(0).stdout;
    assert!(shown.starts_with("done: conf: rebuilt from the manifest\n"), "{shown}");
    assert!(!file(&watchkeeper).exists());
}

#[test]
fn the_next_run_writes_it_down_and_says_so_once() {
    let watchkeeper = three();
    let before = runs(&watchkeeper);
    lose(&watchkeeper);
    let told = "the history was lost, and a new one was begun at ";
    let run = watchkeeper.run(&["run-now", "conf"]).expect(0);
    assert!(run.stderr.contains(told) && run.stderr.contains("the manifests of 3 backups"), "{run:?}");
    let after = runs(&watchkeeper);
    assert_eq!(causes(&after), ["manual", "rebuilt", "rebuilt", "rebuilt"]);
    assert_eq!(ids(&after)[1..], ids(&before));
    let run = watchkeeper.run(&["run-now", "conf"]).expect(0);
    assert!(!run.stderr.contains("lost"), "{run:?}");
    assert_eq!(runs(&watchkeeper).len(), 5);
    // Who looks later sees it, too.
    for command in ["status", "history"] {
        let output = watchkeeper.run(&[command]).expect(0);
        assert!(output.stdout.contains(&format!("CAUTION: {told}")), "{output:?}");
    }
    // An empty file is no other loss.
    lose(&watchkeeper);
    fs::write(file(&watchkeeper), "").unwrap();
    let paused = watchkeeper.run(&["pause", "conf"]).expect(0);
    assert!(paused.stderr.contains("was an empty file") && paused.stderr.contains(told), "{paused:?}");
    assert_eq!(causes(&runs(&watchkeeper)), ["rebuilt"; 5]);
}

#[test]
fn where_there_was_nothing_nothing_is_lost() {
    let watchkeeper = Watchkeeper::with_config("");
    watchkeeper.configure(&files_job(5, &[&watchkeeper.config()]));
    for command in ["status", "history"] {
        let output = watchkeeper.run(&[command]).expect(0);
        assert!(!format!("{output:?}").contains("lost"), "{output:?}");
    }
    let run = watchkeeper.run(&["run-now", "conf"]).expect(0);
    assert!(!run.stderr.contains("lost"), "{run:?}");
    assert_eq!(causes(&runs(&watchkeeper)), ["manual"]);
    assert!(!watchkeeper.run(&["status"]).expect(0).stdout.contains("CAUTION"));
}

/// Runs a job on a host that is called so.
fn run_on(watchkeeper: &Watchkeeper, host: &str) {
    let script = "echo \"$1\" > /proc/sys/kernel/hostname; exec \"$2\" --config \"$3\" run-now conf";
    let mut command = Command::new("unshare");
    command.args(["--uts", "sh", "-ec", script, "sh", host, program()]).arg(watchkeeper.config());
    run(&mut command);
}

#[test]
fn backups_of_another_host_or_source_do_not_become_the_history_of_a_job() {
    let watchkeeper = Watchkeeper::with_config("");
    let (one, two) = (watchkeeper.folder().join("one"), watchkeeper.folder().join("two"));
    for folder in [&one, &two] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("f"), folder.display().to_string()).unwrap();
    }
    let backs_up = |path: &Path| watchkeeper.configure(&files_job(5, &[path]));
    backs_up(&one);
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    backs_up(&two);
    run_on(&watchkeeper, "elsewhere");
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    lose(&watchkeeper);
    let run = watchkeeper.run(&["run-now", "conf"]).expect(0);
    assert!(run.stderr.contains("the manifests of 1 backup tell of"), "{run:?}");
    assert!(run.stderr.contains("2 backups of another host or source are left out"), "{run:?}");
    assert_eq!(causes(&runs(&watchkeeper)), ["manual", "rebuilt"]);
}

#[test]
fn of_a_lost_history_nothing_is_made_up_for() {
    let source = scratch::folder("source");
    let watch = |lost: bool| {
        let watchkeeper = Watchkeeper::with_config("");
        let job = |name: &str, missed: &str| {
            files_job(9, &[source.path()]).replace("conf", name)
                + &format!("schedule = \"@hourly\"\non_missed = \"{missed}\"\n")
        };
        watchkeeper.configure(&(job("all", "all") + &job("once", "once")));
        let watched = "SELECT count(*) FROM watched";
        let daemon = watchkeeper.spawn(&["run"]);
        wait_until("the slots are watched", SOON, || count(&watchkeeper, watched) == 2);
        stop(&watchkeeper, daemon);
        watchkeeper.run(&["run-now", "all", "once"]).expect(0);
        set_back(&watchkeeper, 5);
        if lost {
            lose(&watchkeeper);
        }
        let daemon = watchkeeper.spawn(&["run"]);
        let is_known = "SELECT count(*) FROM watched WHERE until > (unixepoch() - 600) * 1000";
        wait_until("what was missed is settled", SOON, || count(&watchkeeper, is_known) == 2);
        stop(&watchkeeper, daemon);
        let missed = count(&watchkeeper, "SELECT count(*) FROM missed");
        let runs = runs(&watchkeeper);
        let of = |cause: &str| runs.iter().filter(|run| run["cause"] == cause).count();
        (of("rebuilt"), of("catch-up"), missed)
    };
    // That of one that is there is, five and one.
    let (rebuilt, caught_up, missed) = watch(false);
    assert!(rebuilt == 0 && (6..=7).contains(&caught_up) && missed == 1, "{caught_up} {missed}");
    assert_eq!(watch(true), (2, 0, 0));
}

#[test]
fn one_that_is_damaged_is_said_to_be_and_what_backups_tell_is_shown_until_a_run_sets_it_aside() {
    let damages: [fn(&Watchkeeper); 4] = [
        |watchkeeper| history(watchkeeper).execute_batch("PRAGMA foreign_keys = 0; DROP TABLE run").unwrap(),
        |watchkeeper| {
            let sql = "PRAGMA foreign_keys = 0; DROP TABLE run; PRAGMA application_id = 0; PRAGMA user_version = 12";
            history(watchkeeper).execute_batch(sql).unwrap();
        },
        |watchkeeper| {
            lose(watchkeeper);
            fs::write(file(watchkeeper), vec![0x57; 9_000]).unwrap();
        },
        |watchkeeper| {
            // But for its first page, in which the names of the tables are.
            history(watchkeeper).execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
            let length = usize::try_from(file(watchkeeper).metadata().unwrap().len()).unwrap();
            let all = fs::read(file(watchkeeper)).unwrap();
            let damaged = [&all[..16_384], &vec![0x57; length - 16_384]].concat();
            lose(watchkeeper);
            fs::write(file(watchkeeper), damaged).unwrap();
        },
    ];
    for (nth, damage) in damages.iter().enumerate() {
        let watchkeeper = three();
        damage(&watchkeeper);
        for command in ["status", "history"] {
            let output = watchkeeper.run(&[command]).expect(1);
            assert!(output.stderr.contains(" is damaged"), "{nth}: {output:?}");
            assert!(
                output.stderr.contains("hint: the daemon, or the next `watchkeeper run-now`"),
                "{output:?}"
            );
            assert!(
                output.stdout.contains("conf") && output.stdout.contains("CAUTION: "),
                "{nth}: {output:?}"
            );
        }
        assert_eq!(watchkeeper.run_json(&["status"]).expect(1).json()["jobs"][0]["last"]["outcome"], "done");
        for command in [["explain", "conf"], ["show", "conf"]] {
            let output = watchkeeper.run(&command).expect(1);
            assert!(output.stderr.contains(" is damaged"), "{nth}: {output:?}");
        }
        assert_eq!(aside(&watchkeeper), 0, "{nth}: who looks moves nothing");
        let run = watchkeeper.run(&["run-now", "conf"]).expect(0);
        assert!(run.stderr.contains("the history is damaged, and was set aside"), "{nth}: {run:?}");
        assert!(aside(&watchkeeper) >= 1, "{nth}");
        assert_eq!(causes(&runs(&watchkeeper)), ["manual", "rebuilt", "rebuilt", "rebuilt"], "{nth}");
        let status = watchkeeper.run(&["status"]).expect(0).stdout;
        assert!(status.contains("the history was damaged at "), "{nth}: {status}");
    }
}

#[test]
fn killed_at_any_write_it_is_rebuilt_all_or_not_at_all_and_by_the_next_who_comes() {
    if !crate::support::installed("strace") {
        return crate::support::missing("strace");
    }
    let watchkeeper = three();
    let rebuilt = "SELECT count(*) FROM run WHERE cause = 'rebuilt'";
    let mut seen = std::collections::BTreeMap::new();
    for nth in 1.. {
        lose(&watchkeeper);
        let kill = format!("inject=pwrite64:signal=KILL:when={nth}");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=pwrite64", "-e", &kill, program()]);
        strace.arg("--config").arg(watchkeeper.config()).args(["pause", "conf"]);
        let ended = strace.output().unwrap().status;
        *seen.entry(count(&watchkeeper, rebuilt)).or_insert(0) += 1;
        assert_eq!(causes(&runs(&watchkeeper)), ["rebuilt"; 3], "killed at write {nth}");
        if ended.success() {
            break;
        }
    }
    assert_eq!(seen.keys().copied().collect::<Vec<i64>>(), [0, 3], "{seen:?}");
}
