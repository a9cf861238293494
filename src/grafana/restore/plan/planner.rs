//! Compares a backup with what is there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::order::Order;
use super::secrets::to_enter;
use super::{Action, Choice, Item, Made, RestorePlan};
use crate::grafana::bundle::{Bundle, BundleError, Entry};
use crate::grafana::object::{Object, ObjectId, ObjectType};
use crate::grafana::restore::compare::{differences, named};
use crate::grafana::restore::door::{flag, number, text};
use crate::grafana::restore::portable::{Target, hide, is_provisioned, portable, without_strangers};
use crate::grafana::restore::said::{default_permissions, find, permissions_of, said};

/// What is known of the server, and of who asks it, beside what it holds.
#[derive(Debug, Clone, Default)]
pub(in crate::grafana::restore) struct Facts {
    /// The login of who asks; a token has none.
    pub(in crate::grafana::restore) login: Option<String>,
    /// It asks with a token, which belongs to one organisation.
    pub(in crate::grafana::restore) has_token: bool,
    /// Major and minor; what is unknown is taken for new.
    pub(in crate::grafana::restore) version: (u32, u32),
    /// Users whom a restore has made, and who have no password that anybody knows.
    pub(in crate::grafana::restore) unset: BTreeSet<String>,
}

/// A backup, what is there, and what is meant.
pub(in crate::grafana::restore) struct Planner<'a> {
    pub(super) source: &'a Bundle,
    pub(super) live: &'a Bundle,
    pub(super) there: BTreeMap<&'a ObjectId, &'a Entry>,
    pub(super) choice: &'a Choice,
    pub(super) facts: Facts,
    pub(super) target: Target,
    pub(super) order: Order,
    /// Titles of what is created, by organisation, type and folder.
    pub(super) titles: BTreeSet<(Option<String>, ObjectType, String, String)>,
    /// What is created.
    pub(super) coming: BTreeSet<ObjectId>,
    pub(super) plan: RestorePlan,
    pub(super) skipped: BTreeMap<(ObjectType, String), usize>,
    pub(super) lost_plugins: BTreeSet<String>,
    /// Users whose password is in the file, and who are there already.
    pub(super) kept_passwords: BTreeSet<String>,
}

type Decision = (Action, Option<String>);

impl<'a> Planner<'a> {
    /// Looks at both sides. `head` says what they are called.
    pub(in crate::grafana::restore) fn new(
        source: &'a Bundle,
        live: &'a Bundle,
        choice: &'a Choice,
        facts: Facts,
        head: RestorePlan,
    ) -> Result<Self, BundleError> {
        let there = live.entries().iter().map(|entry| (&entry.id, entry)).collect();
        let mut order = Order::default();
        for (bundle, entry) in entries(source).chain(entries(live)) {
            if matches!(entry.id.kind, ObjectType::Folders | ObjectType::DataSources) {
                order.learn(&entry.id, &bundle.load(entry)?.body);
            }
        }
        let target = Target { version: facts.version, ..Target::default() };
        let (titles, skipped, lost_plugins) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
        let mut this = Self {
            source,
            live,
            there,
            choice,
            facts,
            target,
            order,
            titles,
            coming: BTreeSet::new(),
            plan: head,
            skipped,
            lost_plugins,
            kept_passwords: BTreeSet::new(),
        };
        this.learn_people();
        let meant = this.source.entries().iter().filter(|entry| choice.has(&entry.id));
        let organisations: BTreeSet<&String> =
            meant.filter_map(|entry| entry.id.organisation.as_ref()).collect();
        this.plan.in_several = organisations.len() > 1;
        Ok(this)
    }

    /// Who is there, or will be.
    fn learn_people(&mut self) {
        let (live, source) = (self.live.entries().iter(), self.source.entries().iter());
        let known: Vec<&ObjectId> = live
            .map(|entry| &entry.id)
            .chain(source.map(|entry| &entry.id).filter(|id| self.is_meant(id)))
            .collect();
        for id in known {
            let name = (id.organisation.clone(), id.key.clone());
            match id.kind {
                ObjectType::Members => drop(self.target.users.insert(name)),
                ObjectType::Teams => drop(self.target.teams.insert(name)),
                _ => {}
            }
        }
    }

    /// It is meant, and can be written here.
    fn is_meant(&self, id: &ObjectId) -> bool {
        let stranger =
            id.kind == ObjectType::Members && !self.there.contains_key(id) && self.cannot_make_users();
        self.choice.has(id) && self.out_of_reach(id).is_none() && !stranger
    }

    /// Everything that is meant. `made` is what a restore has made that is to be taken back.
    pub(in crate::grafana::restore) fn plan(
        mut self,
        made: Option<&Made>,
    ) -> Result<RestorePlan, BundleError> {
        self.refuse_what_is_foreign();
        let ids = self.source.entries().iter().map(|entry| &entry.id);
        let ids: Vec<&ObjectId> = ids.filter(|id| self.choice.has(id)).collect();
        self.plan.refusals.extend(self.choice.secrets.ambiguous(&ids));
        let mut meant: Vec<&Entry> =
            self.source.entries().iter().filter(|entry| self.choice.has(&entry.id)).collect();
        meant.sort_by_key(|entry| self.place(&entry.id));
        let mut permissions = self.source.entries().iter().filter_map(|entry| permissions_of(&entry.id));
        if meant.is_empty() && made.is_none() && !permissions.any(|id| self.choice.has(&id)) {
            self.plan.refusals.push("nothing that is in the backup is meant".to_owned());
        }
        for entry in meant {
            self.add(entry)?;
        }
        self.add_defaults()?;
        let known: Vec<&ObjectId> = self.source.entries().iter().map(|entry| &entry.id).collect();
        for unused in self.choice.secrets.unused(&known, &|id| self.choice.has(id)) {
            self.plan.warnings.push(format!("the file of secrets has some for {unused}"));
        }
        self.tell_kept_passwords();
        if !self.lost_plugins.is_empty() {
            let plugins: Vec<&str> = self.lost_plugins.iter().map(String::as_str).collect();
            self.plan.warnings.push(format!("plugins that are not installed here: {}", plugins.join(", ")));
        }
        for ((kind, reason), number) in &self.skipped {
            self.plan.warnings.push(format!("{number} of {kind}: not restored: {reason}"));
        }
        if let Some(made) = made {
            self.tell_what_is_lost(made)?;
            self.take_away(made)?;
        }
        self.plan.target = self.target;
        Ok(self.plan)
    }

    pub(super) fn place(&self, id: &ObjectId) -> (Option<String>, ObjectType, usize, String) {
        (id.organisation.clone(), id.kind, self.order.rank(id), id.key.clone())
    }

    fn add(&mut self, entry: &Entry) -> Result<(), BundleError> {
        let mut object = self.source.load(entry)?;
        let there = said(self.live, &entry.id, &self.target)?;
        let mut entered = self.entered_from_the_clear(&object, there.as_ref());
        entered.extend(self.entered(&object, there.as_ref()));
        hide(&mut object, &entered);
        let (mut action, mut note) = self.decide(&object, there.as_ref())?;
        if matches!(action, Action::Create | Action::Update | Action::Same) {
            self.tell_missing(&object, there.as_ref(), action, &entered);
            let enters = to_enter(&entered, there.as_ref());
            if !enters.is_empty() {
                action = if action == Action::Same { Action::Update } else { action };
                note = Some(note.map_or_else(String::new, |note| format!("{note}; ")) + &enters);
            }
            if action != Action::Same && !entered.is_empty() {
                self.plan.entered.insert(entry.id.clone(), entered);
            }
        }
        if action == Action::Skip && entry.id.kind != ObjectType::Plugins {
            *self.skipped.entry((entry.id.kind, note.clone().unwrap_or_default())).or_default() += 1;
        }
        if action == Action::Create {
            self.coming.insert(entry.id.clone());
        }
        self.plan.items.push(Item { id: entry.id.clone(), title: entry.title.clone(), action, note });
        Ok(())
    }

    /// Permissions that somebody has set here, and nobody had in the backup.
    fn add_defaults(&mut self) -> Result<(), BundleError> {
        for entry in self.live.entries().iter().filter(|entry| self.choice.has(&entry.id)) {
            if find(self.source, &entry.id).is_some() {
                continue;
            }
            let Some(default) = default_permissions(self.source, &entry.id, &self.target)? else { continue };
            let mut there = self.live.load(entry)?;
            there.body = self.without_me(there.body);
            let (mut action, mut note) = self.compare(&default, &there);
            if action == Action::Update {
                note = Some("goes back to what holds where nobody has set any".to_owned());
            }
            if let Some(reason) = self.out_of_reach(&entry.id) {
                (action, note) = (Action::Skip, Some(reason));
            }
            self.plan.items.push(Item { id: entry.id.clone(), title: entry.title.clone(), action, note });
        }
        let mut items = std::mem::take(&mut self.plan.items);
        items.sort_by_key(|item| self.place(&item.id));
        self.plan.items = items;
        Ok(())
    }

    fn decide(&mut self, object: &Object, there: Option<&Object>) -> Result<Decision, BundleError> {
        let id = object.id();
        if id.kind == ObjectType::Plugins {
            return Ok(self.plugin(object));
        }
        if let Some(reason) = self.out_of_reach(&id) {
            return Ok((Action::Skip, Some(reason)));
        }
        self.tell_strangers(object);
        let decided = match there {
            Some(there) => self.compare(object, there),
            None => self.create(object)?,
        };
        match (decided.0, self.lacks(object)) {
            (Action::Create | Action::Update, Some(lack)) => Ok((Action::Blocked, Some(lack))),
            (Action::Same, Some(lack)) => {
                self.plan.warnings.push(format!("{}: {lack}", self.plan.name(&id)));
                Ok(decided)
            }
            _ => Ok(decided),
        }
    }

    /// An inventory: every organisation has the same.
    fn plugin(&mut self, object: &Object) -> Decision {
        let is_it = |id: &&&ObjectId| id.kind == ObjectType::Plugins && id.key == object.key;
        if !self.there.keys().any(|id| is_it(&id)) {
            let plugin = format!("{} {}", object.key, text(&object.body, "version"));
            self.lost_plugins.insert(plugin.trim_end().to_owned());
        }
        (Action::Skip, Some("an inventory, nothing to restore".to_owned()))
    }

    fn tell_strangers(&mut self, object: &Object) {
        let organisation = object.organisation.as_ref();
        let (_, strangers) = without_strangers(object.kind, organisation, &object.body, &self.target);
        if !strangers.is_empty() {
            let (id, who) = (self.plan.name(&object.id()), strangers.join(", "));
            self.plan.warnings.push(format!("{id}: not for {who}: not known in this organisation"));
        }
        let parent = text(&object.body, "parentUid");
        if object.kind == ObjectType::Folders && !parent.is_empty() && !self.target.may_nest_folders() {
            let warning = format!(
                "{}: it lay in the folder {parent}; this Grafana knows no folders in folders",
                self.plan.name(&object.id())
            );
            self.plan.warnings.push(warning);
        }
    }

    fn compare(&self, object: &Object, there: &Object) -> Decision {
        let of = |body: &Value| portable(object.kind, object.organisation.as_ref(), body, &self.target);
        let differences = differences(object.kind, &of(&object.body), &of(&there.body));
        if differences.is_empty() {
            return (Action::Same, None);
        }
        if is_provisioned(object.kind, &there.body) {
            let reason = "it comes from a file on the server, which alone can change it".to_owned();
            return (Action::Skip, Some(reason));
        }
        if self.is_own(object) {
            let reason = "whoever restores must not take rights from himself".to_owned();
            return (Action::Skip, Some(reason));
        }
        let mut note = format!("differs in {}", named(&differences));
        let lost = lost_rules(object, there);
        if !lost.is_empty() {
            note = format!("{note}; removes {}", lost.join(", "));
        }
        (Action::Update, Some(note))
    }

    /// It is who restores, and would lose what a restore needs.
    fn is_own(&self, object: &Object) -> bool {
        let loses = match object.kind {
            ObjectType::Users => !flag(&object.body, "isAdmin") || flag(&object.body, "isDisabled"),
            ObjectType::Members => text(&object.body, "role") != "Admin",
            _ => false,
        };
        loses && self.is_me(&object.key)
    }

    /// Permissions without the row that whoever makes a folder gets from 9 on: who restores may do everything without it.
    pub(super) fn without_me(&self, mut permissions: Value) -> Value {
        let is_own = |row: &Value| number(row, "permission") == 4 && self.is_me(text(row, "userLogin"));
        if let Some(rows) = permissions.get_mut("items").and_then(Value::as_array_mut) {
            rows.retain(|row| !is_own(row));
        }
        permissions
    }

    /// It is who restores.
    pub(super) fn is_me(&self, login: &str) -> bool {
        self.facts.login.as_deref() == Some(login)
    }

    fn create(&mut self, object: &Object) -> Result<Decision, BundleError> {
        if matches!(object.kind, ObjectType::Members | ObjectType::Organisations) && self.cannot_make_users()
        {
            let reason = "only a server administrator with user and password can make it".to_owned();
            return Ok((Action::Skip, Some(reason)));
        }
        if let Some(problem) = self.in_the_way(object)? {
            return Ok((Action::Blocked, Some(problem)));
        }
        Ok((Action::Create, None))
    }
}

fn entries(bundle: &Bundle) -> impl Iterator<Item = (&Bundle, &Entry)> {
    bundle.entries().iter().map(move |entry| (bundle, entry))
}

/// Rules that a group has here and not in the backup: the whole group is replaced.
fn lost_rules(object: &Object, there: &Object) -> Vec<String> {
    let rules = |object: &Object| -> Vec<(String, String)> {
        let all = object.body["rules"].as_array().into_iter().flatten();
        all.map(|rule| (text(rule, "uid").to_owned(), text(rule, "title").to_owned())).collect()
    };
    if object.kind != ObjectType::RuleGroups {
        return Vec::new();
    }
    let kept: BTreeSet<String> = rules(object).into_iter().map(|(uid, _)| uid).collect();
    let lost = rules(there).into_iter().filter(|(uid, _)| !kept.contains(uid));
    lost.map(|(uid, title)| format!("the rule {title:?} ({uid})")).collect()
}
