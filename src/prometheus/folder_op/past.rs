//! What of a restore is remembered when its work folder is removed: what it put in place, and when. A cleanup of old
//! blocks leaves that alone for some days, whether or not somebody still keeps what was set aside.

use std::io;
use std::path::Path;

use jiff::SignedDuration;

use super::error::{At as _, FolderOpError};
use super::{Phase, RestoreState};
use crate::regular;
use crate::store::atomic;

/// Where it is noted, in the data folder. Prometheus ignores it.
const FILE: &str = ".watchkeeper-restored.json";
/// What ended so long before the newest is forgotten.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(60 * 24);

/// The restores whose work folders are gone, and why that cannot be known, if so.
pub(super) fn read(root: &Path) -> (Vec<RestoreState>, Option<String>) {
    let path = root.join(FILE);
    match regular::read(&path, regular::NOTE) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => (Vec::new(), None),
        Err(e) => (Vec::new(), Some(format!("{} cannot be read: {e}", path.display()))),
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(past) => (past, None),
            Err(e) => (Vec::new(), Some(format!("{} is damaged: {e}", path.display()))),
        },
    }
}

/// Notes a restore durably. One that has put nothing in place is not noted.
pub(super) fn note(root: &Path, state: &RestoreState) -> Result<(), FolderOpError> {
    if state.phase == Phase::Staging {
        return Ok(());
    }
    // What is damaged is begun anew: it was reported since, and this restore is known.
    let (mut past, _) = read(root);
    past.retain(|old| {
        old.note.restore != state.note.restore && state.changed.duration_since(old.changed) < REMEMBERED
    });
    past.push(RestoreState { set_aside_bytes: 0, down: false, ..state.clone() });
    let path = root.join(FILE);
    let bytes = serde_json::to_vec_pretty(&past).map_err(io::Error::other).at("write", &path)?;
    atomic::replace_alone(&path, &bytes, 0o644).at("write", &path)
}
