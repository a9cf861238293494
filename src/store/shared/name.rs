//! `blocks/<KEY>-<8 hex>[-<number>].tar.gz`, and the description beside it.

use crate::config::values::Codec;

/// Whether a stored file is shared.
pub(in crate::store) fn is_shared(name: &str) -> bool {
    name.starts_with("blocks/")
}

/// The key of a shared file's name: `blocks/<KEY>-….tar.gz`.
pub fn key_of(name: &str) -> Option<&str> {
    stem_of(name)?.split('-').next()
}

pub(super) fn stem_of(name: &str) -> Option<&str> {
    let name = name.strip_prefix("blocks/")?;
    let stem = name.strip_suffix(Codec::of_name(name)?.suffix())?;
    is_stem(stem).then_some(stem)
}

/// `<KEY>-<8 hex>`, or that and a number.
pub(super) fn is_stem(stem: &str) -> bool {
    let mut parts = stem.split('-');
    let (key, content, number, rest) = (parts.next(), parts.next(), parts.next(), parts.next());
    key.is_some_and(|key| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric()))
        && content.is_some_and(|hex| hex.len() == 8 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
        && number.is_none_or(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
        && rest.is_none()
}
