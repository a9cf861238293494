//! What is restored from: a backup, an archive alone, a folder, a manifest; and what is none of them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::support::grafana::{Builder, Version};
use crate::support::grafana_keeper::{ADMIN, JOB, export, keeper, newest, restore, sample, target};
use crate::support::watchkeeper::Watchkeeper;

#[test]
fn an_archive_alone_a_folder_or_a_manifest_is_restored_on_a_fresh_host() {
    let here = sample(Version::V9);
    let keeper = keeper(&here);
    export(&keeper);
    let folder = keeper.store_of(JOB);
    let (archive, manifest) = (newest(&folder, ".tar.gz"), newest(&folder, ".json"));
    for from in [&archive, &manifest, &folder] {
        let there = Builder::default().version(Version::V9).ids_from(50).start();
        let fresh = Watchkeeper::with_config(&target("new", &there.url(), ADMIN));
        let from = from.to_str().unwrap();
        let restored = fresh.run(&["restore", "--from", from, "--grafana", "new", "--yes"]);
        assert_eq!(restored.code, 3, "secrets have to be entered: {restored:?}");
        assert_eq!(
            there.contents()["orgs"]["Second"]["dashboards"],
            here.contents()["orgs"]["Second"]["dashboards"]
        );
    }
    let into = keeper.folder().join("unpacked");
    keeper.run(&["restore", JOB, "--into", into.to_str().unwrap()]).expect(0);
    assert!(into.join("organisations/Second/dashboards/second.json").is_file());
}

#[test]
fn what_is_asked_for_and_what_is_suggested_is_of_a_grafana() {
    let here = sample(Version::V9);
    let keeper = keeper(&here);
    export(&keeper);
    let folder = keeper.store_of(JOB);
    let archive = newest(&folder, ".tar.gz");
    let alone = keeper.folder().join("copy.tar.gz");
    fs::copy(&archive, &alone).unwrap();
    let from = |path: &Path| keeper.run(&["restore", "--from", path.to_str().unwrap(), "--dry-run"]);
    // A manifest tells of what kind it is, and of which Grafana; an archive alone tells nothing.
    for path in [&folder, &archive] {
        assert!(from(path).expect(0).stdout.contains("Nothing to do"), "{}", path.display());
    }
    let asked = from(&alone).expect(2);
    assert!(asked.stderr.contains("Which Grafana?") && asked.stderr.contains("--grafana: main"), "{asked:?}");
    // Where every backup is bad, no run mends the one archive that an export is.
    let bytes = fs::read(&archive).unwrap();
    fs::set_permissions(&archive, fs::Permissions::from_mode(0o640)).unwrap();
    let mut damaged = bytes.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let says =
        "`watchkeeper verify grafana` says what is bad; `watchkeeper run-now grafana` makes a new backup";
    for bad in [&damaged[..], b"short"] {
        fs::write(&archive, bad).unwrap();
        let verified = keeper.run(&["verify", JOB]).expect(1);
        assert!(verified.stdout.contains("a run of its job makes a new backup"), "{verified:?}");
        let failed = restore(&keeper, &[]).expect(1);
        assert!(failed.stderr.contains(says) && !failed.stderr.contains("backup_dir"), "{failed:?}");
    }
}

#[test]
fn what_is_no_export_of_ours_is_refused_with_what_to_do() {
    let here = sample(Version::V9);
    let keeper = keeper(&here);
    export(&keeper);
    let folder = keeper.folder().join("foreign");
    fs::create_dir(&folder).unwrap();
    fs::create_dir(folder.join("dashboards")).unwrap();
    fs::write(folder.join("dashboards/a.json"), "{\"dashboard\": {}}").unwrap();
    let foreign = keeper.folder().join("grafana-backup.tar.gz");
    let tar =
        std::process::Command::new("tar").arg("-czf").arg(&foreign).arg("-C").arg(&folder).arg(".").status();
    assert!(tar.unwrap().success());
    here.forget_requests();
    let from = |path: &Path| {
        keeper.run(&["restore", "--from", path.to_str().unwrap(), "--grafana", "main", "--yes"])
    };
    let refused = from(&foreign).expect(1);
    assert!(refused.stderr.contains("is no export of a Grafana that watchkeeper made"), "{refused:?}");
    // A manifest of a newer program.
    let newer = keeper.folder().join("20300101T000000Z.json");
    fs::write(&newer, "{\"format\": 9, \"kind\": \"grafana-export\"}").unwrap();
    let refused = from(&newer).expect(1);
    assert!(refused.stderr.contains("newer watchkeeper"), "{refused:?}");
    // A bit of the archive is another one.
    let archive = newest(&keeper.store_of(JOB), ".tar.gz");
    let mut bytes = fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::set_permissions(&archive, fs::Permissions::from_mode(0o640)).unwrap();
    fs::write(&archive, bytes).unwrap();
    let refused = restore(&keeper, &[]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(here.writes().is_empty());
}
