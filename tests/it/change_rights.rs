//! `change` and who may read the configuration: whoever could before still can, and old files are not kept for ever.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use crate::change::{config, is_as_before, scene};
use crate::support::run;

/// Nobody, and a group that he is in.
const NOBODY: u32 = 65534;
const GAMES: u32 = 60;

fn rights(path: &Path) -> (u32, u32, u32) {
    let meta = fs::metadata(path).unwrap();
    (meta.uid(), meta.gid(), meta.mode() & 0o7777)
}

#[test]
fn what_only_some_may_read_they_may_read_afterwards() {
    let Some((prometheus, watchkeeper)) = scene() else { return };
    let file = prometheus.config_file();
    let folder = file.parent().unwrap();
    run(Command::new("chown").args(["-R", &format!("{NOBODY}:{NOBODY}")]).arg(watchkeeper.folder()));
    run(Command::new("chgrp").arg(GAMES.to_string()).args([&file, folder]));
    run(Command::new("chmod").arg("2770").arg(folder));
    run(Command::new("chmod").arg("0640").arg(&file));
    let before = (config(&prometheus), prometheus.loaded_config());
    let change =
        |value: &str| watchkeeper.run_by(NOBODY, &[GAMES], &["change", "scrape-interval", value, "--yes"]);
    // He could only put another file in its place, which would be his own.
    let refused = change("2s").expect(1);
    assert!(refused.stdout.contains("nothing was written"), "{refused:?}");
    assert_eq!(rights(&file), (0, GAMES, 0o640));
    is_as_before(&prometheus, &watchkeeper, &before);
    run(Command::new("chmod").arg("0660").arg(&file));
    change("2s").expect(0);
    assert_eq!(rights(&file), (0, GAMES, 0o660));
    assert!(prometheus.loaded_config().contains("global:\n  scrape_interval: 2s"));
}

#[test]
fn attributes_of_the_file_stay_with_a_change_and_when_it_is_taken_back() {
    let Some((prometheus, watchkeeper)) = scene() else { return };
    let file = prometheus.config_file();
    let python = |script: &str| run(Command::new("/usr/bin/python3").args(["-c", script]).arg(&file));
    // An access control list is one of them: user 1 may read it.
    let list = "import os, struct, sys\n\
        entry = lambda tag, perm, who: struct.pack('<HHI', tag, perm, who)\n\
        none = 0xffffffff\n\
        acl = struct.pack('<I', 2) + entry(1, 6, none) + entry(2, 4, 1) + entry(4, 4, none) + entry(16, 4, none) + entry(32, 0, none)\n\
        os.setxattr(sys.argv[1], 'system.posix_acl_access', acl)";
    python(list);
    let attributes = || python("import os, sys; print(os.getxattr(sys.argv[1], 'system.posix_acl_access'))");
    let before = (attributes(), rights(&file));
    watchkeeper.run(&["change", "scrape-interval", "2s", "--yes"]).expect(0);
    assert_eq!((attributes(), rights(&file)), before);
    let twice = "remote_write:\n- url: http://127.0.0.1:1/w\n- url: http://127.0.0.1:1/w\n";
    let new = watchkeeper.folder().join("new.yml");
    fs::write(&new, config(&prometheus) + twice).unwrap();
    let back = watchkeeper.run(&["change", "prometheus-config", new.to_str().unwrap(), "--yes"]).expect(1);
    assert!(back.stdout.contains("is back: Prometheus has loaded it"), "{back:?}");
    assert_eq!((attributes(), rights(&file)), before);
}

#[test]
fn old_files_are_kept_but_not_for_ever() {
    let Some((prometheus, watchkeeper)) = scene() else { return };
    let file = prometheus.config_file();
    for number in 10..35 {
        let name = format!("prometheus.yml.202501{number}T000000Z-01M8C7ZM1WYSGEB3BY75TB7R3A.bak");
        fs::write(file.with_file_name(name), "").unwrap();
    }
    let own = file.with_file_name("prometheus.yml.mine.bak");
    fs::write(&own, "").unwrap();
    watchkeeper.run(&["change", "scrape-interval", "2s", "--yes"]).expect(0);
    let names = fs::read_dir(file.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
    let kept = names.filter(|name| name.to_string_lossy().starts_with("prometheus.yml.20")).count();
    assert_eq!((kept, own.exists()), (20, true));
}
