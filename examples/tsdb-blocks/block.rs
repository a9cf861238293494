//! Writes whole blocks: chunk segments, index, tombstones, and meta.json last.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize as _;
use ulid::Ulid;
use watchkeeper::prometheus::block::{BlockMeta, EMPTY_TOMBSTONES, meta};

use super::index::{Chunk, Index};
use super::random::Random;
use super::series::{Set, WINDOW};
use super::xor::{self, PER_CHUNK, uvarint};

/// Prometheus begins a new segment before this size.
const SEGMENT: u64 = 512 << 20;

/// A block that is to be written.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The beginning of its first window, Unix milliseconds; what is written is shifted as the set is.
    pub(crate) start: i64,
    /// How many windows of two hours it covers.
    pub(crate) windows: u32,
}

impl Plan {
    /// The end of its last window.
    pub(crate) fn end(&self) -> i64 {
        self.start + i64::from(self.windows) * WINDOW
    }

    /// How often its samples were merged, at three blocks a time.
    fn level(&self) -> u32 {
        (1..21).find(|level| 3_u32.saturating_pow(level - 1) >= self.windows).unwrap_or(21)
    }

    /// Its name, and that of every block of the same time and seed.
    fn ulid(&self, set: &Set) -> Ulid {
        let mut random = Random::new(&[set.seed, 5, self.start.cast_unsigned(), u64::from(self.windows)]);
        // A block is written some seconds after its end.
        let made = (self.end() + set.shift).cast_unsigned() + 1000 + random.below(60_000);
        Ulid::from_parts(made, u128::from(random.next()) << 16 | u128::from(random.below(1 << 16)))
    }
}

/// Writes the block below `folder`; returns its bytes and samples.
pub(crate) fn write(set: &Set, plan: &Plan, folder: &Path) -> io::Result<(u64, u64)> {
    let folder = folder.join(plan.ulid(set).to_string());
    fs::create_dir_all(folder.join("chunks"))?;
    let mut chunks = Segments::create(&folder)?;
    let mut index = Index::create(&folder.join("index"), set)?;
    let (mut samples, mut data, mut places) = (Vec::new(), Vec::new(), Vec::new());
    let mut stats = meta::BlockStats::default();
    for series in &set.series {
        places.clear();
        for window in 0..i64::from(plan.windows) {
            set.samples(series, plan.start + window * WINDOW, &mut samples);
            for samples in samples.chunks(PER_CHUNK) {
                xor::encode(samples, &mut data);
                let (first, last) = (samples[0].0, samples[samples.len() - 1].0);
                places.push(Chunk { first, last, place: chunks.add(&data)? });
                stats.num_samples += samples.len() as u64;
            }
        }
        stats.num_chunks += places.len() as u64;
        stats.num_series += 1;
        index.add(&series.labels, &places)?;
    }
    chunks.finish()?;
    index.finish()?;
    File::create(folder.join("tombstones"))?.write_all(&EMPTY_TOMBSTONES)?;
    write_meta(set, plan, stats, &folder)?;
    Ok((size_of(&folder)?, stats.num_samples))
}

fn write_meta(set: &Set, plan: &Plan, stats: meta::BlockStats, folder: &Path) -> io::Result<()> {
    let parts = |step: u32| {
        let part = move |n: u32| {
            let start = plan.start + i64::from(n) * WINDOW;
            Plan { start, windows: step.min(plan.windows - n) }
        };
        (0..plan.windows).step_by(step as usize).map(part)
    };
    let mut compaction = meta::BlockCompaction { level: plan.level(), ..Default::default() };
    compaction.sources = parts(1).map(|part| part.ulid(set)).collect();
    if plan.level() > 1 {
        let parent = |part: Plan| meta::BlockParent {
            ulid: part.ulid(set),
            min_time: part.start + set.shift,
            max_time: part.end() + set.shift,
        };
        compaction.parents = parts((plan.windows / 3).max(1)).map(parent).collect();
    }
    let (min_time, max_time) = (plan.start + set.shift, plan.end() + set.shift);
    let meta = BlockMeta { ulid: plan.ulid(set), min_time, max_time, stats, compaction, version: 1 };
    let mut json = Vec::new();
    let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    meta.serialize(&mut serde_json::Serializer::with_formatter(&mut json, tabs))?;
    File::create(folder.join("meta.json"))?.write_all(&json)
}

fn size_of(folder: &Path) -> io::Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let own = entry.metadata()?;
        size += if own.is_dir() { size_of(&entry.path())? } else { own.len() };
    }
    Ok(size)
}

/// The chunk files of one block.
struct Segments<'a> {
    folder: &'a Path,
    out: BufWriter<File>,
    number: u64,
    at: u64,
    frame: Vec<u8>,
}

impl<'a> Segments<'a> {
    fn create(folder: &'a Path) -> io::Result<Self> {
        let out = Self::segment(folder, 0)?;
        Ok(Self { folder, out, number: 0, at: 8, frame: Vec::new() })
    }

    fn segment(folder: &Path, number: u64) -> io::Result<BufWriter<File>> {
        let file = File::create(folder.join(format!("chunks/{:06}", number + 1)))?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        out.write_all(&[0x85, 0xbd, 0x40, 0xdd, 1, 0, 0, 0])?;
        Ok(out)
    }

    /// Adds a chunk and returns its place.
    fn add(&mut self, data: &[u8]) -> io::Result<u64> {
        const XOR: u8 = 1;
        self.frame.clear();
        uvarint(data.len() as u64, &mut self.frame);
        let covered = self.frame.len();
        self.frame.push(XOR);
        self.frame.extend(data);
        let crc = crc32c::crc32c(&self.frame[covered..]);
        self.frame.extend(crc.to_be_bytes());
        if self.at + self.frame.len() as u64 > SEGMENT {
            self.out.flush()?;
            self.number += 1;
            self.out = Self::segment(self.folder, self.number)?;
            self.at = 8;
        }
        let place = self.number << 32 | self.at;
        self.out.write_all(&self.frame)?;
        self.at += self.frame.len() as u64;
        Ok(place)
    }

    fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}
