//! What a step has seen so far.

use super::{Finding, Severity};

/// What was found, what by, and what that calls for. All of it is as it came: it is made fit to be shown at the end.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) findings: Vec<Finding>,
    pub(super) evidence: Vec<String>,
    pub(super) recommends: Vec<(Severity, String)>,
}

impl Seen {
    pub(super) fn good(&mut self, text: impl Into<String>) {
        self.find(Severity::Good, text);
    }

    pub(super) fn caution(&mut self, text: impl Into<String>) {
        self.find(Severity::Caution, text);
    }

    pub(super) fn bad(&mut self, text: impl Into<String>) {
        self.find(Severity::Bad, text);
    }

    pub(super) fn find(&mut self, severity: Severity, text: impl Into<String>) {
        self.findings.push(Finding { severity, text: text.into() });
    }

    pub(super) fn evidence(&mut self, line: impl Into<String>) {
        self.evidence.push(line.into());
    }

    /// What somebody should do about what is so bad.
    pub(super) fn recommend(&mut self, severity: Severity, text: impl Into<String>) {
        self.recommends.push((severity, text.into()));
    }
}
