//! Writes the write-ahead log of a server that has run for hours (tsdb/record, tsdb/wlog): at its start, Prometheus
//! reads it into its head.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::series::{Set, WINDOW};
use super::xor::{uvarint, varint};

const PAGE: usize = 32 << 10;
const SEGMENT: usize = 128 << 20;
/// Type, length and checksum before each part of a record.
const HEADER: usize = 7;
/// Samples in one record.
const RECORD: usize = 5000;

/// Writes what the series measured from `start` to `end`, at most two hours of Unix milliseconds; returns how many
/// samples.
pub(crate) fn write(set: &Set, start: i64, end: i64, data: &Path) -> io::Result<u64> {
    let folder = data.join("wal");
    fs::create_dir_all(&folder)?;
    let mut log = Log::create(&folder)?;
    let mut record = vec![1];
    for (n, series) in set.series.iter().enumerate() {
        record.extend(reference(n).to_be_bytes());
        uvarint(series.labels.len() as u64, &mut record);
        for (name, value) in set.labels(series) {
            for text in [name, value] {
                uvarint(text.len() as u64, &mut record);
                record.extend(text.as_bytes());
            }
        }
    }
    log.add(&record)?;
    let mut scrapes: Vec<(i64, usize, f64)> = Vec::new();
    let mut samples = Vec::new();
    for (n, series) in set.series.iter().enumerate() {
        set.samples(series, end.div_euclid(WINDOW) * WINDOW, &mut samples);
        let shift = end - samples.last().map_or(end, |(at, _)| *at);
        let shifted = samples.iter().map(|(at, value)| (at + shift, n, *value));
        scrapes.extend(shifted.filter(|(at, ..)| *at >= start));
    }
    // As they came: by time.
    scrapes.sort_unstable_by_key(|(at, n, _)| (*at, *n));
    for scrapes in scrapes.chunks(RECORD) {
        let (first, base, _) = scrapes[0];
        let mut record = vec![2];
        record.extend(reference(base).to_be_bytes());
        record.extend(first.to_be_bytes());
        for (at, n, value) in scrapes {
            varint((reference(*n) - reference(base)).cast_signed(), &mut record);
            varint(at - first, &mut record);
            record.extend(value.to_bits().to_be_bytes());
        }
        log.add(&record)?;
    }
    log.finish()?;
    Ok(scrapes.len() as u64)
}

fn reference(n: usize) -> u64 {
    n as u64 + 1
}

/// Records in pages, in segments.
struct Log<'a> {
    folder: &'a Path,
    out: BufWriter<File>,
    number: usize,
    at: usize,
}

impl<'a> Log<'a> {
    fn create(folder: &'a Path) -> io::Result<Self> {
        Ok(Self { folder, out: Self::segment(folder, 0)?, number: 0, at: 0 })
    }

    fn segment(folder: &Path, number: usize) -> io::Result<BufWriter<File>> {
        Ok(BufWriter::with_capacity(1 << 20, File::create(folder.join(format!("{number:08}")))?))
    }

    fn add(&mut self, record: &[u8]) -> io::Result<()> {
        // A record never goes from one segment to the next.
        if self.at + record.len() + (record.len() / PAGE + 2) * HEADER > SEGMENT && self.at > 0 {
            self.fill_page()?;
            self.out.flush()?;
            self.number += 1;
            self.out = Self::segment(self.folder, self.number)?;
            self.at = 0;
        }
        let mut rest = record;
        let mut first = true;
        while first || !rest.is_empty() {
            if PAGE - self.at % PAGE <= HEADER {
                self.fill_page()?;
            }
            let (part, after) = rest.split_at(rest.len().min(PAGE - self.at % PAGE - HEADER));
            let kind: u8 = match (first, after.is_empty()) {
                (true, true) => 1,
                (true, false) => 2,
                (false, false) => 3,
                (false, true) => 4,
            };
            self.out.write_all(&[kind])?;
            self.out.write_all(&(part.len() as u16).to_be_bytes())?;
            self.out.write_all(&crc32c::crc32c(part).to_be_bytes())?;
            self.out.write_all(part)?;
            self.at += HEADER + part.len();
            rest = after;
            first = false;
        }
        Ok(())
    }

    fn fill_page(&mut self) -> io::Result<()> {
        let padding = self.at.next_multiple_of(PAGE) - self.at;
        self.at += padding;
        self.out.write_all(&vec![0; padding])
    }

    fn finish(mut self) -> io::Result<()> {
        self.fill_page()?;
        self.out.flush()
    }
}
