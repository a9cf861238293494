//! `[webhook]`: what the daemon lets others tell it.

use std::time::Duration;

use super::metrics::MetricsConfig;
use super::read::Section;
use super::secret::Places;
use super::target::secret_ref;
use super::values::SecretRef;

/// What the daemon is told over HTTP, by the listener of `[metrics]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookConfig {
    /// What who tells it something has to show.
    pub token: SecretRef,
    /// An open incident of whose alert nobody has told for so long is said to be silent. Never zero.
    pub silent_after: Duration,
}

impl WebhookConfig {
    /// What holds where the file does not say. An Alertmanager tells of an alert that fires once in its `repeat_interval`, which
    /// is 4 hours where nobody says otherwise, and seldom more than 12.
    pub const SILENT_AFTER: Duration = Duration::from_hours(24);
}

pub(super) fn read(
    root: &mut Section<'_, '_>,
    metrics: &MetricsConfig,
    places: Places<'_>,
) -> Option<WebhookConfig> {
    let item = root.get("webhook")?;
    let mut section = item.section("[webhook]".to_owned())?;
    let token = section.require("token", "{ env = \"WEBHOOK_TOKEN\" }");
    let token = token.and_then(|item| secret_ref(&item, places));
    let silent_after = section.get("silent_after").and_then(|item| item.some_duration());
    if metrics.listen.is_none() {
        let hint = "add [metrics] with listen = \"127.0.0.1:9469\"".to_owned();
        section.error("[webhook] has nobody who listens", Some(hint));
    }
    section.finish(&[]);
    Some(WebhookConfig { token: token?, silent_after: silent_after.unwrap_or(WebhookConfig::SILENT_AFTER) })
}
