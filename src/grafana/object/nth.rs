//! The keys of objects that have nothing but a name that several may have.

use super::ObjectType;

/// Whether several of an organisation may be called the same, and nothing else tells them apart.
pub(super) const fn may_repeat(kind: ObjectType) -> bool {
    matches!(kind, ObjectType::Playlists | ObjectType::Correlations)
}

/// The key of the `nth` of a name, counted from 1: `Wall`, `Wall (2)`. A name that itself looks so gets a number, too:
/// the first that is called `Wall (2)` is `Wall (2) (1)`. So no two have one key, whatever they are called.
pub fn nth_key(name: &str, nth: usize) -> String {
    if nth == 1 && split(name).is_none() { name.to_owned() } else { format!("{name} ({nth})") }
}

/// Which one of its name a key of [`nth_key`] means, counted from 1.
pub fn nth_of(key: &str) -> usize {
    split(key).map_or(1, |(_, nth)| nth)
}

/// The key of the one before it; none before the first.
pub fn key_before(key: &str) -> Option<String> {
    let (name, nth) = split(key)?;
    (nth > 1).then(|| nth_key(name, nth - 1))
}

fn split(key: &str) -> Option<(&str, usize)> {
    let (name, digits) = key.strip_suffix(')')?.rsplit_once(" (")?;
    let nth: usize = digits.parse().ok()?;
    (nth > 0 && nth.to_string() == digits).then_some((name, nth))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_a_name_has_a_key_that_no_other_name_gets() {
        let keys = ["Wall", "Wall (2)", "Wall (2) (1)", "Wall (0)", "Wall (02)", "Wall()", ""]
            .map(|name| (1..4).map(|nth| (nth_key(name, nth), nth)).collect::<Vec<_>>());
        let keys = keys.concat();
        let different: std::collections::BTreeSet<_> = keys.iter().map(|(key, _)| key).collect();
        assert_eq!(different.len(), keys.len());
        assert!(keys.iter().all(|(key, nth)| nth_of(key) == *nth), "{keys:?}");
        assert_eq!(nth_key("Wall", 1), "Wall");
        assert_eq!(key_before("Wall (2)").as_deref(), Some("Wall"));
        assert_eq!(key_before("Wall (2) (1)"), None);
        assert_eq!(key_before("Wall (2) (2)").as_deref(), Some("Wall (2) (1)"));
        assert_eq!(key_before("Wall"), None);
    }
}
