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
        let (operator, text) = match &self.value {
            Pattern::Exact(text) => ("=", text),
            Pattern::NotExact(text) => ("!=", text),
            Pattern::Regex(regex) => ("=~", &regex.text),
            Pattern::NotRegex(regex) => ("!~", &regex.text),
        };
        write!(f, "{}{operator}{text:?}", self.name)
    }
}

/// What a value must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// Exactly this.
    Exact(String),
    /// Anything but this.
    NotExact(String),
    /// As a regular expression says it of the whole value.
    Regex(Anchored),
    /// Not so.
    NotRegex(Anchored),
}

/// A regular expression, which has to hold for the whole value as in Prometheus.
#[derive(Debug, Clone)]
pub struct Anchored {
    /// As it was written.
    text: String,
    /// The same, anchored at both ends.
    regex: Regex,
}

/// A text is no regular expression, or one that would take too much memory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct PatternError {
    problem: String,
}

impl Anchored {
    /// Reads it.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        // By itself first: a parenthesis of its own must not close ours.
        let compiled = Regex::new(text).and_then(|_| Regex::new(&format!("^(?s:{text})$")));
        let regex = compiled.map_err(|error| {
            // The last line says what is wrong; those before it show the expression.
            let problem = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
            PatternError { problem: problem.trim_start_matches("error: ").to_owned() }
        })?;
        Ok(Self { text: text.to_owned(), regex })
    }
}

impl PartialEq for Anchored {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Anchored {}

impl Pattern {
    /// Whether a value is so.
    pub fn holds(&self, value: &str) -> bool {
        match self {
            Self::Exact(text) => text == value,
            Self::NotExact(text) => text != value,
            Self::Regex(anchored) => anchored.regex.is_match(value),
            Self::NotRegex(anchored) => !anchored.regex.is_match(value),
        }
    }
}

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
        let matcher =
            |text: &str| Matcher { name: "job".into(), value: Pattern::Regex(Anchored::new(text).unwrap()) };
        assert!(matcher("a|b").holds(&labels(&[("job", "b")])));
        // Of an alternative too each one is anchored.
        assert!(!matcher("a|b").holds(&labels(&[("job", "ab")])));
        assert!(!matcher("app").holds(&labels(&[("job", "my-app")])));
        assert!(matcher(".*app.*").holds(&labels(&[("job", "my\napp")])));
    }

    #[test]
    fn what_must_not_be_so_holds_for_all_else_also_where_the_label_is_not_there() {
        let matcher = |value| Matcher { name: "env".into(), value };
        let not_test = matcher(Pattern::NotExact("test".into()));
        let neither = matcher(Pattern::NotRegex(Anchored::new("test|stage").unwrap()));
        for (env, wanted) in [
            ("prod", (true, true)),
            ("test", (false, false)),
            ("stage", (true, false)),
            ("tests", (true, true)),
        ] {
            let labels = labels(&[("env", env)]);
            assert_eq!((not_test.holds(&labels), neither.holds(&labels)), wanted, "{env}");
        }
        assert!(not_test.holds(&Labels::new()) && neither.holds(&Labels::new()));
        assert_eq!(
            (not_test.to_string().as_str(), neither.to_string().as_str()),
            ("env!=\"test\"", "env!~\"test|stage\"")
        );
    }

    #[test]
    fn a_label_that_is_not_there_is_empty_as_in_prometheus() {
        let any = Matcher { name: "team".into(), value: Pattern::Regex(Anchored::new(".*").unwrap()) };
        let some = Matcher { name: "team".into(), value: Pattern::Regex(Anchored::new(".+").unwrap()) };
        assert!(any.holds(&Labels::new()) && !some.holds(&Labels::new()));
        assert!(Matcher::exact("team", "").holds(&Labels::new()));
    }

    #[test]
    fn what_is_no_regular_expression_says_why() {
        assert_eq!(Anchored::new("(a").unwrap_err().to_string(), "unclosed group");
        assert!(Anchored::new("a)|(b").is_err());
        assert!(Anchored::new("(?:a{1000}){1000}").is_err());
    }
}
