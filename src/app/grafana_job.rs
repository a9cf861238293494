//! The job `grafana-export`.

use std::collections::BTreeMap;

use super::Shared;
use super::targets::credentials;
use super::upkept::with_upkeep;
use crate::config::secret::SecretError;
use crate::config::{GrafanaConfig, GrafanaTarget, JobConfig};
use crate::grafana::GrafanaError;
use crate::grafana::client::GrafanaClient;
use crate::grafana::contents::{GrafanaContents, Organisation, Secret, Skipped, Why};
use crate::grafana::export::{Earlier, ExportOptions, Origin, Reach, back_up, reach};
use crate::jobs::{JobOutput, RunContext};
use crate::prometheus::preflight::Finding;
use crate::runner::Failure;
use crate::words;

pub(super) async fn run(
    shared: &Shared,
    job: &JobConfig,
    config: &GrafanaConfig,
    context: RunContext,
) -> Result<JobOutput, Failure> {
    let target = shared.grafana(config)?;
    let client = shared.grafana_client(target, config.requests as usize)?;
    let store = shared.store.job(&job.name);
    let origin = Origin { target: target.name.to_string(), url: target.endpoint.url.to_string() };
    let options = options(config);
    let made = async {
        let made = back_up(&client, &origin, &options, &store, config.compression, None, &context).await;
        made.map_err(|error| of(&error))
    };
    let before = Earlier::of(&store, target.name.as_str()).await;
    let ((backup, contents), upkept) = with_upkeep((shared, job), &context, made).await?;
    if let Some(less) = before.and_then(|before| contents.reached_less(&before.contents)) {
        context.progress.warn(less);
    }
    let mut verified = vec![
        "every list was read to its end, and each object by its own name".to_owned(),
        "every byte that was stored was read back and matches its SHA-256".to_owned(),
    ];
    verified.extend(upkept.verified);
    Ok(JobOutput {
        summary: summary(&contents),
        backup: Some(backup.id().clone()),
        bytes: Some(backup.size()),
        facts: facts(&contents).into_iter().chain(upkept.facts).collect(),
        verified,
        ..JobOutput::default()
    })
}

fn options(config: &GrafanaConfig) -> ExportOptions {
    let GrafanaConfig { include, exclude, contact_point_secrets, .. } = config;
    ExportOptions {
        include: include.clone(),
        exclude: exclude.clone(),
        contact_point_secrets: *contact_point_secrets,
    }
}

fn summary(contents: &GrafanaContents) -> String {
    let organisations = words::count(contents.organisations.len(), "organisation");
    let version = contents.version.as_deref().unwrap_or("of a version that it does not tell");
    format!("{} of {organisations}, from Grafana {version}", words::count(contents.objects(), "object"))
}

/// What there is of each type, what is not in it and why, and which secrets have to be entered again.
fn facts(contents: &GrafanaContents) -> Vec<String> {
    let counts: Vec<String> =
        contents.by_type().into_iter().map(|(kind, count)| kind.counted(count)).collect();
    let mut facts = vec![counts.join(", ")];
    facts.extend(not_in_it(contents));
    if contents.holds_secrets {
        let named: Vec<String> = contents.clear.iter().map(told).collect();
        let which = if named.is_empty() { String::new() } else { format!(" ({})", words::some(&named, 5)) };
        facts.push(format!("secrets stand in it in the clear: whoever reads the backup reads them{which}"));
    }
    let passwords = contents.secrets.iter().filter(|secret| is_password(secret)).count();
    if passwords > 0 {
        facts.push(format!(
            "to set again after a restore: the passwords of {}",
            words::count(passwords, "user")
        ));
    }
    for secret in contents.secrets.iter().filter(|secret| !is_password(secret)) {
        facts.push(format!("to enter again after a restore: {}", told(secret)));
    }
    facts
}

/// A line for each reason. What no organisation has is named once.
fn not_in_it(contents: &GrafanaContents) -> Vec<String> {
    let mut reasons: BTreeMap<Why, Vec<String>> = BTreeMap::new();
    let told = contents.skipped.iter().filter(|one| one.why != Why::Superseded);
    for one in told {
        let same = |other: &&Skipped| {
            (other.kind, &other.key, other.why) == (one.kind, &one.key, one.why) && one.key.is_none()
        };
        let everywhere = contents.skipped.iter().filter(same).count() == contents.organisations.len();
        let name = match one.kind {
            Some(kind) if everywhere => kind.to_string(),
            _ => one.name(),
        };
        let names = reasons.entry(one.why).or_default();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let line = |(why, names): (Why, Vec<String>)| format!("not in it: {} ({})", names.join(", "), why.text());
    reasons.into_iter().map(line).collect()
}

fn is_password(secret: &Secret) -> bool {
    secret.kind == crate::grafana::object::ObjectType::Users
}

fn told(secret: &Secret) -> String {
    let organisation = secret.organisation.as_ref().map(|name| format!(" of {name:?}")).unwrap_or_default();
    format!("{} of {} {:?}{organisation}", secret.fields.join(", "), secret.kind, secret.title)
}

/// What a run would do: who answers, and what the credentials reach.
pub(super) async fn preview(shared: &Shared, config: &GrafanaConfig) -> Vec<Finding> {
    match shared.config.grafana.get(&config.grafana) {
        Some(target) => look(shared, target).await,
        None => Vec::new(),
    }
}

/// Whether a Grafana answers, and what the credentials reach.
pub(super) async fn look(shared: &Shared, target: &GrafanaTarget) -> Vec<Finding> {
    let client = match shared.grafana_client(target, 1) {
        Ok(client) => client,
        Err(failure) => return vec![Finding::problem(failure.reason, failure.hint)],
    };
    match reach(&client).await {
        Ok(reach) => told_reach(&reach),
        Err(error) => vec![Finding::problem(words::chain(&error), error.hint())],
    }
}

fn told_reach(reach: &Reach) -> Vec<Finding> {
    let names =
        |all: &[Organisation]| all.iter().map(|one| format!("{:?}", one.name)).collect::<Vec<_>>().join(", ");
    let version = reach.version.as_deref().unwrap_or("of a version that it does not tell");
    let mut findings = vec![
        Finding::ok(format!("Grafana {version} answers")),
        Finding::ok(format!("the credentials reach {}", names(&reach.organisations))),
    ];
    if !reach.closed.is_empty() {
        findings.push(Finding::warning(
            format!("the user is no member of {}: nothing of that is exported", names(&reach.closed)),
            "add the user to it as Admin, in Server Admin > Organisations",
        ));
    }
    if !reach.server_admin {
        findings.push(Finding::warning(
            "the credentials do not administer the server: users and other organisations are not exported",
            "give user and password of a server administrator, where they are wanted",
        ));
    }
    findings
}

pub(super) fn of(error: &GrafanaError) -> Failure {
    Failure::of(error, error.hint(), error.is_transient())
}

impl Shared {
    /// The Grafana of a job.
    pub(super) fn grafana(&self, config: &GrafanaConfig) -> Result<&GrafanaTarget, Failure> {
        let found = self.config.grafana.get(&config.grafana);
        found.ok_or_else(|| {
            Failure::new(format!("There is no [grafana.{}] in the configuration", config.grafana))
        })
    }

    /// The API of a Grafana, with its secret at hand.
    pub(super) fn grafana_client(
        &self,
        target: &GrafanaTarget,
        requests: usize,
    ) -> Result<GrafanaClient, Failure> {
        let secret = |error: SecretError| Failure::of(&error, error.hint(), error.is_transient());
        let credentials = credentials(&target.endpoint.auth, self).map_err(secret)?;
        GrafanaClient::new(&target.endpoint, credentials, requests).map_err(|error| of(&error))
    }
}
