//! What restore accepts as its source, made by real tar from blocks that promtool wrote.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use watchkeeper::config::values::Compression;
use watchkeeper::progress::Progress;
use watchkeeper::prometheus::block::check_dir;
use watchkeeper::prometheus::contents::SnapshotContents;
use watchkeeper::prometheus::restore::into::into;
use watchkeeper::prometheus::restore::{Reading, RestoreError, RestoreSource, SourceError};
use watchkeeper::store::{Backup, Draft, Layout, Source, Store};

const START: i64 = 1_700_006_400;

/// A folder with six blocks of two hours each.
fn blocks() -> &'static Path {
    static DIR: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    &DIR.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let mut text = String::from("# TYPE load gauge\n");
        for series in 0..3 {
            for n in 0..360 {
                writeln!(text, "load{{host=\"h{series}\"}} {}.5 {}", n % 7, START + n * 120).unwrap();
            }
        }
        text.push_str("# EOF\n");
        let from = dir.path().join("source.om");
        std::fs::File::create(&from).unwrap().write_all(text.as_bytes()).unwrap();
        let data = dir.path().join("data");
        run(Command::new("promtool")
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([&from, &data]));
        (dir, data)
    })
    .1
}

fn names() -> Vec<String> {
    let entries = blocks().read_dir().unwrap().map(|e| e.unwrap());
    let mut names: Vec<String> = entries
        .filter(|e| e.path().join("index").exists())
        .map(|e| e.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn copy(names: &[String], to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    run(Command::new("cp").arg("-r").args(names.iter().map(|n| blocks().join(n))).arg(to));
}

fn tar(folder: &Path, what: &str) -> PathBuf {
    // Beside the folder: tar would find its own output.
    let archive = folder.with_extension("tar.gz");
    run(Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(folder).arg(what));
    archive
}

fn reading() -> Reading {
    let cancel = CancellationToken::new();
    Reading { spool: std::env::temp_dir(), progress: Progress::silent(), cancel }
}

fn source(path: &Path) -> RestoreSource {
    RestoreSource::at_path(path, &reading()).unwrap()
}

fn good(source: &RestoreSource) -> Vec<String> {
    let mut names: Vec<String> = source.good().map(|(b, _)| b.name.clone()).collect();
    names.sort();
    names
}

#[test]
fn an_archive_of_the_runbooks_script_is_restorable_and_its_blocks_have_probes() {
    let dir = tempfile::tempdir().unwrap();
    copy(&names(), &dir.path().join("snapshot_20261123_020000"));
    let found = source(&tar(dir.path(), "snapshot_20261123_020000"));
    assert_eq!(good(&found), names());
    assert!(found.blocks.iter().all(|b| !b.probes.is_empty()), "{:?}", found.blocks[0]);
    assert!(found.notes[0].contains("no manifest"), "{:?}", found.notes);
    let ends: Vec<i64> = found.good().map(|(_, m)| m.max_time).collect();
    assert!(ends.is_sorted(), "{ends:?}");
}

#[test]
fn an_archive_with_a_dot_in_front_and_a_whole_data_folder_deep_inside_is_restorable() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("x/prometheus_backup_X/snapshots/20261123T020000Z-0a");
    copy(&names(), &data);
    std::fs::create_dir_all(data.join("wal")).unwrap();
    std::fs::File::create(data.join("wal/00000000")).unwrap().write_all(b"garbage").unwrap();
    let found = source(&tar(&dir.path().join("x"), "."));
    assert_eq!(good(&found), names());
    let out = dir.path().join("out");
    into(&found, &out, &reading()).unwrap();
    assert!(!out.join("wal").exists());
}

#[test]
fn of_two_snapshots_in_one_archive_the_newest_is_taken_and_that_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("snapshot_X");
    // The order of names is not the order of age.
    copy(&names()[..3], &root.join("b-older"));
    copy(&names(), &root.join("a-newer"));
    let found = source(&tar(dir.path(), "snapshot_X"));
    assert_eq!(good(&found), names());
    assert!(
        found.notes[0].contains("2 snapshots") && found.notes[0].contains("a-newer"),
        "{:?}",
        found.notes
    );
    // Blocks of the other one must not come along.
    let unpacked = into(&found, &dir.path().join("out"), &reading()).unwrap();
    assert_eq!(unpacked.blocks.len(), names().len());
}

#[test]
fn a_folder_with_blocks_is_restorable_and_its_own_come_before_its_snapshots() {
    let dir = tempfile::tempdir().unwrap();
    copy(&names()[..2], dir.path());
    copy(&names(), &dir.path().join("snapshots/20261123T020000Z-0a"));
    assert_eq!(good(&source(dir.path())), names()[..2]);
    assert_eq!(good(&source(&dir.path().join("snapshots"))), names());
}

#[test]
fn a_damaged_block_is_found_before_anything_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("snapshot_X");
    copy(&names(), &root);
    let index = root.join(&names()[1]).join("index");
    std::fs::OpenOptions::new().write(true).open(&index).unwrap().set_len(100).unwrap();
    let archived = source(&tar(dir.path(), "snapshot_X"));
    for found in [source(&root), archived] {
        let damaged: Vec<&str> = found.damaged().map(|(block, _)| block.name.as_str()).collect();
        assert_eq!(damaged, [names()[1].as_str()]);
        assert_eq!(good(&found).len(), names().len() - 1);
    }
}

#[test]
fn what_holds_no_block_or_is_cut_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let no = |path: &Path| RestoreSource::at_path(path, &reading()).unwrap_err();
    assert!(matches!(no(&dir.path().join("none")), SourceError::Open { .. }));
    assert!(matches!(no(dir.path()), SourceError::NoBlocks { .. }));
    let text = dir.path().join("text");
    std::fs::File::create(&text).unwrap().write_all(b"hello").unwrap();
    assert!(matches!(no(&text), SourceError::Unknown { .. }));
    copy(&names(), &dir.path().join("snapshot_X"));
    let archive = tar(dir.path(), "snapshot_X");
    let size = archive.metadata().unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&archive).unwrap().set_len(size / 2).unwrap();
    assert!(matches!(no(&archive), SourceError::Archive { .. }));
}

/// A backup as the snapshot job makes one.
fn backup(root: &Path) -> Backup {
    let store = Store::open(root).unwrap();
    let job = store.job(&"prom".parse().unwrap());
    let now: jiff::Timestamp = "2026-11-23T02:00:00Z".parse().unwrap();
    let pending = job.begin(ulid::Ulid::from_parts(1, 1), now).unwrap();
    let mut writer = pending.archive(Compression::default()).unwrap();
    let mut reports = Vec::new();
    let cancel = CancellationToken::new();
    for name in names() {
        for file in ["meta.json", "index", "tombstones", "chunks/000001"] {
            let mut content = std::fs::File::open(blocks().join(&name).join(file)).unwrap();
            let size = content.metadata().unwrap().len();
            writer.file(&format!("{name}/{file}"), 0o644, 0, size, &mut content).unwrap();
        }
        reports.push(check_dir(&blocks().join(&name), &std::env::temp_dir(), &cancel, &mut |_| {}).unwrap());
    }
    writer.finish().unwrap();
    let contents = SnapshotContents::new("20261123T020000Z-0a", false, reports);
    let draft = Draft {
        kind: "prometheus-snapshot".into(),
        created: now,
        tool: "watchkeeper test".into(),
        source: Source { target: "main".into(), ..Source::default() },
        content_bytes: 1,
        damaged: false,
        lacks: Vec::new(),
        counts: std::collections::BTreeMap::new(),
        missing: Vec::new(),
        contents: serde_json::value::to_raw_value(&contents).unwrap(),
        layout: Layout::Archive,
        shared: Vec::new(),
    };
    let step = Progress::silent().step("publish", None);
    pending.publish(draft, &step, &cancel).unwrap()
}

#[test]
fn a_backup_is_found_by_its_manifest_its_archive_and_its_folder_and_unpacks_to_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let backup = backup(dir.path());
    let folder = dir.path().join("prom");
    let id = backup.id().to_string();
    let paths =
        [folder.join(format!("{id}.json")), folder.join(format!("snapshot_{id}.tar.gz")), folder.clone()];
    for path in &paths {
        let found = source(path);
        assert_eq!(found.title, format!("prom/{id}"), "{}", path.display());
        assert_eq!(good(&found), names());
        assert!(found.notes.is_empty(), "{:?}", found.notes);
    }
    let out = dir.path().join("out");
    into(&RestoreSource::of_backup(&backup).unwrap(), &out, &reading()).unwrap();
    for name in names() {
        run(Command::new("diff").arg("-r").arg(blocks().join(&name)).arg(out.join(&name)));
    }
    let again = into(&source(&folder), &out, &reading()).unwrap_err();
    assert!(matches!(again, RestoreError::Into { .. }), "{again}");
}

#[test]
fn an_archive_that_is_not_the_one_of_its_manifest_is_refused_before_it_is_unpacked() {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let dir = tempfile::tempdir().unwrap();
    let backup = backup(dir.path());
    let archive = backup.path_of(&backup.manifest.files[0]);
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(&archive).unwrap();
    let (mut byte, middle) = ([0], SeekFrom::Start(archive.metadata().unwrap().len() / 2));
    file.seek(middle).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(middle).unwrap();
    file.write_all(&[byte[0] ^ 1]).unwrap();
    let out = dir.path().join("out");
    let error = into(&source(&dir.path().join("prom")), &out, &reading()).unwrap_err();
    assert!(matches!(error, RestoreError::Source(SourceError::Damaged(_))), "{error}");
    assert_eq!(out.read_dir().unwrap().count(), 0);
}

#[test]
fn a_folder_whose_newest_backup_is_broken_is_unpacked_from_the_one_before_it_and_that_is_said() {
    let watchkeeper = crate::support::watchkeeper::Watchkeeper::with_config("");
    let folder = backup(&watchkeeper.backups_folder()).folder;
    std::fs::write(folder.join("20261124T020000Z.json"), "{").unwrap();
    let into = watchkeeper.folder().join("into");
    let (from, into) = (folder.to_str().unwrap(), into.to_str().unwrap());
    let output = watchkeeper.run(&["restore", "--from", from, "--into", into]).expect(0);
    assert!(output.stderr.contains("passed over: 20261124T020000Z.json"), "{output:?}");
}
