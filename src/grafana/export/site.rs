//! One organisation of a Grafana while it is exported, or the whole server.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::Value;

use super::shape::{number, text};
use crate::grafana::GrafanaError;
use crate::grafana::client::{Call, GrafanaClient, List, segment};
use crate::grafana::contents::Organisation;
use crate::grafana::object::ObjectType;

/// The most that a search gives at once is 5000; with less of it an answer stays small.
const PAGE: usize = 1000;

/// One organisation, or the whole server.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) client: GrafanaClient,
    /// Its name; `None` for the whole server.
    pub(super) organisation: Option<String>,
    /// The folders, of all levels, as the search shows them.
    pub(super) folders: Vec<Value>,
    /// The dashboards, as the search shows them.
    pub(super) dashboards: Vec<Value>,
    /// The uids of both by the number that they have here: older versions name them by that.
    uids: BTreeMap<i64, String>,
    pub(super) contact_point_secrets: bool,
}

/// What a reply becomes: a body, nothing that is worth one, or what is wrong with it.
pub(super) type Shaped = Result<Option<Value>, String>;

/// How the body of an object is had.
#[derive(Debug, Clone)]
pub(super) enum Take {
    /// Its list had all of it.
    Ready(Value),
    /// It is read by itself, and made of what comes and what its list said.
    Read { path: String, row: Value, shape: fn(&Site, &Value, &mut Value) -> Shaped },
}

/// An object that was found in a list.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) key: String,
    pub(super) title: String,
    pub(super) take: Take,
}

impl Found {
    pub(super) fn ready(key: &str, title: &str, body: Value) -> Self {
        Self { key: key.to_owned(), title: title.to_owned(), take: Take::Ready(body) }
    }

    pub(super) fn read(
        key: &str,
        title: &str,
        path: String,
        row: Value,
        shape: fn(&Site, &Value, &mut Value) -> Shaped,
    ) -> Self {
        Self { key: key.to_owned(), title: title.to_owned(), take: Take::Read { path, row, shape } }
    }
}

/// What came when an object was to be read.
#[derive(Debug)]
pub(super) enum Taken {
    Body(Value),
    /// There is nothing to say about it.
    Nothing,
    /// It is not there, and this is what Grafana said.
    Missing(GrafanaError),
}

impl Site {
    /// The whole server, seen from where the credentials stand.
    pub(super) fn server(client: &GrafanaClient) -> Self {
        Self {
            client: client.clone(),
            organisation: None,
            folders: Vec::new(),
            dashboards: Vec::new(),
            uids: BTreeMap::new(),
            contact_point_secrets: false,
        }
    }

    /// Enters an organisation, and lists what others refer to.
    pub(super) async fn enter(
        client: &GrafanaClient,
        organisation: &Organisation,
        contact_point_secrets: bool,
    ) -> Result<Self, GrafanaError> {
        let client = client.enter(organisation).await?;
        Self::listed(client, Some(organisation.name.clone()), contact_point_secrets).await
    }

    pub(super) async fn listed(
        client: GrafanaClient,
        organisation: Option<String>,
        contact_point_secrets: bool,
    ) -> Result<Self, GrafanaError> {
        let dashboards = search(&client, "list the dashboards", "dash-db").await?;
        let folders = folders(&client).await?;
        let uid = |row: &Value| (number(row, "id"), text(row, "uid").to_owned());
        // Later versions need not tell the number: 0 is General, and nobody's.
        let uids = dashboards.iter().chain(&folders).map(uid).filter(|(id, _)| *id != 0).collect();
        Ok(Self { client, organisation, folders, dashboards, uids, contact_point_secrets })
    }

    /// The same place as it is now.
    pub(super) async fn again(&self) -> Result<Self, GrafanaError> {
        if self.organisation.is_none() {
            return Ok(Self::server(&self.client));
        }
        Self::listed(self.client.clone(), self.organisation.clone(), self.contact_point_secrets).await
    }

    /// The uid of a folder or dashboard that is known by its number here; empty for none.
    pub(super) fn uid_of(&self, id: i64) -> &str {
        self.uids.get(&id).map_or("", String::as_str)
    }

    /// The uid of the folder that something lies in, however this version says it; empty for General.
    pub(super) fn folder_of(&self, said: &Value) -> String {
        let told = text(said, "folderUid");
        let told = if told == "general" { "" } else { told };
        if told.is_empty() { self.uid_of(number(said, "folderId")).to_owned() } else { told.to_owned() }
    }

    /// Reads the body of an object.
    pub(super) async fn take(&self, kind: ObjectType, found: &Found) -> Result<Taken, GrafanaError> {
        let (path, row, shape) = match &found.take {
            Take::Ready(body) => return Ok(Taken::Body(body.clone())),
            Take::Read { path, row, shape } => (path, row, shape),
        };
        let call = Call::get(&format!("read the {} {:?}", kind.noun(), found.title), path);
        let answer = self.client.exchange(&call).await?;
        if answer.status == 404 {
            return Ok(Taken::Missing(self.client.refused(&call, &answer)));
        }
        let mut json = self.client.expect_success(&call, answer)?;
        match shape(self, row, &mut json) {
            Ok(Some(body)) => Ok(Taken::Body(body)),
            Ok(None) => Ok(Taken::Nothing),
            Err(problem) => Err(self.client.not_grafana(&call, problem)),
        }
    }
}

async fn search(client: &GrafanaClient, action: &str, kind: &str) -> Result<Vec<Value>, GrafanaError> {
    let list = List::whole(action, &format!("/api/search?type={kind}")).in_pages("limit", PAGE).by(&["uid"]);
    let mut rows = client.list(&list).await?.must_be_there(client, &list)?.rows;
    if rows.len() > PAGE {
        // Where something is deleted between two pages, what follows moves up, and the first of the next is not seen.
        let known: BTreeSet<String> = rows.iter().map(|row| text(row, "uid").to_owned()).collect();
        let again = client.list(&list).await?.rows.into_iter();
        rows.extend(again.filter(|row| !known.contains(text(row, "uid"))));
    }
    Ok(rows)
}

/// The folders of all levels. The search gives them all where it does not hide nested ones; where folders nest, each
/// is asked for those in it, too.
async fn folders(client: &GrafanaClient) -> Result<Vec<Value>, GrafanaError> {
    let mut folders = search(client, "list the folders", "dash-folder").await?;
    let mut known: BTreeSet<String> = folders.iter().map(|row| text(row, "uid").to_owned()).collect();
    let Some(first) = known.first().cloned() else { return Ok(folders) };
    if !nests(client, &first).await? {
        return Ok(folders);
    }
    let mut wave: Vec<String> = known.iter().cloned().collect();
    while !wave.is_empty() {
        let lists = wave.into_iter().map(|parent| below(client.clone(), parent));
        let found: Vec<Vec<Value>> = stream::iter(lists).buffered(64).try_collect().await?;
        wave = Vec::new();
        for row in found.into_iter().flatten() {
            if known.insert(text(&row, "uid").to_owned()) {
                wave.push(text(&row, "uid").to_owned());
                folders.push(row);
            }
        }
    }
    Ok(folders)
}

/// Whether folders nest. Where they do not, `parentUid` is a parameter that nobody knows, and the answer is the list of
/// all: with the folder itself among those that are in it.
async fn nests(client: &GrafanaClient, uid: &str) -> Result<bool, GrafanaError> {
    let path = format!("/api/folders?limit={PAGE}&parentUid={}", segment(uid));
    let json = client.get("list the folders in a folder", &path).await?;
    let within = json.as_array().map(Vec::as_slice).unwrap_or_default();
    // A full page may not show the folder, and says the same by that: no first folder has so many in it.
    Ok(within.len() < PAGE && !within.iter().any(|row| text(row, "uid") == uid))
}

async fn below(client: GrafanaClient, parent: String) -> Result<Vec<Value>, GrafanaError> {
    let path = format!("/api/folders?parentUid={}", segment(&parent));
    let list = List::whole("list the folders in a folder", &path).in_pages("limit", PAGE).by(&["uid"]);
    Ok(client.list(&list).await?.rows)
}
