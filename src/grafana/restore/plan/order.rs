//! Who comes before whom within a type: folders after those that they lie in, the default data source after all others,
//! because it takes the flag from whichever has it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::grafana::object::{ObjectId, ObjectType, nth_of};
use crate::grafana::restore::door::{flag, text};

/// What is known of the objects that have an order of their own.
#[derive(Debug, Default)]
pub(super) struct Order {
    parents: BTreeMap<(Option<String>, String), String>,
    defaults: Vec<ObjectId>,
}

impl Order {
    pub(super) fn learn(&mut self, id: &ObjectId, body: &Value) {
        match id.kind {
            ObjectType::Folders => {
                let parent = text(body, "parentUid").to_owned();
                self.parents.insert((id.organisation.clone(), id.key.clone()), parent);
            }
            ObjectType::DataSources if flag(body, "isDefault") => self.defaults.push(id.clone()),
            _ => {}
        }
    }

    /// Objects of one type are written in the order of this.
    pub(super) fn rank(&self, id: &ObjectId) -> usize {
        match id.kind {
            ObjectType::Folders => self.depth(id),
            ObjectType::DataSources => usize::from(self.defaults.contains(id)),
            // The tenth of a name after the second.
            _ if id.may_repeat() => nth_of(&id.key),
            _ => 0,
        }
    }

    fn depth(&self, id: &ObjectId) -> usize {
        let mut uid = &id.key;
        // Whoever has folders in a circle gets some order, and not a loop.
        for depth in 0..self.parents.len() {
            match self.parents.get(&(id.organisation.clone(), uid.clone())) {
                Some(parent) if !parent.is_empty() => uid = parent,
                _ => return depth,
            }
        }
        self.parents.len()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn id(kind: ObjectType, key: &str) -> ObjectId {
        ObjectId { organisation: Some("o".to_owned()), kind, key: key.to_owned() }
    }

    #[test]
    fn a_folder_comes_after_the_one_it_lies_in_whatever_they_are_called() {
        let mut order = Order::default();
        for (uid, parent) in [("a", "z"), ("z", "m"), ("m", ""), ("x", "y"), ("y", "x"), ("lost", "gone")] {
            order.learn(&id(ObjectType::Folders, uid), &json!({ "parentUid": parent }));
        }
        let mut uids = ["a", "z", "m"];
        uids.sort_by_key(|uid| order.rank(&id(ObjectType::Folders, uid)));
        assert_eq!(uids, ["m", "z", "a"]);
        assert_eq!(order.rank(&id(ObjectType::Folders, "x")), 6, "a circle ends");
        assert_eq!(order.rank(&id(ObjectType::Folders, "lost")), 1);
    }

    #[test]
    fn the_default_data_source_is_the_last_one() {
        let mut order = Order::default();
        order.learn(&id(ObjectType::DataSources, "a"), &json!({ "isDefault": true }));
        order.learn(&id(ObjectType::DataSources, "b"), &json!({ "isDefault": false }));
        assert!(
            order.rank(&id(ObjectType::DataSources, "a")) > order.rank(&id(ObjectType::DataSources, "b"))
        );
    }
}
