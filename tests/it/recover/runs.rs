//! What a recovery does, and what is left of it.

use std::fs;
use std::process::Command;

use super::{LONG, LOOK, application, container, image, names, texts, web};
use crate::support::application::{Application, Data};
use crate::support::docker::docker;
use crate::support::prometheus::{Builder, Prometheus};
use crate::support::receiver::Receiver;
use crate::support::watchkeeper::{JOB, Watchkeeper};
use crate::support::{run, scratch, wait_until};

#[test]
fn an_application_of_commands_that_is_down_is_backed_up_started_and_looked_at() {
    let Some(application) = Application::host() else { return };
    let watchkeeper = Watchkeeper::with_config(&format!("{}{LOOK}", application.config()));
    application.halted(true);
    let document = watchkeeper.run_json(&["recover", "app", "--yes"]).expect(0).json();
    application.wait_well();
    assert_eq!(names(&document["runs"], "job"), ["recover-application-app", "db", "look"], "{document}");
    assert_eq!(names(&document["runs"], "outcome"), ["done", "done", "done"], "{document}");
    let own = &document["runs"][0];
    assert_eq!((own["kind"].as_str(), own["cause"].as_str()), (Some("recover"), Some("manual")));
    let steps = names(&own["steps"], "name");
    let expected = ["back up by db", "stop application/app", "start application/app"];
    assert_eq!(steps[..3], expected, "{document}");
    assert!(texts(&own["output"]["facts"])[0].starts_with("backup db/"), "{document}");
    assert!(texts(&own["output"]["verified"])[0].ends_with("/cgi-bin/health answers 200"), "{document}");
    assert_eq!(own["output"]["checks"][0]["name"], "health");
    let history = watchkeeper.run_json(&["history", "recover-application-app"]).expect(0).json();
    assert_eq!(history["runs"][0]["run"], own["run"]);
    // One that runs is restarted, too.
    let pid = || fs::read_to_string(application.data().parent().unwrap().join("pid")).unwrap();
    let before = pid();
    watchkeeper.run(&["recover", "application/app", "--yes"]).expect(0);
    assert_ne!(pid(), before);
}

#[test]
fn a_dead_container_whose_database_is_in_its_own_layer_is_back_with_all_of_it_and_without_a_backup() {
    let Some(application) = Application::container(Data::Layer, &["sqlite3"]) else { return };
    application.wait_well();
    let name = application.container_name();
    let id = docker(["inspect", "-f", "{{.Id}}", name]);
    let rows = application.sqlite("SELECT count(*) FROM work_sessions");
    docker(["kill", name]);
    let watchkeeper = Watchkeeper::with_config(&format!("{}{LOOK}", application.config()));
    let output = watchkeeper.run(&["recover", "app", "--yes"]).expect(3);
    let warned =
        output.stdout.contains("no backup was made by db, because what it needs is down: container ");
    assert!(warned && output.stdout.contains("exit code 137"), "{output:?}");
    application.wait_well();
    assert_eq!(docker(["inspect", "-f", "{{.Id}}", name]), id, "it is the same container");
    assert_eq!(application.sqlite("SELECT count(*) FROM work_sessions"), rows);
    // Where it runs, it is backed up.
    let again = watchkeeper.run(&["recover", "app", "--yes"]).expect(0);
    assert!(again.stdout.contains("backup db/"), "{again:?}");
}

#[test]
fn a_prometheus_is_backed_up_where_it_answers_and_restarted_where_it_does_not() {
    let Some(prometheus) = Prometheus::container(Builder::default().without_blocks()) else { return };
    let look = "[[job]]\nname = \"look\"\nkind = \"verify-deployment\"\n[[job.check]]\ntype = \"targets\"\n\
                prometheus = \"main\"\n";
    let watchkeeper = Watchkeeper::with_keys(&prometheus, look);
    let document = watchkeeper.run_json(&["recover", "main", "--yes"]).expect(0).json();
    assert_eq!(names(&document["runs"], "job"), ["recover-prometheus-main", JOB, "look"], "{document}");
    assert_eq!(watchkeeper.backups().len(), 1);
    prometheus.stop();
    let document = watchkeeper.run_json(&["recover", "main", "--yes"]).expect(3).json();
    assert_eq!(names(&document["runs"], "job"), ["recover-prometheus-main", "look"], "{document}");
    assert!(texts(&document["runs"][0]["warnings"])[0].contains("Cannot reach http"), "{document}");
    assert!(prometheus.is_ready());
}

#[test]
fn a_backup_that_fails_for_another_reason_than_down_keeps_all_as_it_is_until_it_is_done_without() {
    let Some(application) = Application::host() else { return };
    let watchkeeper = Watchkeeper::with_config(&format!("{}{LOOK}", application.config()));
    fs::write(watchkeeper.store_of("db"), "a file where a folder should be").unwrap();
    application.halted(true);
    let output = watchkeeper.run(&["recover", "app", "--yes"]).expect(1);
    let told = ["Nothing was restarted", "not because application/app is down", "say --no-backup"];
    assert!(told.iter().all(|text| output.stdout.contains(text)), "{output:?}");
    assert!(application.is_down(), "it was not started");
    let output = watchkeeper.run(&["recover", "app", "--yes", "--no-backup"]).expect(0);
    assert!(output.stdout.contains("it was asked for without one"), "{output:?}");
    application.wait_well();
}

#[test]
fn two_never_run_at_a_time_and_who_is_killed_leaves_no_lock() {
    let Some(image) = image() else { return };
    let slow = container(&image, &[], "sleep 600");
    let other = container(&image, &[], "sleep 600");
    let nobody = scratch::free_port();
    let config = application("app", &slow.name, nobody) + &application("other", &other.name, nobody);
    let watchkeeper = Watchkeeper::with_config(&config);
    let arguments = ["recover", "app", "--yes"];
    let mut first = watchkeeper.spawn(&arguments);
    wait_until("it waits", LONG, || slow.inspect("{{.State.Running}}") == "true");
    let busy = watchkeeper.run(&["recover", "other", "--yes"]).expect(75);
    assert!(busy.stdout.contains("another recovery is still running since"), "{busy:?}");
    assert!(busy.stdout.contains("job recover-application-app"), "{busy:?}");
    assert_eq!(other.inspect("{{.State.Status}}"), "created");
    first.kill().unwrap();
    first.wait().unwrap();
    watchkeeper.run(&["recover", "app", "--yes", "--timeout", "1s"]).expect(1);
    let history = watchkeeper.run_json(&["history", "recover-application-app"]).expect(0).json();
    assert_eq!(names(&history["runs"], "outcome"), ["failed", "interrupted"]);
}

#[test]
fn a_target_that_a_job_uses_is_busy() {
    let Some(application) = Application::host() else { return };
    let config = application.config().replace(
        "retries = { max = 0 }\n",
        "retries = { max = 0 }\nhooks = { before = [\"sh\", \"-c\", \"touch FLAG; until test -e FLAG.go; do sleep 0.1; done\"] }\n",
    );
    let watchkeeper = Watchkeeper::with_config("");
    let flag = watchkeeper.folder().join("flag");
    watchkeeper.configure(&config.replace("FLAG", flag.to_str().unwrap()));
    let mut job = watchkeeper.spawn(&["run-now", "db"]);
    wait_until("the job runs", LONG, || flag.exists());
    let busy = watchkeeper.run(&["recover", "app", "--yes"]).expect(75);
    assert!(
        busy.stdout.contains("application app is in use since") && busy.stdout.contains("job db"),
        "{busy:?}"
    );
    assert!(application.health().is_some_and(|(status, _)| status == 200));
    fs::write(flag.with_extension("go"), "").unwrap();
    assert!(job.wait().unwrap().success());
}

#[test]
fn told_to_stop_while_it_waits_it_ends_and_leaves_the_container_running() {
    let Some(image) = image() else { return };
    let hangs = container(&image, &[], "sleep 600");
    let watchkeeper = Watchkeeper::with_config(&application("app", &hangs.name, scratch::free_port()));
    let arguments = ["recover", "app", "--yes"];
    let child = watchkeeper.spawn(&arguments);
    wait_until("it waits", LONG, || hangs.inspect("{{.State.Running}}") == "true");
    run(Command::new("kill").args(["-INT", &child.id().to_string()]));
    let output = watchkeeper.wait(child, &arguments).expect(130);
    assert!(output.stdout.contains("run `watchkeeper recover application/app` again"), "{output:?}");
    assert_eq!(hangs.inspect("{{.State.Running}}"), "true");
}

#[test]
fn a_recovery_that_failed_is_told_to_who_is_responsible_and_so_is_the_next_that_works() {
    let Some(image) = image() else { return };
    let (web, port) = web(&image, &[]);
    let receiver = Receiver::start();
    let hook = |name: &str, more: &str| {
        let url = receiver.url(&format!("/{name}"));
        format!("[notify.{name}]\ntype = \"webhook\"\nurl = \"{url}\"\ncooldown = \"0s\"\n{more}")
    };
    let job = "[[job]]\nname = \"look\"\nkind = \"verify-deployment\"\n[[job.check]]\nname = \"health\"\n\
               type = \"http\"\napplication = \"app\"\npath = \"/health\"\n\
               [[job]]\nname = \"alien\"\nkind = \"command\"\ncommand = [\"true\"]\n";
    let notifiers =
        [hook("all", ""), hook("own", "jobs = [\"look\"]\n"), hook("alien", "jobs = [\"alien\"]\n")];
    let configure = |port: u16| application("app", &web.name, port) + job + &notifiers.concat();
    let watchkeeper = Watchkeeper::with_config(&configure(scratch::free_port()));
    // From then on it is not new.
    watchkeeper.run(&["run-now", "alien"]).expect(0);
    watchkeeper.run(&["recover", "app", "--yes", "--timeout", "2s"]).expect(1);
    watchkeeper.configure(&configure(port));
    watchkeeper.run(&["recover", "app", "--yes"]).expect(0);
    for path in ["/all", "/own"] {
        let told: Vec<_> = receiver.posted(path).iter().map(|posted| posted.json()).collect();
        let of = |key: &str| told.iter().map(|one| one[key].as_str().unwrap().to_owned()).collect::<Vec<_>>();
        assert_eq!(of("event"), ["failed", "recovered"], "{path}: {told:?}");
        assert_eq!(of("job"), ["recover-application-app"; 2]);
        assert_eq!(of("target"), ["application/app"; 2]);
    }
    assert!(receiver.posted("/alien").is_empty());
}
