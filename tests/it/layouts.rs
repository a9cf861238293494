//! How backups lie in the store: blocks that backups share, one archive for each, both side by side. Each story is
//! told on this host and through Docker, with the program as a person runs it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::prometheus::{self, Builder, Past, Prometheus};
use crate::support::watchkeeper::{JOB, Watchkeeper};
use crate::support::{blocks, run, wait_until};

/// Tells a story of this name on the host, and where nothing but Docker reaches the data.
macro_rules! told_on_the_host_and_through_docker {
    ($($story:ident),+ $(,)?) => {$(
        mod $story {
            use super::*;

            #[test]
            fn on_the_host() {
                tell(Prometheus::host(Builder::default()), "", super::$story);
            }

            #[test]
            fn through_docker_without_a_shell() {
                let prometheus = Prometheus::container(Builder::default().without_shell());
                tell(prometheus, "access = \"docker\"\n", super::$story);
            }
        }
    )+};
}

told_on_the_host_and_through_docker! {
    what_the_store_has_is_neither_read_nor_stored_again_and_a_restore_brings_all_of_it,
    deleted_series_change_no_stored_block_and_stay_deleted_after_a_restore,
}

fn tell(prometheus: Option<Prometheus>, keys: &str, story: fn(&Prometheus, &Watchkeeper)) {
    let Some(prometheus) = prometheus else { return };
    let watchkeeper = Watchkeeper::with_keys(&prometheus, keys);
    story(&prometheus, &watchkeeper);
    let own: Vec<&str> = prometheus.container_name().into_iter().collect();
    assert_eq!(prometheus.containers_on_its_data(), own, "a helper container was left behind");
}

/// `run-now`, which must end with `code`: its report.
fn back_up(watchkeeper: &Watchkeeper, code: i32) -> Value {
    watchkeeper.run_json(&["run-now", JOB]).expect(code).json()["runs"][0].clone()
}

fn stored(watchkeeper: &Watchkeeper) -> BTreeSet<String> {
    let names = fs::read_dir(watchkeeper.store().join("blocks")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".tar.gz")).collect()
}

fn manifest(watchkeeper: &Watchkeeper, id: &str) -> Value {
    serde_json::from_slice(&fs::read(watchkeeper.store().join(format!("{id}.json"))).unwrap()).unwrap()
}

fn detail(report: &Value, step: &str) -> String {
    let steps = report["steps"].as_array().unwrap().iter();
    let mut steps = steps.filter(|found| found["name"] == step);
    steps.next().map_or(String::new(), |found| found["detail"].as_str().unwrap_or_default().to_owned())
}

fn bytes_of(report: &Value, step: &str) -> u64 {
    let steps = report["steps"].as_array().unwrap().iter();
    steps.filter(|found| found["name"] == step).map(|found| found["bytes"].as_u64().unwrap()).sum()
}

fn what_the_store_has_is_neither_read_nor_stored_again_and_a_restore_brings_all_of_it(
    prometheus: &Prometheus,
    watchkeeper: &Watchkeeper,
) {
    let first = back_up(watchkeeper, 0);
    let before = stored(watchkeeper);
    let past = Past::until_now();
    let digest = prometheus.digest(past);
    let second = back_up(watchkeeper, 0);

    let compared = detail(&second, "compare the blocks with the store");
    assert_eq!(compared, format!("{} there already, 1 new", blocks::BLOCKS));
    let read = "read and check the new blocks";
    assert!(bytes_of(&second, read) * 3 < bytes_of(&first, read), "the second reads as much as the first");
    let added: Vec<String> = stored(watchkeeper).difference(&before).cloned().collect();
    assert_eq!(added.len(), 1, "only the head was stored: {added:?}");
    let output = &second["output"];
    assert!(output["new_bytes"].as_u64().unwrap() * 3 < output["bytes"].as_u64().unwrap(), "{output}");

    watchkeeper.run(&["verify", "--deep"]).expect(0);
    let explained = watchkeeper.run_json(&["explain", JOB]).expect(0).json();
    let (once, all) = (explained["stored_bytes"].as_u64(), explained["backed_up_bytes"].as_u64());
    assert!(once.unwrap() * 3 < all.unwrap() * 2, "{explained}");
    prometheus.lose_everything();
    assert_ne!(prometheus.digest(past), digest, "the data was not lost");
    watchkeeper.run(&["restore", JOB, "--yes"]).expect(0);
    assert_eq!(prometheus.digest(past), digest);
    // Restored files have other times: the blocks are read again, and nothing of them is stored again.
    let before = stored(watchkeeper);
    let facts = back_up(watchkeeper, 0)["output"]["facts"].to_string();
    assert!(facts.contains("read again and found in the store"), "{facts}");
    let heads: Vec<String> = stored(watchkeeper).difference(&before).cloned().collect();
    assert!(heads.len() <= 1, "{heads:?}");
    let known = detail(&back_up(watchkeeper, 0), "compare the blocks with the store");
    assert!(known.ends_with("there already, 1 new"), "{known}");
    assert!(prometheus.snapshots().is_empty());
}

fn deleted_series_change_no_stored_block_and_stay_deleted_after_a_restore(
    prometheus: &Prometheus,
    watchkeeper: &Watchkeeper,
) {
    back_up(watchkeeper, 0);
    let past = Past::until_now();
    let names = prometheus.digest(past);
    let metric = names.keys().map(|(metric, _)| metric.clone()).find(|m| m.starts_with("wk_temp")).unwrap();
    prometheus.delete_series(&metric);
    let before = prometheus.digest(past);
    assert!(!before.keys().any(|(name, _)| *name == metric), "{metric} is still answered");

    let report = back_up(watchkeeper, 0);
    let compared = detail(&report, "compare the blocks with the store");
    assert_eq!(compared, format!("{} there already, 1 new", blocks::BLOCKS));
    watchkeeper.run(&["verify", "--deep"]).expect(0);
    prometheus.lose_everything();
    watchkeeper.run(&["restore", JOB, "--yes"]).expect(0);
    assert_eq!(prometheus.digest(past), before);

    // The backup from before still has them.
    let older = watchkeeper.backups().remove(0);
    watchkeeper.run(&["restore", JOB, &older, "--yes"]).expect(0);
    let again = prometheus.digest(past);
    assert!(again.keys().any(|(name, _)| *name == metric), "{metric} did not come back");
}

#[test]
fn a_stored_block_that_rots_is_stored_anew_and_older_backups_are_good_again() {
    tell(Prometheus::host(Builder::default()), "", |_, watchkeeper| {
        let ids = [(); 2].map(|()| watchkeeper.back_up());
        let shared: BTreeSet<String> =
            ids.iter().map(|id| files(watchkeeper, id)).reduce(|a, b| &a & &b).unwrap();
        flip(&watchkeeper.store().join(shared.first().unwrap()), 4000);
        watchkeeper.run(&["verify"]).expect(1);
        let states = watchkeeper.run_json(&["backups"]).expect(0).json();
        assert!(
            states["backups"].as_array().unwrap().iter().all(|backup| backup["good"] == false),
            "{states}"
        );

        let facts = back_up(watchkeeper, 3)["output"]["facts"].to_string();
        assert!(facts.contains("2 older backups can be restored again"), "{facts}");
        let states = watchkeeper.run_json(&["backups"]).expect(0).json();
        assert!(
            states["backups"].as_array().unwrap().iter().all(|backup| backup["good"] == true),
            "{states}"
        );
        watchkeeper.run(&["verify", "--deep"]).expect(0);
    });
}

#[test]
fn a_stored_block_that_is_cut_or_gone_breaks_its_backups_loudly_and_is_stored_anew() {
    tell(Prometheus::host(Builder::default()), "", |_, watchkeeper| {
        let ids = [(); 2].map(|()| watchkeeper.back_up());
        let shared: BTreeSet<String> =
            ids.iter().map(|id| files(watchkeeper, id)).reduce(|a, b| &a & &b).unwrap();
        let path = watchkeeper.store().join(shared.first().unwrap());
        let harms: [fn(&PathBuf); 2] = [
            |path| fs::File::options().write(true).open(path).unwrap().set_len(1000).unwrap(),
            |path| fs::remove_file(path).unwrap(),
        ];
        for harm in harms {
            harm(&path);
            let broken = watchkeeper.run_json(&["verify"]).expect(1).json()["broken"].to_string();
            assert!(ids.iter().all(|id| broken.contains(id)), "{broken}");
            watchkeeper.run(&["backups"]).expect(3);
            let report = back_up(watchkeeper, 3);
            let warnings = report["warnings"].to_string();
            assert!(
                warnings.contains("cannot be restored whole") && warnings.contains(&ids[0]),
                "{warnings}"
            );
            let facts = report["output"]["facts"].to_string();
            assert!(facts.contains("can be restored again") && facts.contains(&ids[1]), "{facts}");
            assert!(facts.contains("stored anew, as what was stored was bad"), "{facts}");
            watchkeeper.run(&["verify", "--deep"]).expect(0);
        }
        back_up(watchkeeper, 0);
    });
}

#[test]
fn a_folder_in_place_of_a_stored_block_is_moved_aside_with_a_warning_and_the_block_stored_anew() {
    tell(Prometheus::host(Builder::default()), "", |_, watchkeeper| {
        let id = watchkeeper.back_up();
        let names = files(watchkeeper, &id);
        let name = names.iter().find(|name| name.starts_with("blocks/")).unwrap();
        let path = watchkeeper.store().join(name);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        fs::write(path.join("note"), "mine").unwrap();
        watchkeeper.run(&["verify"]).expect(1);

        let warnings = back_up(watchkeeper, 3)["warnings"].to_string();
        let aside = format!("{}.set-aside-1", path.display());
        assert!(warnings.contains("a folder stood in place of") && warnings.contains(&aside), "{warnings}");
        assert_eq!(fs::read_to_string(Path::new(&aside).join("note")).unwrap(), "mine");
        watchkeeper.run(&["verify", "--deep"]).expect(0);
        back_up(watchkeeper, 0);
    });
}

#[test]
fn one_rotten_byte_costs_no_backup_when_prometheus_has_lost_its_data() {
    tell(Prometheus::host(Builder::default()), "", |prometheus, watchkeeper| {
        let ids = [(); 3].map(|()| watchkeeper.back_up());
        let shared: BTreeSet<String> =
            ids.iter().map(|id| files(watchkeeper, id)).reduce(|a, b| &a & &b).unwrap();
        flip(&watchkeeper.store().join(shared.first().unwrap()), 4000);
        watchkeeper.run(&["verify"]).expect(1);
        prometheus.lose_everything();
        // It has to have something to back up.
        wait_until("it scrapes", Duration::from_mins(1), || watchkeeper.run(&["run-now", JOB]).code != 1);
        let report = back_up(watchkeeper, 3);
        let warnings = report["warnings"].to_string();
        assert!(
            warnings.contains("3 backups of") && warnings.contains("cannot be restored whole"),
            "{warnings}"
        );
        assert!(warnings.contains("no older backup is deleted until"), "{warnings}");
        let left = watchkeeper.backups();
        assert!(ids.iter().all(|id| left.contains(id)), "{left:?}");
        watchkeeper.run(&["status"]).expect(1);
    });
}

#[test]
fn a_block_that_rots_at_the_source_is_backed_up_by_the_copy_from_when_it_was_good() {
    tell(Prometheus::host(Builder::default()), "", |prometheus, watchkeeper| {
        watchkeeper.back_up();
        let block = prometheus.in_data("ls -d 01* | head -n 1");
        flip(&prometheus.data_dir().join(&block).join("chunks/000001"), 200);
        let report = back_up(watchkeeper, 3);
        let warnings = report["warnings"].to_string();
        assert!(warnings.contains(&block) && warnings.contains("chunks/000001"), "{warnings}");
        assert!(warnings.contains("the good copy that was stored earlier"), "{warnings}");
        let output = report["output"].to_string();
        assert!(output.contains("1 block as stored before it was damaged at the source"), "{output}");
        assert!(!output.contains(" damaged,"), "{output}");
        let states = watchkeeper.run_json(&["backups"]).expect(0).json();
        assert!(
            states["backups"].as_array().unwrap().iter().all(|backup| backup["good"] == true),
            "{states}"
        );
        watchkeeper.run(&["verify", "--deep"]).expect(0);
    });
}

#[test]
fn both_layouts_stand_in_one_folder_and_each_restores_the_same_blocks() {
    tell(Prometheus::host(Builder::default()), "layout = \"archive\"\n", |prometheus, watchkeeper| {
        let archive = watchkeeper.back_up();
        watchkeeper.change_keys(prometheus, "layout = \"blocks\"\ncompression = \"zstd\"\n");
        let blocks = watchkeeper.back_up();
        assert!(files(watchkeeper, &blocks).iter().any(|name| name.ends_with(".tar.zst")));
        watchkeeper.change_keys(prometheus, "layout = \"archive\"\ncompression = \"none\"\n");
        let plain = watchkeeper.back_up();
        assert_eq!(watchkeeper.backups(), [archive.clone(), blocks.clone(), plain.clone()]);
        watchkeeper.run(&["verify", "--deep"]).expect(0);

        let contents = [&archive, &blocks, &plain].map(|id| {
            let into = watchkeeper.folder().join(format!("into-{id}"));
            watchkeeper.run(&["restore", JOB, id, "--into", into.to_str().unwrap()]).expect(0);
            immutable(&into, prometheus)
        });
        assert!(contents[0].lines().count() >= 2 * usize::try_from(blocks::BLOCKS).unwrap());
        assert_eq!(contents[0], contents[1]);
        assert_eq!(contents[0], contents[2]);

        // Retention treats them alike.
        watchkeeper.change_keys(prometheus, "layout = \"blocks\"\n");
        watchkeeper.run(&["prune", "--dry-run"]).expect(0);
        (0..5).for_each(|_| drop(watchkeeper.back_up()));
        assert_eq!(watchkeeper.backups().len(), 5);
        assert!(!watchkeeper.archive(&archive).exists());
        watchkeeper.run(&["verify", "--deep"]).expect(0);
    });
}

/// `sha256sum` of every file in blocks that are not a head's.
fn immutable(folder: &Path, prometheus: &Prometheus) -> String {
    let blocks = prometheus.in_data("ls -d 01*").replace('\n', " ");
    run(Command::new("sh")
        .current_dir(folder)
        .args(["-c", &format!("find {blocks} -type f | sort | xargs sha256sum")]))
}

#[test]
fn an_exported_backup_is_one_archive_on_which_a_plain_prometheus_gives_the_same_answers() {
    tell(Prometheus::host(Builder::default()), "", |prometheus, watchkeeper| {
        let past = Past::until_now();
        let before = prometheus.digest(past);
        watchkeeper.back_up();
        let file = watchkeeper.folder().join("export.tar.gz");
        let file = file.to_str().unwrap();
        watchkeeper.run(&["export", "latest", file]).expect(0);
        watchkeeper.run(&["export", "latest", file]).expect(1);

        let unpacked = watchkeeper.folder().join("unpacked");
        fs::create_dir(&unpacked).unwrap();
        run(Command::new("tar").args(["-xzf", file, "-C"]).arg(&unpacked));
        assert_eq!(prometheus::on_blocks_of(&unpacked).unwrap().digest(past), before);

        prometheus.lose_everything();
        watchkeeper.run(&["restore", "--from", file, "--prometheus", "main", "--yes"]).expect(0);
        assert_eq!(prometheus.digest(past), before);
    });
}

#[test]
fn a_first_backup_that_is_killed_goes_on_where_it_stopped() {
    tell(Prometheus::host(Builder::default()), "", |prometheus, watchkeeper| {
        // A block is stored when its description is there.
        let published = || {
            let names = watchkeeper.store().join("blocks").read_dir().into_iter().flatten();
            names
                .filter(|name| name.as_ref().unwrap().path().extension().is_some_and(|e| e == "json"))
                .count()
        };
        for _ in 0..20 {
            let mut child = watchkeeper.spawn(&["run-now", JOB]);
            wait_until("a block is stored", Duration::from_secs(20), || published() > 0);
            child.kill().unwrap();
            child.wait().unwrap();
            if watchkeeper.backups().is_empty() {
                break;
            }
            fs::remove_dir_all(watchkeeper.store()).unwrap();
        }
        assert_eq!(watchkeeper.backups(), [""; 0], "it was never killed in time");
        let report = back_up(watchkeeper, 0);
        let compared = detail(&report, "compare the blocks with the store");
        let known: u64 = compared.split(' ').next().unwrap().parse().unwrap();
        assert!(known >= 1, "{compared}");
        assert!(prometheus.snapshots().is_empty(), "the snapshot of the killed run is still there");
        watchkeeper.run(&["verify", "--deep"]).expect(0);
    });
}

#[test]
fn the_documented_restore_by_hand_restores_shared_blocks() {
    tell(Prometheus::host(Builder::default()), "", |prometheus, watchkeeper| {
        let past = Past::until_now();
        let before = prometheus.digest(past);
        let id = watchkeeper.back_up();
        let text = include_str!("../../docs/FORMAT.md");
        let script = text.split("```sh restore-by-hand\n").nth(1).unwrap().split("\n```").next().unwrap();
        let target = watchkeeper.folder().join("by-hand");
        let manifest = watchkeeper.store().join(format!("{id}.json"));
        run(Command::new("sh").args(["-c", script]).env("MANIFEST", &manifest).env("TARGET", &target));
        assert_eq!(prometheus::on_blocks_of(&target).unwrap().digest(past), before);
    });
}

/// The names of the shared files of a backup.
fn files(watchkeeper: &Watchkeeper, id: &str) -> BTreeSet<String> {
    let manifest = manifest(watchkeeper, id);
    let names = manifest["files"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap());
    names.filter(|name| name.starts_with("blocks/")).map(str::to_owned).collect()
}

fn flip(path: &PathBuf, at: u64) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}
