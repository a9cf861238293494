//! A path as a file system has it: bytes. Nearly every path is UTF-8 and is written as such; one that is not is written
//! as `{"hex": "…"}` in JSON, and with `%E9` for each byte that is no text in an archive and for a person.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A path, or where a link leads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FilePath(Vec<u8>);

impl FilePath {
    /// As the system takes it.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// As text. Two different paths may be the same text, where one of them is not UTF-8.
    pub fn text(&self) -> Cow<'_, str> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(escaped(&self.0)),
        }
    }

    /// It is this path, or lies below it.
    pub fn is_within(&self, path: &Self) -> bool {
        self.as_path().starts_with(path.as_path())
    }
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

// For a person, in one line: a name with a newline in it must not look like two.
impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text().replace('\n', "\\n"))
    }
}

impl<T: AsRef<OsStr> + ?Sized> From<&T> for FilePath {
    fn from(path: &T) -> Self {
        Self(path.as_ref().as_bytes().to_vec())
    }
}

impl From<FilePath> for PathBuf {
    fn from(path: FilePath) -> Self {
        path.as_path().to_owned()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written<'a> {
    Text(Cow<'a, str>),
    Bytes { hex: String },
}

impl Serialize for FilePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = match std::str::from_utf8(&self.0) {
            Ok(text) => Written::Text(text.into()),
            Err(_) => Written::Bytes { hex: hex(&self.0) },
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for FilePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Text(text) => Ok(Self::from(&*text)),
            Written::Bytes { hex } => bytes(&hex)
                .map(Self)
                .ok_or_else(|| serde::de::Error::custom(format!("{hex:?} is no hexadecimal"))),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut hex = String::new();
    for byte in bytes {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok().filter(|_| pair.len() == 2))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_survives_json_and_text_stays_text() {
        let text = FilePath::from("/etc/prometheus/é.yml");
        assert_eq!(serde_json::to_string(&text).unwrap(), "\"/etc/prometheus/é.yml\"");
        let latin = FilePath::from(OsStr::from_bytes(b"/etc/caf\xe9.yml"));
        let json = serde_json::to_string(&latin).unwrap();
        assert_eq!(json, r#"{"hex":"2f6574632f636166e92e796d6c"}"#);
        assert_eq!(latin.to_string(), "/etc/caf%E9.yml");
        for path in [text, latin] {
            let json = serde_json::to_string(&path).unwrap();
            assert_eq!(serde_json::from_str::<FilePath>(&json).unwrap(), path);
        }
        for bad in [r#"{"hex":"2"}"#, r#"{"hex":"zz"}"#, r#"{"hex":"2f6"}"#, "7"] {
            assert!(serde_json::from_str::<FilePath>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn within_goes_by_whole_names() {
        let within = |path: &str, folder: &str| FilePath::from(path).is_within(&folder.into());
        assert!(within("/etc/prom/a", "/etc/prom") && within("/etc/prom", "/etc/prom"));
        assert!(!within("/etc/prometheus", "/etc/prom"));
    }
}
