//! What cannot be written at all: with these credentials, to this version, or because there is no such organisation.

use std::collections::BTreeSet;

use super::planner::Planner;
use crate::grafana::contents::{Skipped, Why};
use crate::grafana::object::{ObjectId, ObjectType};
use crate::words;

impl Planner<'_> {
    /// Who does not see the users of the server makes none, and no organisations.
    pub(super) fn cannot_make_users(&self) -> bool {
        self.live.contents().skipped.iter().any(|skipped| skipped.kind == Some(ObjectType::Users))
    }

    /// Without the organisation there is nothing to restore to, and nobody may guess which other one is meant.
    pub(super) fn refuse_what_is_foreign(&mut self) {
        let here: BTreeSet<&str> =
            self.live.contents().organisations.iter().map(|o| o.name.as_str()).collect();
        let meant = self.source.entries().iter().filter(|entry| self.choice.has(&entry.id));
        let wanted: BTreeSet<&str> = meant.filter_map(|entry| entry.id.organisation.as_deref()).collect();
        let lost: Vec<&str> =
            wanted.iter().copied().filter(|name| self.no_organisation(name).is_some()).collect();
        if lost.is_empty() {
            return;
        }
        let (wanted_here, lost) = (lost.len() < wanted.len(), list(lost));
        let here = list(here);
        if !wanted_here && self.facts.has_token {
            self.plan
                .refusals
                .push(format!("the token belongs to the organisation {here}, and the backup is of {lost}"));
        } else if !wanted_here {
            self.plan.refusals.push(format!(
                "{} organisation {lost} here, and it is not among what is restored",
                if self.cannot_make_users() { "the user sees no" } else { "there is no" }
            ));
        }
    }

    /// Why nothing can be written to an organisation, if so.
    pub(super) fn no_organisation(&self, name: &str) -> Option<String> {
        let contents = self.live.contents();
        let no_member =
            |skipped: &Skipped| skipped.organisation.as_deref() == Some(name) && skipped.why == Why::NoMember;
        if contents.skipped.iter().any(no_member) {
            return Some(Why::NoMember.text().to_owned());
        }
        if contents.organisations.iter().any(|organisation| organisation.name == name) {
            return None;
        }
        let id = ObjectId { organisation: None, kind: ObjectType::Organisations, key: name.to_owned() };
        let is_made = self.choice.has(&id)
            && !self.cannot_make_users()
            && self.source.entries().iter().any(|entry| entry.id == id);
        (!is_made).then(|| {
            if self.facts.has_token {
                format!("the token does not reach an organisation {name:?}")
            } else if self.cannot_make_users() {
                format!("the user sees no organisation {name:?} here")
            } else {
                format!("there is no organisation {name:?} here")
            }
        })
    }

    /// Why no object of a type can be written, if so.
    pub(super) fn whole_type(&self, organisation: Option<&str>, kind: ObjectType) -> Option<&'static str> {
        let contents = self.live.contents();
        let is_new = organisation.is_some_and(|name| contents.organisations.iter().all(|o| o.name != name));
        let mut all = contents.skipped.iter().filter(|s| s.kind == Some(kind) && s.key.is_none());
        let found = all.find(|s| {
            s.organisation.as_deref() == organisation
                || (is_new && matches!(s.why, Why::NotInThisVersion | Why::Superseded))
        });
        found.map(|skipped| skipped.why.text())
    }

    pub(super) fn out_of_reach(&self, id: &ObjectId) -> Option<String> {
        let organisation = id.organisation.as_deref();
        let lost = organisation.and_then(|name| self.no_organisation(name));
        lost.or_else(|| self.whole_type(organisation, id.kind).map(str::to_owned))
    }
}

fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("{name:?}")).collect();
    words::some(&names, 5)
}
