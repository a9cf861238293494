//! The exit codes, documented in README.

use crate::history::RunReport;
use crate::jobs::Outcome;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// All went well.
    Ok,
    /// Something failed; also a restore or change that was taken back.
    Failed,
    /// The command line makes no sense, names an unknown job, or asks a question that nobody can answer.
    Usage,
    /// Finished, with warnings.
    Warned,
    /// A restore or change failed and what was there before is not back.
    DataNotBack,
    /// The job or its target is in use elsewhere, or a daemon already runs on this `state_dir`.
    Busy,
    /// The configuration is wrong.
    Config,
    /// Interrupted by a signal.
    Interrupted,
}

impl ExitCode {
    /// The number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Warned => 3,
            Self::DataNotBack => 4,
            Self::Busy => 75,
            Self::Config => 78,
            Self::Interrupted => 130,
        }
    }

    /// How a run ended.
    pub fn of(report: &RunReport) -> Self {
        match report.outcome {
            _ if report.data_not_back => Self::DataNotBack,
            Some(Outcome::Done) => Self::Ok,
            Some(Outcome::Warned) => Self::Warned,
            Some(Outcome::Failed) | None => Self::Failed,
            // It was begun, and refused what was asked for: that is no better when it is tried later.
            Some(Outcome::Skipped) if !report.attempts.is_empty() => Self::Failed,
            Some(Outcome::Skipped) => Self::Busy,
            Some(Outcome::Interrupted) => Self::Interrupted,
        }
    }

    /// Several endings in one: the worst, in the order 4, 1, 78, 75, 3, 0; an interruption is told above all.
    pub fn worst(codes: impl IntoIterator<Item = Self>) -> Self {
        const ORDER: [ExitCode; 7] = [
            ExitCode::DataNotBack,
            ExitCode::Interrupted,
            ExitCode::Failed,
            ExitCode::Config,
            ExitCode::Usage,
            ExitCode::Busy,
            ExitCode::Warned,
        ];
        let codes: Vec<Self> = codes.into_iter().collect();
        ORDER.into_iter().find(|code| codes.contains(code)).unwrap_or(Self::Ok)
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_jobs_end_with_the_worst() {
        use ExitCode::{Busy, Config, DataNotBack, Failed, Ok, Warned};
        assert_eq!(ExitCode::worst([Ok, Warned, Busy]), Busy);
        assert_eq!(ExitCode::worst([Busy, Config, Failed, Warned]), Failed);
        assert_eq!(ExitCode::worst([Failed, DataNotBack]), DataNotBack);
        assert_eq!(ExitCode::worst([]), Ok);
    }
}
