//! The 512 bytes before an entry.

use super::BLOCK;
use super::error::ArchiveError;

pub(super) type Block = [u8; BLOCK];

/// What a header announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Announces {
    File,
    Folder,
    /// Attributes of the entry that follows.
    Pax,
    /// Attributes of all that follow.
    PaxGlobal,
    /// The name of the entry that follows.
    GnuName,
    /// Something that we do not take, and what it is.
    Refused(&'static str),
}

/// A header whose checksum was right. Numbers are optional because attributes before it may overrule them.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) name: Vec<u8>,
    pub(super) announces: Announces,
    pub(super) size: Option<u64>,
    pub(super) mode: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<u64>,
}

impl Header {
    /// Parses the block at `at`.
    pub(super) fn parse(block: &Block, at: u64) -> Result<Self, ArchiveError> {
        let malformed = |problem| ArchiveError::Malformed { at, problem };
        if number(&block[148..156]) != Some(checksum(block)) {
            return Err(malformed("wrong header checksum"));
        }
        Ok(Self {
            name: full_name(block),
            announces: announces(block[156]),
            size: number(&block[124..136]),
            mode: number(&block[100..108]),
            uid: number(&block[108..116]),
            gid: number(&block[116..124]),
            mtime: time(&block[136..148]),
        })
    }
}

/// The sum of all bytes, those of the checksum itself counted as spaces.
pub(super) fn checksum(block: &Block) -> u64 {
    let all: u64 = block.iter().map(|b| u64::from(*b)).sum();
    let own: u64 = block[148..156].iter().map(|b| u64::from(*b)).sum();
    all - own + 8 * u64::from(b' ')
}

fn announces(kind: u8) -> Announces {
    match kind {
        0 | b'0' => Announces::File,
        b'5' => Announces::Folder,
        b'x' => Announces::Pax,
        b'g' => Announces::PaxGlobal,
        b'L' => Announces::GnuName,
        b'1' => Announces::Refused("it is a hard link"),
        b'2' | b'K' => Announces::Refused("it is a symbolic link"),
        b'3' | b'4' => Announces::Refused("it is a device"),
        b'6' => Announces::Refused("it is a pipe"),
        b'S' => Announces::Refused("it is a sparse file"),
        _ => Announces::Refused("it is neither a file nor a folder"),
    }
}

fn full_name(block: &Block) -> Vec<u8> {
    let name = text(&block[..100]);
    // Only POSIX tars have a prefix; GNU puts other things there.
    let prefix = if &block[257..263] == b"ustar\0" { text(&block[345..500]) } else { &[] };
    if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
}

/// The bytes up to the first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or_default()
}

/// An octal number, or a binary one where the first bit is set. `None` if it is negative or does not fit.
fn number(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 == 0 {
        return octal(field);
    }
    let high = if first & 0x40 == 0 { u64::from(first & 0x3f) } else { return None };
    rest.iter().try_fold(high, |n, byte| n.checked_mul(256)?.checked_add(u64::from(*byte)))
}

fn octal(field: &[u8]) -> Option<u64> {
    let digits = field.trim_ascii_start();
    let end = digits.iter().position(|b| matches!(b, 0 | b' ')).unwrap_or(digits.len());
    digits[..end].iter().try_fold(0_u64, |n, digit| match digit {
        b'0'..=b'7' => n.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// Times before 1970 are no error; they count as 1970.
fn time(field: &[u8]) -> Option<u64> {
    if field[0] & 0xc0 == 0xc0 { Some(0) } else { number(field) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary_and_never_negative() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"  644 \0\0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"77777777777\0"), Some(0o777_7777_7777));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\x02\0\0\0\0"), Some(2 << 32));
        assert_eq!(number(&[0xff; 12]), None);
        assert_eq!(number(b"\x80\0\0\x01\0\0\0\0\0\0\0\0"), None);
        assert_eq!(number(b"0000698\0"), None);
        assert_eq!(number(b"-000064\0"), None);
        assert_eq!(time(&[0xff; 12]), Some(0));
    }
}
