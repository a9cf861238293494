//! What a command prints: data on stdout, talk on stderr. With `--json`, one document on stdout.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::OnceLock;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::json;

use super::exit_code::ExitCode;
use crate::words::terminal;

/// Why output was lost. A command goes on without it: what it does is not done for the sake of what it says.
static LOST: OnceLock<String> = OnceLock::new();

/// Was it written, or is nobody there to read it? Whoever closes the pipe early (`| head`) has seen enough. Notes where
/// neither is so.
pub(super) fn written(written: io::Result<()>) -> bool {
    let Err(error) = written else { return true };
    if error.kind() != io::ErrorKind::BrokenPipe {
        let _ = LOST.set(error.to_string());
        return false;
    }
    true
}

/// How the program ends where its command ended so: lost output is a failure, because a script takes what is there for all.
pub(super) fn ended(code: ExitCode) -> ExitCode {
    let Some(why) = LOST.get() else { return code };
    let mut err = io::stderr();
    let _ = writeln!(err, "error: The output could not be written to stdout, and is not whole: {why}");
    let _ = writeln!(err, "hint: make room where it goes, or send it elsewhere, and give the command again");
    if matches!(code, ExitCode::Ok | ExitCode::Warned) { ExitCode::Failed } else { code }
}

/// Where and how a command prints.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    /// One JSON document.
    pub(super) json: bool,
    /// Say only what went wrong.
    pub(super) quiet: bool,
}

/// Why a command did not do what it should.
#[derive(Debug)]
pub(super) struct CliError {
    /// How the program ends.
    pub(super) code: ExitCode,
    /// What was being done, and what went wrong.
    pub(super) message: String,
    /// What to do about it.
    pub(super) hint: Option<String>,
}

impl CliError {
    /// An error with its causes.
    pub(super) fn of(code: ExitCode, error: &dyn std::error::Error, hint: Option<String>) -> Self {
        Self { code, message: crate::words::chain(error), hint }
    }

    /// The same, with what stands for the job in place of the word `JOB`.
    pub(super) fn for_job(self, job: &str) -> Self {
        Self { hint: self.hint.map(|hint| crate::words::for_job(&hint, job)), ..self }
    }

    /// A command line that makes no sense.
    pub(super) fn usage(message: impl Into<String>, hint: Option<String>) -> Self {
        Self { code: ExitCode::Usage, message: message.into(), hint }
    }
}

impl From<crate::store::StoreError> for CliError {
    fn from(error: crate::store::StoreError) -> Self {
        use crate::store::StoreError;
        let code = match error {
            StoreError::BadSpec { .. } | StoreError::NotFound { .. } | StoreError::Ambiguous { .. } => {
                ExitCode::Usage
            }
            StoreError::Busy { .. } => ExitCode::Busy,
            StoreError::Cancelled => ExitCode::Interrupted,
            _ => ExitCode::Failed,
        };
        Self::of(code, &error, error.hint())
    }
}

impl From<crate::identity::IdentityError> for CliError {
    fn from(error: crate::identity::IdentityError) -> Self {
        match error {
            crate::identity::IdentityError::Store(error) => error.into(),
            _ => Self::of(ExitCode::Failed, &error, error.hint()),
        }
    }
}

impl From<crate::app::FoundingError> for CliError {
    fn from(error: crate::app::FoundingError) -> Self {
        match error {
            crate::app::FoundingError::History(error) => error.into(),
            crate::app::FoundingError::Store(error) => error.into(),
        }
    }
}

impl From<crate::standing::StandingError> for CliError {
    fn from(error: crate::standing::StandingError) -> Self {
        match error {
            crate::standing::StandingError::History(error) => error.into(),
            crate::standing::StandingError::Store(error) => error.into(),
        }
    }
}

impl From<crate::history::HistoryError> for CliError {
    fn from(error: crate::history::HistoryError) -> Self {
        use crate::history::HistoryError;
        let code = match error {
            HistoryError::UnknownRun { .. } | HistoryError::AmbiguousRun { .. } => ExitCode::Usage,
            _ => ExitCode::Failed,
        };
        Self::of(code, &error, error.hint())
    }
}

impl Output {
    /// Prints the result of a command: as JSON, or as text for a person.
    pub(super) fn result(self, value: &impl Serialize, text: impl FnOnce() -> String) {
        if self.json {
            let document =
                serde_json::to_string_pretty(value).unwrap_or_else(|e| format!("{{\"error\":\"{e}\"}}"));
            self.data(&format!("{document}\n"));
        } else {
            self.data(&terminal(&text()));
        }
    }

    /// Prints data. What cannot be written, as into a file on a full disk, stands on stderr; that it is so is told at the
    /// end.
    #[expect(clippy::unused_self, reason = "printing goes through an Output")]
    pub(super) fn data(self, text: &str) {
        let mut out = io::stdout().lock();
        if !written(out.write_all(text.as_bytes()).and_then(|()| out.flush())) {
            let _ = io::stderr().write_all(text.as_bytes());
        }
    }

    /// Says something to the person at the terminal.
    pub(super) fn say(self, text: &str) {
        if !self.quiet {
            let _ = writeln!(io::stderr(), "{}", terminal(text));
        }
    }

    /// Says why a command did not do what it should, and gives its exit code.
    pub(super) fn fail(self, error: &CliError) -> ExitCode {
        if self.json {
            let document =
                json!({ "error": error.message, "hint": error.hint, "exit_code": error.code.number() });
            self.data(&format!("{document:#}\n"));
        } else {
            self.complain(error);
        }
        error.code
    }

    /// Says what went wrong, beside the data that there are all the same.
    #[expect(clippy::unused_self, reason = "printing goes through an Output")]
    pub(super) fn complain(self, error: &CliError) {
        let mut err = io::stderr();
        let _ = writeln!(err, "error: {}", terminal(&error.message));
        if let Some(hint) = &error.hint {
            let _ = writeln!(err, "hint: {}", terminal(hint));
        }
    }

    /// Whoever reads the result has just seen the steps on the same screen.
    pub(super) fn steps_were_seen(self) -> bool {
        !self.quiet && !self.json && io::stdout().is_terminal() && io::stderr().is_terminal()
    }

    /// A question can be asked and answered.
    pub(super) fn can_ask(self) -> bool {
        !self.json && io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Asks a question that only a plain yes answers.
    #[expect(clippy::unused_self, reason = "asking goes through an Output")]
    pub(super) fn ask(self, question: &str) -> bool {
        let _ = write!(io::stderr(), "{} [y/N] ", terminal(question));
        let _ = io::stderr().flush();
        let mut answer = String::new();
        let read = io::stdin().read_line(&mut answer);
        read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    }
}

/// A table without lines, as wide as the terminal.
pub(super) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.set_header(header.iter().map(|name| name.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}
