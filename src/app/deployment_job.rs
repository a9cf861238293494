//! The job `verify-deployment`: from the checks as they are configured to checks that can be made.

use futures_util::FutureExt as _;

use super::targets::credentials;
use super::{Shared, TargetError};
use crate::blocking::blocking;
use crate::config::DeploymentConfig;
use crate::config::checks::{CheckConfig, CheckKind, Server};
use crate::config::values::{Auth, Endpoint, JobName, TargetName};
use crate::deployment::{
    AlertmanagerCheck, BackupCheck, CertificateCheck, Check, ContainerCheck, DiskCheck, GrafanaCheck,
    HttpCheck, MetricCheck, Probe, PromqlCheck, RulesCheck, TargetsCheck, Wrong, look,
};
use crate::http::{Credentials, HttpClient};
use crate::identity;
use crate::jobs::{CheckResult, JobOutput, RunContext};
use crate::prometheus::client::PrometheusClient;
use crate::prometheus::preflight::Finding;
use crate::runner::Failure;
use crate::words;

pub(super) async fn run(
    shared: &Shared,
    config: &DeploymentConfig,
    context: RunContext,
) -> Result<JobOutput, Failure> {
    let results = results(shared, config, &context).await;
    let failed: Vec<&CheckResult> = results.iter().filter(|result| !result.passed).collect();
    let summary = match failed.as_slice() {
        [] => format!("{} passed", words::count(results.len(), "check")),
        [one] => format!("1 of {} failed: {}: {}", words::count(results.len(), "check"), one.name, one.text),
        many => {
            let names: Vec<&str> = many.iter().map(|result| result.name.as_str()).collect();
            format!("{} of {} failed: {}", many.len(), words::count(results.len(), "check"), names.join(", "))
        }
    };
    let all_passed = failed.is_empty();
    let output = JobOutput { summary: summary.clone(), checks: results, ..JobOutput::default() };
    if all_passed {
        return Ok(output);
    }
    Err(Failure { output: Some(Box::new(output)), ..Failure::new(summary) })
}

/// Makes the checks, as a step of the run.
pub(super) async fn results(
    shared: &Shared,
    config: &DeploymentConfig,
    context: &RunContext,
) -> Vec<CheckResult> {
    let checks: Vec<Check<'_>> = config.checks.iter().map(|check| prepared(shared, check)).collect();
    let step = context.progress.step("look at everything", None);
    let mut results = look(&checks, context.now, config.wait, &context.cancel).await;
    for hint in results.iter_mut().filter_map(|result| result.hint.as_mut()) {
        *hint = words::for_job(hint, context.job.as_str());
    }
    let passed = results.iter().filter(|result| result.passed).count();
    step.finish(format!("{passed} of {} passed", results.len()));
    results
}

/// What a run would do.
pub(super) fn preview(config: &DeploymentConfig) -> Vec<Finding> {
    config
        .checks
        .iter()
        .map(|check: &CheckConfig| Finding::ok(format!("would check: {}", check.name)))
        .collect()
}

fn prepared<'c>(shared: &'c Shared, check: &'c CheckConfig) -> Check<'c> {
    let CheckConfig { name, timeout, what } = check;
    Check { name: name.clone(), limit: *timeout, probe: probe(shared, what).boxed().shared() }
}

async fn probe(shared: &Shared, what: &CheckKind) -> Result<Probe, Wrong> {
    Ok(match what {
        CheckKind::Http { server, path, answer } => {
            let client = http(shared, server, false)?;
            Probe::Http(HttpCheck { client, path: path.clone(), answer: answer.clone() })
        }
        CheckKind::Metric { server, path, metric } => {
            let client = http(shared, server, false)?;
            Probe::Metric(MetricCheck { client, path: path.clone(), metric: metric.clone() })
        }
        CheckKind::Promql { prometheus, query, threshold } => {
            let client = client(shared, prometheus)?;
            Probe::Promql(PromqlCheck { client, query: query.clone(), threshold: *threshold })
        }
        CheckKind::Targets { prometheus, at_least } => {
            Probe::Targets(TargetsCheck { client: client(shared, prometheus)?, at_least: *at_least })
        }
        CheckKind::Rules { prometheus, at_least } => {
            Probe::Rules(RulesCheck { client: client(shared, prometheus)?, at_least: *at_least })
        }
        CheckKind::Alertmanager { alertmanager } => {
            let server = Server::Alertmanager(alertmanager.clone());
            Probe::Alertmanager(AlertmanagerCheck { client: http(shared, &server, false)? })
        }
        CheckKind::Grafana { grafana, data_sources } => {
            let server = Server::Grafana(grafana.clone());
            let client =
                if *data_sources { http(shared, &server, false)? } else { anonymous(shared, &server)? };
            Probe::Grafana(GrafanaCheck { client, data_sources: *data_sources })
        }
        CheckKind::Container { container, image } => {
            let docker = shared.docker().await.map_err(|error| Wrong::of(&error, error.hint()))?;
            let (docker, name, image) = (docker.clone(), container.clone(), image.clone());
            Probe::Container(Box::new(ContainerCheck { docker, name, image }))
        }
        CheckKind::Disk { path, free } => Probe::Disk(DiskCheck { path: path.clone(), free: *free }),
        CheckKind::Certificate { server, days } => {
            Probe::Certificate(CertificateCheck { client: http(shared, server, true)?, days: *days })
        }
        CheckKind::Backup { job, max_age } => Probe::Backup(backup(shared, job, *max_age).await?),
    })
}

async fn backup(shared: &Shared, job: &JobName, max_age: std::time::Duration) -> Result<BackupCheck, Wrong> {
    let config = std::sync::Arc::clone(&shared.config);
    let is_right = blocking(move || identity::check(&config)).await;
    is_right.map_err(|error| Wrong::of(&error, error.hint()))?;
    let subject = shared.config.job(job.as_str()).and_then(|job| job.kind.subject());
    Ok(BackupCheck { store: shared.store.job(job), job: job.to_string(), subject, max_age })
}

fn client(shared: &Shared, name: &TargetName) -> Result<PrometheusClient, Wrong> {
    let target = shared.config.prometheus.get(name);
    let target = target.ok_or_else(|| Wrong::new(format!("there is no [prometheus.{name}]")))?;
    shared.client(target).map_err(|error: TargetError| Wrong::of(&error, error.hint()))
}

/// A client of a server. One that only looks at a certificate accepts any, and tells nobody who it is.
fn http(shared: &Shared, server: &Server, only_certificate: bool) -> Result<HttpClient, Wrong> {
    let mut endpoint = endpoint(shared, server)?;
    let credentials = if only_certificate {
        endpoint.insecure = true;
        Credentials::None
    } else {
        let found = credentials(&endpoint.auth, shared);
        found.map_err(|error| {
            let hint = error.hint().unwrap_or_else(|| "set it where this program runs".to_owned());
            Wrong::of(&error, Some(hint))
        })?
    };
    HttpClient::new(&endpoint, credentials).map_err(|error| Wrong::of(&error, None))
}

/// For what everybody may ask: a secret that is not there does not matter.
fn anonymous(shared: &Shared, server: &Server) -> Result<HttpClient, Wrong> {
    HttpClient::new(&endpoint(shared, server)?, Credentials::None).map_err(|error| Wrong::of(&error, None))
}

fn endpoint(shared: &Shared, server: &Server) -> Result<Endpoint, Wrong> {
    let config = &shared.config;
    let found = match server {
        Server::Prometheus(name) => config.prometheus.get(name).map(|target| &target.endpoint),
        Server::Grafana(name) => config.grafana.get(name).map(|target| &target.endpoint),
        Server::Alertmanager(name) => config.alertmanager.get(name).map(|target| &target.endpoint),
        Server::Application(name) => config.application.get(name).map(|target| &target.endpoint),
        Server::Url(url) => {
            let (auth, url) = (Auth::None, url.clone());
            return Ok(Endpoint { url, auth, ca_file: None, client_certificate: None, insecure: false });
        }
    };
    found.cloned().ok_or_else(|| Wrong::new(format!("there is no [{server}]")))
}
