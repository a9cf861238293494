//! What is run around a run: hooks, with the program as a person and as the daemon run it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::scratch::is_alive;
use crate::support::watchkeeper::Watchkeeper;
use crate::support::{run, wait_until};

const SOON: Duration = Duration::from_mins(1);

/// A hook that notes its moment and how it sees the run, and then does this.
fn notes(then: &str) -> String {
    let line = "$WATCHKEEPER_HOOK $WATCHKEEPER_JOB $WATCHKEEPER_KIND $WATCHKEEPER_CAUSE outcome=$WATCHKEEPER_OUTCOME \
                error=$WATCHKEEPER_ERROR backup=$WATCHKEEPER_BACKUP slot=$WATCHKEEPER_SLOT run=$WATCHKEEPER_RUN";
    format!("{{ shell = true, command = 'echo \"{line}\" >> NOTES; {then}' }}")
}

/// A job that runs this and has these hooks, and what they note.
struct Fixture {
    watchkeeper: Watchkeeper,
}

impl Fixture {
    fn new(job: &str) -> Self {
        let watchkeeper = Watchkeeper::with_config("");
        let this = Self { watchkeeper };
        this.watchkeeper.configure(&job.replace("NOTES", &this.file().display().to_string()));
        this
    }

    /// A command `j` with one hook for each moment, of which one does something of its own.
    fn with_hooks(work: &str, keys: &str, own: (&str, &str)) -> Self {
        let hook = |moment: &str| notes(if moment == own.0 { own.1 } else { "true" });
        Self::new(&format!(
            "[[job]]\nname = \"j\"\nkind = \"command\"\nshell = true\ncommand = '{work}'\n{keys}\n[job.hooks]\n\
             before = {}\nafter = {}\non_failure = {}\nfinally = {}\n",
            hook("before"),
            hook("after"),
            hook("on_failure"),
            hook("finally")
        ))
    }

    fn file(&self) -> PathBuf {
        self.watchkeeper.folder().join("notes")
    }

    fn noted(&self) -> Vec<String> {
        fs::read_to_string(self.file()).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// The first word of each note.
    fn moments(&self) -> String {
        let first = |line: &String| line.split(' ').next().unwrap_or_default().to_owned();
        self.noted().iter().map(first).collect::<Vec<_>>().join(" ")
    }

    /// Runs the job, and what the history has of that.
    fn run(&self, code: i32) -> Value {
        let report = self.watchkeeper.run_json(&["run-now", "j"]).expect(code).json()["runs"][0].clone();
        let shown = self.watchkeeper.run_json(&["show", report["run"].as_str().unwrap()]).expect(0).json();
        assert_eq!(shown["hooks"], report["hooks"]);
        shown
    }
}

#[test]
fn each_hook_is_run_at_its_moment_once_and_is_told_what_is_known_then() {
    let fixture = Fixture::with_hooks("echo work >> NOTES", "", ("", ""));
    let report = fixture.run(0);
    assert_eq!(fixture.moments(), "before work after finally");
    let (noted, run) = (fixture.noted(), report["run"].as_str().unwrap());
    assert_eq!(noted[0], format!("before j command manual outcome= error= backup= slot= run={run}"));
    assert_eq!(noted[2], format!("after j command manual outcome=done error= backup= slot= run={run}"));
    assert!(noted[3].starts_with("finally j command manual outcome=done"), "{noted:?}");

    let fixture = Fixture::with_hooks(
        "echo work >> NOTES; exit 4",
        "retries = { max = 2, backoff = \"0s\" }",
        ("finally", "echo heard"),
    );
    let report = fixture.run(1);
    assert_eq!(fixture.moments(), "before work work work on_failure finally", "not for each attempt");
    let wanted = "on_failure j command manual outcome=failed error=echo work >> ";
    let noted = fixture.noted();
    assert!(noted[4].starts_with(wanted) && noted[4].contains("it ended with 4"), "{noted:?}");
    assert_eq!(report["hooks"][2]["printed"][0], "heard");
    let text = fixture.watchkeeper.run(&["show", report["run"].as_str().unwrap()]).expect(0).stdout;
    assert!(
        text.contains("\n  hooks\n    ok      before: echo ") && text.contains("\n      heard\n"),
        "{text}"
    );
}

#[test]
fn work_is_not_begun_where_the_hook_before_fails() {
    let fixture = Fixture::with_hooks("echo work >> NOTES", "", ("before", "echo no disk; exit 3"));
    let report = fixture.run(1);
    assert_eq!(fixture.moments(), "before on_failure finally");
    assert_eq!((&report["outcome"], &report["attempts"]), (&"failed".into(), &Value::Array(Vec::new())));
    let reason = report["reason"].as_str().unwrap();
    assert!(
        reason.contains("nothing of the job was done") && reason.ends_with("it ended with 3"),
        "{reason}"
    );
    assert_eq!(report["hooks"][0]["printed"][0], "no disk");
    assert!(fixture.noted()[1].contains("error=The hook before failed"), "{:?}", fixture.noted());
    let text = fixture.watchkeeper.run(&["run-now", "j"]).expect(1).stdout;
    assert_eq!(text.matches("watchkeeper show").count(), 1, "{text}");
}

#[test]
fn a_hook_that_fails_later_makes_a_run_warned_and_never_a_failed_one_better() {
    for moment in ["after", "finally"] {
        let report = Fixture::with_hooks("true", "", (moment, "exit 9")).run(3);
        assert_eq!(report["outcome"], "warned");
        let warning = report["warnings"][0].as_str().unwrap();
        assert!(warning.starts_with(&format!("the hook {moment} failed: ")), "{warning}");
        assert!(warning.ends_with("it ended with 9"), "{warning}");
    }
    let fixture = Fixture::with_hooks("exit 1", "", ("on_failure", "exit 9"));
    let report = fixture.run(1);
    assert_eq!(
        (&report["outcome"], fixture.moments().as_str()),
        (&"failed".into(), "before on_failure finally")
    );
    let missing = Fixture::new(
        "[[job]]\nname = \"j\"\nkind = \"command\"\ncommand = [\"true\"]\nhooks = { finally = [\"no-such-program\"] }",
    );
    assert!(missing.run(3)["warnings"][0].as_str().unwrap().contains("Cannot run no-such-program"));
}

#[test]
fn at_its_timeout_a_hook_is_ended_with_all_it_has_started_and_its_output_is_bounded() {
    let hang = "{ shell = true, timeout = \"1s\", command = \"trap '' TERM; seq 1000; sleep 600 & echo $!; wait; sleep 600\" }";
    let fixture = Fixture::new(&format!(
        "[[job]]\nname = \"j\"\nkind = \"command\"\ncommand = [\"true\"]\nhooks = {{ after = {hang} }}\n"
    ));
    let since = Instant::now();
    let report = fixture.run(3);
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
    assert!(report["warnings"][0].as_str().unwrap().contains("it timed out after 1.0 s"), "{report}");
    assert!(report["hooks"][0]["millis"].as_u64().unwrap() < 9_000, "killed three seconds later: {report}");
    let printed = report["hooks"][0]["printed"].as_array().unwrap();
    assert_eq!(printed.len(), 201);
    assert!(!is_alive(printed[200].as_str().unwrap()));
}

#[test]
fn what_belongs_to_the_end_is_run_where_the_run_is_cut_off_and_keeps_nobody() {
    let fixture = Fixture::with_hooks(
        "sleep 600",
        "",
        ("finally", "trap \"\" TERM; sleep 2; echo late >> NOTES; sleep 600"),
    );
    let started = fixture.watchkeeper.spawn(&["run-now", "j"]);
    let begun = || {
        fixture.watchkeeper.state().join("history.db").exists()
            && fixture.watchkeeper.run(&["history"]).stdout.contains("running")
            && fixture.moments() == "before"
    };
    wait_until("the work runs", SOON, begun);
    run(Command::new("kill").args(["-TERM", &started.id().to_string()]));
    let since = Instant::now();
    fixture.watchkeeper.wait(started, &["run-now"]).expect(130);
    assert!(since.elapsed() < Duration::from_secs(40), "{:?}", since.elapsed());
    assert_eq!(fixture.moments(), "before on_failure finally late");
    let id = fixture.watchkeeper.run_json(&["history"]).expect(0).json()["runs"][0]["run"].clone();
    let shown = fixture.watchkeeper.run_json(&["show", id.as_str().unwrap()]).expect(0).json();
    // 20 seconds in all, also where it ignores SIGTERM.
    assert!(shown["hooks"][2]["millis"].as_u64().unwrap() < 20_000, "{shown}");
    assert!(fixture.noted()[1].contains("outcome=interrupted"), "{:?}", fixture.noted());
    let runs = fixture.watchkeeper.run_json(&["history"]).expect(0).json();
    assert_eq!(runs["runs"][0]["outcome"], "interrupted");
}

#[test]
fn the_daemon_tells_a_hook_the_slot_and_the_backup_and_a_job_has_the_hooks_of_the_defaults() {
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("a"), "text").unwrap();
    let files = |name: &str, keys: &str| {
        format!(
            "[[job]]\nname = \"{name}\"\nkind = \"files-backup\"\npaths = [\"{}\"]\nkeep = {{ last = 3 }}\n{keys}\n",
            source.path().display()
        )
    };
    let fixture = Fixture::new(&format!(
        "[defaults]\nhooks = {{ after = {}, finally = {} }}\n{}{}",
        notes("true"),
        notes("true"),
        files("conf", "schedule = \"* * * * * *\"\nhooks = { finally = false }"),
        files("other", "hooks = { timeout = \"5s\" }")
    ));
    let daemon = fixture.watchkeeper.spawn(&["run"]);
    wait_until("two runs have told of theirs", SOON, || fixture.noted().len() >= 2);
    run(Command::new("kill").args(["-TERM", &daemon.id().to_string()]));
    fixture.watchkeeper.wait(daemon, &["run"]).expect(0);
    let noted = fixture.noted();
    assert!(
        noted.iter().all(|line| line.starts_with("after conf files-backup scheduled outcome=done")),
        "{noted:?}"
    );
    let ids = fixture.watchkeeper.run_json(&["backups", "conf"]).expect(0).json();
    let id = ids["backups"][0]["id"].as_str().unwrap().to_owned();
    assert!(noted.iter().any(|line| line.contains(&format!("backup=conf/{id} slot=20"))), "{noted:?} {id}");
    let preview = fixture.watchkeeper.run(&["run-now", "other", "--dry-run"]).expect(0).stdout;
    assert!(preview.contains("would run the hook finally, 5.0 s at the most: "), "{preview}");
    assert!(!fixture.noted().iter().any(|line| line.contains("other")));
}

#[test]
fn a_secret_that_a_program_has_in_its_environment_is_not_kept_with_what_it_says() {
    let fixture = Fixture::new(
        "[grafana.main]\nurl = \"http://localhost:1\"\nuser = \"admin\"\npassword = { env = \"GRAFANA_PASSWORD\" }\n\
         [[job]]\nname = \"j\"\nkind = \"command\"\ncommand = [\"env\"]\nhooks = { before = [\"env\"], finally = [\"env\"] }",
    );
    let mut command = fixture.watchkeeper.command(&["--json", "-v", "run-now", "j"]);
    let output = command.env("GRAFANA_PASSWORD", "hunter2-hunter2").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("GRAFANA_PASSWORD=[redacted]") && !text.contains("hunter2"), "{text}");
    let history = fs::read(fixture.watchkeeper.state().join("history.db")).unwrap();
    assert!(!history.windows(7).any(|part| part == b"hunter2"));
}

#[test]
fn a_secret_among_the_arguments_of_a_program_or_a_hook_is_nowhere_to_be_seen() {
    let fails = "[\"sh\", \"-c\", \"exit 3\", \"hunter2-hunter2\"]";
    let fixture = Fixture::new(&format!(
        "[grafana.main]\nurl = \"http://localhost:1\"\nuser = \"admin\"\npassword = {{ env = \"GRAFANA_PASSWORD\" }}\n\
         [defaults]\nretries = {{ max = 1, backoff = \"0s\" }}\n\
         [[job]]\nname = \"work\"\nkind = \"command\"\ncommand = {fails}\nhooks = {{ on_failure = {fails}, finally = {fails} }}\n\
         [[job]]\nname = \"warned\"\nkind = \"command\"\ncommand = {fails}\nwarning_codes = [3]\n\
         [[job]]\nname = \"hook\"\nkind = \"command\"\ncommand = [\"true\"]\nhooks = {{ before = {fails} }}\n"
    ));
    let run = |arguments: &[&str]| {
        let mut command = fixture.watchkeeper.command(arguments);
        let output = command.env("GRAFANA_PASSWORD", "hunter2-hunter2").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert!(!text.contains("hunter2"), "{arguments:?}: {text}");
        assert!(text.contains("exit 3 [redacted]"), "{arguments:?}: {text}");
    };
    for job in ["work", "warned", "hook"] {
        run(&["-v", "run-now", job]);
        run(&["--json", "run-now", job]);
        run(&["run-now", job, "--dry-run"]);
    }
    let history = fs::read(fixture.watchkeeper.state().join("history.db")).unwrap();
    assert!(!history.windows(7).any(|part| part == b"hunter2"));
}

#[test]
fn a_secret_is_hidden_where_a_line_or_the_name_of_a_program_is_cut_and_with_what_acts_on_a_terminal() {
    let says = "[\"sh\", \"-c\", \"head -c 4086 /dev/zero | tr '\\\\0' x; echo SuperSecretPass99; printf 'Bell\\\\007Ring99'\"]";
    let fixture = Fixture::new(&format!(
        "[grafana.main]\nurl = \"http://localhost:1\"\nuser = \"admin\"\npassword = {{ plain = \"SuperSecretPass99\" }}\n\
         [grafana.other]\nurl = \"http://localhost:1\"\nuser = \"admin\"\npassword = {{ env = \"OTHER_PASSWORD\" }}\n\
         [[job]]\nname = \"j\"\nkind = \"command\"\ncommand = {says}\nhooks = {{ before = {says} }}\n"
    ));
    let run = |arguments: &[&str]| {
        let mut command = fixture.watchkeeper.command(arguments);
        let output = command.env("OTHER_PASSWORD", "Bell\u{7}Ring99").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert_nothing_of_them(&text, &format!("{arguments:?}"));
        text
    };
    let text = run(&["-v", "run-now", "j"]);
    assert!(text.contains("[redacted]"), "{text}");
    let report: Value = serde_json::from_str(&run(&["--json", "-q", "run-now", "j"])).unwrap();
    let printed = report["runs"][0]["output"]["printed"].as_array().unwrap();
    assert_eq!(printed.last().unwrap(), "[redacted]", "{printed:?}");
    assert_eq!(printed.len(), 3, "{printed:?}");
    run(&["show", "j", "--log", "200"]);
    assert!(run(&["run-now", "j", "--dry-run"]).contains("would run the hook before"));
    let history = fs::read(fixture.watchkeeper.state().join("history.db")).unwrap();
    assert_nothing_of_them(&String::from_utf8_lossy(&history), "history");
}

#[track_caller]
fn assert_nothing_of_them(text: &str, of: &str) {
    for part in ["SuperS", "Pass99", "Bell", "Ring99"] {
        assert!(!text.contains(part), "{part} is in {of}: {text}");
    }
}

#[test]
fn programs_do_not_inherit_how_systemd_talks_to_the_service_but_where_credentials_are() {
    let fixture = Fixture::new(
        "[[job]]\nname = \"j\"\nkind = \"command\"\ncommand = [\"env\"]\nenv = { WATCHDOG_PID = \"its-own\" }\n\
         hooks = { before = [\"env\"] }\n",
    );
    let mut command = fixture.watchkeeper.command(&["--json", "run-now", "j"]);
    for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "CREDENTIALS_DIRECTORY"] {
        command.env(name, "/inherited");
    }
    let report: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    let of = |printed: &Value| {
        let lines = printed.as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned());
        let mut lines: Vec<String> =
            lines.filter(|line| line.contains("inherited") || line.contains("its-own")).collect();
        lines.sort();
        lines
    };
    let run = &report["runs"][0];
    assert_eq!(of(&run["output"]["printed"]), ["CREDENTIALS_DIRECTORY=/inherited", "WATCHDOG_PID=its-own"]);
    assert_eq!(of(&run["hooks"][0]["printed"]), ["CREDENTIALS_DIRECTORY=/inherited"]);
}

#[test]
fn check_refuses_hooks_that_mean_nothing_and_warns_of_a_program_that_is_not_there() {
    let check = |hooks: &str, code: i32| {
        let job = "[[job]]\nname = \"j\"\nkind = \"command\"\ncommand = [\"true\"]\nhooks = ";
        let output = Watchkeeper::with_config(&format!("{job}{hooks}\n")).run(&["check"]).expect(code);
        output.stdout + &output.stderr
    };
    for (hooks, said) in [
        ("{ befor = [\"true\"] }", "did you mean \"before\"?"),
        ("{ before = [] }", "\"before\" is empty: it needs at least a program"),
        ("{ after = [\"\"] }", "is empty"),
        ("{ after = \"echo a\" }", "write [\"echo\", \"a\"], or add shell = true"),
        ("{ finally = true }", "cannot be true"),
        ("{ finally = { shell = true } }", "has no \"command\""),
        ("{ timeout = \"0s\" }", "must be more than 0"),
        ("{ before = { command = [\"true\"], container = \"x\" } }", "unknown key \"container\""),
        ("[\"true\"]", "must be a table"),
    ] {
        let text = check(hooks, 78);
        assert!(text.contains(said), "{hooks}: {text}");
    }
    let text = check("{ before = [\"no-such-program\"], after = [\"/no/such\"], finally = [\"true\"] }", 3);
    assert!(
        text.contains("there is no program \"no-such-program\"") && text.contains("\"/no/such\""),
        "{text}"
    );
    assert!(!text.contains("\"true\" on this host"), "{text}");
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("notify");
    fs::write(&script, "#!/bin/sh\n").unwrap();
    let text = check(&format!("{{ before = [{script:?}] }}"), 3);
    assert!(text.contains("is not executable") && text.contains("notify"), "{text}");
    check("{ before = { shell = true, command = \"a | b\", timeout = \"2m\" } }", 0);
    assert!(Path::new("/bin/sh").exists());
}
