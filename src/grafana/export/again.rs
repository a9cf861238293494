//! Looks at single objects once more, just before they are written: as an export reads them, so that they can be compared
//! with one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::site::{Found, Site, Taken};
use super::{boards, survey};
use crate::grafana::GrafanaError;
use crate::grafana::client::GrafanaClient;
use crate::grafana::object::{ObjectId, ObjectType, nth_key};

/// What a list said longer ago is asked again: many objects of a type take their time.
const FRESH: Duration = Duration::from_secs(1);

/// One organisation of a server, or the server itself, in which objects are looked at again.
#[derive(Debug)]
pub(in crate::grafana) struct Again {
    site: Site,
    lists: Mutex<BTreeMap<ObjectType, Listed>>,
}

/// A list, and when it was asked for.
#[derive(Debug)]
struct Listed {
    at: Instant,
    /// By the keys that an export gives them.
    all: BTreeMap<String, Found>,
}

impl Again {
    /// With the client of the organisation. Before 9 things are known by numbers, which are asked for here.
    pub(in crate::grafana) async fn enter(
        client: &GrafanaClient,
        organisation: Option<&str>,
        numbered: bool,
        contact_point_secrets: bool,
    ) -> Result<Self, GrafanaError> {
        let organisation = organisation.map(str::to_owned);
        let site = if numbered && organisation.is_some() {
            Site::listed(client.clone(), organisation, contact_point_secrets).await?
        } else {
            let mut site = Site::server(client);
            (site.organisation, site.contact_point_secrets) = (organisation, contact_point_secrets);
            site
        };
        Ok(Self { site, lists: Mutex::default() })
    }

    /// The body that an export would have now; nothing where it is not there, or has nothing to say.
    pub(in crate::grafana) async fn body(&self, id: &ObjectId) -> Result<Option<Value>, GrafanaError> {
        let Some(found) = self.find(id).await? else { return Ok(None) };
        Ok(match self.site.take(id.kind, &found).await? {
            Taken::Body(body) => Some(body),
            Taken::Nothing | Taken::Missing(_) => None,
        })
    }

    async fn find(&self, id: &ObjectId) -> Result<Option<Found>, GrafanaError> {
        let row = json!({ "uid": id.key, "title": id.key });
        match id.kind {
            ObjectType::Folders => return Ok(Some(boards::folder_found(&row))),
            ObjectType::Dashboards => return Ok(Some(boards::dashboard_found(&row))),
            ObjectType::FolderPermissions => return Ok(Some(boards::folder_permissions_found(&row))),
            ObjectType::DashboardPermissions if self.site.dashboards.is_empty() => {
                return Ok(Some(boards::dashboard_permissions_found(&row, false)));
            }
            ObjectType::DashboardPermissions => {
                let rows = self.site.dashboards.iter();
                let row = rows.into_iter().find(|row| row["uid"] == *id.key);
                return Ok(row.map(|row| boards::dashboard_permissions_found(row, true)));
            }
            _ => {}
        }
        let mut lists = self.lists.lock().await;
        let fresh = lists.get(&id.kind).filter(|listed| listed.at.elapsed() < FRESH);
        if fresh.is_none() {
            let at = Instant::now();
            let all = self.list(id).await?;
            lists.insert(id.kind, Listed { at, all });
        }
        Ok(lists.get(&id.kind).and_then(|listed| listed.all.get(&id.key)).cloned())
    }

    async fn list(&self, id: &ObjectId) -> Result<BTreeMap<String, Found>, GrafanaError> {
        let (mut seen, mut all) = (BTreeMap::<String, usize>::new(), BTreeMap::new());
        for found in survey::list(&self.site, id.kind).await?.unwrap_or_default() {
            let nth = seen.entry(found.key.clone()).or_default();
            *nth += 1;
            let key = if id.may_repeat() { nth_key(&found.key, *nth) } else { found.key.clone() };
            all.insert(key, found);
        }
        Ok(all)
    }
}
