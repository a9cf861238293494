//! Chunk segment files: a magic, then chunk after chunk: length, encoding, data, CRC-32C over encoding and data.

use super::findings::Findings;
use super::places::{Places, file_of};
use super::probes::Windows;
use super::varint::Cursor;

const MAGIC: [u8; 4] = [0x85, 0xbd, 0x40, 0xdd];
const HEADER: usize = 8;
const CRC: usize = 4;

/// Chunks of Prometheus are a few KiB; what claims to be larger than this is garbage, and is not buffered.
const LARGEST_CHUNK: u64 = 16 << 20;

/// The number, from 0, of the segment at this path inside a block; nothing for another file.
pub(super) fn segment_number(path: &str) -> Option<u32> {
    let digits = path.strip_prefix("chunks/")?;
    let all_digits = digits.len() >= 6 && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse::<u32>().ok().filter(|_| all_digits)?.checked_sub(1)
}

/// One chunk at the front of a slice.
pub(super) struct Chunk<'a> {
    pub(super) encoding: u8,
    pub(super) data: &'a [u8],
    /// All of it, from the length to the checksum.
    pub(super) whole: &'a [u8],
    good: bool,
}

/// Why there is no chunk at the front of a slice.
enum NoChunk {
    /// More bytes may make one.
    Incomplete,
    /// No bytes will.
    Garbage,
}

impl<'a> Chunk<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, NoChunk> {
        let mut cursor = Cursor(bytes);
        let Some(length) = cursor.uvarint() else {
            return Err(if bytes.len() < 10 { NoChunk::Incomplete } else { NoChunk::Garbage });
        };
        if length > LARGEST_CHUNK {
            return Err(NoChunk::Garbage);
        }
        let length = usize::try_from(length).map_err(|_| NoChunk::Garbage)?;
        let framed = cursor.bytes(1 + length + CRC).ok_or(NoChunk::Incomplete)?;
        let (covered, crc) = framed.split_at(1 + length);
        let whole = &bytes[..bytes.len() - cursor.0.len()];
        let good = crc32c::crc32c(covered).to_be_bytes() == crc;
        Ok(Self { encoding: covered[0], data: &covered[1..], whole, good })
    }

    /// The chunk at the front of bytes that were checked before.
    pub(super) fn at_front(bytes: &'a [u8]) -> Option<Self> {
        Self::parse(bytes).ok().filter(|chunk| chunk.good)
    }

    /// Samples in it, as its first two bytes tell in every encoding so far.
    fn samples(&self) -> u64 {
        self.data.first_chunk().map_or(0, |count| u64::from(u16::from_be_bytes(*count)))
    }
}

/// What a segment held.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) chunks: u64,
    pub(super) samples: u64,
}

/// Takes one segment file as it comes.
pub(super) struct SegmentCheck {
    number: u32,
    /// Where in the file `pending` begins.
    offset: u64,
    /// What came and is not a whole chunk yet.
    pending: Vec<u8>,
    state: State,
    tally: Tally,
}

#[derive(PartialEq, Eq)]
enum State {
    Header,
    Chunks,
    /// Only zeros may follow: a segment that was allocated larger than it became.
    Zeros,
    /// The rest cannot be read as chunks.
    Lost,
}

impl SegmentCheck {
    pub(super) fn new(number: u32) -> Self {
        Self { number, offset: 0, pending: Vec::new(), state: State::Header, tally: Tally::default() }
    }

    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        findings: &mut Findings,
        places: &mut Places,
        windows: &mut Windows,
    ) {
        if self.pending.is_empty() {
            let used = self.parse(bytes, findings, places, windows);
            self.pending.extend_from_slice(&bytes[used..]);
        } else {
            let mut pending = std::mem::take(&mut self.pending);
            pending.extend_from_slice(bytes);
            let used = self.parse(&pending, findings, places, windows);
            pending.drain(..used);
            self.pending = pending;
        }
    }

    /// Reads all whole chunks off the front and returns how many bytes they were.
    fn parse(
        &mut self,
        bytes: &[u8],
        findings: &mut Findings,
        places: &mut Places,
        windows: &mut Windows,
    ) -> usize {
        let mut rest = bytes;
        if self.state == State::Header {
            let Some((header, tail)) = rest.split_at_checked(HEADER) else { return 0 };
            rest = tail;
            self.offset += HEADER as u64;
            self.state = State::Chunks;
            if !header.starts_with(&MAGIC) || header[4] != 1 {
                findings.down(&file_of(self.number), "it does not begin as a chunk file");
                self.state = State::Lost;
            }
            places.segment(self.number);
        }
        while self.state == State::Chunks && !rest.is_empty() {
            if rest[0] == 0 {
                self.state = State::Zeros;
                break;
            }
            match Chunk::parse(rest) {
                Ok(chunk) => {
                    self.chunk(&chunk, findings, places, windows);
                    rest = &rest[chunk.whole.len()..];
                }
                Err(NoChunk::Incomplete) => return bytes.len() - rest.len(),
                Err(NoChunk::Garbage) => {
                    findings.note(&file_of(self.number), &format!("at {}: this is not a chunk", self.offset));
                    self.state = State::Lost;
                }
            }
        }
        if self.state == State::Zeros && rest.iter().any(|&byte| byte != 0) {
            findings.note(&file_of(self.number), &format!("at {}: this is not a chunk", self.offset));
            self.state = State::Lost;
        }
        self.offset += rest.len() as u64;
        bytes.len()
    }

    fn chunk(
        &mut self,
        chunk: &Chunk<'_>,
        findings: &mut Findings,
        places: &mut Places,
        windows: &mut Windows,
    ) {
        places.add(self.number, self.offset);
        self.tally.chunks += 1;
        self.tally.samples += chunk.samples();
        if chunk.good {
            windows.offer(self.number, self.offset, chunk.whole);
        } else {
            findings.note(&file_of(self.number), &format!("chunk at {}: checksum mismatch", self.offset));
        }
        self.offset += chunk.whole.len() as u64;
    }

    pub(super) fn finish(self, findings: &mut Findings, places: &mut Places) -> Tally {
        let file = file_of(self.number);
        if self.state == State::Header {
            findings.down(&file, "it is shorter than its header");
            places.segment(self.number);
        } else if !self.pending.is_empty() {
            findings.note(&file, &format!("chunk at {}: the file ends in it", self.offset));
        }
        self.tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(chunks: &[&[u8]]) -> Vec<u8> {
        let mut file = vec![0x85, 0xbd, 0x40, 0xdd, 1, 0, 0, 0];
        for data in chunks {
            file.push(u8::try_from(data.len()).unwrap());
            let covered: Vec<u8> = [&[1][..], data].concat();
            file.extend(&covered);
            file.extend(crc32c::crc32c(&covered).to_be_bytes());
        }
        file
    }

    fn check(file: &[u8], piece: usize) -> (Tally, Vec<super::super::Damage>) {
        let (mut findings, mut places, mut windows) =
            (Findings::default(), Places::default(), Windows::default());
        let mut check = SegmentCheck::new(0);
        for piece in file.chunks(piece) {
            check.take(piece, &mut findings, &mut places, &mut windows);
        }
        let tally = check.finish(&mut findings, &mut places);
        (tally, findings.into_damage())
    }

    #[test]
    fn chunks_are_counted_in_pieces_of_any_size() {
        let file = segment(&[&[0, 3, 9, 9], &[1, 0, 7]]);
        for piece in 1..=file.len() {
            let (tally, damage) = check(&file, piece);
            assert_eq!((tally.chunks, tally.samples, damage.len()), (2, 259, 0), "{piece}");
        }
    }

    #[test]
    fn every_flipped_bit_but_those_of_the_padding_is_found() {
        let file = segment(&[&[0, 3, 9, 9], &[1, 0, 7]]);
        for bit in (0..file.len() * 8).filter(|bit| !(5..8).contains(&(bit / 8))) {
            let mut bad = file.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let (_, damage) = check(&bad, 5);
            assert!(!damage.is_empty(), "bit {bit}");
            assert_eq!(damage[0].keeps_prometheus_down, bit < 40, "bit {bit}");
        }
    }

    #[test]
    fn a_cut_is_found_where_it_is_inside_a_chunk() {
        let file = segment(&[&[0, 3, 9, 9], &[1, 0, 7]]);
        let whole = [8, 8 + 10, file.len()];
        for cut in 0..=file.len() {
            assert_eq!(check(&file[..cut], 4).1.is_empty(), whole.contains(&cut), "{cut}");
        }
    }

    #[test]
    fn zeros_after_the_last_chunk_are_no_damage_and_anything_else_is() {
        let mut file = segment(&[&[0, 3, 9, 9]]);
        file.extend([0; 50]);
        assert!(check(&file, 7).1.is_empty());
        file.push(1);
        assert!(!check(&file, 7).1.is_empty());
    }

    #[test]
    fn segments_are_told_from_other_files() {
        assert_eq!(segment_number("chunks/000001"), Some(0));
        assert_eq!(segment_number("chunks/000000"), None);
        assert_eq!(segment_number("chunks/000001.tmp"), None);
        assert_eq!(segment_number("index"), None);
    }
}
