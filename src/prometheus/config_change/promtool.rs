//! What promtool says of a file before the server is given it.

use std::time::Duration;

use super::error::ChangeError;
use super::place::Place;
use super::site::Site;
use crate::docker::{DockerError, ExecCommand};
use crate::service::{self, ServiceError};

/// How long it may take: it reads every file of rules.
const LIMIT: Duration = Duration::from_mins(1);

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Config,
    Rules,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Rules => "rules",
        }
    }
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Checked {
    /// It is good, says the promtool of this place.
    Good(&'static str),
    /// Nobody has looked at it, and why.
    Nobody(String),
}

/// Has promtool look at a file: that of the container, or that of this host.
pub(super) async fn check(site: &Site, kind: Kind, file: &Place) -> Result<Checked, ChangeError> {
    let argv = ["promtool", "check", kind.word(), &file.seen].map(str::to_owned).to_vec();
    match site.container() {
        Some((docker, name)) => {
            let command = ExecCommand { argv, ..ExecCommand::default() };
            match docker.exec_to_end(name, &command, LIMIT).await {
                Ok(ran) if ran.exit_code == Some(0) => Ok(Checked::Good("of the container")),
                Ok(ran) if is_missing(&ran.said) || matches!(ran.exit_code, Some(126 | 127) | None) => {
                    Ok(Checked::Nobody("the container has no promtool".to_owned()))
                }
                Ok(ran) => Err(refused(&ran.said, file)),
                Err(DockerError::Refused { message, .. }) if is_missing(&message) => {
                    Ok(Checked::Nobody("the container has no promtool".to_owned()))
                }
                Err(error) => Err(error.into()),
            }
        }
        None => match service::run_to_end(&argv, LIMIT).await {
            Ok((true, _)) => Ok(Checked::Good("of this host")),
            Ok((false, said)) => Err(refused(&said, file)),
            Err(ServiceError::NotRun { .. }) => Ok(Checked::Nobody("this host has no promtool".to_owned())),
            Err(error) => Err(error.into()),
        },
    }
}

fn is_missing(said: &str) -> bool {
    said.contains("executable file not found") || said.contains("no such file or directory: unknown")
}

/// Its words in one line, with the name that a person knows the file by.
fn refused(said: &str, file: &Place) -> ChangeError {
    let told = said.lines().map(str::trim).filter(|line| {
        !line.is_empty() && !line.starts_with("Checking ") && !line.contains("SUCCESS:") && *line != "FAILED:"
    });
    let told: Vec<&str> = told.map(|line| line.trim_start_matches("FAILED:").trim()).collect();
    let name = file.seen.rsplit('/').next().unwrap_or_default();
    ChangeError::Promtool { said: told.join(" ").replace(&file.seen, "it").replace(name, "it") }
}
