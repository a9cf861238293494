//! The promise of the program: what a Prometheus answered before its data was lost, it answers again after a
//! restore. Each story is told on this host and in containers, with the program as a person runs it.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::support::prometheus::{self, Builder, Past, Prometheus, told_twice};
use crate::support::watchkeeper::{JOB, Watchkeeper};
use crate::support::{blocks, run, wait_until};

/// Tells a story of this name everywhere a Prometheus may run.
macro_rules! told_everywhere {
    ($($story:ident),+ $(,)?) => {$(
        mod $story {
            use super::*;

            #[test]
            fn on_the_host() {
                tell(Prometheus::host(Builder::default()), super::$story);
            }

            #[test]
            fn in_a_container() {
                tell(Prometheus::container(Builder::default()), super::$story);
            }

            #[test]
            fn in_a_container_without_a_shell() {
                tell(Prometheus::container(Builder::default().without_shell()), super::$story);
            }
        }
    )+};
}

told_everywhere! {
    lost_data_comes_back_and_the_next_backup_works,
    an_older_backup_replaces_a_newer_state_and_undo_brings_that_back,
    a_server_that_a_corrupt_block_keeps_down_is_restored,
}

told_twice! {
    a_server_made_anew_and_never_started_is_restored,
    twenty_backups_leave_no_snapshot_but_a_foreign_one,
    an_archive_opens_with_tar_and_a_plain_prometheus_gives_the_same_answers,
    a_question_that_nobody_can_answer_and_a_dry_run_change_nothing,
    a_backup_of_a_stopped_server_fails_and_leaves_nothing,
}

type Story = fn(&Prometheus, &Watchkeeper);

/// Nothing where the server cannot be had here; that has been said then.
fn tell(prometheus: Option<Prometheus>, story: Story) {
    let Some(prometheus) = prometheus else { return };
    let watchkeeper = Watchkeeper::for_prometheus(&prometheus);
    story(&prometheus, &watchkeeper);
    let own: Vec<&str> = prometheus.container_name().into_iter().collect();
    assert_eq!(prometheus.containers_on_its_data(), own, "a helper container was left behind");
}

fn lost_data_comes_back_and_the_next_backup_works(prometheus: &Prometheus, watchkeeper: &Watchkeeper) {
    let past = Past::until_now();
    let before = prometheus.digest(past);
    watchkeeper.back_up();

    prometheus.lose_everything();
    assert_ne!(prometheus.digest(past), before, "the data was not lost");

    watchkeeper.run(&["restore", JOB, "--yes"]).expect(0);
    assert_eq!(prometheus.digest(past), before);

    // Owners and hard links are as Prometheus needs them, and its head lives.
    prometheus.wait_scraped();
    watchkeeper.back_up();
    assert_eq!(watchkeeper.backups().len(), 2);
    assert!(prometheus.snapshots().is_empty());
}

fn an_older_backup_replaces_a_newer_state_and_undo_brings_that_back(
    prometheus: &Prometheus,
    watchkeeper: &Watchkeeper,
) {
    let older_past = Past::until_now();
    let older = prometheus.digest(older_past);
    let id = watchkeeper.back_up();
    prometheus.wait_for_scrapes(5);
    let newer_past = Past::until_now();
    let newer = prometheus.digest(newer_past);
    watchkeeper.back_up();

    watchkeeper.run(&["restore", JOB, &id, "--yes"]).expect(0);
    assert_eq!(prometheus.digest(older_past), older);
    assert_ne!(prometheus.digest(newer_past), newer, "the newer samples are still there");

    watchkeeper.run(&["restore", JOB, "--undo", "--yes"]).expect(0);
    assert_eq!(prometheus.digest(newer_past), newer);
}

fn a_server_that_a_corrupt_block_keeps_down_is_restored(prometheus: &Prometheus, watchkeeper: &Watchkeeper) {
    let past = Past::until_now();
    let before = prometheus.digest(past);
    watchkeeper.back_up();

    prometheus.stop();
    prometheus.in_data("for block in 01*; do echo broken >$block/index; break; done");
    prometheus.start();
    wait_until("Prometheus gives up", Duration::from_secs(30), || {
        prometheus.logs().contains("opening storage failed")
    });

    watchkeeper.run(&["restore", JOB, "--yes"]).expect(0);
    assert_eq!(prometheus.digest(past), before);
}

fn a_server_made_anew_and_never_started_is_restored(prometheus: &Prometheus, watchkeeper: &Watchkeeper) {
    let past = Past::until_now();
    let before = prometheus.digest(past);
    watchkeeper.back_up();

    prometheus.stop();
    prometheus.in_data("rm -rf ./*");
    prometheus.remake();

    watchkeeper.run(&["restore", JOB, "--yes"]).expect(0);
    assert_eq!(prometheus.digest(past), before);
}

fn twenty_backups_leave_no_snapshot_but_a_foreign_one(prometheus: &Prometheus, watchkeeper: &Watchkeeper) {
    let foreign = prometheus.foreign_snapshot();
    for _ in 0..20 {
        watchkeeper.back_up();
    }
    assert_eq!(prometheus.snapshots(), [foreign]);
    assert_eq!(watchkeeper.backups().len(), 5, "keep = {{ last = 5 }}");
}

fn an_archive_opens_with_tar_and_a_plain_prometheus_gives_the_same_answers(
    prometheus: &Prometheus,
    watchkeeper: &Watchkeeper,
) {
    watchkeeper.change_keys(prometheus, "layout = \"archive\"\n");
    let past = Past::until_now();
    let before = prometheus.digest(past);
    let id = watchkeeper.back_up();

    let unpacked = watchkeeper.folder().join("unpacked");
    fs::create_dir(&unpacked).unwrap();
    run(Command::new("tar").arg("-xzf").arg(watchkeeper.archive(&id)).arg("-C").arg(&unpacked));
    let blocks_and_head = fs::read_dir(&unpacked).unwrap().count() as u64;
    assert!(blocks_and_head > blocks::BLOCKS, "{blocks_and_head} blocks in the archive");

    let plain = prometheus::on_blocks_of(&unpacked).unwrap();
    assert_eq!(plain.digest(past), before);
}

fn a_question_that_nobody_can_answer_and_a_dry_run_change_nothing(
    prometheus: &Prometheus,
    watchkeeper: &Watchkeeper,
) {
    watchkeeper.back_up();
    prometheus.wait_for_scrapes(3);
    let past = Past::until_now();
    let before = prometheus.digest(past);
    let files = "ls -R . | grep -v queries.active | md5sum";
    prometheus.stop();
    let files_before = prometheus.in_data(files);

    watchkeeper.run(&["restore", JOB]).expect(2);
    watchkeeper.run(&["restore", JOB, "--dry-run"]).expect(0);

    assert!(!prometheus.is_ready());
    assert_eq!(prometheus.in_data(files), files_before);
    prometheus.start();
    prometheus.wait_ready();
    assert_eq!(prometheus.digest(past), before);
}

fn a_backup_of_a_stopped_server_fails_and_leaves_nothing(prometheus: &Prometheus, watchkeeper: &Watchkeeper) {
    prometheus.stop();
    watchkeeper.run(&["run-now", JOB]).expect(1);
    assert!(watchkeeper.leftovers().is_empty(), "{:?}", watchkeeper.leftovers());
}

#[test]
fn lost_data_comes_back_to_a_bind_mount_of_a_server_that_merges_its_blocks() {
    let builder = Builder::default().bind_mounted().compacting();
    tell(Prometheus::container(builder), lost_data_comes_back_and_the_next_backup_works);
}

#[test]
fn a_backup_without_the_admin_api_fails_and_says_which_flag_is_missing() {
    tell(Prometheus::host(Builder::default().without_admin_api()), |_, watchkeeper| {
        let output = watchkeeper.run(&["run-now", JOB]).expect(1);
        let said = output.stdout + &output.stderr;
        assert!(said.contains("--web.enable-admin-api"), "{said}");
        assert!(watchkeeper.leftovers().is_empty(), "{:?}", watchkeeper.leftovers());
    });
}

#[test]
fn a_fresh_host_restores_from_the_manifest_of_a_backup() {
    let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
    let past = Past::until_now();
    let before = prometheus.digest(past);
    let watchkeeper = Watchkeeper::for_prometheus(&prometheus);
    let id = watchkeeper.back_up();
    prometheus.lose_everything();

    let fresh = Watchkeeper::for_prometheus(&prometheus);
    let manifest = watchkeeper.store().join(format!("{id}.json"));
    let from = manifest.to_str().unwrap();
    fresh.run(&["restore", "--from", from, "--prometheus", "main", "--yes"]).expect(0);
    assert_eq!(prometheus.digest(past), before);
}

#[test]
fn check_online_finds_nothing_to_complain_about_a_healthy_server() {
    for prometheus in [Prometheus::host(Builder::default()), Prometheus::container(Builder::default())] {
        tell(prometheus, |_, watchkeeper| {
            let output = watchkeeper.run(&["check", "--online"]);
            // The backups of a test lie on the disk of what they back up, where that can be seen.
            let warned = output.stdout.contains("same device as");
            assert_eq!(output.code, if warned { 3 } else { 0 }, "{output:?}");
            let warnings = output.stdout.lines().filter(|line| line.trim_start().starts_with("warning"));
            assert_eq!(warnings.count(), usize::from(warned), "{output:?}");
        });
    }
}

#[test]
fn every_command_that_reads_the_store_gives_one_json_document() {
    tell(Prometheus::host(Builder::default()), |_, watchkeeper| {
        watchkeeper.back_up();
        for command in
            [&["backups"][..], &["history"], &["status"], &["next"], &["explain", JOB], &["verify", "--deep"]]
        {
            let output = watchkeeper.run_json(command).expect(0);
            assert!(!output.json().is_null(), "{command:?}");
        }
    });
}
