//! What happens when a dashboard or a folder is saved: one table, and one set of rules in one order.

use serde_json::{Value, json};

use super::auth::Caller;
use super::json::slug;
use super::state::{Dashboard, Org, State, now};
use super::version::Version;

/// What somebody wants to have saved.
#[derive(Default)]
pub(super) struct Wanted {
    /// 0 if it was null or absent.
    pub(super) id: i64,
    pub(super) uid: String,
    pub(super) title: String,
    pub(super) is_folder: bool,
    pub(super) folder: i64,
    pub(super) data: Value,
    pub(super) version: i64,
    pub(super) overwrite: bool,
    pub(super) message: String,
}

/// Why it was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    EmptyTitle,
    /// A folder "General".
    Reserved,
    BadUid,
    LongUid,
    NotFound,
    FolderNotFound,
    OtherVersion,
    /// A dashboard with the UID of a folder, or the other way round.
    OtherKind,
    /// A dashboard with the title of a folder.
    TitleOfFolder,
    TitleTaken,
    UidTaken,
    Provisioned,
}

/// Saves, and gives the ID of what was saved: not always that of what was sent.
pub(super) fn save(state: &mut State, caller: &Caller, mut wanted: Wanted) -> Result<i64, Refusal> {
    check_form(&wanted)?;
    let version = state.version;
    let by_toggle = state.nested;
    let org = state.org(caller.org);
    if let Some(id) = existing(org, &wanted)? {
        wanted.id = id;
    }
    if !version.titles_repeat()
        && let Some(other) = of_same_title(org, &wanted, version, by_toggle)
        && other.id != wanted.id
    {
        check_same_title(other, &wanted)?;
        // The trap: 200, but the other dashboard is overwritten and keeps its UID [R 070, 084].
        (wanted.id, wanted.uid) = (other.id, other.uid.clone());
    }
    Ok(write(state, caller, wanted))
}

/// What is refused without a look at what there is, in this order.
fn check_form(wanted: &Wanted) -> Result<(), Refusal> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if wanted.title.trim().is_empty() {
        return Err(Refusal::EmptyTitle); // [R 019, 076]
    }
    if wanted.is_folder && wanted.title.eq_ignore_ascii_case("general") {
        return Err(Refusal::Reserved); // [R 020]
    }
    if !wanted.uid.chars().all(legal) {
        return Err(Refusal::BadUid); // [R 018]
    }
    if wanted.uid.len() > 40 {
        return Err(Refusal::LongUid); // [R 075]
    }
    Ok(())
}

/// What is there under the ID or the UID, if it may be replaced.
fn existing(org: &Org, wanted: &Wanted) -> Result<Option<i64>, Refusal> {
    let numbered = org.dashboards.get(&wanted.id);
    if wanted.id != 0 && numbered.is_none() {
        return Err(Refusal::NotFound); // Also with `overwrite` [R 067, 212].
    }
    let named = Some(&wanted.uid).filter(|uid| !uid.is_empty()).and_then(|uid| org.by_uid(uid));
    if wanted.folder != 0 && !org.dashboards.get(&wanted.folder).is_some_and(|f| f.is_folder) {
        return Err(Refusal::FolderNotFound); // [R 072]
    }
    if numbered.zip(named).is_some_and(|(id, uid)| id.id != uid.id) {
        return Err(Refusal::UidTaken); // [S]
    }
    let Some(there) = numbered.or(named) else { return Ok(None) };
    if there.is_folder != wanted.is_folder {
        return Err(Refusal::OtherKind); // [R 074]
    }
    if there.provisioned {
        return Err(Refusal::Provisioned); // [S][D]
    }
    if there.version != wanted.version && !wanted.overwrite {
        return Err(Refusal::OtherVersion); // [R 015, 065, 068]
    }
    Ok(Some(there.id))
}

/// What is in the way of a title. 7.5 compares what is left of it in URLs, and looks at folders wherever it is
/// itself [M]; with nested folders each folder is for itself, and folders and dashboards do not meet [M].
fn of_same_title<'a>(org: &'a Org, wanted: &Wanted, version: Version, nested: bool) -> Option<&'a Dashboard> {
    let slug = slug(&wanted.title);
    org.dashboards.values().find(|d| {
        let same = if version == Version::V7_5 { d.slug == slug } else { d.title == wanted.title };
        let meets = if nested {
            d.folder == wanted.folder && d.is_folder == wanted.is_folder
        } else {
            d.is_folder || d.folder == wanted.folder
        };
        same && meets
    })
}

fn check_same_title(other: &Dashboard, wanted: &Wanted) -> Result<(), Refusal> {
    if other.is_folder && !wanted.is_folder {
        return Err(Refusal::TitleOfFolder); // Also with `overwrite` [R 073].
    }
    // A folder never takes another one's place [R 016].
    if wanted.is_folder || !wanted.overwrite {
        return Err(Refusal::TitleTaken); // [R 069]
    }
    Ok(())
}

fn write(state: &mut State, caller: &Caller, wanted: Wanted) -> i64 {
    let id = if wanted.id == 0 { state.next("dashboard") } else { wanted.id };
    let old_uid = state.org(caller.org).dashboards.get(&id).map(|there| there.uid.clone());
    let uid = Some(wanted.uid).filter(|uid| !uid.is_empty()).or(old_uid).unwrap_or_else(|| state.new_uid());
    let saved = state.next("dashboard_version");
    let made = Dashboard {
        id,
        uid: uid.clone(),
        created: now(),
        created_by: caller.name.clone(),
        ..Default::default()
    };
    let there = state.org(caller.org).dashboards.entry(id).or_insert(made);
    // Saving what is there already counts as a version, too [R 066].
    there.version += 1;
    there.slug = slug(&wanted.title);
    (there.uid, there.title, there.is_folder) = (uid, wanted.title, wanted.is_folder);
    // Where it is follows from this one request alone: without a folder it moves to General [R 215].
    (there.folder, there.data) = (wanted.folder, wanted.data);
    (there.updated, there.updated_by) = (now(), caller.name.clone());
    let parent = there.version - 1;
    there.history.push(json!({
        "id": saved, "dashboardId": id, "parentVersion": parent, "restoredFrom": 0, "version": there.version,
        "created": now(), "createdBy": if caller.user == 0 { "" } else { &caller.name },
        // [R 089]: what the first one was saved with is not told.
        "message": if parent == 0 { "Initial save" } else { &wanted.message },
    }));
    id
}
