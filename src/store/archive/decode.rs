//! From stored bytes to the tar: the codec is told by how the bytes begin, not by the name of the file.
//!
//! Archives of ours are unpacked side by side. What `tar`, `gzip` or `zstd` made tells nobody where its parts begin,
//! and is unpacked as a stream.

use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::BLOCK;
use super::parallel::Parallel;
use super::piece::Format;
use crate::config::values::Codec;
use crate::regular;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The last four bits of a skippable frame's magic number are free.
const ZSTD_SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];
/// Largest window of a Zstandard frame that is taken, as a power of two: it is memory.
const LARGEST_WINDOW: u32 = 25;

/// The codec of bytes that begin so. Of a plain tar, its first header has to be there.
pub(super) fn detect(start: &[u8]) -> Option<Codec> {
    let skippable =
        start.first().is_some_and(|b| b & 0xf0 == 0x50) && start[1..].starts_with(&ZSTD_SKIPPABLE);
    if start.starts_with(&GZIP) {
        Some(Codec::Gzip)
    } else if start.starts_with(&ZSTD) || skippable {
        Some(Codec::Zstd)
    } else if start.get(257..262) == Some(b"ustar") {
        Some(Codec::None)
    } else {
        None
    }
}

/// Whether the file begins as an archive does.
pub fn is_archive(path: &Path) -> io::Result<bool> {
    Ok(detect(&start(&mut regular::open_named(path)?)?).is_some())
}

fn start(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut start = Vec::with_capacity(BLOCK);
    reader.take(BLOCK as u64).read_to_end(&mut start)?;
    Ok(start)
}

/// The tar in what `reader` gives. What is no archive at all is given as it is: the tar reader says what is wrong.
pub(super) fn open<'a>(mut reader: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let start = start(&mut reader)?;
    let (codec, ours) = (detect(&start).unwrap_or(Codec::None), Format::detect(&start));
    let whole = Cursor::new(start).chain(reader);
    if let Some(format) = ours {
        return Ok(Box::new(Parallel::new(whole, format)?));
    }
    let buffered = BufReader::with_capacity(1 << 20, whole);
    Ok(match codec {
        // MultiGzDecoder: a plain GzDecoder stops after the first member and calls that the end.
        Codec::Gzip => Box::new(MultiGzDecoder::new(buffered)),
        Codec::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(buffered)?;
            decoder.window_log_max(LARGEST_WINDOW)?;
            Box::new(decoder)
        }
        Codec::None => Box::new(buffered),
    })
}
