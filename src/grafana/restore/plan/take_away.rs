//! What a restore had created goes again, and nothing with it that somebody else has made since.

use std::collections::{BTreeMap, BTreeSet};

use super::planner::Planner;
use super::{Action, Item};
use crate::grafana::bundle::BundleError;
use crate::grafana::object::{ObjectId, ObjectType};
use crate::grafana::restore::door::text;

impl Planner<'_> {
    /// What a restore had created goes again, those first that nobody needs, and nothing with it that is not its own.
    pub(super) fn take_away(&mut self, created: &BTreeSet<ObjectId>) -> Result<(), BundleError> {
        let in_source: BTreeSet<&ObjectId> = self.source.entries().iter().map(|entry| &entry.id).collect();
        let is_left = |id: &&ObjectId| self.there.contains_key(*id) && !in_source.contains(*id);
        let mut left: Vec<&ObjectId> = created.iter().filter(is_left).collect();
        left.sort_by_key(|id| std::cmp::Reverse(self.place(id)));
        let whole = |id: &&&ObjectId| {
            id.kind == ObjectType::Organisations && self.made_since(&id.key, created).is_none()
        };
        let whole: BTreeSet<String> = left.iter().filter(whole).map(|id| id.key.clone()).collect();
        // They go with their organisation.
        left.retain(|id| id.organisation.as_ref().is_none_or(|name| !whole.contains(name)));
        let strangers = self.strangers_in_folders(created)?;
        for id in left {
            let kept = match id.kind {
                ObjectType::Organisations => self.made_since(&id.key, created),
                ObjectType::Folders => strangers.get(&(id.organisation.clone(), id.key.clone())).cloned(),
                _ => None,
            };
            let (action, note) = match kept {
                Some(kept) => (
                    Action::Skip,
                    Some(format!("it stays, because of {kept}, which is not from the restore")),
                ),
                None => (Action::Remove, None),
            };
            if let Some(note) = &note {
                self.plan.warnings.push(format!("{id}: {note}"));
            }
            let title = self.there.get(id).map_or_else(|| id.key.clone(), |entry| entry.title.clone());
            self.plan.items.push(Item { id: id.clone(), title, action, note });
        }
        Ok(())
    }

    /// By folder, something that lies in it and that no restore has made: it would go with the folder.
    pub(super) fn strangers_in_folders(
        &self,
        created: &BTreeSet<ObjectId>,
    ) -> Result<BTreeMap<(Option<String>, String), String>, BundleError> {
        let mut strangers = BTreeMap::new();
        for entry in self.live.entries().iter().filter(|entry| !created.contains(&entry.id)) {
            let field = match entry.id.kind {
                ObjectType::Folders => "parentUid",
                ObjectType::LibraryPanels | ObjectType::Dashboards | ObjectType::RuleGroups => "folderUid",
                _ => continue,
            };
            let folder = text(&self.live.load(entry)?.body, field).to_owned();
            strangers.insert((entry.id.organisation.clone(), folder), entry.id.to_string());
        }
        Ok(strangers)
    }

    /// Something in an organisation that no restore has made, and that a person would miss.
    pub(super) fn made_since(&self, organisation: &str, created: &BTreeSet<ObjectId>) -> Option<String> {
        // These are in every organisation.
        let is_own = |kind| {
            matches!(
                kind,
                ObjectType::Members
                    | ObjectType::Policies
                    | ObjectType::ContactPoints
                    | ObjectType::Preferences
                    | ObjectType::AlertmanagerConfig
                    | ObjectType::Plugins
            )
        };
        let mut all = self.there.keys().filter(|id| id.organisation.as_deref() == Some(organisation));
        all.find(|id| !created.contains(**id) && !is_own(id.kind)).map(ToString::to_string)
    }
}
