//! One gzip member (RFC 1952) per piece, with its own length in the header.
//!
//! | bytes | |
//! |---|---|
//! | 0 to 9 | the gzip header, with FEXTRA and no time |
//! | 10, 11 | 12, the length of the extra field |
//! | 12 to 15 | `WK`, 8: our subfield and its length |
//! | 16 to 19 | the length of the whole member |
//! | 20 to 23 | CRC-32 of the 20 bytes before |
//!
//! What follows is as in any other member. libdeflate packs it, in one go and several times as fast as zlib.

use std::io;

use libdeflater::{CompressionLvl, Compressor, Decompressor, crc32};

use super::piece::{LARGEST, Piece, damaged, number};

/// Bytes up to the compressed ones.
pub(super) const HEAD: usize = 24;
/// CRC-32 and length of the content.
const TAIL: usize = 8;
/// Everything before the length.
const START: [u8; 16] = *b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x0c\0WK\x08\0";

/// Whether a stream of our members begins so. The rest of the head may be damaged: then it is refused, where a
/// reader that follows it would miss what a wrong length of the extra field skips.
pub(super) fn is_ours(start: &[u8]) -> bool {
    start.starts_with(&START[..4]) && start.get(12..14) == Some(&START[12..14])
}

/// The length of the member with this head, if that is one of ours.
pub(super) fn length(head: &[u8]) -> Option<usize> {
    let right = head.starts_with(&START) && number(&head[20..24]) == Some(crc32(&head[..20]));
    number(&head[16..20]).filter(|_| right).and_then(|length| usize::try_from(length).ok())
}

pub(super) struct Packer(Compressor);

impl Packer {
    pub(super) fn new(level: u32) -> io::Result<Self> {
        let level = i32::try_from(level.clamp(1, 9)).unwrap_or(1);
        let level = CompressionLvl::new(level).map_err(|_| io::ErrorKind::InvalidInput)?;
        Ok(Self(Compressor::new(level)))
    }

    pub(super) fn pack(&mut self, piece: &mut Piece) -> io::Result<()> {
        let Piece { raw, packed } = piece;
        let bound = self.0.deflate_compress_bound(raw.len());
        packed.resize(HEAD + bound, 0);
        let compressed = self.0.deflate_compress(raw, &mut packed[HEAD..]).map_err(io::Error::other)?;
        packed.truncate(HEAD + compressed);
        packed.extend_from_slice(&crc32(raw).to_le_bytes());
        packed.extend_from_slice(&number_of(raw.len())?);
        packed[..16].copy_from_slice(&START);
        let length = number_of(packed.len())?;
        packed[16..20].copy_from_slice(&length);
        let check = crc32(&packed[..20]).to_le_bytes();
        packed[20..24].copy_from_slice(&check);
        Ok(())
    }
}

fn number_of(length: usize) -> io::Result<[u8; 4]> {
    u32::try_from(length).map(u32::to_le_bytes).map_err(io::Error::other)
}

pub(super) struct Unpacker(Decompressor);

impl Unpacker {
    pub(super) fn new() -> Self {
        Self(Decompressor::new())
    }

    /// Unpacks exactly the member: its end has to be where its header says.
    pub(super) fn unpack(&mut self, piece: &mut Piece) -> io::Result<()> {
        let Piece { raw, packed } = piece;
        let tail = packed.len().checked_sub(TAIL).filter(|at| *at >= HEAD);
        let tail = tail.map(|at| &packed[at..]).ok_or_else(|| damaged("a gzip member is too short"))?;
        let (check, size) = (number(&tail[..4]), number(&tail[4..]));
        let size = size.and_then(|size| usize::try_from(size).ok()).filter(|size| *size <= LARGEST);
        raw.resize(size.ok_or_else(|| damaged("a gzip member claims to be too large"))?, 0);
        let unpacked = self.0.gzip_decompress(packed, raw);
        // libdeflate finds the check behind what it unpacked, and takes no notice of what is behind that. Ours is
        // at the end: both have to be right.
        if unpacked.is_ok_and(|n| n == raw.len()) && check == Some(crc32(raw)) {
            return Ok(());
        }
        Err(damaged("a gzip member is damaged"))
    }
}
