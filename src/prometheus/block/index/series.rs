//! The series of an index: labels, and the chunks of each.

use std::io::{Read, Seek};

use super::super::findings::Findings;
use super::super::meta::BlockMeta;
use super::super::places::Places;
use super::super::probes::Windows;
use super::super::tombstones::Deleted;
use super::super::varint::Cursor;
use super::reader::{Bad, Reader};
use super::{FILE, Found};

/// Entries begin at multiples of this, and are numbered by it.
const ALIGN: u64 = 16;

/// Which series there are, as a multiset in constant memory.
#[derive(Default, PartialEq, Eq, Clone, Copy)]
pub(super) struct Names {
    count: u64,
    sum: u64,
    mixed: u64,
}

impl Names {
    pub(super) fn add(&mut self, reference: u64) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(reference);
        self.mixed =
            self.mixed.wrapping_add(reference.wrapping_mul(reference).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
}

/// One series.
struct Series {
    labels: Vec<(u64, u64)>,
    /// First and last instant of each chunk, and where it lies.
    chunks: Vec<(i64, i64, (u32, u64))>,
}

impl Series {
    fn parse(body: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(body);
        let labels = cursor.uvarint()?;
        let labels =
            (0..labels).map(|_| Some((cursor.uvarint()?, cursor.uvarint()?))).collect::<Option<_>>()?;
        let count = cursor.uvarint()?;
        let mut chunks = Vec::new();
        let (mut time, mut place) = (0_i64, 0_i64);
        for n in 0..count {
            let first = if n == 0 { cursor.varint()? } else { time.checked_add_unsigned(cursor.uvarint()?)? };
            let last = first.checked_add_unsigned(cursor.uvarint()?)?;
            let step = if n == 0 { i64::try_from(cursor.uvarint()?).ok()? } else { cursor.varint()? };
            (time, place) = (last, place.checked_add(step)?);
            let reference = u64::try_from(place).ok()?;
            chunks.push((first, last, (u32::try_from(reference >> 32).ok()?, reference & 0xffff_ffff)));
        }
        cursor.0.is_empty().then_some(Self { labels, chunks })
    }
}

pub(super) struct SeriesCheck<'a> {
    pub(super) version: u8,
    /// How many symbols there are, where that is known.
    pub(super) symbols: Option<u64>,
    places: &'a mut Places,
    windows: &'a Windows,
    deleted: &'a Deleted,
    meta: Option<&'a BlockMeta>,
    findings: &'a mut Findings,
    names: Names,
    found: Vec<Found>,
    used: [bool; Windows::MOST],
    body: Vec<u8>,
}

impl<'a> SeriesCheck<'a> {
    pub(super) fn new(
        places: &'a mut Places,
        windows: &'a Windows,
        deleted: &'a Deleted,
        meta: Option<&'a BlockMeta>,
        findings: &'a mut Findings,
    ) -> Self {
        Self {
            version: 2,
            symbols: None,
            places,
            windows,
            deleted,
            meta,
            findings,
            names: Names::default(),
            found: Vec::new(),
            used: [false; Windows::MOST],
            body: Vec::new(),
        }
    }

    /// How many series there are, which, and those whose samples were counted.
    pub(super) fn finish(self) -> (u64, Names, Vec<Found>) {
        (self.names.count, self.names, self.found)
    }

    /// Reads every series between two places.
    pub(super) fn walk<R: Read + Seek>(
        &mut self,
        reader: &mut Reader<R>,
        start: u64,
        end: u64,
    ) -> Result<(), Bad> {
        let mut at = if self.version == 1 { start } else { start.next_multiple_of(ALIGN) };
        while at + 5 < end {
            reader.seek(at)?;
            let length = reader.uvarint()?;
            if length == 0 {
                return Ok(());
            }
            if reader.position().saturating_add(length).saturating_add(4) > end {
                return Err(Bad::data(format!("series at {at}: it is longer than its section")));
            }
            self.body.resize(usize::try_from(length).unwrap_or(0), 0);
            reader.exact(&mut self.body)?;
            let crc = reader.u32()?;
            let reference = if self.version == 1 { at } else { at / ALIGN };
            self.names.add(reference);
            if crc32c::crc32c(&self.body) == crc {
                self.series(at, reference);
            } else {
                self.findings.note(FILE, &format!("series at {at}: checksum mismatch"));
            }
            at = reader.position();
            if self.version != 1 {
                at = at.next_multiple_of(ALIGN);
            }
        }
        Ok(())
    }

    fn series(&mut self, at: u64, reference: u64) {
        let Some(series) = Series::parse(&self.body) else {
            self.findings.note(FILE, &format!("series at {at}: it cannot be read"));
            return;
        };
        let highest = series.labels.iter().map(|(name, value)| *name.max(value)).max();
        if let (Some(highest), Some(symbols), true) = (highest, self.symbols, self.version != 1)
            && highest >= symbols
        {
            self.findings.note(FILE, &format!("series at {at}: it refers to symbol {highest} of {symbols}"));
            return;
        }
        for (first, last, (segment, offset)) in &series.chunks {
            self.places.add(*segment, *offset);
            let outside = self.meta.is_some_and(|meta| *first < meta.min_time || *last >= meta.max_time);
            if outside || first > last {
                self.findings.note(
                    FILE,
                    &format!("series at {at}: a chunk of {first} to {last} is outside the block"),
                );
            }
        }
        self.probe(reference, series);
    }

    /// Counts the samples of the series, where its chunks are at hand and nothing of it is deleted.
    fn probe(&mut self, reference: u64, series: Series) {
        let (Some(first), Some(last)) = (series.chunks.first(), series.chunks.last()) else { return };
        let Some(stretch) = self.windows.holding(first.2, last.2).filter(|&stretch| !self.used[stretch])
        else {
            return;
        };
        if self.deleted.concerns(reference) {
            return;
        }
        let places: Vec<(u32, u64)> = series.chunks.iter().map(|chunk| chunk.2).collect();
        if let Some(counted) = self.windows.count(stretch, &places) {
            self.used[stretch] = true;
            self.found.push(Found { labels: series.labels, counted });
        }
    }
}
