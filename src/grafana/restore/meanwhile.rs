//! What somebody changes between the safety export and the write is in no backup: it is not written over.
//!
//! Each object is looked at once more just before its turn. Where it is neither what the safety export has nor what the
//! restore wants, it is left alone and told.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::compare::same;
use super::door::{WriteError, text};
use super::plan::{Action, Item, RestorePlan};
use super::portable::portable;
use super::said::{find, owner};
use crate::grafana::GrafanaError;
use crate::grafana::bundle::Bundle;
use crate::grafana::export::Again;
use crate::grafana::object::{Object, ObjectId, ObjectType};

/// What is restored, and what was there when it was kept.
pub(super) struct Meanwhile<'a> {
    source: &'a Bundle,
    live: &'a Bundle,
    plan: &'a RestorePlan,
    /// Rules that this restore has written: they may have come out of another group.
    rules: Mutex<BTreeSet<String>>,
}

impl<'a> Meanwhile<'a> {
    pub(super) fn new(source: &'a Bundle, live: &'a Bundle, plan: &'a RestorePlan) -> Self {
        Self { source, live, plan, rules: Mutex::default() }
    }

    /// Refuses to write what somebody has changed. `again` looks at where it is.
    pub(super) async fn check(&self, item: &Item, again: &Again) -> Result<(), WriteError> {
        if !self.can_tell(item) {
            return Ok(());
        }
        let now = again.body(&item.id).await?;
        let load = |bundle: &Bundle| -> Result<Option<Object>, GrafanaError> {
            Ok(find(bundle, &item.id).map(|entry| bundle.load(entry)).transpose()?)
        };
        let was = load(self.live)?.map(|object| object.body);
        let is = |other: Option<&Value>| match (now.as_ref(), other) {
            (None, None) => true,
            (Some(now), Some(other)) => self.is_same(&item.id, now, other),
            _ => false,
        };
        // Somebody has restored it, or removed it, in the meantime: nothing of anybody's gets lost.
        let wanted = load(self.source)?.map(|object| object.body);
        let as_wanted = if item.action == Action::Remove { now.is_none() } else { is(wanted.as_ref()) };
        if as_wanted || is(was.as_ref()) {
            self.note(item, wanted.as_ref());
            return Ok(());
        }
        Err(WriteError::Refused(
            "somebody has changed it meanwhile, since what was there was kept: it is not written; run the restore again"
                .to_owned(),
        ))
    }

    /// Whether a difference could be somebody's, and not come of what was written before.
    pub(super) fn can_tell(&self, item: &Item) -> bool {
        let id = &item.id;
        let is_written = |other: &ObjectId, action: Action| {
            self.plan.writes().any(|item| item.id == *other && item.action == action)
        };
        let is_new_place = id.organisation.as_ref().is_some_and(|name| {
            self.live.contents().organisations.iter().all(|organisation| organisation.name != *name)
        });
        if is_new_place || owner(id).is_some_and(|owner| is_written(&owner, Action::Create)) {
            return false;
        }
        match id.kind {
            // Nothing of them is replaced, or nobody changes them.
            ObjectType::Organisations
            | ObjectType::Annotations
            | ObjectType::Snapshots
            | ObjectType::Plugins => false,
            // They come with users, folders and organisations, or are named by what was renamed.
            ObjectType::Members
            | ObjectType::Preferences
            | ObjectType::AlertmanagerConfig
            | ObjectType::RulerGroups => item.action != Action::Create,
            ObjectType::Policies | ObjectType::RuleGroups => !self.renames_receivers(id),
            _ => true,
        }
    }

    /// A contact point gets another name, and Grafana changes it where it is named.
    fn renames_receivers(&self, id: &ObjectId) -> bool {
        let of_place = self.plan.writes().filter(|item| {
            item.id.kind == ObjectType::ContactPoints && item.id.organisation == id.organisation
        });
        let title = |bundle: &Bundle, id: &ObjectId| find(bundle, id).map(|entry| entry.title.clone());
        of_place.into_iter().any(|item| {
            title(self.live, &item.id).is_some_and(|was| Some(was) != title(self.source, &item.id))
        })
    }

    fn is_same(&self, id: &ObjectId, now: &Value, other: &Value) -> bool {
        let of = |body: &Value| {
            portable(id.kind, id.organisation.as_ref(), &self.bare(id.kind, body), &self.plan.target)
        };
        // A secret that is hidden on one side is hidden on the other.
        same(id.kind, &of(other), &of(now))
    }

    /// Without what other writes of this restore change in it.
    fn bare(&self, kind: ObjectType, body: &Value) -> Value {
        let mut body = body.clone();
        match kind {
            // 8 and 9 show in a dashboard what its library panels are made of.
            ObjectType::Dashboards => bare_panels(&mut body["dashboard"]),
            ObjectType::RuleGroups => {
                let written = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(rules) = body["rules"].as_array_mut() {
                    rules.retain(|rule| !written.contains(text(rule, "uid")));
                }
            }
            _ => {}
        }
        body
    }

    fn note(&self, item: &Item, wanted: Option<&Value>) {
        if item.id.kind == ObjectType::RuleGroups {
            let rules = wanted.and_then(|wanted| wanted["rules"].as_array()).into_iter().flatten();
            let mut written = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
            written.extend(rules.map(|rule| text(rule, "uid").to_owned()));
        }
    }
}

fn bare_panels(dashboard: &mut Value) {
    let panels = dashboard.get_mut("panels").and_then(Value::as_array_mut);
    for panel in panels.into_iter().flatten() {
        let uid = text(&panel["libraryPanel"], "uid").to_owned();
        if uid.is_empty() {
            bare_panels(panel);
        } else {
            *panel =
                serde_json::json!({ "id": panel["id"], "gridPos": panel["gridPos"], "libraryPanel": uid });
        }
    }
}
