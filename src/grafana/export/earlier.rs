//! What an earlier backup of the same Grafana had, and a new one cannot have: its last copy is in the older ones.

use std::collections::BTreeSet;

use crate::blocking::blocking;
use crate::grafana::contents::{GrafanaContents, Organisation, Skipped, Why};
use crate::store::{Backup, JobStore};

/// How the name of an organisation that is missing begins; see [`Skipped::name`].
const ORGANISATION: &str = "organisation ";

/// The newest good backup of a Grafana.
#[derive(Debug, Clone, Default)]
pub struct Earlier {
    /// What it says of itself.
    pub contents: GrafanaContents,
    /// What those before it had and it has not, unless somebody has accepted that.
    missing: Vec<String>,
}

impl Earlier {
    /// That of the Grafana `target` in a store; `None` where there is none, or none that can be read.
    pub async fn of(store: &JobStore, target: &str) -> Option<Self> {
        let (store, target) = (store.clone(), target.to_owned());
        let find = move || {
            let listing = store.list().ok()?;
            let is_its = |backup: &&Backup| backup.is_good() && backup.manifest.source.target == target;
            let backup = listing.backups.iter().rev().find(is_its)?;
            let missing = if backup.state.accepted { Vec::new() } else { backup.manifest.missing.clone() };
            Some(Self { contents: backup.contents().ok()?, missing })
        };
        blocking(find).await
    }

    /// What it has, or had been missing already, and `now` cannot have: organisations that are not reached, and types that
    /// the same version had. However often that is exported, it stays missing.
    pub(super) fn missing_in(&self, now: &GrafanaContents) -> Vec<String> {
        let mut missing: BTreeSet<String> = BTreeSet::new();
        let here: BTreeSet<String> = now.organisations.iter().map(name).collect();
        let were = self.contents.organisations.iter().map(name);
        let known = self.missing.iter().filter(|name| name.starts_with(ORGANISATION)).cloned();
        missing.extend(were.chain(known).filter(|name| !here.contains(name)));
        let absent =
            |one: &&Skipped| one.key.is_none() && one.kind.is_some() && one.why == Why::NotInThisVersion;
        for one in now.skipped.iter().filter(absent) {
            let name = one.name();
            if self.missing.contains(&name) || (self.contents.version == now.version && self.has(one)) {
                missing.insert(name);
            }
        }
        missing.into_iter().collect()
    }

    /// There were some of this type in this organisation.
    fn has(&self, one: &Skipped) -> bool {
        let of_place = self.contents.counts.iter().filter(|counted| counted.organisation == one.organisation);
        of_place.filter_map(|counted| counted.objects.get(&one.kind?)).any(|count| *count > 0)
    }
}

/// `organisation "Second"`
fn name(organisation: &Organisation) -> String {
    format!("{ORGANISATION}{:?}", organisation.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grafana::export::skip;
    use crate::grafana::object::ObjectType;

    const MAIN: &str = "Main Org.";

    fn contents(version: &str, organisations: &[&str]) -> GrafanaContents {
        let named = |name: &&str| Organisation { name: (*name).to_owned(), id: None };
        let organisations = organisations.iter().map(named).collect();
        GrafanaContents { version: Some(version.to_owned()), organisations, ..GrafanaContents::default() }
    }

    fn without_playlists(version: &str, why: Why) -> GrafanaContents {
        let mut contents = contents(version, &[MAIN]);
        contents.skipped.push(skip(Some(MAIN), Some(ObjectType::Playlists), None, why));
        contents
    }

    fn with_playlist() -> Earlier {
        let mut contents = contents("11.2.0", &[MAIN]);
        contents.count(Some(MAIN), ObjectType::Playlists);
        Earlier { contents, missing: Vec::new() }
    }

    #[test]
    fn a_type_is_missing_where_the_same_version_had_some_of_it_and_stays_so() {
        let gone = without_playlists("11.2.0", Why::NotInThisVersion);
        let missing = with_playlist().missing_in(&gone);
        assert_eq!(missing, ["playlists of \"Main Org.\""]);
        let next = Earlier { contents: gone.clone(), missing };
        assert_eq!(next.missing_in(&gone), next.missing);
        assert_eq!(next.missing_in(&without_playlists("11.3.0", Why::NotInThisVersion)), next.missing);
        assert_eq!(next.missing_in(&contents("11.2.0", &[MAIN])), [""; 0], "it is back");
        assert_eq!(next.missing_in(&without_playlists("11.2.0", Why::Excluded)), [""; 0]);
        let accepted = Earlier { missing: Vec::new(), ..next };
        assert_eq!(accepted.missing_in(&gone), [""; 0]);
    }

    #[test]
    fn what_another_version_has_not_or_nobody_had_is_not_missing() {
        let of = |now| with_playlist().missing_in(&now);
        assert_eq!(of(without_playlists("12.0.0", Why::NotInThisVersion)), [""; 0]);
        assert_eq!(of(without_playlists("11.2.0", Why::Excluded)), [""; 0]);
        let none = Earlier { contents: contents("11.2.0", &[MAIN]), missing: Vec::new() };
        assert_eq!(none.missing_in(&without_playlists("11.2.0", Why::NotInThisVersion)), [""; 0]);
    }

    #[test]
    fn any_organisation_is_missed_until_it_is_back() {
        let both = Earlier { contents: contents("1", &[MAIN, "Second"]), missing: Vec::new() };
        let one = contents("1", &[MAIN]);
        let missing = both.missing_in(&one);
        assert_eq!(missing, ["organisation \"Second\""]);
        let next = Earlier { contents: one.clone(), missing };
        assert_eq!(next.missing_in(&one), next.missing);
        assert_eq!(next.missing_in(&contents("2", &["Second", MAIN])), [""; 0]);
    }
}
