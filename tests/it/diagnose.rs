//! `diagnose` as a person runs it, against real containers, a real Prometheus, and what is stopped, killed or hangs.

mod reached;

use std::time::Duration;

use serde_json::Value;

use crate::support::docker::{self, Container, Image, docker};
use crate::support::wait_until;
use crate::support::watchkeeper::{Output, Watchkeeper};

/// What an application logs: errors of two types, one of them about the end of a session, a secret that is configured and
/// one that is not, and what would clear the screen.
const LOGS: &str = r#"
echo '{"level":"INFO","message":"listening"}'
echo '{"level":"ERROR","error_type":"DatabaseError","message":"locked","event":"session_end"}'
echo '{"level":"ERROR","error_type":"DatabaseError","message":"locked"}'
echo '{"level":"ERROR","error_type":"Timeout","message":"no answer for SuperSecret99"}'
echo '{"level":"ERROR","message":"password=hunter22\nBAD  all is lost"}'
echo '{"level":"ERROR","error_type":"Spawn","message":"cannot run dump --password hunter33 --token tok44 -v"}'
echo '{"level":"ERROR","error_type":"Proxy","message":"refused, Cookie: session=cook55; id=cook66"}'
printf 'ERROR in plain text \033[2J\n'
"#;

/// A container that runs a script with busybox.
struct Scripted {
    container: Container,
    _image: Image,
}

impl Scripted {
    /// `None` where there is no engine.
    fn start(script: &str, arguments: &[&str]) -> Option<Self> {
        if !docker::available() {
            return None;
        }
        let image = Image::of_programs(&[]);
        let container = Container::named("diagnosed");
        container.create(&[arguments, &[image.name.as_str(), "/bin/sh", "-c", script]].concat());
        docker(["start", &container.name]);
        Some(Self { container, _image: image })
    }

    fn name(&self) -> &str {
        &self.container.name
    }

    /// Waits until a field of `docker inspect` is as it must be.
    fn wait(&self, field: &str, holds: impl Fn(&str) -> bool) {
        wait_until(field, Duration::from_mins(1), || holds(&self.container.inspect(field)));
    }

    /// A Watchkeeper that watches it at a port where nobody answers.
    fn watched(&self, rest: &str) -> Watchkeeper {
        Watchkeeper::with_config(&format!(
            "[application.app]\nurl = \"http://127.0.0.1:{}\"\ncontainer = \"{}\"\nuser = \"u\"\n\
             password = {{ plain = \"SuperSecret99\" }}\n{rest}",
            crate::support::scratch::free_port(),
            self.name()
        ))
    }
}

/// The step of that name.
fn step<'a>(document: &'a Value, name: &str) -> &'a Value {
    let steps = document["steps"].as_array().unwrap();
    steps
        .iter()
        .find(|step| step["name"] == name)
        .unwrap_or_else(|| panic!("no step {name:?} in {document:#}"))
}

/// All that a step says.
fn said(document: &Value, name: &str) -> String {
    let step = step(document, name);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = step["findings"].as_array().unwrap().iter();
    let findings =
        findings.map(|finding| format!("{} {}", text(&finding["severity"]), text(&finding["text"])));
    let evidence = step["evidence"].as_array().unwrap().iter().map(text);
    findings.chain(evidence).chain([text(&step["error"])]).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn has(text: &str, all: &[&str]) {
    for wanted in all {
        assert!(text.contains(wanted), "{wanted:?} is not in\n{text}");
    }
}

#[test]
fn a_stopped_application_is_told_with_its_exit_code_its_errors_and_what_to_do() {
    let Some(app) = Scripted::start(&format!("{LOGS}exit 3"), &[]) else { return };
    app.wait("{{.State.Running}}", |running| running == "false");
    let watchkeeper = app.watched("");
    let Output { stdout: page, .. } = watchkeeper.run(&["diagnose", "ServiceDown"]).expect(1);
    let name = app.name();
    has(
        &page,
        &[
            "ServiceDown (application.app): something is wrong",
            &format!("BAD      container {name} has ended, "),
            "with exit code 3",
            "BAD      health: Cannot reach",
            "CAUTION  6 errors in the last 1 h 00 m: 2 DatabaseError, ",
            "CAUTION  1 line of the last 1 h 00 m in plain text speak of an error",
            "2 × locked",
            &format!("`docker start {name}`"),
            "escalate",
        ],
    );
    // The worst comes first.
    assert!(page.find("BAD      container").unwrap() < page.find("CAUTION  6 errors").unwrap(), "{page}");
    // Neither a secret that is known nor one that is only written like one; nothing that acts; no line that is not ours.
    for hidden in ["SuperSecret99", "hunter", "tok44", "cook55", "cook66", "\u{1b}", "\nBAD  all"] {
        assert!(!page.contains(hidden), "{hidden:?} in\n{page}");
    }
    has(
        &page,
        &[
            "\\u{1b}[2J",
            "no answer for [redacted]",
            "password=[redacted]",
            "--password [redacted] --token [redacted] -v",
        ],
    );
    has(&page, &["Cookie: [redacted]"]);
    assert!(!page.contains("What the response allows"), "{page}");

    let document = watchkeeper.run_json(&["diagnose", "HighSessionFailureRate"]).expect(1).json();
    has(
        &said(&document, "errors at the end of sessions"),
        &["caution 1 error with event=\"session_end\" in the last 1 h 00 m: 1 DatabaseError", "1 × locked"],
    );
    assert!(!document.to_string().contains("SuperSecret99"), "{document}");
    // What does not run takes nothing.
    let document = watchkeeper.run_json(&["diagnose", "high-cpu"]).expect(1).json();
    has(&said(&document, "stats"), &["has ended, with exit code 3"]);
    assert_eq!(document["alert"], "HighCpu");
}

#[test]
fn the_port_of_a_container_that_does_not_run_is_the_one_it_is_published_at() {
    let port = crate::support::scratch::free_port();
    let publish = format!("127.0.0.1:{port}:8080");
    let Some(app) = Scripted::start("exit 3", &["-p", &publish]) else { return };
    app.wait("{{.State.Running}}", |running| running == "false");
    let watchkeeper = Watchkeeper::with_config(&format!(
        "[application.app]\nurl = \"http://127.0.0.1:{port}\"\ncontainer = \"{}\"\n",
        app.name()
    ));
    let document = watchkeeper.run_json(&["diagnose", "ServiceDown"]).expect(1).json();
    let (said, name) = (said(&document, "port"), app.name());
    has(
        &said,
        &[
            &format!("port {port} of the host leads to port 8080 of {name}"),
            &format!("bad nobody listens on port 8080 in {name}: it does not run"),
        ],
    );
    assert!(!said.contains("publishes no port"), "{said}");
}

#[test]
fn what_was_killed_for_memory_is_told_with_its_limit() {
    let limits = ["-m", "24m", "--memory-swap", "24m"];
    let Some(app) = Scripted::start("exec dd if=/dev/zero of=/dev/null bs=200M count=1", &limits) else {
        return;
    };
    app.wait("{{.State.OOMKilled}} {{.State.Running}}", |state| state == "true false");
    let document = app.watched("").run_json(&["diagnose", "high-memory"]).expect(1).json();
    has(
        &said(&document, "memory-kills"),
        &["bad the engine notes that its memory was full", "a limit of 24.0 MiB"],
    );
    has(&said(&document, "container"), &["with exit code 137: it was killed"]);
    let recommends = document["recommends"].to_string();
    has(&recommends, &["docker update --memory", app.name()]);
}

#[test]
fn a_kill_inside_a_container_that_goes_on_is_counted() {
    let limits = ["-m", "24m", "--memory-swap", "24m"];
    let script = "sleep 1000 & (dd if=/dev/zero of=/dev/null bs=200M count=1); echo killed; wait";
    let Some(app) = Scripted::start(script, &limits) else { return };
    wait_until("the kill", Duration::from_secs(30), || docker(["logs", app.name()]).contains("killed"));
    let document = app.watched("").run_json(&["diagnose", "high-memory"]).expect(1).json();
    has(
        &said(&document, "memory-kills"),
        &["bad the kernel has killed something in it 1 time since it was started"],
    );
    has(&said(&document, "stats"), &["of its limit of 24.0 MiB", "good CPU "]);
    has(&said(&document, "top"), &["sleep ("]);
}

#[test]
fn a_paused_container_and_one_that_ends_again_and_again_are_told_so() {
    let Some(paused) = Scripted::start("sleep 1000", &[]) else { return };
    docker(["pause", paused.name()]);
    let page = paused.watched("").run(&["diagnose", "ServiceDown"]).expect(1).stdout;
    let unpause = format!("`docker unpause {}`", paused.name());
    has(&page, &["is paused: its processes are frozen", &unpause]);
    docker(["unpause", paused.name()]);

    let Some(circling) = Scripted::start("exit 7", &["--restart", "on-failure:4"]) else { return };
    circling
        .wait("{{.RestartCount}} {{.State.Running}} {{.State.Restarting}}", |state| state == "4 false false");
    let page = circling.watched("").run(&["diagnose", "ServiceDown"]).expect(1).stdout;
    has(
        &page,
        &[
            "ended and was started again 4 times, the last time ",
            "with exit code 7",
            "docker logs --tail 100",
        ],
    );
}

#[test]
fn a_program_of_the_operator_has_a_limit_and_leaves_nothing_behind() {
    let Some(app) = Scripted::start("while :; do sleep 0.2; done", &[]) else { return };
    let steps = "[[response]]\nalert = \"Slow\"\nsteps = []\n\
        [[response.step]]\nkind = \"exec\"\nname = \"hangs\"\ntimeout = \"1s\"\ncommand = [\"sh\", \"-c\", \"echo begun; sleep 4711\"]\n\
        [[response.step]]\nkind = \"exec\"\nname = \"fails\"\ncommand = [\"sh\", \"-c\", \"echo why; exit 3\"]\n\
        [[response.step]]\nkind = \"exec\"\nname = \"well\"\ncommand = [\"busybox\", \"echo\", \"$HOME; it is\"]\n\
        [[response.step]]\nkind = \"exec\"\nname = \"missing\"\ncommand = [\"no-such-program\"]\n\
        [[response.step]]\nkind = \"exec\"\nname = \"here\"\nin = \"host\"\ncommand = [\"echo\", \"on the host\"]\n";
    let document = app.watched(steps).run_json(&["diagnose", "Slow"]).expect(1).json();
    has(&said(&document, "hangs"), &["it took longer than 1.0 s", "begun"]);
    has(&said(&document, "fails"), &["bad fails: it ended with 3", "why"]);
    // There is no shell that would make anything of it.
    has(&said(&document, "well"), &["good well: it ended well", "$HOME; it is"]);
    has(&said(&document, "missing"), &["no-such-program"]);
    has(&said(&document, "here"), &["on the host"]);
    let processes = docker(["top", app.name(), "-eo", "pid,args"]);
    assert!(!processes.contains("4711"), "{processes}");
}

#[test]
fn a_step_that_cannot_be_made_says_why_and_hinders_no_other() {
    let port = crate::support::http::canned("200 OK\r\nContent-Type: text/plain", "up 1\n");
    let watchkeeper = Watchkeeper::with_config(&format!(
        "[application.app]\nurl = \"http://127.0.0.1:{port}\"\ncontainer = \"wk-it-no-such\"\n"
    ));
    let document = watchkeeper.run_json(&["diagnose", "ServiceDown"]).expect(1).json();
    has(&said(&document, "container"), &["bad there is no container wk-it-no-such"]);
    has(&said(&document, "logs"), &["There is no container"]);
    has(&said(&document, "probe"), &["good health: ", "good metrics: 1 series"]);

    let mut command = watchkeeper.command(&["--json", "diagnose", "ServiceDown"]);
    let child = command.env("DOCKER_HOST", "unix:///no/such/socket").spawn().unwrap();
    let document = watchkeeper.wait(child, &["diagnose"]).expect(3).json();
    has(&said(&document, "container"), &["No Docker engine at unix:///no/such/socket", "DOCKER_HOST"]);
    has(&said(&document, "probe"), &["good health: "]);
    has(&said(&document, "disk"), &["free ("]);
}

#[test]
fn what_the_response_allows_is_told_and_not_done() {
    let job = "[[job]]\nname = \"restart-app\"\nkind = \"command\"\ncommand = [\"touch\", \"DONE\"]\n\
               [[response]]\nalert = \"ServiceDown\"\nsteps = [\"probe\"]\nallow = [\"restart-app\"]\n";
    let nobody = crate::support::scratch::free_port();
    let watchkeeper = Watchkeeper::with_config("");
    let done = watchkeeper.folder().join("done");
    let job = job.replace("DONE", done.to_str().unwrap());
    watchkeeper.configure(&format!("[application.app]\nurl = \"http://127.0.0.1:{nobody}\"\n{job}"));
    let page = watchkeeper.run(&["diagnose", "ServiceDown"]).expect(1).stdout;
    has(
        &page,
        &[
            "What the response allows to be done by itself",
            "run the job restart-app",
            "`watchkeeper run-now restart-app`",
        ],
    );
    assert!(!done.exists());

    let up = crate::support::http::canned("200 OK\r\nContent-Type: text/plain", "up 1\n");
    watchkeeper.configure(&format!("[application.app]\nurl = \"http://127.0.0.1:{up}\"\n{job}"));
    let document = watchkeeper.run_json(&["diagnose", "ServiceDown"]).expect(0).json();
    assert_eq!(
        (document["would_do"].to_string(), document["recommends"].to_string()),
        ("[]".into(), "[]".into())
    );
}

#[test]
fn an_alert_without_a_response_is_a_slip_of_the_pen() {
    let two =
        "[application.a]\nurl = \"http://127.0.0.1:1\"\n[application.b]\nurl = \"http://127.0.0.1:1\"\n";
    let watchkeeper = Watchkeeper::with_config(two);
    has(&watchkeeper.run(&["diagnose", "ServiceDwn"]).expect(2).stderr, &["did you mean ServiceDown?"]);
    has(
        &watchkeeper.run(&["diagnose", "Nothing"]).expect(2).stderr,
        &["there is ServiceDown, ", "[[response]]"],
    );
    has(
        &watchkeeper.run(&["diagnose", "ServiceDown", "--application", "c"]).expect(2).stderr,
        &["there is a, b"],
    );
    let chosen = watchkeeper.run(&["diagnose", "ServiceDown", "--application", "b"]).expect(1).stdout;
    has(&chosen, &["(application.b)", "health: Cannot reach"]);
}
