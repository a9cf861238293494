//! The servers and containers a configuration names.

use std::collections::BTreeMap;
use std::path::PathBuf;

use url::Url;

use super::read::{Item, Section, read_name};
use super::secret::{self, Places};
use super::values::{
    Auth, ClientCertificate, Endpoint, Name, Place, PrometheusTarget, RunsAs, Secret, SecretRef,
    ServiceControl, TargetName,
};
use crate::words;

/// A Grafana server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrafanaTarget {
    /// Its name in `[grafana.NAME]`.
    pub name: TargetName,
    /// Its HTTP API.
    pub endpoint: Endpoint,
    /// What it runs as, where that was configured.
    pub runs_as: Option<RunsAs>,
}

/// An Alertmanager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertmanagerTarget {
    /// Its name in `[alertmanager.NAME]`.
    pub name: TargetName,
    /// Its HTTP API.
    pub endpoint: Endpoint,
    /// What it runs as, where that was configured.
    pub runs_as: Option<RunsAs>,
}

/// A watched application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationTarget {
    /// Its name in `[application.NAME]`.
    pub name: TargetName,
    /// Its HTTP server.
    pub endpoint: Endpoint,
    /// The Docker container it runs in, if any.
    pub container: Option<String>,
    /// How it is stopped and started where it is no container.
    pub service: Option<ServiceControl>,
    /// Its SQLite database: inside the container, or on the host where there is none.
    pub database: Option<PathBuf>,
    /// The path that answers when it is well.
    pub health: String,
    /// The path of its metrics.
    pub metrics: String,
    /// A metric that must be among them.
    pub expect_metric: Option<String>,
}

/// Reads all tables of one kind of target, `[KIND.NAME]`.
pub(super) fn read_all<T>(
    root: &mut Section<'_, '_>,
    kind: &'static str,
    read: impl Fn(Name, Section<'_, '_>) -> Option<T>,
) -> BTreeMap<Name, T> {
    let mut targets = BTreeMap::new();
    let Some(section) = root.get(kind).and_then(|item| item.section(format!("[{kind}]"))) else {
        return targets;
    };
    for (key, span, item) in section.entries() {
        if !item.is_table() {
            item.error(format!("{kind} needs a name"), Some(format!("write [{kind}.main] over its keys")));
            continue;
        }
        let name = read_name(section.report, &span, key);
        let Some(section) = item.section(format!("[{kind}.{key}]")) else { continue };
        // A target with a bad name is read all the same, for its other problems.
        let read_name = name.clone().or_else(|| "unnamed".parse().ok());
        let target = read_name.and_then(|name| read(name, section));
        if let (Some(name), Some(target)) = (name, target) {
            targets.insert(name, target);
        }
    }
    targets
}

pub(super) fn prometheus(
    name: Name,
    mut section: Section<'_, '_>,
    places: Places<'_>,
) -> Option<PrometheusTarget> {
    let endpoint = endpoint(&mut section, "\"http://localhost:9090\"", places);
    let place = place(&mut section);
    section.finish(&[]);
    Some(PrometheusTarget { name, endpoint: endpoint?, place: place? })
}

pub(super) fn grafana(name: Name, mut section: Section<'_, '_>, places: Places<'_>) -> Option<GrafanaTarget> {
    let endpoint = endpoint(&mut section, "\"http://localhost:3000\"", places);
    let runs_as = runs_as(&mut section);
    section.finish(&[]);
    Some(GrafanaTarget { name, endpoint: endpoint?, runs_as })
}

pub(super) fn alertmanager(
    name: Name,
    mut section: Section<'_, '_>,
    places: Places<'_>,
) -> Option<AlertmanagerTarget> {
    let endpoint = endpoint(&mut section, "\"http://localhost:9093\"", places);
    let runs_as = runs_as(&mut section);
    section.finish(&[]);
    Some(AlertmanagerTarget { name, endpoint: endpoint?, runs_as })
}

pub(super) fn application(
    name: Name,
    mut section: Section<'_, '_>,
    places: Places<'_>,
) -> Option<ApplicationTarget> {
    let endpoint = endpoint(&mut section, "\"http://localhost:8080\"", places);
    let container = section.get("container").and_then(|item| item.text()).map(str::to_owned);
    let service = section.get("service").and_then(|item| service_control(&item));
    if container.is_some() && service.is_some() {
        both_places(&section);
    }
    let database = section.get("database").and_then(|item| item.path());
    let health = url_path(&mut section, "health");
    let metrics = url_path(&mut section, "metrics");
    let expect_metric = section.get("expect_metric").and_then(|item| item.text()).map(str::to_owned);
    section.finish(&[]);
    let (health, metrics) =
        (health.unwrap_or_else(|| "/health".into()), metrics.unwrap_or_else(|| "/metrics".into()));
    let endpoint = endpoint?;
    Some(ApplicationTarget { name, endpoint, container, service, database, health, metrics, expect_metric })
}

/// What a server of which nothing is backed up from its host runs as.
fn runs_as(section: &mut Section<'_, '_>) -> Option<RunsAs> {
    let container = section.get("container").and_then(|item| item.text()).map(str::to_owned);
    let service = section.get("service").and_then(|item| service_control(&item));
    if container.is_some() && service.is_some() {
        both_places(section);
    }
    container.map(RunsAs::Container).or(service.map(RunsAs::Service))
}

fn url_path(section: &mut Section<'_, '_>, key: &'static str) -> Option<String> {
    let item = section.get(key)?;
    let path = item.text()?;
    if !path.starts_with('/') {
        item.error(format!("\"{key}\" must be a path that starts with /"), None);
    }
    Some(path.to_owned())
}

/// Where a Prometheus runs: in a container, or on this host.
fn place(section: &mut Section<'_, '_>) -> Option<Place> {
    let container = section.get("container");
    let data_dir = section.get("data_dir");
    let service = section.get("service");
    let data_dir_is_wrong = data_dir.as_ref().is_some_and(|item| item.path().is_none());
    let data_dir = if data_dir_is_wrong { None } else { data_dir.and_then(|item| item.text()) };
    let Some(container) = container else {
        let service = service.and_then(|item| service_control(&item));
        return Some(Place::Host { data_dir: data_dir.map(PathBuf::from), service });
    };
    if service.is_some() {
        both_places(section);
    }
    let name = container.text()?.to_owned();
    Some(Place::Container { name, data_dir: data_dir.map(str::to_owned) })
}

fn both_places(section: &Section<'_, '_>) {
    let hint = "a container is stopped and started through Docker; remove one of the two".to_owned();
    let message = format!("{} has both \"container\" and \"service\"", section.name);
    section.report.error(&section.key_span("service"), message, Some(hint));
}

fn service_control(item: &Item<'_, '_>) -> Option<ServiceControl> {
    let mut section = item.section("\"service\"".to_owned())?;
    let unit = section.get("unit");
    let stop = section.get("stop");
    let start = section.get("start");
    let hint = "write { unit = \"prometheus.service\" } or { stop = [\"program\", \"argument\"], start = [\"program\"] }";
    let hint = || Some(hint.to_owned());
    let control = match (unit, stop, start) {
        (Some(unit), None, None) => unit.text().map(|unit| ServiceControl::Unit(unit.to_owned())),
        (None, Some(stop), Some(start)) => {
            let (stop, start) = (command(&stop), command(&start));
            stop.zip(start).map(|(stop, start)| ServiceControl::Commands { stop, start })
        }
        (Some(_), ..) => {
            section.error("\"service\" has both \"unit\" and commands", hint());
            None
        }
        (None, None, None) => {
            section.error("\"service\" says neither \"unit\" nor \"stop\" and \"start\"", hint());
            None
        }
        (None, ..) => {
            section.error("\"service\" needs both \"stop\" and \"start\"", hint());
            None
        }
    };
    section.finish(&[]);
    control
}

fn command(item: &Item<'_, '_>) -> Option<Vec<String>> {
    let elements = item.elements("a list of a program and its arguments")?;
    if elements.is_empty() {
        item.error(format!("{} is empty: it needs at least a program", item.what), None);
        return None;
    }
    // Only the program must not be empty; an empty argument is an argument.
    let program = elements.first()?.text();
    let rest: Vec<Option<&str>> = elements.iter().skip(1).map(Item::any_text).collect();
    let words = std::iter::once(program).chain(rest);
    words.map(|word| word.map(str::to_owned)).collect()
}

/// The keys of an HTTP server.
pub(super) fn endpoint(section: &mut Section<'_, '_>, example: &str, places: Places<'_>) -> Option<Endpoint> {
    let url = section.require("url", example);
    let url = url.and_then(|item| base_url(&item));
    let auth = auth(section, places);
    let ca_file = section.get("ca_file").and_then(|item| item.path());
    let client_certificate = client_certificate(section);
    let insecure = section.get("insecure");
    let insecure = insecure.is_some_and(|item| {
        let insecure = item.boolean().unwrap_or_default();
        if insecure {
            let hint = "better trust the server's own authority with ca_file".to_owned();
            item.warn("any certificate is accepted: whoever sits in between reads everything", Some(hint));
        }
        insecure
    });
    Some(Endpoint { url: url?, auth, ca_file, client_certificate, insecure })
}

pub(super) fn base_url(item: &Item<'_, '_>) -> Option<Url> {
    let text = item.text()?;
    let is_web = |url: &Url| matches!(url.scheme(), "http" | "https");
    let url = match Url::parse(text) {
        Ok(url) if is_web(&url) => url,
        parsed => {
            let with_scheme = format!("http://{text}");
            let guess = !text.contains(":/") && Url::parse(&with_scheme).is_ok();
            let hint =
                if guess && !text.contains('@') { format!("write \"{with_scheme}\"") } else { why(parsed) };
            item.error("\"url\" must be an http or https URL", Some(hint));
            return None;
        }
    };
    let wrong = if !url.username().is_empty() || url.password().is_some() {
        Some(("\"url\" must not hold a user or password", "use the user and password keys"))
    } else if url.query().is_some() || url.fragment().is_some() {
        Some(("\"url\" must not have a query or fragment", "write it up to the path only"))
    } else {
        None
    };
    if let Some((message, hint)) = wrong {
        item.error(message, Some(hint.to_owned()));
        return None;
    }
    Some(url)
}

fn why(parsed: Result<Url, url::ParseError>) -> String {
    match parsed {
        Ok(url) => format!("{:?} is not a scheme of the web", url.scheme()),
        Err(error) => error.to_string(),
    }
}

pub(super) fn auth(section: &mut Section<'_, '_>, places: Places<'_>) -> Auth {
    let user = section.get("user").map(|item| item.text().map(str::to_owned));
    let password = section.get("password").map(|item| secret_ref(&item, places));
    let token = section.get("token").map(|item| secret_ref(&item, places));
    let name = section.name.clone();
    let error = |section: &Section<'_, '_>, key: &str, message: String, hint: &str| {
        section.report.error(&section.key_span(key), message, Some(hint.to_owned()));
    };
    match (user, password, token) {
        (None, None, None) => Auth::None,
        (None, None, Some(token)) => token.map_or(Auth::None, Auth::Token),
        (Some(user), Some(password), None) => match (user, password) {
            (Some(user), Some(password)) => Auth::Basic { user, password },
            _ => Auth::None,
        },
        (user, _, Some(_)) => {
            let other = if user.is_some() { "user" } else { "password" };
            let message = format!("{name} has both \"token\" and \"{other}\"");
            error(section, "token", message, "a request proves itself in one way; remove one of the two");
            Auth::None
        }
        (Some(_), None, None) => {
            let message = format!("{name} has \"user\" without \"password\"");
            error(section, "user", message, "add password = { env = \"NAME\" }");
            Auth::None
        }
        (None, Some(_), None) => {
            let message = format!("{name} has \"password\" without \"user\"");
            error(section, "password", message, "add user = \"…\"");
            Auth::None
        }
    }
}

/// Where a secret is. Warns about one in plain sight and about one that is not there.
pub(super) fn secret_ref(item: &Item<'_, '_>, places: Places<'_>) -> Option<SecretRef> {
    let ways = "{ env = \"NAME\" }, { file = \"/path\" } or { credential = \"name\" }";
    if item.is_plain() {
        let hint = format!("better {ways}");
        item.error_hiding(
            format!("{}: a secret as plain text needs {{ plain = \"…\" }}", item.what),
            Some(hint),
        );
        return None;
    }
    let mut section = item.section(item.what.clone())?.hide_values();
    let found = [section.get("env"), section.get("file"), section.get("credential"), section.get("plain")];
    let [env_name, file, credential, plain] = found.each_ref().map(Option::as_ref);
    let reference = match (env_name, file, credential, plain) {
        (Some(item), None, None, None) => variable(item).map(SecretRef::Env),
        (None, Some(item), None, None) => item.path().map(SecretRef::File),
        (None, None, Some(item), None) => credential_name(item).map(SecretRef::Credential),
        (None, None, None, Some(item)) => item.text().map(|text| SecretRef::Plain(Secret::new(text))),
        (None, None, None, None) => {
            section.error(
                format!("{} does not say where the secret is", item.what),
                Some(format!("write {ways}")),
            );
            None
        }
        _ => {
            section.error(
                format!("{} says more than one place", item.what),
                Some(format!("write one of {ways}")),
            );
            None
        }
    };
    section.finish(&[]);
    let reference = reference?;
    if matches!(reference, SecretRef::Plain(_)) {
        item.warn(
            format!("{} stands here for every reader of the file", item.what),
            Some(format!("better {ways}")),
        );
    } else if let Err(error) = secret::is_there(&reference, places) {
        let needed = "needed when this target is used";
        let hint = error.hint().map_or_else(|| needed.to_owned(), |hint| format!("{needed}: {hint}"));
        item.warn(words::chain(&error), Some(hint));
    }
    Some(reference)
}

fn variable(item: &Item<'_, '_>) -> Option<String> {
    let name = item.text()?;
    if name.contains(['=', '\0', '$', ' ']) {
        item.error(format!("{name:?} is not a name of an environment variable"), None);
        return None;
    }
    Some(name.to_owned())
}

fn credential_name(item: &Item<'_, '_>) -> Option<String> {
    let name = item.text()?;
    if name.contains(['/', '\0', ':']) || name == "." || name == ".." {
        item.error(format!("{name:?} is not a name of a credential"), None);
        return None;
    }
    Some(name.to_owned())
}

fn client_certificate(section: &mut Section<'_, '_>) -> Option<ClientCertificate> {
    let cert = section.get("cert_file").map(|item| item.path());
    let key = section.get("key_file").map(|item| item.path());
    match (cert, key) {
        (Some(cert_file), Some(key_file)) => {
            cert_file.zip(key_file).map(|(cert_file, key_file)| ClientCertificate { cert_file, key_file })
        }
        (None, None) => None,
        (cert, _) => {
            let (has, lacks) =
                if cert.is_some() { ("cert_file", "key_file") } else { ("key_file", "cert_file") };
            let message = format!("{} has \"{has}\" without \"{lacks}\"", section.name);
            section.report.error(&section.key_span(has), message, Some(format!("add {lacks} = \"/path\"")));
            None
        }
    }
}
