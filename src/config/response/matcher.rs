//! Whether something has a label, or a field, that is as it must be.

use std::collections::BTreeMap;
use std::fmt;

use regex::Regex;

/// The labels of an alert, by name.
pub type Labels = BTreeMap<String, String>;

/// A label, or a field, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher {
    /// The name.
    pub name: String,
    /// What its value must be.
    pub value: Pattern,
}

impl Matcher {
    /// What must be exactly so.
    pub fn exact(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: Pattern::Exact(value.into()) }
    }

    /// Whether it holds. To a label that is not there Prometheus gives the value "".
    pub fn holds(&self, labels: &Labels) -> bool {
        self.value.holds(labels.get(&self.name).map_or("", String::as_str))
    }
}

impl fmt::Display for Matcher {
    /// As in PromQL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Pattern::Exact(text) => write!(f, "{}={text:?}", self.name),
            Pattern::Regex { text, .. } => write!(f, "{}=~{text:?}", self.name),
        }
    }
}

/// What a value must be.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// Exactly this.
    Exact(String),
    /// As a regular expression says it of the whole value.
    Regex {
        /// As it was written.
        text: String,
        /// The same, anchored at both ends.
        regex: Regex,
    },
}

/// A text is no regular expression, or one that would take too much memory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct PatternError {
    problem: String,
}

impl Pattern {
    /// A regular expression, which has to hold for the whole value as in Prometheus.
    pub fn regex(text: &str) -> Result<Self, PatternError> {
        // By itself first: a parenthesis of its own must not close ours.
        let compiled = Regex::new(text).and_then(|_| Regex::new(&format!("^(?s:{text})$")));
        let regex = compiled.map_err(|error| {
            // The last line says what is wrong; those before it show the expression.
            let problem = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
            PatternError { problem: problem.trim_start_matches("error: ").to_owned() }
        })?;
        Ok(Self::Regex { text: text.to_owned(), regex })
    }

    /// Whether a value is so.
    pub fn holds(&self, value: &str) -> bool {
        match self {
            Self::Exact(text) => text == value,
            Self::Regex { regex, .. } => regex.is_match(value),
        }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(one), Self::Exact(two))
            | (Self::Regex { text: one, .. }, Self::Regex { text: two, .. }) => one == two,
            _ => false,
        }
    }
}

impl Eq for Pattern {}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_value_is_exact_and_a_regular_expression_holds_for_the_whole_of_it() {
        let critical = Matcher::exact("severity", "critical");
        assert!(critical.holds(&labels(&[("severity", "critical"), ("job", "x")])));
        assert!(!critical.holds(&labels(&[("severity", "critical!")])) && !critical.holds(&labels(&[])));
        let matcher = |text: &str| Matcher { name: "job".into(), value: Pattern::regex(text).unwrap() };
        assert!(matcher("a|b").holds(&labels(&[("job", "b")])));
        // Of an alternative too each one is anchored.
        assert!(!matcher("a|b").holds(&labels(&[("job", "ab")])));
        assert!(!matcher("app").holds(&labels(&[("job", "my-app")])));
        assert!(matcher(".*app.*").holds(&labels(&[("job", "my\napp")])));
    }

    #[test]
    fn a_label_that_is_not_there_is_empty_as_in_prometheus() {
        let any = Matcher { name: "team".into(), value: Pattern::regex(".*").unwrap() };
        let some = Matcher { name: "team".into(), value: Pattern::regex(".+").unwrap() };
        assert!(any.holds(&Labels::new()) && !some.holds(&Labels::new()));
        assert!(Matcher::exact("team", "").holds(&Labels::new()));
    }

    #[test]
    fn what_is_no_regular_expression_says_why() {
        assert_eq!(Pattern::regex("(a").unwrap_err().to_string(), "unclosed group");
        assert!(Pattern::regex("a)|(b").is_err());
        assert!(Pattern::regex("(?:a{1000}){1000}").is_err());
    }
}
