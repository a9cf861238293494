//! What an export says of an object: what stands in it, and of permissions that do not, that nobody has set any.

use serde_json::{Value, json};

use super::door::text;
use super::portable::Target;
use crate::grafana::bundle::{Bundle, BundleError, Entry};
use crate::grafana::object::{Object, ObjectId, ObjectType};

/// What stands in it under this name.
pub(super) fn find<'a>(bundle: &'a Bundle, id: &ObjectId) -> Option<&'a Entry> {
    let place = bundle.entries().binary_search_by(|entry| entry.id.cmp(id)).ok()?;
    bundle.entries().get(place)
}

/// The object as the export has it, or as follows from what it does not have.
pub(super) fn said(bundle: &Bundle, id: &ObjectId, target: &Target) -> Result<Option<Object>, BundleError> {
    match find(bundle, id) {
        Some(entry) => bundle.load(entry).map(Some),
        None => default_permissions(bundle, id, target),
    }
}

/// The folder or dashboard that permissions are of.
pub(super) fn owner(id: &ObjectId) -> Option<ObjectId> {
    let kind = match id.kind {
        ObjectType::FolderPermissions => ObjectType::Folders,
        ObjectType::DashboardPermissions => ObjectType::Dashboards,
        _ => return None,
    };
    Some(ObjectId { kind, ..id.clone() })
}

/// The permissions of a folder or dashboard.
pub(super) fn permissions_of(id: &ObjectId) -> Option<ObjectId> {
    let kind = match id.kind {
        ObjectType::Folders => ObjectType::FolderPermissions,
        ObjectType::Dashboards => ObjectType::DashboardPermissions,
        _ => return None,
    };
    Some(ObjectId { kind, ..id.clone() })
}

/// The permissions of a folder or dashboard that the export has without them: those of every new one.
pub(super) fn default_permissions(
    bundle: &Bundle,
    id: &ObjectId,
    target: &Target,
) -> Result<Option<Object>, BundleError> {
    let Some(owner) = owner(id).filter(|_| says_all_of(bundle, id)) else { return Ok(None) };
    let Some(entry) = find(bundle, &owner) else { return Ok(None) };
    let items = default_rows(owner.kind, &bundle.load(entry)?.body, target);
    Ok(Some(Object::new(id.clone(), entry.title.clone(), json!({ "items": items }))))
}

/// The rows that a new one at the top has; what lies in a folder inherits, and has none of its own.
fn default_rows(owner: ObjectType, body: &Value, target: &Target) -> Value {
    let above = match owner {
        ObjectType::Folders if !target.may_nest_folders() => "",
        ObjectType::Folders => text(body, "parentUid"),
        _ => text(body, "folderUid"),
    };
    if above.is_empty() {
        json!([{ "role": "Viewer", "permission": 1 }, { "role": "Editor", "permission": 2 }])
    } else {
        json!([])
    }
}

/// That it is not in there says something: it was not left out.
fn says_all_of(bundle: &Bundle, id: &ObjectId) -> bool {
    bundle.contents().skipped.iter().all(|skipped| {
        let other = skipped.kind != Some(id.kind) || skipped.organisation != id.organisation;
        other || skipped.key.as_ref().is_some_and(|key| *key != id.key)
    })
}
