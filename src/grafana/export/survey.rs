//! All that there is to export, before any of it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::reach::Reach;
use super::site::{Found, Site};
use super::{ExportOptions, alerting, boards, people, rest, skip};
use crate::grafana::GrafanaError;
use crate::grafana::client::{Call, GrafanaClient, major_and_minor};
use crate::grafana::contents::{Organisation, Secret, Skipped, Why};
use crate::grafana::object::{ObjectId, ObjectType, nth_key};

/// An object to read, and where.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) id: ObjectId,
    pub(super) site: Arc<Site>,
    pub(super) found: Found,
}

/// All that there is to export.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) version: Option<String>,
    pub(super) organisations: Vec<Organisation>,
    /// In the order of the archive.
    pub(super) objects: Vec<Planned>,
    pub(super) skipped: Vec<Skipped>,
    /// Of what is no object of its own: API keys.
    pub(super) secrets: Vec<Secret>,
    /// What somebody should look at.
    pub(super) warnings: Vec<String>,
    server_admin: bool,
}

/// What the provisioning API lists, and since which version (facts 2.6).
const PROVISIONED: [(ObjectType, (u32, u32)); 5] = [
    (ObjectType::ContactPoints, (9, 0)),
    (ObjectType::Policies, (9, 0)),
    (ObjectType::MuteTimings, (9, 0)),
    (ObjectType::Templates, (9, 0)),
    (ObjectType::RuleGroups, (9, 4)),
];

impl Survey {
    /// Asks for every list. `tell` is told what is being asked for.
    pub(super) async fn of(
        client: &GrafanaClient,
        reach: Reach,
        options: &ExportOptions,
        tell: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Self, GrafanaError> {
        let Reach { version, organisations, closed, server_admin } = reach;
        let skipped = closed.iter().map(|one| skip(Some(&one.name), None, None, Why::NoMember)).collect();
        let (objects, secrets) = (Vec::new(), Vec::new());
        let warnings = Vec::new();
        let mut survey = Self { version, organisations, objects, skipped, secrets, warnings, server_admin };
        survey.add_site(&Arc::new(Site::server(client)), options, tell).await?;
        for organisation in survey.organisations.clone() {
            tell(&format!("{} of {organisation}", ObjectType::Dashboards));
            let site = Site::enter(client, &organisation, options.contact_point_secrets).await?;
            survey.add_site(&Arc::new(site), options, tell).await?;
            survey.must_have_alerting(client, &organisation)?;
        }
        survey.objects.sort_by(|a, b| a.id.cmp(&b.id));
        tell_apart(&mut survey.objects);
        Ok(survey)
    }

    async fn add_site(
        &mut self,
        site: &Arc<Site>,
        options: &ExportOptions,
        tell: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<(), GrafanaError> {
        let organisation = site.organisation.clone();
        for kind in ObjectType::ALL.into_iter().filter(|kind| kind.is_of_server() == organisation.is_none()) {
            if let Some(why) = options.skips(kind) {
                self.skipped.push(skip(organisation.as_deref(), Some(kind), None, why));
                continue;
            }
            if kind == ObjectType::ServiceAccounts {
                self.secrets.extend(people::api_keys(site).await?);
            }
            tell(&format!("{kind} of {}", organisation.as_deref().unwrap_or("the server")));
            match self.gather(site, kind).await? {
                Ok(found) => self.add(site, kind, found, options),
                Err(why) => self.skipped.push(skip(organisation.as_deref(), Some(kind), None, why)),
            }
        }
        Ok(())
    }

    fn add(&mut self, site: &Arc<Site>, kind: ObjectType, all: Vec<Found>, options: &ExportOptions) {
        for found in all {
            let id = ObjectId { organisation: site.organisation.clone(), kind, key: found.key.clone() };
            if options.excludes(&id) {
                let organisation = id.organisation.as_deref();
                self.skipped.push(skip(organisation, Some(kind), Some(&id.key), Why::Excluded));
            } else {
                self.objects.push(Planned { id, site: Arc::clone(site), found });
            }
        }
    }

    /// The objects of a type, or why there are none.
    async fn gather(&self, site: &Site, kind: ObjectType) -> Result<Result<Vec<Found>, Why>, GrafanaError> {
        if kind == ObjectType::Organisations {
            return Ok(Ok(people::organisations(site, &self.organisations, self.server_admin)));
        }
        if kind == ObjectType::Users && !self.server_admin {
            return Ok(Err(Why::NeedsServerAdmin));
        }
        let superseded = matches!(kind, ObjectType::RulerGroups | ObjectType::AlertmanagerConfig);
        if superseded && self.has(site, ObjectType::Policies) {
            return Ok(Err(Why::Superseded));
        }
        Ok(list(site, kind).await?.ok_or(Why::NotInThisVersion))
    }

    /// What alerting is made of comes together: where one of its lists is not there although others are, something before
    /// Grafana hides it, and a backup without it would be taken for a whole one.
    fn must_have_alerting(
        &mut self,
        client: &GrafanaClient,
        organisation: &Organisation,
    ) -> Result<(), GrafanaError> {
        let version = self.version.as_deref().and_then(major_and_minor);
        let is_since = |since: (u32, u32)| version.is_none_or(|version| version >= since);
        let of_here = |skipped: &&Skipped| skipped.organisation.as_ref() == Some(&organisation.name);
        let absent: Vec<ObjectType> = self
            .skipped
            .iter()
            .filter(of_here)
            .filter(|skipped| skipped.why == Why::NotInThisVersion)
            .filter_map(|skipped| skipped.kind)
            .collect();
        let excluded = |kind: ObjectType| {
            self.skipped
                .iter()
                .filter(of_here)
                .any(|one| one.kind == Some(kind) && one.key.is_none() && one.why == Why::Excluded)
        };
        let is_absent = |kind: &ObjectType| absent.contains(kind);
        let meant: Vec<ObjectType> =
            PROVISIONED.iter().filter(|(_, since)| is_since(*since)).map(|(kind, _)| *kind).collect();
        let meant: Vec<ObjectType> = meant.into_iter().filter(|kind| !excluded(*kind)).collect();
        let (lost, there): (Vec<ObjectType>, Vec<ObjectType>) = meant.into_iter().partition(is_absent);
        match (lost.first(), there.first()) {
            (Some(lost), Some(there)) => {
                let call = Call::get(&format!("list the {lost} of {organisation}"), "/");
                Err(client.not_grafana(&call, format!("it has no such list, and it has one of {there}")))
            }
            // Who has switched the old alerting on has none of these.
            (Some(_), None) if version.is_some() && is_absent(&ObjectType::AlertChannels) => {
                self.warnings.push(format!(
                    "nothing of alerting in {organisation} is in the backup: this version has lists of it, and none of them answers; is alerting switched off there, or does something before Grafana hide them?"
                ));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn has(&self, site: &Site, kind: ObjectType) -> bool {
        self.objects.iter().any(|one| one.id.kind == kind && one.id.organisation == site.organisation)
    }
}

/// The objects of a type; `None` where this version does not have it.
pub(super) async fn list(site: &Site, kind: ObjectType) -> Result<Option<Vec<Found>>, GrafanaError> {
    match kind {
        ObjectType::Organisations => Ok(None),
        ObjectType::Users => people::users(site).await,
        ObjectType::Members => people::members(site).await,
        ObjectType::Teams => people::teams(site).await,
        ObjectType::ServiceAccounts => people::service_accounts(site).await,
        ObjectType::DataSources => rest::data_sources(site).await,
        ObjectType::Correlations => rest::correlations(site).await,
        ObjectType::Folders => Ok(Some(boards::folders(site))),
        ObjectType::LibraryPanels => boards::library_panels(site).await,
        ObjectType::Dashboards => Ok(Some(boards::dashboards(site))),
        ObjectType::AlertChannels => alerting::alert_channels(site).await,
        ObjectType::Templates => alerting::templates(site).await,
        ObjectType::MuteTimings => alerting::mute_timings(site).await,
        ObjectType::ContactPoints => alerting::contact_points(site).await,
        ObjectType::Policies => alerting::policies(site).await,
        ObjectType::RuleGroups => alerting::rule_groups(site).await,
        ObjectType::AlertmanagerConfig => alerting::alertmanager_config(site).await,
        ObjectType::RulerGroups => alerting::ruler_groups(site).await,
        ObjectType::FolderPermissions => Ok(Some(boards::folder_permissions(site))),
        ObjectType::DashboardPermissions => boards::dashboard_permissions(site).await,
        ObjectType::Playlists => rest::playlists(site).await,
        ObjectType::Preferences => Ok(Some(rest::preferences())),
        ObjectType::PublicDashboards => boards::public_dashboards(site).await,
        ObjectType::Annotations => rest::annotations(site).await,
        ObjectType::Snapshots => rest::snapshots(site).await,
        ObjectType::Plugins => rest::plugins(site).await,
    }
}

/// Names need not be unique where nothing else is known of an object: no two of them get one key.
fn tell_apart(objects: &mut [Planned]) {
    let mut taken: BTreeSet<ObjectId> = objects.iter().map(|planned| planned.id.clone()).collect();
    let mut seen: BTreeMap<ObjectId, usize> = BTreeMap::new();
    for planned in objects.iter_mut() {
        let times = seen.entry(planned.id.clone()).or_default();
        *times += 1;
        let mut nth = *times;
        let named = |nth| ObjectId { key: nth_key(&planned.id.key, nth), ..planned.id.clone() };
        if planned.id.may_repeat() {
            planned.id = named(nth);
        } else if nth > 1 {
            // What should be unique is not, on a server that is odd: any key will do that is its own.
            while !taken.insert(named(nth)) {
                nth += 1;
            }
            planned.id = named(nth);
        }
    }
    objects.sort_by(|a, b| a.id.cmp(&b.id));
}
