//! What looks whether all is well, `verify-deployment` and `check --online`, behind broken networks: it says what is not, and in
//! its time.

use std::time::{Duration, Instant};

use super::containers::through;
use super::{BREAKS, LIES, Named, SLACK, faults};
use crate::reliability::in_full;
use crate::support::alertmanager::Alertmanager;
use crate::support::docker::{self, Container, Image};
use crate::support::grafana::{Grafana, Version};
use crate::support::grafana_export::{PASSWORD, sample};
use crate::support::prometheus::{Builder, Prometheus};
use crate::support::proxy::{Fault, Proxy, What};
use crate::support::receiver::Receiver;
use crate::support::watchkeeper::{Output, Watchkeeper};
use crate::torture::sweep::Dice;

const VERIFY: [&str; 2] = ["run-now", "verify"];
const CHECK: [&str; 2] = ["check", "--online"];
/// What one check may take here.
const EACH: Duration = Duration::from_secs(3);
/// What a target may take that is looked at by `check --online`.
const ANSWER: Duration = Duration::from_secs(30);

/// The whole stack, each of it behind a proxy.
struct Stack {
    _servers: (Prometheus, Alertmanager, Grafana, Receiver),
    proxies: [Proxy; 4],
    /// Their entries in jobs.toml.
    targets: String,
    watchkeeper: Watchkeeper,
}

impl Stack {
    fn new() -> Option<Self> {
        let prometheus = Prometheus::host(Builder::default().without_blocks())?;
        prometheus.load_rules(
            "groups: [ { name: g, interval: 1s, rules: [ { record: 'wk:up', expr: 'sum(up)' } ] } ]",
        );
        let alertmanager = Alertmanager::start()?;
        let (grafana, receiver) = (sample(Version::V7_5), Receiver::start());
        let alertmanager_url = format!("http://127.0.0.1:{}", alertmanager.port);
        let urls = [prometheus.url(), alertmanager_url, grafana.url(), receiver.url("")];
        let proxies = urls.each_ref().map(|url| Proxy::before(url));
        let [of_prometheus, of_alertmanager, of_grafana, of_receiver] = proxies.each_ref().map(Proxy::url);
        let target = prometheus.target().replace(&prometheus.url(), &of_prometheus);
        let checks = [
            "type = \"rules\"\nprometheus = \"main\"",
            "type = \"targets\"\nprometheus = \"main\"",
            "type = \"promql\"\nprometheus = \"main\"\nquery = \"count(up)\"\nabove = 0",
            "type = \"metric\"\nprometheus = \"main\"\nmetric = \"prometheus_build_info\"",
            "type = \"alertmanager\"\nalertmanager = \"main\"",
            "type = \"grafana\"\ngrafana = \"main\"",
            "type = \"http\"\nprometheus = \"main\"\npath = \"/-/healthy\"\nbody = \"Healthy\"",
        ];
        let checks =
            checks.map(|check| format!("[[job.check]]\ntimeout = \"{}s\"\n{check}\n", EACH.as_secs()));
        let targets = format!(
            "{target}[alertmanager.main]\nurl = \"{of_alertmanager}\"\n\
             [grafana.main]\nurl = \"{of_grafana}\"\n{PASSWORD}\n"
        );
        let watchkeeper = Watchkeeper::with_config(&format!(
            "{targets}[notify.ops]\ntype = \"webhook\"\nurl = \"{of_receiver}/hook\"\non = [\"missed\"]\n\
             [[job]]\nname = \"verify\"\nkind = \"verify-deployment\"\nretries = {{ max = 0 }}\n{}",
            checks.concat()
        ));
        let servers = (prometheus, alertmanager, grafana, receiver);
        let this = Self { _servers: servers, proxies, targets, watchkeeper };
        // Its servers are on their way up.
        this.watchkeeper.run(&["run-now", "verify", "--wait", "60s"]).expect(0);
        Some(this)
    }

    /// Runs it with the same fault before every server.
    fn disturbed(&self, words: &[&str], fault: &Fault, limit: Duration) -> Output {
        self.proxies.iter().for_each(|proxy| proxy.inject(fault.clone()));
        let since = Instant::now();
        let output = self.watchkeeper.run(words);
        let took = since.elapsed();
        self.proxies.iter().for_each(Proxy::heal);
        assert!(took < limit + SLACK, "{fault:?}: {took:?} where the limit is {limit:?}: {output:?}");
        assert!(!output.stderr.contains("panicked"), "{fault:?}: {output:?}");
        output
    }
}

/// One that ends at a limit, and one of each other sort: in full all of them.
fn some_faults() -> Vec<Named> {
    if in_full() {
        return faults().collect();
    }
    let mut dice = Dice::new();
    vec![BREAKS[dice.roll(2)], BREAKS[2 + dice.roll(4)], LIES[dice.roll(3)]]
}

#[test]
fn a_deployment_behind_a_broken_network_is_not_well_and_that_is_told_in_time() {
    let Some(stack) = Stack::new() else { return };
    for (name, what) in faults() {
        let output = stack.disturbed(&["--json", "run-now", "verify"], &Fault::new(what), EACH).expect(1);
        let checks = output.json()["runs"][0]["output"]["checks"].clone();
        let checks = checks.as_array().unwrap();
        assert_eq!(checks.len(), 7, "{output:?}");
        for check in checks {
            let text = check["text"].as_str().unwrap();
            assert!(check["passed"] == false, "{name}: {check}");
            let told = ["127.0.0.1", "within 3"];
            assert!(told.iter().any(|told| text.contains(told)), "{name}: it is not told of what: {check}");
        }
        stack.watchkeeper.run(&VERIFY).expect(0);
    }
    let late = Fault::new(What::Late(Duration::from_millis(20)));
    stack.disturbed(&VERIFY, &late, EACH).expect(0);
}

#[test]
fn a_check_of_what_is_behind_a_broken_network_tells_of_each_target_in_time() {
    let Some(stack) = Stack::new() else { return };
    for (name, what) in some_faults() {
        let output = stack.disturbed(&CHECK, &Fault::new(what), ANSWER).expect(1);
        let [prometheus, _, grafana, _] = &stack.proxies;
        for (target, proxy) in [("prometheus.main", prometheus), ("grafana.main", grafana)] {
            let (_, told) = output.stdout.split_once(target).unwrap();
            let is_told = told.contains("PROBLEM") && told.contains(&proxy.url());
            assert!(is_told, "{name}: it is not told of what: {output:?}");
        }
        let well = stack.watchkeeper.run(&CHECK);
        assert!(matches!(well.code, 0 | 3), "after {name}: {well:?}");
    }
}

#[test]
fn a_server_that_falls_silent_after_its_first_answers_keeps_no_check_waiting() {
    let Some(stack) = Stack::new() else { return };
    for request in
        ["GET /api/v1/status/flags", "GET /metrics", "GET /api/v1/status/runtimeinfo", "GET /api/user"]
    {
        let fault = Fault::new(What::HalfOpen).at(request);
        let output = stack.disturbed(&CHECK, &fault, ANSWER);
        assert!(matches!(output.code, 1 | 3), "{request}: {output:?}");
    }
}

/// A job that ends at its timeout, long before the limit of its checks, and what it then says.
fn ends_at_its_timeout(watchkeeper: &Watchkeeper, proxy: &Proxy, names: &[&str]) {
    proxy.inject(Fault::new(What::HalfOpen));
    let words = ["--json", "run-now", "verify"];
    let since = Instant::now();
    let output = watchkeeper.wait(through_or_not(watchkeeper, proxy, &words), &words).expect(1);
    let took = since.elapsed();
    proxy.heal();
    // Less than what a run is given to tidy up.
    assert!(took < Duration::from_secs(12), "{took:?} where the timeout is 3 s: {output:?}");
    let report = output.json()["runs"][0].clone();
    assert_eq!(report["reason"], "Timed out after 3.0 s at the step \"look at everything\"", "{report}");
    let checks = report["output"]["checks"].as_array().unwrap();
    let passed = |name: &str| {
        let check = checks.iter().find(|check| check["name"] == name);
        check.unwrap_or_else(|| panic!("no check {name}: {report}"))["passed"] == true
    };
    assert!(passed("room"), "{report}");
    for name in names {
        assert!(!passed(name), "{name}: {report}");
    }
}

fn through_or_not(watchkeeper: &Watchkeeper, proxy: &Proxy, words: &[&str]) -> std::process::Child {
    if proxy.port == 0 { through(watchkeeper, proxy, words) } else { watchkeeper.spawn(words) }
}

/// A job whose checks have longer than itself, with one beside them that passes.
fn job(checks: &[&str]) -> String {
    let checks: Vec<String> =
        checks.iter().map(|check| format!("[[job.check]]\ntimeout = \"5m\"\n{check}\n")).collect();
    format!(
        "[[job]]\nname = \"verify\"\nkind = \"verify-deployment\"\ntimeout = \"3s\"\nretries = {{ max = 0 }}\n\
         [[job.check]]\nname = \"room\"\ntype = \"disk\"\npath = \"/\"\nfree = \"1%\"\n{}",
        checks.concat()
    )
}

#[test]
fn whatever_check_hangs_the_job_ends_at_its_timeout_and_tells_what_was_found_until_then() {
    let Some(stack) = Stack::new() else { return };
    let [prometheus, ..] = &stack.proxies;
    let targets = &stack.targets;
    let of_prometheus = |name: &str, keys: &str| format!("name = \"{name}\"\nprometheus = \"main\"\n{keys}");
    let checks = [
        of_prometheus("rules", "type = \"rules\""),
        of_prometheus("targets", "type = \"targets\""),
        of_prometheus("promql", "type = \"promql\"\nquery = \"up\"\nabove = 0"),
        of_prometheus("metric", "type = \"metric\"\nmetric = \"up\""),
        of_prometheus("http", "type = \"http\""),
    ];
    let checks = checks.each_ref().map(String::as_str);
    stack.watchkeeper.configure(&format!("{targets}{}", job(&checks)));
    ends_at_its_timeout(&stack.watchkeeper, prometheus, &["rules", "targets", "promql", "metric", "http"]);
    let [_, alertmanager, grafana, _] = &stack.proxies;
    for (proxy, check) in [
        (alertmanager, "name = \"other\"\ntype = \"alertmanager\"\nalertmanager = \"main\""),
        (grafana, "name = \"other\"\ntype = \"grafana\"\ngrafana = \"main\""),
    ] {
        stack.watchkeeper.configure(&format!("{targets}{}", job(&[check])));
        ends_at_its_timeout(&stack.watchkeeper, proxy, &["other"]);
    }
}

#[test]
fn a_silent_engine_keeps_no_check_of_a_container_waiting() {
    if !docker::available() {
        return;
    }
    let (image, container) = (Image::of_programs(&[]), Container::named("checked"));
    container.create(&["--network", "none", &image.name, "/bin/sleep", "100000"]);
    docker::docker(["start", &container.name]);
    let (proxy, name) = (Proxy::before_docker(), &container.name);
    let check = format!("name = \"box\"\ntype = \"container\"\ncontainer = \"{name}\"");
    let watchkeeper = Watchkeeper::with_config(&job(&[&check]));
    watchkeeper.run(&VERIFY).expect(0);
    ends_at_its_timeout(&watchkeeper, &proxy, &["box"]);
    // And it has a limit of its own.
    let own =
        job(&[&check]).replace("timeout = \"5m\"", "timeout = \"2s\"").replace("timeout = \"3s\"\n", "");
    watchkeeper.configure(&own);
    proxy.inject(Fault::new(What::HalfOpen));
    let since = Instant::now();
    let output = watchkeeper.wait(through(&watchkeeper, &proxy, &VERIFY), &VERIFY).expect(1);
    assert!(since.elapsed() < Duration::from_secs(12), "{:?}: {output:?}", since.elapsed());
    assert!(output.stdout.contains("box: no answer within 2.0 s"), "{output:?}");
}
