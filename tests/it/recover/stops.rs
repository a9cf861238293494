//! How long a container may take to stop: as long as it says itself, and no longer than a recovery may take.

use serde_json::Value;

use super::{application, container, image};
use crate::support::docker::{Container, Image, docker};
use crate::support::scratch;
use crate::support::watchkeeper::Watchkeeper;

/// A web server that heeds no SIGTERM.
fn stubborn(image: &Image, patience: &str) -> (Container, u16) {
    let port = scratch::free_port();
    let publish = format!("127.0.0.1:{port}:8080");
    let script = "trap '' TERM; echo well >/tmp/health; /bin/busybox httpd -f -p 8080 -h /tmp";
    let more = ["--stop-signal", "SIGTERM", "--stop-timeout", patience, "-p", &publish];
    let container = container(image, &more, script);
    docker(["start", &container.name]);
    (container, port)
}

/// What a step of the recovery said.
fn said(document: &Value, step: &str) -> String {
    let steps = document["runs"][0]["steps"].as_array().unwrap();
    let step = steps.iter().find(|one| one["name"] == step).unwrap();
    step["detail"].as_str().unwrap().to_owned()
}

#[test]
fn a_container_that_does_not_end_is_killed_after_its_own_time_and_no_later_than_the_limit() {
    let Some(image) = image() else { return };
    for (own, limit, told) in [("2", "1m", "after 2.0 s"), ("90", "8s", "after 8.0 s")] {
        let (app, port) = stubborn(&image, own);
        let look = super::LOOK.replace("/cgi-bin/health", "/health");
        let watchkeeper = Watchkeeper::with_config(&(application("app", &app.name, port) + &look));
        let document =
            watchkeeper.run_json(&["recover", "app", "--yes", "--timeout", limit]).expect(0).json();
        let said = said(&document, "stop application/app");
        assert!(said.contains(told) && said.contains("SIGTERM did not end it"), "{said}");
    }
}

#[test]
fn a_container_that_ends_by_itself_is_told_with_its_exit_code() {
    let Some(image) = image() else { return };
    let port = scratch::free_port();
    let publish = format!("127.0.0.1:{port}:8080");
    let script = "trap 'exit 5' TERM; echo well >/tmp/health; /bin/busybox httpd -p 8080 -h /tmp; \
                  while :; do sleep 0.1; done";
    let app = container(&image, &["--stop-signal", "SIGTERM", "-p", &publish], script);
    docker(["start", &app.name]);
    let look = super::LOOK.replace("/cgi-bin/health", "/health");
    let watchkeeper = Watchkeeper::with_config(&(application("app", &app.name, port) + &look));
    let document = watchkeeper.run_json(&["recover", "app", "--yes"]).expect(0).json();
    let said = said(&document, "stop application/app");
    assert!(said.contains("ended after") && said.ends_with("with exit code 5"), "{said}");
}
