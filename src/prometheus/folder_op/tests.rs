//! The exchange is cut before each of its changes, and from there driven on or back, cut again each time. Whoever
//! looks at the live names, at any of these points, must see all of the old data or all of the new.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::exchange::{Exchange, Side};
use super::*;

pub(super) const A: &str = "01ARZ3NDEKTSV4RRFFQ69G5FA1";
pub(super) const B: &str = "01ARZ3NDEKTSV4RRFFQ69G5FA2";
pub(super) const C: &str = "01ARZ3NDEKTSV4RRFFQ69G5FA3";
const D: &str = "01ARZ3NDEKTSV4RRFFQ69G5FA4";

/// What is found at a live name: the content of its file.
type View = BTreeMap<String, String>;

pub(super) fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

pub(super) fn block(side: &Path, name: &str, text: &str) {
    for file in ["meta.json", "index", "chunks/000001", "tombstones"] {
        write(&side.join(name).join(file), text);
    }
}

/// What Prometheus would find: each part of each block, and the WAL.
fn view(root: &Path) -> View {
    let mut view = View::new();
    for name in files::data_names(root).unwrap() {
        let parts: &[&str] = if files::is_block(&name) {
            &["meta.json", "index", "chunks/000001", "tombstones"]
        } else {
            &["00000000"]
        };
        for part in parts {
            if let Ok(text) = fs::read_to_string(root.join(&name).join(part)) {
                view.insert(format!("{name}/{part}"), text);
            }
        }
    }
    view
}

pub(super) struct Folder {
    dir: TempDir,
    pub(super) work: PathBuf,
}

impl Folder {
    /// Old: A, B, WAL. New: B and C, and a WAL of its own; D is a temporary folder of Prometheus.
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        block(root, A, "old");
        block(root, B, "old");
        write(&root.join("wal/00000000"), "old");
        write(&root.join("wbl/00000000"), "old");
        write(&root.join("snapshots/foreign/x"), "foreign");
        write(&root.join(format!("{D}.tmp-for-creation/meta.json")), "temporary");
        write(&root.join("queries.active"), "");
        let work = root.join(".watchkeeper-restore-x");
        block(&work.join("new"), B, "new");
        block(&work.join("new"), C, "new");
        write(&work.join("new/wal/00000000"), "new");
        fs::create_dir_all(work.join("new/chunks_head")).unwrap();
        fs::create_dir_all(work.join("old")).unwrap();
        std::os::unix::fs::symlink("old", work.join("current")).unwrap();
        Self { dir, work }
    }

    pub(super) fn root(&self) -> &Path {
        self.dir.path()
    }

    /// Drives with so many changes allowed; true when it arrived.
    pub(super) fn drive(&self, goal: Side, budget: usize, atomic: bool) -> bool {
        let exchange = Exchange::new(self.root(), &self.work, atomic);
        exchange.budget.set(budget);
        exchange.drive(goal).is_ok()
    }

    fn assert_settled(&self, goal: Side, seen: &View, what: &str) {
        assert_eq!(&view(self.root()), seen, "{what}");
        for side in ["old", "new"] {
            for name in files::names(&self.work.join(side)).unwrap() {
                assert!(
                    !shim::is_shim(&self.work.join(side).join(&name)).unwrap(),
                    "{what}: shim {side}/{name}"
                );
            }
        }
        for name in files::names(self.root()).unwrap() {
            assert!(!shim::is_shim(&self.root().join(&name)).unwrap(), "{what}: live shim {name}");
        }
        let (live, aside) = if goal == Side::Old { ("old", "new") } else { ("new", "old") };
        assert!(
            files::data_names(&self.work.join(live)).unwrap().is_empty(),
            "{what}: all of {live} is live"
        );
        assert!(!files::data_names(&self.work.join(aside)).unwrap().is_empty(), "{what}: {aside} is kept");
        assert_eq!(fs::read_to_string(self.root().join("snapshots/foreign/x")).unwrap(), "foreign");
        assert!(self.root().join("queries.active").exists());
    }
}

fn views() -> (View, View) {
    let folder = Folder::new();
    let old = view(folder.root());
    assert!(folder.drive(Side::New, usize::MAX, true));
    let new = view(folder.root());
    assert_eq!(old.len(), 2 * 4 + 2);
    assert_eq!(new.len(), 2 * 4 + 1);
    assert!(old.values().all(|text| text == "old") && new.values().all(|text| text == "new"));
    (old, new)
}

#[test]
fn cut_anywhere_all_old_or_all_new_is_seen_and_both_ways_out_arrive() {
    let (old, new) = views();
    for first in 0.. {
        let folder = Folder::new();
        if folder.drive(Side::New, first, true) {
            assert!(first > 10, "the exchange makes many changes");
            return;
        }
        for goal in [Side::New, Side::Old] {
            for second in 0.. {
                let folder = Folder::new();
                folder.drive(Side::New, first, true);
                let seen = view(folder.root());
                assert!(seen == old || seen == new, "cut at {first}: {seen:?}");
                let arrived = folder.drive(goal, second, true);
                let seen = view(folder.root());
                assert!(seen == old || seen == new, "cut at {first}, then to {goal:?} at {second}: {seen:?}");
                let what = format!("cut at {first}, then to {goal:?} at {second}");
                assert!(folder.drive(goal, usize::MAX, true), "{what}");
                folder.assert_settled(goal, if goal == Side::Old { &old } else { &new }, &what);
                if arrived {
                    break;
                }
            }
        }
    }
}

#[test]
fn undone_after_it_arrived_the_old_is_back_and_what_was_written_since_is_kept() {
    let (old, _) = views();
    for cut in 0.. {
        let folder = Folder::new();
        assert!(folder.drive(Side::New, usize::MAX, true));
        block(folder.root(), A, "since");
        write(&folder.root().join("wal/00000001"), "since");
        let arrived = folder.drive(Side::Old, cut, true);
        assert!(folder.drive(Side::Old, usize::MAX, true));
        folder.assert_settled(Side::Old, &old, &format!("cut at {cut}"));
        let aside = folder.work.join("new");
        assert_eq!(fs::read_to_string(aside.join(A).join("index")).unwrap(), "since");
        assert_eq!(fs::read_to_string(aside.join("wal/00000001")).unwrap(), "since");
        if arrived {
            return;
        }
    }
}

#[test]
fn a_prometheus_that_ran_in_the_middle_may_have_added_and_removed_blocks() {
    for cut in 1.. {
        let folder = Folder::new();
        if folder.drive(Side::New, cut, true) {
            return;
        }
        // It cut a block from the head, and removed what looked obsolete to it.
        block(folder.root(), D, "middle");
        let shims: Vec<String> = files::data_names(folder.root()).unwrap();
        if let Some(name) = shims.iter().find(|name| shim::is_shim(&folder.root().join(name)).unwrap()) {
            files::remove(&folder.root().join(name)).unwrap();
        }
        assert!(folder.drive(Side::Old, usize::MAX, true), "cut at {cut}");
        let seen = view(folder.root());
        for name in [A, B] {
            assert_eq!(seen[&format!("{name}/index")], "old", "cut at {cut}");
        }
        assert_eq!(seen["wal/00000000"], "old", "cut at {cut}");
        let kept = [folder.root().to_path_buf(), folder.work.join("new")];
        assert!(kept.iter().any(|place| place.join(D).join("index").exists()), "cut at {cut}");
    }
}

#[test]
fn without_an_atomic_exchange_every_cut_still_arrives_either_way() {
    let (old, new) = views();
    for cut in 0.. {
        let mut arrived = false;
        for (goal, seen) in [(Side::New, &new), (Side::Old, &old)] {
            let folder = Folder::new();
            arrived = folder.drive(Side::New, cut, false);
            assert!(folder.drive(goal, usize::MAX, false), "cut at {cut} to {goal:?}");
            folder.assert_settled(goal, seen, &format!("cut at {cut} to {goal:?}"));
        }
        if arrived {
            return;
        }
    }
}

pub(super) fn op(root: &Path, op: &FolderOp) -> FolderReply {
    perform(root, op, &mut |_| {}, &CancellationToken::new())
}

pub(super) fn restored(reply: FolderReply) -> RestoreState {
    match reply {
        FolderReply::Restore(state) => state,
        other => panic!("{other:?}"),
    }
}

pub(super) fn refused(reply: FolderReply) -> String {
    match reply {
        FolderReply::Failed(failure) => failure.reason,
        other => panic!("{other:?}"),
    }
}

pub(super) fn note(restore: Ulid) -> RestoreNote {
    let began = "2026-11-24T00:00:00Z".parse().unwrap();
    RestoreNote { restore, began, source: "job/20261124T000000Z".into(), blocks: vec![] }
}

#[test]
fn a_restore_goes_through_its_phases_and_refuses_what_is_out_of_order() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    block(root, A, "old");
    let restore = Ulid::from_parts(5, 5);
    assert_eq!(restored(op(root, &FolderOp::Prepare { note: note(restore) })).phase, Phase::Staging);
    let another = Ulid::from_parts(6, 6);
    assert!(refused(op(root, &FolderOp::Prepare { note: note(another) })).contains("is not finished"));
    assert!(refused(op(root, &FolderOp::Swap { restore })).contains("staged and checked"));
    assert!(refused(op(root, &FolderOp::Accept { restore })).contains("not live"));
    assert!(
        matches!(op(root, &FolderOp::CheckStaged { restore }), FolderReply::Staged { blocks } if blocks.is_empty())
    );
    let swapped = restored(op(root, &FolderOp::Swap { restore }));
    assert_eq!((swapped.phase, swapped.set_aside_bytes), (Phase::Swapped, 12));
    assert!(refused(op(root, &FolderOp::Discard { restore })).contains("not finished"));
    assert_eq!(restored(op(root, &FolderOp::Accept { restore })).phase, Phase::Proven);
    assert_eq!(restored(op(root, &FolderOp::Undo { restore })).phase, Phase::Undone);
    assert!(root.join(A).join("index").exists());
    assert!(refused(op(root, &FolderOp::Swap { restore })).contains("taken back"));
    assert!(
        matches!(op(root, &FolderOp::Discard { restore }), FolderReply::Folder(state) if state.restores.is_empty())
    );
    let left: Vec<String> =
        files::names(root).unwrap().into_iter().filter(|name| name.starts_with('.')).collect();
    assert_eq!(left, [".watchkeeper-restored.json"]);
}

fn inspected(root: &Path) -> FolderState {
    match op(root, &FolderOp::Inspect) {
        FolderReply::Folder(state) => state,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_restore_put_in_place_is_remembered_when_its_work_folder_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    block(root, A, "old");
    let (first, second) = (Ulid::from_parts(5, 5), Ulid::from_parts(6, 6));
    for restore in [first, second] {
        op(root, &FolderOp::Prepare { note: note(restore) });
        op(root, &FolderOp::CheckStaged { restore });
        op(root, &FolderOp::Swap { restore });
        op(root, &FolderOp::Accept { restore });
        op(root, &FolderOp::Discard { restore });
    }
    let past: Vec<(Ulid, Phase)> =
        inspected(root).past.iter().map(|state| (state.note.restore, state.phase)).collect();
    assert_eq!(past, [(first, Phase::Proven), (second, Phase::Proven)]);
    // One that put nothing in place is none.
    let third = Ulid::from_parts(7, 7);
    op(root, &FolderOp::Prepare { note: note(third) });
    op(root, &FolderOp::Discard { restore: third });
    assert_eq!(inspected(root).past.len(), 2);
    fs::remove_file(root.join(".watchkeeper-restored.json")).unwrap();
    write(&root.join(".watchkeeper-restored.json"), "[{");
    let state = inspected(root);
    assert!(state.past_problem.unwrap().contains("is damaged"), "{:?}", state.past);
}

/// A block whose `meta.json` says so.
fn real_block(root: &Path, name: &str, max_time: i64) -> DoomedBlock {
    block(root, name, "x");
    let meta = format!(
        "{{\"ulid\":\"{name}\",\"minTime\":0,\"maxTime\":{max_time},\"stats\":{{\"numSamples\":5}},\
         \"compaction\":{{\"level\":1}},\"version\":1}}"
    );
    fs::remove_file(root.join(name).join("meta.json")).unwrap();
    write(&root.join(name).join("meta.json"), &meta);
    DoomedBlock { name: name.into(), max_time, samples: 5 }
}

#[test]
fn blocks_are_removed_with_what_an_earlier_removal_left_and_a_second_time_finds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let doomed = real_block(root, A, 100);
    real_block(root, B, 200);
    block(&root.join("snapshots/s"), C, "kept");
    fs::remove_file(root.join(A).join("index")).unwrap();
    fs::hard_link(root.join("snapshots/s").join(C).join("index"), root.join(A).join("index")).unwrap();
    block(root, &format!("{D}.tmp-for-deletion"), "left");
    let remove = || op(root, &FolderOp::RemoveBlocks { blocks: vec![doomed.clone()] });
    let FolderReply::Removed { blocks } = remove() else { panic!() };
    let found: Vec<(&str, u64)> = blocks.iter().map(|b| (b.name.as_str(), b.linked_bytes)).collect();
    assert_eq!(found, [(A, 4), (D, 0)]);
    assert_eq!(files::data_names(root).unwrap(), [B]);
    assert!(matches!(remove(), FolderReply::Removed { blocks } if blocks.is_empty()));
}

#[test]
fn nothing_is_removed_where_a_block_is_another_or_the_newest_or_prometheus_or_a_restore_is_at_work() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let (a, b) = (real_block(root, A, 100), real_block(root, B, 200));
    let refused = |blocks: &[&DoomedBlock]| {
        let blocks = blocks.iter().map(|block| (*block).clone()).collect();
        let reason = refused(op(root, &FolderOp::RemoveBlocks { blocks }));
        assert!(root.join(A).join("index").exists() && root.join(B).join("index").exists());
        reason
    };
    let another = DoomedBlock { samples: 6, ..a.clone() };
    assert!(refused(&[&another]).contains("no longer the block that was decided about"));
    assert!(refused(&[&b]).contains("no block would stay"));
    assert!(refused(&[&a, &b]).contains("no block would stay"));
    let outside = DoomedBlock { name: "../x".into(), ..a.clone() };
    assert!(refused(&[&outside]).contains("not the name of a block"));
    block(root, &format!("{C}.tmp-for-creation"), "new");
    assert!(refused(&[&a]).contains("Prometheus writes a block"));
    files::remove(&root.join(format!("{C}.tmp-for-creation"))).unwrap();
    op(root, &FolderOp::Prepare { note: note(Ulid::from_parts(5, 5)) });
    assert!(refused(&[&a]).contains("restore into this data folder is not finished"));
}

#[test]
fn a_staged_block_that_is_damaged_or_missing_is_told_and_what_is_foreign_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let restore = Ulid::from_parts(5, 5);
    op(root, &FolderOp::Prepare { note: RestoreNote { blocks: vec![B.into()], ..note(restore) } });
    assert!(refused(op(root, &FolderOp::CheckStaged { restore })).contains("list the block folder"));
    block(&root.join(staging(restore)), B, "garbage");
    let FolderReply::Staged { blocks } = op(root, &FolderOp::CheckStaged { restore }) else { panic!() };
    assert!(!blocks[0].is_good());
    write(&root.join(staging(restore)).join("etc/passwd"), "x");
    assert!(refused(op(root, &FolderOp::CheckStaged { restore })).contains("does not belong there"));
}

#[test]
fn staged_files_get_the_owner_of_the_data_folder() {
    if !rustix::process::geteuid().is_root() {
        return; // only root can give files away
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    std::os::unix::fs::chown(root, Some(65534), Some(65534)).unwrap();
    let restore = Ulid::from_parts(5, 5);
    op(root, &FolderOp::Prepare { note: RestoreNote { blocks: vec![B.into()], ..note(restore) } });
    block(&root.join(staging(restore)), B, "x");
    op(root, &FolderOp::CheckStaged { restore });
    files::walk(&root.join(staging(restore)), &mut |path, metadata| {
        assert_eq!((metadata.uid(), metadata.gid()), (65534, 65534), "{}", path.display());
        let mode = if metadata.is_dir() { 0o755 } else { 0o644 };
        assert_eq!(metadata.mode() & 0o7777, mode, "{}", path.display());
        Ok(())
    })
    .unwrap();
}

#[test]
fn in_a_folder_of_somebody_else_the_owner_is_whom_the_wal_belongs_to() {
    if !rustix::process::geteuid().is_root() {
        return; // only root can give files away
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::create_dir(root.join("wal")).unwrap();
    std::os::unix::fs::chown(root.join("wal"), Some(65534), Some(65533)).unwrap();
    let restore = Ulid::from_parts(5, 5);
    op(root, &FolderOp::Prepare { note: note(restore) });
    op(root, &FolderOp::CheckStaged { restore });
    assert_eq!(restored(op(root, &FolderOp::Swap { restore })).phase, Phase::Swapped);
    let metadata = fs::metadata(root.join("wal")).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (65534, 65533));
    let FolderReply::Folder(state) = op(root, &FolderOp::Inspect) else { panic!() };
    assert_eq!((state.owner.uid, state.owner.gid), (65534, 65533));
}

#[test]
fn only_a_plain_name_names_a_snapshot_and_links_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    write(&root.join("snapshots/ours/x"), "x");
    write(&root.join("snapshots/foreign/x"), "x");
    write(&root.join("precious/x"), "x");
    std::os::unix::fs::symlink("../precious", root.join("snapshots/link")).unwrap();
    for name in ["", ".", "..", "../precious", "ours/x", "/etc"] {
        let reply = op(root, &FolderOp::RemoveSnapshot { name: name.into() });
        assert!(matches!(reply, FolderReply::Failed(_)), "{name:?}");
    }
    let FolderReply::Folder(state) = op(root, &FolderOp::RemoveSnapshot { name: "ours".into() }) else {
        panic!()
    };
    assert_eq!(state.snapshots, ["foreign", "link"]);
    // The link goes, and not what it leads to.
    assert!(matches!(op(root, &FolderOp::FindSnapshot { name: "link".into() }), FolderReply::Failed(_)));
    let FolderReply::Folder(state) = op(root, &FolderOp::RemoveSnapshot { name: "link".into() }) else {
        panic!()
    };
    assert_eq!(state.snapshots, ["foreign"]);
    assert!(root.join("precious/x").exists());
    assert!(matches!(op(root, &FolderOp::RemoveSnapshot { name: "ours".into() }), FolderReply::Folder(_)));
}

#[test]
fn a_folder_in_use_is_not_exchanged() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let restore = Ulid::from_parts(5, 5);
    op(root, &FolderOp::Prepare { note: note(restore) });
    op(root, &FolderOp::CheckStaged { restore });
    write(&root.join("lock"), "");
    let lock = fs::File::open(root.join("lock")).unwrap();
    lock.lock().unwrap();
    assert!(refused(op(root, &FolderOp::Swap { restore })).contains("still runs"));
    drop(lock);
    assert_eq!(restored(op(root, &FolderOp::Swap { restore })).phase, Phase::Swapped);
}

#[test]
fn served_as_json_the_last_line_is_the_reply() {
    let dir = tempfile::tempdir().unwrap();
    let mut out = Vec::new();
    serve(dir.path(), r#"{"op":"inspect"}"#, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let reply: FolderReply = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert!(matches!(reply, FolderReply::Folder(_)));
    let mut out = Vec::new();
    serve(dir.path(), "nonsense", &mut out).unwrap();
    assert!(String::from_utf8(out).unwrap().contains("Could not read the operation"));
}
