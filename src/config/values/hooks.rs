//! Programs, and those that are run around a run.

use std::fmt;
use std::time::Duration;

use super::Veil;

/// Characters of a program that are shown.
const SHOWN: usize = 60;

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// A program and its arguments. Never empty.
    Argv(Vec<String>),
    /// A text for `/bin/sh -c`.
    Shell(String),
}

impl Program {
    /// The program and its arguments.
    pub fn argv(&self) -> Vec<String> {
        match self {
            Self::Argv(argv) => argv.clone(),
            Self::Shell(text) => vec!["/bin/sh".to_owned(), "-c".to_owned(), text.clone()],
        }
    }

    /// In one short line, without what is under the veil: of a secret that was cut the rest would be seen.
    pub fn shown(&self, veil: &Veil) -> String {
        let text = match self {
            Self::Argv(argv) => argv.join(" "),
            Self::Shell(text) => text.clone(),
        };
        let text = veil.over(&text);
        let line = text.lines().next().unwrap_or_default();
        if line.chars().count() <= SHOWN {
            return line.to_owned();
        }
        line.chars().take(SHOWN - 1).chain(['…']).collect()
    }
}

/// When a hook is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Before the work. Where it fails the work is not begun.
    Before,
    /// After work that was done, if with warnings.
    After,
    /// After work that was not done, or was cut off.
    OnFailure,
    /// At the end, however the run ended.
    Finally,
}

impl Moment {
    /// All of them, in the order of a run.
    pub const ALL: [Self; 4] = [Self::Before, Self::After, Self::OnFailure, Self::Finally];

    /// Its key in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::OnFailure => "on_failure",
            Self::Finally => "finally",
        }
    }

    /// The inverse of [`Moment::word`].
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|moment| moment.word() == word)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A program that is run at a [`Moment`] of a run, on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// What is run.
    pub program: Program,
    /// How long it may take. Never zero.
    pub timeout: Duration,
}

/// The hooks of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hooks {
    /// At [`Moment::Before`].
    pub before: Option<Hook>,
    /// At [`Moment::After`].
    pub after: Option<Hook>,
    /// At [`Moment::OnFailure`].
    pub on_failure: Option<Hook>,
    /// At [`Moment::Finally`].
    pub finally: Option<Hook>,
}

impl Hooks {
    /// The hook of a moment, if there is one.
    pub fn at(&self, moment: Moment) -> Option<&Hook> {
        match moment {
            Moment::Before => self.before.as_ref(),
            Moment::After => self.after.as_ref(),
            Moment::OnFailure => self.on_failure.as_ref(),
            Moment::Finally => self.finally.as_ref(),
        }
    }

    /// Those that there are, in the order of a run.
    pub fn all(&self) -> impl Iterator<Item = (Moment, &Hook)> {
        Moment::ALL.into_iter().filter_map(|moment| Some((moment, self.at(moment)?)))
    }
}
