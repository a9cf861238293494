//! Stored blocks that are damaged: a restore that would need one says so before it is begun, and brings the others where that
//! is asked for.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::prometheus::{Builder, Digest, Past, Prometheus};
use crate::support::watchkeeper::{JOB, Output, Watchkeeper, files_job};
use crate::support::{database, scratch};

/// A server with two backups that share their blocks, and one of those, from the middle.
struct Scene {
    prometheus: Prometheus,
    watchkeeper: Watchkeeper,
    newest: String,
    /// How many blocks the newest backup has.
    blocks: usize,
    /// As the plan of a restore tells of it.
    block: Value,
    file: PathBuf,
}

impl Scene {
    fn new() -> Option<Self> {
        let prometheus = Prometheus::host(Builder::default())?;
        let watchkeeper = Watchkeeper::for_prometheus(&prometheus);
        let [_, newest] = [(); 2].map(|()| watchkeeper.back_up());
        let plan = watchkeeper.run_json(&["restore", JOB, "--dry-run"]).expect(0).json();
        let blocks = plan["plan"]["blocks"].as_array().unwrap();
        let (block, blocks) = (blocks[blocks.len() / 2].clone(), blocks.len());
        let file = stored(&watchkeeper, block["name"].as_str().unwrap());
        Some(Self { prometheus, watchkeeper, newest, blocks, block, file })
    }

    fn name(&self) -> &str {
        self.block["name"].as_str().unwrap()
    }

    /// The time of the block, Unix milliseconds.
    fn time(&self) -> [i64; 2] {
        ["min_time", "max_time"].map(|edge| self.block[edge].as_i64().unwrap())
    }

    /// The same as people read it.
    fn span(&self) -> String {
        let [from, until] = self.time().map(|at| {
            jiff::Timestamp::from_millisecond(at).unwrap().strftime("%Y-%m-%d %H:%M:%SZ").to_string()
        });
        format!("{from} to {until}")
    }

    /// It says which block is damaged, of what time, and how the others are restored.
    #[track_caller]
    fn tells(&self, output: &Output) {
        let said = format!("{}{}", output.stdout, output.stderr);
        assert!(said.contains(self.name()) && said.contains("--skip-damaged"), "{said}");
    }

    /// What the server answers is what it answered before, but for the time of the block, of which it knows nothing.
    #[track_caller]
    fn serves_all_but_the_block(&self, past: Past, before: &Digest) {
        let after = self.prometheus.digest(past);
        let [from, until] = self.time().map(|at| at / 1000);
        let mut gone = 0;
        for (key, value) in before {
            let hour: i64 = key.1.parse().unwrap();
            if hour <= from || hour - 3600 >= until {
                assert_eq!(after.get(key), Some(value), "{key:?}");
            } else if hour - 3600 >= from && hour < until {
                assert_eq!(after.get(key), None, "{key:?}");
                gone += 1;
            }
        }
        assert!(gone > 0, "the block covers no hour of {before:?}");
    }
}

/// The stored file of a block.
fn stored(watchkeeper: &Watchkeeper, block: &str) -> PathBuf {
    let folder = watchkeeper.store().join("blocks");
    let names = scratch::files_below(&folder);
    let is_it = |path: &&PathBuf| {
        let name = path.to_str().unwrap();
        name.starts_with(block) && name.ends_with(".tar.gz")
    };
    folder.join(names.iter().find(is_it).unwrap())
}

fn flip(path: &Path) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 100).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 100).unwrap();
}

#[test]
fn a_dry_run_reads_what_it_would_bring_and_what_it_finds_bad_the_next_run_stores_anew() {
    let Some(scene) = Scene::new() else { return };
    let Scene { prometheus, watchkeeper, .. } = &scene;
    for words in [["restore", JOB, "--dry-run"], ["restore", JOB, "--yes"]] {
        flip(&scene.file);
        let past = Past::until_now();
        let (before, ids) = (prometheus.digest(past), watchkeeper.backups());
        // Nobody knows of it yet.
        assert_eq!(watchkeeper.goods(), vec![true; ids.len()]);
        scene.tells(&watchkeeper.run(&words).expect(1));
        assert_eq!(prometheus.digest(past), before);
        assert_eq!(watchkeeper.goods(), vec![false; ids.len()]);
        // Now it is known before anything is begun.
        scene.tells(&watchkeeper.run(&["restore", JOB, "--yes"]).expect(1));
        let named = watchkeeper.run(&["restore", JOB, &ids[0], "--yes"]).expect(1);
        scene.tells(&named);
        assert!(format!("{}{}", named.stdout, named.stderr).contains(&scene.span()), "{named:?}");

        let report = watchkeeper.run(&["run-now", JOB]).expect(3);
        let mended = format!("{} older backups can be restored again", ids.len());
        assert!(report.stdout.contains(&mended), "{report:?}");
        assert_eq!(watchkeeper.goods(), vec![true; ids.len() + 1]);
        watchkeeper.run(&["restore", JOB, &ids[0], "--dry-run"]).expect(0);
    }
}

#[test]
fn without_one_damaged_block_the_others_are_restored_and_the_gap_is_told() {
    let Some(scene) = Scene::new() else { return };
    let Scene { prometheus, watchkeeper, newest, .. } = &scene;
    let harms: [fn(&Path); 2] = [flip, |path| fs::remove_file(path).unwrap()];
    let (past, good) = (Past::until_now(), fs::read(&scene.file).unwrap());
    let before = prometheus.digest(past);
    for harm in harms {
        fs::write(&scene.file, &good).unwrap();
        watchkeeper.run(&["verify"]).expect(0);
        harm(&scene.file);
        prometheus.lose_everything();
        scene.tells(&watchkeeper.run(&["restore", JOB, newest, "--yes"]).expect(1));
        let none = watchkeeper.run(&["restore", JOB, "--yes"]).expect(1);
        scene.tells(&none);
        assert!(none.stderr.contains("There is no good backup"), "{none:?}");
        assert_eq!(prometheus.in_data("ls -d 01* 2>/dev/null || true"), "");

        let plan = watchkeeper.run_json(&["restore", JOB, "--skip-damaged", "--dry-run"]).expect(0).json();
        let left_out = &plan["plan"]["left_out"];
        assert_eq!(
            (left_out[0]["name"].as_str(), left_out.as_array().unwrap().len()),
            (Some(scene.name()), 1)
        );
        assert_eq!(plan["plan"]["blocks"].as_array().unwrap().len(), scene.blocks - 1);
        assert_eq!(left_out[0]["time"], serde_json::json!(scene.time()));
        let restored = watchkeeper.run(&["restore", JOB, "--skip-damaged", "--yes"]).expect(3);
        let said = format!("{}{}", restored.stdout, restored.stderr);
        assert!(said.contains(&format!("left out: {}, {}", scene.name(), scene.span())), "{said}");
        assert!(said.contains(&format!("times are missing: {}", scene.span())), "{said}");
        assert!(said.contains(&format!("{} restored blocks in place", scene.blocks - 1)), "{said}");
        scene.serves_all_but_the_block(past, &before);
        watchkeeper.run(&["restore", JOB, "--discard-old", "--yes"]).expect(0);
    }
}

#[test]
fn what_every_block_needs_cannot_be_left_out_and_where_nothing_is_left_it_is_refused() {
    let Some(scene) = Scene::new() else { return };
    let Scene { watchkeeper, newest, .. } = &scene;
    let skip = |more: &[&str]| watchkeeper.run(&[&["restore", JOB, newest, "--skip-damaged"], more].concat());
    let meta = watchkeeper.store().join(format!("meta_{newest}.tar.gz"));
    flip(&meta);
    for how in ["--dry-run", "--yes"] {
        let refused = skip(&[how]).expect(1);
        let said = format!("{}{}", refused.stdout, refused.stderr);
        assert!(said.contains(&format!("meta_{newest}")) && !said.contains("--skip-damaged"), "{said}");
    }
    flip(&meta);
    let blocks = watchkeeper.store().join("blocks");
    for file in scratch::files_below(&blocks) {
        if file.to_str().unwrap().ends_with(".tar.gz") {
            fs::remove_file(blocks.join(file)).unwrap();
        }
    }
    let into = watchkeeper.folder().join("into");
    for more in [&["--dry-run"][..], &["--yes"], &["--into", into.to_str().unwrap()]] {
        let refused = skip(more).expect(1);
        let said = format!("{}{}", refused.stdout, refused.stderr);
        assert!(said.contains("no undamaged block"), "{said}");
    }
}

#[test]
fn what_is_unpacked_or_restored_from_a_manifest_can_do_without_a_damaged_block_too() {
    let Some(scene) = Scene::new() else { return };
    let Scene { prometheus, watchkeeper, newest, .. } = &scene;
    flip(&scene.file);
    let manifest = watchkeeper.store().join(format!("{newest}.json"));
    let sources = [&["restore", JOB, newest][..], &["restore", "--from", manifest.to_str().unwrap()]];
    for (number, source) in sources.into_iter().enumerate() {
        let folder = watchkeeper.folder().join(format!("into-{number}"));
        let into = ["--into", folder.to_str().unwrap()];
        scene.tells(&watchkeeper.run(&[source, &into].concat()).expect(1));
        assert!(!folder.exists() || fs::read_dir(&folder).unwrap().next().is_none());
        let unpacked = watchkeeper.run(&[source, &into, &["--skip-damaged"]].concat()).expect(3);
        assert!(unpacked.stdout.contains(&format!("left out: block {} ({})", scene.name(), scene.span())));
        let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), scene.blocks - 1, "{names:?}");
        assert!(!names.iter().any(|name| *name == *scene.name()), "{names:?}");
    }
    let from = [sources[1], &["--prometheus", "main", "--skip-damaged", "--yes"]].concat();
    prometheus.lose_everything();
    watchkeeper.run(&from).expect(3);
}

#[test]
fn a_dry_run_of_files_or_of_a_database_reads_what_it_would_bring_too() {
    let folder = scratch::folder("kinds");
    let (file, path) = (folder.path().join("a.yml"), folder.path().join("a.db"));
    fs::write(&file, "a: 1\n").unwrap();
    drop(database::create(&path));
    let watchkeeper = Watchkeeper::with_config(&format!(
        "{}[[job]]\nname = \"db\"\nkind = \"sqlite-backup\"\nkeep = {{ last = 3 }}\ndatabase = {path:?}\n",
        files_job(3, &[&file])
    ));
    watchkeeper.run(&["run-now", "conf", "db"]).expect(0);
    fs::write(&file, "a: 2\n").unwrap();
    for (job, prefix) in [("conf", "files_"), ("db", "sqlite_")] {
        watchkeeper.run(&["restore", job, "--dry-run"]).expect(0);
        let store = watchkeeper.store_of(job);
        let names = scratch::files_below(&store);
        let archive = names.iter().find(|name| name.to_str().unwrap().starts_with(prefix)).unwrap();
        flip(&store.join(archive));
        let refused = watchkeeper.run(&["restore", job, "--dry-run"]).expect(1);
        assert!(refused.stderr.contains("its SHA-256 is"), "{refused:?}");
        let backups = watchkeeper.run(&["backups", job]).expect(0);
        assert!(backups.stdout.contains("BAD"), "{backups:?}");
    }
}

#[test]
fn of_other_kinds_nothing_can_be_left_out() {
    let folder = scratch::folder("kinds");
    fs::write(folder.path().join("a.yml"), "a: 1\n").unwrap();
    let watchkeeper = Watchkeeper::with_config(&files_job(3, &[folder.path()]));
    watchkeeper.run(&["run-now", "conf"]).expect(0);
    let refused = watchkeeper.run(&["restore", "conf", "--skip-damaged", "--yes"]).expect(2);
    assert!(refused.stderr.contains("is for a restore of a Prometheus"), "{refused:?}");
}
