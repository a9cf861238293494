//! What comes before an entry and overrules its header: PAX attributes and GNU long names.

use super::error::ArchiveError;
use super::header::{self, Announces, Header};
use super::{Entry, EntryKind, paths};

/// Longest block of attributes that is taken.
pub(super) const LONGEST: u64 = 1 << 20;

/// Attributes of the entry that follows.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    path: Option<Vec<u8>>,
    size: Option<u64>,
    mtime: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    refused: Option<&'static str>,
    any: bool,
}

impl Ahead {
    pub(super) fn is_empty(&self) -> bool {
        !self.any
    }

    /// Takes what a header and the bytes behind it say about the next entry.
    pub(super) fn take(&mut self, announces: Announces, bytes: &[u8], at: u64) -> Result<(), ArchiveError> {
        let malformed = |problem| ArchiveError::Malformed { at, problem };
        if announces == Announces::GnuName {
            if self.path.replace(header::text(bytes).to_vec()).is_some() {
                return Err(malformed("an entry is named twice"));
            }
            self.any = true;
            return Ok(());
        }
        let mut global = Self::default();
        let into = if announces == Announces::PaxGlobal { &mut global } else { &mut *self };
        let mut rest = bytes;
        while !rest.is_empty() {
            let (key, value, next) = record(rest).ok_or_else(|| malformed("unreadable PAX attributes"))?;
            into.set(key, value).ok_or_else(|| malformed("unreadable PAX attribute"))?;
            rest = next;
        }
        self.any |= announces == Announces::Pax;
        // A name or size for all entries makes no sense; a comment (git archive) does.
        let senseless = global.path.is_some() || global.size.is_some() || global.refused.is_some();
        if senseless { Err(malformed("a global PAX attribute that we do not take")) } else { Ok(()) }
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"size" => self.size = Some(decimal(value)?),
            b"uid" => self.uid = Some(decimal(value)?),
            b"gid" => self.gid = Some(decimal(value)?),
            b"mtime" => self.mtime = Some(seconds(value)?),
            b"linkpath" => self.refused = Some("it is a link"),
            _ if key.starts_with(b"GNU.sparse") => self.refused = Some("it is a sparse file"),
            _ => {}
        }
        Some(())
    }

    /// The entry that the header and these attributes describe. `None` for the root of the archive.
    pub(super) fn apply(self, header: Header, at: u64) -> Result<Option<Entry>, ArchiveError> {
        let raw = self.path.unwrap_or(header.name);
        let shown = || String::from_utf8_lossy(&raw).into_owned();
        let kind = match header.announces {
            // The only mark of a folder in the oldest tars, and still honoured by GNU tar. Of the whole name: one that is
            // too long for the header is cut there, and may end so where it is cut.
            Announces::File if raw.ends_with(b"/") => EntryKind::Folder,
            Announces::File => EntryKind::File,
            Announces::Folder => EntryKind::Folder,
            Announces::Refused(problem) => return Err(ArchiveError::Refused { path: shown(), problem }),
            _ => return Err(ArchiveError::Malformed { at, problem: "attributes of attributes" }),
        };
        if let Some(problem) = self.refused {
            return Err(ArchiveError::Refused { path: shown(), problem });
        }
        let bad_number = || ArchiveError::Malformed { at, problem: "unreadable number in a header" };
        let small = |n: Option<u64>| n.and_then(|n| u32::try_from(n).ok()).ok_or_else(bad_number);
        let size = self.size.or(header.size).ok_or_else(bad_number)?;
        if kind == EntryKind::Folder && size != 0 {
            return Err(ArchiveError::Refused { path: shown(), problem: "it is a folder with content" });
        }
        let Some(path) = paths::clean(&raw, kind)? else { return Ok(None) };
        Ok(Some(Entry {
            path,
            kind,
            size,
            mode: small(header.mode)? & 0o7777,
            uid: small(self.uid.or(header.uid))?,
            gid: small(self.gid.or(header.gid))?,
            mtime: self.mtime.or(header.mtime).ok_or_else(bad_number)?,
        }))
    }
}

/// The first record (`LENGTH KEY=VALUE\n`) and what is behind it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(8).position(|b| *b == b' ')?;
    let length = usize::try_from(decimal(&bytes[..space])?).ok()?;
    let whole = bytes.get(..length)?;
    let body = whole.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|b| *b == b'=')?;
    Some((&body[..equals], &body[equals + 1..], &bytes[length..]))
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Whole seconds of a decimal fraction; 0 before 1970.
fn seconds(text: &[u8]) -> Option<u64> {
    let before_1970 = text.first() == Some(&b'-');
    let whole = text.split(|b| *b == b'.').next()?;
    if before_1970 { decimal(&whole[1..]).map(|_| 0) } else { decimal(whole) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_split_by_their_length_and_never_beyond_the_end() {
        let (key, value, rest) = record(b"12 path=a/b\n8 x=a=b\n").unwrap();
        assert_eq!((key, value), (&b"path"[..], &b"a/b"[..]));
        assert_eq!(record(rest).unwrap().1, b"a=b");
        for bad in ["", "path=a\n", "99 path=a\n", "3 \n", "0 path=a\n", "1 \n", "8 path=a\n", "10 pathxxa\n"]
        {
            assert_eq!(record(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn times_may_be_fractions_or_lie_before_1970() {
        assert_eq!(seconds(b"1700000000.123"), Some(1_700_000_000));
        assert_eq!(seconds(b"-5.5"), Some(0));
        assert_eq!(seconds(b"x"), None);
    }
}
