//! A link in place of the snapshot that Prometheus was asked for: nothing that it leads to is read or removed.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::prometheus::{Builder, Prometheus};
use crate::support::proxy::{Fault, Proxy, What};
use crate::support::watchkeeper::{JOB, Watchkeeper};
use crate::support::{run, scratch};

#[test]
fn a_link_in_place_of_a_snapshot_is_told_and_goes_and_what_it_leads_to_stays() {
    let Some(prometheus) = Prometheus::host(Builder::default()) else { return };
    let proxy = Proxy::before(&prometheus.url());
    let precious = scratch::folder("precious");
    run(std::process::Command::new("cp").arg("-r").arg(prometheus.data_dir().join(".")).arg(precious.path()));
    let before = scratch::files_below(precious.path());
    for layout in ["blocks", "archive"] {
        let watchkeeper = Watchkeeper::with_config(&format!(
            "{}\n[[job]]\nname = \"{JOB}\"\nkind = \"prometheus-snapshot\"\nprometheus = \"main\"\n\
             keep = {{ last = 5 }}\nlayout = \"{layout}\"\nretries = {{ max = 0 }}\n",
            prometheus.target().replace(&prometheus.url(), &proxy.url())
        ));
        let snapshots = prometheus.data_dir().join("snapshots");
        proxy.inject(Fault::new(What::AnswerHeldAfter(0)).at("POST /api/v1/admin/tsdb/snapshot").times(1));
        let child = watchkeeper.spawn(&["run-now", JOB]);
        proxy.wait_hit();
        let made = fs::read_dir(&snapshots).unwrap().next().unwrap().unwrap().path();
        fs::remove_dir_all(&made).unwrap();
        symlink(precious.path(), &made).unwrap();
        proxy.heal();

        let failed = watchkeeper.wait(child, &["run-now", JOB]).expect(1);
        let told = format!("is a symbolic link to {}", precious.path().display());
        assert!(failed.stdout.contains(&told), "{layout}: {failed:?}");
        assert_eq!(watchkeeper.backups(), [""; 0], "{layout}");
        assert_eq!(fs::read_dir(&snapshots).unwrap().count(), 0, "{layout}: the link is still there");
        assert_eq!(scratch::files_below(precious.path()), before, "{layout}");
        watchkeeper.back_up();
        assert!(prometheus.snapshots().is_empty(), "{layout}");
    }
}
