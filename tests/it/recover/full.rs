//! All that belongs together: a compose project in the order of `depends_on`, and what is configured without one.

use std::process::Command;

use jiff::Timestamp;

use super::{LONG, application, container, image, names, texts, web};
use crate::support::application::Application;
use crate::support::docker::{Container, Image, docker};
use crate::support::watchkeeper::Watchkeeper;
use crate::support::{run, scratch, wait_until};

const LOOK: &str = "[[job]]\nname = \"look\"\nkind = \"verify-deployment\"\n[[job.check]]\nname = \"health\"\n\
                    type = \"http\"\napplication = \"app\"\npath = \"/health\"\n";

/// The labels that compose gives a service of a project.
fn labels(project: &str, service: &str, depends_on: &str) -> Vec<String> {
    [("project", project), ("service", service), ("depends_on", depends_on), ("oneoff", "False")]
        .iter()
        .flat_map(|(key, value)| ["--label".to_owned(), format!("com.docker.compose.{key}={value}")])
        .collect()
}

fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// A name of a project that no other test has.
fn project() -> String {
    Container::named("project").name.clone()
}

/// A database that is healthy a second after its start.
fn database(image: &Image, project: &str, well: &str) -> Container {
    let health = ["--health-cmd", well, "--health-interval", "1s", "--health-retries", "1"];
    let labels = labels(project, "db", "");
    container(image, &[health.as_slice(), &strs(&labels)].concat(), "sleep 600")
}

fn at(container: &Container, field: &str) -> Timestamp {
    container.inspect(&format!("{{{{.State.{field}}}}}")).parse().unwrap()
}

#[test]
fn a_project_is_stopped_in_the_reverse_order_of_what_it_depends_on_and_started_in_order() {
    let Some(image) = image() else { return };
    let project = project();
    let database = database(&image, &project, "ls /tmp");
    let seed =
        container(&image, &strs(&labels(&project, "seed", "db:service_healthy:true")), "sleep 1; exit 0");
    let depends = "db:service_started:false,seed:service_completed_successfully:false";
    let (app, port) = web(&image, &strs(&labels(&project, "app", depends)));
    for one in [&database, &app] {
        docker(["start", &one.name]);
    }
    let watchkeeper = Watchkeeper::with_config(&(application("app", &app.name, port) + LOOK));
    let document = watchkeeper.run_json(&["recover", "app", "--full", "--yes"]).expect(0).json();
    let [db_name, seed_name] = [&database, &seed].map(|one| format!("container {}", one.name));
    assert_eq!(document["plan"]["project"], project);
    let order = [db_name.clone(), seed_name.clone(), "application/app".to_owned()];
    assert_eq!(names(&document["plan"]["parts"], "name"), order, "{document}");
    assert!(at(&app, "FinishedAt") < at(&database, "FinishedAt"), "what depends on others is stopped first");
    assert!(at(&database, "FinishedAt") < at(&database, "StartedAt"));
    let healthy = at(&seed, "StartedAt").duration_since(at(&database, "StartedAt"));
    assert!(healthy.as_millis() >= 900, "it was healthy after a second, and was waited for: {healthy}");
    assert!(at(&seed, "FinishedAt") < at(&app, "StartedAt"), "it had completed");
    let ready = texts(&document["runs"][0]["output"]["verified"]).join("\n");
    assert!(
        ready.contains("its health check says healthy") && ready.contains("ended with exit code 0"),
        "{ready}"
    );
}

#[test]
fn what_depends_on_something_that_is_not_healthy_is_not_started_and_is_named() {
    let Some(image) = image() else { return };
    let project = project();
    let database = database(&image, &project, "ls /not/there");
    let (app, port) = web(&image, &strs(&labels(&project, "app", "db:service_healthy:true")));
    for one in [&database, &app] {
        docker(["start", &one.name]);
    }
    let watchkeeper = Watchkeeper::with_config(&application("app", &app.name, port));
    let output = watchkeeper.run(&["recover", "app", "--full", "--yes", "--timeout", "4s"]).expect(1);
    let waits = format!("application/app was not started: it depends on container {}", database.name);
    let told = ["its health check says", &waits, &format!("`docker start {}` starts it", app.name)];
    assert!(told.iter().all(|text| output.stdout.contains(text)), "{output:?}");
    assert_eq!(app.inspect("{{.State.Running}}"), "false");
}

#[test]
fn told_to_stop_while_one_stops_that_one_is_started_again_and_the_others_are_not_touched() {
    let Some(image) = image() else { return };
    let project = project();
    let database = container(&image, &strs(&labels(&project, "db", "")), "sleep 600");
    // It ends slowly, and says that it does.
    let script = "trap 'echo stopping; sleep 4; exit 0' TERM; while :; do sleep 0.1; done";
    let depends = labels(&project, "app", "db:service_started:false");
    let slow =
        container(&image, &[&["--stop-signal", "SIGTERM"], strs(&depends).as_slice()].concat(), script);
    for one in [&database, &slow] {
        docker(["start", &one.name]);
    }
    let (started, created) = (at(&database, "StartedAt"), at(&slow, "StartedAt"));
    let watchkeeper = Watchkeeper::with_config(&application("app", &slow.name, scratch::free_port()));
    let arguments = ["recover", "app", "--full", "--yes"];
    let child = watchkeeper.spawn(&arguments);
    wait_until("it is told to stop", LONG, || docker(["logs", &slow.name]).contains("stopping"));
    run(Command::new("kill").args(["-INT", &child.id().to_string()]));
    let output = watchkeeper.wait(child, &arguments).expect(130);
    assert!(output.stdout.contains("what was stopped was started again"), "{output:?}");
    assert_eq!(slow.inspect("{{.State.Running}}"), "true");
    assert!(at(&slow, "StartedAt") > created, "it was stopped");
    assert_eq!(at(&database, "StartedAt"), started);
}

#[test]
fn one_that_does_not_stop_is_told_and_what_was_stopped_before_it_runs_again() {
    let Some(application) = Application::host() else { return };
    let Some(image) = image() else { return };
    let (web, port) = web(&image, &[]);
    docker(["start", &web.name]);
    let config = format!(
        "{}[alertmanager.main]\nurl = \"http://127.0.0.1:{port}\"\ncontainer = \"{}\"\n",
        application.config(),
        web.name
    );
    let watchkeeper = Watchkeeper::with_config(&config);
    application.refuse_to_stop(true);
    let output = watchkeeper.run(&["recover", "app", "--full", "--yes"]).expect(1);
    application.refuse_to_stop(false);
    assert!(
        output.stdout.contains("application/app is not back: ") && output.stdout.contains("it does not stop"),
        "{output:?}"
    );
    assert_eq!(web.inspect("{{.State.Running}}"), "true");
    assert!(application.health().is_some_and(|(status, _)| status == 200));
}

#[test]
fn what_did_not_run_before_and_does_not_come_up_is_only_a_warning() {
    let Some(image) = image() else { return };
    let project = project();
    let (app, port) = web(&image, &strs(&labels(&project, "app", "")));
    let broken = container(&image, &strs(&labels(&project, "broken", "")), "exit 5");
    let once = labels(&project, "app", "").join(" ").replace("oneoff=False", "oneoff=True");
    let once = container(&image, &once.split(' ').collect::<Vec<_>>(), "sleep 600");
    docker(["start", &app.name]);
    let watchkeeper = Watchkeeper::with_config(&(application("app", &app.name, port) + LOOK));
    let output = watchkeeper.run(&["recover", "app", "--full", "--yes"]).expect(3);
    let told =
        format!("what did not run before is not up: Container {} ended again: exit code 5", broken.name);
    assert!(output.stdout.contains(&told), "{output:?}");
    assert_eq!(once.inspect("{{.State.Status}}"), "created", "what was run once is left alone");
    let config = application("app", &once.name, port);
    let watchkeeper = Watchkeeper::with_config(&config);
    let output = watchkeeper.run(&["recover", "app", "--full", "--dry-run"]).expect(1);
    assert!(output.stdout.contains("is no service of its compose project"), "{output:?}");
}

#[test]
fn without_a_project_all_targets_are_restarted_who_is_watched_before_who_watches() {
    let Some(application) = Application::host() else { return };
    let Some(image) = image() else { return };
    let (web, port) = web(&image, &[]);
    let look = "[[job]]\nname = \"look\"\nkind = \"verify-deployment\"\n[[job.check]]\nname = \"health\"\n\
                type = \"http\"\napplication = \"app\"\npath = \"/cgi-bin/health\"\n";
    let config = format!("{}{look}[grafana.main]\nurl = \"http://127.0.0.1:{port}\"\n", application.config());
    let alertmanager =
        format!("[alertmanager.main]\nurl = \"http://127.0.0.1:{port}\"\ncontainer = \"{}\"\n", web.name);
    let watchkeeper = Watchkeeper::with_config(&(config + &alertmanager));
    docker(["start", &web.name]);
    // The ready path of an Alertmanager.
    docker(["exec", &web.name, "sh", "-c", "mkdir -p /tmp/- && echo OK >/tmp/-/ready"]);
    let document = watchkeeper.run_json(&["recover", "app", "--full", "--yes"]).expect(0).json();
    let parts = names(&document["plan"]["parts"], "name");
    assert_eq!(parts, ["application/app", "alertmanager/main"], "{document}");
    assert!(texts(&document["plan"]["warnings"])[0].starts_with("grafana/main is left alone"), "{document}");
    let steps = names(&document["runs"][0]["steps"], "name");
    let place = |name: &str| steps.iter().position(|step| step == name).unwrap();
    assert!(place("stop alertmanager/main") < place("stop application/app"));
    assert!(place("start application/app") < place("start alertmanager/main"));
    application.wait_well();
}
