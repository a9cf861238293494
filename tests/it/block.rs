//! The block check against blocks that promtool wrote.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use watchkeeper::prometheus::block::{BlockReport, check_dir};

/// Start of the block: a multiple of two hours, in seconds.
const START: i64 = 1_700_006_400;
const SERIES: usize = 300;

/// A block of 300 series over two hours; one of them ends early, as a counter of one sample does.
fn original() -> &'static Path {
    static DIR: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    &DIR.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let mut text = String::from("# TYPE load gauge\n");
        for series in 0..SERIES {
            let samples = if series == 7 { 1 } else { 480 };
            for n in 0..samples {
                let (value, at) = ((series * 31 + n * n) % 977, START + i64::try_from(n).unwrap() * 15);
                writeln!(text, "load{{host=\"host-{series}\",zone=\"ä\\\"b\"}} {value}.25 {at}").unwrap();
            }
        }
        text.push_str("# EOF\n");
        let source = dir.path().join("source.om");
        std::fs::File::create(&source).unwrap().write_all(text.as_bytes()).unwrap();
        let out = dir.path().join("data");
        let made = Command::new("promtool")
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([&source, &out])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let block =
            out.read_dir().unwrap().map(|e| e.unwrap().path()).find(|p| p.join("index").exists()).unwrap();
        (dir, block)
    })
    .1
}

/// A copy of the block that may be damaged.
fn copy() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let block = dir.path().join(original().file_name().unwrap());
    let copied = Command::new("cp").arg("-r").arg(original()).arg(&block).status().unwrap();
    assert!(copied.success());
    (dir, block)
}

fn check(block: &Path) -> BlockReport {
    check_dir(block, &std::env::temp_dir(), &CancellationToken::new(), &mut |_| {}).unwrap()
}

fn flip(file: &Path, at: u64) {
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(at)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[byte[0] ^ 0x10]).unwrap();
}

fn cut(file: &Path, to: u64) {
    std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(to).unwrap();
}

fn size(file: &Path) -> u64 {
    file.metadata().unwrap().len()
}

fn replace(file: &Path, bytes: &[u8]) {
    std::fs::File::create(file).unwrap().write_all(bytes).unwrap();
}

/// Damages a copy and returns what the check says of it: the files it names, and whether Prometheus stays down.
fn damaged(damage: impl FnOnce(&Path)) -> (Vec<String>, bool, BlockReport) {
    let (_dir, block) = copy();
    damage(&block);
    let report = check(&block);
    let files = report.damage.iter().map(|d| d.file.clone()).collect();
    (files, report.damage.iter().any(|d| d.keeps_prometheus_down), report)
}

#[test]
fn a_block_of_promtool_is_good() {
    let report = check(original());
    assert_eq!(report.damage, []);
    let stats = report.meta.unwrap().stats;
    assert_eq!((stats.num_series, stats.num_samples), (SERIES as u64, (SERIES as u64 - 1) * 480 + 1));
}

#[test]
fn probes_count_the_samples_that_are_there() {
    let report = check(original());
    assert!(!report.probes.is_empty());
    for probe in &report.probes {
        let host: usize = probe.labels["host"].strip_prefix("host-").unwrap().parse().unwrap();
        let expected = BTreeMap::from([("__name__", "load"), ("zone", "ä\"b")]);
        assert!(expected.iter().all(|(name, value)| probe.labels[*name] == *value), "{probe:?}");
        let samples = if host == 7 { 1 } else { 480 };
        assert_eq!(probe.samples, samples);
        assert_eq!(
            (probe.first, probe.last),
            (START * 1000, (START + 15 * (i64::try_from(samples).unwrap() - 1)) * 1000)
        );
    }
}

/// What is done to a block, the file it concerns, whether Prometheus stays down, and how it is done.
type Row = (&'static str, &'static str, bool, fn(&Path));

#[test]
fn every_row_of_what_can_be_wrong_with_a_block_is_named_with_its_file() {
    let rows: [Row; 15] = [
        ("a byte of a chunk flipped", "chunks/000001", false, |b| flip(&b.join("chunks/000001"), 60)),
        ("the chunk file cut in half", "chunks/000001", false, |b| {
            let file = b.join("chunks/000001");
            cut(&file, size(&file) / 2);
        }),
        ("the chunk file missing, its folder there", "chunks/000001", true, |b| {
            std::fs::remove_file(b.join("chunks/000001")).unwrap();
        }),
        ("the magic of the chunk file flipped", "chunks/000001", true, |b| flip(&b.join("chunks/000001"), 1)),
        ("an empty chunk file", "chunks/000001", true, |b| cut(&b.join("chunks/000001"), 0)),
        ("the folder chunks missing", "chunks", true, |b| std::fs::remove_dir_all(b.join("chunks")).unwrap()),
        ("a byte of a series flipped", "index", false, |b| {
            let file = b.join("index");
            flip(&file, series_start(&file) + 3);
        }),
        ("a byte of the symbols flipped", "index", true, |b| flip(&b.join("index"), 20)),
        ("the table of contents flipped", "index", true, |b| {
            flip(&b.join("index"), size(&b.join("index")) - 20);
        }),
        ("the index cut", "index", true, |b| cut(&b.join("index"), size(&b.join("index")) - 100)),
        ("the index missing", "index", true, |b| std::fs::remove_file(b.join("index")).unwrap()),
        ("a wrong checksum of the tombstones", "tombstones", true, |b| flip(&b.join("tombstones"), 7)),
        ("an empty meta.json", "meta.json", true, |b| cut(&b.join("meta.json"), 0)),
        ("no meta.json", "meta.json", true, |b| std::fs::remove_file(b.join("meta.json")).unwrap()),
        ("a meta.json of another block", "meta.json", false, |b| {
            let text = std::fs::read_to_string(b.join("meta.json")).unwrap();
            let name = b.file_name().unwrap().to_str().unwrap();
            replace(&b.join("meta.json"), text.replace(name, "01ARZ3NDEKTSV4RRFFQ69G5FAV").as_bytes());
        }),
    ];
    for (what, file, down, damage) in rows {
        let (files, is_down, report) = damaged(damage);
        assert!(files.iter().any(|f| f.starts_with(file)), "{what}: {:?}", report.damage);
        // A missing chunk file is the one row that is judged more strictly than Prometheus does: it starts, and serves nothing.
        assert_eq!(is_down, down, "{what}: {:?}", report.damage);
        assert!(report.probes.is_empty(), "{what}: nothing of a damaged block is promised");
    }
}

/// Where the series begin, from the table of contents.
fn series_start(index: &Path) -> u64 {
    let bytes = std::fs::read(index).unwrap();
    let toc = bytes.len() - 52;
    u64::from_be_bytes(bytes[toc + 8..toc + 16].try_into().unwrap())
}

#[test]
fn counts_that_do_not_agree_with_meta_json_are_damage() {
    let (files, _, report) = damaged(|b| {
        let text = std::fs::read_to_string(b.join("meta.json")).unwrap();
        replace(&b.join("meta.json"), text.replace("\"numSeries\": 300", "\"numSeries\": 301").as_bytes());
    });
    assert_eq!(files, ["index"], "{:?}", report.damage);
    assert_eq!(report.damage[0].problem, "meta.json counts 301 series, but 300 are there");
}

#[test]
fn a_flipped_bit_anywhere_in_chunks_or_index_is_found_but_in_padding() {
    for file in ["chunks/000001", "index"] {
        let bytes = std::fs::read(original().join(file)).unwrap();
        let (_dir, block) = copy();
        for n in 0..400_u64 {
            let at = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % bytes.len() as u64;
            flip(&block.join(file), at);
            let found = !check(&block).is_good();
            flip(&block.join(file), at);
            // A zero between zeros, or before the start of an entry, is covered by no checksum.
            let padding = bytes[usize::try_from(at).unwrap()] == 0;
            assert!(found || padding, "{file}, byte {at}");
        }
        assert!(check(&block).is_good());
    }
}

#[test]
fn a_file_that_cannot_be_read_is_damage_and_not_an_error() {
    let (files, down, _) = damaged(|b| {
        std::fs::remove_file(b.join("index")).unwrap();
        std::os::unix::fs::symlink("/nonexistent", b.join("index")).unwrap();
    });
    assert!(files.contains(&"index".to_owned()) && down);
}

/// Changes a byte of an index inside a section or series whose checksum is made right again.
fn forge(index: &Path, covered: std::ops::Range<usize>, at: usize, change: impl FnOnce(u8) -> u8) {
    let mut bytes = std::fs::read(index).unwrap();
    bytes[at] = change(bytes[at]);
    let crc = crc32c::crc32c(&bytes[covered.clone()]).to_be_bytes();
    bytes[covered.end..covered.end + 4].copy_from_slice(&crc);
    replace(index, &bytes);
}

fn number(bytes: &[u8], at: usize) -> usize {
    usize::try_from(u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap()
}

#[test]
fn a_list_of_all_series_that_names_another_one_is_damage_although_its_checksum_is_right() {
    let (_, _, report) = damaged(|b| {
        let bytes = std::fs::read(b.join("index")).unwrap();
        let list = number(&bytes, bytes.len() - 52 + 32).next_multiple_of(4);
        let length = usize::try_from(u32::from_be_bytes(bytes[list..list + 4].try_into().unwrap())).unwrap();
        forge(&b.join("index"), list + 4..list + 4 + length, list + 11, |byte| byte + 1);
    });
    let problem = "the list of all series does not name the series that are there";
    assert!(report.damage.iter().any(|d| d.problem == problem), "{:?}", report.damage);
}

#[test]
fn a_series_that_refers_to_a_place_without_a_chunk_is_damage_although_its_checksum_is_right() {
    let (_, _, report) = damaged(|b| {
        let bytes = std::fs::read(b.join("index")).unwrap();
        let at = number(&bytes, bytes.len() - 52 + 8).next_multiple_of(16);
        let length = usize::from(bytes[at]);
        assert!(length < 128, "the length of an entry is one byte");
        // The last byte of an entry is the last chunk's place, as a difference.
        forge(&b.join("index"), at + 1..at + 1 + length, at + length, |byte| byte ^ 2);
    });
    let problem = "chunks do not lie where the index says";
    assert!(report.damage.iter().any(|d| d.problem == problem), "{:?}", report.damage);
}
