//! What there is in a Grafana.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A type of object, in the order in which a restore has to write them: what is needed by others comes first, and
/// permissions come late, because a restore that tightens them first may lock itself out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectType {
    /// Organisations.
    Organisations,
    /// Users of the server, without their passwords.
    Users,
    /// Who is in an organisation, with which role.
    Members,
    /// Teams with their members.
    Teams,
    /// Service accounts, without their tokens.
    ServiceAccounts,
    /// Data sources, without their secrets.
    DataSources,
    /// Links between data sources.
    Correlations,
    /// Folders.
    Folders,
    /// Library panels and variables.
    LibraryPanels,
    /// Dashboards.
    Dashboards,
    /// Notification channels of the alerting before 11.
    AlertChannels,
    /// Templates of notifications.
    Templates,
    /// Mute timings.
    MuteTimings,
    /// Contact points.
    ContactPoints,
    /// The tree of notification policies.
    Policies,
    /// Groups of alert rules.
    RuleGroups,
    /// The Alertmanager's configuration of 8, which has contact points and policies in it.
    AlertmanagerConfig,
    /// Groups of alert rules of 8, which has no provisioning API.
    RulerGroups,
    /// Who may do what with a folder.
    FolderPermissions,
    /// Who may do what with a dashboard.
    DashboardPermissions,
    /// Playlists.
    Playlists,
    /// Preferences of an organisation.
    Preferences,
    /// Dashboards that anybody may see.
    PublicDashboards,
    /// Annotations that people or programs made; only where they are asked for.
    Annotations,
    /// Snapshots of dashboards; only where they are asked for.
    Snapshots,
    /// Which plugins there are: an inventory, nothing to restore.
    Plugins,
}

impl ObjectType {
    /// All of them, in order.
    pub const ALL: [Self; 26] = [
        Self::Organisations,
        Self::Users,
        Self::Members,
        Self::Teams,
        Self::ServiceAccounts,
        Self::DataSources,
        Self::Correlations,
        Self::Folders,
        Self::LibraryPanels,
        Self::Dashboards,
        Self::AlertChannels,
        Self::Templates,
        Self::MuteTimings,
        Self::ContactPoints,
        Self::Policies,
        Self::RuleGroups,
        Self::AlertmanagerConfig,
        Self::RulerGroups,
        Self::FolderPermissions,
        Self::DashboardPermissions,
        Self::Playlists,
        Self::Preferences,
        Self::PublicDashboards,
        Self::Annotations,
        Self::Snapshots,
        Self::Plugins,
    ];

    /// As it is written in a configuration, in a path and in a file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Organisations => "organisations",
            Self::Users => "users",
            Self::Members => "members",
            Self::Teams => "teams",
            Self::ServiceAccounts => "service-accounts",
            Self::DataSources => "data-sources",
            Self::Correlations => "correlations",
            Self::Folders => "folders",
            Self::LibraryPanels => "library-panels",
            Self::Dashboards => "dashboards",
            Self::AlertChannels => "alert-channels",
            Self::Templates => "templates",
            Self::MuteTimings => "mute-timings",
            Self::ContactPoints => "contact-points",
            Self::Policies => "policies",
            Self::RuleGroups => "rule-groups",
            Self::AlertmanagerConfig => "alertmanager-config",
            Self::RulerGroups => "ruler-groups",
            Self::FolderPermissions => "folder-permissions",
            Self::DashboardPermissions => "dashboard-permissions",
            Self::Playlists => "playlists",
            Self::Preferences => "preferences",
            Self::PublicDashboards => "public-dashboards",
            Self::Annotations => "annotations",
            Self::Snapshots => "snapshots",
            Self::Plugins => "plugins",
        }
    }

    /// What one of them is to people: `data source`.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Organisations => "organisation",
            Self::Users => "user",
            Self::Members => "member",
            Self::Teams => "team",
            Self::ServiceAccounts => "service account",
            Self::DataSources => "data source",
            Self::Correlations => "correlation",
            Self::Folders => "folder",
            Self::LibraryPanels => "library panel",
            Self::Dashboards => "dashboard",
            Self::AlertChannels => "notification channel",
            Self::Templates => "notification template",
            Self::MuteTimings => "mute timing",
            Self::ContactPoints => "contact point",
            Self::Policies => "tree of notification policies",
            Self::RuleGroups | Self::RulerGroups => "rule group",
            Self::AlertmanagerConfig => "configuration of the Alertmanager",
            Self::FolderPermissions => "permissions of the folder",
            Self::DashboardPermissions => "permissions of the dashboard",
            Self::Playlists => "playlist",
            Self::Preferences => "set of preferences",
            Self::PublicDashboards => "public link of the dashboard",
            Self::Annotations => "annotation",
            Self::Snapshots => "snapshot",
            Self::Plugins => "plugin",
        }
    }

    /// So many of them: `1 data source`, `2 data-sources`. What is plural by itself stays so.
    pub fn counted(self, number: usize) -> String {
        let is_plural = matches!(
            self,
            Self::Policies
                | Self::AlertmanagerConfig
                | Self::FolderPermissions
                | Self::DashboardPermissions
                | Self::Preferences
        );
        let name = if number == 1 && !is_plural { self.noun() } else { self.name() };
        format!("{} {name}", crate::words::grouped(u64::try_from(number).unwrap_or(u64::MAX)))
    }

    /// The inverse of [`Self::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// It belongs to the whole server, and only a server administrator sees it.
    pub const fn is_of_server(self) -> bool {
        matches!(self, Self::Organisations | Self::Users)
    }

    /// It is exported only where it is asked for: there can be very many, or nobody misses them.
    pub const fn is_opt_in(self) -> bool {
        matches!(self, Self::Annotations | Self::Snapshots)
    }
}

impl fmt::Display for ObjectType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_is_there_once_in_order_and_has_the_name_that_files_have() {
        assert!(ObjectType::ALL.is_sorted_by(|a, b| a < b));
        for kind in ObjectType::ALL {
            assert_eq!(ObjectType::from_name(kind.name()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
