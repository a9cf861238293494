//! The kind `files-backup` on trees that are not as most: modes that forbid to write, great depth, files that somebody
//! replaces all the time.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::watchkeeper::{Watchkeeper, files_job};
use crate::support::{run, scratch};

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Owner, group, mode and time of the last change.
fn attributes(path: &Path) -> (u32, u32, u32, i64) {
    let metadata = fs::metadata(path).unwrap();
    (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777, metadata.mtime())
}

#[test]
fn what_is_unpacked_into_a_folder_has_the_modes_and_times_of_the_backup_and_for_root_the_owners() {
    let folder = scratch::folder("trees");
    let source = folder.path().join("source");
    let (key, private, program) = (source.join("key"), source.join("private"), source.join("program"));
    fs::create_dir_all(&private).unwrap();
    fs::write(private.join("inside"), "x").unwrap();
    fs::write(&key, "secret").unwrap();
    fs::write(&program, "#!/bin/sh\n").unwrap();
    if rustix::process::geteuid().is_root() {
        chown(&program, Some(1234), Some(4321)).unwrap();
    }
    set_mode(&key, 0o600);
    set_mode(&private, 0o500);
    set_mode(&program, 0o4755);
    let watchkeeper = Watchkeeper::with_config(&files_job(3, &[&source]));
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    let into = folder.path().join("into");
    watchkeeper.run(&["restore", "conf", "--into", into.to_str().unwrap()]).expect(0);
    let unpacked = into.join(source.strip_prefix("/").unwrap());
    for name in ["key", "private", "program", "private/inside", "."] {
        assert_eq!(attributes(&unpacked.join(name)), attributes(&source.join(name)), "{name}");
    }
    set_mode(&private, 0o700);
    set_mode(&unpacked.join("private"), 0o700);
}

#[test]
fn a_folder_that_may_not_be_written_to_comes_back_with_what_is_in_it_for_its_owner_too() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let watchkeeper = Watchkeeper::with_config("");
    let source = watchkeeper.folder().join("source");
    watchkeeper.configure(&files_job(3, &[&source]));
    let closed = source.join("closed");
    fs::create_dir_all(&closed).unwrap();
    fs::write(closed.join("file"), "x").unwrap();
    set_mode(&closed, 0o555);
    watchkeeper.run_as(65534, &["run-now", "conf"]).expect(0);
    fs::remove_dir_all(&closed).unwrap();
    watchkeeper.run_as(65534, &["restore", "conf", "--yes"]).expect(0);
    assert_eq!(fs::read_to_string(closed.join("file")).unwrap(), "x");
    assert_eq!(fs::metadata(&closed).unwrap().mode() & 0o777, 0o555);
}

#[test]
fn a_tree_that_is_as_deep_as_a_path_can_be_is_backed_up_and_comes_back() {
    let folder = scratch::folder("deep");
    let source = folder.path().join("source");
    let deep = source.join("a/".repeat(1_900));
    run(Command::new("mkdir").arg("-p").arg(&deep));
    fs::write(deep.join("file"), "at the bottom").unwrap();
    let watchkeeper = Watchkeeper::with_config(&files_job(3, &[&source]));
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    fs::remove_file(deep.join("file")).unwrap();
    watchkeeper.run(&["restore", "conf", "--yes"]).expect(0);
    assert_eq!(fs::read_to_string(deep.join("file")).unwrap(), "at the bottom");
    // Rust's own removal would hold a file open for each level.
    run(Command::new("rm").arg("-rf").arg(&source));
}

#[test]
fn a_file_that_is_replaced_as_a_whole_all_the_time_is_whole_in_the_backup() {
    let folder = scratch::folder("replaced");
    let file = folder.path().join("file");
    let write = |byte: u8| {
        let beside = folder.path().join("beside");
        fs::write(&beside, vec![byte; 1 << 20]).unwrap();
        fs::rename(&beside, &file).unwrap();
    };
    write(b'a');
    let watchkeeper = Watchkeeper::with_config(&files_job(3, &[&file]));
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut bytes = (b'a'..=b'z').cycle();
            while !ended.load(Ordering::SeqCst) {
                bytes.by_ref().take(1).for_each(write);
            }
        });
        let outputs: Vec<_> = (0..3).map(|_| watchkeeper.run(&["run-now", "conf"])).collect();
        ended.store(true, Ordering::SeqCst);
        for output in outputs {
            output.expect(0);
        }
    });
    let into = folder.path().join("into");
    watchkeeper.run(&["restore", "conf", "--into", into.to_str().unwrap()]).expect(0);
    let content = fs::read(into.join(file.strip_prefix("/").unwrap())).unwrap();
    assert!(content.len() == 1 << 20 && content.iter().all(|byte| *byte == content[0]));
}
