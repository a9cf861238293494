use std::path::PathBuf;

use super::*;
use crate::progress::Progress;
use crate::prometheus::block::Damage;
use crate::store::archive::read_tar;

const A: &str = "01HF0Z1K2M3N4P5Q6R7S8T9V0W";
const B: &str = "01HF0Z1K2M3N4P5Q6R7S8T9V0X";

fn report(name: &str) -> BlockReport {
    BlockReport { name: name.into(), meta: None, damage: Vec::new(), probes: Vec::new(), bytes: 1 }
}

/// A folder with two blocks and what else lies in a data folder. Only the first has tombstones.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for path in ["meta.json", "index", "tombstones", "chunks/000001", "chunks/000002", "index.tmp"] {
        put(&dir.path().join(A).join(path));
    }
    for path in ["meta.json", "index", "chunks/000001"] {
        put(&dir.path().join(B).join(path));
    }
    put(&dir.path().join("wal/00000001"));
    put(&dir.path().join("lock"));
    dir
}

fn put(path: &PathBuf) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    File::create(path).unwrap().write_all(path.to_str().unwrap().as_bytes()).unwrap();
}

fn streamed(dir: &Path, blocks: &[&str]) -> (Tar, Arc<Failure>) {
    let source = RestoreSource::for_tests_in(dir, blocks.iter().map(|name| report(name)).collect());
    let names = blocks.iter().map(|name| (*name).to_owned()).collect();
    let step = Arc::new(Progress::silent().step("stage", None));
    stream(Arc::new(source), names, step, CancellationToken::new()).unwrap()
}

fn paths(tar: Tar) -> Vec<String> {
    let mut paths = Vec::new();
    read_tar(tar, &mut |entry, _| {
        paths.push(entry.path.clone());
        Ok(())
    })
    .unwrap();
    paths.sort();
    paths
}

#[test]
fn nothing_but_files_of_the_wanted_blocks_is_staged() {
    let dir = folder();
    let (tar, failure) = streamed(dir.path(), &[A]);
    let files = ["", "/chunks", "/chunks/000001", "/chunks/000002", "/index", "/meta.json", "/tombstones"];
    assert_eq!(paths(tar), files.map(|file| format!("{A}{file}")));
    assert!(failure.take().is_none());
}

#[test]
fn a_block_without_tombstones_gets_some_because_a_snapshot_fails_without() {
    let dir = folder();
    let (tar, _) = streamed(dir.path(), &[A, B]);
    let mut found = Vec::new();
    read_tar(tar, &mut |entry, content| {
        if entry.path == format!("{B}/tombstones") {
            content.read_to_end(&mut found).unwrap();
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(found, EMPTY_TOMBSTONES);
}

#[test]
fn a_source_that_fails_makes_the_stream_fail_and_is_told() {
    let dir = folder();
    std::fs::remove_dir_all(dir.path().join(B)).unwrap();
    let (mut tar, failure) = streamed(dir.path(), &[A, B]);
    let error = io::copy(&mut tar, &mut io::sink()).unwrap_err();
    assert!(error.to_string().contains(B), "{error}");
    assert!(matches!(failure.take(), Some(SourceError::Open { .. })));
}

#[test]
fn a_reader_that_leaves_ends_the_producer() {
    let dir = folder();
    let large = dir.path().join(A).join("chunks/000003");
    File::create(large).unwrap().set_len(8 << 20).unwrap();
    let (mut tar, failure) = streamed(dir.path(), &[A]);
    tar.read_exact(&mut [0; 512]).unwrap();
    let producer = tar.producer.take().unwrap();
    drop(tar);
    producer.join().unwrap();
    assert!(failure.take().is_some());
}

#[test]
fn what_is_missing_damaged_or_too_much_in_the_staging_folder_is_a_difference() {
    let promised = [report(A), report(B)];
    assert_eq!(differences(&promised, &promised), [""; 0]);
    assert_eq!(differences(&promised, &promised[..1]), [format!("block {B} is missing")]);
    assert_eq!(differences(&promised[..1], &promised), [format!("block {B} should not be there")]);
    let mut damaged = report(B);
    damaged.damage.push(Damage { file: "index".into(), problem: "torn".into(), keeps_prometheus_down: true });
    assert_eq!(differences(&promised, &[report(A), damaged]), [format!("block {B}: index: torn")]);
}
