//! What differs between two texts, as `diff -u` shows it.

use std::path::Path;

use similar::TextDiff;

use crate::regular;

/// From the file at `path` to `new`; nothing where one of them is not text, or too long to be read by a person.
pub(super) fn unified(path: &Path, name: &str, new: &[u8]) -> Option<String> {
    let old = regular::read_named(path, super::LONGEST_SHOWN).ok()?;
    let (old, new) = (text(&old)?, text(new)?);
    let diff = TextDiff::from_lines(old, new);
    Some(diff.unified_diff().context_radius(3).header(name, "in the backup").to_string())
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}
