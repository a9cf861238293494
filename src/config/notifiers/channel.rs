//! The keys of each type of notifier.

use std::collections::BTreeMap;
use std::time::Duration;

use url::Url;

use super::{Context, all, check_job};
use crate::config::job::choice;
use crate::config::notify::{
    Address, Alerts, Channel, Email, Field, Healthchecks, Ntfy, SmtpTls, Template, TemplateError, Text, Web,
    Webhook,
};
use crate::config::read::{Item, Section, nearest};
use crate::config::target::{auth, base_url, endpoint, secret_ref};
use crate::config::values::{Auth, Endpoint, Name};

/// An Alertmanager takes an alert for resolved after five minutes by default.
const RESEND: Duration = Duration::from_mins(1);

pub(super) fn read(kind: &str, section: &mut Section<'_, '_>, context: &Context<'_>) -> Option<Channel> {
    match kind {
        "webhook" => webhook(section, context).map(Channel::Webhook),
        "slack" => slack(section, context).map(Channel::Slack),
        "ntfy" => ntfy(section, context).map(Channel::Ntfy),
        "email" => email(section, context).map(|email| Channel::Email(Box::new(email))),
        "healthchecks" => healthchecks(section, context).map(Channel::Healthchecks),
        _ => alerts(section, context).map(|alerts| Channel::Alertmanager(Box::new(alerts))),
    }
}

fn webhook(section: &mut Section<'_, '_>, context: &Context<'_>) -> Option<Webhook> {
    let address =
        section.require("url", "\"https://example.org/hook\"").and_then(|item| address(&item, context));
    let auth = auth(section, context.places);
    let headers = section.get("headers").map(|item| headers(&item, context));
    let content_type = section.get("content_type").and_then(|item| item.text()).unwrap_or("application/json");
    let is_json = content_type.contains("json");
    let template = section.get("template").map(|item| template(&item, is_json));
    let ca_file = section.get("ca_file").and_then(|item| item.path());
    Some(Webhook {
        web: Web { address: address?, ca_file },
        auth,
        headers: headers.unwrap_or(Some(Vec::new()))?,
        content_type: content_type.to_owned(),
        template: template.map_or(Some(None), |template| template.map(Some))?,
    })
}

fn headers(item: &Item<'_, '_>, context: &Context<'_>) -> Option<Vec<(String, Text)>> {
    let section = item.section("\"headers\"".to_owned())?.hide_values();
    all(section.entries().map(|(name, span, value)| {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || !name.chars().all(is_token) {
            section.report.error(&span, format!("{name:?} is not the name of a header"), None);
            return None;
        }
        Some((name.to_owned(), text(&value, context)?))
    }))
}

fn template(item: &Item<'_, '_>, is_json: bool) -> Option<Template> {
    let text = item.text()?;
    let hint = |error: &TemplateError| match error {
        TemplateError::Unknown { name } => {
            let names = || Field::ALL.into_iter().map(Field::name);
            nearest(name, names()).map_or_else(
                || format!("known here: {}", names().collect::<Vec<_>>().join(", ")),
                |near| format!("did you mean {near:?}?"),
            )
        }
        TemplateError::Open => "write {{headline}}".to_owned(),
        TemplateError::NotJson { .. } => {
            "a value stands within quotes: { \"text\": \"{{headline}}\" }; or name another content_type"
                .to_owned()
        }
    };
    let parsed = Template::parse(text, is_json);
    parsed.map_err(|error| item.error(format!("\"template\" is wrong: {error}"), Some(hint(&error)))).ok()
}

fn slack(section: &mut Section<'_, '_>, context: &Context<'_>) -> Option<Web> {
    let item = section.require("url", "{ env = \"SLACK_URL\" }")?;
    let address = secret_ref(&item, context.places).map(Address::Secret);
    let ca_file = section.get("ca_file").and_then(|item| item.path());
    Some(Web { address: address?, ca_file })
}

fn ntfy(section: &mut Section<'_, '_>, context: &Context<'_>) -> Option<Ntfy> {
    let server = section.get("server").map(|item| base_url(&item));
    let topic = section.require("topic", "\"my-backups\"").and_then(|item| text(&item, context));
    let priority = section.get("priority").and_then(|item| item.number(1..6));
    let auth = auth(section, context.places);
    let ca_file = section.get("ca_file").and_then(|item| item.path());
    let server = server.unwrap_or_else(|| Url::parse("https://ntfy.sh").ok());
    Some(Ntfy { server: server?, topic: topic?, priority, auth, ca_file })
}

fn email(section: &mut Section<'_, '_>, context: &Context<'_>) -> Option<Email> {
    let host = section.require("host", "\"mail.example.org\"").and_then(|item| item.text());
    let ways = [("starttls", SmtpTls::StartTls), ("tls", SmtpTls::Tls), ("none", SmtpTls::None)];
    let tls_item = section.get("tls");
    let tls = match &tls_item {
        Some(item) => choice(item, &ways),
        None => Some(SmtpTls::StartTls),
    };
    let port = section.get("port").and_then(|item| item.number(1..65_536));
    let ca_file = section.get("ca_file").and_then(|item| item.path());
    let from = section.require("from", "\"watchkeeper@example.org\"").and_then(|item| mailbox(&item));
    let to = section.require("to", "[\"ops@example.org\"]").and_then(|item| mailboxes(&item));
    let login = match auth(section, context.places) {
        Auth::Basic { user, password } => Some((user, password)),
        Auth::Token(_) => {
            section.error("an SMTP server takes no \"token\"", Some("write user and password".to_owned()));
            None
        }
        Auth::None => None,
    };
    let tls = tls?;
    if let (SmtpTls::None, Some(_), Some(item)) = (tls, &login, &tls_item) {
        item.warn("the password is sent as it is: whoever sits in between reads it", None);
    }
    let standard = match tls {
        SmtpTls::StartTls => 587,
        SmtpTls::Tls => 465,
        SmtpTls::None => 25,
    };
    let port = port.and_then(|port| u16::try_from(port).ok()).unwrap_or(standard);
    Some(Email { host: host?.to_owned(), port, tls, ca_file, from: from?, to: to?, login })
}

fn mailboxes(item: &Item<'_, '_>) -> Option<Vec<String>> {
    let elements = item.elements("a list of addresses")?;
    if elements.is_empty() {
        item.error("\"to\" is empty: nobody would get the mail", None);
        return None;
    }
    all(elements.iter().map(mailbox))
}

/// `ops@example.org`, or `Operators <ops@example.org>`
fn mailbox(item: &Item<'_, '_>) -> Option<String> {
    let text = item.text()?;
    let address = text.rsplit_once('<').map_or(text, |(_, address)| address.trim_end_matches('>'));
    let is_address = address.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
    if !is_address || text.contains(['\n', '\r', ' ']) && !text.contains('<') {
        let hint = "such as \"ops@example.org\" or \"Operators <ops@example.org>\"".to_owned();
        item.error(format!("{text:?} is not an address"), Some(hint));
        return None;
    }
    Some(text.to_owned())
}

fn healthchecks(section: &mut Section<'_, '_>, context: &Context<'_>) -> Option<Healthchecks> {
    let one = section.get("url").map(|item| address(&item, context));
    let of_job = section.get("urls").map(|item| of_jobs(&item, context));
    let ca_file = section.get("ca_file").and_then(|item| item.path());
    if one.is_none() && of_job.is_none() {
        let hint =
            "add url = { env = \"PING_URL\" }, or urls = { JOB = { env = \"PING_URL_OF_JOB\" } }".to_owned();
        section.error(format!("{} has neither \"url\" nor \"urls\"", section.name), Some(hint));
        return None;
    }
    let one = one.map_or(Some(None), |one| one.map(Some))?;
    Some(Healthchecks { one, of_job: of_job.unwrap_or(Some(BTreeMap::new()))?, ca_file })
}

fn of_jobs(item: &Item<'_, '_>, context: &Context<'_>) -> Option<BTreeMap<Name, Address>> {
    let section = item.section("\"urls\"".to_owned())?.hide_values();
    all(section.entries().map(|(name, span, value)| {
        let address = address(&value, context);
        let job = check_job(name, &context.jobs).map_err(|hint| {
            section.report.error_hiding(&span, format!("there is no job {name:?}"), Some(hint));
        });
        Some((job.ok()?, address?))
    }))
}

fn alerts(section: &mut Section<'_, '_>, context: &Context<'_>) -> Option<Alerts> {
    let named = section.get("alertmanager");
    let resend = section.get("resend").and_then(|item| item.some_duration()).unwrap_or(RESEND);
    let labels = section.get("labels").map(|item| labels(&item));
    let endpoint = match named {
        Some(item) => configured(&item, context),
        None if section.has("url") => endpoint(section, "\"http://localhost:9093\"", context.places),
        None => {
            let hint =
                "add alertmanager = \"main\", which is configured as [alertmanager.main], or url = \"…\"";
            section.error(
                format!("{} has neither \"alertmanager\" nor \"url\"", section.name),
                Some(hint.to_owned()),
            );
            None
        }
    };
    Some(Alerts { endpoint: endpoint?, resend, labels: labels.unwrap_or(Some(BTreeMap::new()))? })
}

fn configured(item: &Item<'_, '_>, context: &Context<'_>) -> Option<Endpoint> {
    let name = item.text()?;
    if let Some((_, target)) = context.alertmanagers.iter().find(|(known, _)| known.as_str() == name) {
        return Some(target.endpoint.clone());
    }
    // One that is there and wrong is told there.
    if !context.alertmanager_names.iter().any(|known| known == name) {
        let near = nearest(name, context.alertmanager_names.iter().map(String::as_str));
        let hint = near
            .map_or_else(|| format!("add [alertmanager.{name}]"), |near| format!("did you mean {near:?}?"));
        item.error(format!("there is no [alertmanager.{name}]"), Some(hint));
    }
    None
}

/// What each alert says of itself.
const OWN_LABELS: [&str; 6] = ["alertname", "job", "kind", "target", "instance", "severity"];

fn labels(item: &Item<'_, '_>) -> Option<BTreeMap<String, String>> {
    let section = item.section("\"labels\"".to_owned())?;
    all(section.entries().map(|(name, span, value)| {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !name.chars().all(fits) || name.starts_with(|c: char| c.is_ascii_digit()) {
            section.report.error(&span, format!("{name:?} is not the name of a label"), None);
            return None;
        }
        if OWN_LABELS.contains(&name) {
            let hint = format!("{} say what an alert is about: choose another name", OWN_LABELS.join(", "));
            section.report.error(&span, format!("the label {name:?} cannot be set"), Some(hint));
            return None;
        }
        Some((name.to_owned(), value.text()?.to_owned()))
    }))
}

/// A URL as it is, or a secret one.
fn address(item: &Item<'_, '_>, context: &Context<'_>) -> Option<Address> {
    if item.is_table() {
        return secret_ref(item, context.places).map(Address::Secret);
    }
    let text = item.text()?;
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => {
            if url.password().is_some() || !url.username().is_empty() {
                let hint = "use the user and password keys, or make the whole URL a secret".to_owned();
                item.error_hiding("the URL must not hold a user or password", Some(hint));
                return None;
            }
            Some(Address::Plain(url))
        }
        _ => {
            item.error("this must be an http or https URL, or { env = \"NAME\" } with one in it", None);
            None
        }
    }
}

/// A text as it is, or a secret one.
fn text(item: &Item<'_, '_>, context: &Context<'_>) -> Option<Text> {
    if item.is_table() {
        return secret_ref(item, context.places).map(Text::Secret);
    }
    item.text().map(|text| Text::Plain(text.to_owned()))
}
