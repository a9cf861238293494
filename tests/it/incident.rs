//! Incidents: what an Alertmanager tells is kept, followed and told, by the built daemon.

mod alertmanager;
mod ended;
mod escalation;
mod response;
mod storm;
mod webhook;

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::watchkeeper::Watchkeeper;
use crate::support::{http, run, scratch, wait_until};

const SOON: Duration = Duration::from_secs(90);
const PATH: &str = "/webhook/alertmanager";
const TOKEN: &str = "hunter2";

/// A daemon that takes notices at a port of its own.
struct Keeper {
    watchkeeper: Watchkeeper,
    port: u16,
    daemon: Option<Child>,
}

impl Keeper {
    /// With this beside `[metrics]` and `[webhook]` in its jobs.toml; started, and well.
    fn start(more: &str) -> Self {
        let port = scratch::free_port();
        let mut this = Self { watchkeeper: Watchkeeper::with_config(""), port, daemon: None };
        this.configure(more);
        this.begin();
        this
    }

    fn configure(&self, more: &str) {
        self.watchkeeper.configure(&format!(
            "[metrics]\nlisten = \"127.0.0.1:{}\"\n[webhook]\ntoken = {{ env = \"WEBHOOK_TOKEN\" }}\n{more}",
            self.port
        ));
    }

    fn begin(&mut self) {
        self.begin_with(TOKEN);
    }

    /// With this token in its environment.
    fn begin_with(&mut self, token: &str) {
        let log = File::options().create(true).append(true).open(self.log_file()).unwrap();
        let mut command = self.watchkeeper.command(&["run"]);
        command.env("WEBHOOK_TOKEN", token).stdout(Stdio::null()).stderr(log);
        self.daemon = Some(command.spawn().unwrap());
        let is_well = || http::get(self.port, "/healthz").is_some_and(|(status, _)| status == 200);
        wait_until("the daemon is well", SOON, is_well);
    }

    fn log_file(&self) -> std::path::PathBuf {
        self.watchkeeper.folder().join("daemon.log")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.daemon.as_ref().unwrap().id().to_string();
        run(Command::new("kill").args([name, &pid]));
    }

    /// Kills it as nobody can expect.
    fn kill(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }

    fn stop(&mut self) {
        self.signal("-TERM");
        let mut daemon = self.daemon.take().unwrap();
        assert!(daemon.wait().unwrap().success(), "{}", self.log());
    }

    /// What is answered to a body by who has the token.
    fn post(&self, body: &str) -> (u16, String) {
        let token = format!("Bearer {TOKEN}");
        let answer = http::send(self.port, "POST", PATH, &[("Authorization", &token)], body).unwrap();
        (answer.status, answer.body)
    }

    #[track_caller]
    fn tell(&self, alerts: &[Value]) {
        let (status, said) = self.post(&payload(alerts).to_string());
        assert_eq!(status, 200, "{said}");
    }

    fn incidents(&self) -> Vec<Value> {
        let list = self.watchkeeper.run_json(&["incidents", "-n", "1000"]).expect(0).json();
        list["incidents"].as_array().unwrap().clone()
    }

    fn show(&self, number: u64) -> Value {
        self.watchkeeper.run_json(&["incident", "show", &number.to_string()]).expect(0).json()
    }

    fn texts(&self, number: u64) -> Vec<String> {
        let incident = self.show(number);
        let timeline = incident["timeline"].as_array().unwrap().iter();
        timeline.map(|entry| entry["text"].as_str().unwrap().to_owned()).collect()
    }

    fn wait_for(&self, number: u64, response: &str) {
        wait_until(&format!("the response is {response}"), SOON, || {
            self.show(number)["response"] == response
        });
    }

    /// The kinds of the lines of a timeline.
    fn kinds(&self, number: u64) -> Vec<String> {
        let incident = self.show(number);
        let timeline = incident["timeline"].as_array().unwrap().iter();
        timeline.map(|entry| entry["kind"].as_str().unwrap().to_owned()).collect()
    }

    /// The value of a sample that begins so.
    fn metric(&self, start: &str) -> Option<f64> {
        let (_, text) = http::get(self.port, "/metrics")?;
        let line = text.lines().find(|line| line.starts_with(start))?;
        line.rsplit(' ').next()?.parse().ok()
    }
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}

fn firing(fingerprint: &str, alert: &str, starts: &str) -> Value {
    json!({
        "status": "firing",
        "labels": { "alertname": alert, "severity": "critical", "instance": fingerprint },
        "annotations": { "summary": "nobody can log in" },
        "startsAt": starts, "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph", "fingerprint": fingerprint,
    })
}

fn resolved(fingerprint: &str, alert: &str, starts: &str) -> Value {
    let mut alert = firing(fingerprint, alert, starts);
    (alert["status"], alert["endsAt"]) = (json!("resolved"), json!(now()));
    alert
}

/// As an Alertmanager posts it.
fn payload(alerts: &[Value]) -> Value {
    json!({
        "receiver": "keeper", "status": "firing", "alerts": alerts, "groupLabels": {}, "commonLabels": {},
        "commonAnnotations": {}, "externalURL": "http://am:9093", "version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0,
    })
}
