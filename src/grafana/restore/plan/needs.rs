//! What an object needs to have there before it is written: without it Grafana refuses it, or says 500 and stores it all
//! the same.

use std::collections::BTreeSet;

use serde_json::Value;

use super::planner::Planner;
use super::stays::{NAMED, named};
use super::{Action, is_born};
use crate::grafana::bundle::Entry;
use crate::grafana::object::{Object, ObjectId, ObjectType, key_before};
use crate::grafana::restore::door::text;
use crate::grafana::restore::said::owner;

impl Planner<'_> {
    /// Something that it needs, that is not there and will not be.
    pub(super) fn lacks(&self, object: &Object) -> Option<String> {
        let is_blocked = |id: &ObjectId| {
            self.plan.items.iter().any(|item| item.id == *id && item.action == Action::Blocked)
        };
        let mut lost = self.needs(object).into_iter().filter(|(_, id)| !self.will_be_there(id));
        let (what, first) = lost.next()?;
        if is_blocked(&first) {
            return Some(format!("its {what} {} cannot be restored either", first.key));
        }
        // All at once: whoever names them has not to come again for the next.
        let others = lost.filter(|(_, id)| !is_blocked(id)).map(|(what, id)| format!("{what} {}", id.key));
        let all: Vec<String> = std::iter::once(format!("{what} {}", first.key)).chain(others).collect();
        let are = if all.len() == 1 { "is" } else { "are" };
        Some(format!("its {} {are} not there, and not among what is restored", all.join(", ")))
    }

    /// The contact points and mute timings that policies, or the `settings` of rules, name: by a name of which several
    /// may be, and one is enough.
    fn notifies(&self, object: &Object, settings: &Value) -> Vec<(&'static str, ObjectId)> {
        let words = ["contact point", "mute timing"];
        let mut needs = Vec::new();
        for (what, (kind, fields)) in words.into_iter().zip(NAMED) {
            for name in named(settings, fields).into_iter().filter(|name| !name.is_empty()) {
                let is_one = |entry: &&Entry| {
                    let id = &entry.id;
                    id.kind == kind && id.organisation == object.organisation && entry.title == name
                };
                let there = self.live.entries().iter().any(|entry| is_one(&entry));
                let in_backup: Vec<&Entry> = self.source.entries().iter().filter(is_one).collect();
                let comes = |entry: &&&Entry| self.will_be_there(&entry.id) || self.is_born_there(entry);
                if !there && !in_backup.iter().any(|entry| comes(&entry)) {
                    let key = in_backup.first().map_or(name, |entry| entry.id.key.clone());
                    needs.push((what, ObjectId { kind, key, ..object.id() }));
                }
            }
        }
        needs
    }

    /// A new organisation has it from its beginning.
    fn is_born_there(&self, entry: &Entry) -> bool {
        let is_new = !self.live.entries().iter().any(|other| other.id.organisation == entry.id.organisation);
        is_new && self.source.load(entry).is_ok_and(|object| is_born(&object, None))
    }

    /// What it needs, in words and by name.
    fn needs(&self, object: &Object) -> Vec<(&'static str, ObjectId)> {
        let body = &object.body;
        let id = |kind, key: &str| ObjectId {
            organisation: object.organisation.clone(),
            kind,
            key: key.to_owned(),
        };
        let folder = |field| ("folder", id(ObjectType::Folders, text(body, field)));
        let mut needs = match object.kind {
            ObjectType::Folders if !self.target.may_nest_folders() => Vec::new(),
            ObjectType::Folders => vec![folder("parentUid")],
            ObjectType::LibraryPanels => vec![folder("folderUid")],
            ObjectType::RuleGroups => {
                let rules = body["rules"].as_array().into_iter().flatten();
                let settings: Value = rules.map(|rule| rule["notification_settings"].clone()).collect();
                let mut needs = vec![folder("folderUid")];
                needs.extend(self.notifies(object, &settings));
                needs
            }
            ObjectType::Dashboards => {
                let mut needs = vec![folder("folderUid")];
                needs.extend(self.library_panels(object).map(|panel| ("library panel", panel)));
                needs
            }
            ObjectType::Correlations => ["sourceUID", "targetUID"]
                .map(|field| ("data source", id(ObjectType::DataSources, text(body, field))))
                .to_vec(),
            ObjectType::FolderPermissions => {
                owner(&object.id()).map(|owner| ("folder", owner)).into_iter().collect()
            }
            ObjectType::DashboardPermissions => {
                owner(&object.id()).map(|owner| ("dashboard", owner)).into_iter().collect()
            }
            ObjectType::Policies => self.notifies(object, body),
            ObjectType::PublicDashboards => vec![("dashboard", id(ObjectType::Dashboards, &object.key))],
            _ => Vec::new(),
        };
        let before = key_before(&object.key).filter(|_| object.id().may_repeat());
        needs.extend(before.map(|key| ("namesake", id(object.kind, &key))));
        needs.retain(|(_, id)| !id.key.is_empty());
        needs
    }

    /// The library panels of a dashboard, where this server knows such.
    fn library_panels<'o>(&self, dashboard: &'o Object) -> impl Iterator<Item = ObjectId> + use<'o> {
        let organisation = dashboard.organisation.as_ref();
        let unknown = self.whole_type(organisation.map(String::as_str), ObjectType::LibraryPanels).is_some();
        let uids = if unknown { BTreeSet::new() } else { library_panels_of(&dashboard.body["dashboard"]) };
        uids.into_iter().map(move |key| ObjectId {
            organisation: organisation.cloned(),
            kind: ObjectType::LibraryPanels,
            key,
        })
    }

    fn will_be_there(&self, id: &ObjectId) -> bool {
        self.there.contains_key(id) || self.coming.contains(id)
    }
}

/// The uids of the library panels that a dashboard shows, also in rows that are folded.
pub(super) fn library_panels_of(dashboard: &Value) -> BTreeSet<String> {
    let mut uids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().into_iter().flatten() {
        let uid = text(&panel["libraryPanel"], "uid");
        uids.extend((!uid.is_empty()).then(|| uid.to_owned()));
        uids.append(&mut library_panels_of(panel));
    }
    uids
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_library_panel_counts_also_in_a_row_that_is_folded() {
        let panel = |uid: &str| json!({ "libraryPanel": { "uid": uid } });
        let dashboard = json!({ "panels": [panel("a"), { "type": "row", "panels": [panel("b"), {}] }, {}] });
        assert_eq!(library_panels_of(&dashboard), ["a", "b"].map(str::to_owned).into());
    }
}
