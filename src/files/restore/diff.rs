//! What differs between two texts, as `diff -u` shows it.

use similar::TextDiff;

/// From `old` to `new`; nothing where one of them is not text.
pub(super) fn unified(old: &[u8], name: &str, new: &[u8]) -> Option<String> {
    let (old, new) = (text(old)?, text(new)?);
    let diff = TextDiff::from_lines(old, new);
    Some(diff.unified_diff().context_radius(3).header(name, "in the backup").to_string())
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}
