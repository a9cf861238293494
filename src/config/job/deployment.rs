//! The options of a `verify-deployment` and its `[[job.check]]`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use url::Url;

use super::{Context, target};
use crate::config::checks::{Answer, CheckConfig, CheckKind, Comparison, Free, JsonValue, Server, Threshold};
use crate::config::read::{Item, Section, bytes, nearest};
use crate::config::target::{AlertmanagerTarget, ApplicationTarget, GrafanaTarget};
use crate::config::values::{Name, PrometheusTarget, TargetName};

/// How long a check may take where it does not say.
const CHECK_LIMIT: Duration = Duration::from_secs(10);
/// And one that waits for a server to settle.
const SETTLING_LIMIT: Duration = Duration::from_secs(30);
/// The types of checks.
const TYPES: [&str; 11] = [
    "http",
    "metric",
    "promql",
    "targets",
    "rules",
    "alertmanager",
    "grafana",
    "container",
    "disk",
    "certificate",
    "backup",
];

/// The options of a `verify-deployment`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentConfig {
    /// What to look at; never empty.
    pub checks: Vec<CheckConfig>,
    /// How long to look again while something is not as it should be.
    pub wait: Duration,
}

/// What a check can name beside a Prometheus.
#[derive(Debug, Default)]
pub(in crate::config) struct Names {
    pub(in crate::config) grafana: Vec<String>,
    pub(in crate::config) alertmanager: Vec<String>,
    pub(in crate::config) application: Vec<String>,
    /// What is looked at where no check is configured.
    pub(in crate::config) standard: Vec<CheckConfig>,
    /// The names of all jobs, and whether they keep backups.
    pub(in crate::config) jobs: Vec<(String, bool)>,
}

/// What the runbook looks at after a deployment, in its order.
pub(in crate::config) fn standard(
    applications: &BTreeMap<Name, ApplicationTarget>,
    prometheus: &BTreeMap<Name, PrometheusTarget>,
    grafana: &BTreeMap<Name, GrafanaTarget>,
    alertmanager: &BTreeMap<Name, AlertmanagerTarget>,
) -> Vec<CheckConfig> {
    let health = applications.values().map(|target| CheckKind::Http {
        server: Server::Application(target.name.clone()),
        path: target.health.clone(),
        answer: Answer { no_page: true, ..Answer::default() },
    });
    let metrics = applications.values().map(|target| CheckKind::Metric {
        server: Server::Application(target.name.clone()),
        path: target.metrics.clone(),
        metric: target.expect_metric.clone(),
    });
    let targets = prometheus.keys().map(|name| CheckKind::Targets { prometheus: name.clone(), at_least: 1 });
    let grafana =
        grafana.keys().map(|name| CheckKind::Grafana { grafana: name.clone(), data_sources: false });
    let alertmanager = alertmanager.keys().map(|name| CheckKind::Alertmanager { alertmanager: name.clone() });
    let rules = prometheus.keys().map(|name| CheckKind::Rules { prometheus: name.clone(), at_least: 1 });
    let all = health.chain(metrics).chain(targets).chain(grafana).chain(alertmanager).chain(rules);
    all.map(|what| CheckConfig { name: what.to_string(), timeout: usual_limit(&what), what }).collect()
}

fn usual_limit(what: &CheckKind) -> Duration {
    match what {
        CheckKind::Targets { .. } | CheckKind::Rules { .. } | CheckKind::Alertmanager { .. } => {
            SETTLING_LIMIT
        }
        _ => CHECK_LIMIT,
    }
}

pub(super) fn deployment(mut section: Section<'_, '_>, context: &Context<'_>) -> Option<DeploymentConfig> {
    let wait = section.get("wait").and_then(|item| item.duration()).unwrap_or_default();
    let job = section.name.clone();
    let checks = match section.get("check") {
        Some(item) => checks(&item, &job, context),
        None if context.names.standard.is_empty() => {
            let hint = "add a [prometheus.main], or a [[job.check]]".to_owned();
            section.error(format!("{job} has nothing to look at"), Some(hint));
            None
        }
        None => Some(context.names.standard.clone()),
    };
    section.finish(&[]);
    Some(DeploymentConfig { checks: checks?, wait })
}

fn checks(item: &Item<'_, '_>, job: &str, context: &Context<'_>) -> Option<Vec<CheckConfig>> {
    let elements = item.elements("written as [[job.check]]")?;
    if elements.is_empty() {
        item.error(
            format!("{job} has nothing to look at"),
            Some("remove \"check\" for the usual checks".to_owned()),
        );
        return None;
    }
    let mut names = BTreeSet::new();
    let read = |(index, item): (usize, &Item<'_, '_>)| {
        let check = check(item.section(format!("check {} of {job}", index + 1))?, context)?;
        if !names.insert(check.name.clone()) {
            let hint = "give each its own \"name\"".to_owned();
            item.error(format!("{job} has another check {:?}", check.name), Some(hint));
        }
        Some(check)
    };
    // All of them are looked at, so that all problems are told.
    elements.iter().enumerate().map(read).collect::<Vec<_>>().into_iter().collect()
}

fn check(mut section: Section<'_, '_>, context: &Context<'_>) -> Option<CheckConfig> {
    let name = section.get("name").and_then(|item| item.text().map(str::to_owned));
    let timeout = section.get("timeout").and_then(|item| item.some_duration());
    let type_item = section.require("type", "\"http\"");
    let kind = type_item.as_ref().and_then(Item::text)?;
    let what = match kind {
        "http" => http(&mut section, context),
        "metric" => metric(&mut section, context),
        "promql" => promql(&mut section, context),
        "targets" => prometheus(&mut section, context)
            .map(|(prometheus, at_least)| CheckKind::Targets { prometheus, at_least }),
        "rules" => prometheus(&mut section, context)
            .map(|(prometheus, at_least)| CheckKind::Rules { prometheus, at_least }),
        "alertmanager" => required(&mut section, "alertmanager", &context.names.alertmanager)
            .map(|alertmanager| CheckKind::Alertmanager { alertmanager }),
        "grafana" => grafana(&mut section, context),
        "container" => container(&mut section),
        "disk" => disk(&mut section),
        "certificate" => certificate(&mut section, context),
        "backup" => backup(&mut section, context),
        unknown => {
            let hint = match nearest(unknown, TYPES.into_iter()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("there is {}", TYPES.join(", ")),
            };
            type_item?.error(format!("unknown type of a check {unknown:?}"), Some(hint));
            return None;
        }
    };
    section.finish(&[]);
    let what = what?;
    let name = name.unwrap_or_else(|| what.to_string());
    Some(CheckConfig { name, timeout: timeout.unwrap_or(usual_limit(&what)), what })
}

fn http(section: &mut Section<'_, '_>, context: &Context<'_>) -> Option<CheckKind> {
    let server = server(section, context);
    let path = path(section, "/");
    let status = section.get("status").and_then(|item| item.number(100..600));
    let body = section.get("body").and_then(|item| item.text().map(str::to_owned));
    let json = section.get("json").map(|item| json(&item));
    let json = match json {
        Some(None) => return None,
        Some(Some(json)) => Some(json),
        None => None,
    };
    let status = status.and_then(|status| u16::try_from(status).ok());
    let server = server?;
    // A page that an application is to show says so by a text in it; its health is none.
    let no_page = matches!(server, Server::Application(_)) && body.is_none() && json.is_none();
    Some(CheckKind::Http { server, path: path?, answer: Answer { status, body, json, no_page } })
}

fn json(item: &Item<'_, '_>) -> Option<JsonValue> {
    let mut section = item.section("\"json\"".to_owned())?;
    let pointer_item = section.require("pointer", "\"/status\"");
    let pointer = pointer_item.as_ref().and_then(Item::any_text);
    let equals = section.get("equals").map(|item| item.json());
    section.finish(&[]);
    let pointer = pointer?;
    if !pointer.is_empty() && !pointer.starts_with('/') {
        let hint = format!("write \"/{}\"", pointer.replace('.', "/"));
        pointer_item?.error("\"pointer\" must start with /", Some(hint));
        return None;
    }
    let equals = match equals {
        Some(value) => Some(value?),
        None => None,
    };
    Some(JsonValue { pointer: pointer.to_owned(), equals })
}

fn metric(section: &mut Section<'_, '_>, context: &Context<'_>) -> Option<CheckKind> {
    let server = server(section, context);
    let path = path(section, "/metrics");
    let metric = section.require("metric", "\"up\"").and_then(|item| item.text().map(str::to_owned));
    Some(CheckKind::Metric { server: server?, path: path?, metric: Some(metric?) })
}

fn promql(section: &mut Section<'_, '_>, context: &Context<'_>) -> Option<CheckKind> {
    let prometheus = section.require("prometheus", "\"main\"").and_then(|item| target(&item, context));
    let query = section.require("query", "\"min(up)\"").and_then(|item| item.text().map(str::to_owned));
    let threshold = threshold(section);
    Some(CheckKind::Promql { prometheus: prometheus?, query: query?, threshold: threshold? })
}

fn threshold(section: &mut Section<'_, '_>) -> Option<Threshold> {
    let comparisons = [
        ("above", Comparison::Above),
        ("at_least", Comparison::AtLeast),
        ("below", Comparison::Below),
        ("at_most", Comparison::AtMost),
        ("equals", Comparison::Equals),
    ];
    let given = comparisons.map(|(key, comparison)| section.get(key).map(|item| (item, comparison)));
    let mut given = given.into_iter().flatten();
    let hint = || Some("write one of above, at_least, below, at_most, equals = NUMBER".to_owned());
    let Some((item, comparison)) = given.next() else {
        section.error(format!("{} does not say what the result must be", section.name), hint());
        return None;
    };
    if let Some((more, _)) = given.next() {
        more.error(format!("{} says more than one limit", section.name), hint());
        return None;
    }
    Some(Threshold { comparison, limit: item.float()? })
}

fn prometheus(section: &mut Section<'_, '_>, context: &Context<'_>) -> Option<(TargetName, usize)> {
    let prometheus = section.require("prometheus", "\"main\"").and_then(|item| target(&item, context));
    let at_least = section.get("at_least").map_or(Some(1), |item| item.number(0..1_000_001));
    Some((prometheus?, usize::try_from(at_least?).ok()?))
}

fn grafana(section: &mut Section<'_, '_>, context: &Context<'_>) -> Option<CheckKind> {
    let grafana = required(section, "grafana", &context.names.grafana);
    let data_sources = section.get("data_sources").is_some_and(|item| item.boolean().unwrap_or_default());
    Some(CheckKind::Grafana { grafana: grafana?, data_sources })
}

fn container(section: &mut Section<'_, '_>) -> Option<CheckKind> {
    let container = section.require("container", "\"prometheus\"");
    let container = container.and_then(|item| item.text().map(str::to_owned));
    let image = section.get("image").and_then(|item| item.text().map(str::to_owned));
    Some(CheckKind::Container { container: container?, image })
}

fn disk(section: &mut Section<'_, '_>) -> Option<CheckKind> {
    let path = section.require("path", "\"/var/lib\"").and_then(|item| item.path());
    let free = section.require("free", "\"10%\"").and_then(|item| free(&item));
    Some(CheckKind::Disk { path: path?, free: free? })
}

/// Room on a disk: `10%`, `5GiB`.
pub(in crate::config) fn free(item: &Item<'_, '_>) -> Option<Free> {
    let text = item.text()?;
    let parsed = match text.strip_suffix('%') {
        Some(share) => share.trim().parse().ok().filter(|share| (1..100).contains(share)).map(Free::Percent),
        None => bytes(text).map(Free::Bytes),
    };
    if parsed.is_none() {
        let hint = "such as \"10%\", \"500MiB\" or \"5GiB\"".to_owned();
        item.error(format!("{} is no room on a disk: {text:?}", item.what), Some(hint));
    }
    parsed
}

fn certificate(section: &mut Section<'_, '_>, context: &Context<'_>) -> Option<CheckKind> {
    let server = server(section, context);
    let days = section.get("days").map_or(Some(14), |item| item.number(1..3651));
    let server = server?;
    if let Server::Url(url) = &server
        && url.scheme() != "https"
    {
        let span = section.key_span("url");
        section.report.error(&span, "only https has a certificate", Some("write https://…".to_owned()));
        return None;
    }
    Some(CheckKind::Certificate { server, days: days? })
}

fn backup(section: &mut Section<'_, '_>, context: &Context<'_>) -> Option<CheckKind> {
    let item = section.require("job", "\"prometheus-snapshot\"");
    let max_age = section.require("max_age", "\"26h\"").and_then(|item| item.some_duration());
    let item = item?;
    let text = item.text()?;
    let jobs = &context.names.jobs;
    match jobs.iter().find(|(name, _)| name == text) {
        Some((_, true)) => {}
        Some((_, false)) => {
            item.error(format!("job {text:?} makes no backups"), None);
            return None;
        }
        None => {
            let names = jobs.iter().filter(|(_, keeps)| *keeps).map(|(name, _)| name.as_str());
            let hint = nearest(text, names).map(|near| format!("did you mean \"{near}\"?"));
            item.error(format!("there is no job {text:?}"), hint);
            return None;
        }
    }
    Some(CheckKind::Backup { job: text.parse().ok()?, max_age: max_age? })
}

/// Where something is asked for: one of the targets, or any URL.
fn server(section: &mut Section<'_, '_>, context: &Context<'_>) -> Option<Server> {
    let names = &context.names;
    let prometheus = section.get("prometheus").map(|item| target(&item, context).map(Server::Prometheus));
    let mut other = |kind, names, server: fn(TargetName) -> Server| {
        section.get(kind).map(|item| named(&item, kind, names).map(server))
    };
    let grafana = other("grafana", &names.grafana, Server::Grafana);
    let alertmanager = other("alertmanager", &names.alertmanager, Server::Alertmanager);
    let application = other("application", &names.application, Server::Application);
    let url = section.get("url").map(|item| plain_url(&item).map(Server::Url));
    let mut given = [application, prometheus, grafana, alertmanager, url].into_iter().flatten();
    let hint = || {
        Some(
            "name one of application, prometheus, grafana, alertmanager = \"NAME\", or url = \"http://…\""
                .to_owned(),
        )
    };
    let Some(first) = given.next() else {
        section.error(format!("{} does not say which server", section.name), hint());
        return None;
    };
    if given.next().is_some() {
        section.error(format!("{} names more than one server", section.name), hint());
        return None;
    }
    first
}

fn plain_url(item: &Item<'_, '_>) -> Option<Url> {
    let text = item.text()?;
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some(url) = url else {
        item.error(
            format!("{} must be an http or https URL", item.what),
            Some("such as \"https://example.org\"".to_owned()),
        );
        return None;
    };
    if !url.username().is_empty() || url.password().is_some() {
        let hint = "name a target that has user and password".to_owned();
        item.error(format!("{} must not hold a user or password", item.what), Some(hint));
        return None;
    }
    Some(url)
}

fn path(section: &mut Section<'_, '_>, usual: &str) -> Option<String> {
    let Some(item) = section.get("path") else { return Some(usual.to_owned()) };
    let path = item.text()?;
    if !path.starts_with('/') {
        item.error("\"path\" must start with /", Some(format!("write \"/{path}\"")));
        return None;
    }
    Some(path.to_owned())
}

fn required(section: &mut Section<'_, '_>, kind: &'static str, names: &[String]) -> Option<TargetName> {
    named(&section.require(kind, "\"main\"")?, kind, names)
}

/// The name of a target of a kind that has these names.
fn named(item: &Item<'_, '_>, kind: &'static str, names: &[String]) -> Option<TargetName> {
    let text = item.text()?;
    if names.iter().any(|name| name == text) {
        return text.parse().ok();
    }
    let hint = match nearest(text, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if names.is_empty() => format!("add a [{kind}.main] with its url"),
        None => format!("there is {}", names.join(", ")),
    };
    item.error(format!("there is no [{kind}.{text}]"), Some(hint));
    None
}
