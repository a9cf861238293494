//! The alerting of old: notification channels up to 10, and what 8 has in the place of the provisioning API.

use serde_json::{Value, json};

use crate::grafana::client::segment;
use crate::grafana::restore::door::{Door, WriteError, text};
use crate::grafana::restore::secrets::Fields;

const CHANNELS: &str = "/api/alert-notifications";
const RULER: &str = "/api/ruler/grafana/api/v1/rules";
const ALERTMANAGER: &str = "/api/alertmanager/grafana/config/api/v1/alerts";

fn channel_path(uid: &str) -> String {
    format!("{CHANNELS}/uid/{}", segment(uid))
}

pub(super) async fn write_channel(
    door: &Door,
    uid: &str,
    wanted: &Value,
    secrets: &Fields,
) -> Result<(), WriteError> {
    let mut body = wanted.clone();
    body["uid"] = json!(uid);
    if let Some(fields) = body.as_object_mut() {
        fields.remove("secureFields");
    }
    if !secrets.is_empty() {
        body["secureSettings"] =
            secrets.iter().map(|(name, secret)| (name.clone(), json!(secret.expose()))).collect();
    }
    match door.find("look at the notification channel", &channel_path(uid)).await? {
        None => door.post("create the notification channel", CHANNELS, body).await?,
        Some(_) => door.put("change the notification channel", &channel_path(uid), body).await?,
    };
    Ok(())
}

pub(super) async fn remove_channel(door: &Door, uid: &str) -> Result<(), WriteError> {
    door.delete("remove the notification channel", &channel_path(uid)).await
}

/// A group takes the place of the one of its name, in a folder that is known by its title.
pub(super) async fn write_group(door: &Door, wanted: &Value) -> Result<(), WriteError> {
    let path = format!("{RULER}/{}", segment(text(wanted, "folder")));
    door.post("set the rule group", &path, wanted["group"].clone()).await?;
    Ok(())
}

pub(super) async fn remove_group(door: &Door, made: &Value) -> Result<(), WriteError> {
    let group = text(&made["group"], "name");
    let path = format!("{RULER}/{}/{}", segment(text(made, "folder")), segment(group));
    door.delete("remove the rule group", &path).await
}

pub(super) async fn write_alertmanager(door: &Door, wanted: &Value) -> Result<(), WriteError> {
    door.post("set the Alertmanager's configuration", ALERTMANAGER, wanted.clone()).await?;
    Ok(())
}
