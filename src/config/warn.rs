//! What is not wrong, but will surprise.

mod calendar;
mod crowd;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::problem::Problem;
use super::values::Place;
use super::{Config, JobKind};

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

/// Files that hold the program's own folders: those are left out, which hardly anybody has in mind.
pub(super) fn own_folders(config: &Config) -> Vec<Problem> {
    let own = [("backup_dir", &config.backup_dir), ("state_dir", &config.state_dir)];
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut problems = Vec::new();
    for job in &config.jobs {
        let JobKind::FilesBackup(files) = &job.kind else { continue };
        for path in files.paths.iter().filter(|_| files.container.is_none()) {
            for (name, folder) in
                own.iter().filter(|(_, folder)| real(folder).starts_with(real(Path::new(path))))
            {
                let message = format!(
                    "job \"{}\": its path {path} holds {name} ({}), which it leaves out",
                    job.name,
                    folder.display()
                );
                let hint = format!(
                    "a backup of the backups would grow with each run: move {name}, or name in \"paths\" what lies beside it"
                );
                problems.push(Problem::of_file(message, Some(hint)));
            }
        }
    }
    problems
}

/// The device of a folder, or of the one it will be made in.
fn device(path: &Path) -> Option<u64> {
    path.ancestors().find_map(|path| std::fs::metadata(path).ok()).map(|metadata| metadata.dev())
}
