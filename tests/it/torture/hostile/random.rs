//! Every reader of what comes from elsewhere, with random bytes, and with valid ones that were changed here and there: none
//! panics, and none takes long or asks for memory that its input does not have.

use std::cell::Cell;
use std::fs;
use std::io::{Read, Write as _};
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use watchkeeper::config::Config as Jobs;
use watchkeeper::prometheus::block::BlockCheck;
use watchkeeper::schedule::Schedule;
use watchkeeper::store::Backup;
use watchkeeper::store::archive::{open_archive, read_tar};

use crate::reliability::{figure, in_full};
use crate::support::blocks;

/// A change at a place, of which only the rest counts.
type Change = (usize, u8, u8);

fn changes() -> impl Strategy<Value = Vec<Change>> {
    proptest::collection::vec((any::<usize>(), any::<u8>(), 0_u8..6), 1..6)
}

/// The bytes with a byte flipped, put in, taken out, cut off, doubled, or made the highest.
fn changed(original: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for (at, byte, how) in changes {
        if bytes.is_empty() {
            break;
        }
        let at = at % bytes.len();
        match how {
            0 => bytes[at] ^= byte | 1,
            1 => bytes.insert(at, *byte),
            2 => drop(bytes.remove(at)),
            3 => bytes.truncate(at),
            4 => {
                let end = (at + usize::from(*byte)).min(bytes.len());
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            _ => bytes[at] = 0xff,
        }
    }
    bytes
}

/// Runs a reader with random bytes and with changed ones.
fn never_panics(what: &str, originals: &[Vec<u8>], full: u32, read: impl Fn(&[u8])) {
    let cases = if in_full() { full } else { (full / 100).clamp(64, 2000) };
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let read_many = Cell::new(0_u32);
    let one = |bytes: &[u8]| {
        read_many.set(read_many.get() + 1);
        read(bytes);
    };
    let mut runner = TestRunner::new(config);
    let random = proptest::collection::vec(any::<u8>(), 0..2000);
    runner
        .run(&random, |bytes| {
            one(&bytes);
            Ok(())
        })
        .unwrap();
    let which = (0..originals.len(), changes());
    runner
        .run(&which, |(n, changes)| {
            one(&changed(&originals[n], &changes));
            Ok(())
        })
        .unwrap();
    figure(&format!("{what}: random and changed inputs"), &format!("{} read, no panic", read_many.get()));
}

fn tar() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let long = format!("a/{}", "long/".repeat(60));
    for (path, content) in [("a/b", "text"), (&long, "x"), ("ä/ö", "")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o640);
        let _ = tar.append_data(&mut header, path.trim_end_matches('/'), content.as_bytes());
    }
    let pax = [("path", "other/name".as_bytes()), ("size", b"4"), ("mtime", b"1.5")];
    tar.append_pax_extensions(pax).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_size(4);
    tar.append_data(&mut header, "short", &b"abcd"[..]).unwrap();
    tar.into_inner().unwrap()
}

fn visit_all(
    shown: impl FnOnce(
        &mut dyn FnMut(
            &watchkeeper::store::Entry,
            &mut dyn Read,
        ) -> Result<(), watchkeeper::store::ArchiveError>,
    ),
) {
    shown(&mut |_, content| {
        std::io::copy(content, &mut std::io::sink()).ok();
        Ok(())
    });
}

#[test]
fn the_tar_reader() {
    never_panics("tar", &[tar()], 300_000, |bytes| visit_all(|visit| drop(read_tar(bytes, visit))));
}

#[test]
fn the_reader_of_compressed_archives() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar()).unwrap();
    let zstd = zstd::encode_all(&tar()[..], 1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let cancel = tokio_util::sync::CancellationToken::new();
    never_panics("compressed tar", &[gzip.finish().unwrap(), zstd], 100_000, |bytes| {
        fs::write(&path, bytes).unwrap();
        visit_all(|visit| drop(open_archive(&path, &cancel, visit)));
    });
}

#[test]
fn the_reader_of_manifests() {
    let fixture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1/prom/20261123T020000Z.json");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("20261123T020000Z.json");
    never_panics("manifest", &[fs::read(fixture).unwrap()], 100_000, |bytes| {
        fs::write(&path, bytes).unwrap();
        assert!(Backup::outside(&path).is_err(), "no changed manifest is taken");
    });
}

#[test]
fn the_reader_of_configurations() {
    let shipped = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs.toml")).unwrap();
    let small = b"timezone = \"UTC\"\nstate_dir = \"/s\"\nbackup_dir = \"/b\"\n[prometheus.main]\n\
                  url = \"http://u:p@h:1/x\"\ncontainer = \"c\"\n[[job]]\nname = \"j\"\nkind = \"block-cleanup\"\n\
                  prometheus = \"main\"\nolder_than = \"30d\"\nmax_share = 0.5\nschedule = \"0 2 * * 1-5\"\n";
    never_panics("configuration", &[shipped, small.to_vec()], 30_000, |bytes| {
        if let Ok(text) = std::str::from_utf8(bytes) {
            let parsed = Jobs::parse(text, Path::new("jobs.toml"), &|_| None, TimeZone::UTC, None);
            // Whoever reads the message is part of it.
            drop(parsed.map_err(|errors| errors.to_string()));
        }
    });
}

#[test]
fn the_reader_of_schedules() {
    let patterns = [
        "0 2 * * *",
        "*/15 9-17 * * MON-FRI",
        "0 0 31 2 *",
        "@daily",
        "@every 6h",
        "0 30 2 L * 5#3",
        "H H * * +1",
        "0 0 15W * *",
        "59 59 23 31 12 7",
    ];
    let zone = TimeZone::get("Australia/Lord_Howe").unwrap();
    let from: Timestamp = "2026-11-26T00:00:00Z".parse().unwrap();
    let patterns: Vec<Vec<u8>> = patterns.iter().map(|pattern| pattern.as_bytes().to_vec()).collect();
    never_panics("schedule", &patterns, 300_000, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(schedule) = Schedule::parse(&text, &zone, "job") {
            let next = schedule.next_after(from);
            assert!(next.is_none_or(|next| next > from), "{text:?}");
            let _ = (schedule.describe(), schedule.rhythm());
        }
    });
}

#[test]
fn the_readers_of_a_blocks_files() {
    let block = blocks::set().read_dir().unwrap().map(|entry| entry.unwrap().path());
    let block = block.filter(|path| path.join("index").is_file()).min().unwrap();
    let name = block.file_name().unwrap().to_str().unwrap().to_owned();
    let spool = std::env::temp_dir();
    let files = ["meta.json", "index", "chunks/000001", "tombstones"];
    let whole: Vec<(&str, Vec<u8>)> =
        files.iter().map(|file| (*file, fs::read(block.join(file)).unwrap_or_default())).collect();
    let check = |changed: &str, bytes: &[u8]| {
        let mut check = BlockCheck::new(&name, &spool);
        for (file, good) in whole.iter().rev() {
            let content = if *file == changed { bytes } else { good.as_slice() };
            check.begin_file(file, content.len() as u64).write_all(content).unwrap();
        }
        drop(check.finish().unwrap());
    };
    for (file, good) in &whole {
        never_panics(&format!("block, {file}"), std::slice::from_ref(good), 10_000, |bytes| {
            check(file, bytes);
        });
    }
    // A checksum that is right again leads the reader further in.
    let index = &whole[1].1;
    never_panics("block, index with the right checksums", std::slice::from_ref(index), 10_000, |bytes| {
        check("index", &with_right_checksums(bytes));
    });
}

/// The index with the checksums of its table of contents, and of the sections that it names, made right.
fn with_right_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut index = bytes.to_vec();
    let Some(toc) = index.len().checked_sub(52) else { return index };
    let number = |index: &[u8], at: usize| {
        index.get(at..at + 8).map(|b| u64::from_be_bytes(b.try_into().unwrap())).unwrap_or_default()
    };
    let sections: Vec<u64> = (0..6).map(|n| number(&index, toc + n * 8)).collect();
    for at in sections {
        let Ok(at) = usize::try_from(at) else { continue };
        let Some(body) = at.checked_add(4) else { continue };
        let Some(length) = index.get(at..body).map(|b| u32::from_be_bytes(b.try_into().unwrap())) else {
            continue;
        };
        let end = body + length as usize;
        let sum = index.get(body..end).map(crc32c::crc32c);
        if let (Some(sum), Some(place)) = (sum, index.get_mut(end..end + 4)) {
            place.copy_from_slice(&sum.to_be_bytes());
        }
    }
    let sum = crc32c::crc32c(&index[toc..toc + 48]);
    index[toc + 48..].copy_from_slice(&sum.to_be_bytes());
    index
}
