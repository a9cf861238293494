//! Playlists, preferences, public dashboards, annotations and snapshots.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::dashboards;
use crate::grafana::client::segment;
use crate::grafana::object::nth_of;
use crate::grafana::restore::compare::is_empty;
use crate::grafana::restore::door::{Door, WriteError, number, text};

const PREFERENCES: &str = "/api/org/preferences";
/// Longer than that is what Grafana calls never.
const FOR_EVER: i64 = 40 * 365 * 24 * 3600;

/// Nobody can choose a playlist's UID: it is known by its name, and which one of that name it is.
pub(super) async fn write_playlist(door: &Door, key: &str, wanted: &Value) -> Result<(), WriteError> {
    let body = json!({ "name": wanted["name"], "interval": wanted["interval"], "items": wanted["items"] });
    match playlist(door, key, text(wanted, "name")).await? {
        None => door.post("create the playlist", "/api/playlists", body).await?,
        Some(path) => door.put("change the playlist", &path, body).await?,
    };
    Ok(())
}

async fn playlist(door: &Door, key: &str, name: &str) -> Result<Option<String>, WriteError> {
    let all = door.get("list the playlists", "/api/playlists?limit=10000").await?;
    let mut alike: Vec<&Value> =
        all.as_array().into_iter().flatten().filter(|row| text(row, "name") == name).collect();
    // As an export counts them.
    alike.sort_by_key(|row| number(row, "id"));
    Ok(alike.get(nth_of(key) - 1).map(|row| match text(row, "uid") {
        "" => format!("/api/playlists/{}", number(row, "id")),
        uid => format!("/api/playlists/{}", segment(uid)),
    }))
}

pub(super) async fn remove_playlist(door: &Door, key: &str, made: &Value) -> Result<(), WriteError> {
    match playlist(door, key, text(made, "name")).await? {
        Some(path) => door.delete("remove the playlist", &path).await,
        None => Ok(()),
    }
}

/// All of them at once: a PUT forgets what it does not name.
pub(super) async fn write_preferences(door: &Door, wanted: &Value) -> Result<(), WriteError> {
    let there = door.get("look at the preferences", PREFERENCES).await?;
    // A new organisation has none, and saying so would be one.
    if is_empty(wanted) && is_empty(&there) {
        return Ok(());
    }
    let mut body = wanted.clone();
    let home = text(wanted, "homeDashboardUID").to_owned();
    if !door.is(9, 0) {
        body.as_object_mut().map(|fields| fields.remove("homeDashboardUID"));
        body["homeDashboardId"] =
            json!(if home.is_empty() { 0 } else { dashboards::id_of(door, &home).await? });
    }
    // A PUT forgets what it does not name: what is empty is not set.
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|_, value| !is_empty(value));
    }
    door.put("set the preferences", PREFERENCES, body).await?;
    Ok(())
}

/// None, as a new organisation has them.
pub(super) async fn reset_preferences(door: &Door) -> Result<(), WriteError> {
    door.put("reset the preferences", PREFERENCES, json!({})).await.map(drop)
}

fn public_path(dashboard: &str) -> String {
    format!("/api/dashboards/uid/{}/public-dashboards", segment(dashboard))
}

/// The link that was given away goes on to work where the token is taken.
pub(super) async fn write_public(door: &Door, dashboard: &str, wanted: &Value) -> Result<(), WriteError> {
    let path = public_path(dashboard);
    match door.find("look at the public dashboard", &path).await? {
        None => door.post("make the dashboard public", &path, wanted.clone()).await?,
        Some(there) => {
            let one = format!("{path}/{}", segment(text(&there, "uid")));
            door.patch("change the public dashboard", &one, wanted.clone()).await?
        }
    };
    Ok(())
}

pub(super) async fn remove_public(door: &Door, dashboard: &str) -> Result<(), WriteError> {
    let path = public_path(dashboard);
    match door.find("look at the public dashboard", &path).await? {
        Some(there) => {
            let one = format!("{path}/{}", segment(text(&there, "uid")));
            door.delete("make the dashboard private", &one).await
        }
        None => Ok(()),
    }
}

/// Only those that are not there: each POST adds one.
pub(super) async fn write_annotation(door: &Door, wanted: &Value) -> Result<(), WriteError> {
    let mut body = json!({});
    for field in ["time", "timeEnd", "panelId", "tags", "text", "data"] {
        body[field] = wanted[field].clone();
    }
    let dashboard = text(wanted, "dashboardUID");
    if !dashboard.is_empty() {
        body["dashboardUID"] = json!(dashboard);
        if !door.is(9, 0) {
            body["dashboardId"] = json!(dashboards::id_of(door, dashboard).await?);
        }
    }
    door.post("add the annotation", "/api/annotations", body).await?;
    Ok(())
}

/// A snapshot gets a new key to delete it by: the old one was told once, and never again.
pub(super) async fn write_snapshot(
    door: &Door,
    key: &str,
    wanted: &Value,
    now: Timestamp,
) -> Result<(), WriteError> {
    let expires = text(wanted, "expires").parse::<Timestamp>().ok();
    let left = expires.map_or(0, |at| at.as_second() - now.as_second());
    if expires.is_some() && left <= 0 {
        return Err(WriteError::Refused("it would have expired by now".to_owned()));
    }
    let left = if left > FOR_EVER { 0 } else { left };
    let body =
        json!({ "name": wanted["name"], "key": key, "expires": left, "dashboard": wanted["dashboard"] });
    door.post("make the snapshot", "/api/snapshots", body).await?;
    Ok(())
}

pub(super) async fn remove_snapshot(door: &Door, key: &str) -> Result<(), WriteError> {
    door.delete("remove the snapshot", &format!("/api/snapshots/{}", segment(key))).await
}
