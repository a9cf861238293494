//! One thing of a Grafana, as it is written to an archive and read back.
//!
//! What stands in its body is what means the same on every Grafana: numeric IDs, versions, and who changed it when, are
//! taken off, and where something is known by a number only, the name that belongs to it stands beside (`userLogin`,
//! `team`, `folderUid`, `dashboardUid`). So two exports of the same Grafana are the same bytes, and so are those of
//! two Grafanas that differ only in their numbers. [`crate::grafana::contents`] keeps what is the server's own.
//!
//! | type | key | body |
//! |---|---|---|
//! | organisations | name | `name`, `address` |
//! | users | login | `login`, `name`, `email`, `isAdmin`, `isDisabled`, `authLabels` where they are not empty |
//! | members | login | `login`, `email`, `name`, `role` in the organisation |
//! | teams | name | `name`, `email`, `members`: list of `login`, `email`, `permission`, `labels` where it is synced |
//! | service-accounts | name | `name`, `role`, `isDisabled`, `tokens`: how many |
//! | data-sources | uid | as the API gives one, with `secureJsonFields`: which secrets there are |
//! | correlations | source/target/label, see [`nth_key`] | as the API gives one, without `uid`, which nobody can choose |
//! | folders | uid | `uid`, `title`, `parentUid` where it lies in another |
//! | library-panels | uid | `uid`, `name`, `kind`, `model`, `folderUid` (empty: General) |
//! | dashboards | uid | `dashboard`, `folderUid` (empty: General), `provisioned` where it comes from a file |
//! | alert-channels | uid | legacy notification channels, up to 10 |
//! | templates, mute-timings | name | as the API gives one, with `provenance` |
//! | contact-points | uid | as the API gives one; secrets are `[REDACTED]` unless they were asked for |
//! | policies | `policies` | the whole tree |
//! | rule-groups | folder uid/group | as the API gives one: `title`, `folderUid`, `interval`, `rules` |
//! | ruler-groups | folder title/group | of 8: `folder`, `group` as the ruler gives it, without the `uid` of rules, which nobody can choose |
//! | alertmanager-config | `alertmanager` | of 8: as the API gives it |
//! | folder-permissions, dashboard-permissions | uid | `items`: own rows only, with `role`, `team` or `userLogin`+`userEmail`, and `permission` |
//! | playlists | name, see [`nth_key`] | `name`, `interval`, `items`; without `uid`, which nobody can choose |
//! | preferences | `preferences` | as the API gives them, with `homeDashboardUID` in the place of the number |
//! | public-dashboards | dashboard uid | as the API gives one |
//! | annotations | time and a hash | `time`, `timeEnd`, `text`, `tags`, `panelId`, `data`, `dashboardUID`; not who made it, which nobody can choose |
//! | snapshots | key | `name`, `key`, `expires`, `external`, `externalUrl`, `dashboard` |
//! | plugins | id | `id`, `name`, `type`, `version`, `enabled`, `pinned`: an inventory |
//!
//! A folder or a dashboard without an object in `folder-permissions` or `dashboard-permissions` has the rows that every
//! new one has: what it inherits, and at the top Viewer 1 and Editor 2. A restore brings that back, too.

mod canonical;
mod hidden;
mod name;
mod nth;
mod selector;
mod types;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use canonical::canonical;
pub use hidden::{PASSWORDS, REDACTED, at, places, put, redacted};
pub use nth::{key_before, nth_key, nth_of};
pub use selector::{Selector, SelectorError};
pub use types::ObjectType;

/// What one object is called: the same on every Grafana. Its order is the order of the archive, in which what is
/// needed by others comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectId {
    /// The name of the organisation it belongs to; `None` for what belongs to the whole server.
    pub organisation: Option<String>,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: ObjectType,
    /// The uid, or the name where there is none; see the table of the module.
    pub key: String,
}

impl ObjectId {
    /// Whether several of its type may be called the same, so that its key has a number where it is not the first.
    pub const fn may_repeat(&self) -> bool {
        nth::may_repeat(self.kind)
    }

    /// Where it lies in the archive. Another object has another path, however long or odd its names are.
    pub fn path(&self) -> String {
        let file = format!("{}/{}.json", self.kind, name::of_file(&self.key));
        match &self.organisation {
            Some(organisation) => format!("organisations/{}/{file}", name::of_file(organisation)),
            None => format!("server/{file}"),
        }
    }
}

impl fmt::Display for ObjectId {
    /// `dashboards/abc`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.key)
    }
}

/// One thing of a Grafana.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// What it is called; see [`ObjectId`].
    pub organisation: Option<String>,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: ObjectType,
    /// The uid, or the name.
    pub key: String,
    /// What people call it.
    pub title: String,
    /// What it is made of; see the table of the module.
    pub body: Value,
}

impl Object {
    /// An object from its parts.
    pub fn new(id: ObjectId, title: impl Into<String>, body: Value) -> Self {
        let ObjectId { organisation, kind, key } = id;
        Self { organisation, kind, key, title: title.into(), body }
    }

    /// What it is called.
    pub fn id(&self) -> ObjectId {
        ObjectId { organisation: self.organisation.clone(), kind: self.kind, key: self.key.clone() }
    }

    /// Its file: the same object is the same bytes.
    pub fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        canonical(&serde_json::to_value(self)?)
    }

    /// Reads a file of an archive.
    pub fn from_bytes(bytes: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn id(organisation: Option<&str>, kind: ObjectType, key: &str) -> ObjectId {
        ObjectId { organisation: organisation.map(str::to_owned), kind, key: key.to_owned() }
    }

    #[test]
    fn an_object_is_read_back_as_it_was_and_is_always_the_same_bytes() {
        let body = json!({ "z": 1, "a": { "d": 0.1, "c": [2, 1] } });
        let object = Object::new(id(Some("Main Org."), ObjectType::Dashboards, "x"), "X", body);
        let bytes = object.to_bytes().unwrap();
        assert_eq!(Object::from_bytes(&bytes).unwrap(), object);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.find("\"a\"") < text.find("\"z\"") && text.ends_with("}\n"), "{text}");
    }

    #[test]
    fn a_path_is_readable_and_stays_inside_whatever_the_names_are() {
        fn path(organisation: Option<&str>, key: &str) -> String {
            id(organisation, ObjectType::RuleGroups, key).path()
        }
        assert_eq!(
            path(Some("Main Org."), "infra/host"),
            "organisations/Main%20Org./rule-groups/infra%2Fhost.json"
        );
        assert_eq!(path(Some(".."), ".."), "organisations/%2E./rule-groups/%2E..json");
        assert_eq!(path(None, "a"), "server/rule-groups/a.json");
        let long = |end: char| path(Some("o"), &format!("{}{end}", "ä".repeat(190)));
        assert!(long('a').len() < 250 && long('a') != long('b'), "{}", long('a'));
    }

    #[test]
    fn objects_are_ordered_by_organisation_and_by_what_needs_what() {
        let server = id(None, ObjectType::Users, "z");
        let folder = id(Some("A"), ObjectType::Folders, "z");
        let dashboard = id(Some("A"), ObjectType::Dashboards, "a");
        let other = id(Some("B"), ObjectType::Folders, "a");
        assert!(server < folder && folder < dashboard && dashboard < other);
    }
}
