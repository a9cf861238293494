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
    /// There are secrets in it in the clear; see [`Self::clear`].
    #[serde(default)]
    pub holds_secrets: bool,
    /// Which secrets those are: of contact points, because that was asked for, and what Grafana itself shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clear: Vec<Secret>,
    /// The restore before which this export was made, so that it can be taken back. Not in the archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_restore: Option<BeforeRestore>,
}

impl GrafanaContents {
    /// The secrets of contact points are in it. Archives from before `clear` do not tell which ones are.
    pub fn shows_contact_points(&self) -> bool {
        let is_point = |secret: &Secret| secret.kind == ObjectType::ContactPoints;
        self.holds_secrets && (self.clear.is_empty() || self.clear.iter().any(is_point))
    }

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

    /// How many there are of each type, as later exports are compared with it: also those of which there are none. What
    /// was left out on purpose, or is not in this version, is not compared.
    pub fn counts_to_compare(&self) -> BTreeMap<String, u64> {
        let counts = self.by_type();
        let whole = |kind: ObjectType| {
            self.skipped.iter().filter(move |one| one.kind == Some(kind) && one.key.is_none())
        };
        let is_compared = |kind: &ObjectType| {
            let lost = |why| matches!(why, Why::NeedsServerAdmin | Why::NoMember | Why::DeletedMeanwhile);
            *kind != ObjectType::Plugins && whole(*kind).all(|one| lost(one.why))
        };
        let count = |kind: ObjectType| counts.get(&kind).map_or(0, |count| *count as u64);
        ObjectType::ALL
            .into_iter()
            .filter(is_compared)
            .map(|kind| (kind.name().to_owned(), count(kind)))
            .collect()
    }

    /// What the credentials of the export before had reached, and those of this one do not: in words; nothing where it
    /// is all there.
    pub fn reached_less(&self, before: &Self) -> Option<String> {
        let is_here = |name: &str| self.organisations.iter().any(|one| one.name == name);
        let lost = before.organisations.iter().filter(|one| !is_here(&one.name));
        let mut lost: Vec<String> = lost.map(|one| format!("the organisation {:?}", one.name)).collect();
        let needs = |one: &Skipped| one.kind == Some(ObjectType::Users) && one.why == Why::NeedsServerAdmin;
        let users = before.by_type().get(&ObjectType::Users).copied().unwrap_or_default();
        if users > 0 && self.skipped.iter().any(needs) {
            lost.push(crate::words::count(users, "user"));
        }
        let all = crate::words::some(&lost, 5);
        (!lost.is_empty()).then(|| {
            format!("the backup before this one had {all}; these credentials no longer reach them, or they are gone")
        })
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
