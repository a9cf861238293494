//! Who is told of an incident that nobody gets the better of, as pure values. Every notifier named here is in the
//! configuration, and tells people.

use std::num::NonZeroU32;
use std::time::Duration;

use super::values::Name;

/// One `[[escalation]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalation {
    /// Only of the alert with this name.
    pub alert: Option<String>,
    /// Only of alerts of this severity.
    pub severity: Option<String>,
    /// When.
    pub when: When,
    /// By these notifiers. Never empty.
    pub to: Vec<Name>,
    /// Who is to come.
    pub contact: String,
    /// What help is needed.
    pub need: String,
    /// What users notice of it; nothing: what the alert says.
    pub impact: Option<String>,
}

/// When somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The alert has fired for so long.
    After(Duration),
    /// It has begun to fire more often than so many times within a while.
    Repeated {
        /// So many times are still borne.
        times: NonZeroU32,
        /// The while. Never zero.
        within: Duration,
    },
}

impl Escalation {
    /// Whether it is about alerts like this.
    pub fn is_for(&self, alert: &str, severity: Option<&str>) -> bool {
        self.alert.as_deref().is_none_or(|wanted| wanted == alert)
            && self.severity.as_deref().is_none_or(|wanted| severity == Some(wanted))
    }

    /// By what it is known that it was told: when, of what and to whom, and not how that is worded.
    pub fn key(&self) -> String {
        let when = match self.when {
            When::After(length) => format!("after {}", length.as_secs()),
            When::Repeated { times, within } => format!("repeated {times} {}", within.as_secs()),
        };
        let to: Vec<&str> = self.to.iter().map(Name::as_str).collect();
        format!("{when} {:?} {:?} {}", self.alert, self.severity, to.join(","))
    }
}
