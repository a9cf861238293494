//! The server: who may ask, what it does when it cannot listen, and that it ends.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use super::*;

fn quiet(text: &str) -> Watchkeeper {
    Watchkeeper::with_config(&(text.to_owned() + &command("quiet", "true", "schedule = \"@every 90d\"")))
}

#[test]
fn a_token_is_asked_for_and_the_health_is_for_everybody_and_all_else_is_not_there() {
    let port = free_port();
    let token = "token = { env = \"METRICS_TOKEN\" }\n";
    let watchkeeper = quiet(&(listening(port) + token));
    let stderr = File::create(watchkeeper.folder().join("daemon.log")).unwrap();
    let mut command = watchkeeper.command(&["run"]);
    let daemon =
        command.env("METRICS_TOKEN", "hunter2").stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
    let healthy = || http::get(port, "/healthz").is_some_and(|(status, _)| status == 200);
    wait_until("the daemon is well", SOON, healthy);
    let asked = |shown: &[(&str, &str)]| http::send(port, "GET", "/metrics", shown, "").unwrap();
    let refused = asked(&[]);
    assert_eq!(refused.status, 401);
    assert!(refused.headers().any(|header| header.eq_ignore_ascii_case("www-authenticate: Bearer")));
    assert_eq!(asked(&[("Authorization", "Bearer hunter")]).status, 401);
    let shown = asked(&[("Authorization", "Bearer hunter2")]);
    assert_eq!(shown.status, 200);
    assert!(shown.headers().any(|header| {
        header.eq_ignore_ascii_case("content-type: text/plain; version=0.0.4; charset=utf-8")
    }));
    for path in ["/", "/metrics/", "/metric", "/../jobs.toml"] {
        assert_eq!(http::get(port, path).unwrap().0, 404, "{path}");
    }
    assert_eq!(http::post(port, "/metrics").unwrap().0, 405);
    // Somebody who is there and does not ask keeps it from nothing.
    let mut idle = TcpStream::connect(("127.0.0.1", port)).unwrap();
    idle.write_all(b"GET /metrics HTTP/1.1\r\nHo").unwrap();
    stop(&watchkeeper, daemon);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    let mut rest = Vec::new();
    let _ = idle.read_to_end(&mut rest);
    assert!(!log(&watchkeeper).contains("hunter2") && rest.is_empty());
}

#[test]
fn a_port_in_use_is_told_loudly_keeps_no_job_and_is_tried_again() {
    let port = free_port();
    let other = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let watchkeeper =
        Watchkeeper::with_config(&(listening(port) + &command("tick", "true", "schedule = \"* * * * * *\"")));
    let daemon = start(&watchkeeper);
    wait_until("it is told", SOON, || log(&watchkeeper).contains("NO METRICS are served"));
    let told = log(&watchkeeper);
    assert!(
        told.contains(&format!("Cannot listen on 127.0.0.1:{port}")) && told.contains("ss -ltnp"),
        "{told}"
    );
    wait_until("a job runs all the same", SOON, || {
        !watchkeeper.run_json(&["history", "tick"]).expect(0).json()["runs"].as_array().unwrap().is_empty()
    });
    drop(other);
    wait_until("it is tried again", SOON, || !metrics(port).is_empty());
    assert_eq!(log(&watchkeeper).matches("NO METRICS").count(), 1);
    stop(&watchkeeper, daemon);
}

#[test]
fn a_reload_moves_the_server_and_the_file_and_ends_and_begins_them() {
    let (one, other) = (free_port(), free_port());
    let watchkeeper = quiet("");
    let job = command("quiet", "true", "schedule = \"@every 90d\"");
    let file = |name: &str| watchkeeper.folder().join(name);
    let textfile = |name: &str| format!("textfile = {:?}\n", file(name));
    let daemon = start(&watchkeeper);
    wait_until("it runs", SOON, || log(&watchkeeper).contains("the daemon runs"));
    let reload = |text: &str| {
        watchkeeper.configure(&(text.to_owned() + &job));
        signal("-HUP", &daemon);
    };
    reload(&(listening(one) + &textfile("one.prom")));
    wait_until("it begins", SOON, || !metrics(one).is_empty() && file("one.prom").exists());
    reload(&(listening(other) + &textfile("other.prom")));
    wait_until("it moves", SOON, || {
        !metrics(other).is_empty() && metrics(one).is_empty() && file("other.prom").exists()
    });
    assert!(!file("one.prom").exists());
    reload("");
    wait_until("it ends", SOON, || metrics(other).is_empty() && !file("other.prom").exists());
    stop(&watchkeeper, daemon);
    assert!(!file("other.prom").exists());
}

#[test]
fn a_daemon_that_no_longer_plans_is_not_well() {
    let port = free_port();
    let text = "[[job]]\nname = \"long\"\nkind = \"command\"\ncommand = [\"sleep\", \"600\"]\nschedule = \"* * * * * *\"\n";
    let watchkeeper = Watchkeeper::with_config(&(listening(port) + text));
    let mut daemon = start(&watchkeeper);
    let health = || http::get(port, "/healthz").unwrap_or_default();
    wait_until("the daemon is well and its job runs", SOON, || {
        health() == (200, "ok\n".to_owned())
            && value(&metrics(port), "watchkeeper_job_last_run_timestamp_seconds{").is_some()
    });
    // It waits for the run, and plans no more.
    signal("-TERM", &daemon);
    wait_until("it says so", SOON, || health().0 == 503);
    assert!(health().1.starts_with("the scheduler has not looked at the clock for "), "{:?}", health());
    assert!(!metrics(port).is_empty());
    wait_until("the daemon ends", SOON, || {
        signal("-TERM", &daemon);
        daemon.try_wait().unwrap().is_some()
    });
}

#[test]
fn whoever_holds_many_connections_open_and_asks_nothing_keeps_nobody_from_the_metrics() {
    let port = free_port();
    let watchkeeper = quiet(&listening(port));
    let daemon = start(&watchkeeper);
    wait_until("it is served", SOON, || !metrics(port).is_empty());
    let idle: Vec<TcpStream> = (0..600)
        .map(|nth| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            // Some say something, and never all of it.
            if nth % 2 == 0 {
                stream.write_all(b"GET /metrics HTTP/1.1\r\nHo").unwrap();
            }
            stream
        })
        .collect();
    let since = Instant::now();
    assert!(!metrics(port).is_empty());
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    drop(idle);
    stop(&watchkeeper, daemon);
}
