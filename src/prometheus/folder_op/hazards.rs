//! Tests of what lies in the way of an exchange: a Prometheus that starts or writes in the middle, folders that are
//! more than folders, and operations that were killed and come again.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;

use super::exchange::{Exchange, Side};
use super::tests::{A, B, C, Folder, block, note, op, refused, restored, write};
use super::*;

fn is_folder(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Prometheus 2.42 exits with "mkdir wal: file exists" where one of these is a link that leads nowhere.
fn assert_no_head_dangles(root: &Path, what: &str) {
    for head in ["wal", "wbl", "chunks_head"] {
        let path = root.join(head);
        assert!(files::look(&path).unwrap().is_none() || is_folder(&path), "{what}: {head} dangles");
    }
}

fn cut_everywhere(make: &dyn Fn() -> Folder, check: &dyn Fn(&Folder, &str)) {
    for back in [false, true] {
        for cut in 0.. {
            let folder = make();
            let goal = if back {
                assert!(folder.drive(Side::New, usize::MAX, true));
                Side::Old
            } else {
                Side::New
            };
            let arrived = folder.drive(goal, cut, true);
            check(&folder, &format!("to {goal:?} cut at {cut}"));
            if arrived {
                break;
            }
        }
    }
}

#[test]
fn the_folders_of_the_head_never_dangle_whichever_set_lacks_them() {
    cut_everywhere(&Folder::new, &|folder, what| assert_no_head_dangles(folder.root(), what));
    let emptied = || {
        let folder = Folder::new();
        for name in files::data_names(folder.root()).unwrap() {
            files::remove(&folder.root().join(name)).unwrap();
        }
        folder
    };
    cut_everywhere(&emptied, &|folder, what| assert_no_head_dangles(folder.root(), what));
}

#[test]
fn shims_belong_to_the_owner_of_the_data_folder_or_prometheus_cannot_delete_them() {
    if !rustix::process::geteuid().is_root() {
        return; // only root can give files away
    }
    let make = || {
        let folder = Folder::new();
        // As for a bind mount: the folder is root's, and what Prometheus has made is not.
        for place in [folder.root().join("wal"), folder.work.join("new/wal"), folder.work.clone()] {
            std::os::unix::fs::chown(place, Some(65534), Some(65534)).unwrap();
        }
        folder
    };
    cut_everywhere(&make, &|folder, what| {
        for name in files::data_names(folder.root()).unwrap() {
            let path = folder.root().join(&name);
            if shim::is_shim(&path).unwrap() {
                let found = fs::symlink_metadata(&path).unwrap();
                assert_eq!((found.uid(), found.gid()), (65534, 65534), "{what}: {name}");
            }
        }
        assert_eq!(inspect::owner(folder.root()).unwrap(), (65534, 65534), "{what}");
    });
}

#[test]
fn what_a_prometheus_wrote_into_shims_stays_with_the_set_it_was_written_to() {
    for cut in 0.. {
        let folder = Folder::new();
        let arrived = folder.drive(Side::New, cut, true);
        // A series of A and of B is deleted through the API: both files are replaced by a rename.
        let current = fs::read_link(folder.work.join("current")).unwrap();
        for (name, part) in [(A, "tombstones"), (A, "meta.json"), (B, "tombstones"), (B, "meta.json")] {
            let place = folder.root().join(name);
            if place.join("index").exists() {
                write(&place.join("part.tmp"), "deleted");
                fs::rename(place.join("part.tmp"), place.join(part)).unwrap();
            }
        }
        for second in 0.. {
            let driven = folder.drive(Side::New, second, true);
            let found = fs::read_to_string(folder.root().join(A).join("meta.json")).is_ok();
            let index = folder.root().join(A).join("index").exists();
            assert_eq!(
                found, index,
                "cut at {cut}, {second}: Prometheus takes half a block for a corrupt one"
            );
            if driven {
                break;
            }
        }
        let text = |place: &Path| fs::read_to_string(place.join("tombstones")).unwrap();
        let was_old = current.to_str() == Some("old");
        let b_now = if was_old { "new" } else { "deleted" };
        assert_eq!(text(&folder.root().join(B)), b_now, "cut at {cut}");
        assert!(folder.drive(Side::Old, usize::MAX, true));
        let old = if was_old { "deleted" } else { "old" };
        assert_eq!(text(&folder.root().join(A)), old, "cut at {cut}");
        assert_eq!(text(&folder.root().join(B)), old, "cut at {cut}");
        if arrived {
            break;
        }
    }
}

#[test]
fn a_shim_that_prometheus_half_deleted_is_not_taken_for_data() {
    let folder = Folder::new();
    // Everything live is covered by shims, and nothing is turned yet.
    let covered = (0..100).find(|cut| {
        folder.drive(Side::New, *cut, true);
        shim::is_shim(&folder.root().join(A)).unwrap()
    });
    assert!(covered.is_some());
    let dying = folder.root().join(format!("{A}.tmp-for-deletion"));
    fs::rename(folder.root().join(A), &dying).unwrap();
    for name in [".watchkeeper-shim", "meta.json"] {
        files::remove(&dying.join(name)).unwrap();
    }
    assert!(folder.drive(Side::Old, usize::MAX, true));
    assert!(files::look(&dying).unwrap().is_none());
    assert_eq!(fs::read_to_string(folder.root().join(A).join("index")).unwrap(), "old");
}

#[test]
fn a_wal_that_is_a_link_to_another_disk_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let root = dir.path();
    write(&elsewhere.path().join("00000000"), "precious");
    symlink(elsewhere.path(), root.join("wal")).unwrap();
    block(root, A, "old");
    let restore = Ulid::from_parts(5, 5);
    assert!(refused(op(root, &FolderOp::Prepare { note: note(restore) })).contains("symbolic link"));
    fs::remove_file(root.join("wal")).unwrap();
    op(root, &FolderOp::Prepare { note: note(restore) });
    op(root, &FolderOp::CheckStaged { restore });
    symlink(elsewhere.path(), root.join("wal")).unwrap();
    assert!(refused(op(root, &FolderOp::Swap { restore })).contains("symbolic link"));
    let FolderReply::Folder(state) = op(root, &FolderOp::Inspect) else { panic!() };
    assert_eq!(state.restores[0].phase, Phase::Staging, "refused before anything was touched");
    assert_eq!(fs::read_to_string(root.join("wal/00000000")).unwrap(), "precious");
    assert!(!shim::is_shim(&root.join("wal")).unwrap());
}

#[test]
fn a_folder_that_holds_something_else_is_no_data_folder() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let restore = Ulid::from_parts(5, 5);
    write(&root.join("letters/to-my-mother"), "dear");
    assert!(refused(op(root, &FolderOp::Prepare { note: note(restore) })).contains("data folder"));
    assert!(refused(op(Path::new("/"), &FolderOp::Prepare { note: note(restore) })).contains("data folder"));
    fs::create_dir(root.join("chunks_head")).unwrap();
    assert_eq!(restored(op(root, &FolderOp::Prepare { note: note(restore) })).phase, Phase::Staging);
}

#[test]
fn what_was_killed_while_preparing_or_discarding_is_done_again_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let hidden = || files::names(root).unwrap().into_iter().filter(|name| name.starts_with('.')).count();
    let restore = Ulid::from_parts(5, 5);
    let prepare = FolderOp::Prepare { note: note(restore) };
    write(&root.join(format!(".watchkeeper-preparing-{restore}/old/x")), "half");
    assert_eq!(restored(op(root, &prepare)).phase, Phase::Staging);
    assert_eq!(restored(op(root, &prepare)).phase, Phase::Staging);
    assert_eq!(hidden(), 1);
    let discard = FolderOp::Discard { restore };
    assert!(matches!(op(root, &discard), FolderReply::Folder(_)));
    assert_eq!(hidden(), 0);
    write(&root.join(format!(".watchkeeper-discarded-{restore}/old/x")), "half");
    assert!(matches!(op(root, &discard), FolderReply::Folder(_)), "a second time finds nothing left to do");
    assert_eq!(hidden(), 0);
}

#[test]
fn while_one_restore_is_unfinished_an_earlier_one_is_not_undone() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let (first, second) = (Ulid::from_parts(5, 5), Ulid::from_parts(6, 6));
    op(root, &FolderOp::Prepare { note: note(first) });
    for restore in [FolderOp::CheckStaged { restore: first }, FolderOp::Swap { restore: first }] {
        op(root, &restore);
    }
    op(root, &FolderOp::Accept { restore: first });
    op(root, &FolderOp::Prepare { note: note(second) });
    assert!(refused(op(root, &FolderOp::Undo { restore: first })).contains("is not finished"));
    assert_eq!(restored(op(root, &FolderOp::Undo { restore: second })).phase, Phase::Undone);
    assert_eq!(restored(op(root, &FolderOp::Undo { restore: first })).phase, Phase::Undone);
}

#[test]
fn two_watchkeepers_do_not_change_one_folder() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let held = fs::File::open(root).unwrap();
    held.lock().unwrap();
    let restore = Ulid::from_parts(5, 5);
    assert!(refused(op(root, &FolderOp::Prepare { note: note(restore) })).contains("another watchkeeper"));
    drop(held);
    assert_eq!(restored(op(root, &FolderOp::Prepare { note: note(restore) })).phase, Phase::Staging);
}

#[test]
fn a_process_that_is_started_meanwhile_does_not_keep_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let lock = guard::lock(dir.path()).unwrap();
    // What a started process has between its fork and its exec: the same open file.
    let inherited = lock.duplicate();
    drop(lock);
    assert!(guard::lock(dir.path()).is_ok());
    drop(inherited);
}

#[test]
fn a_staged_link_or_pipe_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let restore = Ulid::from_parts(5, 5);
    op(root, &FolderOp::Prepare { note: RestoreNote { blocks: vec![C.into()], ..note(restore) } });
    let staged = root.join(staging(restore)).join(C);
    block(&staged.join(".."), C, "x");
    symlink("/etc/passwd", staged.join("chunks/000002")).unwrap();
    assert!(refused(op(root, &FolderOp::CheckStaged { restore })).contains("neither a file nor a folder"));
    fs::remove_file(staged.join("chunks/000002")).unwrap();
    let pipe = staged.join("chunks/000003");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    assert!(refused(op(root, &FolderOp::CheckStaged { restore })).contains("neither a file nor a folder"));
}

/// Bind mounts have the device of the data folder, so only the kernel's word tells. Needs root.
#[test]
fn a_bind_mount_inside_is_refused_before_anything_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let wal = dir.path().join("wal");
    fs::create_dir(&wal).unwrap();
    let mount = |tool: &str, args: &[&Path]| {
        std::process::Command::new(tool).args(args).status().is_ok_and(|status| status.success())
    };
    if !mount("mount", &[Path::new("--bind"), &wal, &wal]) {
        return;
    }
    let reply = op(dir.path(), &FolderOp::Prepare { note: note(Ulid::from_parts(5, 5)) });
    assert!(mount("umount", &[&wal]));
    assert!(refused(reply).contains("mount"));
}

#[test]
fn an_exchange_of_nothing_arrives() {
    let dir = tempfile::tempdir().unwrap();
    let restore = Ulid::from_parts(5, 5);
    op(dir.path(), &FolderOp::Prepare { note: note(restore) });
    let work = dir.path().join(work_folder(restore));
    Exchange::new(dir.path(), &work, true).drive(Side::New).unwrap();
    assert!(is_folder(&dir.path().join("wal")) && is_folder(&dir.path().join("chunks_head")));
}
