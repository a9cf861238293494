//! What of a backup is meant. A name that fits nothing is a slip of the pen: what it was to keep would be overwritten.

use std::collections::BTreeSet;

use crate::grafana::bundle::Bundle;
use crate::grafana::object::{ObjectId, Selector};
use crate::grafana::restore::RestoreError;
use crate::grafana::restore::said::permissions_of;
use crate::grafana::restore::secrets::Secrets;

/// As much alike as a slip of the pen leaves two names.
const ALIKE: f64 = 0.85;
/// So many names are suggested.
const SUGGESTED: usize = 3;

/// What of a backup is meant, and with which secrets.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Only these, where there are any.
    pub only: Vec<Selector>,
    /// And not these.
    pub exclude: Vec<Selector>,
    /// From the file of whoever restores.
    pub secrets: Secrets,
    /// Only exactly these: what a restore had changed.
    pub(in crate::grafana::restore) ids: Option<BTreeSet<ObjectId>>,
}

impl Choice {
    /// What a person has named.
    pub fn new(only: Vec<Selector>, exclude: Vec<Selector>, secrets: Secrets) -> Self {
        Self { only, exclude, secrets, ids: None }
    }

    /// It is meant.
    pub fn has(&self, id: &ObjectId) -> bool {
        let any = |selectors: &[Selector]| selectors.iter().any(|selector| selector.selects(id));
        let named = self.ids.as_ref().is_none_or(|ids| ids.contains(id));
        named && (self.only.is_empty() || any(&self.only)) && !any(&self.exclude)
    }

    /// Every name fits something that is in the backup. A type as a whole may have nothing there: its name is known to
    /// be right.
    pub(in crate::grafana::restore) fn check(
        &self,
        title: &str,
        source: &Bundle,
    ) -> Result<(), RestoreError> {
        let known = known(source);
        for (option, selectors) in [("--only", &self.only), ("--exclude", &self.exclude)] {
            for selector in selectors.iter().filter(|selector| !selector.is_whole_type()) {
                if known.iter().all(|(id, _)| !selector.selects(id)) {
                    return Err(RestoreError::FitsNothing {
                        option,
                        selector: selector.to_string(),
                        title: title.to_owned(),
                        near: near(selector, &known),
                    });
                }
            }
        }
        Ok(())
    }
}

/// Everything that can be named, with what people call it: permissions also where nobody has set any.
fn known(source: &Bundle) -> Vec<(ObjectId, &str)> {
    let mut known = Vec::new();
    for entry in source.entries() {
        known.extend(permissions_of(&entry.id).map(|id| (id, entry.title.as_str())));
        known.push((entry.id.clone(), entry.title.as_str()));
    }
    known
}

/// What may have been meant: a key or a title that is nearly this, or the same key of another type.
fn near(selector: &Selector, known: &[(ObjectId, &str)]) -> Vec<String> {
    let wanted = selector.to_string();
    let wanted = wanted.split_once('/').map_or("", |(_, key)| key).replace('*', "").to_lowercase();
    let score = |(id, title): &(ObjectId, &str)| {
        let alike = |name: &str| strsim::jaro_winkler(&name.to_lowercase(), &wanted);
        match id.kind == selector.kind() {
            true => alike(&id.key).max(alike(title)),
            false if id.key.to_lowercase() == wanted => 1.0,
            false => 0.0,
        }
    };
    let mut found: Vec<(f64, String)> = Vec::new();
    for one in known {
        let (score, name) = (score(one), format!("{} ({})", one.0, one.1));
        if score >= ALIKE && found.iter().all(|(_, other)| *other != name) {
            found.push((score, name));
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.into_iter().take(SUGGESTED).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grafana::object::ObjectType;

    fn suggested(selector: &str) -> Vec<String> {
        let id = |kind, key: &str| ObjectId { organisation: None, kind, key: key.to_owned() };
        let known = [
            (id(ObjectType::Folders, "infra"), "Infrastructure"),
            (id(ObjectType::Dashboards, "overview"), "All at a glance"),
            (id(ObjectType::Dashboards, "hosts"), "Hosts"),
        ];
        near(&selector.parse().unwrap(), &known)
    }

    #[test]
    fn what_may_have_been_meant_is_named() {
        assert_eq!(suggested("dashboards/overveiw"), ["dashboards/overview (All at a glance)"]);
        assert_eq!(suggested("dashboards/Overview"), ["dashboards/overview (All at a glance)"]);
        assert_eq!(suggested("dashboards/All at a glance"), ["dashboards/overview (All at a glance)"]);
        assert_eq!(suggested("dashboards/infra"), ["folders/infra (Infrastructure)"]);
        assert_eq!(suggested("dashboards/host-*"), ["dashboards/hosts (Hosts)"]);
        assert_eq!(suggested("dashboards/zzz"), [""; 0]);
    }
}
