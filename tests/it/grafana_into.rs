//! An export that is only unpacked, with `--into`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::support::grafana::Version;
use crate::support::grafana_keeper::{ADMIN, JOB, export, keeper_of, newest, sample};
use crate::support::scratch::files_below;

#[test]
fn what_is_only_unpacked_is_checked_as_for_a_restore_and_for_nobody_but_its_owner() {
    let grafana = sample(Version::V11_2);
    let keeper = keeper_of(&[("main", grafana.url(), ADMIN)], "include = [\"contact-point-secrets\"]");
    export(&keeper);
    let archive = newest(&keeper.store_of(JOB), ".tar.gz");
    let folder = |name: &str| keeper.folder().join(name);
    let unpack = |from: &Path, into: &Path| {
        keeper.run(&["restore", "--from", from.to_str().unwrap(), "--into", into.to_str().unwrap()])
    };
    let into = folder("unpacked/deep");
    unpack(&archive, &into).expect(0);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let files = files_below(&into);
    assert!(files.iter().any(|file| file.ends_with("contact-points/hook.json")), "{files:?}");
    assert!(files.iter().all(|file| mode(&into.join(file)) == 0o600));
    assert_eq!(mode(&into), 0o700);
    assert_eq!(mode(&into.join("organisations/Second")), 0o700);
    // An object that is counted is not there.
    fs::remove_file(into.join("organisations/Second/dashboards/second.json")).unwrap();
    let cut = folder("cut.tar.gz");
    let mut tar = std::process::Command::new("tar");
    let mut named = vec!["export.json".to_owned()];
    let others = files.iter().map(|file| file.display().to_string());
    named.extend(others.filter(|file| file != "export.json" && into.join(file).exists()));
    assert!(tar.arg("-czf").arg(&cut).arg("-C").arg(&into).args(named).status().unwrap().success());
    let damaged = unpack(&cut, &folder("from-cut")).expect(1);
    assert!(damaged.stderr.contains("is damaged"), "{damaged:?}");
    assert_eq!(fs::read_dir(folder("from-cut")).unwrap().count(), 0);
    // What is there, and is another one than the manifest says.
    let mut bytes = fs::read(&archive).unwrap();
    bytes.push(0);
    fs::set_permissions(&archive, fs::Permissions::from_mode(0o640)).unwrap();
    fs::write(&archive, bytes).unwrap();
    let longer = unpack(&archive, &folder("from-longer")).expect(1);
    assert!(longer.stderr.contains("bytes instead of"), "{longer:?}");
    // What is no archive, and what is not there at all.
    let text = folder("text.tar.gz");
    fs::write(&text, "hello").unwrap();
    let refused = unpack(&text, &folder("from-text")).expect(1);
    assert!(refused.stderr.contains("text.tar.gz is no export of a Grafana"), "{refused:?}");
    assert!(refused.stderr.contains("name a backup of a grafana-export job"), "{refused:?}");
    let missing = unpack(&folder("missing.tar.gz"), &folder("from-missing")).expect(1);
    assert!(missing.stderr.contains("There is no file"), "{missing:?}");
    assert!(!missing.stderr.contains("backup_dir"), "{missing:?}");
    assert!(!folder("from-text").exists() && !folder("from-missing").exists());
}
