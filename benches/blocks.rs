//! What a backup does to every byte: the check of a block, and the writer of an archive.
//!
//! On a generated block of 18 hours, 45 MB. The archive is written as a backup writes it, to the disk and synced.

#![allow(
    missing_docs,
    dead_code,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "criterion's macros write no docs, a benchmark that cannot go on stops, and the rest is the generator's"
)]

#[path = "../examples/tsdb-blocks/block.rs"]
mod block;
#[path = "../examples/tsdb-blocks/index.rs"]
mod index;
#[path = "../examples/tsdb-blocks/random.rs"]
mod random;
#[path = "../examples/tsdb-blocks/series.rs"]
mod series;
#[path = "../examples/tsdb-blocks/xor.rs"]
mod xor;

use std::fs::File;
use std::path::{Path, PathBuf};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;
use watchkeeper::config::values::{Codec, Compression};
use watchkeeper::prometheus::block::check_dir;
use watchkeeper::store::Store;

/// Beside the target folder, so that it is a disk and not a `/tmp` in memory.
fn scratch() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A block below the folder: where it is, and its size.
fn generated(folder: &Path) -> (PathBuf, u64) {
    let set = series::Set::new("node", 4300, 15_000, 1);
    let plan = block::Plan { start: 1_762_430_400_000, windows: 9 };
    let (bytes, _) = block::write(&set, &plan, folder).unwrap();
    (folder.read_dir().unwrap().next().unwrap().unwrap().path(), bytes)
}

fn check(criterion: &mut Criterion) {
    let folder = scratch();
    let (block, bytes) = generated(folder.path());
    let spool = scratch();
    let mut group = criterion.benchmark_group("block");
    group.sample_size(20).throughput(Throughput::Bytes(bytes));
    group.bench_function("check", |bencher| {
        bencher.iter(|| {
            let report = check_dir(&block, spool.path(), &CancellationToken::new(), &mut |_| {}).unwrap();
            assert!(report.damage.is_empty());
        });
    });
    group.finish();
}

fn archive(criterion: &mut Criterion) {
    let folder = scratch();
    let (block, bytes) = generated(folder.path());
    let root = scratch();
    let job = Store::open(root.path()).unwrap().job(&"bench".parse().unwrap());
    let mut group = criterion.benchmark_group("archive");
    group.sample_size(10).throughput(Throughput::Bytes(bytes));
    for (codec, level) in
        [(Codec::Gzip, 1), (Codec::Gzip, 6), (Codec::Zstd, 1), (Codec::Zstd, 3), (Codec::None, 1)]
    {
        group.bench_function(format!("{} {level}", codec.name()), |bencher| {
            bencher.iter(|| {
                let pending = job.begin(Ulid::generate(), Timestamp::now()).unwrap();
                let mut archive = pending.archive(Compression { codec, level }).unwrap();
                for name in ["chunks/000001", "index"] {
                    let mut file = File::open(block.join(name)).unwrap();
                    let size = file.metadata().unwrap().len();
                    archive.file(name, 0o644, 0, size, &mut file).unwrap();
                }
                archive.finish().unwrap()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, check, archive);
criterion_main!(benches);
