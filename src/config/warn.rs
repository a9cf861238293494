//! What is not wrong, but will surprise.

mod calendar;
mod crowd;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Config;
use super::problem::Problem;
use super::values::Place;

pub(super) use calendar::schedules;

/// Backups on the device of the data are lost together with it.
pub(super) fn same_device(config: &Config) -> Vec<Problem> {
    let backups = device(&config.backup_dir);
    let of_target = |target: &super::values::PrometheusTarget| {
        let Place::Host { data_dir: Some(data_dir), .. } = &target.place else { return None };
        let data = std::fs::metadata(data_dir).ok()?.dev();
        (Some(data) == backups).then(|| {
            let message =
                format!("backup_dir is on the same device as the data of [prometheus.{}]", target.name);
            Problem::of_file(
                message,
                Some("when that disk fails, both are lost: mount another one there".to_owned()),
            )
        })
    };
    config.prometheus.values().filter_map(of_target).collect()
}

/// The device of a folder, or of the one it will be made in.
fn device(path: &Path) -> Option<u64> {
    path.ancestors().find_map(|path| std::fs::metadata(path).ok()).map(|metadata| metadata.dev())
}
