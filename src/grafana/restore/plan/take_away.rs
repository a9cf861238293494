//! What a restore had created goes again, and nothing with it that somebody else has made since.

use std::collections::BTreeSet;

use super::born::is_born;
use super::planner::Planner;
use super::stays::Stays;
use super::{Action, Item, Made};
use crate::grafana::bundle::{BundleError, Entry};
use crate::grafana::object::{ObjectId, ObjectType};
use crate::grafana::restore::said::owner;

/// What becomes of something that a restore had created.
enum Fate {
    Goes,
    /// With what it is a part of, or it is nobody's.
    GoesWithIt,
    Stays(String),
}

impl Planner<'_> {
    /// What a restore had created goes again, those first that nobody needs, and nothing with it that is not its own.
    pub(super) fn take_away(&mut self, made: &Made) -> Result<(), BundleError> {
        let in_source: BTreeSet<&ObjectId> = self.source.entries().iter().map(|entry| &entry.id).collect();
        let planned: BTreeSet<ObjectId> = self.plan.items.iter().map(|item| item.id.clone()).collect();
        let is_left = |entry: &&&Entry| {
            made.ids.contains(&entry.id) && !in_source.contains(&entry.id) && !planned.contains(&entry.id)
        };
        let mut left: Vec<&Entry> = self.there.values().filter(is_left).copied().collect();
        left.sort_by_key(|entry| std::cmp::Reverse(self.place(&entry.id)));
        let stays = self.stays(made)?;
        let going: BTreeSet<&ObjectId> =
            left.iter().map(|entry| &entry.id).filter(|id| stays.because(id).is_none()).collect();
        for entry in &left {
            let (action, note) = match self.fate(entry, &stays, &going)? {
                Fate::Goes => (Action::Remove, None),
                Fate::GoesWithIt => continue,
                Fate::Stays(why) => (Action::Skip, Some(why)),
            };
            if let Some(note) = &note {
                self.plan.warnings.push(format!("{}: {note}", entry.id));
            }
            self.plan.items.push(Item { id: entry.id.clone(), title: entry.title.clone(), action, note });
        }
        Ok(())
    }

    fn fate(&self, entry: &Entry, stays: &Stays, going: &BTreeSet<&ObjectId>) -> Result<Fate, BundleError> {
        let id = &entry.id;
        let organisation = |name: &String| ObjectId {
            organisation: None,
            kind: ObjectType::Organisations,
            key: name.clone(),
        };
        let is_with_all = id.organisation.as_ref().is_some_and(|name| going.contains(&organisation(name)));
        let of = owner(id);
        if is_with_all || of.as_ref().is_some_and(|of| going.contains(of)) {
            return Ok(Fate::GoesWithIt);
        }
        let because = stays.because(of.as_ref().unwrap_or(id));
        if let Some(because) = because {
            let why = if *because == id.to_string() {
                "people have changed it since, and it stays".to_owned()
            } else {
                format!("it stays, because of {because}, which is not from the restore")
            };
            return Ok(Fate::Stays(why));
        }
        Ok(match id.kind {
            // Whose they are is not from a restore: somebody has made it again since.
            ObjectType::FolderPermissions | ObjectType::DashboardPermissions => Fate::GoesWithIt,
            // A kept organisation without whoever takes it back would be out of reach.
            _ if is_born(&self.live.load(entry)?, self.facts.login.as_deref()) => Fate::GoesWithIt,
            ObjectType::AlertmanagerConfig | ObjectType::Annotations => {
                Fate::Stays("no Grafana can remove it: it stays as the restore has written it".to_owned())
            }
            _ => Fate::Goes,
        })
    }
}
