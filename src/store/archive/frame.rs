//! One Zstandard frame (RFC 8878) per piece, behind a skippable frame that holds its length, as pzstd writes them.
//! Each frame has its content's size in its header and its content's checksum at its end.

use std::io;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{self, CParameter};

use super::piece::{LARGEST, Piece, damaged, number};

/// The skippable frame: magic number, length of its content, and that content.
pub(super) const HEAD: usize = 12;
/// Everything before the length.
const START: [u8; 8] = *b"\x50\x2a\x4d\x18\x04\0\0\0";

/// Whether a stream of our frames begins so. The first skippable frame may be damaged: then it is refused, where a
/// reader that follows it would miss what it skips. pzstd's own frames are far larger, and do not say how large.
pub(super) fn is_ours(start: &[u8]) -> bool {
    let whole = start.starts_with(&START);
    start.starts_with(&START[..4]) && (!whole || start.get(HEAD..).and_then(content_size).is_some())
}

/// How much is in a frame, where it says so and one of ours may hold so much.
fn content_size(frame: &[u8]) -> Option<usize> {
    let size = zstd_safe::get_frame_content_size(frame).ok().flatten()?;
    usize::try_from(size).ok().filter(|size| *size <= LARGEST)
}

/// The length of the frame with this head, the head included, if that is one of ours.
pub(super) fn length(head: &[u8]) -> Option<usize> {
    let length = number(&head[8..HEAD]).filter(|_| head.starts_with(&START))?;
    usize::try_from(length).ok()?.checked_add(HEAD)
}

pub(super) struct Packer(Compressor<'static>);

impl Packer {
    pub(super) fn new(level: u32) -> io::Result<Self> {
        let mut compressor = Compressor::new(i32::try_from(level.clamp(1, 19)).unwrap_or(1))?;
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Self(compressor))
    }

    pub(super) fn pack(&mut self, piece: &mut Piece) -> io::Result<()> {
        let Piece { raw, packed } = piece;
        packed.resize(HEAD + zstd_safe::compress_bound(raw.len()), 0);
        let length = self.0.compress_to_buffer(raw, &mut packed[HEAD..])?;
        packed.truncate(HEAD + length);
        packed[..8].copy_from_slice(&START);
        let length = u32::try_from(length).map_err(io::Error::other)?;
        packed[8..HEAD].copy_from_slice(&length.to_le_bytes());
        Ok(())
    }
}

pub(super) struct Unpacker(Decompressor<'static>);

impl Unpacker {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(Decompressor::new()?))
    }

    /// Unpacks the frame. All of its bytes have to be that frame, and the content as long as it says.
    pub(super) fn unpack(&mut self, piece: &mut Piece) -> io::Result<()> {
        let Piece { raw, packed } = piece;
        let frame = packed.get(HEAD..).unwrap_or_default();
        let refused = || damaged("a Zstandard frame does not say how large it is, or is too large");
        let size = content_size(frame).ok_or_else(refused)?;
        raw.resize(size, 0);
        let unpacked = self.0.decompress_to_buffer(frame, &mut raw[..])?;
        if unpacked == size { Ok(()) } else { Err(damaged("a Zstandard frame is shorter than it says")) }
    }
}
