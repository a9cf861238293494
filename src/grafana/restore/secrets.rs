//! What no export holds, from a file of whoever restores: passwords of data sources, contact points and users.
//!
//! ```toml
//! [data-sources.prom]                       # TYPE.UID, where only one organisation has it
//! basicAuthPassword = "…"
//! [orgs."Second".contact-points.hook]       # only in this one
//! password = "…"
//! tlsConfig.clientKey = "…"                 # what lies in something else, by the path to it
//! [users.ann]
//! password = "…"
//! ```
//!
//! The same as JSON is taken, too. Nobody but its owner may read the file: what is in it opens everything that Grafana
//! reads from.

mod json;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::compare::REDACTED;
use crate::config::values::Secret;
use crate::grafana::object::{ObjectId, ObjectType, places};
use crate::regular;
use crate::words;

/// Longer than any such file is.
const LONGEST: u64 = 8 << 20;
/// Where the tables of single organisations are.
const ORGS: &str = "orgs";

/// The kinds of which something can be entered.
const KINDS: [ObjectType; 4] =
    [ObjectType::Users, ObjectType::DataSources, ObjectType::AlertChannels, ObjectType::ContactPoints];

/// The secrets of one object, by their names.
pub type Fields = BTreeMap<String, Secret>;

/// All secrets of a file. By organisation, or for every one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets(BTreeMap<Address, Fields>);

/// Whose secrets they are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Address {
    org: Option<String>,
    kind: ObjectType,
    uid: String,
}

/// A file of secrets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// It cannot be read.
    #[error("Cannot read the secrets in {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may read it.
    #[error("Others than its owner may read {} (mode {mode:03o})", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It does not say what is expected. What stands in it is never repeated.
    #[error("The secrets in {} cannot be used: {problem}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl SecretsError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } => None,
            Self::Open { path, .. } => Some(format!("`chmod 600 {}`", path.display())),
            Self::Form { .. } => {
                Some("write [TYPE.UID] over lines of NAME = \"SECRET\": [data-sources.prom], [contact-points.UID] or [users.LOGIN]; [orgs.\"NAME\".data-sources.prom] is of one organisation only".to_owned())
            }
        }
    }
}

impl Secrets {
    /// Reads a file, TOML or JSON.
    pub fn read(path: &Path) -> Result<Self, SecretsError> {
        let failed = |source| SecretsError::Read { path: path.to_owned(), source };
        let file = regular::open_named(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(SecretsError::Open { path: path.to_owned(), mode });
        }
        let mut text = String::new();
        file.take(LONGEST).read_to_string(&mut text).map_err(failed)?;
        Self::parse(&text).map_err(|problem| SecretsError::Form { path: path.to_owned(), problem })
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let root: Value = if text.trim_start().starts_with('{') {
            json::parse(text)?
        } else {
            // The message of the parser would repeat the line, and with it a secret.
            toml::from_str(text).map_err(|e| match e.span() {
                Some(span) => {
                    format!("it is no TOML, from line {} on", 1 + text[..span.start].matches('\n').count())
                }
                None => "it is no TOML".to_owned(),
            })?
        };
        let mut secrets = Self::default();
        for (name, below) in table(&root, "it")? {
            if name == ORGS {
                for (org, below) in table(below, ORGS)? {
                    for (name, below) in table(below, &format!("{ORGS}.{org:?}"))? {
                        secrets.take(Some(org), name, below)?;
                    }
                }
            } else {
                secrets.take(None, name, below)?;
            }
        }
        Ok(secrets)
    }

    fn take(&mut self, org: Option<&String>, kind: &str, below: &Value) -> Result<(), String> {
        let known = ObjectType::from_name(kind).filter(|kind| KINDS.contains(kind));
        let kind = known.ok_or_else(|| {
            let problem = format!("{kind:?} is none of {}", KINDS.map(ObjectType::name).join(", "));
            let inside = below.as_object().and_then(|below| below.keys().next());
            match inside.filter(|inside| KINDS.iter().any(|kind| kind.name() == inside.as_str())) {
                Some(inside) if org.is_none() => format!(
                    "{problem}; where it is an organisation, it is [{ORGS}.{}.{inside}.UID]",
                    quoted(kind)
                ),
                _ => problem,
            }
        })?;
        for (uid, fields) in table(below, kind.name())? {
            let place = format!("{}.{uid}", kind.name());
            let mut taken = Fields::new();
            for (name, secret) in table(fields, &place)? {
                // What lies in something else is told by the path to it, whichever way that is written.
                for (name, secret) in places(secret, name) {
                    let secret = secret.as_str().filter(|secret| !secret.is_empty());
                    let secret = secret.ok_or_else(|| format!("{place}.{name} is no text"))?;
                    if secret == REDACTED {
                        return Err(format!(
                            "{place}.{name} is {REDACTED}, which hides a secret and is none"
                        ));
                    }
                    taken.insert(name, Secret::new(secret));
                }
            }
            self.0.insert(Address { org: org.cloned(), kind, uid: uid.clone() }, taken);
        }
        Ok(())
    }

    /// The secrets of an object: what is said for its organisation counts more.
    pub fn of(&self, id: &ObjectId) -> Fields {
        let of = |org: Option<&String>| {
            let address = Address { org: org.cloned(), kind: id.kind, uid: id.key.clone() };
            self.0.get(&address).cloned().unwrap_or_default()
        };
        let mut fields = of(None);
        if id.organisation.is_some() {
            fields.extend(of(id.organisation.as_ref()));
        }
        fields
    }

    /// What is said for no organisation, and fits objects of several of them: whose secret it is, nobody can know.
    pub(super) fn ambiguous(&self, meant: &[&ObjectId]) -> Vec<String> {
        let without_org = self.0.keys().filter(|address| address.org.is_none());
        let told = without_org.filter_map(|address| {
            let is_it = |id: &&&ObjectId| id.kind == address.kind && id.key == address.uid;
            let orgs: BTreeSet<&String> =
                meant.iter().filter(is_it).filter_map(|id| id.organisation.as_ref()).collect();
            let last = orgs.last().filter(|_| orgs.len() > 1)?;
            let names: Vec<String> = orgs.iter().map(|name| format!("{name:?}")).collect();
            let place = format!("{}.{}", address.kind, quoted(&address.uid));
            Some(format!(
                "the file of secrets has [{place}], and there is one in {}: say whose it is, as in [{ORGS}.{}.{place}]",
                words::some(&names, 5),
                quoted(last)
            ))
        });
        told.collect()
    }

    /// What of the file is not used, which may be a slip of the pen: `data-sources/prm, which the backup does not have`.
    /// `known` is what the backup has.
    pub(super) fn unused(&self, known: &[&ObjectId], is_meant: &dyn Fn(&ObjectId) -> bool) -> Vec<String> {
        let why = |address: &Address| {
            let in_org = |id: &&&ObjectId| address.org.is_none() || address.org == id.organisation;
            let is_it = |id: &&&ObjectId| id.kind == address.kind && id.key == address.uid && in_org(id);
            let name = format!("{}/{}", address.kind, address.uid);
            match &address.org {
                _ if known.iter().filter(is_it).any(|id| is_meant(id)) => None,
                Some(org) if !known.iter().any(|id| id.organisation.as_ref() == Some(org)) => {
                    Some(format!("{name} in the organisation {org:?}, which the backup does not have"))
                }
                _ if known.iter().any(|id| is_it(&id)) => {
                    Some(format!("{name}, which is not among what is restored: it is not used"))
                }
                Some(org) => Some(format!("{name} in {org}, which the backup does not have there")),
                None => Some(format!("{name}, which the backup does not have")),
            }
        };
        self.0.keys().filter_map(why).collect()
    }
}

/// A name as TOML takes it between dots.
fn quoted(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.chars().all(is_bare) { name.to_owned() } else { format!("{name:?}") }
}

fn table<'a>(value: &'a Value, what: &str) -> Result<&'a serde_json::Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("{what} is no table"))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::store::atomic;

    const TOML: &str = "[data-sources.prom]\nbasicAuthPassword = \"a\"\nother = \"b\"\n\
                        [orgs.\"The second\".data-sources.prom]\nbasicAuthPassword = \"c\"\n";

    fn shown(fields: &Fields) -> Vec<(&str, &str)> {
        fields.iter().map(|(name, secret)| (name.as_str(), secret.expose())).collect()
    }

    fn id(organisation: &str, kind: ObjectType) -> ObjectId {
        ObjectId { organisation: Some(organisation.to_owned()), kind, key: "prom".to_owned() }
    }

    #[test]
    fn what_is_said_for_one_organisation_counts_more() {
        let secrets = Secrets::parse(TOML).unwrap();
        let of = |org| secrets.of(&id(org, ObjectType::DataSources));
        assert_eq!(shown(&of("Main Org.")), [("basicAuthPassword", "a"), ("other", "b")]);
        assert_eq!(shown(&of("The second")), [("basicAuthPassword", "c"), ("other", "b")]);
        assert!(secrets.of(&id("Main Org.", ObjectType::ContactPoints)).is_empty());
        let json = r#" { "data-sources": { "prom": { "basicAuthPassword": "a", "other": "b" } },
            "orgs": { "The second": { "data-sources": { "prom": { "basicAuthPassword": "c" } } } } }"#;
        assert_eq!(Secrets::parse(json).unwrap(), secrets);
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        for (text, says) in [
            ("[data-sources.prom]\npassword = \"hunter2\n", "no TOML, from line 2"),
            ("{\"users\": {\"ann\": {\"password\": \"hunter2\"", "no JSON"),
            ("password = \"hunter2\"", "\"password\" is none of users, data-sources"),
            ("[dashboards.a]\npassword = \"hunter2\"", "\"dashboards\" is none of"),
            ("[users]\nann = \"hunter2\"", "users.ann is no table"),
            (
                "[\"Main Org.\".data-sources.prom]\np = \"hunter2\"",
                "it is [orgs.\"Main Org.\".data-sources.UID]",
            ),
            ("[users.ann]\npassword = 2", "users.ann.password is no text"),
            ("[users.ann]\npassword = \"\"", "users.ann.password is no text"),
            ("[data-sources.prom]\npassword = \"[REDACTED]\"", "hides a secret"),
        ] {
            let problem = Secrets::parse(text).unwrap_err();
            assert!(problem.contains(says), "{text}: {problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secrets.toml");
        atomic::replace(&path, TOML.as_bytes(), 0o640).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let error = Secrets::read(&path).unwrap_err();
        assert!(error.to_string().contains("mode 640"), "{error}");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(Secrets::read(&path).unwrap(), Secrets::parse(TOML).unwrap());
    }

    #[test]
    fn what_is_not_used_is_told_with_the_reason() {
        let secrets = Secrets::parse(TOML).unwrap();
        let all = [id("Main Org.", ObjectType::DataSources), id("The second", ObjectType::DataSources)];
        let known: Vec<&ObjectId> = all.iter().collect();
        let everything = |_: &ObjectId| true;
        assert_eq!(secrets.unused(&known, &everything), Vec::<String>::new());
        let other = "data-sources/prom in the organisation \"The second\", which the backup does not have";
        assert_eq!(secrets.unused(&known[..1], &everything), [other]);
        let not_meant = "data-sources/prom, which is not among what is restored: it is not used";
        let only_first = |id: &ObjectId| id.organisation.as_deref() == Some("Main Org.");
        assert_eq!(secrets.unused(&known, &only_first), [not_meant]);
        let users = [ObjectId { kind: ObjectType::Users, ..all[1].clone() }];
        let users: Vec<&ObjectId> = users.iter().collect();
        assert_eq!(
            secrets.unused(&users, &everything),
            [
                "data-sources/prom, which the backup does not have",
                "data-sources/prom in The second, which the backup does not have there"
            ]
        );
    }

    #[test]
    fn a_name_that_json_has_twice_is_an_error() {
        for text in [
            r#"{"users": {"ann": {"password": "hunter2"}}, "users": {}}"#,
            r#"{"users": {"ann": {"password": "hunter2", "password": "hunter3"}}}"#,
        ] {
            let problem = Secrets::parse(text).unwrap_err();
            assert!(problem.contains("stands there twice") && !problem.contains("hunter"), "{problem}");
        }
    }
}
