//! Data sources and the links between them, playlists, preferences, annotations, snapshots, plugins.

use serde_json::{Value, json};

use super::shape::{each, number, only, set, text, without};
use super::site::{Found, Shaped, Site};
use crate::grafana::GrafanaError;
use crate::grafana::client::{Call, List, segment};
use crate::store::digest;

type Gathered = Result<Option<Vec<Found>>, GrafanaError>;

/// How many annotations are asked for at once.
const ANNOTATIONS: usize = 1000;
/// Lists that have a limit and no pages: more than any Grafana has.
const NO_PAGES: usize = 100_000;
/// The last millisecond that Grafana's databases can keep.
const LAST: i64 = 253_402_300_799_999;

/// The list does not tell which secrets there are, nor all settings.
pub(super) async fn data_sources(site: &Site) -> Gathered {
    let list = List::whole("list the data sources", "/api/datasources").by(&["uid", "id"]);
    let rows = site.client.list(&list).await?.must_be_there(&site.client, &list)?.rows;
    let found = |row: &Value| {
        let uid = text(row, "uid");
        let path = format!("/api/datasources/uid/{}", segment(uid));
        Found::read(uid, text(row, "name"), path, json!(uid), data_source)
    };
    Ok(Some(rows.iter().map(found).collect()))
}

fn data_source(_: &Site, uid: &Value, json: &mut Value) -> Shaped {
    if json["uid"] != *uid {
        return Err(format!("{} in the place of {uid}", json["uid"]));
    }
    Ok(Some(without(
        json.take(),
        &["id", "orgId", "version", "typeLogoUrl", "typeName", "accessControl", "apiVersion"],
    )))
}

pub(super) async fn correlations(site: &Site) -> Gathered {
    let list = List::whole("list the correlations", "/api/datasources/correlations").in_pages("limit", 100);
    let listed = match site.client.list(&list.at("/correlations").by(&["uid"])).await {
        // 7.5 takes the word for the number of a data source that is not there; others have none, and say so.
        Err(GrafanaError::Refused { status: 404, text, .. }) => {
            return Ok((!text.to_lowercase().starts_with("data source")).then(Vec::new));
        }
        listed => listed?,
    };
    let found = |row: Value| {
        let key = format!("{}/{}/{}", text(&row, "sourceUID"), text(&row, "targetUID"), text(&row, "label"));
        let label = text(&row, "label").to_owned();
        Found::ready(&key, &label, without(row, &["uid", "orgId"]))
    };
    Ok((!listed.absent).then(|| listed.rows.into_iter().map(found).collect()))
}

pub(super) async fn playlists(site: &Site) -> Gathered {
    let list = List::whole("list the playlists", &format!("/api/playlists?limit={NO_PAGES}"));
    let mut listed = site.client.list(&list.by(&["uid", "id"])).await?;
    // Those of one name keep their order, and with it their keys.
    listed.rows.sort_by_key(|row| number(row, "id"));
    let found = |row: &Value| {
        let name = text(row, "name");
        let key = Some(text(row, "uid")).filter(|uid| !uid.is_empty()).map_or(row["id"].to_string(), segment);
        Found::read(name, name, format!("/api/playlists/{key}"), Value::Null, playlist)
    };
    Ok((!listed.absent).then(|| listed.rows.iter().map(found).collect()))
}

fn playlist(site: &Site, _: &Value, json: &mut Value) -> Shaped {
    if text(json, "name").is_empty() || !json["items"].is_array() {
        return Err("it has no \"name\" or no \"items\"".into());
    }
    each(json, "items", |item| {
        let mut item = without(item, &["id", "playlistid"]);
        // A number of this server; the uid means the same everywhere.
        if text(&item, "type") == "dashboard_by_id" {
            let uid = text(&item, "value").parse().map_or("", |id| site.uid_of(id)).to_owned();
            set(&mut item, "dashboardUid", uid);
        }
        item
    });
    Ok(Some(only(json, &["name", "interval", "items"])))
}

pub(super) fn preferences() -> Vec<Found> {
    let path = "/api/org/preferences".to_owned();
    vec![Found::read("preferences", "preferences", path, Value::Null, preference)]
}

fn preference(site: &Site, _: &Value, json: &mut Value) -> Shaped {
    if !json.is_object() {
        return Err("it is no object".into());
    }
    if text(json, "homeDashboardUID").is_empty() {
        let home = site.uid_of(number(json, "homeDashboardId")).to_owned();
        set(json, "homeDashboardUID", home);
    }
    Ok(Some(without(json.take(), &["homeDashboardId"])))
}

/// There are no pages, only a limit and a window of time: the window is closed from its end, which is what comes first.
pub(super) async fn annotations(site: &Site) -> Gathered {
    let (mut all, mut until) = (std::collections::BTreeMap::new(), LAST);
    loop {
        let path = format!("/api/annotations?type=annotation&limit={ANNOTATIONS}&from=1&to={until}");
        let call = Call::get("list the annotations", &path);
        let json = site.client.done(&call).await?;
        let Value::Array(rows) = json else { return Err(site.client.not_grafana(&call, "no list")) };
        let before = all.len();
        let came = rows.len();
        let ends = |row: &Value| number(row, "timeEnd").max(number(row, "time"));
        let oldest = rows.iter().map(ends).min();
        all.extend(rows.into_iter().map(|row| (number(&row, "id"), row)));
        match oldest {
            Some(oldest) if all.len() > before => until = oldest,
            Some(_) if came >= ANNOTATIONS => {
                let (action, url) = (call.action, site.client.url());
                return Err(GrafanaError::NoPages { action, url, got: all.len() });
            }
            _ => break,
        }
    }
    Ok(Some(all.into_values().map(|row| annotation(site, &row)).collect()))
}

fn annotation(site: &Site, row: &Value) -> Found {
    let named = text(row, "dashboardUID");
    let uid = if named.is_empty() { site.uid_of(number(row, "dashboardId")) } else { named }.to_owned();
    let mut body = only(row, &["time", "timeEnd", "text", "tags", "panelId", "data"]);
    set(&mut body, "dashboardUID", uid);
    let hash = digest::sha256(body.to_string().as_bytes());
    Found::ready(&format!("{}-{}", number(row, "time"), &hash[..12]), text(row, "text"), body)
}

pub(super) async fn snapshots(site: &Site) -> Gathered {
    let list = List::whole("list the snapshots", &format!("/api/dashboard/snapshots?limit={NO_PAGES}"));
    let listed = site.client.list(&list.by(&["key"])).await?;
    let found = |row: &Value| {
        let key = text(row, "key");
        let kept = only(row, &["name", "key", "expires", "external", "externalUrl"]);
        Found::read(key, text(row, "name"), format!("/api/snapshots/{}", segment(key)), kept, snapshot)
    };
    Ok((!listed.absent).then(|| listed.rows.iter().map(found).collect()))
}

fn snapshot(_: &Site, row: &Value, json: &mut Value) -> Shaped {
    if !json["dashboard"].is_object() {
        return Err("it has no \"dashboard\"".into());
    }
    let mut body = row.clone();
    set(&mut body, "dashboard", json["dashboard"].clone());
    Ok(Some(body))
}

pub(super) async fn plugins(site: &Site) -> Gathered {
    let list = List::whole("list the plugins", "/api/plugins?embedded=0").by(&["id"]);
    let listed = site.client.list(&list).await?;
    let plugin = |row: &Value| {
        let mut body = only(row, &["id", "name", "type", "enabled", "pinned"]);
        set(&mut body, "version", row["info"]["version"].clone());
        Found::ready(text(row, "id"), text(row, "name"), body)
    };
    Ok((!listed.absent).then(|| listed.rows.iter().map(plugin).collect()))
}
