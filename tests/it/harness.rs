//! The tests' own ground: a Prometheus keeps its answers when nothing but a restart happens, and loses them
//! when its data is lost. Without this the end-to-end tests would prove nothing.

use std::time::Duration;

use crate::support::prometheus::{Builder, Past, Prometheus};
use crate::support::{blocks, wait_until};

fn tells_lost_data_from_kept(prometheus: &Prometheus) {
    let past = Past::until_now();
    let before = prometheus.digest(past);
    let hours = before.keys().filter(|(name, _)| name == "wk_requests_total").count();
    assert!(hours >= 16, "{hours} hours of blocks");
    assert!(before.keys().any(|(name, _)| name == "wk_live_scrapes_total"), "no live head");

    prometheus.stop();
    assert!(!prometheus.is_ready());
    prometheus.start();
    prometheus.wait_ready();
    assert_eq!(prometheus.digest(past), before);

    prometheus.lose_everything();
    assert_ne!(prometheus.digest(past), before);
}

#[test]
fn a_host_process_keeps_its_answers_over_a_restart_and_loses_them_with_its_data() {
    let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
    tells_lost_data_from_kept(&prometheus);
}

#[test]
fn a_container_keeps_its_answers_over_a_restart_and_loses_them_with_its_data() {
    let Some(prometheus) = Prometheus::container(Builder::default()) else { return };
    assert_eq!(prometheus.containers_on_its_data(), [prometheus.container_name().unwrap()]);
    tells_lost_data_from_kept(&prometheus);
}

#[test]
fn a_container_without_a_shell_made_anew_over_a_bind_mount_has_its_data_again() {
    let Some(prometheus) = Prometheus::container(Builder::default().without_shell().bind_mounted()) else {
        return;
    };
    let past = Past::until_now();
    let before = prometheus.digest(past);
    prometheus.remake();
    prometheus.start();
    prometheus.wait_ready();
    assert_eq!(prometheus.digest(past), before);
}

#[test]
fn a_corrupt_index_keeps_prometheus_from_getting_ready() {
    let Some(prometheus) = Prometheus::container(Builder::default()) else { return };
    assert_eq!(prometheus.in_data("ls -d 01*").lines().count() as u64, blocks::BLOCKS);
    prometheus.stop();
    prometheus.in_data("for block in 01*; do echo broken >$block/index; break; done");
    prometheus.start();
    wait_until("Prometheus complains", Duration::from_secs(30), || {
        prometheus.logs().contains("opening storage failed")
    });
    assert!(!prometheus.is_ready());
}
