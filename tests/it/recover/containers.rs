//! Containers that do not come back, and what is said of each.

use std::time::{Duration, Instant};

use super::{application, container, image, web};
use crate::support::docker::docker;
use crate::support::scratch;
use crate::support::watchkeeper::{Output, Watchkeeper};

/// Much less than the limit that a recovery has here.
const AT_ONCE: Duration = Duration::from_mins(1);

fn recover(container: &str, more: &[&str]) -> Output {
    let watchkeeper = Watchkeeper::with_config(&application("app", container, scratch::free_port()));
    watchkeeper.run(&[&["recover", "app", "--yes"], more].concat())
}

#[test]
fn one_that_ends_again_is_told_at_once_with_its_exit_code_and_its_last_lines() {
    let Some(image) = image() else { return };
    let dies = container(&image, &[], "echo the disk is on fire; exit 7");
    let since = Instant::now();
    let output = recover(&dies.name, &["--timeout", "10m"]).expect(1);
    assert!(since.elapsed() < AT_ONCE);
    let told = ["ended again: exit code 7", "the disk is on fire", "`docker logs"];
    assert!(told.iter().all(|text| output.stdout.contains(text)), "{output:?}");
}

#[test]
fn one_that_a_restart_policy_starts_over_and_over_is_told_at_once() {
    let Some(image) = image() else { return };
    let dies = container(&image, &["--restart", "always"], "echo no such table; exit 9");
    let since = Instant::now();
    let output = recover(&dies.name, &["--timeout", "10m"]).expect(1);
    assert!(since.elapsed() < AT_ONCE);
    let told = ["exit code 9", "its restart policy started it", "no such table"];
    assert!(told.iter().all(|text| output.stdout.contains(text)), "{output:?}");
}

#[test]
fn one_that_ends_once_and_is_well_the_next_time_is_a_warning() {
    let Some(image) = image() else { return };
    let port = scratch::free_port();
    let publish = format!("127.0.0.1:{port}:8080");
    // What is in its own layer says that it was there before.
    let script = "test -e /tmp/once || { touch /tmp/once; exit 4; }; echo well >/tmp/health; \
                  exec /bin/busybox httpd -f -p 8080 -h /tmp";
    let comes = container(&image, &["--restart", "on-failure", "-p", &publish], script);
    let look = "[[job]]\nname = \"look\"\nkind = \"verify-deployment\"\n[[job.check]]\nname = \"health\"\n\
                type = \"http\"\napplication = \"app\"\npath = \"/health\"\n";
    let watchkeeper = Watchkeeper::with_config(&(application("app", &comes.name, port) + look));
    let output = watchkeeper.run(&["recover", "app", "--yes"]).expect(3);
    assert!(output.stdout.contains("ended after its start, and its restart policy"), "{output:?}");
}

#[test]
fn one_that_wants_more_memory_than_it_may_have_is_told_so() {
    let Some(image) = image() else { return };
    let memory = ["--memory", "16m", "--memory-swap", "16m"];
    let greedy = container(&image, &memory, "exec dd if=/dev/zero of=/dev/null bs=200M count=1");
    let output = recover(&greedy.name, &["--timeout", "10m"]).expect(1);
    assert!(output.stdout.contains("OUT OF MEMORY") && output.stdout.contains("exit code 137"), "{output:?}");
    assert!(output.stdout.contains("raise its limit"), "{output:?}");
}

#[test]
fn one_that_runs_and_never_answers_is_told_with_what_was_seen_at_the_end_of_the_limit() {
    let Some(image) = image() else { return };
    let hangs = container(&image, &[], "echo loading the model; sleep 600");
    let output = recover(&hangs.name, &["--timeout", "3s"]).expect(1);
    let told = ["is not ready after 3.0 s: Cannot reach", "loading the model", "--timeout"];
    assert!(told.iter().all(|text| output.stdout.contains(text)), "{output:?}");
    assert_eq!(hangs.inspect("{{.State.Running}}"), "true");
}

#[test]
fn what_ran_beside_it_and_was_lost_is_named_with_what_to_do() {
    let Some(image) = image() else { return };
    let (web, port) = web(&image, &[]);
    docker(["start", &web.name]);
    // It ends when the network that it shares is gone.
    let network = format!("container:{}", web.name);
    let script = "while wget -q -O /dev/null http://127.0.0.1:8080/health; do sleep 0.2; done";
    let beside = container(&image, &["--network", &network], script);
    docker(["start", &beside.name]);
    let look = "[[job]]\nname = \"look\"\nkind = \"verify-deployment\"\n[[job.check]]\nname = \"health\"\n\
                type = \"http\"\napplication = \"app\"\npath = \"/health\"\n";
    let config = application("app", &web.name, port) + &application("beside", &beside.name, port) + look;
    let watchkeeper = Watchkeeper::with_config(&config);
    let output = watchkeeper.run(&["recover", "app", "--yes"]).expect(3);
    let told = format!("application/beside ran before and does not run now: `docker logs {}`", beside.name);
    assert!(output.stdout.contains(&told), "{output:?}");
}
