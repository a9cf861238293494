//! Which objects are meant: all of a type, or those of a type whose key fits a pattern.

use std::fmt;
use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};

use super::{ObjectId, ObjectType};

/// `dashboards`, `dashboards/UID`, `rule-groups/infra/*`
#[derive(Debug, Clone)]
pub struct Selector {
    kind: ObjectType,
    key: Option<GlobMatcher>,
}

/// A text that selects nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// It does not begin with a type.
    #[error("{name:?} is no type of object in a Grafana")]
    Type {
        /// What stands there.
        name: String,
    },
    /// What follows is no pattern.
    #[error("{pattern:?} is no pattern: {problem}")]
    Pattern {
        /// What stands there.
        pattern: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Selector {
    /// The type it is about.
    pub fn kind(&self) -> ObjectType {
        self.kind
    }

    /// It means every object of its type.
    pub fn is_whole_type(&self) -> bool {
        self.key.is_none()
    }

    /// It means this object.
    pub fn selects(&self, id: &ObjectId) -> bool {
        self.kind == id.kind && self.key.as_ref().is_none_or(|pattern| pattern.is_match(&id.key))
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let (name, key) = text.split_once('/').map_or((text, None), |(name, key)| (name, Some(key)));
        let kind =
            ObjectType::from_name(name).ok_or_else(|| SelectorError::Type { name: name.to_owned() })?;
        let pattern = |key: &str| {
            let glob = GlobBuilder::new(key).backslash_escape(true).build().map_err(|error| {
                SelectorError::Pattern { pattern: key.to_owned(), problem: error.kind().to_string() }
            })?;
            Ok(glob.compile_matcher())
        };
        Ok(Self { kind, key: key.map(pattern).transpose()? })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(pattern) => write!(f, "{}/{}", self.kind, pattern.glob()),
            None => self.kind.fmt(f),
        }
    }
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Selector {}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(selector: &str, kind: ObjectType, key: &str) -> bool {
        let id = ObjectId { organisation: None, kind, key: key.to_owned() };
        selector.parse::<Selector>().unwrap().selects(&id)
    }

    #[test]
    fn a_type_means_all_of_it_and_a_pattern_what_fits() {
        assert!(selects("dashboards", ObjectType::Dashboards, "a"));
        assert!(!selects("dashboards", ObjectType::Folders, "a"));
        assert!(selects("dashboards/scratch-*", ObjectType::Dashboards, "scratch-1"));
        assert!(!selects("dashboards/scratch-*", ObjectType::Dashboards, "a-scratch-1"));
        assert!(selects("rule-groups/infra/*", ObjectType::RuleGroups, "infra/host/basic"));
        assert!(matches!("dashboard".parse::<Selector>(), Err(SelectorError::Type { .. })));
        assert!(matches!("dashboards/[".parse::<Selector>(), Err(SelectorError::Pattern { .. })));
    }
}
