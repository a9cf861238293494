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
use crate::grafana::restore::said::{default_permissions, find, owner};

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
        let written: BTreeSet<&ObjectId> = self.plan.writes().map(|item| &item.id).collect();
        for entry in self.live.entries() {
            // What is written anew needs what it will name then.
            if !self.is_strange(entry, made)? || written.contains(&entry.id) {
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
            // What was so before the restore did without what it has made.
            return Ok(!(made.untouched.contains(&entry.id) && self.is_as_before(&entry.id)?));
        }
        if is_born(&self.live.load(entry)?, None) {
            return Ok(false);
        }
        match made.alone.iter().find(|object| object.id() == entry.id) {
            Some(written) => self.is_another(written, entry),
            None => self.is_changed_since(&entry.id, made),
        }
    }

    fn is_another(&self, written: &Object, entry: &Entry) -> Result<bool, BundleError> {
        let of =
            |object: &Object| portable(object.kind, object.organisation.as_ref(), &object.body, &self.target);
        Ok(!same(written.kind, &of(written), &of(&self.live.load(entry)?)))
    }

    /// Every organisation has it, and nobody would miss it.
    fn is_everywhere(&self, object: &Object) -> bool {
        let id = object.id();
        let of = |body: &Value| portable(object.kind, object.organisation.as_ref(), body, &self.target);
        let is_default = || match default_permissions(self.live, &id, &self.target) {
            Ok(Some(default)) => {
                same(object.kind, &of(&default.body), &of(&self.without_me(object.body.clone())))
            }
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
            // The ruler of 8 knows a folder by its title.
            ObjectType::RulerGroups => {
                let title = text(body, "folder");
                self.keep_all(ObjectType::Folders, &id, stays, |there| there.title == title);
            }
            ObjectType::PublicDashboards => {
                self.keep_dashboard(of(ObjectType::Dashboards, &id.key), &id, stays)?;
            }
            ObjectType::Members => keep_people([id.key.as_str()], &id, stays),
            ObjectType::Teams => {
                keep_people(
                    body["members"].as_array().into_iter().flatten().map(|one| text(one, "login")),
                    &id,
                    stays,
                );
            }
            ObjectType::FolderPermissions | ObjectType::DashboardPermissions
                if !self.is_everywhere(object) =>
            {
                self.keep_whom_it_names(object, stays)?;
            }
            _ => {}
        }
        self.keep_data_sources(object, &id, stays);
        for uid in library_panels_of(&body["dashboard"]) {
            let panel = of(ObjectType::LibraryPanels, &uid);
            if let Some(entry) = find(self.live, &panel) {
                let panel = self.live.load(entry)?;
                let folder = text(&panel.body, "folderUid");
                self.keep_folder(of(ObjectType::Folders, folder), &id, stays)?;
                self.keep_data_sources(&panel, &id, stays);
            }
            stays.keep(panel, &id);
        }
        if matches!(object.kind, ObjectType::Policies | ObjectType::RuleGroups) {
            for (kind, fields) in NAMED {
                // Contact points are known by their UID, and named by their title.
                let names = named(body, fields);
                self.keep_all(kind, &id, stays, |there| names.contains(&there.title));
            }
        }
        Ok(())
    }

    /// Data sources of panels, variables, queries of rules, and links: by their UID, or as older dashboards have it, name.
    fn keep_data_sources(&self, object: &Object, because: &ObjectId, stays: &mut Stays) {
        let fields: &[&str] = match object.kind {
            ObjectType::Dashboards | ObjectType::LibraryPanels => &["datasource"],
            ObjectType::RuleGroups | ObjectType::RulerGroups => &["datasourceUid"],
            ObjectType::Correlations => &["sourceUID", "targetUID"],
            _ => return,
        };
        let names = named(&object.body, fields);
        self.keep_all(ObjectType::DataSources, because, stays, |there| {
            names.contains(&there.id.key) || names.contains(&there.title)
        });
    }

    /// Permissions that people have set: what they are of, and those who have them.
    fn keep_whom_it_names(&self, object: &Object, stays: &mut Stays) -> Result<(), BundleError> {
        let id = object.id();
        let rows = || object.body["items"].as_array().into_iter().flatten();
        let teams: BTreeSet<&str> = rows().map(|row| text(row, "team")).collect();
        self.keep_all(ObjectType::Teams, &id, stays, |there| teams.contains(there.id.key.as_str()));
        let logins: Vec<&str> =
            rows().map(|row| text(row, "userLogin")).filter(|login| !login.is_empty()).collect();
        self.keep_all(ObjectType::Members, &id, stays, |there| logins.contains(&there.id.key.as_str()));
        keep_people(logins.iter().copied(), &id, stays);
        match owner(&id) {
            Some(folder) if folder.kind == ObjectType::Folders => self.keep_folder(folder, &id, stays),
            Some(dashboard) => self.keep_dashboard(dashboard, &id, stays),
            None => Ok(()),
        }
    }

    /// A dashboard, and the folders that it lies in.
    fn keep_dashboard(
        &self,
        dashboard: ObjectId,
        because: &ObjectId,
        stays: &mut Stays,
    ) -> Result<(), BundleError> {
        let folder = match find(self.live, &dashboard) {
            Some(entry) => text(&self.live.load(entry)?.body, "folderUid").to_owned(),
            None => String::new(),
        };
        let folder = ObjectId { kind: ObjectType::Folders, key: folder, ..dashboard.clone() };
        stays.keep(dashboard, because);
        self.keep_folder(folder, because, stays)
    }

    fn keep_all(
        &self,
        kind: ObjectType,
        because: &ObjectId,
        stays: &mut Stays,
        is_it: impl Fn(&Entry) -> bool,
    ) {
        let of_place =
            |entry: &&&Entry| entry.id.kind == kind && entry.id.organisation == because.organisation;
        for there in self.there.values().filter(of_place).filter(|entry| is_it(entry)) {
            stays.keep(there.id.clone(), because);
        }
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

/// Users of the server.
fn keep_people<'a>(logins: impl IntoIterator<Item = &'a str>, because: &ObjectId, stays: &mut Stays) {
    for login in logins {
        let id = ObjectId { organisation: None, kind: ObjectType::Users, key: login.to_owned() };
        stays.keep(id, because);
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
        // A data source in later dashboards: its type and its UID.
        Value::Object(_) => vec![text(value, "uid").to_owned()],
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
