//! What the manifest says about an export: where it is from, how much there is of what, and what is not in it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::object::{ObjectId, ObjectType};
use super::restore::BeforeRestore;

/// The version of the format of the archive that this program writes.
pub const FORMAT: u32 = 1;

/// An organisation. Its number is the one of the server that was asked: another server has another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Organisation {
    /// Its name, which no other organisation of the server has.
    pub name: String,
    /// Its number there; not in the archive itself, which is the same bytes whatever the numbers are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
}

impl Organisation {
    /// From what `/api/org` and `/api/orgs` say.
    pub fn of(json: &Value) -> Option<Self> {
        let name = json.get("name")?.as_str()?.to_owned();
        let id = json.get("id").or_else(|| json.get("orgId"))?.as_i64()?;
        Some(Self { name, id: Some(id) })
    }
}

impl fmt::Display for Organisation {
    /// `"Main Org." (1)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            Some(id) => write!(f, "{:?} ({id})", self.name),
            None => write!(f, "{:?}", self.name),
        }
    }
}

/// Something that is not in the export although it is, or could be, in the Grafana.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Skipped {
    /// The organisation; `None` for the whole server.
    pub organisation: Option<String>,
    /// What; a type, or an object of it.
    #[serde(rename = "type")]
    pub kind: Option<ObjectType>,
    /// The object, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Why.
    pub why: Why,
}

impl Skipped {
    /// In words: `dashboards/abc of "Main Org.": excluded by the configuration`.
    pub fn text(&self) -> String {
        format!("{}: {}", self.name(), self.why.text())
    }

    /// What it is, and of which organisation.
    pub fn name(&self) -> String {
        let kind = self.kind.map(|kind| kind.to_string());
        let what = match (kind, &self.key) {
            (Some(kind), Some(key)) => format!("{kind}/{key}"),
            (Some(kind), None) => kind,
            (None, _) => "organisation".to_owned(),
        };
        match (&self.organisation, self.kind) {
            (Some(organisation), Some(_)) => format!("{what} of {organisation:?}"),
            (Some(organisation), None) => format!("{what} {organisation:?}"),
            (None, _) => what,
        }
    }
}

/// Why something is not in an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// This version of Grafana has no such thing.
    NotInThisVersion,
    /// It needs Basic authentication as a server administrator.
    NeedsServerAdmin,
    /// The user is no member of the organisation.
    NoMember,
    /// The configuration excludes it.
    Excluded,
    /// It is exported only where the configuration includes it.
    NotAskedFor,
    /// What this version has in its place is exported.
    Superseded,
    /// It was deleted while the export ran.
    DeletedMeanwhile,
}

impl Why {
    /// In words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NotInThisVersion => "this version of Grafana does not have them",
            Self::NeedsServerAdmin => "only a server administrator with user and password sees them",
            Self::NoMember => "the user is no member of this organisation",
            Self::Excluded => "excluded by the configuration",
            Self::NotAskedFor => "exported only where \"include\" names them",
            Self::Superseded => "what this version has in their place is exported",
            Self::DeletedMeanwhile => "deleted while the export ran",
        }
    }
}

/// What a Grafana never gives away, and somebody has to enter again after a restore.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Secret {
    /// The organisation; `None` for the whole server.
    pub organisation: Option<String>,
    /// The type of the object.
    #[serde(rename = "type")]
    pub kind: ObjectType,
    /// Its key.
    pub key: String,
    /// What people call it.
    pub title: String,
    /// Which secrets: `basicAuthPassword`, `password`, `2 tokens`.
    pub fields: Vec<String>,
}

impl Secret {
    /// The object that it is of.
    pub fn id(&self) -> ObjectId {
        ObjectId { organisation: self.organisation.clone(), kind: self.kind, key: self.key.clone() }
    }
}

/// How many objects of a type an organisation has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// The organisation; `None` for the whole server.
    pub organisation: Option<String>,
    /// By type.
    pub objects: BTreeMap<ObjectType, usize>,
}

/// What is in an export. The manifest has it, and so has the archive (`export.json`, without numbers of organisations).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GrafanaContents {
    /// [`FORMAT`].
    pub format: u32,
    /// The version of the Grafana, where it tells it: `12.1.0-16426244399`.
    pub version: Option<String>,
    /// The organisations that were exported, by name.
    pub organisations: Vec<Organisation>,
    /// How much there is of what.
    pub counts: Vec<Counted>,
    /// What is not in it.
    pub skipped: Vec<Skipped>,
    /// Which secrets have to be entered again.
    pub secrets: Vec<Secret>,
    /// There are secrets in it in the clear: those of contact points, because that was asked for.
    #[serde(default)]
    pub holds_secrets: bool,
    /// The restore before which this export was made, so that it can be taken back. Not in the archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_restore: Option<BeforeRestore>,
}

impl GrafanaContents {
    /// How many objects there are.
    pub fn objects(&self) -> usize {
        self.counts.iter().flat_map(|counted| counted.objects.values()).sum()
    }

    /// How many of each type, over all organisations.
    pub fn by_type(&self) -> BTreeMap<ObjectType, usize> {
        let mut all = BTreeMap::new();
        for (kind, number) in self.counts.iter().flat_map(|counted| &counted.objects) {
            *all.entry(*kind).or_default() += number;
        }
        all
    }

    /// Counts one more.
    pub fn count(&mut self, organisation: Option<&str>, kind: ObjectType) {
        let place = self.counts.iter().position(|counted| counted.organisation.as_deref() == organisation);
        let place = place.unwrap_or_else(|| {
            let organisation = organisation.map(str::to_owned);
            self.counts.push(Counted { organisation, objects: BTreeMap::new() });
            self.counts.len() - 1
        });
        *self.counts[place].objects.entry(kind).or_default() += 1;
    }

    /// The same as it stands in the archive: without what differs from server to server.
    #[must_use]
    pub fn portable(&self) -> Self {
        let mut portable = Self { before_restore: None, ..self.clone() };
        portable.organisations.iter_mut().for_each(|organisation| organisation.id = None);
        portable
    }
}
