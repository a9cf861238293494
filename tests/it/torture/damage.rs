//! Whatever happens to a file of the store is found, is never restored from, costs no good backup, and keeps no backup
//! from being made. The many harms are done in this process, by the rooms that the program uses; the program itself meets
//! one of each kind.

mod history;
mod scene;

use std::fs;

use crate::reliability::{figure, in_full};
use crate::support::watchkeeper::JOB;

use scene::{Harm, Kind, Scene};

/// Flipped bytes in all, as the figures want them, and else.
fn flips() -> usize {
    if in_full() { 10_000 } else { 160 }
}

#[test]
fn every_flipped_byte_is_found_is_not_restored_from_and_costs_no_good_backup() {
    let Some(mut scene) = Scene::new() else { return };
    let each = flips().div_ceil(Kind::ALL.len());
    for kind in Kind::ALL {
        scene.is_whole(kind.name());
        for _ in 0..each {
            let (file, at, bit) = scene.random_bit(kind);
            scene.meets(&file, kind, &Harm::Flip { at, bit });
        }
        figure(
            &format!("flipped bytes: {}", kind.name()),
            &format!("{each} of {each} found, {}", kind.consequence()),
        );
    }
    figure("flipped bytes: seed (WATCHKEEPER_SEED)", &scene.seed.to_string());
}

#[test]
fn every_cut_and_every_loss_of_a_file_is_found_is_not_restored_from_and_costs_no_good_backup() {
    let Some(mut scene) = Scene::new() else { return };
    for kind in Kind::ALL {
        scene.is_whole(kind.name());
        let (mut cuts, mut losses) = (0, 0);
        for file in scene.files(kind) {
            let size = scene.size(&file);
            let short = if in_full() { 1 } else { 16 };
            let lengths = (0..size).step_by(4096 * short).chain([size - 1]);
            for length in lengths {
                scene.meets(&file, kind, &Harm::Cut { length });
                cuts += 1;
            }
            scene.meets(&file, kind, &Harm::Loss);
            losses += 1;
        }
        let found = format!("{cuts} cuts and {losses} losses, each found, {}", kind.consequence());
        figure(&format!("cut and lost files: {}", kind.name()), &found);
    }
}

#[test]
fn the_program_finds_each_kind_of_damage_refuses_to_restore_it_and_makes_the_next_backup() {
    let Some(mut scene) = Scene::new() else { return };
    let harms: usize = if in_full() { 3 } else { 1 };
    for (n, kind) in Kind::ALL.into_iter().enumerate() {
        for harm in 0..harms {
            let (file, at, bit) = scene.random_bit(kind);
            let harm = match (n + harm) % 3 {
                0 => Harm::Flip { at, bit },
                1 => Harm::Cut { length: at },
                _ => Harm::Loss,
            };
            let what = format!("{} of {}", harm.name(), file.display());
            scene.harm(&file, &harm);
            let hurt = scene.naming(&file, kind);
            let code = if kind.costs_backups() { 1 } else { 3 };
            let verified = scene.watchkeeper.run(&["verify"]);
            assert_eq!(verified.code, code, "{what}: {verified:?}");
            for id in &hurt {
                let into = scene.watchkeeper.folder().join("into");
                let arguments = ["restore", JOB, id, "--into", into.to_str().unwrap()];
                let restored = scene.watchkeeper.run(&arguments);
                assert!([1, 2].contains(&restored.code), "{what}: {restored:?}");
                assert!(!into.exists() || into.read_dir().unwrap().count() == 0, "{what}: {restored:?}");
            }
            let run = scene.watchkeeper.run(&["run-now", JOB]);
            assert!([0, 3].contains(&run.code), "{what}: {run:?}");
            for id in scene.ids.iter().filter(|id| !hurt.contains(id)) {
                assert!(scene.watchkeeper.backups().contains(id), "{what}: {id} is gone: {run:?}");
            }
            let newest = scene.watchkeeper.backups().pop().unwrap();
            let into = scene.watchkeeper.folder().join("newest");
            scene.watchkeeper.run(&["restore", JOB, &newest, "--into", into.to_str().unwrap()]).expect(0);
            fs::remove_dir_all(into).unwrap();
            scene.as_before();
        }
    }
    let runs = harms * Kind::ALL.len();
    figure(
        "damage before a run of the program",
        &format!("{runs} of {runs} found by `verify`, refused by `restore`, and followed by a good backup"),
    );
}
