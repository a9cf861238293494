//! What stands in the way of one object, and a person has to decide about.

use serde_json::Value;

use super::planner::Planner;
use crate::grafana::bundle::BundleError;
use crate::grafana::object::{Object, ObjectType};
use crate::grafana::restore::door::text;

impl Planner<'_> {
    /// What would make Grafana refuse it, or worse, take something else for it.
    pub(super) fn in_the_way(&mut self, object: &Object) -> Result<Option<String>, BundleError> {
        let (folder, by_title) = match object.kind {
            ObjectType::DataSources => (None, true),
            ObjectType::LibraryPanels => (Some("folderUid"), true),
            ObjectType::Folders if !self.target.may_nest_folders() => {
                (None, !self.target.titles_may_repeat())
            }
            ObjectType::Folders => (Some("parentUid"), !self.target.titles_may_repeat()),
            ObjectType::Dashboards => (Some("folderUid"), !self.target.titles_may_repeat()),
            _ => return Ok(None),
        };
        if !by_title {
            return Ok(None);
        }
        let place = |body: &Value| folder.map(|field| text(body, field).to_owned()).unwrap_or_default();
        let uid = place(&object.body);
        let title = object.title.clone();
        if !self.titles.insert((object.organisation.clone(), object.kind, uid.clone(), title.clone())) {
            return Ok(Some(format!(
                "the backup has two that are called {title:?} there, and this Grafana takes only one"
            )));
        }
        let others = self.live.entries().iter().filter(|other| {
            other.id.organisation == object.organisation
                && other.id.kind == object.kind
                && other.title == title
                && other.id.key != object.key
        });
        for other in others {
            if place(&self.live.load(other)?.body) == uid {
                return Ok(Some(format!(
                    "there is another one that is called {title:?} there: {}",
                    other.id
                )));
            }
        }
        Ok(None)
    }
}
