//! Secrets that are entered, and those that somebody has to enter. One that is in the file is written: whether the one
//! that is there is the same, no Grafana says, unless it shows it.

use std::collections::BTreeSet;

use super::Action;
use super::planner::Planner;
use crate::config::values::Secret as Password;
use crate::grafana::contents::Secret;
use crate::grafana::object::{Object, ObjectId, ObjectType, PASSWORDS, at};
use crate::grafana::restore::compare::is_redacted;
use crate::grafana::restore::door::{number, text};
use crate::grafana::restore::portable::{hidden, is_provisioned, present};
use crate::grafana::restore::secrets::Fields;
use crate::words;

impl Planner<'_> {
    /// Those of the file that can be entered; says of the others why not.
    pub(super) fn entered(&mut self, object: &Object, there: Option<&Object>) -> Fields {
        let id = object.id();
        let entered = self.choice.secrets.of(&id);
        if entered.is_empty() {
            return entered;
        }
        match there {
            // A restore has made it, and nobody knows its password.
            Some(_) if id.kind == ObjectType::Users && self.facts.unset.contains(&id.key) => {}
            Some(_) if id.kind == ObjectType::Users => {
                self.kept_passwords.insert(id.key);
                return Fields::new();
            }
            Some(there) if is_provisioned(id.kind, &there.body) => {
                let (name, what) = (self.plan.name(&id), list(&entered));
                self.plan.warnings.push(format!(
                    "{name}: {what} is not entered: it comes from a file on the server, which alone can change it"
                ));
                return Fields::new();
            }
            _ => {}
        }
        let name = self.plan.name(&id);
        let mut listed = present(id.kind, &object.body);
        listed.extend(made_anew(object));
        let more: Fields = entered.clone().into_iter().filter(|(name, _)| !listed.contains(name)).collect();
        if !more.is_empty() && self.out_of_reach(&id).is_none() {
            let what = list(&more);
            self.plan
                .warnings
                .push(format!("{name}: the backup lists no secret {what} of it: it is entered all the same"));
        }
        entered
    }

    /// Passwords that the backup has in the clear, where this server keeps them as secrets, and does not have them yet.
    pub(super) fn entered_from_the_clear(&self, object: &Object, there: Option<&Object>) -> Fields {
        let provisioned = there.is_some_and(|there| is_provisioned(there.kind, &there.body));
        if object.kind != ObjectType::DataSources || self.target.shows_passwords() || provisioned {
            return Fields::new();
        }
        let has = there.map(|there| present(there.kind, &there.body)).unwrap_or_default();
        let missing = PASSWORDS.into_iter().filter(|name| !has.contains(*name));
        let filled = missing.filter(|name| !text(&object.body, name).is_empty());
        filled.map(|name| (name.to_owned(), Password::new(text(&object.body, name)))).collect()
    }

    /// A password is only set for somebody whom a restore makes, or has made.
    pub(super) fn tell_kept_passwords(&mut self) {
        if self.kept_passwords.is_empty() {
            return;
        }
        let who: Vec<String> = self.kept_passwords.iter().cloned().collect();
        self.plan.warnings.push(format!(
            "the file of secrets has passwords of users who are there already, and keep theirs: {}",
            words::some(&who, 5)
        ));
    }

    /// Notes which secrets of an object are neither there nor in the file.
    pub(super) fn tell_missing(
        &mut self,
        object: &Object,
        there: Option<&Object>,
        action: Action,
        entered: &Fields,
    ) {
        let has: BTreeSet<String> = there.map(|there| present(there.kind, &there.body)).unwrap_or_default();
        let mut fields = hidden(object.kind, &object.body);
        let is_unset = object.kind == ObjectType::Users && self.facts.unset.contains(&object.key);
        if action == Action::Create || is_unset {
            fields.extend(made_anew(object));
        }
        fields.retain(|name| !has.contains(name) && !entered.contains_key(name));
        if !fields.is_empty() {
            let ObjectId { organisation, kind, key } = object.id();
            self.plan.secrets.push(Secret { organisation, kind, key, title: object.title.clone(), fields });
        }
    }
}

/// What is entered, in words; nothing where all of it is there, and shown.
pub(super) fn to_enter(entered: &Fields, there: Option<&Object>) -> String {
    let is_there = |name: &str, secret: &str| {
        there.is_some_and(|there| {
            there.kind == ObjectType::ContactPoints
                && at(&there.body["settings"], name).is_some_and(|there| there == secret)
        })
    };
    let has = there.map(|there| present(there.kind, &there.body)).unwrap_or_default();
    let is_hidden = |name: &str| has.contains(name) && !is_shown(there, name);
    let new = entered.iter().filter(|(name, secret)| !is_there(name, secret.expose()));
    let (again, new): (Vec<_>, Vec<_>) = new.map(|(name, _)| name.as_str()).partition(|name| is_hidden(name));
    let mut parts = Vec::new();
    if !new.is_empty() {
        parts.push(format!("enters {}", new.join(", ")));
    }
    if !again.is_empty() {
        let again = again.join(", ");
        parts.push(format!("enters {again} again: Grafana does not tell whether what it has is the same"));
    }
    parts.join("; ")
}

fn is_shown(there: Option<&Object>, name: &str) -> bool {
    let settings =
        there.filter(|there| there.kind == ObjectType::ContactPoints).map(|there| &there.body["settings"]);
    let shown = settings.and_then(|settings| at(settings, name));
    shown.is_some_and(|shown| shown.is_string() && !is_redacted(shown))
}

fn list(fields: &Fields) -> String {
    fields.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// What nobody can restore of an object that is made.
fn made_anew(object: &Object) -> Vec<String> {
    match (object.kind, number(&object.body, "tokens")) {
        // Who comes from a directory has no password of his own.
        (ObjectType::Users, _) if object.body.get("authLabels").is_none() => vec!["password".to_owned()],
        (ObjectType::ServiceAccounts, tokens) if tokens > 0 => {
            vec![words::count(usize::try_from(tokens).unwrap_or_default(), "token")]
        }
        _ => Vec::new(),
    }
}
