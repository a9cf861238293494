//! Files that backups share, in small stores.

use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::values::Codec;
use crate::progress::Progress;
use crate::store::{Backup, Layout, Pending, testing};
use std::time::Duration as Wait;
use ulid::Ulid;

const GZIP: Compression = Compression { codec: Codec::Gzip, level: 6 };

/// Stores `content` under `key` in a backup that is being made.
fn store(pending: &Pending, key: &str, content: &[u8], compression: Compression) -> SharedFile {
    publish(pending, key, content, compression).file
}

fn publish(pending: &Pending, key: &str, content: &[u8], compression: Compression) -> Published {
    let mut writer = pending.begin_shared(compression).unwrap();
    writer.file("b/index", 0o644, 0, content.len() as u64, &mut &content[..]).unwrap();
    let written = writer.finish().unwrap();
    let draft = SharedDraft {
        key,
        content_sha256: crate::store::digest::sha256(content),
        compression,
        about: serde_json::json!({ "of": key, "by": pending.run }),
    };
    let (step, cancel) = (Progress::silent().step("store", None), CancellationToken::new());
    pending.publish_shared(&written, draft, &step, &cancel).unwrap()
}

/// A backup some seconds after the first that consists of these blocks, each of its own name as content.
fn backup(job: &JobStore, seconds: i64, keys: &[&str]) -> Backup {
    let mut pending = testing::written(job, seconds);
    pending.rely_on_shared().unwrap();
    let index = job.shared().unwrap();
    let file = |key: &&str| {
        let known = index.good(key).pop();
        known.unwrap_or_else(|| store(&pending, key, key.as_bytes(), GZIP))
    };
    let shared = keys.iter().map(file).collect();
    let draft = super::super::Draft { layout: Layout::Blocks, shared, ..testing::draft(seconds) };
    let step = Progress::silent().step("publish", None);
    pending.publish(draft, &step, &CancellationToken::new()).unwrap()
}

fn lock(job: &JobStore) -> ExclusiveLock {
    job.lock_exclusive(Wait::ZERO).unwrap()
}

fn files(job: &JobStore) -> Vec<String> {
    let names = shared_names(job.folder()).unwrap();
    names.into_iter().filter(|name| Codec::of_name(name).is_some()).collect()
}

fn damage(job: &JobStore, file: &SharedFile) {
    let path = job.folder().join(&file.file.name);
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 1;
    atomic::replace(&path, &bytes, 0o640).unwrap();
}

fn verify(job: &JobStore, backup: &Backup) -> bool {
    let (step, cancel) = (Progress::silent().step("verify", None), CancellationToken::new());
    job.verify(backup, testing::at(50), &step, &cancel).unwrap().is_good()
}

#[test]
fn what_two_backups_share_is_stored_once_and_goes_with_the_last_of_them() {
    let (_dir, job) = testing::job();
    let one = backup(&job, 0, &["A", "B"]);
    let two = backup(&job, 1, &["B", "C"]);
    assert_eq!(files(&job).len(), 3);
    job.remove(&lock(&job), &[one.id().clone()]).unwrap();
    assert_eq!(files(&job).iter().map(|name| &name[..1]).collect::<Vec<_>>(), ["B", "C"]);
    let left: Vec<_> = job.list().unwrap().backups.iter().map(|backup| backup.id().clone()).collect();
    assert_eq!((left, job.list().unwrap().broken), (vec![two.id().clone()], vec![]));
    let removed = job.remove(&lock(&job), &[two.id().clone()]).unwrap();
    assert_eq!((removed.files, removed.bytes), (3, two.size()));
    assert_eq!(shared_names(job.folder()).unwrap(), ["state.json"]);
    assert_eq!(job.shared_checks(), Checks::new());
}

#[test]
fn what_a_cut_backup_has_stored_is_found_by_the_next_and_swept_after_days() {
    let (_dir, job) = testing::job();
    let pending = job.begin(Ulid::from_parts(1, 1), testing::now()).unwrap();
    let stored = store(&pending, "A", b"A", GZIP);
    pending.crash();
    assert_eq!(job.shared().unwrap().good("A"), [stored]);
    let soon = Timestamp::now();
    let sweep = |now| job.sweep_shared(&lock(&job), &job.list().unwrap(), now).unwrap().files;
    sweep(soon);
    assert_eq!(files(&job).len(), 1);
    let kept = backup(&job, 1, &["B"]);
    sweep(soon + SPARED + SignedDuration::from_mins(1));
    assert_eq!(files(&job).iter().map(|name| &name[..1]).collect::<Vec<_>>(), ["B"]);
    assert_eq!(job.list().unwrap().backups, [kept]);
}

#[test]
fn nothing_is_swept_while_a_manifest_cannot_be_read() {
    let (_dir, job) = testing::job();
    let one = backup(&job, 0, &["A"]);
    atomic::replace(&job.manifest_path(one.id()), b"{", 0o640).unwrap();
    job.sweep_shared(&lock(&job), &job.list().unwrap(), Timestamp::now() + SPARED * 2).unwrap();
    assert_eq!(files(&job).len(), 1);
}

#[test]
fn a_bad_file_makes_every_backup_bad_that_shares_it_and_storing_it_anew_makes_them_good() {
    let (_dir, job) = testing::job();
    let made = [0, 1].map(|second| backup(&job, second, &["A", "B"]));
    let file = job.shared().unwrap().good("A").remove(0);
    damage(&job, &file);
    assert!(!verify(&job, &made[1]));
    assert!(job.list().unwrap().backups.iter().all(|backup| !backup.is_good()));
    assert_eq!((job.shared().unwrap().good("A"), job.shared().unwrap().bad("A").len()), (vec![], 1));

    let again = backup(&job, 2, &["A", "B"]);
    assert!(job.list().unwrap().backups.iter().all(Backup::is_good));
    assert!(made.iter().chain([&again]).all(|backup| verify(&job, backup)));
    assert_eq!(files(&job).len(), 2);
}

#[test]
fn a_content_is_stored_once_whatever_the_codec_and_described_as_it_was_last_seen() {
    let (_dir, job) = testing::job();
    let one = backup(&job, 0, &["A"]);
    let before = job.shared().unwrap().good("A").remove(0);
    let pending = job.begin(Ulid::from_parts(7, 7), testing::at(7)).unwrap();
    let other = publish(&pending, "A", b"A", Compression { codec: Codec::None, level: 0 });
    assert_eq!((other.how, &other.file.file), (Novelty::Known, &before.file));
    assert_ne!(other.file.about, before.about);
    assert_eq!(job.shared().unwrap().good("A"), [other.file]);
    drop(pending);
    assert!(verify(&job, &one));
}

#[test]
fn a_bad_file_that_cannot_be_made_again_stays_bad_and_its_content_gets_another_name() {
    let (_dir, job) = testing::job();
    let one = backup(&job, 0, &["A"]);
    damage(&job, &job.shared().unwrap().good("A").remove(0));
    assert!(!verify(&job, &one));
    let pending = job.begin(Ulid::from_parts(7, 7), testing::at(7)).unwrap();
    let other = publish(&pending, "A", b"A", Compression { codec: Codec::None, level: 0 });
    assert_eq!(other.how, Novelty::New);
    assert!(other.file.file.name.ends_with("-2.tar"), "{}", other.file.file.name);
    // The bytes that the bad one should have mend it, though a good one is there.
    assert_eq!(publish(&pending, "A", b"A", GZIP).how, Novelty::Mended);
    drop(pending);
    assert!(verify(&job, &one) && job.list().unwrap().backups[0].is_good());
}

#[test]
fn a_folder_in_place_of_what_is_to_be_removed_is_told_and_the_rest_goes() {
    let (_dir, job) = testing::job();
    let made = [backup(&job, 0, &["A", "B"]), backup(&job, 1, &["C"]), backup(&job, 2, &["D"])];
    let in_place_of = |path: &Path| {
        atomic::remove_if_there(path).unwrap();
        fs::create_dir(path).unwrap();
        path.to_owned()
    };
    let stored = |backup: &Backup, file: usize| backup.path_of(&backup.manifest.files[file]);
    let ids = [made[0].id().clone(), made[1].id().clone()];
    // A shared file, the description of one that nobody names, and what a sweep looks for.
    let mut folders = vec![in_place_of(&stored(&made[0], 1))];
    let removed = job.remove(&lock(&job), &ids).unwrap();
    let told = |left: &[Left]| left.iter().map(|left| left.path.clone()).collect::<Vec<_>>();
    assert_eq!((told(&removed.left), removed.backups.len()), (folders.clone(), 2));
    assert!(removed.left[0].to_string().contains("a folder where a file belongs"), "{:?}", removed.left);
    assert!(!stored(&made[0], 2).exists() && !stored(&made[1], 1).exists());
    assert_eq!(job.list().unwrap().backups.len(), 1);

    folders.push(in_place_of(&job.folder().join(".tmp-x")));
    let mut swept = told(&job.sweep(&lock(&job)).unwrap().left);
    swept.sort();
    folders.sort();
    assert_eq!(swept, folders);

    let pending = job.begin(Ulid::from_parts(9, 9), testing::at(9)).unwrap();
    let unclaimed = ["E", "F"].map(|key| store(&pending, key, key.as_bytes(), GZIP));
    drop(pending);
    let stem = stem_of(&unclaimed[0].file.name).unwrap();
    let odd = [
        in_place_of(&description_path(job.folder(), stem)),
        in_place_of(&job.folder().join(FOLDER).join(".tmp-y")),
    ];
    let later = Timestamp::now() + SPARED * 2;
    let swept = job.sweep_shared(&lock(&job), &job.list().unwrap(), later).unwrap();
    assert!(odd.iter().all(|path| told(&swept.left).contains(path)), "{swept:?}");
    assert!(!job.folder().join(&unclaimed[1].file.name).exists());

    // With the folders gone all goes.
    for folder in folders.iter().chain(&odd) {
        fs::remove_dir(folder).unwrap();
    }
    assert_eq!(job.sweep(&lock(&job)).unwrap().left, []);
    assert_eq!(job.sweep_shared(&lock(&job), &job.list().unwrap(), later).unwrap().left, []);
    assert_eq!(files(&job).len(), 1);
}

#[test]
fn a_folder_in_place_of_a_stored_file_is_moved_aside_and_the_file_stored_anew() {
    let (_dir, job) = testing::job();
    let one = backup(&job, 0, &["A"]);
    let path = one.path_of(&one.manifest.files[1]);
    for number in [1, 2] {
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        atomic::replace(&path.join("note"), b"mine", 0o640).unwrap();
        assert_eq!(job.list().unwrap().backups.len(), 0);
        let pending = job.begin(Ulid::from_parts(7, number), testing::at(7)).unwrap();
        let published = publish(&pending, "A", b"A", GZIP);
        assert_eq!(published.how, Novelty::Mended);
        let aside = published.set_aside.unwrap();
        assert!(
            aside.to_str().unwrap().ends_with(&format!(".tar.gz.set-aside-{number}")),
            "{}",
            aside.display()
        );
        assert_eq!(fs::read_to_string(aside.join("note")).unwrap(), "mine");
        drop(pending);
        assert!(verify(&job, &one));
    }
    backup(&job, 1, &["A"]);
    let backups = job.list().unwrap().backups;
    assert!(backups.len() == 2 && backups.iter().all(Backup::is_good), "{backups:?}");
}

#[test]
fn a_lost_description_is_written_anew_when_the_same_bytes_come_again() {
    let (_dir, job) = testing::job();
    let one = backup(&job, 0, &["A"]);
    let stem = stem_of(&one.manifest.files[1].name).unwrap().to_owned();
    fs::remove_file(description_path(job.folder(), &stem)).unwrap();
    let pending = job.begin(Ulid::from_parts(7, 7), testing::at(7)).unwrap();
    assert_eq!(publish(&pending, "A", b"A", GZIP).how, Novelty::Known);
    drop(pending);
    let two = backup(&job, 1, &["A"]);
    assert_eq!(one.manifest.files[1], two.manifest.files[1]);
    assert!(verify(&job, &one) && verify(&job, &two));
}

#[test]
fn other_bytes_under_a_name_that_lost_its_description_are_left_alone() {
    let (_dir, job) = testing::job();
    let one = backup(&job, 0, &["A"]);
    let file = one.manifest.files[1].clone();
    damage(&job, &job.shared().unwrap().good("A").remove(0));
    fs::remove_file(description_path(job.folder(), stem_of(&file.name).unwrap())).unwrap();
    let damaged = fs::read(job.folder().join(&file.name)).unwrap();
    let two = backup(&job, 1, &["A"]);
    assert!(two.manifest.files[1].name.ends_with("-2.tar.gz"));
    assert_eq!(fs::read(job.folder().join(&file.name)).unwrap(), damaged);
}

#[test]
fn what_was_wrong_with_a_file_is_not_said_of_the_one_that_takes_its_place() {
    let (_dir, job) = testing::job();
    let one = backup(&job, 0, &["A"]);
    let file = job.shared().unwrap().good("A").remove(0);
    damage(&job, &file);
    assert!(!verify(&job, &one));
    // Somebody removes it by hand, with its description or without.
    for with_description in [true, false] {
        fs::remove_file(job.folder().join(&file.file.name)).unwrap();
        if with_description {
            fs::remove_file(description_path(job.folder(), stem_of(&file.file.name).unwrap())).unwrap();
        }
        let two = backup(&job, 1, &["A"]);
        assert!(two.is_good() && job.list().unwrap().backups.iter().all(Backup::is_good));
    }
}

#[test]
fn a_file_counts_as_read_when_it_was_stored_and_not_when_a_later_backup_found_it() {
    let (_dir, job) = testing::job();
    let pending = job.begin(Ulid::from_parts(1, 1), testing::at(-500)).unwrap();
    store(&pending, "A", b"A", GZIP);
    pending.crash();
    let one = backup(&job, 0, &["A", "B"]);
    let read: Vec<Timestamp> =
        one.manifest.files.iter().map(|file| one.check_of(file).unwrap().when).collect();
    assert_eq!(read, [testing::at(0), testing::at(-500), testing::at(0)]);
}

#[test]
fn removing_a_file_leaves_the_description_of_another_codecs() {
    let (_dir, job) = testing::job();
    backup(&job, 0, &["A"]);
    let file = job.shared().unwrap().good("A").remove(0);
    let twin = file.file.name.replace(".tar.gz", ".tar.zst");
    fs::copy(job.folder().join(&file.file.name), job.folder().join(&twin)).unwrap();
    job.remove_shared(&twin).unwrap();
    assert_eq!(job.shared().unwrap().good("A"), [file]);
}

#[test]
fn what_no_backup_names_is_listed_and_goes_unless_a_manifest_is_lost() {
    let (_dir, job) = testing::job();
    let kept = [0, 1].map(|second| backup(&job, second, &["B", "C"]));
    let pending = job.begin(Ulid::from_parts(1, 1), testing::now()).unwrap();
    let loose = store(&pending, "A", b"A", GZIP);
    let making = job.list().unwrap().unclaimed;
    assert!(making.in_doubt);
    pending.crash();
    job.sweep(&lock(&job)).unwrap();
    let unclaimed = |doubt| {
        let file = StoredName { name: loose.file.name.clone(), size: loose.file.size };
        Unclaimed { files: vec![file], in_doubt: doubt }
    };
    assert_eq!(job.list().unwrap().unclaimed, unclaimed(false));
    let later = Timestamp::now() + SPARED * 2;
    let swept = || job.sweep_shared(&lock(&job), &job.list().unwrap(), later).unwrap().files.len();

    // What it names is known of a backup that misses a file, but not of one whose manifest is lost.
    let manifest = job.manifest_path(kept[0].id());
    let aside = job.folder().join("aside");
    fs::rename(&manifest, &aside).unwrap();
    assert_eq!((job.list().unwrap().unclaimed.in_doubt, swept()), (true, 0));
    fs::rename(&aside, &manifest).unwrap();
    fs::remove_file(job.folder().join(&job.shared().unwrap().good("C")[0].file.name)).unwrap();
    assert_eq!((job.list().unwrap().broken.len(), swept()), (2, 1));
    assert_eq!(files(&job).iter().map(|name| &name[..1]).collect::<Vec<_>>(), ["B"]);
}

#[test]
fn a_damaged_state_is_told() {
    let (_dir, job) = testing::job();
    backup(&job, 0, &["A"]);
    assert_eq!(job.list().unwrap().warnings, [""; 0]);
    atomic::replace(&job.shared_state_path(), b"{}", 0o640).unwrap();
    let warnings = job.list().unwrap().warnings;
    assert!(warnings[0].contains("blocks/state.json"), "{warnings:?}");
}

#[test]
fn a_file_that_goes_while_a_backup_is_made_keeps_that_from_being_published() {
    let (_dir, job) = testing::job();
    let pending = testing::written(&job, 0);
    let stored = store(&pending, "A", b"A", GZIP);
    fs::remove_file(job.folder().join(&stored.file.name)).unwrap();
    let shared = vec![stored];
    let draft = super::super::Draft { layout: Layout::Blocks, shared, ..testing::draft(0) };
    let step = Progress::silent().step("publish", None);
    assert!(pending.publish(draft, &step, &CancellationToken::new()).is_err());
    assert_eq!(job.list().unwrap(), Listing::default());
}

#[test]
fn backups_that_are_relied_on_are_not_removed_meanwhile() {
    let (_dir, job) = testing::job();
    backup(&job, 0, &["A"]);
    let mut pending = job.begin(Ulid::from_parts(7, 7), testing::at(7)).unwrap();
    pending.rely_on_shared().unwrap();
    assert!(matches!(job.lock_exclusive(Wait::ZERO), Err(StoreError::Busy { .. })));
    drop(pending);
    drop(lock(&job));
}

#[test]
fn every_flipped_bit_of_a_description_is_noticed_and_a_lost_state_costs_dates() {
    let (_dir, job) = testing::job();
    let one = backup(&job, 0, &["A"]);
    let path = description_path(job.folder(), stem_of(&one.manifest.files[1].name).unwrap());
    let good = fs::read(&path).unwrap();
    for i in 0..good.len() {
        let mut bad = good.clone();
        bad[i] ^= 1 << (i % 8);
        atomic::replace(&path, &bad, 0o640).unwrap();
        assert_eq!(job.shared().unwrap().good("A"), [], "byte {i}");
    }
    fs::remove_file(job.shared_state_path()).unwrap();
    let listed = &job.list().unwrap().backups[0];
    assert_eq!((listed.is_good(), listed.verified()), (true, None));
}

#[test]
fn only_our_names_are_names_of_shared_files() {
    let name = "blocks/01ARZ3NDEKTSV4RRFFQ69G5FAV-0123abcd.tar.gz";
    assert_eq!(key_of(name), Some("01ARZ3NDEKTSV4RRFFQ69G5FAV"));
    assert_eq!(key_of(&name.replace(".tar.gz", "-2.tar.zst")), Some("01ARZ3NDEKTSV4RRFFQ69G5FAV"));
    for other in [
        "blocks/state.json",
        "blocks/a-0123abcd.json",
        "x-0123abcd.tar.gz",
        "blocks/../a-0123abcd.tar",
        "blocks/a-0123abc.tar",
    ] {
        assert_eq!(key_of(other), None, "{other}");
    }
}
