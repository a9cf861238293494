//! The cleanup of old blocks against a real Prometheus: only what is old, backed up, and read again just before goes,
//! and Prometheus is well without it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::blocks::BLOCKS;
use crate::support::prometheus::{Builder, Past, Prometheus};
use crate::support::watchkeeper::{JOB, Watchkeeper};

const CLEANUP: &str = "block-cleanup";

/// Of the nine blocks of two hours the last one ends where the age is counted from: four end more than 9 hours before.
const OLDER: &str = "older_than = \"9h\"\n";

/// A configuration with a snapshot job and this cleanup.
fn with_cleanup(prometheus: &Prometheus, snapshot: &str, keys: &str) -> Watchkeeper {
    let watchkeeper = Watchkeeper::with_config("");
    configure(&watchkeeper, prometheus, snapshot, keys);
    watchkeeper
}

fn configure(watchkeeper: &Watchkeeper, prometheus: &Prometheus, snapshot: &str, keys: &str) {
    watchkeeper.change_keys(
        prometheus,
        &format!(
            "schedule = \"0 2 * * *\"\n{snapshot}[[job]]\nname = \"{CLEANUP}\"\nkind = \"block-cleanup\"\n\
             prometheus = \"main\"\n{keys}"
        ),
    );
}

/// The names of the blocks in the data folder, which sort by the time they cover.
fn blocks_of(prometheus: &Prometheus) -> Vec<String> {
    let list = "for b in $(ls | grep -E '^01[0-9A-Z]{24}$'); do echo $(sed -n 's/.*\"minTime\": //p' $b/meta.json | head -1) $b; done | sort -n";
    prometheus.in_data(list).lines().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
}

/// What a dry run says of every block: verdict by name.
fn planned(watchkeeper: &Watchkeeper) -> Value {
    watchkeeper.run_json(&["run-now", CLEANUP, "--dry-run"]).expect(0).json()["jobs"][0]["blocks"]["decisions"].clone()
}

fn verdict_of<'a>(decisions: &'a Value, block: &str) -> &'a str {
    let decision = decisions.as_array().unwrap().iter().find(|decision| decision["block"] == block);
    decision.unwrap()["verdict"].as_str().unwrap()
}

/// The stored file that holds a block in the layout `blocks`.
fn stored(watchkeeper: &Watchkeeper, block: &str) -> PathBuf {
    let folder = watchkeeper.store().join("blocks");
    let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with(block) && name.ends_with(".tar.gz")
    };
    names.into_iter().find(is_it).unwrap()
}

/// Flips a bit in the middle of a file, and leaves its size and time as they were.
fn damage(file: &PathBuf) {
    let before = fs::metadata(file).unwrap();
    let mut open = fs::File::options().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    open.seek(SeekFrom::Start(before.size() / 2)).unwrap();
    open.read_exact(&mut byte).unwrap();
    open.seek(SeekFrom::Start(before.size() / 2)).unwrap();
    open.write_all(&[byte[0] ^ 1]).unwrap();
    open.set_modified(before.modified().unwrap()).unwrap();
}

/// How many deleted files of its data folder are mapped by a process of this host. (In a container its path is that of
/// every other one, too.)
fn still_mapped(prometheus: &Prometheus) -> usize {
    let data = prometheus.data_dir().display().to_string();
    let maps = fs::read_dir("/proc").unwrap().flatten();
    let maps = maps.filter_map(|entry| fs::read_to_string(entry.path().join("maps")).ok());
    let is_one = |line: &&str| line.contains(&data) && line.contains(".tmp-for-deletion");
    maps.map(|maps| maps.lines().filter(is_one).count()).sum()
}

/// Tells the story of a Prometheus on the host, in a container, and in one without a shell, side by side: each waits
/// for its server most of the time.
fn everywhere(story: fn(&Prometheus)) {
    let make: [fn() -> Option<Prometheus>; 3] = [
        || Prometheus::host(Builder::default()),
        || Prometheus::container(Builder::default()),
        || Prometheus::container(Builder::default().without_shell()),
    ];
    std::thread::scope(|scope| {
        for make in make {
            scope.spawn(move || {
                let Some(prometheus) = make() else { return };
                story(&prometheus);
                let own: Vec<&str> = prometheus.container_name().into_iter().collect();
                assert_eq!(prometheus.containers_on_its_data(), own, "a helper container was left behind");
            });
        }
    });
}

#[test]
fn old_blocks_that_a_good_backup_holds_go_and_come_back_from_it() {
    everywhere(|prometheus| {
        let watchkeeper = with_cleanup(prometheus, "", OLDER);
        let past = Past::until_now();
        let before = prometheus.digest(past);
        let all = blocks_of(prometheus);
        assert_eq!(all.len() as u64, BLOCKS);
        let backup = watchkeeper.back_up();

        let decisions = planned(&watchkeeper);
        let (going, staying) = all.split_at(4);
        for block in &all {
            let goes = going.contains(block);
            assert_eq!(verdict_of(&decisions, block) == "delete", goes, "{decisions}");
        }
        assert_eq!(decisions[0]["backup"], format!("{JOB}/{backup}"));
        let kept = decisions[0]["kept"]["words"].as_str().unwrap();
        assert!(kept.starts_with("until ") && kept.ends_with("at the earliest (one of the last)"), "{kept}");
        assert_eq!(blocks_of(prometheus), all, "the dry run deleted");

        let report = watchkeeper.run_json(&["run-now", CLEANUP]).expect(0).json();
        assert_eq!(blocks_of(prometheus), staying);
        let output = &report["runs"][0]["output"];
        let facts = output["facts"].to_string();
        for block in going {
            assert!(facts.contains(&format!("deleted {block}")), "{facts}");
        }
        assert!(facts.contains("when Prometheus is restarted"), "{facts}");
        assert!(prometheus.container_name().is_some() || still_mapped(prometheus) > 0);
        let verified = output["verified"].to_string();
        for said in ["has loaded the 5 blocks", "answers with the", "took a snapshot"] {
            assert!(verified.contains(said), "{verified}");
        }
        assert_eq!(prometheus.in_data("ls -d *.tmp-for-deletion 2>/dev/null || true"), "");
        assert!(prometheus.snapshots().is_empty());
        assert_ne!(prometheus.digest(past), before, "nothing is missing");

        watchkeeper.back_up();
        watchkeeper.run(&["restore", JOB, &backup, "--yes"]).expect(0);
        assert_eq!(prometheus.digest(past), before);

        // What was just restored is left alone, whether or not its journal is still there.
        for discard in [false, true] {
            if discard {
                watchkeeper.run(&["restore", JOB, "--discard-old", "--yes"]).expect(0);
            }
            let decisions = planned(&watchkeeper);
            for block in going {
                assert_eq!(verdict_of(&decisions, block), "restored");
            }
            let report = watchkeeper.run(&["run-now", CLEANUP]).expect(0);
            assert!(report.stdout.contains("a restore of the last 7 days put it there"), "{report:?}");
            assert!(going.iter().all(|block| blocks_of(prometheus).contains(block)));
        }
    });
}

#[test]
fn a_block_whose_stored_file_is_damaged_or_that_no_backup_holds_stays() {
    let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
    let all = blocks_of(&prometheus);
    let watchkeeper = with_cleanup(&prometheus, "", OLDER);
    let decisions = planned(&watchkeeper);
    assert!(all[..4].iter().all(|block| verdict_of(&decisions, block) == "no-backup"), "{decisions}");
    let report = watchkeeper.run(&["run-now", CLEANUP]).expect(0);
    assert!(report.stdout.contains("4 blocks stay: no backup holds it as it is now"), "{report:?}");
    assert_eq!(blocks_of(&prometheus), all);

    watchkeeper.back_up();
    damage(&stored(&watchkeeper, &all[1]));
    let report = watchkeeper.run(&["run-now", CLEANUP]).expect(3);
    for said in [
        "is no longer good: blocks/",
        "1 block stays: no stored file that holds it was read just before and found good",
        "3 blocks stay: no good backup holds it",
    ] {
        assert!(report.stdout.contains(said), "{said}: {report:?}");
    }
    assert_eq!(blocks_of(&prometheus), all);

    // The next backup stores the block anew, and tells of what is bad until then.
    watchkeeper.run(&["run-now", JOB]).expect(3);
    watchkeeper.run(&["run-now", CLEANUP]).expect(0);
    assert_eq!(blocks_of(&prometheus), all[4..]);
}

#[test]
fn a_backup_whose_own_archive_is_damaged_is_none_in_both_layouts() {
    for layout in ["blocks", "archive"] {
        let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
        let all = blocks_of(&prometheus);
        let watchkeeper = with_cleanup(&prometheus, &format!("layout = \"{layout}\"\n"), OLDER);
        let id = watchkeeper.back_up();
        let own = if layout == "blocks" { "meta" } else { "snapshot" };
        damage(&watchkeeper.store().join(format!("{own}_{id}.tar.gz")));
        let report = watchkeeper.run(&["run-now", CLEANUP]).expect(3);
        assert!(report.stdout.contains("4 blocks stay: no stored file that holds it"), "{report:?}");
        assert_eq!(blocks_of(&prometheus), all);
        watchkeeper.run(&["run-now", JOB]).expect(3);
        watchkeeper.run(&["run-now", CLEANUP]).expect(0);
        assert_eq!(blocks_of(&prometheus), all[4..]);
    }
}

#[test]
fn a_block_that_has_changed_since_its_backup_stays() {
    let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
    let watchkeeper = with_cleanup(&prometheus, "", OLDER);
    watchkeeper.back_up();
    prometheus.delete_series("wk_temperature");
    let decisions = planned(&watchkeeper);
    assert_eq!(verdict_of(&decisions, &blocks_of(&prometheus)[0]), "no-backup", "{decisions}");
}

#[test]
fn the_newest_block_and_more_than_max_share_stay_and_the_clock_cannot_change_that() {
    let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
    let all = blocks_of(&prometheus);
    let watchkeeper = with_cleanup(&prometheus, "", "older_than = \"1s\"\nmax_share = 0.34\n");
    watchkeeper.back_up();
    let decisions = planned(&watchkeeper);
    let verdicts: Vec<&str> = all.iter().map(|block| verdict_of(&decisions, block)).collect();
    let (goes, share) = ("delete", "share-reached");
    // Age is counted from the end of the newest block, which is hours ago: now does not matter.
    assert_eq!(verdicts, [goes, goes, goes, share, share, share, share, share, "newest"]);

    let report = watchkeeper.run(&["run-now", CLEANUP]).expect(0);
    assert!(
        report.stdout.contains("5 blocks stay: max_share of the blocks go at once already"),
        "{report:?}"
    );
    assert_eq!(blocks_of(&prometheus), all[3..]);

    // Nothing is as old as that, counted from the newest block, though everything is by the clock.
    configure(&watchkeeper, &prometheus, "", "older_than = \"11h\"\n");
    let decisions = planned(&watchkeeper);
    let young = all[3..8].iter().filter(|block| verdict_of(&decisions, block) == "young");
    assert_eq!(young.count(), 5, "{decisions}");

    // Nearly everything goes: the next backup is far smaller, which is no anomaly.
    configure(&watchkeeper, &prometheus, "", "older_than = \"1s\"\nmax_share = 1\n");
    watchkeeper.run(&["run-now", CLEANUP]).expect(0);
    assert_eq!(blocks_of(&prometheus), all[8..]);
    watchkeeper.run(&["run-now", JOB]).expect(0);
}

#[test]
fn with_restart_the_space_is_free_at_once_and_a_foreign_snapshot_still_pins_it() {
    everywhere(|prometheus| {
        let watchkeeper = with_cleanup(prometheus, "", &format!("{OLDER}restart = true\n"));
        watchkeeper.back_up();
        let foreign = prometheus.foreign_snapshot();
        let report = watchkeeper.run(&["run-now", CLEANUP]).expect(0);
        assert!(report.stdout.contains("by the restart of Prometheus"), "{report:?}");
        assert!(report.stdout.contains("when the snapshots are removed that link them"), "{report:?}");
        assert!(prometheus.is_ready());
        assert_eq!(prometheus.snapshots(), [foreign]);
        assert_eq!(blocks_of(prometheus).len() as u64, BLOCKS - 4);
        assert_eq!(still_mapped(prometheus), 0, "deleted files are still mapped");
    });
}

#[test]
fn while_prometheus_writes_a_block_nothing_is_deleted() {
    let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
    let all = blocks_of(&prometheus);
    let watchkeeper = with_cleanup(&prometheus, "", &format!("{OLDER}retries = {{ max = 0 }}\n"));
    watchkeeper.back_up();
    let writing = format!("{}.tmp-for-creation", all[0]);
    prometheus.in_data(&format!("mkdir {writing}"));
    let report = watchkeeper.run(&["run-now", CLEANUP]).expect(1);
    assert!(report.stdout.contains("Prometheus writes a block at this moment"), "{report:?}");
    assert_eq!(blocks_of(&prometheus), all);
}

#[test]
fn explain_lists_every_block_with_its_verdict_and_the_backup_that_holds_it() {
    let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
    let watchkeeper = with_cleanup(&prometheus, "", OLDER);
    let backup = watchkeeper.back_up();
    let text = watchkeeper.run(&["explain", CLEANUP]).expect(0).stdout;
    for block in blocks_of(&prometheus) {
        assert!(text.contains(&block), "{text}");
    }
    assert!(text.contains(&format!("{JOB}/{backup}")) && text.contains("it is the newest block"), "{text}");
    let json = watchkeeper.run_json(&["explain", CLEANUP]).expect(0).json();
    let verdicts: BTreeSet<&str> = json["cleanup"]["blocks"]["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|decision| decision["verdict"].as_str().unwrap())
        .collect();
    assert_eq!(verdicts, BTreeSet::from(["delete", "newest", "young"]));
}

#[test]
fn a_cleanup_that_prometheus_does_itself_is_pointless_and_check_says_so() {
    let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
    let watchkeeper = with_cleanup(&prometheus, "", "older_than = \"4000d\"\n");
    let said = watchkeeper.run(&["check", "--online"]).expect(3).stdout;
    assert!(said.contains("Prometheus itself deletes what is older than 10y"), "{said}");
}
