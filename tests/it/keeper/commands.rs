//! Programs in a container as one who may use Docker, and sees nothing of what runs there: nothing of it is doubled.

use std::process::Command;
use std::time::Duration;

use super::*;
use crate::support::docker::docker;
use crate::support::prometheus::{Builder, Prometheus};
use crate::support::scratch::is_alive;
use crate::support::{run, wait_until};

const SOON: Duration = Duration::from_mins(1);

fn job(name: &str, command: &str) -> String {
    format!("{ONCE}[[job]]\nname = \"c\"\nkind = \"command\"\ncontainer = \"{name}\"\n{command}\n")
}

/// Kills the program while it runs this, which goes on.
fn killed(keeper: &Keeper, name: &str, command: &str, sees: &str) {
    keeper.watchkeeper.configure(&job(name, command));
    let mut run = keeper.watchkeeper.command_by(USER, &keeper.groups, &["run-now", "c"]).spawn().unwrap();
    wait_until("it runs in the container", SOON, || docker(["top", name]).contains(sees));
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(docker(["top", name]).contains(sees), "a killed one cannot end it");
}

#[test]
fn what_a_killed_run_left_in_a_container_is_ended_from_inside_or_the_job_does_not_run() {
    let Some(prometheus) = Prometheus::container(Builder::default().without_blocks()) else { return };
    let name = prometheus.container_name().unwrap();
    let Some(keeper) = Keeper::new("") else { return };
    let keeper = keeper.with_docker();
    let top = || docker(["top", name]);
    killed(
        &keeper,
        name,
        "shell = true\ncommand = 'trap \"\" TERM; sleep 601 & sleep 602; wait'",
        "sleep 602",
    );
    keeper.watchkeeper.configure(&job(name, "command = [\"ls\"]"));
    let report =
        keeper.watchkeeper.run_by(USER, &keeper.groups, &["--json", "run-now", "c"]).expect(3).json();
    let warning = report["runs"][0]["warnings"][0].as_str().unwrap();
    assert!(
        warning.starts_with("ended what a run that was cut off had left running in container"),
        "{warning}"
    );
    assert!(!top().contains("sleep 60"), "{}", top());
    keeper.run(&["run-now", "c"]).expect(0);

    // At the timeout, too.
    let slow = "timeout = \"2s\"\nshell = true\ncommand = 'sleep 603 & sleep 604; wait'";
    keeper.watchkeeper.configure(&job(name, slow));
    let report =
        keeper.watchkeeper.run_by(USER, &keeper.groups, &["--json", "run-now", "c"]).expect(1).json();
    assert_eq!(
        report["runs"][0]["output"]["summary"],
        "it was stopped, with all that could be found of what it had started"
    );
    assert!(!top().contains("sleep 60"), "{}", top());

    killed(&keeper, name, "command = [\"sleep\", \"605\"]", "sleep 605");
    docker(["exec", "-u", "0", name, "rm", "/bin/sh"]);
    let refused = keeper.run(&["run-now", "c"]).expect(1).stdout;
    assert!(
        refused.contains("may have left sleep running in container") && refused.contains("has no shell"),
        "{refused}"
    );
    assert_eq!(top().matches("sleep 605").count(), 1, "{}", top());
}

#[test]
fn a_program_that_the_user_may_not_run_is_told_before_its_first_run() {
    let Some(keeper) = Keeper::new("") else { return };
    let program = keeper.watchkeeper.folder().join("program");
    fs::write(&program, "#!/bin/sh\n").unwrap();
    keeper.watchkeeper.configure(&format!(
        "[[job]]\nname = \"c\"\nkind = \"command\"\ncommand = [\"{}\"]\n",
        program.display()
    ));
    mode(&program, 0o700);
    let found = keeper.run(&["check"]).expect(1).stdout;
    let told = format!("this user may not run {}: Permission denied", program.display());
    assert!(found.contains(&told) && found.contains("chmod a+x"), "{found}");
    keeper.as_root(&["check"]).expect(0);
    // Not even root runs what nobody may.
    mode(&program, 0o644);
    keeper.as_root(&["check"]).expect(1);
    mode(&program, 0o755);
    keeper.run(&["check"]).expect(0);
}

#[test]
fn what_a_killed_run_of_root_has_left_keeps_the_users_run_from_beginning_beside_it() {
    let Some(keeper) = Keeper::new("") else { return };
    let pids = keeper.watchkeeper.folder().join("pids");
    fs::write(&pids, "").unwrap();
    mode(&pids, 0o666);
    let work = |what: &str| {
        keeper.watchkeeper.configure(&format!(
            "[[job]]\nname = \"c\"\nkind = \"command\"\nshell = true\ncommand = 'echo $$ >> {}; {what}'\n",
            pids.display()
        ));
    };
    let begun = || fs::read_to_string(&pids).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    work("sleep 600 & wait");
    let mut killed = keeper.watchkeeper.spawn(&["run-now", "c"]);
    let noted = keeper.watchkeeper.state().join("begun");
    let is_noted = || fs::read_dir(&noted).is_ok_and(|mut notes| notes.next().is_some());
    wait_until("it runs", SOON, || !begun().is_empty() && is_noted());
    killed.kill().unwrap();
    killed.wait().unwrap();
    work("true");
    let told = format!("process {} of root, begun by run ", begun()[0]);
    let refused = keeper.run(&["run-now", "c"]).expect(75);
    assert!(refused.stdout.contains(&told) && refused.stdout.contains("end it (`kill"), "{refused:?}");
    // Its first process alone is not all of it.
    run(Command::new("kill").args(["-KILL", &begun()[0]]));
    wait_until("that is gone", SOON, || !is_alive(&begun()[0]));
    let refused = keeper.run(&["run-now", "c"]).expect(75);
    assert!(refused.stdout.contains(" of root, begun by run "), "{refused:?}");
    assert_eq!(begun().len(), 1);
    // Root ends it, and then it runs.
    let ended = keeper.as_root(&["run-now", "c"]).expect(3);
    assert!(ended.stdout.contains("ended what a run that was cut off had left running"), "{ended:?}");
    keeper.run(&["run-now", "c"]).expect(0);
    assert_eq!(begun().len(), 3);
}
