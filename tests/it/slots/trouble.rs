//! What others do to the daemon's state while it runs, and what a killed one leaves: nothing of it delays a job, is lost
//! silently, or lets a job run twice at a time.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::kept::{break_writes, count, kill, mend_writes, ready};
use super::{HOUR, SOON, history, introduce, job, runs, set_back, stop, watched};
use crate::bad_input::with_mount;
use crate::support::scratch::is_alive;
use crate::support::wait_until;
use crate::support::watchkeeper::Watchkeeper;

/// A job that notes its process in a file, and runs on.
fn endless(schedule: &str) -> Watchkeeper {
    let watchkeeper = Watchkeeper::with_config("");
    let folder = watchkeeper.folder().display().to_string();
    let text = job("j", schedule, "").replace("command = [\"true\"]", "shell = true\ncommand = 'WORK'");
    watchkeeper
        .configure(&text.replace("WORK", &format!("setsid sleep 600 & echo $! >> {folder}/pids; wait")));
    watchkeeper
}

fn pids(watchkeeper: &Watchkeeper) -> Vec<String> {
    let text = fs::read_to_string(watchkeeper.folder().join("pids")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Kills the daemon while its job runs; gives the process that lives on.
fn killed_in_its_job(watchkeeper: &Watchkeeper) -> String {
    let daemon = watchkeeper.spawn(&["run"]);
    wait_until("the job runs", SOON, || !pids(watchkeeper).is_empty());
    kill(daemon);
    let pid = pids(watchkeeper)[0].clone();
    assert!(is_alive(&pid), "a killed daemon cannot end it");
    pid
}

#[test]
fn what_a_killed_daemon_left_running_is_ended_by_the_next_one() {
    let watchkeeper = endless("* * * * * *");
    let pid = killed_in_its_job(&watchkeeper);
    // Whoever looks ends nothing.
    assert_eq!(runs(&watchkeeper, "j").last().unwrap().1, "interrupted");
    assert!(is_alive(&pid));
    let text = fs::read_to_string(watchkeeper.config()).unwrap();
    fs::write(watchkeeper.config(), text.replace("* * * * * *", "@yearly")).unwrap();
    let daemon = ready(&watchkeeper);
    assert!(!is_alive(&pid), "it is gone before anything else runs");
    crate::support::run(std::process::Command::new("kill").args(["-TERM", &daemon.id().to_string()]));
    let output = watchkeeper.wait(daemon, &["run"]).expect(0);
    assert!(output.stderr.contains("ended what a run that was cut off had left running: "), "{output:?}");
}

#[test]
fn what_a_killed_run_left_running_is_ended_before_the_job_runs_again() {
    let watchkeeper = endless("* * * * * *");
    let pid = killed_in_its_job(&watchkeeper);
    let text = fs::read_to_string(watchkeeper.config()).unwrap();
    fs::write(watchkeeper.config(), text.replace("setsid sleep 600 &", "true;").replace("; wait", ""))
        .unwrap();
    let report = watchkeeper.run_json(&["run-now", "j"]).expect(3).json()["runs"][0].clone();
    assert!(!is_alive(&pid));
    let warning = report["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("ended what a run that was cut off had left running: "), "{warning}");
    watchkeeper.run(&["run-now", "j"]).expect(0);
}

#[test]
fn a_history_that_another_process_has_locked_delays_no_job() {
    let jobs: String = (0..4).map(|index| job(&format!("j{index}"), "* * * * * *", "")).collect();
    let watchkeeper = Watchkeeper::with_config("");
    let ran = watchkeeper.folder().join("ran");
    let work = format!("[\"sh\", \"-c\", \"echo $WATCHKEEPER_RUN $(date +%s%3N) >> {}\"]", ran.display());
    watchkeeper.configure(&format!("max_concurrent = 8\n{}", jobs.replace("[\"true\"]", &work)));
    // Nobody reads what it would say.
    let daemon = watchkeeper.spawn(&["-q", "run"]);
    let lines = || fs::read_to_string(&ran).unwrap_or_default().lines().count();
    wait_until("the jobs run", SOON, || watched(&watchkeeper) == 4 && lines() > 8);
    let other = history(&watchkeeper);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let before = lines();
    // Of 4 jobs in each of 20 seconds; with 10 s for each of them it would be 8 in all.
    wait_until("they go on", Duration::from_secs(25), || lines() >= before + 60);
    other.execute_batch("ROLLBACK").unwrap();
    let text = fs::read_to_string(&ran).unwrap();
    let is_known = |line: &&str| {
        let sql = "SELECT count(*) FROM run WHERE id = ?1";
        let run = line.split(' ').next().unwrap();
        history(&watchkeeper).query_row(sql, [run], |row| row.get::<_, i64>(0)) == Ok(1)
    };
    wait_until("all is written", SOON, || text.lines().all(|line| is_known(&line)));
    stop(&watchkeeper, daemon);
    let twice = "SELECT count(*) - count(DISTINCT job || slot) FROM run WHERE slot IS NOT NULL";
    assert_eq!(count(&watchkeeper, twice), 0);
    for job in 0..4 {
        let of = format!("FROM run WHERE job = 'j{job}'");
        let all = count(&watchkeeper, &format!("SELECT (max(slot) - min(slot)) / 1000 + 1 {of}"));
        let missed = format!("(SELECT coalesce(sum(count), 0) FROM missed WHERE job = 'j{job}')");
        assert_eq!(count(&watchkeeper, &format!("SELECT count(*) + {missed} {of}")), all, "j{job}");
    }
}

/// Takes the history from under the daemon, and gives what the daemon says of it.
fn renewed(take: &dyn Fn(&Watchkeeper)) -> (Watchkeeper, String) {
    let watchkeeper = Watchkeeper::with_config(&job("j", "* * * * * *", "on_missed = \"all\""));
    let daemon = watchkeeper.spawn(&["run"]);
    wait_until("the job runs", SOON, || watched(&watchkeeper) == 1 && !runs(&watchkeeper, "j").is_empty());
    let before =
        history(&watchkeeper).query_row("SELECT min(id) FROM run", [], |row| row.get::<_, String>(0));
    take(&watchkeeper);
    let is_new = || {
        let found = Connection::open_with_flags(
            watchkeeper.state().join("history.db"),
            OpenFlags::SQLITE_OPEN_READ_ONLY,
        );
        let sql = "SELECT (SELECT count(*) FROM watched) = 1 AND (SELECT min(id) > ?1 FROM run)";
        found.and_then(|db| db.query_row(sql, [before.as_ref().unwrap()], |row| row.get::<_, bool>(0)))
            == Ok(true)
    };
    wait_until("a new history has the runs since then", SOON, is_new);
    crate::support::run(std::process::Command::new("kill").args(["-TERM", &daemon.id().to_string()]));
    let said = watchkeeper.wait(daemon, &["run"]).expect(0).stderr;
    assert!(runs(&watchkeeper, "j").iter().all(|run| run.0 == "scheduled"), "nothing is made up for twice");
    (watchkeeper, said)
}

#[test]
fn a_history_that_is_taken_away_under_the_daemon_is_noticed_told_once_and_made_anew() {
    let (watchkeeper, said) = renewed(&|watchkeeper| {
        for beside in ["", "-wal", "-shm"] {
            fs::remove_file(watchkeeper.state().join(format!("history.db{beside}"))).unwrap();
        }
    });
    assert_eq!(said.matches("the file of the history was taken away").count(), 1, "{said}");
    // The new one is as good as any: what is due is known from its birth on.
    let born = count(&watchkeeper, "SELECT born FROM watched");
    assert!(born <= count(&watchkeeper, "SELECT until FROM watched"));
}

#[test]
fn a_history_that_is_moved_away_and_back_is_gone_once_and_then_used_again() {
    let watchkeeper = Watchkeeper::with_config(&job("j", "* * * * * *", "on_missed = \"all\""));
    let daemon = watchkeeper.spawn(&["run"]);
    wait_until("the job runs", SOON, || watched(&watchkeeper) == 1 && !runs(&watchkeeper, "j").is_empty());
    let file = watchkeeper.state().join("history.db");
    let away = watchkeeper.folder().join("history.db");
    let first = |file: &Path| {
        let found = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
        let sql = "SELECT min(id), count(*) FROM run";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
        found.query_row(sql, [], row).ok()
    };
    history(&watchkeeper).execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let (id, _) = first(&file).unwrap();
    fs::rename(&file, &away).unwrap();
    wait_until("a new one is begun", SOON, || first(&file).is_some_and(|(first, _)| first != id));
    let (same, count) = first(&away).unwrap();
    assert_eq!(same, id);
    // The log of the new one is beside it, and is none of its own.
    fs::rename(&away, &file).unwrap();
    wait_until("the old one is used again", SOON, || {
        first(&file).is_some_and(|(first, now)| first == id && now > count)
    });
    crate::support::run(std::process::Command::new("kill").args(["-TERM", &daemon.id().to_string()]));
    let said = watchkeeper.wait(daemon, &["run"]).expect(0).stderr;
    assert_eq!(said.matches("the file of the history was taken away").count(), 1, "{said}");
    assert_eq!(said.matches("another file stands in the place of the history").count(), 1, "{said}");
}

#[test]
fn a_history_that_is_damaged_under_the_daemon_is_set_aside_and_made_anew() {
    let (watchkeeper, said) = renewed(&|watchkeeper| {
        let file = fs::OpenOptions::new().write(true).open(watchkeeper.state().join("history.db")).unwrap();
        // What is in the log beside would still be good.
        history(watchkeeper).execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
        file.write_all_at(&vec![0xA5; length], 0).unwrap();
    });
    assert_eq!(said.matches("the history is damaged, and was set aside").count(), 1, "{said}");
    let names = fs::read_dir(watchkeeper.state()).unwrap().map(|entry| entry.unwrap().file_name());
    let aside = names.filter(|name| name.to_string_lossy().starts_with("history.db.damaged-")).count();
    assert!(aside >= 1);
}

#[test]
fn locks_whose_files_are_removed_are_held_all_the_same() {
    let watchkeeper = endless("* * * * * *");
    let daemon = watchkeeper.spawn(&["run"]);
    wait_until("the job runs", SOON, || !pids(&watchkeeper).is_empty());
    let locks = watchkeeper.state().join("locks");
    fs::remove_dir_all(&locks).unwrap();
    wait_until("they are there again", SOON, || {
        locks.join("job-j.lock").exists() && locks.join("daemon.lock").exists()
    });
    let skipped = watchkeeper.run(&["run-now", "j"]).expect(75);
    assert!(skipped.stdout.contains("job j is still running since "), "{skipped:?}");
    let second = watchkeeper.run(&["run"]).expect(75);
    assert!(second.stderr.contains("A daemon already runs"), "{second:?}");
    assert_eq!(pids(&watchkeeper).len(), 1);
    kill(daemon);
    // Nobody holds them any more; what is left running is ended.
    let text = fs::read_to_string(watchkeeper.config()).unwrap();
    fs::write(watchkeeper.config(), text.replace("setsid sleep 600 &", "true;").replace("; wait", ""))
        .unwrap();
    watchkeeper.run(&["run-now", "j"]).expect(3);
}

#[test]
fn slots_of_a_pause_that_began_and_ended_while_no_daemon_ran_are_noted_as_such() {
    let watchkeeper = Watchkeeper::with_config(&format!(
        "{}{}",
        job("once", "@every 1h", ""),
        job("all", "@every 1h", "on_missed = \"all\"")
    ));
    introduce(&watchkeeper, 2);
    for job in ["once", "all"] {
        watchkeeper.run(&["pause", job, "--reason", "the disk is changed"]).expect(0);
        watchkeeper.run(&["resume", job]).expect(0);
    }
    // As if the daemon had been ended ten hours ago, and the pause had been from eight to three hours ago.
    set_back(&watchkeeper, 10);
    let sql = "UPDATE ended_pause SET since = since - 8 * ?1, ended = ended - 3 * ?1";
    assert_eq!(history(&watchkeeper).execute(sql, [HOUR]).unwrap(), 2);
    let daemon = ready(&watchkeeper);
    let done = |job: &str| runs(&watchkeeper, job).iter().filter(|run| run.1 == "done").count();
    wait_until("the others are made up for", SOON, || done("once") == 1 && done("all") == 5);
    stop(&watchkeeper, daemon);
    for (job, fates) in [
        ("once", [("caught up", 1), ("missed", 2), ("missed", 5), ("missed", 2)].as_slice()),
        (
            "all",
            &[
                ("caught up", 1),
                ("caught up", 1),
                ("caught up", 1),
                ("missed", 5),
                ("caught up", 1),
                ("caught up", 1),
            ],
        ),
    ] {
        let wanted: Vec<(String, u64)> =
            fates.iter().map(|(fate, count)| ((*fate).to_owned(), *count)).collect();
        assert_eq!(super::fates(&watchkeeper, job), wanted, "{job}");
        let text = watchkeeper.run(&["explain", job]).expect(0).stdout;
        assert!(text.contains("paused from 2") && text.contains(": the disk is changed"), "{text}");
    }
    assert_eq!(count(&watchkeeper, "SELECT count(*) FROM ended_pause"), 0);
}

#[test]
fn what_could_not_be_written_by_the_end_of_the_daemon_is_written_by_the_next_one() {
    let watchkeeper = Watchkeeper::with_config("");
    let ran = watchkeeper.folder().join("ran");
    let text = job("tick", "* * * * * *", "on_missed = \"all\"")
        .replace("[\"true\"]", &format!("[\"sh\", \"-c\", \"echo $WATCHKEEPER_RUN >> {}\"]", ran.display()));
    watchkeeper.configure(&text);
    introduce(&watchkeeper, 1);
    break_writes(&watchkeeper, "INSERT ON run");
    let lines =
        || fs::read_to_string(&ran).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    let before = lines().len();
    let daemon = watchkeeper.spawn(&["run"]);
    wait_until("it runs all the same", SOON, || lines().len() > before + 2);
    stop(&watchkeeper, daemon);
    mend_writes(&watchkeeper);
    let unwritten = watchkeeper.state().join("unwritten.jsonl");
    assert!(unwritten.exists());
    let all = lines();
    let daemon = ready(&watchkeeper);
    stop(&watchkeeper, daemon);
    assert!(!unwritten.exists());
    for run in &all[before..] {
        let sql = "SELECT count(*) FROM run WHERE id = ?1 AND outcome <> 'running'";
        let known = history(&watchkeeper).query_row(sql, [run], |row| row.get::<_, i64>(0));
        assert_eq!(known, Ok(1), "{run}");
    }
}

#[test]
fn a_history_that_is_new_knows_at_once_what_runs() {
    let watchkeeper = endless("* * * * * *");
    let daemon = watchkeeper.spawn(&["run"]);
    wait_until("the job runs", SOON, || !pids(&watchkeeper).is_empty());
    let runs_now = || {
        let path = watchkeeper.state().join("history.db");
        let found = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
        let sql = "SELECT id FROM run WHERE outcome = 'running'";
        found.and_then(|db| db.query_row(sql, [], |row| row.get::<_, String>(0))).ok()
    };
    wait_until("that is known", SOON, || runs_now().is_some());
    let run = runs_now();
    for beside in ["", "-wal", "-shm"] {
        fs::remove_file(watchkeeper.state().join(format!("history.db{beside}"))).unwrap();
    }
    wait_until("the new one knows it", SOON, || runs_now() == run);
    kill(daemon);
    let text = fs::read_to_string(watchkeeper.config()).unwrap();
    fs::write(watchkeeper.config(), text.replace("* * * * * *", "@yearly")).unwrap();
    stop(&watchkeeper, ready(&watchkeeper));
}

#[test]
fn a_history_that_is_damaged_at_the_start_is_set_aside_and_the_jobs_run() {
    let watchkeeper = Watchkeeper::with_config(&job("j", "* * * * * *", ""));
    introduce(&watchkeeper, 1);
    for beside in ["-wal", "-shm"] {
        let _ = fs::remove_file(watchkeeper.state().join(format!("history.db{beside}")));
    }
    fs::write(watchkeeper.state().join("history.db"), "garbage that is no database").unwrap();
    let daemon = watchkeeper.spawn(&["run"]);
    let is_done = || {
        let path = watchkeeper.state().join("history.db");
        let found = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
        let sql = "SELECT count(*) FROM run WHERE outcome = 'done'";
        found.and_then(|db| db.query_row(sql, [], |row| row.get::<_, i64>(0))).is_ok_and(|runs| runs > 0)
    };
    wait_until("the job runs", SOON, is_done);
    crate::support::run(std::process::Command::new("kill").args(["-TERM", &daemon.id().to_string()]));
    let said = watchkeeper.wait(daemon, &["run"]).expect(0).stderr;
    assert_eq!(said.matches("the history is damaged, and was set aside").count(), 1, "{said}");
    let mut names = fs::read_dir(watchkeeper.state()).unwrap().map(|entry| entry.unwrap().path());
    let aside = names.find(|path| path.display().to_string().contains("history.db.damaged-")).unwrap();
    assert_eq!(fs::read_to_string(aside).unwrap(), "garbage that is no database");
}

#[test]
fn a_log_of_the_history_that_is_taken_away_under_the_daemon_is_noticed_and_nothing_is_lost() {
    for taken in [&["-wal"][..], &["-shm"], &["-wal", "-shm"]] {
        let watchkeeper = Watchkeeper::with_config(&job("j", "* * * * * *", "on_missed = \"all\""));
        let daemon = watchkeeper.spawn(&["run"]);
        wait_until("the job runs", SOON, || {
            watched(&watchkeeper) == 1 && !runs(&watchkeeper, "j").is_empty()
        });
        let first = "SELECT min(id) FROM run";
        let before = history(&watchkeeper).query_row(first, [], |row| row.get::<_, String>(0)).unwrap();
        for beside in taken {
            fs::remove_file(watchkeeper.state().join(format!("history.db{beside}"))).unwrap();
        }
        // What nobody finds any more holds these.
        wait_until("the files are there again", SOON, || {
            taken.iter().all(|beside| watchkeeper.state().join(format!("history.db{beside}")).exists())
        });
        let since = jiff::Timestamp::now().as_millisecond();
        let is_seen = || {
            let path = watchkeeper.state().join("history.db");
            let found = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
            let sql = "SELECT min(id) = ?1 AND max(started) > ?2 FROM run";
            found.and_then(|db| {
                db.query_row(sql, rusqlite::params![before, since], |row| row.get::<_, bool>(0))
            }) == Ok(true)
        };
        wait_until("everybody sees all runs", SOON, is_seen);
        crate::support::run(std::process::Command::new("kill").args(["-TERM", &daemon.id().to_string()]));
        let said = watchkeeper.wait(daemon, &["run"]).expect(0).stderr;
        assert_eq!(
            said.matches("of the history was taken away while it was open").count(),
            1,
            "{taken:?}: {said}"
        );
        // Each slot ran once, and is known.
        let gaps = "SELECT (max(slot) - min(slot)) / 1000 + 1 - count(*) FROM run";
        assert_eq!(count(&watchkeeper, gaps), 0, "{taken:?}");
    }
}

/// A job that leaves its runs in a file outside of what is mounted.
fn tells_its_runs(schedule: &str) -> Watchkeeper {
    let watchkeeper = Watchkeeper::with_config("");
    let ran = watchkeeper.folder().join("ran").display().to_string();
    let work = format!("shell = true\ncommand = 'echo $WATCHKEEPER_RUN >> {ran}'");
    // The disks here are smaller than a reserve.
    let job = job("j", schedule, "").replace("command = [\"true\"]", &work);
    watchkeeper.configure(&format!("reserve = \"0\"\n{job}"));
    watchkeeper
}

fn ran(watchkeeper: &Watchkeeper) -> usize {
    fs::read_to_string(watchkeeper.folder().join("ran")).unwrap_or_default().lines().count()
}

#[test]
fn a_job_is_run_by_hand_where_the_history_cannot_be_written_and_not_without_a_lock() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let watchkeeper = tells_its_runs("@yearly");
    let fill = "dd if=/dev/zero of=\"$FOLDER/fill\" bs=1k 2>/dev/null || true; ";
    let run = "$WATCHKEEPER run-now j";
    // Nothing is there yet, and nothing can be made: it might run beside another.
    let none = with_mount(&watchkeeper, "ro", "state", run);
    assert_eq!((none.code, ran(&watchkeeper)), (1, 0), "{none:?}");
    assert!(none.stdout.contains("locks") && none.stdout.contains("mounted read-only"), "{none:?}");

    let read_only = format!("{run} >/dev/null; mount -o remount,ro \"$FOLDER\"; {run}");
    let warned = with_mount(&watchkeeper, "size=2m", "state", &read_only);
    assert_eq!((warned.code, ran(&watchkeeper)), (3, 2), "{warned:?}");
    assert!(warned.stdout.contains("this run will not be in it"), "{warned:?}");

    // Its lock holds there, too.
    let held = format!(
        "{run} >/dev/null; mount -o remount,ro \"$FOLDER\"; flock \"$FOLDER/locks/job-j.lock\" {run}"
    );
    let skipped = with_mount(&watchkeeper, "size=2m", "state", &held);
    assert_eq!((skipped.code, ran(&watchkeeper)), (75, 3), "{skipped:?}");

    let crammed = format!("{run} >/dev/null; {fill} {run}");
    let warned = with_mount(&watchkeeper, "size=2m", "state", &crammed);
    assert_eq!((warned.code, ran(&watchkeeper)), (3, 5), "{warned:?}");
    assert!(warned.stdout.contains("this run will not be in it"), "{warned:?}");
}

#[test]
fn a_daemon_whose_history_cannot_be_opened_runs_its_jobs_and_writes_it_later() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let watchkeeper = tells_its_runs("* * * * * *");
    let script = format!(
        "dd if=/dev/zero of=\"$FOLDER/fill\" bs=1k 2>/dev/null || true\n\
         $WATCHKEEPER run 2>\"{0}/log\" & daemon=$!; trap 'kill $daemon 2>/dev/null || :' EXIT\n\
         lines() {{ cat \"{0}/ran\" 2>/dev/null | wc -l; }}\n\
         n=0; until [ $(lines) -gt 2 ]; do n=$((n+1)); [ $n -lt 300 ] || exit 9; sleep 0.1; done\n\
         rm \"$FOLDER/fill\"; first=$(head -n 1 \"{0}/ran\")\n\
         n=0; until $WATCHKEEPER show $first | grep -q done; do n=$((n+1)); [ $n -lt 300 ] || exit 8; sleep 0.1; done\n\
         kill -TERM $daemon; wait $daemon; $WATCHKEEPER --json history -n 1000",
        watchkeeper.folder().display()
    );
    let output = with_mount(&watchkeeper, "size=4m", "state", &script);
    let log = fs::read_to_string(watchkeeper.folder().join("log")).unwrap();
    assert_eq!(output.code, 0, "{output:?}\n{log}");
    let history = output.json();
    let known: Vec<&str> =
        history["runs"].as_array().unwrap().iter().map(|run| run["run"].as_str().unwrap()).collect();
    let text = fs::read_to_string(watchkeeper.folder().join("ran")).unwrap();
    assert!(text.lines().all(|run| known.contains(&run)), "{log}");
    assert!(log.contains("what they did is kept in memory"), "{log}");
}

#[test]
fn a_run_that_the_daemon_was_told_to_stop_says_so() {
    let watchkeeper = endless("* * * * * *");
    let mut daemon = watchkeeper.spawn(&["-q", "run"]);
    wait_until("the job runs", SOON, || !pids(&watchkeeper).is_empty());
    // The first lets it end by itself for a while.
    wait_until("the daemon has ended", SOON, || {
        let _ = std::process::Command::new("kill").args(["-TERM", &daemon.id().to_string()]).status();
        daemon.try_wait().unwrap().is_some()
    });
    let history = watchkeeper.run_json(&["history", "j", "--outcome", "interrupted"]).expect(0).json();
    let reason = history["runs"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("the daemon was told to stop while it ran: "), "{reason}");
}
