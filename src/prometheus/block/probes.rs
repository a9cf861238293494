//! Probes: a few series of a block whose samples are counted while it is read, in bounded memory.
//!
//! Stretches of the chunk files are kept as they pass. A series whose chunks all lie in one stretch can be decoded
//! when the index tells which chunks are its own.

use super::chunks::Chunk;
use super::xor::{self, STALE};

/// Bytes of each stretch.
const STRETCH: usize = 64 << 10;

/// After how many bytes of chunks each stretch begins: near the start, and further in, for blocks of any size.
const BEGIN: [u64; 4] = [0, 1 << 20, 16 << 20, 256 << 20];

/// The only encoding that is decoded here.
const XOR: u8 = 1;

/// The stretches that are kept.
#[derive(Default)]
pub(super) struct Windows {
    kept: Vec<Stretch>,
    seen: u64,
}

struct Stretch {
    segment: u32,
    start: u64,
    bytes: Vec<u8>,
    full: bool,
}

/// The samples of one series of a block that a query counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) samples: u64,
}

impl Windows {
    /// How many stretches there are at most.
    pub(super) const MOST: usize = BEGIN.len();

    /// A chunk lies at `offset` of a segment; chunks of a segment come in order.
    pub(super) fn offer(&mut self, segment: u32, offset: u64, whole: &[u8]) {
        if let Some(last) = self.kept.last_mut().filter(|last| !last.full) {
            let follows = last.segment == segment && last.start + last.bytes.len() as u64 == offset;
            if follows && last.bytes.len() + whole.len() <= STRETCH {
                last.bytes.extend_from_slice(whole);
            } else {
                last.full = true;
            }
        }
        let idle = self.kept.last().is_none_or(|last| last.full);
        let due = BEGIN.get(self.kept.len()).is_some_and(|&begin| self.seen >= begin);
        if idle && due && whole.len() <= STRETCH {
            self.kept.push(Stretch { segment, start: offset, bytes: whole.to_vec(), full: false });
        }
        self.seen += whole.len() as u64;
    }

    /// The stretch that holds both chunks, if one does.
    pub(super) fn holding(&self, first: (u32, u64), last: (u32, u64)) -> Option<usize> {
        self.kept.iter().position(|stretch| stretch.at(first).is_some() && stretch.at(last).is_some())
    }

    /// Counts the samples in a series' chunks; nothing where a chunk is not there, of another encoding, or all of
    /// them mark the series as stale.
    pub(super) fn count(&self, stretch: usize, chunks: &[(u32, u64)]) -> Option<Counted> {
        let mut counted: Option<Counted> = None;
        let mut newest = i64::MIN;
        for &place in chunks {
            let chunk =
                Chunk::at_front(self.kept[stretch].at(place)?).filter(|chunk| chunk.encoding == XOR)?;
            for (time, value) in xor::decode(chunk.data)? {
                if time <= newest {
                    return None;
                }
                newest = time;
                if value == STALE {
                    continue;
                }
                let so_far = counted.get_or_insert(Counted { first: time, last: time, samples: 0 });
                so_far.last = time;
                so_far.samples += 1;
            }
        }
        counted
    }
}

impl Stretch {
    fn at(&self, (segment, offset): (u32, u64)) -> Option<&[u8]> {
        let within = offset.checked_sub(self.start).filter(|_| self.segment == segment)?;
        self.bytes.get(usize::try_from(within).ok()?..).filter(|bytes| !bytes.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chunk of one sample.
    fn chunk(time: u8, value: u64) -> Vec<u8> {
        let mut covered = vec![XOR, 0, 1, time * 2];
        covered.extend(value.to_be_bytes());
        let mut whole = vec![u8::try_from(covered.len() - 1).unwrap()];
        whole.extend(&covered);
        whole.extend(crc32c::crc32c(&covered).to_be_bytes());
        whole
    }

    fn windows(chunks: &[Vec<u8>]) -> (Windows, Vec<(u32, u64)>) {
        let (mut windows, mut places, mut offset) = (Windows::default(), Vec::new(), 8);
        for chunk in chunks {
            windows.offer(0, offset, chunk);
            places.push((0, offset));
            offset += chunk.len() as u64;
        }
        (windows, places)
    }

    #[test]
    fn a_mark_that_a_series_ended_is_not_counted() {
        let (windows, places) = windows(&[chunk(1, STALE), chunk(2, 7), chunk(3, 7), chunk(4, STALE)]);
        let stretch = windows.holding(places[0], places[3]).unwrap();
        assert_eq!(windows.count(stretch, &places), Some(Counted { first: 2, last: 3, samples: 2 }));
        assert_eq!(windows.count(stretch, &places[3..]), None);
    }

    #[test]
    fn a_series_whose_time_does_not_rise_is_not_promised() {
        let (windows, places) = windows(&[chunk(2, 1), chunk(2, 1)]);
        assert_eq!(windows.count(0, &places), None);
    }

    #[test]
    fn memory_stays_bounded_and_a_series_outside_is_in_no_stretch() {
        let (windows, places) = windows(&vec![chunk(1, 1); 200_000]);
        assert!(windows.kept.len() <= Windows::MOST);
        assert!(windows.kept.iter().all(|stretch| stretch.bytes.len() <= STRETCH));
        assert_eq!(windows.holding(places[0], places[199_999]), None);
    }
}
