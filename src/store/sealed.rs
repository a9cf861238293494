//! JSON files that carry their own checksum.
//!
//! The last field is the SHA-256 of every byte of the file before its line, so that
//! `sed '/^  "manifest_sha256"/,$d' FILE | sha256sum` prints it and nobody needs this program to check it.

use serde::Serialize;

use super::digest;

/// Why a sealed text is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SealError {
    /// It does not end the way we write it: cut, or edited.
    #[error("it does not end with its {field}: it was cut or changed")]
    NoSeal {
        /// The field that is missed.
        field: &'static str,
    },
    /// The bytes are not those that were written.
    #[error("its bytes do not match its {field}: it was damaged or changed")]
    Mismatch {
        /// The field that does not match.
        field: &'static str,
    },
}

/// The value as pretty JSON with its checksum as the last field. `value` must be a struct or map with a field.
pub(super) fn seal(value: &impl Serialize, field: &'static str) -> serde_json::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value)?;
    if text.ends_with(b"\n}") {
        text.truncate(text.len() - 2);
    }
    text.extend_from_slice(b",\n");
    let hash = digest::sha256(&text);
    text.extend_from_slice(format!("  \"{field}\": \"{hash}\"\n}}\n").as_bytes());
    Ok(text)
}

/// Checks the checksum. The text is what [`seal`] wrote, byte for byte, when this is `Ok`.
pub(super) fn check(bytes: &[u8], field: &'static str) -> Result<(), SealError> {
    let start = format!("  \"{field}\": \"");
    // The line: start, 64 digits, quote, newline, brace, newline.
    let seal_len = start.len() + 64 + "\"\n}\n".len();
    let at = bytes.len().checked_sub(seal_len).ok_or(SealError::NoSeal { field })?;
    let (body, line) = bytes.split_at(at);
    let hash = line.strip_prefix(start.as_bytes()).and_then(|rest| rest.strip_suffix(b"\"\n}\n"));
    let hash = hash.filter(|_| body.ends_with(b",\n")).ok_or(SealError::NoSeal { field })?;
    if digest::sha256(body).as_bytes() == hash { Ok(()) } else { Err(SealError::Mismatch { field }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn sealed() -> Vec<u8> {
        seal(&BTreeMap::from([("a", "x\n  \"test_sha256\": 1"), ("b", "y")]), "test_sha256").unwrap()
    }

    #[test]
    fn a_sealed_text_is_json_and_checks() {
        let bytes = sealed();
        assert_eq!(check(&bytes, "test_sha256"), Ok(()));
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(json["b"], "y");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_detected() {
        let bytes = sealed();
        for i in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[i] ^= 1 << bit;
                assert!(check(&bad, "test_sha256").is_err(), "byte {i} bit {bit}");
            }
            assert!(check(&bytes[..i], "test_sha256").is_err(), "cut at {i}");
        }
    }
}
