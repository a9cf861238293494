//! The way back of a `change`: whatever cuts it, the old configuration comes into force again, also where Prometheus does not
//! run, and nobody is left without a way out.

use std::fs;
use std::process::Command;

use crate::change::{config, is_as_before, killed, put, scene, written};
use crate::support::prometheus::{Builder, Prometheus};
use crate::support::proxy::{BAD_GATEWAY, Fault, Proxy, What};
use crate::support::run;
use crate::support::watchkeeper::Watchkeeper;

/// What promtool lets pass, and Prometheus does not start with.
const TWICE: &str = "remote_write:\n- url: http://127.0.0.1:1/w\n- url: http://127.0.0.1:1/w\n";

fn through(proxy: &Proxy) -> Watchkeeper {
    Watchkeeper::with_config(&format!("[prometheus.main]\nurl = \"{}\"\n", proxy.url()))
}

#[test]
fn a_server_that_does_not_start_with_a_change_that_was_cut_gets_its_old_file_back() {
    let Some((prometheus, _)) = scene() else { return };
    let before = (config(&prometheus), prometheus.loaded_config());
    let proxy = Proxy::before(&prometheus.url());
    let watchkeeper = through(&proxy);
    let file = written(&watchkeeper, &format!("{}{TWICE}", before.0));
    proxy.inject(Fault::new(What::HalfOpen).at("POST /-/reload"));
    let mut child = watchkeeper.spawn(&["change", "prometheus-config", file.to_str().unwrap(), "--yes"]);
    proxy.wait_hit();
    // It is under way, and not cut.
    let status = watchkeeper.run(&["status"]).expect(0);
    assert!(!status.stdout.contains("was cut"), "{status:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    proxy.heal();
    prometheus.stop();

    for command in ["status", "check"] {
        let told = watchkeeper.run(&[command]).expect(1).stdout.replace('\n', " ");
        assert!(told.contains("was cut") && told.contains("change take-back"), "{told}");
    }
    // It may be why it is down: whoever wants to recover it is told before.
    let own = fs::read_to_string(watchkeeper.config()).unwrap();
    fs::write(
        watchkeeper.config(),
        format!("{own}service = {{ stop = [\"true\"], start = [\"echo\", \"up\"] }}\n"),
    )
    .unwrap();
    let plan = watchkeeper.run(&["recover", "main", "--dry-run"]).expect(0);
    assert!(format!("{plan:?}").contains("was cut"), "{plan:?}");
    let recovered = watchkeeper.run(&["recover", "main", "--yes", "--timeout", "1s"]).expect(1).stdout;
    let started = recovered.lines().find(|line| line.contains("start prometheus/main ")).unwrap();
    assert!(started.ends_with("echo up"), "{recovered}");
    fs::write(watchkeeper.config(), own).unwrap();
    let dry = watchkeeper.run(&["change", "take-back", "--dry-run"]).expect(0);
    assert!(dry.stderr.contains(".bak") && config(&prometheus) != before.0, "{dry:?}");
    // Another change settles it first, and ends there: there is no server.
    let next = watchkeeper.run(&["change", "scrape-interval", "3s", "--yes"]).expect(3);
    assert!(next.stdout.contains("was taken back") && next.stdout.contains("nobody has seen"), "{next:?}");
    assert_eq!(config(&prometheus), before.0);
    let status = watchkeeper.run(&["status"]).expect(1).stdout.replace('\n', " ");
    assert!(status.contains("is back") && status.contains("nobody has seen yet"), "{status}");

    prometheus.start();
    prometheus.wait_ready();
    let proven = watchkeeper.run(&["change", "take-back", "--yes"]).expect(0);
    assert!(proven.stdout.contains("had put it back"), "{proven:?}");
    is_as_before(&prometheus, &watchkeeper, &before);
    watchkeeper.run(&["status"]).expect(0);
    let none = watchkeeper.run(&["change", "take-back", "--yes"]).expect(0);
    assert!(none.stdout.contains("No change of Prometheus main was cut"), "{none:?}");
}

#[test]
fn in_a_container_that_has_ended_the_old_file_is_put_back_too() {
    let Some(prometheus) = Prometheus::container(Builder::default().without_blocks().reloadable()) else {
        return;
    };
    let before = prometheus.loaded_config();
    let proxy = Proxy::before(&prometheus.url());
    let name = prometheus.container_name().unwrap();
    let watchkeeper = Watchkeeper::with_config(&format!(
        "[prometheus.main]\nurl = \"{}\"\ncontainer = \"{name}\"\n",
        proxy.url()
    ));
    proxy.inject(Fault::new(What::HalfOpen).at("POST /-/reload"));
    let mut child = watchkeeper.spawn(&["change", "scrape-interval", "2s", "--yes"]);
    proxy.wait_hit();
    child.kill().unwrap();
    child.wait().unwrap();
    proxy.heal();
    prometheus.stop();
    let back = watchkeeper.run(&["change", "take-back", "--yes"]).expect(3);
    assert!(back.stdout.contains("was taken back"), "{back:?}");
    prometheus.start();
    prometheus.wait_ready();
    assert_eq!(prometheus.loaded_config(), before);
    watchkeeper.run(&["change", "scrape-interval", "3s", "--yes"]).expect(0);
}

#[test]
fn an_answer_that_is_lost_is_no_failure_and_what_never_arrived_is_taken_back() {
    let Some((prometheus, _)) = scene() else { return };
    let proxy = Proxy::before(&prometheus.url());
    let watchkeeper = through(&proxy);
    proxy.inject(Fault::new(What::DoneBut(BAD_GATEWAY)).at("POST /-/reload"));
    let done = watchkeeper.run(&["change", "scrape-interval", "2s", "--yes"]).expect(0);
    assert!(done.stdout.contains("whose answer was lost"), "{done:?}");
    assert!(prometheus.loaded_config().contains("global:\n  scrape_interval: 2s"));
    proxy.heal();

    let before = (config(&prometheus), prometheus.loaded_config());
    let refused = written(&watchkeeper, &format!("{}{TWICE}", before.0));
    proxy.inject(Fault::new(What::DoneBut(BAD_GATEWAY)).at("POST /-/reload"));
    let back = put(&watchkeeper, &refused).expect(1);
    assert!(back.stdout.contains("is back: Prometheus has loaded it"), "{back:?}");
    is_as_before(&prometheus, &watchkeeper, &before);
    proxy.heal();

    proxy.inject(Fault::new(What::Answers(BAD_GATEWAY)).at("POST /-/reload"));
    let back = watchkeeper.run(&["change", "scrape-interval", "3s", "--yes"]).expect(1);
    assert!(back.stdout.contains("is back: Prometheus has loaded nothing since"), "{back:?}");
    is_as_before(&prometheus, &watchkeeper, &before);
}

#[test]
fn a_server_that_hears_no_reload_runs_with_what_it_had() {
    let Some(prometheus) = Prometheus::host(Builder::default().without_blocks()) else { return };
    let watchkeeper = Watchkeeper::with_config(&format!(
        "[prometheus.main]\nurl = \"{}\"\nservice = {{ unit = \"prometheus.service\" }}\n",
        prometheus.url()
    ));
    let before = (config(&prometheus), prometheus.loaded_config());
    fs::create_dir(watchkeeper.programs()).unwrap();
    let systemctl = watchkeeper.programs().join("systemctl");
    fs::write(&systemctl, "#!/bin/sh\nexit 0\n").unwrap();
    run(Command::new("chmod").arg("755").arg(&systemctl));
    let output = watchkeeper.run(&["change", "scrape-interval", "2s", "--yes"]).expect(1);
    assert!(
        output.stdout.contains("has not done so after") && output.stdout.contains("has loaded nothing since"),
        "{output:?}"
    );
    is_as_before(&prometheus, &watchkeeper, &before);
}

#[test]
fn where_nobody_can_see_what_runs_that_is_said_and_the_way_out_is_no_file_of_ours() {
    let Some((prometheus, _)) = scene() else { return };
    let before = (config(&prometheus), prometheus.loaded_config());
    let proxy = Proxy::before(&prometheus.url());
    let watchkeeper = through(&proxy);
    proxy.inject(Fault::new(What::RequestHeldAfter(0)).at("POST /-/reload"));
    let arguments = ["change", "scrape-interval", "2s", "--yes"];
    let child = watchkeeper.spawn(&arguments);
    proxy.wait_hit();
    proxy.lose_server();
    let lost = watchkeeper.wait(child, &arguments).expect(4);
    assert!(lost.stdout.contains("the old file is back, but nobody has seen"), "{lost:?}");
    assert!(lost.stdout.contains(".bak") && !lost.stdout.contains("--undo"), "{lost:?}");
    assert!(lost.stdout.contains("watchkeeper change take-back --prometheus main"), "{lost:?}");
    assert!(!lost.stdout.contains("state/changes"), "{lost:?}");
    proxy.heal();
    watchkeeper.run(&["change", "take-back", "--yes"]).expect(0);
    is_as_before(&prometheus, &watchkeeper, &before);
}

#[test]
fn a_change_that_was_cut_can_be_left_as_it_is() {
    let Some((prometheus, _)) = scene() else { return };
    let proxy = Proxy::before(&prometheus.url());
    let watchkeeper = killed(&prometheus, &proxy);
    let edited = format!("# by hand\n{}", config(&prometheus));
    fs::write(prometheus.config_file(), &edited).unwrap();
    let refused = watchkeeper.run(&["change", "take-back", "--yes"]).expect(1);
    assert!(
        refused.stdout.contains("changed by somebody since") && refused.stdout.contains("--keep"),
        "{refused:?}"
    );
    watchkeeper.run(&["change", "take-back", "--keep", "--yes"]).expect(0);
    assert_eq!(config(&prometheus), edited);
    watchkeeper.run(&["status"]).expect(0);
    watchkeeper.run(&["change", "scrape-interval", "3s", "--yes"]).expect(0);
    assert!(config(&prometheus).starts_with("# by hand\n"));
    // A note that nobody can read is no dead end, either.
    fs::write(watchkeeper.state().join("changes/prometheus-main.json"), "{").unwrap();
    let told = watchkeeper.run(&["change", "scrape-interval", "4s", "--yes"]).expect(1);
    assert!(told.stderr.contains("take-back --prometheus main --keep"), "{told:?}");
    watchkeeper.run(&["status"]).expect(1);
    watchkeeper.run(&["change", "take-back", "--keep", "--yes"]).expect(0);
    watchkeeper.run(&["change", "scrape-interval", "4s", "--yes"]).expect(0);
}

/// Unlocks a file at the end, so that it can be removed.
struct Locked<'a>(&'a std::path::Path);

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let _ = Command::new("chattr").arg("-i").arg(self.0).status();
    }
}

#[test]
fn a_file_that_is_locked_is_told_as_that() {
    let Some((prometheus, watchkeeper)) = scene() else { return };
    let before = (config(&prometheus), prometheus.loaded_config());
    let file = prometheus.config_file();
    let locked = Locked(&file);
    if !Command::new("chattr").arg("+i").arg(&file).status().is_ok_and(|status| status.success()) {
        return;
    }
    let output = watchkeeper.run(&["change", "scrape-interval", "2s", "--yes"]).expect(1);
    assert!(output.stdout.contains("lsattr") && output.stdout.contains("nothing was written"), "{output:?}");
    assert!(!output.stdout.contains("run it as root"), "{output:?}");
    drop(locked);
    is_as_before(&prometheus, &watchkeeper, &before);
}
