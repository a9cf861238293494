//! Writes an index of version 2 (tsdb/index/index.go), series after series.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::series::Set;
use super::xor::{uvarint, varint};

/// A chunk: its first and last instant, and where it lies: the number of the segment and the offset in it.
#[derive(Clone, Copy)]
pub(crate) struct Chunk {
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) place: u64,
}

/// Series must come in the order of their labels.
pub(crate) struct Index<'a> {
    out: BufWriter<File>,
    at: u64,
    set: &'a Set,
    symbols: u64,
    series: u64,
    /// For each name and value, the series that have it; all series at the numbers that no symbol has.
    postings: BTreeMap<(u32, u32), Vec<u32>>,
    all: Vec<u32>,
    body: Vec<u8>,
    entry: Vec<u8>,
}

impl<'a> Index<'a> {
    pub(crate) fn create(path: &Path, set: &'a Set) -> io::Result<Self> {
        let mut this = Self {
            out: BufWriter::with_capacity(1 << 18, File::create(path)?),
            at: 0,
            set,
            symbols: 0,
            series: 0,
            postings: BTreeMap::new(),
            all: Vec::new(),
            body: Vec::new(),
            entry: Vec::new(),
        };
        this.put(&[0xba, 0xaa, 0xd7, 0x00, 2])?;
        this.symbols = this.at;
        let mut body = (set.symbols.len() as u32).to_be_bytes().to_vec();
        for symbol in &set.symbols {
            text(symbol, &mut body);
        }
        this.section(&body)?;
        this.align(16)?;
        this.series = this.at;
        Ok(this)
    }

    pub(crate) fn add(&mut self, labels: &[(u32, u32)], chunks: &[Chunk]) -> io::Result<()> {
        self.align(16)?;
        let reference = (self.at / 16) as u32;
        self.all.push(reference);
        for pair in labels {
            self.postings.entry(*pair).or_default().push(reference);
        }
        let mut body = std::mem::take(&mut self.body);
        let mut entry = std::mem::take(&mut self.entry);
        body.clear();
        entry.clear();
        uvarint(labels.len() as u64, &mut body);
        for (name, value) in labels {
            uvarint(u64::from(*name), &mut body);
            uvarint(u64::from(*value), &mut body);
        }
        uvarint(chunks.len() as u64, &mut body);
        let (mut time, mut place) = (0, 0_u64);
        for (n, chunk) in chunks.iter().enumerate() {
            if n == 0 {
                varint(chunk.first, &mut body);
            } else {
                uvarint((chunk.first - time).cast_unsigned(), &mut body);
            }
            uvarint((chunk.last - chunk.first).cast_unsigned(), &mut body);
            if n == 0 {
                uvarint(chunk.place, &mut body);
            } else {
                varint((chunk.place - place).cast_signed(), &mut body);
            }
            (time, place) = (chunk.last, chunk.place);
        }
        uvarint(body.len() as u64, &mut entry);
        entry.extend(&body);
        entry.extend(crc32c::crc32c(&body).to_be_bytes());
        self.put(&entry)?;
        (self.body, self.entry) = (body, entry);
        Ok(())
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        let postings = std::mem::take(&mut self.postings);
        let label_indices = self.at;
        let label_table = self.label_indices(&postings)?;
        let at_postings = self.at;
        let mut table = Vec::new();
        let all = std::mem::take(&mut self.all);
        self.list("", "", &all, &mut table)?;
        for ((name, value), series) in &postings {
            let set = self.set;
            let (name, value) = (&set.symbols[*name as usize], &set.symbols[*value as usize]);
            self.list(name, value, series, &mut table)?;
        }
        let at_label_table = self.at;
        self.section(&label_table)?;
        let at_table = self.at;
        let mut counted = (postings.len() as u32 + 1).to_be_bytes().to_vec();
        counted.extend(table);
        self.section(&counted)?;
        let places = [self.symbols, self.series, label_indices, at_label_table, at_postings, at_table];
        let mut toc: Vec<u8> = places.iter().flat_map(|place| place.to_be_bytes()).collect();
        toc.extend(crc32c::crc32c(&toc).to_be_bytes());
        self.put(&toc)?;
        self.out.flush()
    }

    /// The values of each name. Returns the table of where they are.
    fn label_indices(&mut self, postings: &BTreeMap<(u32, u32), Vec<u32>>) -> io::Result<Vec<u8>> {
        let mut values: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (name, value) in postings.keys() {
            values.entry(*name).or_default().push(*value);
        }
        let mut table = (values.len() as u32).to_be_bytes().to_vec();
        for (name, values) in values {
            self.align(4)?;
            table.push(1);
            text(&self.set.symbols[name as usize], &mut table);
            uvarint(self.at, &mut table);
            let numbers = [1, values.len() as u32].into_iter().chain(values);
            let body: Vec<u8> = numbers.flat_map(u32::to_be_bytes).collect();
            self.section(&body)?;
        }
        Ok(table)
    }

    fn list(&mut self, name: &str, value: &str, series: &[u32], table: &mut Vec<u8>) -> io::Result<()> {
        self.align(4)?;
        table.push(2);
        text(name, table);
        text(value, table);
        uvarint(self.at, table);
        let numbers = std::iter::once(series.len() as u32).chain(series.iter().copied());
        let body: Vec<u8> = numbers.flat_map(u32::to_be_bytes).collect();
        self.section(&body)
    }

    fn section(&mut self, body: &[u8]) -> io::Result<()> {
        self.put(&(body.len() as u32).to_be_bytes())?;
        self.put(body)?;
        self.put(&crc32c::crc32c(body).to_be_bytes())
    }

    fn align(&mut self, to: u64) -> io::Result<()> {
        let padding = (self.at.next_multiple_of(to) - self.at) as usize;
        self.put(&[0; 16][..padding])
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    uvarint(text.len() as u64, out);
    out.extend(text.as_bytes());
}
