//! The options of a `grafana-export`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Context, DAY, keep};
use crate::config::read::{Item, Section, nearest};
use crate::config::values::{Compression, Keep, TargetName};
use crate::grafana::object::{ObjectType, Selector, SelectorError};

/// What `include` calls the secrets of contact points.
const SECRETS: &str = "contact-point-secrets";
/// How many requests are sent side by side where nobody says otherwise.
const REQUESTS: u32 = 8;

/// The options of a `grafana-export`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrafanaConfig {
    /// The server; the configuration has it.
    pub grafana: TargetName,
    /// What backups to keep.
    pub keep: Keep,
    /// Types that are exported only where they are asked for.
    pub include: BTreeSet<ObjectType>,
    /// The secrets of contact points are exported, in the clear.
    pub contact_point_secrets: bool,
    /// What is left out.
    pub exclude: Vec<Selector>,
    /// How many requests are sent side by side. Never zero.
    pub requests: u32,
    /// How they are compressed.
    pub compression: Compression,
    /// Every backup is verified again within this time. Never zero.
    pub verify_within: Duration,
}

pub(super) fn grafana(mut section: Section<'_, '_>, context: &Context<'_>) -> Option<GrafanaConfig> {
    let grafana = section.require("grafana", "\"main\"").and_then(|item| target(&item, context));
    let keep = section.require("keep", "{ last = 7 }").and_then(|item| keep(&item));
    let include = section.get("include").and_then(|item| includes(&item)).unwrap_or_default();
    let exclude = section.get("exclude").and_then(|item| selectors(&item)).unwrap_or_default();
    let requests = section.get("requests").and_then(|item| item.number(1..65));
    let compression = super::compression(&mut section);
    let verify_within = section.get("verify_within").and_then(|item| item.some_duration());
    section.finish(&[]);
    Some(GrafanaConfig {
        grafana: grafana?,
        keep: keep?,
        contact_point_secrets: include.contains(&None),
        include: include.into_iter().flatten().collect(),
        exclude,
        requests: requests.unwrap_or(REQUESTS),
        compression,
        verify_within: verify_within.unwrap_or(30 * DAY),
    })
}

fn target(item: &Item<'_, '_>, context: &Context<'_>) -> Option<TargetName> {
    let text = item.text()?;
    let names = &context.names.grafana;
    if names.iter().any(|name| name == text) {
        return text.parse().ok();
    }
    let hint = match nearest(text, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if names.is_empty() => "add a [grafana.main] with its url".to_owned(),
        None => format!("there is {}", names.join(", ")),
    };
    item.error(format!("there is no [grafana.{text}]"), Some(hint));
    None
}

/// What is exported only where it is asked for; `None` is the secrets of contact points.
fn includes(item: &Item<'_, '_>) -> Option<BTreeSet<Option<ObjectType>>> {
    let elements = item.elements("a list, such as [\"annotations\", \"snapshots\"]")?;
    let include = |item: &Item<'_, '_>| {
        let text = item.text()?;
        let choices = "write \"annotations\", \"snapshots\" or \"contact-point-secrets\"";
        match ObjectType::from_name(text) {
            Some(kind) if kind.is_opt_in() => Some(Some(kind)),
            None if text == SECRETS => {
                let hint =
                    "who can read the backups reads them; without it they are entered again after a restore";
                item.warn(
                    "secrets of contact points will stand in the backups in the clear",
                    Some(hint.to_owned()),
                );
                Some(None)
            }
            Some(_) => {
                let hint = format!("\"include\" adds what is not exported otherwise: {choices}");
                item.error(format!("{text:?} is exported anyway"), Some(hint));
                None
            }
            None => {
                item.error(format!("{text:?} is nothing that could be included"), Some(choices.to_owned()));
                None
            }
        }
    };
    elements.iter().map(include).collect::<Vec<_>>().into_iter().collect()
}

fn selectors(item: &Item<'_, '_>) -> Option<Vec<Selector>> {
    let elements = item.elements("a list, such as [\"users\", \"dashboards/scratch-*\"]")?;
    let selector = |item: &Item<'_, '_>| {
        let told = |error: &SelectorError| {
            let names = ObjectType::ALL.map(ObjectType::name);
            let hint = match error {
                SelectorError::Type { name } => match nearest(name, names.into_iter()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("there is {}", names.join(", ")),
                },
                SelectorError::Pattern { .. } => "such as \"dashboards/scratch-*\"".to_owned(),
            };
            item.error(error.to_string(), Some(hint));
        };
        item.text()?.parse().inspect_err(told).ok()
    };
    elements.iter().map(selector).collect::<Vec<_>>().into_iter().collect()
}
