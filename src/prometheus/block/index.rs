//! The index of a block: symbols, series, postings, and the table of contents at its end.
//!
//! Everything that has a checksum is read and checked. The zeros between series have none.

mod reader;
mod series;

use std::collections::BTreeMap;
use std::io::{self, Read, Seek};

use super::findings::Findings;
use super::meta::BlockMeta;
use super::places::Places;
use super::probes::{Counted, Windows};
use super::report::Probe;
use super::tombstones::Deleted;
use reader::{Bad, Reader};
use series::SeriesCheck;

const FILE: &str = "index";
const MAGIC: [u8; 4] = [0xba, 0xaa, 0xd7, 0x00];
const TOC: u64 = 52;

/// What the index told.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) series: u64,
    pub(super) places: Places,
    pub(super) probes: Vec<Probe>,
}

/// A series whose samples were counted; its labels are still numbers of symbols.
struct Found {
    labels: Vec<(u64, u64)>,
    counted: Counted,
}

/// Checks an index. Errors are those of the spool it lies in.
pub(super) fn check(
    spooled: impl Read + Seek,
    meta: Option<&BlockMeta>,
    windows: &Windows,
    deleted: &Deleted,
    findings: &mut Findings,
) -> io::Result<Facts> {
    let mut reader = Reader::new(spooled)?;
    let mut facts = Facts::default();
    let toc = match read_toc(&mut reader) {
        Ok(toc) => toc,
        Err(Bad::Spool(error)) => return Err(error),
        Err(Bad::Data(problem)) => {
            findings.down(FILE, &problem);
            return Ok(facts);
        }
    };
    let symbols = judge(check_symbols(&mut reader, &toc), findings, true)?;
    let mut series = SeriesCheck::new(&mut facts.places, windows, deleted, meta, findings);
    series.version = toc.version;
    series.symbols = symbols;
    let walked = series.walk(&mut reader, toc.series, toc.end_of(toc.series));
    let (count, names, found) = series.finish();
    facts.series = count;
    judge(walked, findings, false)?;
    judge(check_postings(&mut reader, &toc, names), findings, false)?;
    if toc.label_indices != 0 {
        let walked = walk(&mut reader, toc.label_indices, toc.end_of(toc.label_indices), "label index");
        judge(walked, findings, false)?;
    }
    if toc.label_table != 0 {
        judge(reader.section(toc.label_table, "label index table"), findings, false)?;
    }
    judge(reader.section(toc.postings_table, "postings table"), findings, true)?;
    // Version 1 numbers its symbols in another way; nobody has such blocks any more.
    if toc.version != 1
        && let Some(probes) = judge(name(&mut reader, &toc, &found), findings, true)?
    {
        facts.probes = probes;
    }
    Ok(facts)
}

/// Turns what is wrong with the data into a finding.
fn judge<T>(result: Result<T, Bad>, findings: &mut Findings, down: bool) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Bad::Spool(error)) => Err(error),
        Err(Bad::Data(problem)) => {
            if down {
                findings.down(FILE, &problem);
            } else {
                findings.note(FILE, &problem);
            }
            Ok(None)
        }
    }
}

/// Where the sections begin.
struct Toc {
    version: u8,
    symbols: u64,
    series: u64,
    label_indices: u64,
    label_table: u64,
    postings: u64,
    postings_table: u64,
    /// Where the table itself begins.
    end: u64,
}

impl Toc {
    /// Where the section that begins here ends: where the next one begins.
    fn end_of(&self, start: u64) -> u64 {
        let starts = [
            self.symbols,
            self.series,
            self.label_indices,
            self.label_table,
            self.postings,
            self.postings_table,
        ];
        starts.into_iter().filter(|&next| next > start).min().unwrap_or(self.end)
    }
}

fn read_toc<R: Read + Seek>(reader: &mut Reader<R>) -> Result<Toc, Bad> {
    let size = reader.size();
    if size < 5 + TOC {
        return Err(Bad::data("it is too short to be an index"));
    }
    let mut head = [0; 5];
    reader.seek(0)?;
    reader.exact(&mut head)?;
    if head[..4] != MAGIC || !(1..=3).contains(&head[4]) {
        return Err(Bad::data("it does not begin as an index"));
    }
    let mut table = [0; 52];
    reader.seek(size - TOC)?;
    reader.exact(&mut table)?;
    if crc32c::crc32c(&table[..48]).to_be_bytes() != table[48..] {
        return Err(Bad::data("checksum mismatch in the table of contents at its end"));
    }
    let entry =
        |n: usize| table[n * 8..n * 8 + 8].iter().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
    let end = size - TOC;
    let toc = Toc {
        version: head[4],
        symbols: entry(0),
        series: entry(1),
        label_indices: entry(2),
        label_table: entry(3),
        postings: entry(4),
        postings_table: entry(5),
        end,
    };
    if [toc.symbols, toc.series, toc.postings, toc.postings_table].iter().any(|&at| at < 5 || at > end) {
        return Err(Bad::data("the table of contents points outside of it"));
    }
    Ok(toc)
}

/// Checks the symbol table and returns how many symbols it has.
fn check_symbols<R: Read + Seek>(reader: &mut Reader<R>, toc: &Toc) -> Result<u64, Bad> {
    reader.section(toc.symbols, "symbol table")?;
    reader.seek(toc.symbols + 4)?;
    Ok(u64::from(reader.u32()?))
}

/// Checks each of the sections that follow one another, four-byte aligned, from `start` to `end`.
fn walk<R: Read + Seek>(reader: &mut Reader<R>, start: u64, end: u64, what: &str) -> Result<(), Bad> {
    let mut at = start.next_multiple_of(4);
    while at + 8 <= end {
        at = reader.section(at, what)?.next_multiple_of(4);
    }
    Ok(())
}

/// Checks every list of postings. The first one names all series.
fn check_postings<R: Read + Seek>(
    reader: &mut Reader<R>,
    toc: &Toc,
    names: series::Names,
) -> Result<(), Bad> {
    let (start, end) = (toc.postings.next_multiple_of(4), toc.end_of(toc.postings));
    if start + 8 > end {
        return Ok(());
    }
    reader.seek(start + 4)?;
    let mut listed = series::Names::default();
    for _ in 0..reader.u32()? {
        listed.add(u64::from(reader.u32()?));
        if reader.position() > end {
            return Err(Bad::data(format!("postings at {start}: the list does not end")));
        }
    }
    walk(reader, start, end, "postings")?;
    if listed != names {
        return Err(Bad::data("the list of all series does not name the series that are there"));
    }
    Ok(())
}

/// Looks up the labels of the series that were found.
fn name<R: Read + Seek>(reader: &mut Reader<R>, toc: &Toc, found: &[Found]) -> Result<Vec<Probe>, Bad> {
    let mut wanted: BTreeMap<u64, String> = BTreeMap::new();
    for (name, value) in found.iter().flat_map(|series| &series.labels) {
        wanted.insert(*name, String::new());
        wanted.insert(*value, String::new());
    }
    reader.seek(toc.symbols + 8)?;
    let mut at = 0;
    for (&number, text) in &mut wanted {
        while at < number {
            let length = reader.uvarint()?;
            reader.skip(length)?;
            at += 1;
        }
        let length = reader.uvarint()?;
        *text = reader.text(length)?;
        at += 1;
    }
    let label = |(name, value): &(u64, u64)| (wanted[name].clone(), wanted[value].clone());
    let probe = |series: &Found| Probe {
        labels: series.labels.iter().map(label).collect(),
        first: series.counted.first,
        last: series.counted.last,
        samples: series.counted.samples,
    };
    Ok(found.iter().map(probe).collect())
}
