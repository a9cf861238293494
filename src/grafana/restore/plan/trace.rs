//! What a restore has written leaves a trace, by which what people have changed since is known: a hash of what counts of
//! each object. The backup that was restored may be gone by then.

use std::collections::BTreeMap;

use serde_json::Value;

use super::planner::Planner;
use super::{Action, Made, RestorePlan};
use crate::grafana::bundle::{Bundle, BundleError};
use crate::grafana::contents::Secret;
use crate::grafana::object::{Object, ObjectId, ObjectType, canonical};
use crate::grafana::restore::Written;
use crate::grafana::restore::compare::normal;
use crate::grafana::restore::door::{number, text};
use crate::grafana::restore::portable::{Target, hidden, hide, portable, present, without_strangers};
use crate::grafana::restore::said::{find, said};
use crate::store::digest::sha256;
use crate::words;

/// As many digits of a hash as nobody meets by chance.
const DIGITS: usize = 24;

/// So many of those that were not written are named.
const NAMED: usize = 10;

/// What is about to be written, as `me` would find it again.
pub(in crate::grafana::restore) fn traces(
    plan: &RestorePlan,
    source: &Bundle,
    me: Option<&str>,
) -> Result<Vec<Written>, BundleError> {
    let mut written = Vec::new();
    for item in plan.writes() {
        let Some(mut object) = said(source, &item.id, &plan.target)? else { continue };
        let entered = plan.entered.get(&item.id);
        // What is entered is shown where secrets are, and its hash would be one of a secret.
        if entered.is_some()
            && object.kind == ObjectType::ContactPoints
            && source.contents().shows_contact_points()
        {
            continue;
        }
        if let Some(entered) = entered {
            hide(&mut object, entered);
        }
        let organisation = object.organisation.as_ref();
        object.body = without_strangers(object.kind, organisation, &object.body, &plan.target).0;
        written.push(Written { id: item.id.clone(), hash: hash(&object, &plan.target, me) });
    }
    Ok(written)
}

/// What is there after it was written, where that is something else.
pub(in crate::grafana::restore) fn left(
    plan: &RestorePlan,
    (source, after): (&Bundle, &Bundle),
    me: Option<&str>,
) -> Result<Vec<Written>, BundleError> {
    let mut left = Vec::new();
    for Written { id, hash: sent } in traces(plan, source, me)? {
        let Some(there) = said(after, &id, &plan.target)? else { continue };
        let found = hash(&there, &plan.target, me);
        if found != sent {
            left.push(Written { id, hash: found });
        }
    }
    Ok(left)
}

/// The secrets that are entered over those of objects that are there. No Grafana tells them, so no undo brings them back.
pub(in crate::grafana::restore) fn overwritten(
    plan: &RestorePlan,
    live: &Bundle,
) -> Result<Vec<Secret>, BundleError> {
    let mut secrets = Vec::new();
    for item in plan.writes().filter(|item| item.action == Action::Update) {
        let Some((entered, entry)) = plan.entered.get(&item.id).zip(find(live, &item.id)) else { continue };
        let there = live.load(entry)?;
        let (has, unseen) = (present(there.kind, &there.body), hidden(there.kind, &there.body));
        let is_lost = |name: &&String| unseen.contains(*name) || !has.contains(*name);
        let fields: Vec<String> = entered.keys().filter(is_lost).cloned().collect();
        if !fields.is_empty() {
            let ObjectId { organisation, kind, key } = item.id.clone();
            secrets.push(Secret { organisation, kind, key, title: item.title.clone(), fields });
        }
    }
    Ok(secrets)
}

/// The same for objects that are the same.
fn hash(object: &Object, target: &Target, me: Option<&str>) -> String {
    let mut body = object.body.clone();
    if matches!(object.kind, ObjectType::FolderPermissions | ObjectType::DashboardPermissions)
        && let Some(rows) = body.get_mut("items").and_then(Value::as_array_mut)
    {
        // Whoever makes something may have got a row by that.
        rows.retain(|row| number(row, "permission") != 4 || me != Some(text(row, "userLogin")));
    }
    let counts = portable(object.kind, object.organisation.as_ref(), &body, target);
    // What was read as JSON can be written as JSON.
    let bytes = canonical(&normal(object.kind, &counts)).unwrap_or_default();
    sha256(&bytes).chars().take(DIGITS).collect()
}

impl Planner<'_> {
    /// Somebody has made something else of it than the restore had. Nobody can say so of what left no trace.
    pub(super) fn is_changed_since(&self, id: &ObjectId, made: &Made) -> Result<bool, BundleError> {
        let (Some(trace), Some(there)) = (made.written.get(id), said(self.live, id, &self.target)?) else {
            return Ok(false);
        };
        Ok(hash(&there, &self.target, self.facts.login.as_deref()) != *trace)
    }

    /// Says of what is overwritten that people have changed it since, and which secrets stay those of the restore.
    pub(super) fn tell_what_is_lost(&mut self, made: &Made) -> Result<(), BundleError> {
        let mut items = std::mem::take(&mut self.plan.items);
        for item in items.iter_mut().filter(|item| item.action == Action::Update) {
            if self.is_changed_since(&item.id, made)? {
                let note = item.note.take().unwrap_or_default();
                item.note =
                    Some(format!("{note}; people have changed it since the restore: that is kept before"));
                self.plan.edited.push(item.id.clone());
            }
        }
        self.plan.items = items;
        self.tell_untouched(made)?;
        for (id, secret) in &made.secrets {
            if self.there.contains_key(id) {
                let fields = secret.fields.join(", ");
                let place = id.organisation.as_ref().map(|name| format!(" in {name}")).unwrap_or_default();
                self.plan.warnings.push(format!(
                    "{id}{place}: it keeps the {fields} that the restore had entered: no Grafana tells what was there before; enter it again where that was another one"
                ));
            }
        }
        Ok(())
    }

    /// Names what the restore has not written, and is not as it was before.
    fn tell_untouched(&mut self, made: &Made) -> Result<(), BundleError> {
        let mut names = Vec::new();
        for id in made.untouched.difference(&made.ids) {
            if find(self.live, id).is_some() && !self.is_as_before(id)? {
                let place = id.organisation.as_ref().map(|name| format!(" in {name}")).unwrap_or_default();
                names.push(format!("{id}{place}"));
            }
        }
        if !names.is_empty() {
            let names = words::some(&names, NAMED);
            self.plan.warnings.push(format!("the restore had not written {names}: what is there now stays"));
        }
        Ok(())
    }

    /// It is what it was before the restore.
    pub(super) fn is_as_before(&self, id: &ObjectId) -> Result<bool, BundleError> {
        let of = |bundle| said(bundle, id, &self.target);
        Ok(match (of(self.source)?, of(self.live)?) {
            (Some(was), Some(is)) => {
                let me = self.facts.login.as_deref();
                hash(&was, &self.target, me) == hash(&is, &self.target, me)
            }
            (None, None) => true,
            _ => false,
        })
    }
}

/// By object.
pub(in crate::grafana::restore) type Traces = BTreeMap<ObjectId, String>;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::grafana::restore::compare::REDACTED;

    #[test]
    fn what_makes_no_difference_makes_none_in_a_hash() {
        let of = |settings: Value| {
            let id = ObjectId { organisation: None, kind: ObjectType::ContactPoints, key: "a".to_owned() };
            hash(&Object::new(id, "a", settings), &Target::default(), None)
        };
        let a = of(
            json!({ "name": "a", "disableResolveMessage": false, "settings": { "url": "u", "n": 1, "password": REDACTED } }),
        );
        assert_eq!(a, of(json!({ "id": 3, "name": "a", "settings": { "url": "u", "n": 1.0 } })));
        assert_ne!(a, of(json!({ "name": "a", "settings": { "url": "v", "n": 1 } })));
        assert_ne!(a, of(json!({ "name": "a", "settings": { "url": "u", "n": 1, "x": false } })));
        assert_eq!(a.len(), DIGITS);
    }
}
