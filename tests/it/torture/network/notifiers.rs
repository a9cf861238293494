//! A proxy before whom is told: a webhook and a real Alertmanager. No run feels it, and what was to be told is told later.

use std::time::Duration;

use super::{Named, disturbed, faults};
use crate::support::alertmanager::Alertmanager;
use crate::support::proxy::{Fault, Proxy};
use crate::support::receiver::Receiver;
use crate::support::wait_until;
use crate::support::watchkeeper::Watchkeeper;

/// What a delivery may take.
const LIMIT: Duration = Duration::from_secs(30);
/// A job that fails, which is to be told.
const FAILS: &str =
    "[[job]]\nname = \"j\"\nkind = \"command\"\ncommand = [\"false\"]\nretries = { max = 0 }\n";

/// With the same fault in front of a notifier `n`: a test of it says that it is not told, and a run ends as it would.
fn fails_and_is_told_later(config: &str, proxy: &Proxy, (name, what): Named) {
    let watchkeeper = Watchkeeper::with_config(&format!("{FAILS}{config}"));
    let fault = Fault::new(what).at("POST /");
    let tested = disturbed(&watchkeeper, proxy, &fault, LIMIT, &["notify-test"]).expect(1);
    let place = format!("127.0.0.1:{}", proxy.port);
    assert!(tested.stdout.contains(&place), "{name}: it is not told who did not answer: {tested:?}");
    let run = disturbed(&watchkeeper, proxy, &fault, LIMIT * 2, &["run-now", "j"]).expect(1);
    let said = run.stdout + &run.stderr;
    // Nobody waits for it as long as it may take.
    let is_told_why = said.contains(&place) || said.contains("no answer within 10 s");
    assert!(said.contains("notifier n: not delivered: ") && is_told_why, "{name}: {said}");
    let status = watchkeeper.run(&["status"]).expect(1);
    assert!(status.stdout.contains("CAUTION: notifier n: not delivered since "), "{name}: {status:?}");
    // The network is well again: a run tells what was not, once the pause between two tries is over.
    wait_until(&format!("{name}: it is told"), LIMIT * 3, || {
        watchkeeper.run(&["run-now", "j"]).expect(1);
        !watchkeeper.run(&["status"]).expect(1).stdout.contains("CAUTION: notifier")
    });
    watchkeeper.run(&["notify-test"]).expect(0);
}

/// All faults at once: most of them wait for a limit.
fn each_fault(server: &str, config: impl Fn(&Proxy) -> String + Sync) {
    std::thread::scope(|scope| {
        for fault in faults() {
            let config = &config;
            scope.spawn(move || {
                let proxy = Proxy::before(server);
                fails_and_is_told_later(&config(&proxy), &proxy, fault);
            });
        }
    });
}

#[test]
fn a_webhook_behind_a_broken_network_is_told_later() {
    let receiver = Receiver::start();
    each_fault(&receiver.url(""), |proxy| {
        format!("[notify.n]\ntype = \"webhook\"\nurl = \"{}/hook\"\ncooldown = \"0s\"\n", proxy.url())
    });
    assert!(receiver.posted("/hook").iter().any(|posted| posted.json()["event"] == "failed"));
}

#[test]
fn an_alertmanager_behind_a_broken_network_is_told_later() {
    let Some(server) = Alertmanager::start() else { return };
    wait_until("Alertmanager is up", Duration::from_mins(1), || server.is_up());
    let url = format!("http://127.0.0.1:{}", server.port);
    each_fault(&url, |proxy| {
        format!(
            "[alertmanager.main]\nurl = \"{}\"\n[notify.n]\ntype = \"alertmanager\"\nalertmanager = \"main\"\n",
            proxy.url()
        )
    });
}
