//! Writes one object, or removes it. Each type has its own rules: what exists is looked at first, and what is there of
//! secrets and of provenance is kept.

mod contacts;
pub(in crate::grafana) mod dashboards;
mod data_sources;
mod folders;
mod legacy;
mod library;
mod people;
mod permissions;
mod rest;
mod rules;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::door::{Door, WriteError, text};
use super::secrets::Fields;
use crate::grafana::object::{Object, ObjectType};

pub(super) use people::{Numbers, is_synced};

/// Where an object is written, and with what.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    /// Its organisation, or the server.
    pub(super) door: Door,
    /// The numbers of people and teams in it.
    pub(super) numbers: Numbers,
    /// The numbers of the organisations, by name.
    pub(super) organisations: BTreeMap<String, i64>,
    /// By login, an organisation that somebody belongs to.
    pub(super) homes: BTreeMap<String, i64>,
    /// What a dashboard's history says.
    pub(super) message: String,
    /// When the restore began.
    pub(super) now: Timestamp,
}

impl Scene {
    /// Makes it there what it is here.
    pub(super) async fn write(&self, object: &Object, secrets: &Fields) -> Result<(), WriteError> {
        let (door, key, body) = (&self.door, object.key.as_str(), &object.body);
        match object.kind {
            ObjectType::Organisations => {
                door.post("create the organisation", "/api/orgs", json!({ "name": key })).await.map(drop)
            }
            ObjectType::Users => {
                let first = self.organisations.values().min().copied().unwrap_or(1);
                let home = self.homes.get(key).copied().unwrap_or(first);
                people::write_user(door, key, body, secrets, home).await
            }
            ObjectType::Members => people::write_member(door, &self.numbers, key, text(body, "role")).await,
            ObjectType::Teams => people::write_team(door, &self.numbers, key, body).await,
            ObjectType::ServiceAccounts => people::write_service_account(door, key, body).await,
            ObjectType::DataSources => data_sources::write(door, key, body, secrets).await,
            ObjectType::Correlations => data_sources::write_correlation(door, key, body).await,
            ObjectType::Folders => folders::write(door, key, body).await,
            ObjectType::LibraryPanels => library::write(door, key, body, text(body, "folderUid")).await,
            ObjectType::Dashboards => {
                let folder = text(body, "folderUid");
                dashboards::write(door, key, &body["dashboard"], folder, &self.message).await
            }
            ObjectType::AlertChannels => legacy::write_channel(door, key, body, secrets).await,
            ObjectType::Templates => contacts::write_template(door, key, body).await,
            ObjectType::MuteTimings => contacts::write_timing(door, key, body).await,
            ObjectType::ContactPoints => contacts::write_point(door, text(body, "uid"), body, secrets).await,
            ObjectType::Policies => contacts::write_policies(door, body).await,
            ObjectType::RuleGroups => rules::write(door, body).await,
            ObjectType::AlertmanagerConfig => legacy::write_alertmanager(door, body).await,
            ObjectType::RulerGroups => legacy::write_group(door, body).await,
            ObjectType::FolderPermissions | ObjectType::DashboardPermissions => {
                permissions::write(door, &self.numbers, object.kind, key, body).await
            }
            ObjectType::Playlists => rest::write_playlist(door, key, body).await,
            ObjectType::Preferences => rest::write_preferences(door, body).await,
            ObjectType::PublicDashboards => rest::write_public(door, key, body).await,
            ObjectType::Annotations => rest::write_annotation(door, body).await,
            ObjectType::Snapshots => rest::write_snapshot(door, key, body, self.now).await,
            ObjectType::Plugins => Ok(()),
        }
    }

    /// Removes what a restore has made, and nothing that somebody has put into it since.
    pub(super) async fn remove(&self, object: &Object) -> Result<(), WriteError> {
        let (door, key, body) = (&self.door, object.key.as_str(), &object.body);
        match object.kind {
            ObjectType::Organisations => {
                let Some(id) = self.organisations.get(key) else { return Ok(()) };
                door.delete("remove the organisation", &format!("/api/orgs/{id}")).await
            }
            ObjectType::Users => people::remove_user(door, key).await,
            ObjectType::Members => people::remove_member(door, &self.numbers, key).await,
            ObjectType::Teams => people::remove_team(door, &self.numbers, key).await,
            ObjectType::ServiceAccounts => people::remove_service_account(door, key).await,
            ObjectType::DataSources => data_sources::remove(door, key).await,
            ObjectType::Correlations => data_sources::remove_correlation(door, key, body).await,
            ObjectType::Folders => folders::remove(door, key).await,
            ObjectType::LibraryPanels => library::remove(door, key).await,
            ObjectType::Dashboards => dashboards::remove(door, key).await,
            ObjectType::AlertChannels => legacy::remove_channel(door, key).await,
            ObjectType::Templates => contacts::remove_template(door, key, body).await,
            ObjectType::MuteTimings => contacts::remove_timing(door, key, body).await,
            ObjectType::ContactPoints => contacts::remove_point(door, text(body, "uid"), body).await,
            ObjectType::RuleGroups => rules::remove(door, body).await,
            ObjectType::RulerGroups => legacy::remove_group(door, body).await,
            ObjectType::Playlists => rest::remove_playlist(door, key, body).await,
            ObjectType::PublicDashboards => rest::remove_public(door, key).await,
            ObjectType::Snapshots => rest::remove_snapshot(door, key).await,
            // There always are some: they are set back.
            ObjectType::Policies => contacts::reset_policies(door, body).await,
            ObjectType::Preferences => rest::reset_preferences(door).await,
            // They go with what they are of; there always is one; an annotation has nothing by which it could be named.
            ObjectType::FolderPermissions
            | ObjectType::DashboardPermissions
            | ObjectType::AlertmanagerConfig
            | ObjectType::Annotations
            | ObjectType::Plugins => Err(WriteError::Refused(
                "it cannot be removed, and stays as the restore has written it".to_owned(),
            )),
        }
    }
}
