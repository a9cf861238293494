//! Which fields of an object say the same where they are empty and where they are not there, and which parts of it nobody
//! but its plugin understands.
//!
//! Facts: `grafana.md` of the project; marks as there: `[R]` seen on 7.5.5, `[S]` Grafana's source, `[A]` its API
//! specification, `[M]` not checked. What is not named here is compared to the letter.

use crate::grafana::object::ObjectType;

/// How a part of an object is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Fields that Grafana knows: those of [`defaulted`] may be empty or not there.
    Known(ObjectType),
    /// What only a panel or a plugin understands, where `0`, `false`, `null` and nothing are four things. At its top some
    /// fields may be filled in by the server.
    Letter(&'static [&'static str]),
    /// The same, and a secret may stand in it, which is shown as `[REDACTED]`.
    Settings,
}

/// How a field of something that Grafana knows is compared, by its name.
pub(super) fn of_field(kind: ObjectType, name: &str) -> Reading {
    match (kind, name) {
        // The server writes what the element has of these into the model, empty where it has none [S].
        (ObjectType::LibraryPanels, "model") => Reading::Letter(&["type", "description"]),
        (ObjectType::Dashboards, "dashboard")
        | (ObjectType::DataSources, "jsonData")
        | (ObjectType::Correlations, "config")
        // The query of a rule; what it stands in is Grafana's own.
        | (ObjectType::RuleGroups | ObjectType::RulerGroups, "model") => Reading::Letter(&[]),
        (ObjectType::ContactPoints | ObjectType::AlertChannels | ObjectType::AlertmanagerConfig, "settings") => {
            Reading::Settings
        }
        _ => Reading::Known(kind),
    }
}

/// The fields of a type that a server defaults: one leaves out what is empty, another one has it empty, and what is not
/// sent is stored as empty.
pub(super) const fn defaulted(kind: ObjectType) -> &'static [&'static str] {
    match kind {
        // Texts and flags of the users' table, which are never null there; 7.5 leaves out `isDisabled` in some lists [R].
        ObjectType::Users => &["email", "name", "isAdmin", "isDisabled"],
        ObjectType::Teams => &["email", "members"],
        ObjectType::ServiceAccounts => &["isDisabled"],
        // A PUT without one leaves or empties it, and an empty text never gets into the database [R 057, 203]; the list and
        // the single one differ in which they show [R 052, 054]. `jsonData` is `{}` where there is none [R 050].
        ObjectType::DataSources => &[
            "access",
            "basicAuth",
            "basicAuthPassword",
            "basicAuthUser",
            "database",
            "isDefault",
            "jsonData",
            "password",
            "url",
            "user",
            "withCredentials",
        ],
        // `description` and `type` came later than correlations; the others are left out where they are empty [A].
        ObjectType::Correlations => &["description", "label", "transformations", "type"],
        // At the top there is no parent, and none is said [R 014].
        ObjectType::Folders => &["parentUid"],
        // General is no folder: it is "" or not there [R 085].
        ObjectType::LibraryPanels | ObjectType::Dashboards => &["folderUid"],
        // Flags and texts of a table [R 111, 112].
        ObjectType::AlertChannels => {
            &["disableResolveMessage", "frequency", "isDefault", "secureSettings", "sendReminder"]
        }
        ObjectType::Templates => &["kind"],
        // `omitempty` in Prometheus' own type, which Grafana stores [S].
        ObjectType::MuteTimings => {
            &["days_of_month", "location", "months", "time_intervals", "times", "weekdays", "years"]
        }
        ObjectType::ContactPoints => &["disableResolveMessage", "uid"],
        // `omitempty` in the type of a route [S].
        ObjectType::Policies => ROUTE,
        // Empty where it is not said, and left out by versions that do not have it yet [A].
        ObjectType::RuleGroups => &[
            "annotations",
            "from",
            "interval",
            "isPaused",
            "keep_firing_for",
            "labels",
            "missingSeriesEvalsToResolve",
            "notification_settings",
            "queryType",
            "record",
            "relativeTimeRange",
            "rules",
            "to",
            "group_by",
            "mute_time_intervals",
            "active_time_intervals",
        ],
        // The same of 8's ruler, whose types are other ones of the same habit [S].
        ObjectType::RulerGroups => &[
            "annotations",
            "for",
            "from",
            "interval",
            "labels",
            "provenance",
            "queryType",
            "relativeTimeRange",
            "rules",
            "to",
        ],
        ObjectType::AlertmanagerConfig => CONFIG,
        ObjectType::FolderPermissions | ObjectType::DashboardPermissions => &["items"],
        ObjectType::Playlists => &["interval", "items", "title"],
        // A PUT empties what it does not name, and an older version does not know all of them [A].
        ObjectType::Preferences => &[
            "cookiePreferences",
            "homeDashboardUID",
            "language",
            "navbar",
            "queryHistory",
            "regionalFormat",
            "theme",
            "timezone",
            "weekStart",
        ],
        // Flags of a table; `share` came later and is "public" where it is not said [A].
        ObjectType::PublicDashboards => &["annotationsEnabled", "isEnabled", "timeSelectionEnabled"],
        ObjectType::Organisations
        | ObjectType::Members
        | ObjectType::Annotations
        | ObjectType::Snapshots
        | ObjectType::Plugins => &[],
    }
}

const ROUTE: &[&str] = &[
    "active_time_intervals",
    "continue",
    "group_by",
    "group_interval",
    "group_wait",
    "match",
    "match_re",
    "matchers",
    "mute_time_intervals",
    "object_matchers",
    "repeat_interval",
    "routes",
];

/// A route, and what stands around it: of 8, whose configuration goes through the same types [S].
const CONFIG: &[&str] = &[
    "active_time_intervals",
    "continue",
    "disableResolveMessage",
    "global",
    "grafana_managed_receiver_configs",
    "group_by",
    "group_interval",
    "group_wait",
    "inhibit_rules",
    "match",
    "match_re",
    "matchers",
    "mute_time_intervals",
    "muteTimeProvenances",
    "object_matchers",
    "receivers",
    "repeat_interval",
    "routes",
    "template_files",
    "templates",
    "time_intervals",
];
