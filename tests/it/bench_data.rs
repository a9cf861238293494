//! What the generator of the benchmarks writes is what Prometheus would have written: as good, and as readable.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "as in the generator, whose files these are"
)]
#![allow(dead_code, reason = "only the blocks are tested here")]

#[path = "../../examples/tsdb-blocks/block.rs"]
mod block;
#[path = "../../examples/tsdb-blocks/index.rs"]
mod index;
#[path = "../../examples/tsdb-blocks/random.rs"]
mod random;
#[path = "../../examples/tsdb-blocks/series.rs"]
mod series;
#[path = "../../examples/tsdb-blocks/xor.rs"]
mod xor;

use std::path::Path;
use std::process::Command;

use tokio_util::sync::CancellationToken;
use watchkeeper::prometheus::block::check_dir;

use crate::support::{installed, missing, run, scratch};
use block::Plan;
use series::{Set, WINDOW};

const START: i64 = 1_762_430_400_000;

fn set() -> Set {
    Set::new("node", 700, 15_000, 1)
}

/// Writes blocks of so many windows, one after the other.
fn write(folder: &Path, windows: &[u32]) {
    let mut start = START;
    for &windows in windows {
        block::write(&set(), &Plan { start, windows }, folder).unwrap();
        start += i64::from(windows) * WINDOW;
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn blocks_of_the_generator_pass_our_own_check_and_promtool_reads_every_chunk() {
    let folder = scratch::folder("generated");
    write(folder.path(), &[9, 3, 1]);
    assert_eq!(names(folder.path()).len(), 3);
    for name in names(folder.path()) {
        let block = folder.path().join(&name);
        let report = check_dir(&block, folder.path(), &CancellationToken::new(), &mut |_| {}).unwrap();
        assert!(report.damage.is_empty(), "{:?}", report.damage);
        assert!(!report.probes.is_empty(), "no series could be decoded");
        if installed("promtool") {
            let analyze = ["tsdb", "analyze", "--extended"];
            run(Command::new("promtool").args(analyze).arg(folder.path()).arg(&name));
        } else {
            missing("no promtool");
        }
    }
}

#[test]
fn a_longer_block_holds_what_the_shorter_ones_hold_and_the_same_call_gives_the_same_bytes() {
    if !installed("promtool") {
        return missing("no promtool");
    }
    let dump = |windows: &[u32]| {
        let folder = scratch::folder("generated");
        write(folder.path(), windows);
        // A dump wants a log to be there.
        std::fs::create_dir(folder.path().join("wal")).unwrap();
        let matching = "--match={__name__=~\"node_load.*|http_requests_total|node_cpu_seconds_total\"}";
        let output = run(Command::new("promtool").args(["tsdb", "dump", matching]).arg(folder.path()));
        let mut lines: Vec<String> = output.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let merged = dump(&[3]);
    assert!(merged.len() > 100_000, "{} samples", merged.len());
    assert!(merged == dump(&[1, 1, 1]), "three blocks hold something else than one");
    assert!(merged == dump(&[3]), "the second call wrote something else");
}
