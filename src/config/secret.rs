//! Gets a secret from where the configuration says it is, at the moment it is needed.
//!
//! No error here holds any part of a secret: they name the variable, file or credential only.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::values::{Secret, SecretRef};

/// The folder systemd puts credentials in.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// No secret is longer; a file that is, is not one.
const LONGEST: u64 = 64 * 1024;

/// Reads a variable of the environment.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Why a secret is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set.
    #[error("The environment variable {name} is not set")]
    NotSet {
        /// The variable.
        name: String,
    },
    /// systemd gave no credentials.
    #[error(
        "There is no credential {name:?}: {CREDENTIALS} is not set, so systemd gave none; add LoadCredential={name}:/path to the unit"
    )]
    NoCredentials {
        /// The credential asked for.
        name: String,
    },
    /// The file cannot be read.
    #[error("Cannot read the secret in {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is something, but it cannot be a secret.
    #[error("The secret from {from} {why}")]
    Unusable {
        /// Where it is from: a variable or a file.
        from: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl SecretError {
    /// Whether trying again may help: never, somebody has to put the secret there.
    pub fn is_transient(&self) -> bool {
        false
    }
}

/// Gets the secret.
pub fn resolve(reference: &SecretRef, env: Env<'_>) -> Result<Secret, SecretError> {
    match reference {
        SecretRef::Plain(secret) => Ok(secret.clone()),
        SecretRef::Env(name) => {
            let text = env(name).ok_or_else(|| SecretError::NotSet { name: name.clone() })?;
            usable(text, || format!("the environment variable {name}"))
        }
        SecretRef::File(path) => read(path),
        SecretRef::Credential(name) => read(&credential(name, env)?),
    }
}

/// Whether there is something where the secret should be. Nothing is read.
pub fn is_there(reference: &SecretRef, env: Env<'_>) -> Result<(), SecretError> {
    match reference {
        SecretRef::Plain(_) => Ok(()),
        SecretRef::Env(name) => env(name).map(drop).ok_or_else(|| SecretError::NotSet { name: name.clone() }),
        SecretRef::File(path) => exists(path),
        SecretRef::Credential(name) => exists(&credential(name, env)?),
    }
}

fn credential(name: &str, env: Env<'_>) -> Result<PathBuf, SecretError> {
    let folder = env(CREDENTIALS).ok_or_else(|| SecretError::NoCredentials { name: name.to_owned() })?;
    Ok(Path::new(&folder).join(name))
}

fn exists(path: &Path) -> Result<(), SecretError> {
    let failed = |source| SecretError::File { path: path.to_owned(), source };
    let is_folder = std::fs::metadata(path).map_err(failed)?.is_dir();
    if is_folder { Err(failed(io::ErrorKind::IsADirectory.into())) } else { Ok(()) }
}

fn read(path: &Path) -> Result<Secret, SecretError> {
    let failed = |source| SecretError::File { path: path.to_owned(), source };
    let from = || path.display().to_string();
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LONGEST {
        return Err(SecretError::Unusable { from: from(), why: "is longer than 64 KiB" });
    }
    let mut text = String::from_utf8(bytes)
        .map_err(|_| SecretError::Unusable { from: from(), why: "is not UTF-8 text" })?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    usable(text, from)
}

fn usable(text: String, from: impl Fn() -> String) -> Result<Secret, SecretError> {
    if text.is_empty() {
        Err(SecretError::Unusable { from: from(), why: "is empty" })
    } else if text.contains(['\n', '\r', '\0']) {
        Err(SecretError::Unusable { from: from(), why: "has more than one line" })
    } else {
        Ok(Secret::new(text))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file
    }

    fn message(reference: &SecretRef, env: Env<'_>) -> String {
        let error = resolve(reference, env).unwrap_err();
        assert!(!error.is_transient());
        error.to_string()
    }

    #[test]
    fn a_secret_comes_from_the_environment() {
        let reference = SecretRef::Env("GRAFANA_PASSWORD".to_owned());
        let env = |name: &str| (name == "GRAFANA_PASSWORD").then(|| "hunter2".to_owned());
        assert_eq!(resolve(&reference, &env).unwrap().expose(), "hunter2");
        assert!(is_there(&reference, &env).is_ok());
        assert!(is_there(&reference, &nothing).is_err());
        assert_eq!(message(&reference, &nothing), "The environment variable GRAFANA_PASSWORD is not set");
        let empty = |_: &str| Some(String::new());
        assert_eq!(
            message(&reference, &empty),
            "The secret from the environment variable GRAFANA_PASSWORD is empty"
        );
    }

    #[test]
    fn one_trailing_newline_of_a_file_is_not_part_of_the_secret() {
        let cases =
            [("hunter2", "hunter2"), ("hunter2\n", "hunter2"), ("hunter2\r\n", "hunter2"), (" a ", " a ")];
        for (content, wanted) in cases {
            let file = file(content.as_bytes());
            let reference = SecretRef::File(file.path().to_owned());
            assert_eq!(resolve(&reference, &nothing).unwrap().expose(), wanted);
        }
    }

    #[test]
    fn a_credential_is_a_file_in_the_folder_systemd_names() {
        let folder = tempfile::tempdir().unwrap();
        File::create(folder.path().join("grafana")).unwrap().write_all(b"hunter2\n").unwrap();
        let path = folder.path().to_str().unwrap().to_owned();
        let env = move |name: &str| (name == CREDENTIALS).then(|| path.clone());
        let reference = SecretRef::Credential("grafana".to_owned());
        assert_eq!(resolve(&reference, &env).unwrap().expose(), "hunter2");
        assert!(is_there(&reference, &env).is_ok());
        assert!(is_there(&SecretRef::Credential("other".to_owned()), &env).is_err());
        assert!(message(&reference, &nothing).contains("add LoadCredential=grafana:/path to the unit"));
    }

    #[test]
    fn a_file_that_cannot_be_a_secret_is_refused_without_showing_it() {
        let long = vec![b'x'; 70_000];
        let cases: [(&[u8], &str); 4] = [
            (b"", "is empty"),
            (b"hunter2\nmore", "has more than one line"),
            (b"hunter2\xff", "is not UTF-8 text"),
            (&long, "is longer than 64 KiB"),
        ];
        for (content, why) in cases {
            let file = file(content);
            let text =
                format!("{:?}", resolve(&SecretRef::File(file.path().to_owned()), &nothing).unwrap_err());
            assert!(text.contains(why), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn a_missing_file_and_a_folder_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("absent")] {
            let reference = SecretRef::File(path.clone());
            assert_eq!(
                message(&reference, &nothing),
                format!("Cannot read the secret in {}", path.display())
            );
            assert!(is_there(&reference, &nothing).is_err());
        }
    }
}
