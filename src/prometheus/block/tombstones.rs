//! `tombstones`: magic, version, the deleted ranges, and a CRC-32C over the ranges.

use std::collections::BTreeSet;

use super::findings::Findings;
use super::varint::Cursor;

const MAGIC: [u8; 5] = [0x01, 0x30, 0xba, 0x30, 0x01];

/// A `tombstones` file that deletes nothing. Prometheus's snapshot fails where the file is missing.
pub const EMPTY: [u8; 9] = [0x01, 0x30, 0xba, 0x30, 0x01, 0, 0, 0, 0];

/// Up to this size the file is kept, to know which series it concerns.
const KEPT: usize = 1 << 20;

/// Which series have deleted samples.
pub(super) enum Deleted {
    None,
    Series(BTreeSet<u64>),
    /// Too many to know.
    Any,
}

impl Deleted {
    pub(super) fn concerns(&self, series: u64) -> bool {
        match self {
            Self::None => false,
            Self::Series(refs) => refs.contains(&series),
            Self::Any => true,
        }
    }
}

/// Takes the file as it comes.
#[derive(Default)]
pub(super) struct TombstonesCheck {
    head: Vec<u8>,
    tail: Vec<u8>,
    crc: u32,
    size: u64,
}

impl TombstonesCheck {
    pub(super) fn take(&mut self, bytes: &[u8]) {
        let room = KEPT.saturating_sub(self.head.len());
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        // The CRC covers all between the magic and the last four bytes, which are not known to be the last until the end.
        let magic_left = MAGIC.len().saturating_sub(usize::try_from(self.size).unwrap_or(usize::MAX));
        self.size += bytes.len() as u64;
        self.tail.extend_from_slice(&bytes[magic_left.min(bytes.len())..]);
        let covered = self.tail.len().saturating_sub(4);
        self.crc = crc32c::crc32c_append(self.crc, &self.tail[..covered]);
        self.tail.drain(..covered);
    }

    pub(super) fn finish(self, findings: &mut Findings) -> Deleted {
        const FILE: &str = "tombstones";
        if !self.head.starts_with(&MAGIC) || self.tail.len() < 4 {
            findings.down(FILE, "it does not begin as a tombstones file");
            return Deleted::Any;
        }
        if self.tail != self.crc.to_be_bytes() {
            findings.down(FILE, "checksum mismatch");
            return Deleted::Any;
        }
        if self.size == EMPTY.len() as u64 {
            return Deleted::None;
        }
        if self.size > self.head.len() as u64 {
            return Deleted::Any;
        }
        let mut entries = Cursor(&self.head[MAGIC.len()..self.head.len() - 4]);
        let mut series = BTreeSet::new();
        while !entries.0.is_empty() {
            let entry = (entries.uvarint(), entries.varint(), entries.varint());
            let (Some(reference), Some(_), Some(_)) = entry else {
                findings.down(FILE, "it ends in the middle of an entry");
                return Deleted::Any;
            };
            series.insert(reference);
        }
        Deleted::Series(series)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], piece: usize) -> (Deleted, Vec<super::super::Damage>) {
        let mut check = TombstonesCheck::default();
        bytes.chunks(piece).for_each(|piece| check.take(piece));
        let mut findings = Findings::default();
        let deleted = check.finish(&mut findings);
        (deleted, findings.into_damage())
    }

    fn with_entries(entries: &[u8]) -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        file.extend(entries);
        file.extend(crc32c::crc32c(entries).to_be_bytes());
        file
    }

    #[test]
    fn the_empty_file_is_good_in_pieces_of_any_size() {
        for piece in 1..=9 {
            let (deleted, damage) = check(&EMPTY, piece);
            assert!(matches!(deleted, Deleted::None) && damage.is_empty());
        }
    }

    #[test]
    fn the_series_of_entries_are_known() {
        let (deleted, damage) = check(&with_entries(&[8, 2, 4, 9, 2, 4]), 2);
        assert!(damage.is_empty());
        assert!(deleted.concerns(8) && deleted.concerns(9) && !deleted.concerns(7));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let good = with_entries(&[8, 2, 4, 9, 2, 4]);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!check(&bad, 3).1.is_empty(), "bit {bit}");
        }
        for cut in 0..good.len() {
            assert!(!check(&good[..cut], 3).1.is_empty(), "cut {cut}");
        }
    }
}
