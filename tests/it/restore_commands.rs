//! What a person can say to `restore`, beside the plain one: which backup, from where, to where, and what then.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::prometheus::{self, Builder, Past, Prometheus};
use crate::support::run;
use crate::support::watchkeeper::{JOB, Output, Watchkeeper};

fn said(output: &Output) -> String {
    format!("{}{}", output.stdout, output.stderr)
}

/// Changes a manifest as the jq program says, and seals it anew as docs/FORMAT.md tells.
fn falsify(manifest: &Path, jq: &str) {
    let script = "set -eu
        jq \"$JQ\" \"$MANIFEST\" | sed '/^  \"manifest_sha256\"/,$d' >\"$MANIFEST.new\"
        hash=$(sha256sum <\"$MANIFEST.new\" | cut -d ' ' -f 1)
        printf '  \"manifest_sha256\": \"%s\"\\n}\\n' \"$hash\" >>\"$MANIFEST.new\"
        mv \"$MANIFEST.new\" \"$MANIFEST\"";
    run(Command::new("sh").args(["-c", script]).env("JQ", jq).env("MANIFEST", manifest));
}

#[test]
fn a_restore_whose_proof_fails_is_taken_back_and_exits_1() {
    for server in [Prometheus::host(Builder::default()), Prometheus::container(Builder::default())] {
        let Some(prometheus) = server else { continue };
        let watchkeeper = Watchkeeper::for_prometheus(&prometheus);
        let id = watchkeeper.back_up();
        prometheus.wait_for_scrapes(3);
        let past = Past::until_now();
        let live = prometheus.digest(past);
        let elsewhere = watchkeeper.folder().join("elsewhere");
        run(Command::new("cp").arg("-r").arg(watchkeeper.store()).arg(&elsewhere));
        let manifest = elsewhere.join(format!("{id}.json"));
        falsify(&manifest, ".contents.blocks[3].probes[0].samples += 1");

        let from = manifest.to_str().unwrap();
        let output = watchkeeper.run(&["restore", "--from", from, "--prometheus", "main", "--yes"]).expect(1);
        let said = said(&output);
        assert!(said.contains("taken back") && said.contains("the old data are live again"), "{said}");
        assert!(said.contains(" samples instead of "), "the probe that failed is not named: {said}");
        assert_eq!(prometheus.digest(past), live, "the newer samples are not back");

        // Nothing is left unfinished: the next backup works, and what was restored can be removed.
        watchkeeper.back_up();
        watchkeeper.run(&["restore", JOB, "--resume"]).expect(1);
        watchkeeper.run(&["restore", JOB, "--discard-old", "--yes"]).expect(0);
        assert_eq!(prometheus.in_data("ls -A | grep watchkeeper || true"), "");
    }
}

#[test]
fn a_manifest_that_was_changed_and_not_sealed_is_refused() {
    let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
    let watchkeeper = Watchkeeper::for_prometheus(&prometheus);
    let id = watchkeeper.back_up();
    let manifest = watchkeeper.store().join(format!("{id}.json"));
    let text = fs::read_to_string(&manifest).unwrap();
    let changed = text.replacen("\"numSamples\": ", "\"num_samples\": 1", 1);
    assert_ne!(changed, text);
    fs::write(&manifest, changed).unwrap();
    let from = manifest.to_str().unwrap();
    let output = watchkeeper.run(&["restore", "--from", from, "--prometheus", "main", "--yes"]).expect(1);
    assert!(said(&output).contains("manifest_sha256"), "{output:?}");
}

#[test]
fn at_takes_the_newest_backup_of_that_time_or_before_and_into_only_unpacks() {
    let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
    let watchkeeper = Watchkeeper::for_prometheus(&prometheus);
    let past = Past::until_now();
    let digest = prometheus.digest(past);
    let older = watchkeeper.back_up();
    prometheus.wait_for_scrapes(2);
    let newer = watchkeeper.back_up();

    let created = |id: &str| {
        let manifest = fs::read(watchkeeper.store().join(format!("{id}.json"))).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        manifest["created"].as_str().unwrap().to_owned()
    };
    for (time, id) in
        [(created(&older), &older), (created(&newer), &newer), ("2200-01-01T00:00:00".into(), &newer)]
    {
        let output = watchkeeper.run_json(&["restore", JOB, "--at", &time, "--dry-run"]).expect(0);
        assert_eq!(output.json()["plan"]["source"], format!("{JOB}/{id}"), "at {time}");
    }
    let before = watchkeeper.run(&["restore", JOB, "--at", "2020-01-01T00:00:00Z", "--dry-run"]).expect(1);
    assert!(said(&before).contains(&older), "the oldest backup is not named: {before:?}");
    let nonsense = watchkeeper.run(&["restore", JOB, "--at", "yesterday", "--dry-run"]).expect(2);
    assert!(said(&nonsense).contains("2026-11-23T02:00:00Z"), "{nonsense:?}");

    let into = watchkeeper.folder().join("into");
    let arguments = ["restore", JOB, "--at", &created(&older), "--into", into.to_str().unwrap()];
    watchkeeper.run(&arguments).expect(0);
    let again = watchkeeper.run(&arguments).expect(1);
    assert!(said(&again).contains("empty"), "{again:?}");
    assert_eq!(prometheus::on_blocks_of(&into).unwrap().digest(past), digest);
    assert!(prometheus.is_ready(), "the server itself was touched");
}

#[test]
fn an_archive_of_the_runbook_s_own_script_is_restored_and_what_it_set_aside_is_discarded() {
    let Some(prometheus) = Prometheus::container(Builder::default()) else { return };
    let watchkeeper = Watchkeeper::for_prometheus(&prometheus);
    let past = Past::until_now();
    let before = prometheus.digest(past);
    let snapshot = prometheus.snapshot_with_head();
    let script = "set -eu
        docker cp $CONTAINER:/prometheus/snapshots/$SNAPSHOT \"$BACKUP_DIR/snapshot_$DATE\"
        tar -czf \"$BACKUP_DIR/snapshot_$DATE.tar.gz\" -C \"$BACKUP_DIR\" \"snapshot_$DATE\"
        rm -rf \"$BACKUP_DIR/snapshot_$DATE\"";
    run(Command::new("sh")
        .args(["-c", script])
        .env("CONTAINER", prometheus.container_name().unwrap())
        .env("SNAPSHOT", snapshot)
        .env("DATE", "20261123_020000")
        .env("BACKUP_DIR", watchkeeper.folder()));
    prometheus.lose_everything();
    assert_ne!(prometheus.digest(past), before, "the data was not lost");

    let archive = watchkeeper.folder().join("snapshot_20261123_020000.tar.gz");
    let from = archive.to_str().unwrap();
    watchkeeper.run(&["restore", "--from", from, "--prometheus", "main", "--yes"]).expect(0);
    assert_eq!(prometheus.digest(past), before);

    assert_ne!(prometheus.in_data("ls -A | grep watchkeeper || true"), "");
    watchkeeper.run(&["restore", "--prometheus", "main", "--discard-old", "--yes"]).expect(0);
    assert_eq!(prometheus.in_data("ls -A | grep watchkeeper || true"), "");
    assert_eq!(prometheus.digest(past), before);
    let nothing = watchkeeper.run(&["restore", "--prometheus", "main", "--undo", "--yes"]).expect(1);
    assert!(said(&nothing).contains("There is no restore to undo"), "{nothing:?}");
}

#[test]
fn a_block_that_is_damaged_at_the_source_is_named_and_left_out_by_a_restore() {
    let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
    let watchkeeper = Watchkeeper::for_prometheus(&prometheus);
    let block = prometheus.in_data("ls -d 01* | head -n 1");
    let chunks = prometheus.data_dir().join(&block).join("chunks/000001");
    let file = fs::File::options().read(true).write(true).open(chunks).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 200).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 200).unwrap();

    let output = watchkeeper.run(&["run-now", JOB]).expect(3);
    let told = said(&output);
    assert!(told.contains(&block) && told.contains("chunks/000001"), "{told}");
    let id = watchkeeper.backups().pop().unwrap();

    // It is no good backup, so nobody takes it by accident.
    let unnamed = watchkeeper.run(&["restore", JOB, "--yes"]).expect(1);
    assert!(said(&unnamed).contains(&id), "the one that is there is not named: {unnamed:?}");
    let into = watchkeeper.folder().join("into");
    let unpacked = watchkeeper.run(&["restore", JOB, &id, "--into", into.to_str().unwrap()]).expect(3);
    assert!(said(&unpacked).contains(&block), "{unpacked:?}");

    let restored = watchkeeper.run(&["restore", JOB, &id, "--yes"]).expect(3);
    let told = said(&restored);
    assert!(told.contains("left out") && told.contains(&block) && told.contains("chunks/000001"), "{told}");
    assert_eq!(prometheus.in_data(&format!("ls -d {block} 2>/dev/null || true")), "");
    prometheus.wait_ready();
}
