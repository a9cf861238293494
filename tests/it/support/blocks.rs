//! Hours of real blocks, made by `promtool` once and copied from then on.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{run, scratch};

/// Two hours, as Prometheus cuts its blocks.
const WINDOW: u64 = 7200;
/// Seconds between two samples of a series.
const INTERVAL: u64 = 30;
/// Blocks in the set.
pub(crate) const BLOCKS: u64 = 9;

/// Unix seconds now.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The first and last instant of the set, Unix seconds.
pub(crate) fn range() -> (u64, u64) {
    // Two full windows stay free before now, so that no block touches the live head.
    let end = (now() / WINDOW - 1) * WINDOW;
    (end - BLOCKS * WINDOW, end)
}

/// The folder of the set. It lies in cargo's folder for tests and serves every process until its two hours
/// are over. It is for copying: nobody may start a Prometheus on it.
pub(crate) fn set() -> &'static Path {
    static SET: OnceLock<PathBuf> = OnceLock::new();
    SET.get_or_init(|| {
        let (start, end) = range();
        let place = scratch::root().join(format!("blocks-{end}"));
        if !place.exists() {
            forget_older_sets();
            let making = scratch::folder("blocks");
            (0..BLOCKS).for_each(|n| make_block(making.path(), start + n * WINDOW));
            // Another process may have been faster: then its set is as good.
            if fs::rename(making.path().join("data"), &place).is_err() {
                assert!(place.exists(), "cannot publish the block set at {}", place.display());
            }
        }
        place
    })
}

fn forget_older_sets() {
    for entry in fs::read_dir(scratch::root()).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().starts_with("blocks-") {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// One call for each window: promtool reads its whole input again for every block it writes.
fn make_block(folder: &Path, start: u64) {
    let input = folder.join("window.om");
    fs::write(&input, openmetrics(start)).unwrap();
    run(Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "--quiet", "openmetrics"])
        .args([&input, &folder.join("data")]));
}

fn openmetrics(start: u64) -> String {
    let mut text = String::new();
    for (metric, kind) in [("wk_requests", "counter"), ("wk_temperature", "gauge")] {
        writeln!(text, "# TYPE {metric} {kind}").unwrap();
        let sample = if kind == "counter" { format!("{metric}_total") } else { metric.to_owned() };
        for series in 0..20 {
            for at in (start..start + WINDOW).step_by(usize::try_from(INTERVAL).unwrap()) {
                let value =
                    if kind == "counter" { at / 7 * (series + 1) } else { (at * 31 + series * 17) % 97 };
                writeln!(text, "{sample}{{instance=\"host-{series}:9100\"}} {value} {at}").unwrap();
            }
        }
    }
    text + "# EOF\n"
}

/// Puts a copy of the set into a data folder.
pub(crate) fn copy_to(data: &Path) {
    fs::create_dir_all(data).unwrap();
    run(Command::new("cp").arg("-r").arg(set().join(".")).arg(data));
}

/// A tar stream of the set, owned by the user that runs Prometheus in the container.
pub(crate) fn tar_for_container(out: &Path) -> File {
    run(Command::new("tar")
        .args(["--owner=65534", "--group=65534", "-cf"])
        .arg(out)
        .arg("-C")
        .arg(set())
        .arg("."));
    File::open(out).unwrap()
}
