//! Folders, dashboards, library panels, who may do what with them, and which are public.

use serde_json::{Value, json};

use super::shape::{number, only, set, text, without};
use super::site::{Found, Shaped, Site};
use crate::grafana::GrafanaError;
use crate::grafana::client::{List, segment};

type Gathered = Result<Option<Vec<Found>>, GrafanaError>;

pub(super) fn folders(site: &Site) -> Vec<Found> {
    site.folders.iter().map(folder_found).collect()
}

pub(super) fn folder_found(row: &Value) -> Found {
    let uid = text(row, "uid");
    Found::read(uid, text(row, "title"), format!("/api/folders/{}", segment(uid)), json!(uid), folder)
}

fn folder(_: &Site, uid: &Value, json: &mut Value) -> Shaped {
    must_be(uid, &json["uid"])?;
    let mut body = only(json, &["uid", "title"]);
    if !text(json, "parentUid").is_empty() {
        body["parentUid"] = json["parentUid"].clone();
    }
    Ok(Some(body))
}

/// It is what was asked for: a cache, or a proxy, may know better.
fn must_be(asked: &Value, got: &Value) -> Result<(), String> {
    if asked == got { Ok(()) } else { Err(format!("{got} in the place of {asked}")) }
}

pub(super) fn dashboards(site: &Site) -> Vec<Found> {
    site.dashboards.iter().map(dashboard_found).collect()
}

pub(super) fn dashboard_found(row: &Value) -> Found {
    let uid = text(row, "uid");
    let path = format!("/api/dashboards/uid/{}", segment(uid));
    Found::read(uid, text(row, "title"), path, json!(uid), dashboard)
}

fn dashboard(site: &Site, uid: &Value, json: &mut Value) -> Shaped {
    must_be(uid, &json["dashboard"]["uid"])?;
    let meta = &json["meta"];
    if !meta.is_object() {
        return Err("it has no \"meta\"".into());
    }
    let mut body = json!({ "folderUid": site.folder_of(meta) });
    if meta["provisioned"] == true {
        body["provisioned"] = json!(true);
    }
    body["dashboard"] = without(json["dashboard"].clone(), &["id", "version"]);
    Ok(Some(body))
}

/// By one of two names; before 7.4, and on 7.5 without a toggle, there are none.
pub(super) async fn library_panels(site: &Site) -> Gathered {
    let places =
        [("/api/library-elements", "/result/elements"), ("/api/library-panels", "/result/libraryPanels")];
    for (path, rows) in places {
        let list =
            List::whole("list the library panels", path).in_pages("perPage", 100).at(rows).by(&["uid"]);
        let listed = site.client.list(&list).await?;
        if !listed.absent {
            return Ok(Some(listed.rows.into_iter().map(|row| library_panel(site, row)).collect()));
        }
    }
    Ok(None)
}

fn library_panel(site: &Site, row: Value) -> Found {
    let (uid, name) = (text(&row, "uid").to_owned(), text(&row, "name").to_owned());
    let folder = site.folder_of(&row);
    let mut body = without(row, &["id", "orgId", "folderId", "version", "meta"]);
    set(&mut body, "folderUid", folder);
    if body.get("kind").is_none() {
        set(&mut body, "kind", 1);
    }
    Found::ready(&uid, &name, body)
}

pub(super) fn folder_permissions(site: &Site) -> Vec<Found> {
    site.folders.iter().map(folder_permissions_found).collect()
}

pub(super) fn folder_permissions_found(row: &Value) -> Found {
    let uid = text(row, "uid");
    let path = format!("/api/folders/{}/permissions", segment(uid));
    Found::read(uid, text(row, "title"), path, Value::Null, permissions)
}

fn by_uid(row: &Value) -> String {
    format!("/api/dashboards/uid/{}/permissions", segment(text(row, "uid")))
}

pub(super) fn dashboard_permissions_found(row: &Value, numbered: bool) -> Found {
    let path =
        if numbered { format!("/api/dashboards/id/{}/permissions", number(row, "id")) } else { by_uid(row) };
    Found::read(text(row, "uid"), text(row, "title"), path, Value::Null, permissions)
}

/// By uid where that is known, and by number before 9.
pub(super) async fn dashboard_permissions(site: &Site) -> Gathered {
    let Some(first) = site.dashboards.first() else { return Ok(Some(Vec::new())) };
    let probe = site.client.ask("read the permissions of a dashboard", &by_uid(first)).await?;
    let found = |row: &Value| dashboard_permissions_found(row, probe.route_is_absent());
    Ok(Some(site.dashboards.iter().map(found).collect()))
}

/// When the rows were made that every installation has: asked for a folder, 7.5 does not say -1 for them.
const OF_THE_INSTALLATION: &str = "2017-06-20T00:00:00Z";

/// Its own rows: what it inherits, and what every new one has (which belongs to the number -1), comes without being
/// told. Where no row is its own there is nothing to say, unless it has none at all because somebody took them away.
fn permissions(_: &Site, _: &Value, json: &mut Value) -> Shaped {
    let Value::Array(rows) = json else { return Err("no list of permissions".into()) };
    let own = |row: &&Value| {
        row["inherited"] != true
            && number(row, "dashboardId") != -1
            && number(row, "folderId") != -1
            && text(row, "created") != OF_THE_INSTALLATION
    };
    let mut items: Vec<Value> = rows.iter().filter(own).map(permission).collect();
    if items.is_empty() && !rows.is_empty() {
        return Ok(None);
    }
    items.sort_by_key(Value::to_string);
    Ok(Some(json!({ "items": items })))
}

/// One row, with names in the place of numbers.
fn permission(row: &Value) -> Value {
    let named = |name: &&str| !text(row, name).is_empty();
    let mut kept: Vec<&str> =
        ["role", "team", "teamEmail", "userLogin", "userEmail"].into_iter().filter(named).collect();
    kept.push("permission");
    only(row, &kept)
}

pub(super) async fn public_dashboards(site: &Site) -> Gathered {
    let list = List::whole("list the public dashboards", "/api/dashboards/public-dashboards");
    let list = list.in_pages("perpage", 1000).at("/publicDashboards").by(&["uid"]);
    let listed = site.client.list(&list).await?;
    let found = |row: &Value| {
        let uid = text(row, "dashboardUid");
        let path = format!("/api/dashboards/uid/{}/public-dashboards", segment(uid));
        Found::read(uid, text(row, "title"), path, json!(uid), public_dashboard)
    };
    Ok((!listed.absent).then(|| listed.rows.iter().map(found).collect()))
}

fn public_dashboard(_: &Site, uid: &Value, json: &mut Value) -> Shaped {
    must_be(uid, &json["dashboardUid"])?;
    Ok(Some(without(json.take(), &["createdBy", "updatedBy", "createdAt", "updatedAt", "orgId"])))
}
