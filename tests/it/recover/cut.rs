//! A recovery that is killed between the stop and the start: what it has left is told, and brought back.

use std::process::{Child, Command};

use serde_json::Value;

use super::{LONG, application, container, image, names, texts};
use crate::support::docker::{Container, Image, docker};
use crate::support::receiver::Receiver;
use crate::support::watchkeeper::Watchkeeper;
use crate::support::{run, scratch, wait_until};

const LOOK: &str = "[[job]]\nname = \"look\"\nkind = \"verify-deployment\"\n[[job.check]]\nname = \"health\"\n\
                    type = \"http\"\napplication = \"app\"\npath = \"/health\"\n";

/// It ends a second after it was told to, and says that it does.
const SLOW: &str = "trap 'echo stopping; sleep 1; exit 0' TERM; while :; do sleep 0.1; done";

/// A web server that ends as [`SLOW`] does.
fn slow_web(image: &Image, more: &[&str]) -> (Container, u16) {
    let port = scratch::free_port();
    let publish = format!("127.0.0.1:{port}:8080");
    let script = format!("echo well >/tmp/health; /bin/busybox httpd -p 8080 -h /tmp; {SLOW}");
    let fixed = ["--stop-signal", "SIGTERM", "-p", publish.as_str()];
    (container(image, &[fixed.as_slice(), more].concat(), &script), port)
}

fn is_running(container: &Container) -> bool {
    container.inspect("{{.State.Running}}") == "true"
}

/// Kills a recovery as soon as this container was told to stop, and waits until it has.
fn cut(watchkeeper: &Watchkeeper, more: &[&str], stopped: &Container) {
    docker(["start", &stopped.name]);
    let mut child = watchkeeper.spawn(&[&["recover", "app", "--yes"], more].concat());
    wait_until("it is told to stop", LONG, || docker(["logs", &stopped.name]).contains("stopping"));
    kill(&mut child);
    wait_until("it has stopped", LONG, || !is_running(stopped));
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn recoveries(watchkeeper: &Watchkeeper) -> Value {
    watchkeeper.run_json(&["history", "recover-application-app"]).expect(0).json()["runs"].clone()
}

#[test]
fn what_it_had_stopped_is_told_by_status_until_the_next_recovery_brings_it_back() {
    let Some(image) = image() else { return };
    let (app, port) = slow_web(&image, &["--restart", "unless-stopped"]);
    let watchkeeper = Watchkeeper::with_config(&(application("app", &app.name, port) + LOOK));
    cut(&watchkeeper, &[], &app);
    let output = watchkeeper.run(&["status"]).expect(1);
    let told = [
        format!("container {} was stopped at", app.name),
        "which was killed, and is not started".to_owned(),
        format!("`docker start {}`", app.name),
        "`watchkeeper recover application/app`".to_owned(),
    ];
    let said = output.stdout.replace("\n  ", " ").replace('\n', " ");
    assert!(told.iter().all(|text| said.contains(text)), "{output:?}");
    let document = watchkeeper.run_json(&["status"]).expect(1).json();
    assert_eq!(document["stopped"][0]["runs_as"], format!("container {}", app.name), "{document}");
    let run = recoveries(&watchkeeper)[0]["run"].clone();
    assert_eq!(document["stopped"][0]["run"], run, "{document}");
    // The next one knows that it ran.
    let plan = watchkeeper.run_json(&["recover", "app", "--dry-run"]).expect(0).json();
    let state = plan["plan"]["parts"][0]["state"].as_str().unwrap();
    assert!(state.ends_with(&format!("stopped by run {}", run.as_str().unwrap())), "{plan}");
    watchkeeper.run(&["recover", "app", "--yes"]).expect(0);
    assert!(is_running(&app));
    watchkeeper.run(&["status"]).expect(0);
    assert!(std::fs::read_dir(watchkeeper.state().join("recoveries")).unwrap().next().is_none());
}

#[test]
fn what_somebody_has_started_or_removed_meanwhile_is_nobodys_business() {
    let Some(image) = image() else { return };
    let (app, port) = slow_web(&image, &[]);
    let watchkeeper = Watchkeeper::with_config(&(application("app", &app.name, port) + LOOK));
    cut(&watchkeeper, &[], &app);
    watchkeeper.run(&["status"]).expect(1);
    docker(["start", &app.name]);
    watchkeeper.run(&["status"]).expect(0);
    // It is stopped by somebody else now.
    docker(["kill", &app.name]);
    watchkeeper.run(&["status"]).expect(0);

    let (gone, port) = slow_web(&image, &[]);
    let watchkeeper = Watchkeeper::with_config(&(application("app", &gone.name, port) + LOOK));
    cut(&watchkeeper, &[], &gone);
    watchkeeper.run(&["status"]).expect(1);
    gone.remove();
    watchkeeper.run(&["status"]).expect(0);
    // Neither does a daemon start anything, and it forgets it.
    let daemon = watchkeeper.spawn(&["run"]);
    let notes = watchkeeper.state().join("recoveries");
    wait_until("the note is gone", LONG, || std::fs::read_dir(&notes).unwrap().next().is_none());
    run(Command::new("kill").args(["-TERM", &daemon.id().to_string()]));
    watchkeeper.wait(daemon, &["run"]).expect(0);
    assert_eq!(recoveries(&watchkeeper).as_array().unwrap().len(), 1);
}

#[test]
fn a_daemon_starts_all_that_it_had_stopped_in_order_once_and_tells_so() {
    let Some(image) = image() else { return };
    let project = Container::named("project").name.clone();
    let labels = |service: &str, depends_on: &str| {
        [("project", project.as_str()), ("service", service), ("depends_on", depends_on)]
            .iter()
            .flat_map(|(key, value)| ["--label".to_owned(), format!("com.docker.compose.{key}={value}")])
            .collect::<Vec<String>>()
    };
    let of_db = labels("db", "");
    let mut of_db: Vec<&str> = of_db.iter().map(String::as_str).collect();
    of_db.extend(["--stop-signal", "SIGTERM"]);
    let db = container(&image, &of_db, SLOW);
    let of_app = labels("app", "db:service_started:false");
    let of_app: Vec<&str> = of_app.iter().map(String::as_str).collect();
    let (app, port) = slow_web(&image, &of_app);
    docker(["start", &app.name]);
    let receiver = Receiver::start();
    let hook = format!(
        "[notify.ops]\ntype = \"webhook\"\nurl = \"{}\"\ncooldown = \"0s\"\non = [\"failed\", \"warned\"]\n",
        receiver.url("/ops")
    );
    let watchkeeper = Watchkeeper::with_config(&(application("app", &app.name, port) + LOOK + &hook));
    // The application is stopped first: when the database is told to, it is down.
    cut(&watchkeeper, &["--full"], &db);
    assert!(!is_running(&app));

    let daemon = watchkeeper.spawn(&["run"]);
    wait_until("both run", LONG, || is_running(&db) && is_running(&app));
    wait_until("it is done", LONG, || recoveries(&watchkeeper)[0]["outcome"] == "warned");
    let told = format!("container {} was stopped at", app.name);
    wait_until("it is told", LONG, || {
        receiver.posted("/ops").iter().any(|one| one.json().to_string().contains("warned"))
    });
    run(Command::new("kill").args(["-TERM", &daemon.id().to_string()]));
    watchkeeper.wait(daemon, &["run"]).expect(0);
    let runs = recoveries(&watchkeeper);
    assert_eq!(names(&runs, "outcome"), ["warned", "interrupted"], "{runs}");
    assert_eq!(runs[0]["cause"], "catch-up", "{runs}");
    let shown = watchkeeper.run_json(&["show", runs[0]["run"].as_str().unwrap()]).expect(0).json();
    let warnings = texts(&shown["warnings"]).join("\n");
    assert!(warnings.contains(&told) && warnings.contains(&db.name), "{shown}");
    let steps = names(&shown["steps"], "name");
    let place = |name: &str| steps.iter().position(|step| step == name).unwrap();
    assert!(place(&format!("start container {}", db.name)) < place("start application/app"), "{steps:?}");
    watchkeeper.run(&["status"]).expect(0);
    assert!(std::fs::read_dir(watchkeeper.state().join("recoveries")).unwrap().next().is_none());
}
