//! Gets a secret from where the configuration says it is, at the moment it is needed.
//!
//! A credential is given to the service by systemd. Who runs a command by hand, as root, finds it where the unit loads it
//! from: in the folder `credentials` beside `jobs.toml`, or where systemd itself looks for credentials.
//!
//! No error here holds any part of a secret: they name the variable, file or credential only.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::values::{Secret, SecretRef};
use crate::regular;
use crate::rights;

/// The folder systemd puts credentials in.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// No secret is longer; a file that is, is not one.
const LONGEST: u64 = 64 * 1024;

const IS_EMPTY: &str = "is empty";

/// The folder that the shipped drop-in loads credentials from, beside the configuration.
const FOLDER: &str = "credentials";
/// Where systemd looks for a credential of which only the name is given.
const SYSTEMD: &str = "/etc/credstore";
/// How the name of an encrypted one ends.
const ENCRYPTED: &str = ".cred";
/// What tells the secret of one of those, to root.
const DECRYPT: &str = "systemd-creds";

/// Reads a variable of the environment.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Where secrets are looked for.
#[derive(Clone, Copy)]
pub struct Places<'a> {
    /// The environment.
    pub env: Env<'a>,
    /// The configuration's file.
    pub config: &'a Path,
}

/// Why a secret is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set.
    #[error("The environment variable {name} is not set")]
    NotSet {
        /// The variable.
        name: String,
    },
    /// systemd gave no credentials, and there is none where root finds it by hand.
    #[error(
        "There is no credential {name:?}: {CREDENTIALS} is not set, so systemd gave none, and there is no {}",
        paths(looked)
    )]
    NoCredentials {
        /// The credential asked for.
        name: String,
        /// Where it was looked for.
        looked: Vec<PathBuf>,
    },
    /// An encrypted one could not be decrypted.
    #[error("Cannot decrypt the credential in {}: {said}", path.display())]
    Encrypted {
        /// The file.
        path: PathBuf,
        /// What systemd says.
        said: String,
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

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let gives = "(README, \"Who runs it\")";
        match self {
            Self::NoCredentials { name, looked } => looked.first().map(|first| {
                format!(
                    "put it into {}, readable for root alone; the service gets it by LoadCredential={name}:{} in the \
                     drop-in credentials.conf {gives}",
                    first.display(),
                    first.display()
                )
            }),
            Self::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => Some(format!(
                "run it as root, or let the user who runs this read it; to the service the drop-in credentials.conf gives a \
                 secret that only root can read {gives}"
            )),
            Self::Encrypted { .. } => {
                Some(format!("it was encrypted on this machine? root alone can decrypt it, by {DECRYPT}"))
            }
            Self::Unusable { from, .. } => {
                Some(format!("write the secret into {from}, in one line"))
            }
            _ => None,
        }
    }
}

fn paths(looked: &[PathBuf]) -> String {
    let paths: Vec<String> = looked.iter().map(|path| path.display().to_string()).collect();
    paths.join(" and no ")
}

/// Gets the secret.
pub fn resolve(reference: &SecretRef, places: Places<'_>) -> Result<Secret, SecretError> {
    let env = places.env;
    match reference {
        SecretRef::Plain(secret) => Ok(secret.clone()),
        SecretRef::Env(name) => {
            let text = env(name).ok_or_else(|| SecretError::NotSet { name: name.clone() })?;
            usable(text, || format!("the environment variable {name}"))
        }
        SecretRef::File(path) => read(path),
        SecretRef::Credential(name) => match credential(name, places)? {
            Credential::Plain(path) => read(&path),
            Credential::Encrypted(path) => decrypt(name, &path),
        },
    }
}

/// Whether there is something where the secret should be, and this user may read it. No file is read.
pub fn is_there(reference: &SecretRef, places: Places<'_>) -> Result<(), SecretError> {
    match reference {
        SecretRef::Plain(_) => Ok(()),
        SecretRef::Env(_) => resolve(reference, places).map(drop),
        SecretRef::File(path) => exists(path),
        SecretRef::Credential(name) => match credential(name, places)? {
            Credential::Plain(path) | Credential::Encrypted(path) => exists(&path),
        },
    }
}

/// Where a credential is.
enum Credential {
    /// As it is.
    Plain(PathBuf),
    /// By `systemd-creds encrypt`.
    Encrypted(PathBuf),
}

/// What systemd gave counts; without it, what it would give.
fn credential(name: &str, places: Places<'_>) -> Result<Credential, SecretError> {
    if let Some(folder) = (places.env)(CREDENTIALS) {
        return Ok(Credential::Plain(Path::new(&folder).join(name)));
    }
    // As a unit needs it, wherever the configuration was named from.
    let config = std::path::absolute(places.config).unwrap_or_else(|_| places.config.to_owned());
    let beside = config.parent().unwrap_or(Path::new("")).join(FOLDER);
    let (plain, encrypted) = (beside.join(name), beside.join(format!("{name}{ENCRYPTED}")));
    let looked = vec![plain, encrypted, Path::new(SYSTEMD).join(name)];
    // One that may not be seen may be there: reading it says why not.
    let found = looked.iter().find(|path| !is_absent(path));
    match found {
        Some(path)
            if path.extension().is_some_and(|end| end == &ENCRYPTED[1..]) && !name.ends_with(ENCRYPTED) =>
        {
            Ok(Credential::Encrypted(path.clone()))
        }
        Some(path) => Ok(Credential::Plain(path.clone())),
        None => Err(SecretError::NoCredentials { name: name.to_owned(), looked }),
    }
}

fn is_absent(path: &Path) -> bool {
    let kind = std::fs::metadata(path).err().map(|error| error.kind());
    matches!(kind, Some(io::ErrorKind::NotFound | io::ErrorKind::NotADirectory))
}

/// Only root can, and systemd knows how.
fn decrypt(name: &str, path: &Path) -> Result<Secret, SecretError> {
    let failed = |said: String| SecretError::Encrypted { path: path.to_owned(), said };
    let output = std::process::Command::new(DECRYPT)
        .args(["decrypt", &format!("--name={name}")])
        .arg(path)
        .arg("-")
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|error| failed(format!("{DECRYPT} cannot be run: {error}")))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    line(output.stdout, || path.display().to_string())
}

fn exists(path: &Path) -> Result<(), SecretError> {
    let failed = |source| SecretError::File { path: path.to_owned(), source };
    let found = std::fs::metadata(path).map_err(failed)?;
    regular::must_be(&found).map_err(failed)?;
    if found.len() == 0 {
        return Err(SecretError::Unusable { from: path.display().to_string(), why: IS_EMPTY });
    }
    rights::may_read(path).map_err(failed)
}

fn read(path: &Path) -> Result<Secret, SecretError> {
    let failed = |source| SecretError::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = regular::open_named(path).map_err(failed)?;
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    line(bytes, || path.display().to_string())
}

/// One line of text, with or without its end.
fn line(bytes: Vec<u8>, from: impl Fn() -> String) -> Result<Secret, SecretError> {
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
        Err(SecretError::Unusable { from: from(), why: IS_EMPTY })
    } else if text.contains(['\n', '\r', '\0']) {
        Err(SecretError::Unusable { from: from(), why: "has more than one line" })
    } else {
        Ok(Secret::new(text))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    fn places(env: Env<'_>) -> Places<'_> {
        Places { env, config: Path::new("/no/such/folder/jobs.toml") }
    }

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file
    }

    fn message(reference: &SecretRef, env: Env<'_>) -> String {
        let error = resolve(reference, places(env)).unwrap_err();
        assert!(!error.is_transient());
        error.to_string()
    }

    #[test]
    fn a_secret_comes_from_the_environment() {
        let reference = SecretRef::Env("GRAFANA_PASSWORD".to_owned());
        let env = |name: &str| (name == "GRAFANA_PASSWORD").then(|| "hunter2".to_owned());
        assert_eq!(resolve(&reference, places(&env)).unwrap().expose(), "hunter2");
        assert!(is_there(&reference, places(&env)).is_ok());
        assert!(is_there(&reference, places(&nothing)).is_err());
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
            assert_eq!(resolve(&reference, places(&nothing)).unwrap().expose(), wanted);
        }
    }

    #[test]
    fn a_credential_is_a_file_in_the_folder_systemd_names() {
        let folder = tempfile::tempdir().unwrap();
        File::create(folder.path().join("grafana")).unwrap().write_all(b"hunter2\n").unwrap();
        let path = folder.path().to_str().unwrap().to_owned();
        let env = move |name: &str| (name == CREDENTIALS).then(|| path.clone());
        let reference = SecretRef::Credential("grafana".to_owned());
        assert_eq!(resolve(&reference, places(&env)).unwrap().expose(), "hunter2");
        assert!(is_there(&reference, places(&env)).is_ok());
        assert!(is_there(&SecretRef::Credential("other".to_owned()), places(&env)).is_err());
        assert!(
            message(&reference, &nothing).contains("there is no /no/such/folder/credentials/grafana and no ")
        );
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
            let text = format!(
                "{:?}",
                resolve(&SecretRef::File(file.path().to_owned()), places(&nothing)).unwrap_err()
            );
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
            assert!(is_there(&reference, places(&nothing)).is_err());
        }
    }
}
