//! Any name as the name of a file.

use std::fmt::Write as _;

use crate::store::digest;

/// A file system takes 255 bytes, and an ending comes behind it.
const LONGEST: usize = 160;

/// Letters, digits and a few signs stay; the rest is written as in a URL. What is too long is cut, and a part of the
/// hash of all of it stands for the rest: the object itself says what it is called.
pub(super) fn of_file(name: &str) -> String {
    let mut coded = String::with_capacity(name.len());
    for (place, byte) in name.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || b"-_".contains(&byte) || (byte == b'.' && place > 0);
        if plain {
            coded.push(char::from(byte));
        } else {
            let _ = write!(coded, "%{byte:02X}");
        }
    }
    if coded.is_empty() || coded.len() > LONGEST {
        // `~` is never written otherwise.
        coded.truncate(LONGEST - 17);
        let _ = write!(coded, "~{}", &digest::sha256(name.as_bytes())[..16]);
    }
    coded
}
