//! What can go wrong before a program runs.

use std::io;

use crate::docker::DockerError;
use crate::rights;

/// A program could not be run.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started.
    #[error("Cannot run {program}")]
    NotRun {
        /// The program.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// There is no such folder to run it in.
    #[error("Cannot run {program} in {directory}: there is no such folder")]
    NoDirectory {
        /// The program.
        program: String,
        /// The folder.
        directory: String,
    },
    /// It may not be started as that user.
    #[error("Cannot run {program} as {user}: this is not root")]
    NotThatUser {
        /// The program.
        program: String,
        /// The user, as it was given.
        user: String,
    },
    /// It may not be started in that folder.
    #[error("Cannot run {program} in {directory}: this user may not enter that folder")]
    ClosedDirectory {
        /// The program.
        program: String,
        /// The folder.
        directory: String,
    },
    /// There is no such user.
    #[error("There is no user {user:?} on this host")]
    NoUser {
        /// As it was given.
        user: String,
    },
    /// The users of this host cannot be looked up.
    #[error("Cannot look up the user {user:?}")]
    Users {
        /// As it was given.
        user: String,
        /// Why not.
        source: io::Error,
    },
    /// An earlier run may have left it running in the container.
    #[error(
        "A run that was cut off may have left {program} running in container {container:?}, which cannot be ended: {why}"
    )]
    LeftInside {
        /// The program.
        program: String,
        /// The container.
        container: String,
        /// Why not.
        why: String,
    },
    /// Docker could not run it.
    #[error(transparent)]
    Docker(#[from] DockerError),
}

impl CommandError {
    /// The same may work a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Docker(error) => error.is_transient(),
            _ => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotRun { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => {
                    Some("give its whole path; a pipe or a $VARIABLE needs shell = true".into())
                }
                io::ErrorKind::PermissionDenied => {
                    let chmod = "is it executable? `chmod +x` makes it so";
                    Some(format!("{chmod}; else {}", rights::files_hint("the program")))
                }
                _ => None,
            },
            Self::NotThatUser { user, .. } => Some(rights::user_hint(user)),
            Self::ClosedDirectory { .. } => Some(rights::files_hint("that folder")),
            Self::LeftInside { container, .. } => Some(format!(
                "`docker top {container}` shows whether it runs still; `docker restart {container}` ends all that runs there"
            )),
            Self::NoUser { .. } => Some("`getent passwd` lists the users".into()),
            Self::Docker(error) => error.hint(),
            Self::NoDirectory { .. } | Self::Users { .. } => None,
        }
    }
}
