//! What a restore has made and has to stay, because somebody has made something since that needs it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Made;
use super::born::is_born;
use super::needs::library_panels_of;
use super::planner::Planner;
use crate::grafana::bundle::{BundleError, Entry};
use crate::grafana::object::{Object, ObjectId, ObjectType};
use crate::grafana::restore::compare::same;
use crate::grafana::restore::door::text;
use crate::grafana::restore::portable::portable;
use crate::grafana::restore::said::{default_permissions, find};

/// By object, what it stays for.
#[derive(Debug, Default)]
pub(super) struct Stays(BTreeMap<ObjectId, String>);

impl Stays {
    pub(super) fn because(&self, id: &ObjectId) -> Option<&String> {
        self.0.get(id)
    }

    fn keep(&mut self, id: ObjectId, because: &ObjectId) {
        self.0.entry(id).or_insert_with(|| because.to_string());
    }
}

impl Planner<'_> {
    /// Looks at everything that the restores have not made.
    pub(super) fn stays(&self, made: &Made) -> Result<Stays, BundleError> {
        let mut stays = Stays::default();
        for entry in self.live.entries() {
            if !self.is_strange(entry, made)? {
                continue;
            }
            stays.keep(entry.id.clone(), &entry.id);
            let object = self.live.load(entry)?;
            self.keep_what_it_needs(&object, &mut stays)?;
            if let Some(name) = entry.id.organisation.as_ref().filter(|_| !self.is_everywhere(&object)) {
                let id = ObjectId { organisation: None, kind: ObjectType::Organisations, key: name.clone() };
                stays.keep(id, &entry.id);
            }
        }
        Ok(stays)
    }

    /// No restore has made it, or somebody has made something else of it: of what there is only one of, nothing but its
    /// content tells.
    fn is_strange(&self, entry: &Entry, made: &Made) -> Result<bool, BundleError> {
        if !made.ids.contains(&entry.id) {
            return Ok(true);
        }
        let Some(written) = made.alone.iter().find(|object| object.id() == entry.id) else {
            return Ok(false);
        };
        let of =
            |object: &Object| portable(object.kind, object.organisation.as_ref(), &object.body, &self.target);
        let there = self.live.load(entry)?;
        Ok(!is_born(&there, None) && !same(&of(written), &of(&there)))
    }

    /// Every organisation has it, and nobody would miss it.
    fn is_everywhere(&self, object: &Object) -> bool {
        let id = object.id();
        let of = |body: &Value| portable(object.kind, object.organisation.as_ref(), body, &self.target);
        let is_default = || match default_permissions(self.live, &id, &self.target) {
            Ok(Some(default)) => same(&of(&default.body), &of(&self.without_me(object.body.clone()))),
            _ => false,
        };
        is_born(object, self.facts.login.as_deref()) || is_default()
    }

    fn keep_what_it_needs(&self, object: &Object, stays: &mut Stays) -> Result<(), BundleError> {
        let (id, body) = (object.id(), &object.body);
        let of =
            |kind, key: &str| ObjectId { organisation: id.organisation.clone(), kind, key: key.to_owned() };
        match object.kind {
            ObjectType::Folders => {
                self.keep_folder(of(ObjectType::Folders, text(body, "parentUid")), &id, stays)?;
            }
            ObjectType::LibraryPanels | ObjectType::Dashboards | ObjectType::RuleGroups => {
                self.keep_folder(of(ObjectType::Folders, text(body, "folderUid")), &id, stays)?;
            }
            ObjectType::Members => {
                stays
                    .keep(ObjectId { organisation: None, kind: ObjectType::Users, key: id.key.clone() }, &id);
            }
            _ => {}
        }
        for uid in library_panels_of(&body["dashboard"]) {
            let panel = of(ObjectType::LibraryPanels, &uid);
            if let Some(entry) = find(self.live, &panel) {
                let folder = text(&self.live.load(entry)?.body, "folderUid").to_owned();
                self.keep_folder(of(ObjectType::Folders, &folder), &id, stays)?;
            }
            stays.keep(panel, &id);
        }
        // What is written anew needs what it will name then.
        let is_written = self.plan.writes().any(|item| item.id == id);
        if matches!(object.kind, ObjectType::Policies | ObjectType::RuleGroups) && !is_written {
            for (kind, fields) in NAMED {
                let names = named(body, fields);
                for there in self
                    .there
                    .values()
                    .filter(|there| there.id.kind == kind && there.id.organisation == id.organisation)
                {
                    // Contact points are known by their UID, and named by their title.
                    if names.contains(&there.title) {
                        stays.keep(there.id.clone(), &id);
                    }
                }
            }
        }
        Ok(())
    }

    /// A folder, and all those that it lies in.
    fn keep_folder(
        &self,
        folder: ObjectId,
        because: &ObjectId,
        stays: &mut Stays,
    ) -> Result<(), BundleError> {
        let (mut next, mut seen) = (folder, BTreeSet::new());
        // Whoever has folders in a circle gets an end, and not a loop.
        while !next.key.is_empty() && seen.insert(next.key.clone()) {
            let parent = match find(self.live, &next) {
                Some(entry) => text(&self.live.load(entry)?.body, "parentUid").to_owned(),
                None => String::new(),
            };
            let parent = ObjectId { key: parent, ..next.clone() };
            stays.keep(std::mem::replace(&mut next, parent), because);
        }
        Ok(())
    }
}

/// What policies and rules name, and under which fields.
pub(super) const NAMED: [(ObjectType, &[&str]); 2] = [
    (ObjectType::ContactPoints, &["receiver"]),
    (ObjectType::MuteTimings, &["mute_time_intervals", "active_time_intervals"]),
];

/// Every name that stands under one of these fields, however deep.
pub(super) fn named(value: &Value, fields: &[&str]) -> BTreeSet<String> {
    let texts = |value: &Value| match value {
        Value::Array(all) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        other => other.as_str().map(str::to_owned).into_iter().collect::<Vec<_>>(),
    };
    match value {
        Value::Array(all) => all.iter().flat_map(|one| named(one, fields)).collect(),
        Value::Object(all) => {
            let here = all.iter().filter(|(name, _)| fields.contains(&name.as_str()));
            let here = here.flat_map(|(_, value)| texts(value));
            here.chain(all.values().flat_map(|one| named(one, fields))).collect()
        }
        _ => BTreeSet::new(),
    }
}
