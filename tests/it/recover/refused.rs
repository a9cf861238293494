//! What is shown and refused before anything is changed.

use super::{application, container, image, names};
use crate::support::application::Application;
use crate::support::docker::docker;
use crate::support::scratch;
use crate::support::watchkeeper::Watchkeeper;

#[test]
fn a_dry_run_shows_the_plan_and_changes_nothing() {
    let Some(image) = image() else { return };
    let app = container(&image, &["--restart", "unless-stopped"], "sleep 600");
    docker(["start", &app.name]);
    let started = app.inspect("{{.State.StartedAt}}");
    let watchkeeper = Watchkeeper::with_config(&application("app", &app.name, scratch::free_port()));
    let output = watchkeeper.run(&["recover", "app", "--dry-run"]).expect(0);
    let told = [
        "Recover application/app\n".to_owned(),
        format!(
            "stops     application/app (container {}), which runs, restart policy unless-stopped",
            app.name
        ),
        "waits     5 m 00 s at most for application/app: http://127.0.0.1:".to_owned(),
    ];
    assert!(told.iter().all(|text| output.stdout.contains(text)), "{output:?}");
    let plan = watchkeeper.run_json(&["recover", "app", "--dry-run", "--timeout", "90s"]).expect(0).json();
    let plan = &plan["plan"];
    assert_eq!((&plan["target"], &plan["limit_seconds"]), (&"application/app".into(), &90.into()), "{plan}");
    assert_eq!(names(&plan["parts"], "name"), ["application/app"]);
    assert_eq!(app.inspect("{{.State.StartedAt}}"), started);
    assert!(watchkeeper.run_json(&["history"]).expect(0).json()["runs"].as_array().unwrap().is_empty());
}

#[test]
fn a_name_that_nothing_or_more_than_one_has_is_a_wrong_usage_and_so_is_a_question_nobody_can_answer() {
    let config =
        "[prometheus.main]\nurl = \"http://127.0.0.1:1\"\n[grafana.main]\nurl = \"http://127.0.0.1:1\"\n";
    let watchkeeper = Watchkeeper::with_config(config);
    let output = watchkeeper.run(&["recover", "main", "--yes"]).expect(2);
    assert!(output.stderr.contains("say which: prometheus/main or grafana/main"), "{output:?}");
    let output = watchkeeper.run(&["recover", "mian", "--yes"]).expect(2);
    assert!(output.stderr.contains("did you mean \"main\"?"), "{output:?}");
    let output = watchkeeper.run(&["recover", "grafana/main"]).expect(2);
    assert!(output.stderr.contains("say --yes"), "{output:?}");
    watchkeeper.run(&["recover", "grafana/main", "--yes", "--timeout", "0s"]).expect(2);
    // Nothing says what it runs as.
    let output = watchkeeper.run(&["recover", "grafana/main", "--yes"]).expect(1);
    assert!(
        output.stderr.contains("add container = \"NAME\"") && output.stderr.contains("[grafana.main]"),
        "{output:?}"
    );
}

#[test]
fn a_container_that_is_paused_gone_or_removed_at_its_end_is_left_as_it_is() {
    let Some(image) = image() else { return };
    let port = scratch::free_port();
    let refused = |name: &str, text: &str| {
        let watchkeeper = Watchkeeper::with_config(&application("app", name, port));
        let output = watchkeeper.run(&["recover", "app", "--yes"]).expect(1);
        assert!(output.stderr.contains(text), "{output:?}");
    };
    let paused = container(&image, &[], "sleep 600");
    docker(["start", &paused.name]);
    docker(["pause", &paused.name]);
    refused(&paused.name, "`docker unpause ");
    assert_eq!(paused.inspect("{{.State.Status}}"), "paused");
    docker(["unpause", &paused.name]);

    let mortal = container(&image, &["--rm"], "sleep 600");
    docker(["start", &mortal.name]);
    refused(&mortal.name, "was run with --rm");
    assert_eq!(mortal.inspect("{{.State.Running}}"), "true");

    let gone = container(&image, &[], "sleep 600");
    gone.remove();
    refused(&gone.name, "was it removed? a recovery stops and starts what is there");
}

#[test]
fn the_six_of_the_runbook_are_looked_at_where_nobody_says_what_and_only_warn() {
    let Some(application) = Application::host() else { return };
    let watchkeeper = Watchkeeper::with_config(&application.config());
    // It has no metrics.
    let document = watchkeeper.run_json(&["recover", "app", "--yes", "--timeout", "15s"]).expect(3).json();
    let checks = &document["runs"][0]["output"]["checks"];
    assert_eq!(
        names(checks, "name"),
        ["application.app /cgi-bin/health", "application.app metrics"],
        "{document}"
    );
    assert_eq!((&checks[0]["passed"], &checks[1]["passed"]), (&true.into(), &false.into()), "{document}");
}
